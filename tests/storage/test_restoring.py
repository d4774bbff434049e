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


def _spoil_adapter(folder: Path) -> None:
    place = folder / "adapters/history.jsonl"
    place.parent.mkdir()
    place.write_bytes(b"")
    _spoil_list(folder, files=json.loads((folder / "backup.json").read_text())["files"] | {"adapters/history.jsonl": "0"})


FAULTS = {
    "an image with other bytes": (_spoil_image, "has other bytes in content/"),
    "an adapter with other bytes": (_spoil_adapter, "has other bytes in adapters/history.jsonl"),
    "a way out by an adapter's name": (
        lambda folder: _spoil_list(folder, files={"interval.db": digest(folder / "interval.db"), "adapters/../x": "0"}),
        "which no backup has",
    ),
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


LEARNED = {
    "versions/v1/manifest.json": b"{}",
    "versions/images/ab.png": b"film",
    "runs/mine/sft.pt": b"checkpoint",
    "adapters/mine-1/adapter.gguf": b"numbers",
    "adapters/history.jsonl": b'{"adapter": "mine-1"}\n',
}
NOT_KEPT = ("runs/mine/lock", "runs/mine/features/ab/c.safetensors", "runs/mine/sft.pt.part", "versions/.v2.part/train.jsonl")


def learn(data: Path) -> None:
    for name, content in (*LEARNED.items(), *((name, b"passing") for name in NOT_KEPT)):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(content)
    (data / "versions/v1/manifest.json").chmod(0o444)


def learned_in(data: Path) -> dict[str, bytes]:
    folders = (data / name for name in ("versions", "runs", "adapters"))
    return {path.relative_to(data).as_posix(): path.read_bytes() for one in folders for path in one.rglob("*") if path.is_file()}


def test_what_was_learned_comes_back_and_what_came_after_is_kept(store: Store, settings: Settings, tmp_path: Path) -> None:
    """A backup without versions, runs and adapters brought back a store that nobody could say where its answers came from."""
    learn(settings.data_dir)
    made = store.backup(tmp_path / "monday")
    assert learned_in(made) == LEARNED
    elsewhere = load(data_dir=tmp_path / "elsewhere")
    restore(elsewhere, made)
    assert learned_in(elsewhere.data_dir) == LEARNED
    assert not (elsewhere.data_dir / "versions/v1/manifest.json").stat().st_mode & 0o222, "what was read-only stays so"

    history = settings.data_dir / "adapters/history.jsonl"
    history.write_bytes(b"promoted since")
    with pytest.raises(StoreError, match="holds dataset versions, runs or adapters; add --replace"):
        restore(settings, made)
    assert history.read_bytes() == b"promoted since"
    kept = Path(restore(settings, made, replace=True).kept)
    assert history.read_bytes() == LEARNED["adapters/history.jsonl"]
    assert (kept.with_suffix("") / "adapters/history.jsonl").read_bytes() == b"promoted since"


def test_backup_taken_without_what_was_learned_leaves_it_alone(store: Store, settings: Settings, tmp_path: Path) -> None:
    learn(settings.data_dir)
    bare = store.backup(tmp_path / "bare", content=False)
    assert not learned_in(bare)
    restore(settings, bare, replace=True)
    assert LEARNED.items() <= learned_in(settings.data_dir).items()


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
