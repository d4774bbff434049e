"""A backup put back has every row and every image as it was; a bad one touches nothing."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from errors import StoreError
from settings import Settings, load
from storage.content import digest
from storage.feedback import Said
from storage.store import Store, restore
from storage.views import PatientSummary, User
from tests.storage import values


def rows(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table of a store's database."""
    connection = sqlite3.connect(folder / "interval.db")
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
    found = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}
    connection.close()
    return found


@pytest.fixture
def monday(store: Store, reader: User, pair: PatientSummary, tmp_path: Path) -> Path:
    """A backup of a store with a case that was answered and judged."""
    session = store.start_session(reader, "Case", [])
    version = store.add_version(store.add_turn(session, reader, "Q?", "temporal", "temporal"), values.record())
    store.add_feedback(version, reader, Said("agree"))
    return store.backup(tmp_path / "monday")


def test_restored_rows_and_images_are_the_backups_own(monday: Path, reader: User, pair: PatientSummary, tmp_path: Path) -> None:
    elsewhere = load(data_dir=tmp_path / "elsewhere")
    done = restore(elsewhere, monday)
    assert (done.files, done.kept, done.before) == (5, "", done.after)
    expected, found = rows(monday), rows(elsewhere.data_dir)
    (added,) = found.pop("audit")[len(expected["audit"]) :]
    expected.pop("audit")
    assert found == expected
    assert "restore" in added
    with Store(elsewhere) as store:
        assert store.check().problems == ()
        assert store.patients(reader) == (pair,)
        assert digest(elsewhere.data_dir / "salt") == digest(monday / "salt")
    loose = [path for path in elsewhere.data_dir.rglob("*") if path.stat().st_mode & 0o077 and path.name != ".upgrade.lock"]
    assert loose == []


def test_store_with_cases_is_replaced_only_on_request_and_kept(store: Store, reader: User, monday: Path, settings: Settings) -> None:
    store.start_session(reader, "After the backup", [])
    with pytest.raises(StoreError, match="add --replace"):
        restore(settings, monday)
    done = restore(settings, monday, replace=True)
    assert [one.title for one in store.sessions(reader)] == ["Case"], "the open store sees the restored rows"
    assert store.check().problems == ()
    connection = sqlite3.connect(done.kept)
    assert connection.execute("SELECT title FROM sessions ORDER BY id").fetchall() == [("Case",), ("After the backup",)]
    connection.close()
    store.start_session(reader, "Goes on", [])


def test_image_that_was_damaged_since_comes_back_whole(store: Store, monday: Path, settings: Settings) -> None:
    first = sorted(path for path in (settings.data_dir / "content").rglob("*") if path.is_file())[0]
    first.write_bytes(b"rot")
    assert restore(settings, monday, replace=True).files == 1
    assert store.check().problems == ()


def _spoil_image(folder: Path) -> None:
    sorted(path for path in (folder / "content").rglob("*") if path.is_file())[0].write_bytes(b"rot")


def _spoil_list(folder: Path, **changes: object) -> None:
    path = folder / "backup.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


FAULTS = {
    "an image with other bytes": (_spoil_image, "has other bytes in content/"),
    "the database cut off": (lambda folder: (folder / "interval.db").write_bytes(b"SQLite"), "has other bytes in interval.db"),
    "a missing file": (lambda folder: (folder / "salt").unlink(), "lacks salt"),
    "a newer schema": (lambda folder: _spoil_list(folder, schema="2031"), "written by a newer Interval"),
    "another format": (lambda folder: _spoil_list(folder, format=9), "of another format"),
    "no list": (lambda folder: (folder / "backup.json").unlink(), "is no backup"),
    "a way out": (lambda folder: _spoil_list(folder, files={"interval.db": "0", "../../x": "0"}), "which no backup has|other bytes"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_bad_backup_changes_nothing(store: Store, reader: User, monday: Path, settings: Settings, name: str) -> None:
    store.start_session(reader, "After the backup", [])
    spoil, sentence = FAULTS[name]
    spoil(monday)
    with pytest.raises(StoreError, match=sentence):
        restore(settings, monday, replace=True)
    assert [one.title for one in store.sessions(reader)] == ["After the backup", "Case"]
    assert store.check().problems == ()


def test_rows_without_their_images_are_refused(store: Store, pair: PatientSummary, settings: Settings, tmp_path: Path) -> None:
    bare = store.backup(tmp_path / "bare", content=False)
    restore(settings, bare, replace=True)
    with pytest.raises(StoreError, match="5 of its images are not here"):
        restore(load(data_dir=tmp_path / "elsewhere"), bare)


def test_older_backup_is_brought_up(store: Store, monday: Path, reader: User, tmp_path: Path) -> None:
    """As a backup of the version before: its schema is one step back."""
    from alembic import command

    from storage import dialect, upgrade

    older = tmp_path / "older"
    shutil.copytree(monday, older)
    engine = dialect.connect(dialect.normalised(f"sqlite:///{older / 'interval.db'}"), foreign_keys=False, log=False)
    with engine.begin() as connection:
        command.downgrade(upgrade.configuration(connection), "0002")
    engine.dispose()
    listed = json.loads((older / "backup.json").read_text())["files"] | {"interval.db": digest(older / "interval.db")}
    _spoil_list(older, files=listed, schema="0002")
    target = load(data_dir=tmp_path / "elsewhere")
    done = restore(target, older)
    assert (done.before, done.after) == ("0002", upgrade.newest())
    with Store(target) as restored:
        assert [one.title for one in restored.sessions(reader)] == ["Case"]
