"""Cases leave a store as one document and come into another as they were, where their images are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from errors import InputError, StoreError
from settings import load
from storage.feedback import Said
from storage.marks import KeyImage, Mark, Marks
from storage.store import Store
from storage.views import LOCAL, AskedMark, Clinical, PatientSummary, Slot, User
from tests.storage import values


@pytest.fixture
def case(store: Store, reader: User, pair: PatientSummary) -> int:
    """A case with two images, an answer that was judged, and a mark."""
    prior, current = (study.series[0].id for study in pair.studies)
    session = store.start_session(reader, "Case", [Slot(prior, 1, "prior"), Slot(current, 0, "current", "14 days later", "40,400,LINEAR")])
    version = store.add_version(asked(store, session, reader), values.record())
    store.add_feedback(version, reader, Said("disagree", "It is the same."))
    mark = Mark("m1", "length", current, 0, ((0.5, 0), (1, 1)), label="A")
    store.save_marks(session, reader, Marks(0, (mark,), key_images=(KeyImage(prior, 2),)))
    return session


def asked(store: Store, session: int, reader: User) -> int:
    """A question with a mark on its second image and an indication."""
    mark, told = AskedMark(1, "A", "box", ((0.5, 0), (2, 1))), Clinical(indication="cough")
    return store.add_turn(session, reader, "What changed?", "temporal", "temporal", (mark,), told)


def other_store(pair: PatientSummary, store: Store, reader: User, folder: Path) -> Store:
    """A store with the same files under other numbers."""
    other = Store(load(data_dir=folder))
    owner = other.user(LOCAL)
    unrelated = values.series((values.frame(next(values.files(folder / "first"))),), uid="2.25.99")
    values.put(other, owner, values.study(unrelated, uid="2.25.98", patient="P-0009"))
    values.put(other, owner, *(store.study(study.id, reader) for study in reversed(pair.studies)))
    return other


def test_case_comes_into_another_store_as_it_was(store: Store, reader: User, pair: PatientSummary, case: int, tmp_path: Path) -> None:
    assert store.export(tmp_path / "cases.json", store.user(LOCAL)) == 1
    written = (tmp_path / "cases.json").read_text()
    assert "not a medical device" in written
    assert reader.key not in written
    with other_store(pair, store, reader, tmp_path / "other") as other:
        owner = other.user(LOCAL)
        done = other.take_in(tmp_path / "cases.json", owner)
        (added,) = done.added
        before, after = store.session(case, reader), other.session(added, owner)
        place = {
            series.uid: series.id
            for patient in other.patients(owner)
            for study in patient.studies
            for series in study.series
        }  # fmt: skip
        moved = tuple(replace(slot, series_id=place[uid]) for slot, uid in zip(before.slots, ("2.25.10", "2.25.20"), strict=True))
        assert (after.title, after.created, after.slots) == (before.title, before.created, moved)
        assert [slot.series_id for slot in after.slots] != [slot.series_id for slot in before.slots]
        (asked,), (theirs,) = before.turns, after.turns
        assert (theirs.question, theirs.created, theirs.slots) == (asked.question, asked.created, moved)
        assert (theirs.marks, theirs.clinical) == (asked.marks, asked.clinical)
        said = asked.versions[0].feedback[0]
        assert [(one.verdict, one.comment, one.created) for one in theirs.versions[0].feedback] == [
            (said.verdict, said.comment, said.created)
        ]
        assert other.answer(theirs.versions[0].id, owner) == store.answer(asked.versions[0].id, reader)
        drawn = other.marks(added, owner)
        assert [(one.id, one.series_id, one.points) for one in drawn.marks] == [("m1", moved[1].series_id, ((0.5, 0.0), (1.0, 1.0)))]
        assert drawn.key_images == (KeyImage(moved[0].series_id, 2),)
        again = other.take_in(tmp_path / "cases.json", owner)
        assert (again.added, again.doubled, again.lost) == ((), 1, 0)
        assert other.check().problems == ()


def test_case_without_its_images_is_left_out_and_said(store: Store, case: int, tmp_path: Path) -> None:
    store.export(tmp_path / "cases.json", store.user(LOCAL))
    with Store(load(data_dir=tmp_path / "bare")) as bare:
        done = bare.take_in(tmp_path / "cases.json", bare.user(LOCAL))
        assert (done.added, done.doubled, done.lost) == ((), 0, 1)
        assert bare.sessions(bare.user(LOCAL)) == ()


def test_damaged_document_adds_nothing(store: Store, reader: User, pair: PatientSummary, case: int, tmp_path: Path) -> None:
    path = tmp_path / "cases.json"
    store.export(path, store.user(LOCAL))
    with pytest.raises(StoreError, match="exists already"):
        store.export(path, store.user(LOCAL))
    whole = json.loads(path.read_text())
    with other_store(pair, store, reader, tmp_path / "other") as other:
        owner = other.user(LOCAL)
        broken = json.loads(path.read_text())
        broken["cases"].append({**broken["cases"][0], "title": "Second", "turns": [{"question": "no more of it"}]})
        for content in (broken, {**whole, "format": 7}, [], {**whole, "series": 3}):
            path.write_text(json.dumps(content))
            with pytest.raises(InputError):
                other.take_in(path, owner)
        path.write_text("{")
        with pytest.raises(InputError, match="cannot be read as an export"):
            other.take_in(path, owner)
        assert other.sessions(owner) == ()
