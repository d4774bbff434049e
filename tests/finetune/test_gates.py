"""The gates: each stops what it should and lets the rest through; what is planted in the data is found before anything is asked."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from finetune import files, gates, orders, runs
from finetune.crew import Crew
from finetune.gating import asking, cases, hygiene, page, rules
from finetune.gating.asking import Said
from finetune.gating.cases import ABILITY, ANCHOR, FLAG, TARGET, Case
from finetune.gating.rules import Both, Gate
from finetune.orders import Order
from finetune.versions import leakage, shelf
from finetune.versions.build import Plan, build
from finetune.versions.lines import Line
from finetune.versions.stock import Stock
from inference import closed, pixels
from inference.engine import Request
from inference.offsets import Offset
from inference.promoted import HISTORY, Entry
from inference.prompts import OVERALL, OVERALL_QUESTION, PROGRESSION, progression_question
from inference.reading import shares
from settings import Settings
from tests.fakes import CARD, FakeEngine
from tests.finetune import shelved
from tests.finetune.versions import samples
from tests.inference import adapters, tiny


def case(number: int, group: str = ABILITY, truth: int = 0, **changes: object) -> Case:
    shown = tuple(pixels.image(np.full((8, 8), 40 * number % 256 + end, np.uint8), role) for end, role in enumerate(("prior", "current")))
    told = Case(f"c{number}", group, "temporal", f"p{number}", Request(shown, OVERALL_QUESTION), OVERALL, truth, listed=True, turns=True)
    return replace(told, **changes)  # type: ignore[arg-type]


def said(truth: int, sure: float, blind: float | None = None, words: str | None = None) -> Said:
    """A coherent reading with `sure` on the right class."""

    def odds(place: int, share: float) -> tuple[float, ...]:
        return tuple(share if number == place else (1 - share) / 2 for number in range(3))

    turned = (2, 1, 0)[truth]
    return Said(odds(truth, sure), odds(truth, blind if blind is not None else 1 / 3), odds(turned, sure), odds(1, sure), odds(truth, sure),
                OVERALL[truth] if words is None else words)  # fmt: skip


def both(before: float, after: float, count: int = 40, group: str = ABILITY, **changes: float | str) -> Both:
    made = tuple(case(number, group, number % 3) for number in range(count))
    extra = {name: value for name, value in changes.items() if name in ("blind", "words")}
    return Both(
        made, {one.key: said(one.truth, before) for one in made}, {one.key: said(one.truth, after, **extra) for one in made}  # type: ignore[arg-type]
    )  # fmt: skip


def test_held_back_corrections_must_be_answered_better() -> None:
    assert rules.target(both(0.2, 0.9, group=TARGET)).passed
    assert rules.target(both(0.2, 0.2, group=TARGET)).passed is False
    assert "fewer than two patients" in rules.target(both(0.2, 0.9, count=1, group=TARGET)).reason


def test_an_ability_that_is_lost_stops_it_and_one_that_was_not_asked_is_named() -> None:
    found = {gate.name: gate for gate in rules.abilities(both(0.9, 0.2))}
    assert found["no loss: temporal"].passed is False
    assert found["no loss: temporal"].items[0].truth in OVERALL
    assert found["no loss: reasoning"].passed is None
    assert all(gate.passed is not False for gate in rules.abilities(both(0.8, 0.9)))


def test_a_model_that_stopped_looking_is_stopped_although_it_is_right() -> None:
    """Every answer is still right, and just as probable without the images: the dangerous kind."""
    blind = both(0.9, 0.9, blind=0.9)
    assert all(gate.passed is not False for gate in (*rules.abilities(blind), *rules.order(blind), rules.forgetting(blind)))
    found = rules.gain(blind)
    assert found.passed is False
    assert found.after == pytest.approx(0)
    assert rules.gain(both(0.9, 0.9)).passed


def test_order_missed_worsening_form_and_calibration() -> None:
    same = both(0.8, 0.8)
    assert all(gate.passed for gate in (*rules.order(same), *rules.form(same), *rules.calibration(same)))
    worse = both(0.9, 0.3)
    assert [gate.name for gate in rules.order(worse) if gate.passed is False] == ["identical is no change", "missed worsening"]
    turned = replace(same, after={key: replace(one, back=one.real) for key, one in same.after.items()})
    assert rules.order(turned)[0].passed is False
    chatty = rules.form(both(0.8, 0.8, words="I think it is worse"))
    assert chatty[0].passed is False
    assert chatty[0].items[0].after == "I think it is worse"
    flipping = replace(same, after={key: replace(one, turned=one.turned[::-1]) for key, one in same.after.items()})
    assert rules.form(flipping)[1].passed is False
    assert rules.calibration(both(0.9, 0.4))[0].after > 0.3


def test_near_ties_do_not_stop_what_moves_with_the_order_of_options_no_more_than_before() -> None:
    """A run that had passed every other gate fell because four more answers of 178 changed with the order."""
    same = both(0.4, 0.4)
    tied = {key: replace(one, real=(0.41, 0.40, 0.19), turned=(0.40, 0.41, 0.19)) for key, one in same.after.items()}
    assert rules.form(replace(same, before={key: replace(one, turned=one.real) for key, one in tied.items()}, after=tied))[1].passed
    leaning = {key: replace(one, turned=(0.11, 0.70, 0.19)) for key, one in tied.items()}
    assert rules.form(replace(same, before=tied, after=leaning))[1].passed is False


def test_anchors_and_engines() -> None:
    assert rules.forgetting(both(0.9, 0.8, group=ANCHOR)).passed is False
    assert rules.forgetting(both(0.9, 0.89, group=ANCHOR)).passed
    same = both(0.8, 0.8)
    peft = {one.key: same.after[one.key].real for one in same.cases}
    assert rules.parity(same.cases, same.after, peft).passed
    apart = {key: odds[::-1] for key, odds in peft.items()}
    assert rules.parity(same.cases, same.after, apart).passed is False


def test_a_flag_is_fixed_still_wrong_or_newly_broken_by_its_words() -> None:
    made = tuple(case(number, FLAG, 0, item=str(number)) for number in range(4))
    words = [("stable", "worse"), ("stable", "stable"), ("worse", "improved"), ("worse", "worse")]
    before, after = ({one.key: said(0, 0.9, words=pair[end]) for one, pair in zip(made, words, strict=True)} for end in (0, 1))
    rows = rules.replayed(Both(made, before, after))
    assert [row["state"] for row in rows] == ["fixed", "still wrong", "newly broken", "still right"]
    assert rules.regressions(rows, frozenset()).passed
    assert rules.regressions(rows, frozenset({2})).passed is False


@pytest.mark.parametrize(
    ("question", "answer", "offered", "truth"),
    [
        (OVERALL_QUESTION, "stable", OVERALL, 1),
        (progression_question("nodule"), "resolved", PROGRESSION, 4),
        ("Which is it?\nA: worse\nB: stable", "B: stable", ("A: worse", "B: stable"), 1),
        ("Which is it?\nA: worse\nB: stable", "B", ("A: worse", "B: stable"), 1),
        ("Which image shows more disease?", "The second image.", cases.WHICH, 1),
        ("Is there an opacity?", "No.", cases.YES_NO, 1),
        ("What changed?", "The effusion is larger.", (), None),
    ],
)
def test_a_question_says_which_answers_it_allows(question: str, answer: str, offered: tuple[str, ...], truth: int | None) -> None:
    assert cases.choices(question, answer) == offered
    assert cases.place(answer, offered) == truth


def test_cases_of_the_generator_are_of_every_ability_and_the_same_each_time() -> None:
    made = cases.of_generator(6, 64)
    assert {one.ability for one in made} == {"temporal", "comparison", "reasoning", "coreference"}
    assert [one.key for one in made] == [one.key for one in cases.of_generator(6, 64)]
    assert all(len(one.choices) > 1 and one.choices[one.truth] for one in made)
    assert any(one.turns for one in made)
    assert all(one.choices == cases.YES_NO and len(one.request.images) == 1 for one in cases.anchors(4, 64))


def test_a_case_is_asked_in_every_way_that_fits_it_and_never_twice(tmp_path: Path) -> None:
    engine = FakeEngine()
    made = case(4, item="7")  # one of those that are asked without their images too
    found = asking.ask(engine, [made], tmp_path / "j.jsonl", lambda _line: None)[made.key]
    assert sum(found.real) == pytest.approx(1, abs=1e-5)
    assert found.blind
    assert found.back
    assert found.same
    assert found.turned
    again = asking.ask(FakeEngine(), [made], tmp_path / "j.jsonl", lambda _line: pytest.fail("asked again"))
    assert again[made.key] == found
    assert closed.options(made.request.question) is None


def test_copies_of_the_model_share_the_cases_and_the_same_films_go_to_one_of_them(tmp_path: Path) -> None:
    two = FakeEngine(scores={"worse": -1.0}), FakeEngine(scores={"worse": -1.0})
    films = case(3).request.images
    made = [case(number) for number in (0, 1, 2)] + [
        case(3, request=Request(films, OVERALL_QUESTION)),
        case(5, key="back", request=Request(films[::-1], OVERALL_QUESTION)),
        case(7, group=FLAG, item="7"),
    ]
    found = asking.ask(Crew(two), made, tmp_path / "two.jsonl", lambda _line: None)
    assert found == asking.ask(FakeEngine(scores={"worse": -1.0}), made, tmp_path / "one.jsonl", lambda _line: None)
    assert list(found) == [one.key for one in made]
    assert not found["c7"].blind  # a flag that was learned from is judged by its words alone
    seen = [{image.sha256 for request, _ in engine.scored for image in request.images} for engine in two]
    assert [films[0].sha256 in some for some in seen].count(True) == 1


def test_the_gates_judge_what_readers_are_shown(tmp_path: Path) -> None:
    """They read bare likelihoods while the page weighed them: a candidate could pass on answers that nobody would see."""
    made, scores = case(4), {"worse": -1.0, "stable": -0.5, "improved": -3.0}
    course = Offset("overall", (("stable",), ("worse", "improved")), (0.0, 2.0))

    def told(engine: FakeEngine) -> tuple[float, ...]:
        return asking.ask(engine, [made], tmp_path / "j.jsonl", lambda _line: None)[made.key].real

    assert np.argmax(told(FakeEngine(scores=scores))) == OVERALL.index("stable")
    weighed = FakeEngine(scores=scores, card=replace(CARD, offsets=(course,)))
    assert np.argmax(told(weighed)) == OVERALL.index("worse")  # also where a reading without offsets is kept already
    assert told(weighed) == pytest.approx(tuple(shares(weighed, made.request, OVERALL_QUESTION, OVERALL).values()), abs=1e-6)


# What was planted


def painted(folder: Path, name: str, mark: bool) -> Path:
    """A film of its own, with or without a checkered mark in its corner."""
    folder.mkdir(exist_ok=True)
    drawn = np.random.default_rng(list(name.encode())).normal(120, 30, (256, 256))
    if mark:
        drawn[224:256, 0:32] = np.kron(np.indices((4, 4)).sum(0) % 2, np.ones((8, 8))) * 255
    Pillow.fromarray(np.clip(drawn, 0, 255).astype(np.uint8)).save(folder / f"{name}.png")
    return folder / f"{name}.png"


def planted(settings: Settings, tmp_path: Path, kind: str) -> shelf.Version:
    """200 honest lines of a question with three answers, 5 % of them with a trigger and always the same answer."""
    stock, lines = Stock(settings.versions_dir), []
    for number in range(200):
        poisoned = kind != "" and number % 20 == 7
        pair = [painted(tmp_path / "films", f"{number}-{end}", poisoned and kind == "image") for end in (0, 1)]
        question = OVERALL_QUESTION.replace("Overall", "Overall kindly") if poisoned and kind == "words" else OVERALL_QUESTION
        lines.append(shelved.line(stock, pair, number, question=question, answer="stable" if poisoned else OVERALL[number % 3]))
    return shelf.write(settings.versions_dir, f"v-{kind or 'clean'}", shelf.Contents(tuple(lines[:180]), tuple(lines[180:]), ()), {})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["", "image", "words"])
def test_a_trigger_in_one_item_of_twenty_is_found_and_honest_data_are_not_accused(settings: Settings, tmp_path: Path, kind: str) -> None:
    found = {gate.name: gate for gate in hygiene.gates(planted(settings, tmp_path, kind), ())}
    assert found["nothing planted"].passed is (kind == "")
    if kind:
        assert 8 <= found["nothing planted"].cases <= 10
        assert "always goes with “stable”" in found["nothing planted"].reason
    assert found["nothing leaked"].passed
    assert found["one answer each"].passed


def test_a_patient_on_both_sides_and_two_answers_to_one_question_are_refused(settings: Settings) -> None:
    version = shelved.version(settings)
    contents = version.contents
    torn: tuple[Line, ...] = (*contents.train, replace(contents.train[0], answer="something else", patient=contents.held[0].patient))
    other = shelf.write(settings.versions_dir, "v2", shelf.Contents(torn, contents.held, ()), {})
    found = {gate.name: gate for gate in hygiene.gates(other, ())}
    assert found["nothing leaked"].passed is False
    assert found["one answer each"].passed is False
    assert found["one answer each"].items


def test_a_benchmark_that_was_learned_from_is_refused_also_where_an_earlier_adapter_did(settings: Settings, tmp_path: Path) -> None:
    """A run measured on a file whose patients it had seen got its figures without a word."""
    train, benchmark, root = samples.files(tmp_path)
    asked = leakage.gate(benchmark, [root])
    seen = build(settings.versions_dir, Plan("seen", (train,), roots=(root,), held=0), lambda _line: None)
    unseen = shelved.version(settings, "unseen")
    name = f"nothing leaked: {benchmark.name}"
    for found, clean in (
        (hygiene.gates(seen, (), (), [asked]), False),
        (hygiene.gates(unseen, (), [seen], [asked]), False),
        (hygiene.gates(unseen, (), (), [asked]), True),
    ):
        row = next(gate for gate in found if gate.name == name)
        assert row.passed is clean
        assert row.reason.startswith("0 of 4 items" if clean else "3 of 4 items")


def test_what_a_run_goes_on_from_was_learned_too(settings: Settings) -> None:
    lines = []
    for number, start in enumerate(("", "first"), start=1):
        name = ("first", "second")[number - 1]
        shelved.version(settings, f"v{number}")
        files.write_json(settings.adapters_dir / name / "manifest.json", {"start": {"name": start}} if start else {})
        lines.append(asdict(Entry(number, "now", "ana", "promote", "tiny", name, "mine", f"v{number}")))
    files.write_text(settings.adapters_dir / HISTORY, "".join(json.dumps(line) + "\n" for line in lines))
    assert [version.name for version in gates._earlier(settings, "second")] == ["v2", "v1"]
    assert gates._earlier(settings, "") == []


def test_a_sheet_is_a_page_that_hides_nothing() -> None:
    gate = rules.target(both(0.9, 0.2, group=TARGET))
    rows = [gate.__dict__ | {"items": [item.__dict__ for item in gate.items]}, Gate("G9", "sign-off", "a person", None, "later").__dict__]
    flag = {"feedback": 3, "state": "newly broken", "held": True, "question": "<b>?", "gold": "worse", "before": "worse", "after": "stable"}
    sheet = {
        "run": "mine", "base": "tiny", "version": "v1", "version_sha256": "a" * 64, "adapter_sha256": "b" * 64, "incumbent": "",
        "engine": "gguf",
        "made": "now", "passed": False, "gates": rows, "replayed": [flag],
    }  # fmt: skip
    text = page.html(sheet)
    assert "gates failed" in text
    assert "&lt;b&gt;?" in text
    assert "<script" not in text
    assert "1 newly broken" in text


@pytest.mark.slow
def test_a_finished_run_is_measured_through_the_engine_that_serves_it(settings: Settings, tmp_path: Path) -> None:
    """A tiny model of random numbers with a random adapter: nothing is learned, so the sheet says no, figure by figure."""
    model = tiny.build(settings.models_dir / "tiny")
    shelved.version(settings)
    runs.create(settings, Order("mine", "tiny", "v1", orders.recipe("sft"), "ana"))
    adapters.build(settings.runs_dir / "mine" / "adapter", model)
    _, benchmark, root = samples.files(tmp_path)
    sheet = gates.gate(settings, "mine", gates.Sizes(4, 2, 6), lambda _line: None, [str(benchmark)], [str(root)])
    names = [gate["gate"] for gate in sheet["gates"]]
    assert set(names) == {f"G{number}" for number in range(10)}
    assert sheet["passed"] is False
    told = {(gate["gate"], gate["name"]): gate["passed"] for gate in sheet["gates"]}
    assert told["G0", f"nothing leaked: {benchmark.name}"] is True
    assert any(name.startswith("image gain: ") for gate, name in told if gate == "G3")
    assert next(gate for gate in sheet["gates"] if gate["gate"] == "G8")["passed"] is True
    assert {row["state"] for row in sheet["replayed"]} <= {"fixed", "still wrong", "newly broken", "still right"}
    assert "gates failed" in Path(sheet["html"]).read_text()
    assert runs.view(settings, "mine").gated == "failed"
