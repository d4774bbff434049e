"""Writers that come at the same time share one transaction and one flush to the disk, each behind a savepoint of its own.

A flush takes longer than most of what is written, so whoever has written while others wait for their turn leaves the transaction
open for them; the last commits it for all. No block returns before its rows are on the disk, and one that raises takes back its
own rows alone. A writer that nobody waits behind commits at once, as if there were no others.

SQLite gives its lock to whoever happens to ask while it is free, and those who share transactions leave it free for an instant at a
time, so that another process could ask for seconds in vain. Who waits for the database therefore holds a door shut behind them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from storage import dialect

MOST = 64
LONGEST = 0.05
"""How many blocks, and how many seconds of them, one transaction takes at most: the first waits for the last."""
LOOK = 1.0
"""Seconds after which a block looks itself why its transaction is still open."""


class _Group:
    """One transaction of several writers; `error` says why it was lost."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.began = time.monotonic()
        self.members = 0
        self.ended = threading.Event()
        self.error: SQLAlchemyError | None = None

    @property
    def full(self) -> bool:
        """Whether nobody else may join."""
        return self.members >= MOST or time.monotonic() - self.began > LONGEST

    def end(self, error: SQLAlchemyError | None = None) -> None:
        """Commit, or give up for `error`; everybody in it goes on."""
        try:
            if error is None:
                self.connection.commit()
        except SQLAlchemyError as failed:
            error = failed
        finally:
            self.error = error
            with contextlib.suppress(SQLAlchemyError):
                self.connection.close()
            self.ended.set()


class Together:
    """The writers of one database. `engine` begins its transactions as a writer; `door` is a file that all processes share, None where
    the database itself lets writers in by turns."""

    def __init__(self, engine: Engine, door: Path | None = None) -> None:
        self._engine, self._door = engine, door
        self._turn = threading.Lock()
        self._count = threading.Lock()
        self._waiting = 0
        self._open: _Group | None = None

    @contextlib.contextmanager
    def alone(self) -> Iterator[Session]:
        """A transaction that nobody shares, for work that takes long."""
        with self._turn:
            self._end()
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                with self._next():
                    session.connection()
                yield session

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        """A block of writing, durable when it ends. Raises what the database says when the transaction is lost."""
        self._take_turn()
        try:
            group = self._joined()
            try:
                with (
                    Session(group.connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as session,
                    session.begin(),
                ):
                    yield session
            except BaseException as error:
                if not dialect.in_transaction(group.connection):  # SQLite gave up the whole, not only this block
                    self._end(_first(error))
                raise
            finally:
                if self._open is group and (not self._waiting or group.full):
                    self._end()
        finally:
            self._turn.release()
        while not group.ended.wait(LOOK):
            with self._turn:
                self._end()
        if group.error is not None:
            raise group.error

    def close(self) -> None:
        """Nothing is left open."""
        with self._turn:
            self._end()

    def _take_turn(self) -> None:
        with self._count:
            self._waiting += 1
        try:
            self._turn.acquire()
        finally:
            with self._count:
                self._waiting -= 1

    def _joined(self) -> _Group:
        """The transaction this block is part of, counted in."""
        if self._open is None:
            connection = self._engine.connect()
            try:
                with self._next():
                    connection.begin()
            except BaseException:
                connection.close()
                raise
            self._open = _Group(connection)
        self._open.members += 1
        return self._open

    @contextlib.contextmanager
    def _next(self) -> Iterator[None]:
        """Held by the one who waits to begin a transaction: whoever comes after waits behind the door, where a door can be made."""
        with contextlib.ExitStack() as held:
            if self._door is not None:
                with contextlib.suppress(OSError):
                    held.enter_context(dialect.alone(self._door))
            yield

    def _end(self, error: SQLAlchemyError | None = None) -> None:
        group, self._open = self._open, None
        if group is not None:
            group.end(error)


def _first(error: BaseException) -> SQLAlchemyError:
    """What the database said first: taking a savepoint back fails too when the transaction is gone, and says less."""
    found = SQLAlchemyError("the transaction was given up")
    cause: BaseException | None = error
    while cause is not None:
        found = cause if isinstance(cause, SQLAlchemyError) else found
        cause = cause.__context__
    return found
