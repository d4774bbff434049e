"""What is drawn on a case comes back as it was, and two tabs cannot overwrite each other unseen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from errors import InputError, StoreConflict, StoreError
from storage.marks import MOST_BYTES, Anchor, KeyImage, Links, Mark, Marks, Override, Pair, read
from storage.store import Store
from storage.views import PatientSummary, Slot, User


@pytest.fixture
def case(store: Store, reader: User, pair: PatientSummary) -> tuple[int, int, int]:
    """(session, prior series, current series)."""
    prior, current = (study.series[0].id for study in pair.studies)
    return store.start_session(reader, "Case", [Slot(prior), Slot(current)]), prior, current


def document(prior: int, current: int) -> Marks:
    """One of everything."""
    return Marks(
        marks=(
            Mark("m1", "length", prior, 2, ((1.5, 2.0), (3.25, 2.0)), values={"mm": 12.5, "unit": "mm"}),
            Mark("m2", "length", current, 1, ((1.0, 2.0), (3.0, 2.0)), text="target 1"),
            Mark("m3", "free", current, 0, ((0.0, 0.0), (1.0, 1.0), (0.5, 2.0)), label="A", values={"area": None}),
        ),
        pairs=(Pair("p1", "m1", "m2"),),
        key_images=(KeyImage(current, 1, "the nodule"),),
        links=Links(scroll=True, views=(True, False), anchors=(Anchor(prior, 2, current, 1),)),
        layout="1x2",
        mode="swipe",
        overrides=(Override("laterality", "compared on purpose", "2024-01-01T10:00:00Z"),),
    )


def test_everything_comes_back_as_it_was(store: Store, reader: User, case: tuple[int, int, int]) -> None:
    session, prior, current = case
    assert store.marks(session, reader) == Marks()
    given = document(prior, current)
    assert store.save_marks(session, reader, given) == 1
    assert store.marks(session, reader) == replace(given, version=1)
    assert store.check().problems == ()


def test_saving_over_a_version_another_tab_replaced_is_refused_and_changes_nothing(
    store: Store, reader: User, case: tuple[int, int, int]
) -> None:
    session, prior, current = case
    store.save_marks(session, reader, document(prior, current))
    store.save_marks(session, reader, replace(document(prior, current), version=1, layout="2x2"))
    with pytest.raises(StoreConflict, match="another tab") as conflict:
        store.save_marks(session, reader, Marks(version=1))
    assert conflict.value.version == 2
    assert store.marks(session, reader).layout == "2x2"


def test_marks_of_another_reader_do_not_exist(store: Store, reader: User, case: tuple[int, int, int]) -> None:
    other = store.user("another browser")
    for attempt in (lambda: store.marks(case[0], other), lambda: store.save_marks(case[0], other, Marks())):
        with pytest.raises(StoreError, match="was not found"):
            attempt()


def test_mark_on_a_series_one_may_not_see_is_refused(store: Store, reader: User, case: tuple[int, int, int]) -> None:
    for series, frame in ((case[1] + 1000, 0), (case[1], 3)):
        with pytest.raises(StoreError, match="series"):
            store.save_marks(case[0], reader, Marks(marks=(Mark("m", "probe", series, frame, ((0, 0),)),)))


def test_clinical_changes_are_audited_and_layout_is_not(store: Store, reader: User, case: tuple[int, int, int]) -> None:
    session, prior, current = case
    rows = store.check().counts["audit"]
    store.save_marks(session, reader, document(prior, current))
    store.save_marks(session, reader, replace(document(prior, current), version=1, layout="2x1"))
    assert store.check().counts["audit"] == rows + 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"unknown": 1}, "unknown"),
        ({"marks": [{"id": "a", "kind": "scribble", "series_id": 1, "frame": 0, "points": [[0, 0]]}]}, "marks.0.kind"),
        ({"marks": [{"id": "a", "kind": "length", "series_id": 1, "frame": 0, "points": [[0, 0]]}]}, "2 to 2 points, not 1"),
        ({"marks": [{"id": "a", "kind": "probe", "series_id": 1, "frame": 0, "points": [[0, float("nan")]]}]}, "not places"),
        ({"marks": [{"id": "a", "kind": "probe", "series_id": 1, "frame": -1, "points": [[0, 0]]}]}, "out of range"),
        ({"marks": [{"id": "a", "kind": "probe", "series_id": 1, "frame": 0, "points": [[0, 0]]}] * 2}, "same id"),
        ({"pairs": [{"id": "p", "prior": "a", "current": "b"}]}, "not there"),
        ({"key_images": [{"series_id": 1, "frame": 0, "note": "x" * 401}]}, "shorten it to 400"),
        ({"marks": "many"}, "marks"),
        ({"mode": "psychedelic"}, "mode"),
    ],
)
def test_document_that_is_not_one_is_refused_with_a_sentence(change: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read(change)


def test_document_that_is_too_large_is_refused(store: Store, reader: User, case: tuple[int, int, int]) -> None:
    shape = tuple((n + 0.123456789, n / 3) for n in range(2000))
    large = Marks(marks=tuple(Mark(f"m{n}", "free", case[1], 0, shape) for n in range(40)))
    with pytest.raises(InputError, match=f"over the limit of {MOST_BYTES >> 10:,} kB"):
        store.save_marks(case[0], reader, large)


def test_reason_is_kept_word_for_word_and_the_audit_holds_its_hash_only(store: Store, reader: User, case: tuple[int, int, int]) -> None:
    _, prior, current = case
    store.override(reader, [prior, current], ["laterality"], "  the marker was on the wrong side  ")
    (kept,) = store.overrides(reader)
    assert (kept.series, kept.codes, kept.reason) == ((prior, current), ("laterality",), "the marker was on the wrong side")
    assert store.overrides(store.user("another browser")) == ()
    with store._database.read() as session:
        rows = session.connection().exec_driver_sql("SELECT object_id FROM audit WHERE event = 'override'").scalars().all()
    assert len(rows) == 1
    assert rows[0].startswith(f"{kept.id}:")
    assert "marker" not in rows[0]
    with pytest.raises(StoreError, match="append-only"), store._database.write() as session:
        session.connection().exec_driver_sql("UPDATE overrides SET reason = 'none'")


@pytest.mark.parametrize("reason", ["", "    ", "ok", "x" * 401])
def test_reason_that_is_none_is_refused(store: Store, reader: User, case: tuple[int, int, int], reason: str) -> None:
    with pytest.raises(InputError, match="say why"):
        store.override(reader, [case[1]], ["patient"], reason)
    assert store.overrides(reader) == ()
