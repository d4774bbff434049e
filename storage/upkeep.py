"""Is everything still there and as it was, and a copy of it elsewhere.

A backup is a folder: `interval.db` (one file, no log), `content/`, `salt` (without it the same patient would get
another pseudonym), what was learned (`storage.learned`) and `backup.json`, which lists the SHA-256 of each. It appears under its
name only when complete.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from errors import StoreError
from storage import audit, dialect, learned, upgrade
from storage.content import ContentStore, digest, flush
from storage.database import Database
from storage.schema import APPEND_ONLY, Base, ContentRow, now
from storage.views import CheckReport

FORMAT = 1
_READERS = 2
_LISTED = 20


def check(database: Database, content: ContentStore, salt_problem: str) -> CheckReport:
    """Look at everything; nothing is changed. Problems are sentences, most serious first."""
    problems: list[str] = []
    with database.read() as session:
        connection = session.connection()
        problems += [f"the database is damaged: {found}; restore the latest backup" for found in dialect.damage(connection, quick=False)]
        if broken := audit.broken(session):
            problems.append(broken)
        unguarded = (table for table in APPEND_ONLY if not dialect.guarded(connection, table))
        problems += [f"rows of {table} can be changed; the guards against that are gone" for table in unguarded]
        counts = {
            table.name: session.scalar(select(func.count()).select_from(table)) or 0
            for table in sorted(Base.metadata.tables.values(), key=str)
        }
        expected = set(session.scalars(select(ContentRow.sha256)))
    problems += [salt_problem] if salt_problem else []
    problems += _damaged(content, expected)
    kept = dict(content.hashes())
    spare = len(kept.keys() - expected)
    notes = (f"{spare} files in the content store belong to no study; they are harmless",) if spare else ()
    return CheckReport(upgrade.newest(), counts, len(kept), sum(kept.values()), tuple(problems), notes)


def backup(database: Database, content: ContentStore, salt: Path, target: Path, *, with_content: bool) -> Path:
    """Copy the store into the new folder `target` while it is in use; every file is verified as it is copied."""
    target = target.expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreError(f"{target} exists already; name a new folder for the backup")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as name:
            draft = Path(name) / "backup"
            draft.mkdir(mode=0o700)
            _fill(database, content, salt, draft, with_content)
            if target.is_dir():
                target.rmdir()
            draft.rename(target)
            flush(target.parent)
    except OSError as error:
        raise StoreError(
            f"the backup {target} could not be written: {(error.strerror or 'failed').lower()}; choose another place"
        ) from error
    return target


def _fill(database: Database, content: ContentStore, salt: Path, draft: Path, with_content: bool) -> None:
    """The database first: whatever it names is in the content store already, and nothing there ever changes."""
    copied = draft / "interval.db"
    with database.spoken():
        dialect.copy(database.engine, copied)
    files = {"interval.db": digest(copied)}
    if with_content:
        mirror = ContentStore(draft / "content")
        mirror.root.mkdir(mode=0o700)
        hashes = _hashes(copied)
        _mirror(content, mirror, hashes)
        files |= {f"content/{sha256[:2]}/{sha256}": sha256 for sha256 in hashes}
        if salt.exists():
            shutil.copyfile(salt, draft / "salt")
            (draft / "salt").chmod(0o600)
            files["salt"] = digest(salt)
        files |= learned.copy(salt.parent, draft)
    manifest = {"format": FORMAT, "schema": upgrade.newest(), "created": now().isoformat(), "content": with_content}
    manifest |= {"learned": with_content, "files": files}
    listed = draft / "backup.json"
    listed.write_text(json.dumps(manifest, indent=1))
    listed.chmod(0o600)
    for path in (listed, draft):
        flush(path)


def _hashes(copied: Path) -> list[str]:
    """Files the copied database refers to."""
    engine = dialect.connect(dialect.normalised(f"sqlite:///{copied}"), log=False)
    try:
        with Session(engine) as session:
            return list(session.scalars(select(ContentRow.sha256).order_by(ContentRow.sha256)))
    finally:
        engine.dispose()


def _mirror(content: ContentStore, mirror: ContentStore, hashes: Iterable[str]) -> None:
    """Copy content files, checking each on the way. Raises `StoreError` for the first that is not as it was."""

    def one(sha256: str) -> None:
        path = mirror.path(sha256)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            found = content.copy_out(sha256, path)
        except FileNotFoundError as error:
            raise StoreError(f"file {sha256[:12]} of the content store is missing; run `db check`, or back up the database only") from error
        if found != sha256:
            raise StoreError(f"file {sha256[:12]} of the content store is damaged; run `db check`, or back up the database only")

    with ThreadPoolExecutor(_READERS) as pool:
        list(pool.map(one, hashes))


def _damaged(content: ContentStore, expected: Iterable[str]) -> Iterator[str]:
    """A sentence for each kept file that is not there or not as it was; the rest are counted after twenty."""
    with ThreadPoolExecutor(_READERS) as pool:
        listed = sorted(expected)
        found = [(sha256, words) for sha256, words in zip(listed, pool.map(content.intact, listed), strict=True) if words]
    for sha256, words in found[:_LISTED]:
        yield f"file {sha256[:12]} of the content store {words}; import it again or restore it from a backup"
    if len(found) > _LISTED:
        yield f"{len(found) - _LISTED} further files of the content store are missing or damaged"
