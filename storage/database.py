"""One database, two drivers: transactions that either happened or did not, and failures said in a sentence.

with database.write() as session:      # one writer at a time, committed and on the disk at the end
    session.add(row)
database.together(lambda session: session.add(row))    # the same, in one transaction with others who write now (`storage.together`)
with database.read() as session:       # a snapshot; writers do not wait for it
    session.execute(...)
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from errors import StoreError
from settings import Settings
from storage import dialect
from storage.together import Together

T = TypeVar("T")

_CAUSES = (
    ("locked", "has been held by another process for over 5 seconds; try again, and end other long imports or backups"),
    ("busy", "has been held by another process for over 5 seconds; try again, and end other long imports or backups"),
    ("disk is full", "could not be written because the disk is full; free space and try again, nothing was lost"),
    ("readonly", "cannot be written; give this user write permission on the file and its folder"),
    ("unable to open", "cannot be opened; check that the folder exists and that this user may write in it"),
    ("malformed", "is damaged; stop the program and restore the latest backup"),
    ("not a database", "is not a SQLite database or is damaged; restore the latest backup"),
    ("disk I/O error", "cannot be read or written, the disk reports an error; check the disk, then restore the latest backup"),
    ("append-only", "refused to change a row of feedback, audit or overrides, which are append-only; add a new row instead"),
    ("connection", "cannot be reached; check that its server runs and that INTERVAL_DATABASE_URL is right"),
)


class Database:
    """An open database. Threads share it; one writes at a time."""

    def __init__(self, settings: Settings) -> None:
        self.url: URL = dialect.normalised(settings.database)
        self.path: Path | None = dialect.sqlite_path(self.url)
        with self.spoken():
            if self.path is not None:
                private_folder(self.path.parent)
            self.engine = dialect.connect(self.url)
        door = self.path and self.path.with_name(f".{self.path.name}.door")
        self._writers = Together(self.engine.execution_options(**{dialect.WRITES: True}), door)

    @property
    def name(self) -> str:
        """What to call the database in a sentence; never shows a password."""
        return str(self.path) if self.path is not None else self.url.render_as_string(hide_password=True)

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads, all of it from one moment."""
        with self.spoken(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose changes are durable when the block ends, and gone when it raises. Threads wait here for their turn, processes
        for each other in the database."""
        with self.spoken(), self._writers.alone() as session:
            yield session

    def together(self, make: Callable[[Session], T]) -> T:
        """What `make` returns, once what it wrote is durable; what it wrote is gone when it raises.

        Those who write at the same time are flushed together. `make` may run in another thread and twice: for short work alone.
        """
        with self.spoken():
            return self._writers.write(make)

    @contextlib.contextmanager
    def spoken(self) -> Iterator[None]:
        """Turn every failure of the database into a `StoreError` of one sentence."""
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            raise StoreError(f"the database {self.name} {cause(error)}") from error

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()


def cause(error: Exception) -> str:
    """The end of a sentence that says what went wrong and what to do, without SQL and without values."""
    if isinstance(error, PoolTimeout):
        return "has too many readers at once; try again"
    if isinstance(error, IntegrityError) and "append-only" not in str(error.orig):
        return "refused rows that contradict others; nothing was changed, run `db check`"
    if isinstance(error, OSError):
        return f"cannot be opened or written ({(error.strerror or type(error).__name__).lower()}); check the data directory and try again"
    text = str(error.orig if isinstance(error, DBAPIError) else error)
    for sign, words in _CAUSES:
        if sign in text:
            return words
    return f"failed ({type(error).__name__}); run `db check`"


def private_folder(path: Path) -> None:
    """Make the folder (and those above it) when missing, for this user's eyes only. Raises `OSError`."""
    if path.is_dir():
        return
    if path.exists() and not path.is_dir():  # asked again: another process may have made it since
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    private_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
