"""Feedback and review: how much the queue's page costs over its own SQL, and a durable statement over the disk's own flush."""

from __future__ import annotations

import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, insert

from settings import load
from storage import feedback, review
from storage.feedback import Said
from storage.review_views import Filters
from storage.schema import (
    FeedbackRow,
    ReviewCodeRow,
    ReviewItemRow,
    SessionRow,
    TurnRow,
    UserRow,
    VersionRow,
    key_hash,
    now,
)
from storage.store import Store
from storage.views import LOCAL, AnswerRecord
from tests.bench.figures import Figure

ITEMS = 10_000
PAGES = 300
THREADS, STATEMENTS, FLUSHES, ROUNDS = 8, 25, 100, 7
ABILITIES = ("temporal", "comparison", "reasoning", "coreference")


def queue_page() -> list[Figure]:
    """A page of a queue of 10,000, p99 over p99 of the same statements asked of SQLite by hand."""
    with tempfile.TemporaryDirectory() as name, Store(load(data_dir=Path(name) / "data")) as store:
        fill(store, ITEMS)
        admin = store.user(LOCAL)
        filters = Filters(state="pending")
        statements = captured(store, lambda: store.queue(admin, filters))
        path = store._database.path
        assert path is not None
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:

            def by_hand() -> None:
                connection.execute("BEGIN")
                for sql, values in statements:
                    connection.execute(sql, values).fetchall()
                connection.execute("COMMIT")

            ours, bare = interleaved((lambda: store.queue(admin, filters), by_hand), PAGES)
    how = (
        f"a page of {review.PAGE} of {ITEMS:,} cases in smart order with counts by state, p99 of {PAGES}: {1000 * p99(ours):.1f} ms; "
        f"its {len(statements)} statements asked of SQLite by hand {1000 * p99(bare):.1f} ms"
    )
    return [Figure("queue page over its SQL", p99(ours) / p99(bare), "x", 1.5, how)]


def durable_feedback() -> list[Figure]:
    """Flushes a second of a file over durable statements a second of eight threads beside it, in turns on the same disk; beside them
    the same statements through the driver alone, which says how much of the rest is SQLite."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name, Store(load(data_dir=Path(name) / "data")) as store:
        fill(store, 1)
        user = store.user(LOCAL)
        said = Said("disagree", codes=("change-missed",))
        file = os.open(Path(name) / "flushed", os.O_CREAT | os.O_WRONLY, 0o600)
        block = os.urandom(4096)

        def flush() -> None:
            for _ in range(FLUSHES):
                os.write(file, block)
                os.fsync(file)

        def write(_: int) -> None:
            for _ in range(STATEMENTS):
                store.add_feedback(1, user, said)

        path = store._database.path
        assert path is not None
        store.add_feedback(1, user, said)
        statements = captured(store, lambda: store.add_feedback(1, user, said))
        with ThreadPoolExecutor(THREADS) as pool, closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=FULL")

            def by_hand() -> None:
                for _ in range(FLUSHES):
                    connection.execute("BEGIN IMMEDIATE")
                    for sql, values in statements:
                        fresh = (*values[:-1], os.urandom(32).hex()) if "INTO audit" in sql else values
                        connection.execute(sql, fresh).fetchall()
                    connection.execute("COMMIT")

            list(pool.map(write, range(THREADS)))
            ours, bare, hand = interleaved((lambda: list(pool.map(write, range(THREADS))), flush, by_hand), ROUNDS, 0)
        os.close(file)
    each, alone, driver = (
        statistics.median(ours) / (THREADS * STATEMENTS),
        statistics.median(bare) / FLUSHES,
        statistics.median(hand) / FLUSHES,
    )
    how = (
        f"{THREADS} threads, {1 / each:.0f} statements a second, each with its audit row and its place in the queue, durable when its call "
        f"returns; {1 / alone:.0f} times 4 kB written and flushed, {1 / driver:.0f} times the same SQL by the driver alone in one thread, "
        f"in turns, median of {ROUNDS}"
    )
    return [Figure("raw flushes over durable statements", each / alone, "x", 1 / 0.6, how)]


def interleaved(works: Sequence[Callable[[], object]], times: int, before: int = 10) -> list[list[float]]:
    """Seconds of each call of each, in turns, after some of each that do not count."""
    taken: list[list[float]] = [[] for _ in works]
    for number in range(times + before):
        for place, work in enumerate(works):
            began = time.perf_counter()
            work()
            if number >= before:
                taken[place].append(time.perf_counter() - began)
    return taken


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(values, n=100)[98]


def captured(store: Store, work: Callable[[], object]) -> list[tuple[str, Any]]:
    """The statements a call makes, with their values."""
    found: list[tuple[str, Any]] = []
    with _listening(store, lambda sql, values: found.append((sql, values))):
        work()
    return found


@contextmanager
def _listening(store: Store, tell: Callable[[str, Any], None]) -> Iterator[None]:
    def heard(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if not statement.startswith("BEGIN"):
            tell(statement, parameters)

    event.listen(store._database.engine, "before_cursor_execute", heard)
    try:
        yield
    finally:
        event.remove(store._database.engine, "before_cursor_execute", heard)


def fill(store: Store, items: int) -> None:
    """As many answers with one statement each, put in as rows: of 20 readers, four abilities, with and without codes."""
    draw = random.Random(7)
    record = AnswerRecord("The effusion is larger.", "complete", "bundled", "gguf", "m" * 64, ("a" * 64,))
    local = store.user(LOCAL)
    turn = store.add_turn(store.start_session(local, "Case", []), local, "What changed?", "temporal", "temporal")
    version = store.add_version(turn, record)
    if items == 1:
        return
    moment = now()
    codes = list(feedback.CODES)
    given = [draw.sample(codes, draw.choice((0, 1, 1, 2))) for _ in range(items)]
    with store._database.write() as session:
        run = session.connection().execute
        readers = [
            {"id": 100 + n, "key_hash": key_hash(f"{n}"), "name": f"Reader {n}", "role": "reader", "created": moment} for n in range(20)
        ]
        run(insert(UserRow), readers)
        row = {"created": moment, "updated": moment, "owner_id": local.id, "title": "Case", "relationship": "temporal"}
        run(insert(SessionRow), [{**row, "id": 10}])
        asked = {"session_id": 10, "relationship": "temporal", "slots": [], "marks": [], "clinical": {}, "created": moment}
        turns = [{**asked, "id": n + 10, "question": f"What changed in case {n}?", "ability": ABILITIES[n % 4]} for n in range(items)]
        run(insert(TurnRow), turns)
        answer = session.get_one(VersionRow, version)
        kept = {
            column.name: getattr(answer, column.name) for column in VersionRow.__table__.columns if column.name not in ("id", "turn_id")
        }
        run(insert(VersionRow), [{**kept, "id": n + 10, "turn_id": n + 10} for n in range(items)])
        said: dict[str, Any] = {
            "comment": "",
            "severity": "",
            "corrected_answer": "",
            "cells": {},
            "mark": None,
            "preferred_over": None,
            "created": moment,
        }
        people = [100 + draw.randrange(20) for _ in range(items)]
        verdicts = ["disagree" if one else "agree" for one in given]
        statements = [
            {**said, "id": n + 10, "version_id": n + 10, "user_id": people[n], "verdict": verdicts[n], "codes": given[n]}
            for n in range(items)
        ]
        run(insert(FeedbackRow.metadata.tables["feedback"]), statements)
        waiting = {"accepted": False, "modality": "DX", "model": "bundled", "locked_by": None, "locked_until": None}
        run(
            insert(ReviewItemRow),
            [
                {
                    **waiting, "id": n + 10, "version_id": n + 10, "reader_id": people[n], "feedback_id": n + 10, "verdict": verdicts[n],
                    "state": "submitted" if n % 10 == 0 else "pending", "ability": ABILITIES[n % 4], "codes": given[n],
                    "merit": draw.uniform(0.5, 8), "created": moment, "updated": moment,
                }
                for n in range(items)
            ],
        )  # fmt: skip
        run(insert(ReviewCodeRow), [{"item_id": n + 10, "code": code} for n in range(items) for code in given[n]])
