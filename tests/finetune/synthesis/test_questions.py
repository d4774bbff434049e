"""Questions: every suggested wording occurs, answers are balanced, nothing is claimed that the truth does not hold."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from finetune.synthesis import pairs, questions, wording
from finetune.synthesis.pairs import Pair
from finetune.synthesis.phantom import PhantomSource
from finetune.synthesis.questions import Item
from finetune.synthesis.truth import DEPTHS, DEVICE, Finding, Truth, depth
from inference.engine import ABILITIES
from inference.prompts import FINDINGS, OVERALL, OVERALL_QUESTION, PROGRESSION, SINGLE, TEMPLATES, progression_question


@pytest.fixture(scope="module")
def asked(source: PhantomSource) -> list[tuple[Pair, Item]]:
    rows = []
    for seed in range(500):
        pair = pairs.generate(seed, source, 16)
        rows += [(pair, item) for item in questions.items(pair, np.random.default_rng(seed))]
    return rows


def test_same_seed_gives_the_same_questions(source: PhantomSource) -> None:
    pair = pairs.generate(4, source, 16)
    assert questions.items(pair, np.random.default_rng(1)) == questions.items(pair, np.random.default_rng(1))


def test_every_wording_on_the_screen_is_learned(asked: list[tuple[Pair, Item]]) -> None:
    wordings = {item.question for _, item in asked}
    expected = [question for ability in ABILITIES for question in TEMPLATES[ability]]
    expected += [*SINGLE, OVERALL_QUESTION, *(progression_question(name) for name in FINDINGS)]
    assert [question for question in expected if question not in wordings] == []


def test_all_abilities_are_asked_often(asked: list[tuple[Pair, Item]]) -> None:
    counts = Counter(item.ability for _, item in asked)
    assert all(counts[ability] > 0.10 * len(asked) for ability in ABILITIES), counts


def test_every_finding_is_asked_about_and_answered_both_ways(asked: list[tuple[Pair, Item]]) -> None:
    answers: dict[str, set[str]] = defaultdict(set)
    for _, item in asked:
        if item.kind == "present" and item.question not in SINGLE:
            answers[next(name for name in FINDINGS if name in item.question)].add(item.answer)
    assert dict(answers) == {name: {"Yes.", "No."} for name in FINDINGS}


def test_the_tip_of_a_device_is_told_where_it_lies(asked: list[tuple[Pair, Item]]) -> None:
    told: Counter[str] = Counter()
    for pair, item in asked:
        if item.kind == "position":
            words = item.question
            end = 1 if "current" in words or "this image" in words else 0 if "prior" in words else item.images["second" in words]
            device = (pair.prior_truth, pair.current_truth)[end].get(DEVICE)
            assert device
            assert item.answer == f"{wording.capital(depth(device))}."
            told[item.answer] += 1
        if item.kind == "moved":
            before, after = (truth.severity(DEVICE) for truth in (pair.prior_truth, pair.current_truth))
            assert min(before, after) > 0
            assert item.answer == ("No." if before == after else "Yes, it is lower." if after > before else "Yes, it is higher.")
    assert set(told) == {"High.", "In place.", "Low."}
    assert max(told.values()) < 0.6 * sum(told.values()), told


def test_a_device_is_never_called_disease_or_larger(asked: list[tuple[Pair, Item]]) -> None:
    for _, item in asked:
        if DEVICE in item.question + item.answer:
            assert not re.search(r"(larger|smaller|more severe|more|severe|mild|moderate) tube or line", item.question + item.answer)
            assert item.kind not in ("explains", "diagnosis", "progressing")
    everything = " ".join(item.answer for _, item in asked)
    assert "tube or line is removed" in everything
    assert "tube or line is new" in everything


def test_a_moved_tip_is_not_called_no_change(source: PhantomSource) -> None:
    ends = [Truth((Finding(DEVICE, "", "", level),)) for level in (DEPTHS["high"], DEPTHS["low"])]
    base = pairs.generate(1, source, 16, kind="pair")
    pair = replace(base, prior_truth=ends[0], current_truth=ends[1], changes={DEVICE: "stable"}, overall="stable")
    made = questions.items(pair, np.random.default_rng(0))
    described = [item.answer for item in made if (item.kind, item.ability) == ("describe", "temporal")]
    assert described == ["The tube or line is lower; overall stable."]


def test_images_roles_and_times_run_parallel(asked: list[tuple[Pair, Item]]) -> None:
    for pair, item in asked:
        assert len(item.images) == len(item.roles) == len(item.whens)
        assert item.images in ({(1,)} if pair.kind == "single" else {(0, 1), (1, 0)})
        if "prior" in item.roles:
            assert item.roles.index("prior") == item.images.index(0)
        assert item.question
        assert item.answer
        assert item.relationship == ("unrelated" if pair.kind == "unrelated" else "temporal")


def test_progression_and_overall_answers_are_the_truth_in_one_word(asked: list[tuple[Pair, Item]]) -> None:
    for pair, item in asked:
        if item.kind == "progression":
            name = next(name for name in FINDINGS if progression_question(name) == item.question)
            expected = "uncertain" if pair.kind == "unrelated" else pair.changes.get(name, "stable")
            assert item.answer == expected
            assert item.answer in PROGRESSION
        if item.kind == "overall":
            assert item.answer == pair.overall
            assert item.answer in OVERALL


def test_lettered_answers_name_their_letter_and_letters_are_balanced(asked: list[tuple[Pair, Item]]) -> None:
    letters: Counter[str] = Counter()
    for _, item in asked:
        if re.search(r"\nA: ", item.question):
            assert item.answer in item.question.splitlines()
            letters[item.answer[0]] += 1
    assert max(letters["A"], letters["B"], letters["C"]) < 1.6 * min(letters["A"], letters["B"], letters["C"]), letters


def test_closed_answers_are_balanced(asked: list[tuple[Pair, Item]]) -> None:
    """A model that always says the same must not score well on what it was trained on."""
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for _, item in asked:
        answers[item.kind][item.answer] += 1
    yes, no = answers["present"]["Yes."], answers["present"]["No."]
    assert 0.7 < yes / no < 1.4
    first, second = answers["which"]["The first image."], answers["which"]["The second image."]
    assert 0.7 < first / second < 1.4
    overall = answers["overall"]
    assert max(overall.values()) < 1.7 * min(overall.values()), overall
    assert answers["progression"]["stable"] < 0.45 * sum(answers["progression"].values())


def test_which_image_names_the_image_with_more_disease(asked: list[tuple[Pair, Item]]) -> None:
    for pair, item in asked:
        if item.question == TEMPLATES["coreference"][0] and item.answer.startswith("The "):
            extents = [(pair.prior_truth, pair.current_truth)[end].extent for end in item.images]
            assert extents[item.answer == "The second image."] == max(extents)


def test_a_single_image_cannot_tell_change(asked: list[tuple[Pair, Item]]) -> None:
    told = [item.answer for pair, item in asked if pair.kind == "single" and item.question in (*TEMPLATES["temporal"], OVERALL_QUESTION)]
    assert told
    assert all(answer.startswith("Cannot tell") for answer in told)


def test_unrelated_patients_cannot_have_changed(asked: list[tuple[Pair, Item]]) -> None:
    told = [item.answer for pair, item in asked if pair.kind == "unrelated" and item.ability == "temporal"]
    assert told
    assert all(answer == "uncertain" or answer.startswith("Cannot tell") for answer in told)


def test_nothing_is_called_absent_on_a_film_with_disease_of_its_own(source: PhantomSource) -> None:
    for seed in range(80):
        pair = replace(pairs.generate(seed, source, 16, kind="pair"), clean=(False, False))
        for item in questions.items(pair, np.random.default_rng(seed)):
            assert item.kind not in ("position", "moved")
            assert item.answer not in ("No.", "None.", "No disease is seen.")
            assert "neither image shows" not in item.answer


def test_what_changed_is_answered_in_one_line(asked: list[tuple[Pair, Item]]) -> None:
    lines = [item.answer for pair, item in asked if item.question == TEMPLATES["temporal"][0] and pair.kind == "pair"]
    assert any(re.fullmatch(r"The right consolidation is larger; overall worse\.", line) for line in lines) or len(lines) > 50
    assert all(re.fullmatch(r"(No change|The .+); overall (worse|stable|improved)\.", line) for line in lines)


def test_a_list_tells_the_truth_of_every_finding_it_names(source: PhantomSource) -> None:
    told: Counter[str] = Counter()
    for seed in range(120):
        pair, rng = pairs.generate(seed, source, 16), np.random.default_rng(seed)
        if pair.kind == "single":
            continue
        view = next(item for item in questions.items(pair, rng) if len(item.images) == 2)
        for item in questions.lists(pair, view, rng):
            assert (item.images, item.roles, item.whens) == (view.images, view.roles, view.whens)
            rows = item.answer.removesuffix(".").split(", ")
            if rows[-1].startswith("overall "):
                assert rows.pop() == f"overall {pair.overall}"
                wanted = {name: str(pair.changes.get(name, "absent")) for name in FINDINGS}
            else:
                end = view.images["second image" in item.question]
                truth = (pair.prior_truth, pair.current_truth)[end]
                wanted = {name: wording.placed(truth.get(name)) for name in FINDINGS}
            named = item.question.split(": ")[1].removesuffix("?").split(", ")
            assert rows == [f"{name} {wanted[name]}" for name in named]
            told.update(row.removeprefix(name).strip() for name, row in zip(named, rows, strict=True))
    assert {"absent", "new", "worse", "stable", "improved", "resolved", "right mild", "left severe", "both moderate"} <= set(told)


def test_looks_ask_of_one_image_and_say_what_is_true_of_it(source: PhantomSource) -> None:
    said: Counter[str] = Counter()
    for seed in range(60):
        rng, pair = np.random.default_rng(seed), pairs.generate(seed, source, 16)
        view = questions.items(pair, rng)[0]
        made = questions.looks(pair, view, rng, 4)
        assert len(made) <= 4
        assert len({item.question for item in made}) == len(made)
        for item in made:
            assert item.images == view.images
            named = {"prior": 0, "current": 1, "second": item.images[-1]}
            end = next((end for word, end in named.items() if word in item.question), item.images[0])
            truth = (pair.prior_truth, pair.current_truth)[end]
            name = next(name for name in FINDINGS if name in item.question)
            if item.kind == "present":
                assert item.answer == ("Yes." if truth.get(name) else "No.")
                said[item.answer] += 1
            else:
                found = truth.get(name)
                assert found
                assert wording.SIDE_WORDS[found.side] in item.answer
    assert min(said["Yes."], said["No."]) > 0.3 * said.total()


def test_films_with_disease_of_their_own_are_never_listed_as_free_of_a_finding(source: PhantomSource) -> None:
    for seed in range(40):
        pair = replace(pairs.generate(seed, source, 16, "pair"), clean=(False, False))
        rng = np.random.default_rng(seed)
        for item in questions.lists(pair, questions.items(pair, rng)[0], rng):
            assert "absent" not in item.answer
            assert item.ability == "temporal"
