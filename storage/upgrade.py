"""From any older schema to this version's, never the other way, and never without a copy of what was there.

Alembic runs from here, not from an `alembic.ini`: users have nothing to configure and nothing to type.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from errors import StoreError
from storage import dialect
from storage.database import Database, private_folder

SCRIPTS = Path(__file__).with_name("migrations")


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration, made in memory."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def newest() -> str:
    """The schema this version of the program writes."""
    return ScriptDirectory.from_config(configuration()).get_current_head() or ""


def known() -> frozenset[str]:
    """Every schema this version can read and bring up."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions())


def current(database: Database) -> str:
    """The schema of a database, '' when it is blank. Raises `StoreError` when it is newer than this version or not ours."""
    return _known(database)


def upgrade(database: Database, folder: Path) -> tuple[str, str]:
    """Bring `database` to the newest schema; (schema before, `` when it was blank; schema after).

    A SQLite database with rows is first copied online into `folder`/backups (PostgreSQL has pg_dump). Two processes
    that start together wait for each other. Raises `StoreError` for a schema this version does not know, and leaves it untouched.
    """
    private_folder(folder)
    with database.spoken(), dialect.alone(folder / ".upgrade.lock"):
        before, after = _known(database), newest()
        if before == after:
            return before, after
        if before and database.path is not None:
            private_folder(folder / "backups")
            stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S-%f")
            dialect.copy(database.engine, folder / "backups" / f"before-upgrade-from-{before}-{stamp}.db")
        _migrate(database)
        return before, after


def _known(database: Database) -> str:
    """The schema found, `` when the database is blank. Raises `StoreError` when it is newer or not ours."""
    with database.engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision() or ""
        tables = set(inspect(connection).get_table_names()) - {"alembic_version"}
    if not found and tables:
        raise StoreError(f"the database {database.name} holds tables that are not Interval's; choose another file or an empty database")
    if found and found not in known():
        raise StoreError(
            f"the database {database.name} was written by a newer Interval (schema {found}, this version knows {newest()}); "
            "install that version or choose another data directory, nothing was changed"
        )
    return found


def _migrate(database: Database) -> None:
    """Run the scripts in one transaction; SQLite's copy-and-move needs foreign keys off meanwhile, so they are checked after."""
    engine = dialect.connect(database.url, foreign_keys=False)
    try:
        with engine.execution_options(**{dialect.WRITES: True}).begin() as connection:
            command.upgrade(configuration(connection), "head")
            if found := dialect.damage(connection, quick=False):
                raise StoreError(f"the database {database.name} could not be upgraded: {found[0]}; it was left as it was, run `db check`")
    finally:
        engine.dispose()
