"""Which prior is chosen and why, which rule hangs it, and what the timeline says."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from errors import StoreError
from storage.hanging import arrange, load
from storage.relevance import contrast, likeness
from storage.studies import timeline
from storage.views import PatientSummary, SeriesSummary, StudySummary

RULES = load(Path(__file__).resolve().parents[2] / "assets" / "hanging.yaml")
IMPORTED = datetime(2024, 6, 1)


def series(number: int, modality: str = "CT", frames: int = 60, **more: str) -> SeriesSummary:
    values = {"body_part": "CHEST", "plane": "axial" if modality == "CT" else "", **more}
    return SeriesSummary(number, f"s{number}", number, modality, frames=frames, **values)  # type: ignore[arg-type]


def study(number: int, day: str | None, *of: SeriesSummary) -> StudySummary:
    moment = datetime.fromisoformat(day) if day else None
    return StudySummary(number, f"u{number}", moment, "", tuple(one.modality for one in of), False, False, True, IMPORTED, of)


def patient(*studies: StudySummary) -> PatientSummary:
    ordered = sorted(studies, key=lambda one: (one.acquired is None, one.acquired or datetime.min, one.id))
    return PatientSummary(1, "P", studies=tuple(ordered))


def test_newest_hangs_with_the_newest_prior_of_its_kind_and_the_reason_says_so() -> None:
    found = arrange(
        patient(
            study(1, "2024-01-01", series(11)),
            study(2, "2024-02-01", series(21), series(22, plane="coronal")),
            study(3, "2024-02-20", series(31, "DX", 1, view="PA")),
            study(4, "2024-03-02", series(41, frames=2, description="localizer"), series(42)),
        ),
        RULES,
    )
    assert [(place.time, place.series.id) for place in found.places] == [("prior", 21), ("current", 42)]
    assert (found.rule, found.layout) == ("Slices, prior beside current", "1x2")
    assert found.reason == "Prior of 30 days earlier: same modality (CT), body part (CHEST) and plane (axial)."


@pytest.mark.parametrize(
    ("prior", "current", "chosen"),
    [
        ([series(1, body_part="HEAD")], series(9), None),
        ([series(1, "MR")], series(9), None),
        ([series(1, "DX", view="LAT"), series(2, "CR", view="AP")], series(9, "DX", view="PA"), 2),
        ([series(1, "MG", laterality="R"), series(2, "MG", laterality="L")], series(9, "MG", laterality="L"), 2),
        ([series(1, "MR", description="T2 AX"), series(2, "MR", description="T1 POST")], series(9, "MR", description="T1 C+"), 2),
        ([series(1, description="WITHOUT"), series(2, description="WITH CONTRAST")], series(9, description="W CONTRAST"), 2),
        ([series(1, frames=200), series(2, frames=61)], series(9, frames=60), 2),
        ([series(1, body_part="THORAX")], series(9, body_part="CHEST"), 1),
        ([series(1, body_part="CHESTABDPELVIS")], series(9), 1),
        ([series(1, body_part="")], series(9), 1),
    ],
)  # fmt: skip
def test_prior_is_of_the_same_kind_part_side_and_then_the_most_alike(
    prior: list[SeriesSummary], current: SeriesSummary, chosen: int | None
) -> None:
    found = arrange(patient(study(1, "2024-01-01", *prior), study(2, "2024-02-01", current)), RULES)
    assert (found.prior.series.id if found.prior else None) == chosen
    assert ("No earlier study is fit" in found.reason) == (chosen is None)


def test_likeness_outweighs_age_and_the_reader_may_name_another_current() -> None:
    whole = patient(
        study(1, "2024-01-01", series(1)), study(2, "2024-02-01", series(2, plane="sagittal")), study(3, "2024-03-01", series(3))
    )
    found = arrange(whole, RULES)
    assert found.prior is not None
    assert found.prior.study.id == 1
    assert "differs" not in found.reason
    earlier = arrange(whole, RULES, 2)
    assert [place.study.id for place in earlier.places] == [1, 2]
    assert earlier.reason.endswith("differs in plane.")


def breast(base: int) -> list[SeriesSummary]:
    wanted = [("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO")]
    return [series(base + n, "MG", 1, laterality=side, view=view, body_part="BREAST") for n, (side, view) in enumerate(wanted)]


def test_mammography_hangs_two_by_two() -> None:
    alone = arrange(patient(study(1, "2024-01-01", *breast(10))), RULES)
    assert (alone.layout, [place.series.id for place in alone.places]) == ("2x2", [10, 11, 12, 13])
    pair = arrange(patient(study(1, "2024-01-01", *breast(10)), study(2, "2025-01-01", *breast(20))), RULES)
    assert pair.layout == "2x2"
    assert [(place.time, place.series.id) for place in pair.places] == [("prior", 10), ("current", 20), ("prior", 12), ("current", 22)]


def test_single_radiograph_study_shows_its_views() -> None:
    found = arrange(patient(study(1, "2024-01-01", series(1, "DX", 1, view="PA"), series(2, "DX", 1, view="LAT"))), RULES)
    assert [place.series.view for place in found.places] == ["PA", "LAT"]
    assert found.reason == "There is no earlier study of this patient."


def test_patient_without_dates_keeps_the_declared_order() -> None:
    found = arrange(patient(study(1, None, series(1)), study(2, None, series(2))), RULES)
    assert [place.study.id for place in found.places] == [1, 2]


def test_undated_study_is_a_prior_only_when_no_dated_one_is() -> None:
    dated = arrange(patient(study(1, "2024-01-01", series(1)), study(2, "2024-02-01", series(2)), study(3, None, series(3))), RULES)
    assert [place.study.id for place in dated.places] == [1, 2]
    alone = arrange(patient(study(2, "2024-02-01", series(2)), study(3, None, series(3))), RULES)
    assert [place.study.id for place in alone.places] == [3, 2]


def test_contrast_is_read_from_the_words_of_a_description() -> None:
    said = ["T1 POST GD", "CHEST W CONTRAST", "CT ABDOMEN WITHOUT CONTRAST", "T1 PRE", "LUNG 1.0", "CE T1", "non-contrast head"]
    assert [contrast(words) for words in said] == ["with", "with", "without", "without", "", "with", "without"]
    assert "contrast" in likeness(series(1, description="T1 PRE"), series(2, description="T1 POST")).other


def test_true_days_and_ranks_on_the_timeline() -> None:
    points = timeline.points([datetime(2024, 1, 1), None, datetime(2024, 1, 15), datetime(2024, 3, 1, 12)])
    assert [point.days for point in points] == [60.5, None, 46.5, 0.0]
    assert [point.ordinal for point in points] == [1, None, 2, 3]
    assert [point.words for point in points] == ["60 days earlier", "", "46 days earlier", "current"]
    assert {point.of for point in points} == {3}


@pytest.mark.parametrize(
    "text", ["rules: []", "rules: [{name: x}]", "rules: [{name: x, layout: 3x3, slots: [{time: current}]}]", "a: [", "{}"]
)
def test_rules_that_are_wrong_are_named_with_their_place(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hanging.yaml"
    path.write_text(text)
    with pytest.raises(StoreError, match="the hanging rules"):
        load(path)
