"""A backup put back: every file is checked first, then files, then rows in one transaction, also under a running server.

What was there is copied to `backups/` before, so that a restore of the wrong backup can itself be restored. What was learned
(`storage.learned`) changes places as a whole, where the backup was taken with it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from errors import StoreError
from settings import Settings
from storage import audit, dialect, learned, upgrade
from storage.content import ContentStore, digest, flush
from storage.database import Database, private_folder
from storage.schema import ContentRow, SessionRow, StudyRow, UserRow, key_hash
from storage.upkeep import FORMAT
from storage.views import LOCAL, Restored

_READERS = 2


def restore(settings: Settings, folder: Path, *, replace: bool) -> Restored:
    """Put the backup in `folder` in the place of the store of `settings`.

    Raises `StoreError` when the backup is damaged, newer than this version or without files that are not here, and, unless
    `replace`, when the store holds studies or cases.
    """
    folder = folder.expanduser().absolute()
    manifest = _manifest(folder)
    _verify(folder, manifest)
    source = folder / "interval.db"
    database = Database(settings)
    try:
        if database.path is None:
            raise StoreError("the database is PostgreSQL, which this cannot restore; use pg_restore for it")
        with database.spoken(), dialect.alone(_private(settings.data_dir) / ".upgrade.lock"):
            kept = _put_aside(database, settings.data_dir, replace)
            content = ContentStore(settings.data_dir / "content")
            files = _bring(folder, manifest, content)
            _require_files(source, content)
            if manifest.get("learned"):
                learned.swap(folder, manifest["files"], settings.data_dir, kept.with_suffix("") if kept else _aside(settings.data_dir))
            dialect.overwrite(database.engine, source)
            _salt(folder, settings.data_dir, kept)
        before, after = upgrade.upgrade(database, settings.data_dir)
        with database.write() as session:
            owner = session.scalar(select(UserRow.id).where(UserRow.key_hash == key_hash(LOCAL))) or 0
            audit.append(session, owner, "restore", "store", manifest["files"]["interval.db"][:32])
        return Restored(str(folder), files, before, after, str(kept) if kept is not None else "")
    except OSError as error:
        raise StoreError(
            f"the backup {folder} could not be restored: {(error.strerror or 'failed').lower()}; free space and try again"
        ) from error
    finally:
        database.close()


def _manifest(folder: Path) -> dict[str, Any]:
    """What the backup says it holds."""
    try:
        found = json.loads((folder / "backup.json").read_text(encoding="utf-8"))
        files = found["files"]
        whole = found["format"] == FORMAT and "interval.db" in files and all(isinstance(value, str) for value in (*files, *files.values()))
    except FileNotFoundError as error:
        raise StoreError(f"{folder} is no backup: it has no backup.json; name the folder that `db backup` wrote") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the list in {folder / 'backup.json'} cannot be read; take another backup") from error
    if not whole:
        raise StoreError(f"the backup {folder} is of another format than this version knows; restore it with the version that wrote it")
    if found.get("schema") not in upgrade.known():
        raise StoreError(f"the backup {folder} was written by a newer Interval; install that version to restore it")
    return dict(found)


def _verify(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Every listed file is there with its bytes, before anything is touched. Raises `StoreError` for the first that is not."""

    def one(item: tuple[str, str]) -> str:
        name, sha256 = item
        path = folder / name
        expected = name in ("interval.db", "salt") or name == f"content/{sha256[:2]}/{sha256}" or learned.known(name)
        if not expected or not path.resolve().is_relative_to(folder.resolve()):
            return f"names {name[:80]!r}, which no backup has"
        try:
            return "" if digest(path) == sha256 else f"has other bytes in {name} than when it was written"
        except OSError:
            return f"lacks {name}"

    with ThreadPoolExecutor(_READERS) as pool:
        wrong = next((words for words in pool.map(one, manifest["files"].items()) if words), "")
    if wrong:
        raise StoreError(f"the backup {folder} {wrong}; nothing was restored, take another backup")
    if found := dialect.file_damage(folder / "interval.db"):
        raise StoreError(f"the database of the backup {folder} is damaged ({found}); nothing was restored, take another backup")


def _put_aside(database: Database, data: Path, replace: bool) -> Path | None:
    """A copy of the rows that are there now; None for a store without any."""
    assert database.path is not None
    if learned.present(data) and not replace:
        raise StoreError(f"{data} holds dataset versions, runs or adapters; add --replace, they are put into backups/ first")
    if not database.path.exists() or database.path.stat().st_size == 0:
        return None
    if not upgrade.current(database):
        return None
    with database.read() as session:
        holds = [session.scalar(select(row.id).limit(1)) is not None for row in (StudyRow, SessionRow)]
    if any(holds) and not replace:
        raise StoreError(f"the store {database.name} holds studies or cases already; add --replace, they are copied to backups/ first")
    kept = _aside(data).with_suffix(".db")
    private_folder(kept.parent)
    dialect.copy(database.engine, kept)
    return kept


def _aside(data: Path) -> Path:
    """Where what is there now goes, by the time of day."""
    return data / "backups" / f"before-restore-{datetime.now().astimezone().strftime('%Y%m%d-%H%M%S-%f')}"


def _bring(folder: Path, manifest: Mapping[str, Any], content: ContentStore) -> int:
    """Copy the backup's images in that are not here whole; how many."""
    private_folder(content.root)
    wanted = [sha256 for name, sha256 in manifest["files"].items() if name.startswith("content/")]
    missing = [sha256 for sha256 in wanted if content.intact(sha256)]
    backed = ContentStore(folder / "content")

    def one(sha256: str) -> None:
        content.bring(backed.path(sha256), sha256)

    with ThreadPoolExecutor(_READERS) as pool:
        list(pool.map(one, missing))
    return len(missing)


def _require_files(source: Path, content: ContentStore) -> None:
    """A backup of the database alone goes only where its images still are."""
    engine = dialect.connect(dialect.normalised(f"sqlite:///{source}"), log=False)
    try:
        with Session(engine) as session:
            lost = [sha256 for sha256 in session.scalars(select(ContentRow.sha256)) if not content.path(sha256).is_file()]
    finally:
        engine.dispose()
    if lost:
        raise StoreError(f"the backup holds the database only and {len(lost)} of its images are not here; restore a backup with images")


def _salt(folder: Path, data: Path, kept: Path | None) -> None:
    """The secret of the pseudonyms belongs to the rows; another store's is put beside the copy of its rows."""
    backed, here = folder / "salt", data / "salt"
    if not backed.exists():
        return
    if here.exists() and digest(here) != digest(backed):
        aside = (kept or _aside(data)).with_suffix(".salt")
        private_folder(aside.parent)
        shutil.copyfile(here, aside)
        aside.chmod(0o600)
    draft = data / ".salt-restored"
    shutil.copyfile(backed, draft)
    draft.chmod(0o600)
    flush(draft)
    draft.replace(here)
    flush(data)


def _private(folder: Path) -> Path:
    private_folder(folder)
    return folder
