"""What blocks a comparison and what is only said."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from storage.studies import Series, Study
from storage.studies.mixing import notices
from storage.studies.relations import Item

DAY = datetime(2020, 3, 1, 9, 30)


def item(days: float | None = 0, patient: str = "P-1", **series: object) -> Item:
    acquired = None if days is None else DAY + timedelta(days=days)
    values = {"uid": f"s{days}{series}", "modality": "CT", "body_part": "CHEST", **series}
    return Study(f"u{days}{patient}", patient, acquired=acquired), Series(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (item(0), item(14), []),
        (item(0), item(14, "P-2"), ["patient!"]),
        (item(0), item(14, ""), ["patient-unknown"]),
        (item(0, laterality="L"), item(14, laterality="R"), ["laterality!"]),
        (item(0, laterality="L"), item(14, laterality=""), []),
        (item(0, body_part="ABDOMEN"), item(14), ["body-part!"]),
        (item(0, body_part="THORAX"), item(14), []),
        (item(0, body_part="CHESTABDPELVIS"), item(14), []),
        (item(0, modality="MR"), item(14), ["modality!"]),
        (item(0, modality="CR"), item(14, modality="DX"), []),
        (item(0, modality="MG"), item(14, modality="DX"), ["modality!"]),
        (item(0, modality="OT"), item(14), []),
        (item(0, view="PA"), item(14, view="LAT"), ["view"]),
        (item(0, plane="axial"), item(14, plane="coronal"), ["plane"]),
        (item(None), item(14), ["date-missing"]),
        (item(0), item(0.2), ["date-equal"]),
        (item(14), item(0), ["date-inverted"]),
        (item(0), item(40000), ["date-future"]),
        (item(0), item(0), ["same-series"]),
        (item(14, "P-2", modality="MR", body_part="HEAD"), item(0), ["patient!", "modality!", "body-part!", "date-inverted"]),
    ],
)
def test_notices_by_code(first: Item, second: Item, expected: list[str]) -> None:
    found = notices([first, second])
    assert [f"{one.code}{'!' if one.blocking else ''}" for one in found] == expected
    assert all(one.text.endswith(".") for one in found)


def test_left_and_right_of_one_visit_are_meant() -> None:
    left, right = item(0, laterality="L", modality="MG"), item(0, laterality="R", modality="MG")
    assert notices([left, right]) == ()


def test_one_image_has_nothing_to_be_mixed_with() -> None:
    assert notices([item()]) == ()
