"""`db check` finds what is wrong; `db backup` makes a whole copy while people work."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from errors import StoreError
from settings import load
from storage.content import digest
from storage.feedback import Said
from storage.store import Store
from storage.views import PatientSummary, User
from tests.storage import values


def _first(store: Store) -> Path:
    return sorted(path for path in (store.settings.data_dir / "content").rglob("*") if path.is_file())[0]


def _run(store: Store, *statements: str) -> None:
    with store._database.write() as session:
        for statement in statements:
            session.connection().exec_driver_sql(statement)


def test_a_sound_store_has_no_problems_and_is_counted(store: Store, reader: User, pair: PatientSummary) -> None:
    report = store.check()
    assert report.problems == ()
    assert report.ok
    assert report.notes == ()
    assert (report.files, report.counts["instances"], report.counts["studies"], report.counts["patients"]) == (5, 5, 2, 1)
    assert report.bytes == sum(len(path.read_bytes()) for path in (store.settings.data_dir / "content").rglob("*") if path.is_file())


FAULTS: dict[str, tuple[Callable[[Store], object], str]] = {
    "file gone": (lambda store: _first(store).unlink(), "is missing; import it again"),
    "file altered": (lambda store: _first(store).write_bytes(b"other"), "has other bytes"),
    "salt gone": (lambda store: (store.settings.data_dir / "salt").unlink(), "salt is missing"),
    "salt of another store": (lambda store: (store.settings.data_dir / "salt").write_bytes(b"x" * 32), "belongs to another store"),
    "audit row changed": (
        lambda store: _run(store, "DROP TRIGGER audit_no_update", "UPDATE audit SET object_id = '9' WHERE id = 2"),
        "audit row 2 was changed",
    ),
    "audit row removed": (
        lambda store: _run(store, "DROP TRIGGER audit_no_delete", "DELETE FROM audit WHERE id = 1"),
        "audit row 2 does not follow",
    ),
    "guard removed": (lambda store: _run(store, "DROP TRIGGER feedback_no_delete"), "rows of feedback can be changed"),
    "reference broken": (
        lambda store: _run(store, "COMMIT", "PRAGMA foreign_keys=OFF", "BEGIN", "DELETE FROM patients"),
        "refers to a missing row of patients",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_and_said(store: Store, pair: PatientSummary, name: str) -> None:
    break_it, sentence = FAULTS[name]
    break_it(store)
    report = store.check()
    assert not report.ok
    assert any(sentence in problem for problem in report.problems), report.problems


def test_a_file_nothing_refers_to_is_a_note_and_not_a_problem(store: Store, pair: PatientSummary) -> None:
    """A crash between keeping a file and writing its row leaves one; it does no harm."""
    first = _first(store)
    (first.parent / ("0" * 64)).write_bytes(b"")
    report = store.check()
    assert report.ok
    assert report.notes == ("1 files in the content store belong to no study; they are harmless",)


def test_a_backup_opens_as_a_store_with_everything_in_it(store: Store, reader: User, pair: PatientSummary, tmp_path: Path) -> None:
    session = store.start_session(reader, "Case", [])
    made = store.backup(tmp_path / "elsewhere" / "monday")
    store.start_session(reader, "After the backup", [])

    with Store(load(data_dir=made)) as copy:
        assert copy.patients(reader) == (pair,)
        assert [one.id for one in copy.sessions(reader)] == [session]
        assert copy.check().problems == ()
        frames = copy.study(pair.studies[0].id, reader).series[0].frames
        assert all(digest(frame.source.path) == frame.source.sha256 and frame.source.path.is_relative_to(made) for frame in frames)
    assert [oct(path.stat().st_mode & 0o077) for path in [made, *made.rglob("*")] if path.stat().st_mode & 0o077] == []


def test_the_list_in_a_backup_is_of_what_is_there(store: Store, pair: PatientSummary, tmp_path: Path) -> None:
    made = store.backup(tmp_path / "monday")
    listed = json.loads((made / "backup.json").read_text())
    found = {path.relative_to(made).as_posix(): digest(path) for path in made.rglob("*") if path.is_file() and path.name != "backup.json"}
    assert listed["files"] == found
    assert (listed["content"], listed["schema"]) == (True, store.check().schema)


def test_the_database_alone_can_be_backed_up_and_holds_no_salt(store: Store, pair: PatientSummary, tmp_path: Path) -> None:
    made = store.backup(tmp_path / "monday", content=False)
    assert sorted(path.name for path in made.iterdir()) == ["backup.json", "interval.db"]
    salt = (store.settings.data_dir / "salt").read_bytes()
    assert salt not in (made / "interval.db").read_bytes()


def test_people_go_on_working_during_a_backup(store: Store, reader: User, pair: PatientSummary, tmp_path: Path) -> None:
    stop, written = threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            written.append(store.start_session(reader, "Case", []))

    worker = threading.Thread(target=work)
    worker.start()
    copies = [store.backup(tmp_path / str(number)) for number in range(5)]
    stop.set()
    worker.join()
    sizes = []
    for made in copies:
        with Store(load(data_dir=made)) as copy:
            assert copy.check().problems == ()
            sizes.append(len(copy.sessions(reader, limit=100_000)))
    assert sizes == sorted(sizes)
    assert len(written) >= sizes[-1] > 0


def test_a_backup_never_overwrites_and_never_hides_damage(store: Store, pair: PatientSummary, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other.txt").write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        store.backup(tmp_path / "full")
    _first(store).write_bytes(b"rot")
    with pytest.raises(StoreError, match="damaged; run `db check`"):
        store.backup(tmp_path / "monday")
    assert sorted(path.name for path in tmp_path.iterdir() if "monday" in path.name) == []


def test_audit_takes_identifiers_and_nothing_that_could_be_a_name(store: Store, reader: User) -> None:
    store.audit(reader, "view", "study", 12)
    store.audit(reader, "export", "session", "1.2.840.1", "serious")
    for action, kind, identifier in (
        ("view", "study", "Doe John"),
        ("view", "patient name", 1),
        ("Looked at it", "study", 1),
        ("view", "study", ""),
    ):
        with pytest.raises(StoreError, match="identifiers only"):
            store.audit(reader, action, kind, identifier)
    with store._database.read() as session:
        rows = (
            session.connection()
            .exec_driver_sql("SELECT event, action, code, outcome, object_kind, object_id, user_id FROM audit")
            .fetchall()
        )
    assert [tuple(row) for row in rows] == [
        ("view", "R", "110103", 0, "study", "12", reader.id),
        ("export", "R", "110106", 8, "session", "1.2.840.1", reader.id),
    ]


def test_every_deed_of_a_reader_is_audited(store: Store, reader: User, pair: PatientSummary) -> None:
    version = store.add_version(
        store.add_turn(store.start_session(reader, "Case", []), reader, "Q?", "temporal", "temporal"), values.record()
    )
    store.add_feedback(version, reader, Said("agree"))
    with store._database.read() as session:
        events = session.connection().exec_driver_sql("SELECT event, object_kind FROM audit ORDER BY id").fetchall()
    assert [tuple(row) for row in events] == [
        ("import", "study"),
        ("import", "study"),
        ("start", "session"),
        ("ask", "turn"),
        ("feedback", "answer"),
    ]
