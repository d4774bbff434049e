"""Erased is erased: no row, no file, no page of the database holds it; nothing of anybody else's is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from errors import StoreError
from storage.feedback import Said
from storage.marks import Anchor, KeyImage, Links, Mark, Marks, Pair
from storage.store import Store
from storage.studies.model import Source
from storage.views import LOCAL, PatientSummary, Slot, User
from tests.storage import values


def held(store: Store) -> set[str]:
    """Names of the files in the content store."""
    return {path.name for path in (store.settings.data_dir / "content").rglob("*") if path.is_file()}


def test_study_goes_with_its_files_and_its_place_in_cases(store: Store, reader: User, pair: PatientSummary) -> None:
    prior, current = pair.studies
    first, second = prior.series[0].id, current.series[0].id
    session = store.start_session(reader, "Case", [Slot(first, 0, "prior"), Slot(second, 0, "current")])
    drawn = (
        Mark("m1", "length", first, 0, ((0, 0), (1, 1))),
        Mark("m2", "length", second, 0, ((0, 0), (1, 1))),
    )
    links = Links(anchors=(Anchor(first, 0, second, 0),))
    given = Marks(0, drawn, (Pair("p", "m1", "m2"),), (KeyImage(first, 0), KeyImage(second, 1)), links)
    store.save_marks(session, reader, given)
    mine = {frame.source.sha256 for frame in store.study(prior.id, reader).series[0].frames}

    done = store.delete_study(prior.id, reader)

    assert (done.files, done.removed, done.cases) == (3, 3, (session,))
    assert not mine & held(store)
    assert [one.id for one in store.patient(pair.id, reader).studies] == [current.id]
    left = store.marks(session, reader)
    assert ([mark.id for mark in left.marks], left.pairs, left.links.anchors) == (["m2"], (), ())
    assert left.key_images == (KeyImage(second, 1),)
    assert store.save_marks(session, reader, left) == left.version + 1
    assert [slot.series_id for slot in store.session(session, reader).slots] == [second]
    with pytest.raises(StoreError):
        store.study(prior.id, reader)
    assert store.check().problems == ()


def test_number_is_never_given_again(store: Store, reader: User, pair: PatientSummary, sources: Iterator[Source]) -> None:
    """A new study under an erased one's number would inherit its reasons for mixing and its place in old questions."""
    before = max(study.id for study in pair.studies), max(study.series[0].id for study in pair.studies)
    for study in pair.studies:
        store.delete_study(study.id, reader)
    assert store.patients(reader) == ()
    values.put(store, reader, values.study(values.series((values.frame(next(sources)),))))
    ((new,),) = (patient.studies for patient in store.patients(reader))
    assert new.id > before[0]
    assert new.series[0].id > before[1]


def test_file_that_anothers_study_holds_stays(store: Store, reader: User, sources: Iterator[Source]) -> None:
    source = next(sources)
    study = values.study(values.series((values.frame(source),)))
    other = store.user("another browser")
    values.put(store, reader, study)
    values.put(store, other, study)
    ((mine,),) = (patient.studies for patient in store.patients(reader))
    ((theirs,),) = (patient.studies for patient in store.patients(other))
    with pytest.raises(StoreError, match="was not found among yours"):
        store.delete_study(theirs.id, reader)
    assert store.delete_study(mine.id, reader).removed == 0
    assert source.sha256 in held(store)
    assert store.delete_study(theirs.id, store.user(LOCAL)).removed == 1
    assert held(store) == set()
    assert store.check().problems == ()


def test_case_goes_with_its_words_and_the_guard_stays(store: Store, reader: User, pair: PatientSummary) -> None:
    kept = store.start_session(reader, "Kept", [])
    session = store.start_session(reader, "Unmistakable title", [Slot(pair.studies[0].series[0].id)])
    version = store.add_version(store.add_turn(session, reader, "Unmistakable question", "temporal", "temporal"), values.record())
    store.add_feedback(version, reader, Said("disagree", "Unmistakable comment"))
    other = store.add_version(store.add_turn(kept, reader, "Q?", "temporal", "temporal"), values.record())
    store.add_feedback(other, reader, Said("agree"))
    with pytest.raises(StoreError, match="was not found among yours"):
        store.delete_session(session, store.user("another browser"))

    store.delete_session(session, reader)

    assert [one.id for one in store.sessions(reader)] == [kept]
    assert len(store.session(kept, reader).turns[0].versions[0].feedback) == 1
    with pytest.raises(StoreError, match="append-only"), store._database.write() as writing:
        writing.connection().exec_driver_sql("DELETE FROM feedback")
    assert store.check().problems == ()
    store.close()
    left = b"".join(path.read_bytes() for path in sorted(Path(store.settings.data_dir).glob("interval.db*")))
    assert b"Unmistakable" not in left, "the words are gone from the pages and from the log"
