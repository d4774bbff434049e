"""A report's words: every saving stays, goes out with its case, and goes when the case is erased."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import InputError, StoreError
from settings import load
from storage.reports import LONGEST, ReportText
from storage.store import Store
from storage.views import LOCAL, PatientSummary, Slot, User
from tests.storage import values


def case(store: Store, reader: User, pair: PatientSummary) -> int:
    return store.start_session(reader, "Case", [Slot(study.series[0].id) for study in pair.studies])


def test_newest_saving_counts_and_the_same_words_are_no_new_one(store: Store, reader: User, pair: PatientSummary) -> None:
    session = case(store, reader, pair)
    assert store.report(session, reader) is None
    first = store.save_report(session, reader, ReportText("Old.", "", ""))
    second = store.save_report(session, reader, ReportText(" New.\n", "With the prior.", ""))
    assert store.save_report(session, reader, ReportText("New.", "With the prior.", "")) == second > first
    found = store.report(session, reader)
    assert found is not None
    assert (found.findings, found.comparison, found.id) == ("New.", "With the prior.", second)
    assert store.check().counts["reports"] == 2


def test_what_is_too_long_or_of_another_reader_is_refused(store: Store, reader: User, pair: PatientSummary) -> None:
    session = case(store, reader, pair)
    with pytest.raises(InputError, match="20,001 characters"):
        store.save_report(session, reader, ReportText("x" * (LONGEST + 1), "", ""))
    other = store.user("somebody else")
    with pytest.raises(StoreError):
        store.save_report(session, other, ReportText("Mine.", "", ""))
    with pytest.raises(StoreError):
        store.report(session, other)


def test_report_goes_along_with_its_case_and_is_erased_with_it(store: Store, reader: User, pair: PatientSummary, tmp_path: Path) -> None:
    session = case(store, reader, pair)
    store.save_report(session, reader, ReportText("Old.", "", ""))
    store.save_report(session, reader, ReportText("Larger effusion.", "", "Worse."))
    store.export(tmp_path / "cases.json", store.user(LOCAL))
    with Store(load(data_dir=tmp_path / "other")) as other:
        owner = other.user(LOCAL)
        values.put(other, owner, *(store.study(study.id, reader) for study in pair.studies))
        (added,) = other.take_in(tmp_path / "cases.json", owner).added
        found = other.report(added, owner)
        assert found is not None
        assert (found.findings, found.impression) == ("Larger effusion.", "Worse.")
        assert other.check().counts["reports"] == 2
    store.delete_session(session, reader)
    assert store.check().counts["reports"] == 0
    assert b"Larger effusion" not in (store.settings.data_dir / "interval.db").read_bytes()
