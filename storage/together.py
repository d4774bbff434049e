"""Writers that come at the same time share one transaction and one flush to the disk.

A flush takes longer than most of what is written, and so does handing a transaction from thread to thread. Whoever comes first
leads: they write what the others who wait want written, commit it for all, and the first who came meanwhile leads on. Nobody goes on
before their rows are on the disk. When one of them fails the whole is taken back, and each is written again by itself, so that it
takes back its own rows alone. A writer that nobody waits with commits at once, as if there were no others.

SQLite gives its lock to whoever happens to ask while it is free, and those who share transactions leave it free for an instant at a
time, so that another process could ask for seconds in vain. Who waits for the database therefore holds a door shut behind them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from storage import dialect

MOST = 64
LONGEST = 0.05
"""How many writers, and how many seconds of them, one transaction takes at most: the first waits for the last."""

_GIVEN_UP = SQLAlchemyError("the transaction was given up")

T = TypeVar("T")


class _Work(Generic[T]):
    """What one writer wants written, and what came of it. `gate` is shut until it is done, or until its own thread is to lead."""

    def __init__(self, make: Callable[[Session], T]) -> None:
        self.make = make
        self.done = False
        self.result: T | None = None
        self.error: Exception | None = None
        self.gate = threading.Lock()
        self.gate.acquire()

    def write(self, connection: Connection) -> None:
        """Do it in the transaction of `connection`; keeps its result, or its error."""
        self.error = None
        try:
            with Session(connection, expire_on_commit=False) as session, session.begin():
                self.result = self.make(session)
        except Exception as error:
            self.error = error


class Together:
    """The writers of one database. `engine` begins its transactions as a writer; `door` is a file that all processes share, None where
    the database itself lets writers in by turns."""

    def __init__(self, engine: Engine, door: Path | None = None) -> None:
        self._engine, self._door = engine, door
        self._turn = threading.Lock()
        self._queue = threading.Lock()
        self._waiting: deque[_Work[Any]] = deque()
        self._led = False

    @contextlib.contextmanager
    def alone(self) -> Iterator[Session]:
        """A transaction that nobody shares."""
        with self._turn, self._begun() as connection, Session(connection, expire_on_commit=False) as session, session.begin():
            yield session

    def write(self, make: Callable[[Session], T]) -> T:
        """What `make` returns, once what it wrote is on the disk; raises what it raises, or what the database says of the transaction.

        It may run in the thread of another writer, and twice: only what it does to the database counts.
        """
        work = _Work(make)
        with self._queue:
            self._waiting.append(work)
            leads, self._led = not self._led, True
        if not leads:
            work.gate.acquire()
        if not work.done:
            self._lead()
        if work.error is not None:
            raise work.error
        return cast(T, work.result)

    def _lead(self) -> None:
        """Write what waits, tell everybody whose work it was, and let the next one lead."""
        taken = [self._waiting.popleft()]
        try:
            with self._turn:
                self._write(taken, MOST)
        finally:
            with self._queue:
                heir = self._waiting[0] if self._waiting else None
                self._led = heir is not None
            if heir is not None:
                heir.gate.release()
            for work in taken:
                work.done = True
                work.gate.release()

    def _write(self, taken: list[_Work[Any]], most: int) -> None:
        """One transaction for these and up to `most` with those who come meanwhile; if one of them fails, one for each of them."""
        try:
            with self._begun() as connection:
                full = time.monotonic() + LONGEST
                for work in taken:
                    work.write(connection)
                    if work.error is not None:
                        connection.rollback()
                        break
                    if self._waiting and len(taken) < most and time.monotonic() < full:
                        taken.append(self._waiting.popleft())
        except BaseException as error:
            for work in taken:
                work.error = error if isinstance(error, Exception) else _GIVEN_UP
            if not isinstance(error, Exception):
                raise
            return
        if len(taken) > 1 and taken[-1].error is not None:
            for work in taken:
                work.error = _GIVEN_UP  # until it is written again: nobody takes for kept what was taken back
            for work in taken:
                self._write([work], 1)

    @contextlib.contextmanager
    def _begun(self) -> Iterator[Connection]:
        """A connection with its transaction begun, which is committed at the end and taken back by an error."""
        with self._engine.connect() as connection:
            with contextlib.ExitStack() as held:
                if self._door is not None:  # whoever comes after waits behind it until this one is in
                    with contextlib.suppress(OSError):
                        held.enter_context(dialect.alone(self._door))
                transaction = connection.begin()
            with transaction:
                yield connection
