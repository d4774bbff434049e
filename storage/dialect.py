"""The small place where SQLite and PostgreSQL differ. No other module of the project names either of them in SQL.

SQLite: write-ahead log and `synchronous=FULL`, so that a row is on the disk when the call that wrote it returns;
every writing transaction begins as a writer (`BEGIN IMMEDIATE`), because a reader that turns writer half-way
is refused at once instead of waiting its turn.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from errors import SettingsError, StoreError

BUSY_MS = 5000
"""How long SQLite waits for another process's write before it gives up, in milliseconds."""

WRITES = "interval_writes"

_PRAGMAS = ("synchronous=FULL", "trusted_schema=OFF")


def normalised(url: str) -> URL:
    """The URL with the driver we use: `postgres://` and `postgresql://` become `postgresql+psycopg://`. Raises `SettingsError`."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError("INTERVAL_DATABASE_URL is not a database URL; use postgresql://user@host/name or leave it empty") from error
    if parsed.drivername in {"postgres", "postgresql"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise SettingsError(f"INTERVAL_DATABASE_URL names {parsed.get_backend_name()}; only SQLite and PostgreSQL are supported")
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise SettingsError("INTERVAL_DATABASE_URL names no file; a database in memory would be lost with the process")
    return parsed


def sqlite_path(url: URL) -> Path | None:
    """The database file, None for PostgreSQL."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def connect(url: URL, *, foreign_keys: bool = True, log: bool = True) -> Engine:
    """An engine for `url`, nothing opened yet.

    `foreign_keys` False is for migrations that copy and move tables, `log` False for a backup, which stays one file.
    """
    path = sqlite_path(url)
    try:
        if path is None:
            return create_engine(url, pool_pre_ping=True)
        engine = create_engine(url, pool_size=8, max_overflow=56, connect_args={"timeout": BUSY_MS / 1000})
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"PostgreSQL needs the package {error.name}; install psycopg[binary] or leave INTERVAL_DATABASE_URL empty"
        ) from error
    _keep(engine, path, foreign_keys, log)
    return engine


def _keep(engine: Engine, path: Path, foreign_keys: bool, log: bool) -> None:
    """Make every SQLite connection durable, checked, and ours to begin."""

    @event.listens_for(engine, "do_connect")
    def _private(*_: Any) -> None:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    @event.listens_for(engine, "connect")
    def _set(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None
        for pragma in (*_PRAGMAS, f"busy_timeout={BUSY_MS}", f"foreign_keys={'ON' if foreign_keys else 'OFF'}"):
            connection.execute(f"PRAGMA {pragma}")
        if log and connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode=WAL")
        connection.create_function("lower", 1, _lower, deterministic=True)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITES) else "BEGIN")


def _lower(value: str | bytes | float | None) -> str | bytes | float | None:
    """SQLite's own `lower` knows ASCII only; PostgreSQL's and this one know the rest."""
    return value.lower() if isinstance(value, str) else value


def one_writer(connection: Connection, table: str) -> None:
    """Let no other transaction append to `table` before this one ends. SQLite's writers are alone already."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"LOCK TABLE {table} IN EXCLUSIVE MODE")


def append_only(dialect: str, table: str) -> list[str]:
    """Statements that make the database itself refuse to change or delete rows of `table`."""
    sentence = f"rows of {table} are append-only"
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{sentence}'); END"
            for verb in ("UPDATE", "DELETE")
        ]
    return [
        f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{sentence}'; END $$",
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_refuse()",
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} EXECUTE FUNCTION {table}_refuse()",
    ]


def changeable(dialect: str, table: str) -> list[str]:
    """Statements that take `append_only` off again, for a migration that must rebuild the table."""
    if dialect == "sqlite":
        return [f"DROP TRIGGER {table}_no_{verb}" for verb in ("update", "delete")]
    return [
        f"DROP TRIGGER {table}_no_truncate ON {table}",
        f"DROP TRIGGER {table}_no_change ON {table}",
        f"DROP FUNCTION {table}_refuse()",
    ]


@contextlib.contextmanager
def unguarded(connection: Connection, table: str) -> Iterator[None]:
    """Let rows of an append-only `table` be erased within the block; the guards are back in the same transaction."""
    for statement in changeable(connection.dialect.name, table):
        connection.exec_driver_sql(statement)
    yield
    for statement in append_only(connection.dialect.name, table):
        connection.exec_driver_sql(statement)


def erase_pages(connection: Connection) -> None:
    """What this connection deletes is overwritten in the file, not only marked as free."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")


def forget_log(engine: Engine) -> None:
    """Empty SQLite's write-ahead log, which still holds pages as they were; readers at work may keep it until later."""
    if engine.dialect.name != "sqlite":
        return
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.fetchall()
        cursor.close()
    finally:
        connection.close()


def guarded(connection: Connection, table: str) -> bool:
    """Whether the triggers of `append_only` are in place."""
    if connection.dialect.name == "sqlite":
        query, wanted = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", 2
        found = connection.exec_driver_sql(query, (table,)).scalar_one()
    else:
        query = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D' AND tgrelid = %s::regclass"
        found, wanted = connection.exec_driver_sql(query, (table,)).scalar_one(), 2
    return bool(found >= wanted)


def damage(connection: Connection, *, quick: bool) -> list[str]:
    """What the database itself finds wrong with its pages and references; PostgreSQL guards both on its own."""
    if connection.dialect.name != "sqlite":
        return []
    check = "quick_check" if quick else "integrity_check"
    pages = [row[0] for row in connection.exec_driver_sql(f"PRAGMA {check}(20)") if row[0] != "ok"]
    if quick:
        return pages
    lost = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    return pages + [f"{table} row {row} refers to a missing row of {parent}" for table, row, parent, _ in lost[:20]]


def size(connection: Connection) -> int:
    """Bytes of the database file; 0 for PostgreSQL, which looks after itself."""
    if connection.dialect.name != "sqlite":
        return 0
    pages, each = (connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_count", "page_size"))
    return int(pages * each)


def copy(engine: Engine, target: Path) -> None:
    """Online copy of a SQLite database into the new file `target`: readers and writers go on meanwhile.

    The copy is one file without a write-ahead log, readable by its owner alone, and on the disk when this returns.
    """
    if engine.dialect.name != "sqlite":
        raise StoreError("the database is PostgreSQL, which this backup cannot copy; use pg_dump for it")
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    source = engine.raw_connection()
    try:
        with contextlib.closing(sqlite3.connect(target)) as copied:
            driver = source.driver_connection
            if not isinstance(driver, sqlite3.Connection):
                raise StoreError("the database driver cannot make an online copy")
            driver.backup(copied)
            copied.execute("PRAGMA journal_mode=DELETE")
            if (found := copied.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise StoreError(f"the backup {target} is damaged ({found}); check the disk and make another")
    finally:
        source.close()
    with target.open("rb") as written:
        os.fsync(written.fileno())


def overwrite(engine: Engine, source: Path) -> None:
    """Put the pages of the SQLite file `source` in the place of the database's own, in one transaction that readers see whole."""
    target = engine.raw_connection()
    try:
        driver = target.driver_connection
        if not isinstance(driver, sqlite3.Connection):
            raise StoreError("the database driver cannot restore a copy")
        with contextlib.closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as backed:
            backed.backup(driver)
    finally:
        target.close()
    engine.dispose()


def file_damage(path: Path) -> str:
    """What is wrong with the SQLite file at `path`; '' when it is whole. The file is only read."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as opened:
            found = str(opened.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return str(error)
    return "" if found == "ok" else found


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the file `path` locked against every other process and thread that asks."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
