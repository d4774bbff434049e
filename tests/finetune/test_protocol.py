"""Judging Med-MIM answers: the strict reading of words, each subset's figures, their intervals, and the published counts."""

from __future__ import annotations

import functools
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finetune import classes, figures, lookup, opened, protocol, uncertainty
from finetune.medmim import Item, load
from finetune.protocol import Measure, accept

OPTIONS = (("A", "The first image."), ("B", "the second image"), ("C", "neither"))
RNG = 7


def item(
    number: int,
    options: Sequence[str],
    letter: str = "A",
    source: str = "s",
    file: str = "rad",
    images: Sequence[str] = ("1.png", "2.png"),
    stem: str = "Which?",
) -> Item:
    patient, cluster = lookup.unit(file, source, images)
    lettered = tuple(zip("ABCDEFGH", options, strict=False))
    return Item(
        key=f"{number:040d}",
        file=file,
        id=f"i-{number}",
        source=source,
        ability="comparison",
        images=tuple(images),
        paths=(None,) * len(images),
        stem=stem,
        options=lettered,
        answer=f"{letter}: {dict(lettered)[letter]}",
        letter=letter,
        cluster=cluster,
        patient=patient,
    )


def by_name(measures: Sequence[Measure]) -> dict[str, Measure]:
    return {measure.name: measure for measure in measures}


# What an answer means


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        (" b. ", "B"),
        ("(C) neither", "C"),
        ("**B**", "B"),
        ("B: the first image", "B"),
        ("B the second one", "B"),
        ("A: yes", "A"),
        ("the SECOND image!", "B"),
        ("I think it is neither of them", "C"),
        ("A mass is in the second image", "B"),
        ("A mass", None),
        ("The first image, then the second image", None),
        ("D", None),
        ("E: the second image", None),
        ("The answer is B", None),
        ("Before surgery", None),
        ("", None),
        ("...", None),
    ],
)
def test_words_become_a_letter_only_by_the_strict_rule(text: str, letter: str | None) -> None:
    assert accept(text, OPTIONS) == letter


def test_an_option_is_found_as_words_not_as_letters() -> None:
    """The word unstable is not the option stable, though it holds its letters."""
    assert accept("it is unstable", (("A", "stable"), ("B", "worse"))) is None
    assert accept("it is stable now", (("A", "stable"), ("B", "worse"))) == "A"


def test_a_repeated_option_is_one_option() -> None:
    options = (("A", "drusen"), ("B", "glaucoma"), ("C", "Drusen"))
    assert accept("drusen", options) == "A"
    assert accept("this shows drusen", options) == "A"


def test_right_is_by_text_and_by_letter() -> None:
    asked = item(1, ["drusen", "glaucoma", "Drusen."], "C")
    assert [protocol.correct(asked, letter) for letter in ("A", "B", "C", "H", None)] == [True, False, True, False, False]
    assert protocol.correct(replace(asked, answer="C: something else"), "C")


# Figures

SLICE = "ct1_LUMIERE_images_tumor1200px_256x256/Patient-{}/slice_{}/week_{}.png"


def slices(patient: str, gold: str, count: int, first: int = 0) -> list[Item]:
    images = [[SLICE.format(patient, 50 + n, week) for week in ("000", "012")] for n in range(count)]
    options = ["worsening", "stable disease", "no significant change", "recovering well"]
    return [item(first + n, options, gold, "LUMIERE_typeC", "temporal", images[n]) for n in range(count)]


def test_slices_of_a_pair_vote() -> None:
    items = [*slices("001", "A", 3), *slices("002", "B", 3, 10), *slices("003", "B", 2, 20)]
    said = dict(zip((one.key for one in items), ["A", "A", "B", "C", "B", "D", "B", None], strict=True))
    found = by_name(protocol.headline(items, said))
    pair = found["LUMIERE pair level"]
    assert (pair.value, pair.units, pair.items, pair.chance, pair.headline) == (0.75, 3, 8, 0.5, True)
    assert found["LUMIERE pair level, stable"].value == 0.5, "a tie of a vote and an answer that is no option is wrong"
    assert found["LUMIERE items"].value == pytest.approx(4 / 8)
    assert protocol.headline(items, dict.fromkeys(said, "A"))[0].value == 0.5


def test_what_was_not_asked_does_not_count() -> None:
    items = [item(n, ["one", "two"], "A") for n in range(4)]
    all_items = protocol.headline(items, {items[0].key: "A", items[1].key: None})[0]
    assert (all_items.value, all_items.items) == (0.5, 2)
    assert protocol.headline(items, {}) == []
    assert protocol.headline([], {}) == []


def test_strata_are_named() -> None:
    short = item(1, ["a", "longer", "c"], "A", images=("1.png", "2.png", "3.png"))
    assert protocol.strata(short) == ("all items", "length-adversarial", "3 images")
    odir = item(2, ["a", "b", "c", "A"], "B", file="odir", stem="What is the diagnosis for the first fundus image?")
    assert protocol.strata(odir) == ("text equality", "single questions", "letter only")
    assert protocol.strata(replace(odir, letter=None)) == ()


def test_a_macro_mean_weighs_classes_alike() -> None:
    words = ["improved", "stable", "worsened"]
    items = [item(n, words, "B", "MS_CXR_T_vqa_edema", "comparison") for n in range(8)]
    items += [item(8, words, "A", "MS_CXR_T_vqa_edema", "comparison"), item(9, words, "C", "MS_CXR_T_vqa_edema", "comparison")]
    found = by_name(protocol.headline(items, dict.fromkeys((one.key for one in items), "B")))
    assert found["MS-CXR-T strict"].value == pytest.approx(1 / 3)
    assert found["MS-CXR-T strict, items"].value == pytest.approx(0.8)


def test_the_strict_triplet_needs_all_three_and_no_mixture() -> None:
    def strict(*options: str) -> bool:
        return classes.strict_change(item(1, options, source="MS_CXR_T_vqa", file="comparison"))

    assert strict("worsened", "stable", "improved", "other")
    assert not strict("worsened", "stable", "other")
    assert not strict("worsened", "stable", "improved and now stable", "improved")
    assert not strict("pneumothorax", "worsened", "stable", "improved"), "gold has no class"


def test_letters_alone_punish_a_right_text() -> None:
    items = [item(n, ["drusen", "drusen", "glaucoma", "cataract"], "B", file="odir", images=(f"{n}.jpg",)) for n in range(2)]
    found = by_name(protocol.headline(items, dict.fromkeys((one.key for one in items), "A")))
    assert (found["text equality"].value, found["letter only"].value) == (1.0, 0.0)


def test_skill_is_above_the_strongest_of_three_baselines() -> None:
    items = [item(n, ["short", "much longer", "mid"], "B" if n < 6 else "C", images=(f"{n}.png",)) for n in range(10)]
    perfect = {one.key: one.letter for one in items}
    found = {one.name: one for one in protocol.skills(items, perfect)}
    assert (found["all items"].baseline, found["all items"].skill) == (0.6, 1.0)
    blind = perfect | {items[9].key: "A"}
    against = {one.name: one for one in protocol.skills(items, dict.fromkeys(perfect, "B"), blind)}["all items"]
    assert (against.against, against.baseline, against.skill) == ("blind", 0.9, pytest.approx(-3.0))
    assert protocol.skill(0.9, 0.8) == pytest.approx(0.5)
    assert math.isnan(protocol.skill(1.0, 1.0))


def test_the_mean_skill_needs_all_six() -> None:
    six = dict.fromkeys(figures.MEAN_SKILL, 0.1) | {"rad": 0.7}
    assert protocol.mean_skill(six) == pytest.approx(0.2)
    assert protocol.mean_skill({name: value for name, value in six.items() if name != "odir"}) is None
    assert protocol.mean_skill(six | {"odir": math.nan}) is None


# Uncertainty


def test_the_bootstrap_agrees_with_drawing_clusters_one_by_one() -> None:
    rng = np.random.default_rng(RNG)
    clusters = [f"c{number}" for number in rng.integers(0, 30, 200)]
    groups = [f"g{number}" for number in rng.integers(0, 3, 200)]
    values = rng.random(200)
    rows = {name: [n for n, cluster in enumerate(clusters) if cluster == name] for name in set(clusters)}

    def slow() -> float:
        picked = [n for name in rng.choice(sorted(rows), len(rows)) for n in rows[name]]
        means = [np.mean([values[n] for n in picked if groups[n] == group]) for group in sorted({groups[n] for n in picked})]
        return float(np.mean(means))

    expected = np.percentile([slow() for _ in range(1500)], (2.5, 97.5))
    assert uncertainty.bootstrap(values, clusters, groups) == pytest.approx(tuple(expected), abs=0.012)


def test_clusters_are_drawn_and_not_items() -> None:
    """Ten patients with 100 slices each know no more than ten patients."""
    values = np.repeat([0.0, 1.0] * 5, 100)
    apart = uncertainty.bootstrap(values, [str(n) for n in range(1000)])
    together = uncertainty.bootstrap(values, [str(n // 100) for n in range(1000)])
    assert apart[1] - apart[0] < 0.07
    assert together == (pytest.approx(0.2), pytest.approx(0.8))


def test_one_cluster_has_no_interval() -> None:
    assert all(math.isnan(end) for end in uncertainty.bootstrap([1.0, 0.0], ["a", "a"]))
    assert all(math.isnan(end) for end in uncertainty.bootstrap([], []))


def test_the_same_seed_gives_the_same_interval() -> None:
    values, clusters = np.arange(20.0), [str(n) for n in range(20)]
    assert uncertainty.bootstrap(values, clusters, seed=1) == uncertainty.bootstrap(values, clusters, seed=1)
    assert uncertainty.bootstrap(values, clusters, seed=1) != uncertainty.bootstrap(values, clusters, seed=2)


def test_a_paired_difference_is_sharper_than_two_intervals() -> None:
    rng = np.random.default_rng(RNG)
    base = (rng.random(300) < 0.5).astype(float)
    better = np.maximum(base, (rng.random(300) < 0.1).astype(float))
    clusters = [str(n) for n in range(300)]
    difference, low, high = uncertainty.paired(better, base, clusters)
    assert 0 < low < difference < high
    alone = uncertainty.bootstrap(better, clusters)
    assert high - low < (alone[1] - alone[0]) / 1.5


def test_the_gain_counts_items_that_both_answered() -> None:
    items = [item(n, ["one", "two"], "A", images=(f"{n}.png",)) for n in range(40)]
    real = {one.key: "A" for one in items}
    blind = {one.key: "A" if n % 2 else "B" for n, one in enumerate(items[:20])}
    gain = protocol.gain(items, real, blind)[0]
    assert (gain.value, gain.items, gain.units) == (0.5, 20, 20)
    assert 0.2 < gain.low < gain.high < 0.8
    assert by_name(protocol.gain(items, blind, blind))["all items"].low == 0.0


def test_two_thousand_draws_of_a_file_take_less_than_a_second() -> None:
    rng = np.random.default_rng(RNG)
    images = [(f"cohort_1/{n // 2}/a.png", "b.png") for n in range(1400)]
    items = [item(n, ["first", "second"], "A", "EMBED_multichoice_typeA", "coreference", images[n]) for n in range(1400)]
    said = {one.key: "AB"[rng.integers(2)] for one in items}
    started = time.process_time()
    assert protocol.headline(items, said)[0].units == 700
    assert time.process_time() - started < 1


# Open questions


def test_shared_words_are_counted() -> None:
    assert opened.token_f1("the left lung", "the left lung is clear") == pytest.approx(6 / 8)
    assert opened.token_f1("clear is lung left", "left lung is clear") == 1
    assert opened.rouge_l("clear is lung left", "left lung is clear") == pytest.approx(1 / 4)
    assert opened.rouge_l("a c d", "a b c d") == pytest.approx(6 / 7)
    assert opened.token_f1("", "x") == opened.rouge_l("x", "") == opened.token_f1("", "") == 0


@pytest.mark.parametrize(
    ("stem", "answer", "label"),
    [
        ("Are the diagnoses the same?", "Yes, both are drusen.", "same"),
        ("Are the diagnoses the same?", "No, they are not.", "different"),
        ("Are the diagnoses different?", "Yes, the first is normal.", "different"),
        ("Are the diagnoses different?", "no", "same"),
        ("Are the diagnoses the same or different?", "They are different; the first is normal.", "different"),
        ("Are the diagnoses the same or different?", "Yes, the diagnoses are different.", "different"),
        ("Are they different or similar?", "No, both are membranes.", "same"),
        ("Are the diagnoses the same or do they differ?", "No, the second is drusen.", "different"),
        ("Do they share one?", "The images have similar findings", "same"),
        ("Do they share one?", "Perhaps", ""),
    ],
)
def test_same_or_different_is_read_against_the_question(stem: str, answer: str, label: str) -> None:
    asked = replace(item(1, ["a", "b"], file="odir", stem=stem), letter=None)
    assert classes.asks_same(asked)
    assert classes.same_or_different(asked, answer) == label


def test_open_answers_are_scored_by_label_and_the_rest_by_words() -> None:
    stem = "What is the diagnostic result for the first image?"
    one, two, three = (replace(item(n, ["a"], file="odir", stem=stem, images=(f"{n}.jpg",)), letter=None, options=()) for n in range(3))
    one, two = (replace(some, answer="The diagnostic result for the first image is drusen.") for some in (one, two))
    three = replace(three, stem="How do they compare?", answer="The first is normal")
    found = by_name(opened.open_scores([one, two, three], {one.key: "The second image shows Drusen", two.key: "", three.key: "normal"}))
    assert (found["single diagnosis"].value, found["single diagnosis"].chance, found["single diagnosis"].kind) == (0.5, 1.0, "accuracy")
    assert found["token F1"].value == pytest.approx(2 / 5)
    assert (found["token F1"].kind, found["token F1"].items) == ("similarity", 1)
    assert opened.open_scores([one], {}) == []


# The published files


@functools.cache
def whole(folder: Path, name: str) -> tuple[Item, ...]:
    return load(next((folder / "med_mim").glob(f"Med_MIM_benchmark_*_{name}.json"))).items


def published(folder: Path, name: str, opened_too: bool = False) -> tuple[Item, ...]:
    return tuple(one for one in whole(folder, name) if one.closed or opened_too)


@functools.cache
def constants(folder: Path, name: str) -> dict[tuple[str, str], float]:
    return {(one.name, one.kind): one.value for one in protocol.baselines(published(folder, name), draws=1)}


def gold(name: str, one: Item) -> str:
    read = next(figure.read for figure in figures.figures(one.file) if figure.read and figure.name.startswith(name))
    return read(one, figures.gold_text(one))


@pytest.mark.data
@pytest.mark.parametrize(
    ("subset", "counts"),
    [
        ("Temporal", {"LUMIERE pair level": 631, "LUMIERE items": 631, "LUMIERE pair level, stable": 124, "EMBED forecast": 272,
                      "EMBED forecast, stable": 144, "all items": 903}),
        ("Comparison", {"MS-CXR-T strict": 71, "MS-CXR-T strict, items": 71, "MS-CXR-T other": 63, "pair-clean": 30, "patient-clean": 18,
                        "LUMIERE resection, pair level": 74, "all items": 208}),
        ("Reasoning", {"BI-RADS 7 classes": 454, "BI-RADS pooled": 454, "BI-RADS 4-way": 454, "all items": 454}),
        ("Coreference", {"EMBED which image, 2 images": 462, "EMBED which image, 3 images": 462, "EMBED CC view, 2 images": 68,
                         "EMBED CC view, 3 images": 67, "LUMIERE sequence, 2 images": 179, "LUMIERE sequence, 3 images": 165,
                         "mean of six cells": 1403, "all items": 1403}),
        ("ODIR", {"text equality": 300, "letter only": 300, "clean-190": 190, "single questions": 100, "pair questions": 200}),
        ("RAD", {"all items": 293, "length-adversarial": 85, "2 images": 83, "3 images": 210}),
    ],
)  # fmt: skip
def test_the_strata_have_their_counts(test_data: Path, subset: str, counts: dict[str, int]) -> None:
    assert Counter(name for one in published(test_data, subset) for name in protocol.strata(one)) == counts


@pytest.mark.data
@pytest.mark.parametrize(
    ("subset", "figure", "counts"),
    [
        ("Temporal", "LUMIERE", {"progressive": 507, "stable": 124}),
        ("Temporal", "EMBED", {"stable": 144, "worse": 128}),
        ("Comparison", "MS-CXR-T strict", {"stable": 31, "worsening": 27, "improving": 13}),
        ("Comparison", "LUMIERE", {"complete": 39, "partial": 35}),
        ("Reasoning", "BI-RADS 7", {"benign": 131, "negative": 111, "suspicious": 69, "additional evaluation": 67, "probably benign": 60,
                                    "known malignancy": 13, "highly suggestive": 3}),
    ],
)  # fmt: skip
def test_the_classes_have_their_counts(test_data: Path, subset: str, figure: str, counts: dict[str, int]) -> None:
    some = [one for one in published(test_data, subset) if any(name.startswith(figure) for name in protocol.strata(one))]
    assert Counter(gold(figure, one) for one in some) == counts


@pytest.mark.data
def test_lumiere_has_twenty_units_of_one_class_each(test_data: Path) -> None:
    units: dict[str, set[str]] = {}
    for one in published(test_data, "Temporal"):
        if "LUMIERE" in one.source:
            units.setdefault(one.cluster, set()).add(gold("LUMIERE", one))
    assert Counter(" ".join(found) for found in units.values()) == {"progressive": 16, "stable": 4}


@pytest.mark.data
def test_every_phrase_of_bi_rads_and_of_the_forecast_has_its_class(test_data: Path) -> None:
    for one in published(test_data, "Reasoning"):
        assert len({classes.first_match(text, classes.BIRADS) for _, text in one.options} - {""}) == 7
    for one in published(test_data, "Temporal"):
        if "EMBED" in one.source:
            found = Counter(classes.first_match(text, classes.FORECAST) for _, text in one.options)
            assert (found["stable"], found["worse"], found[""]) == (1, 1, 0)
    for one in published(test_data, "Coreference"):
        assert {classes.read_place(one, text) for _, text in one.options} == {str(n + 1) for n in range(len(one.images))}


@pytest.mark.data
@pytest.mark.parametrize(
    ("subset", "figure", "random", "majority", "rule"),
    [
        ("Temporal", "all items", 0.387, 0.400, 0.549),
        ("Temporal", "LUMIERE items", 0.434, 0.803, None),
        ("Temporal", "EMBED forecast", 0.279, 0.5, None),
        ("Comparison", "all items", 0.325, 0.327, 0.293),
        ("Comparison", "MS-CXR-T strict", None, 0.333, None),
        ("Comparison", "MS-CXR-T strict, items", None, 0.437, None),
        ("Reasoning", "all items", 0.143, 0.289, 0.123),
        ("Reasoning", "BI-RADS 7 classes", 0.143, 0.143, None),
        ("Coreference", "all items", 0.418, None, 0.418),
        ("ODIR", "letter only", 0.252, 0.250, None),
        ("ODIR", "text equality", 0.337, None, 0.750),
        ("ODIR", "clean-190", 0.250, None, None),
        ("RAD", "all items", 0.333, 0.440, 0.710),
        ("RAD", "length-adversarial", 0.333, None, 0.0),
    ],
)
def test_the_baselines_are_as_measured(
    test_data: Path, subset: str, figure: str, random: float | None, majority: float | None, rule: float | None
) -> None:
    found = constants(test_data, subset)
    for kind, value in (("random", random), ("majority", majority), ("text rule", rule)):
        if value is not None:
            assert found[figure, kind] == pytest.approx(value, abs=0.0006), kind


@pytest.mark.data
def test_the_best_constant_image_is_as_good_as_measured(test_data: Path) -> None:
    """The best constant of each cell; of "which image" always the second."""
    cells: dict[str, Counter[str]] = {}
    for one in published(test_data, "Coreference"):
        cells.setdefault(figures.cell(one), Counter())[gold("mean", one)] += 1
    for name, expected in (("EMBED CC view", 0.467), ("LUMIERE sequence", 0.445)):
        some = [counts for cell, counts in cells.items() if cell.startswith(name)]
        assert sum(max(counts.values()) for counts in some) / sum(counts.total() for counts in some) == pytest.approx(expected, abs=0.0006)
    which = [counts for cell, counts in cells.items() if cell.startswith("EMBED which image")]
    assert sum(counts["2"] for counts in which) / 924 == pytest.approx(0.440, abs=0.0006)


@pytest.mark.data
def test_the_right_answers_score_one_everywhere(test_data: Path) -> None:
    for subset in ("Temporal", "Comparison", "Reasoning", "Coreference", "ODIR", "RAD"):
        items = published(test_data, subset, True)
        perfect = {one.key: one.letter for one in items if one.closed}
        assert {measure.value for measure in protocol.headline(items, perfect, draws=10)} == {1.0}
        answers = {one.key: one.answer for one in items if not one.closed}
        assert {measure.value for measure in protocol.open_scores(items, answers, draws=10)} == {1.0}
        letters = {one.key: accept(one.answer, one.options) for one in items if one.closed}
        assert letters == perfect


@pytest.mark.data
def test_the_repeated_option_is_always_right_in_odir(test_data: Path) -> None:
    texts = [(one, [classes.norm(text) for _, text in one.options]) for one in published(test_data, "ODIR")]
    twice = [(one, found) for one, found in texts if len(set(found)) < len(found)]
    assert len(twice) == 102
    assert Counter(figures.single(one) for one, _ in twice) == {True: 41, False: 61}
    assert all(protocol.correct(one, classes.repeated(one)) for one, _ in twice)


@pytest.mark.data
def test_open_labels_have_their_counts(test_data: Path) -> None:
    items = [one for one in published(test_data, "ODIR", True) if not one.closed]
    labels = Counter(opened.label(one) for one in items)
    assert labels == {"single diagnosis": 100, "same or different": 171, "": 29}
    asked = [one for one in items if opened.label(one) == "same or different"]
    assert Counter(classes.same_or_different(one, one.answer) for one in asked) == {"different": 107, "same": 64}
    diagnoses = Counter(classes.diagnosis(one, one.answer) for one in items if opened.label(one) == "single diagnosis")
    assert (diagnoses["normalfundus"], len(diagnoses)) == (19, 33), "35 spellings, two of which differ by a hyphen alone"
    named = [classes.named_image(one, one.answer) for one in published(test_data, "Coreference", True) if not one.closed]
    assert Counter(named) == {"2": 37, "1": 20, "3": 3}
    read = Counter(classes.first_match(one.answer, classes.BIRADS) for one in published(test_data, "Reasoning", True) if not one.closed)
    assert (sum(read.values()), read[""]) == (30, 0)


@pytest.mark.data
def test_the_clean_questions_are_those_that_training_has_not_seen(test_data: Path) -> None:
    train = load(test_data / "med_mim" / "Med_MIM_train_inherent_Comparison.json").items
    pairs, patients = {one.images for one in train}, {one.patient for one in train}
    every = [one for one in published(test_data, "Comparison", True) if "MS_CXR_T" in one.source]
    closed = [one for one in every if one.closed]
    assert sum(one.images in pairs for one in every) == 210
    assert sum(one.patient in patients for one in every) == 234
    assert {one.key[:8] for one in closed if one.images not in pairs} == figures.PAIR_CLEAN
    assert {one.key[:8] for one in closed if one.patient not in patients} == figures.PATIENT_CLEAN
