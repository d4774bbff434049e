"""The schema grows from any released version to this one, with a copy made first, and a newer one is left alone."""

from __future__ import annotations

import io
import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from errors import SettingsError, StoreError
from settings import Settings, load
from storage import dialect, upgrade
from storage.database import Database
from storage.feedback import Said
from storage.schema import APPEND_ONLY, Base, key_hash
from storage.store import Store
from storage.store import upgrade as migrate
from storage.views import PatientSummary, User
from tests.storage import values

STEP = '''
"""A later step."""
from alembic import op
import sqlalchemy as sa
revision = "9999"
down_revision = "{before}"


def upgrade():
    with op.batch_alter_table("users") as table:
        table.add_column(sa.Column("email", sa.Text(), nullable=False, server_default=""))
        table.alter_column("name", nullable=True)
    {more}


def downgrade():
    pass
'''

_THEN = "'2026-11-01 10:00:00.000000'"
FIRST_ROWS = (
    f"INSERT INTO users (id, key_hash, name, created) VALUES (3, '{key_hash('of the first release')}', 'Reader', {_THEN})",
    "INSERT INTO patients (id, pseudonym, sex, birth_year) VALUES (5, 'P-1', 'F', 1950)",
    "INSERT INTO studies (id, owner_id, patient_id, uid, acquired, description, synthetic, shared, imported, warnings, facts)"
    f" VALUES (4, 3, 5, '2.25.1', NULL, 'Thorax', 0, 0, {_THEN}, '[]', '{{}}')",
    "INSERT INTO series (id, study_id, uid, number, modality, description, body_part, laterality, view, plane, frame_count, warnings,"
    " facts) VALUES (6, 4, '2.25.2', 1, 'CT', '', 'CHEST', '', '', 'axial', 1, '[]', '{}')",
    f"INSERT INTO contents (sha256, size, created) VALUES ('{'a' * 64}', 8, {_THEN})",
    f"INSERT INTO instances (id, series_id, sha256, kind, uid, frames) VALUES (1, 6, '{'a' * 64}', 'dicom', '2.25.3', '[]')",
    f"INSERT INTO sessions (id, owner_id, title, relationship, created, updated) VALUES (7, 3, 'Old', 'temporal', {_THEN}, {_THEN})",
    "INSERT INTO slots (session_id, position, series_id, frame, role, interval, window) VALUES (7, 0, 6, 0, 'current', '', '')",
    "INSERT INTO turns (id, session_id, question, ability, relationship, slots, created)"
    f" VALUES (2, 7, 'Q?', 'temporal', 'temporal', '[]', {_THEN})",
    "INSERT INTO answer_versions (id, turn_id, number, text, state, model, engine, model_digest, adapter_digest, prompt, seed, confidence,"
    " image_hashes, roles, whens, options, timings, checks, progression, warnings, tokens, logprobs, created) VALUES (9, 2, 1, 'Larger.',"
    f" 'complete', 'bundled', 'gguf', 'm', '', '', 0, NULL, '[]', '[]', '[]', '{{}}', '{{}}', '{{}}', '{{}}', '[]', '[]', '[]', {_THEN})",
    f"INSERT INTO feedback (id, version_id, user_id, verdict, comment, created) VALUES (1, 9, 3, 'agree', '', {_THEN})",
)
"""One row of each table of the first release."""


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A version of the program with one step more, which rebuilds the table every other refers to."""
    scripts = tmp_path / "migrations"
    shutil.copytree(upgrade.SCRIPTS, scripts)
    (scripts / "versions" / "9999.py").write_text(STEP.format(before=upgrade.newest(), more="pass"))
    monkeypatch.setattr(upgrade, "SCRIPTS", scripts)
    return scripts


def test_there_is_one_way_up() -> None:
    assert len(ScriptDirectory.from_config(upgrade.configuration()).get_heads()) == 1


def test_a_blank_database_gets_exactly_the_tables_of_the_schema(settings: Settings) -> None:
    assert migrate(settings) == ("", upgrade.newest())
    assert migrate(settings) == (upgrade.newest(), upgrade.newest())
    database = Database(settings)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata) == []
        assert all(dialect.guarded(connection, table) for table in APPEND_ONLY)
    database.close()
    assert not (settings.data_dir / "backups").exists(), "there was nothing to copy"


def test_every_step_down_leads_up_again(settings: Settings) -> None:
    migrate(settings)
    engine = dialect.connect(dialect.normalised(settings.database), foreign_keys=False)
    with engine.begin() as connection:
        command.downgrade(upgrade.configuration(connection), "base")
    with engine.begin() as connection:
        left = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1").scalars().all()
        assert left == ["alembic_version", "sqlite_autoindex_alembic_version_1"] or left == ["alembic_version"]
        command.upgrade(upgrade.configuration(connection), "head")
    engine.dispose()


def test_an_older_database_is_copied_then_brought_up_with_all_its_rows(
    store: Store, reader: User, pair: PatientSummary, settings: Settings, later: Path
) -> None:
    session = store.start_session(reader, "Case", [])
    store.add_feedback(
        store.add_version(store.add_turn(session, reader, "What changed?", "temporal", "temporal"), values.record()), reader, Said("agree")
    )
    old = store.check().counts
    store.close()

    before, after = migrate(settings)

    assert after == "9999"
    (copied,) = (settings.data_dir / "backups").iterdir()
    with sqlite3.connect(copied) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (before,)
        assert connection.execute("SELECT count(*) FROM feedback").fetchone() == (1,)
    connection.close()
    with Store(settings) as upgraded:
        assert upgraded.check().counts == old
        assert upgraded.check().problems == ()
        assert upgraded.patients(reader) == (pair,)
        with pytest.raises(StoreError, match="append-only"), upgraded._database.write() as writing:
            writing.connection().exec_driver_sql("DELETE FROM feedback")


def test_first_schema_with_rows_comes_up_with_every_one_of_them(tmp_path: Path, settings: Settings) -> None:
    """A store of the first release, filled by hand as that release filled it, gains the later tables and loses nothing."""
    settings.data_dir.mkdir(parents=True)
    database = Database(settings)
    with database.engine.execution_options(**{dialect.WRITES: True}).begin() as connection:
        command.upgrade(upgrade.configuration(connection), "0001")
    with database.engine.execution_options(**{dialect.WRITES: True}).begin() as connection:
        for statement in FIRST_ROWS:
            connection.exec_driver_sql(statement)
    names = [row.split(" INTO ")[1].split(" ")[0] for row in FIRST_ROWS]

    def columns(name: str) -> str:
        with database.engine.connect() as connection:
            return ", ".join(row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({name})"))

    of_then = {name: columns(name) for name in names}

    def rows() -> dict[str, list[tuple[object, ...]]]:
        with database.engine.connect() as connection:
            listed = {name: connection.exec_driver_sql(f"SELECT {of_then[name]} FROM {name}").fetchall() for name in names}
        return {name: [tuple(row) for row in found] for name, found in listed.items()}

    before = rows()
    database.engine.dispose()

    assert migrate(settings) == ("0001", upgrade.newest())

    assert rows() == before
    with database.engine.connect() as connection:
        assert dialect.damage(connection, quick=False) == []
        assert all(dialect.guarded(connection, table) for table in APPEND_ONLY)
        assert connection.exec_driver_sql("SELECT count(*) FROM session_states").scalar() == 0
    database.close()
    with Store(settings) as store:
        reader = store.user("of the first release")
        session = store.session(7, reader)
        assert (session.title, session.turns[0].versions[0].text, session.turns[0].versions[0].feedback[0].verdict) == (
            "Old",
            "Larger.",
            "agree",
        )
        assert store.save_marks(7, reader, store.marks(7, reader)) == 1
        assert store.start_session(reader, "New", []) == 8


def test_a_step_that_fails_leaves_the_database_as_it_was(store: Store, reader: User, settings: Settings, later: Path) -> None:
    before = upgrade.SCRIPTS / "versions" / "9999.py"
    before.write_text(before.read_text().replace("    pass\n", '    op.execute("INSERT INTO nowhere VALUES (1)")\n', 1))
    store.close()
    with pytest.raises(StoreError, match="run `db check`"):
        migrate(settings)
    with sqlite3.connect(settings.data_dir / "interval.db") as connection:
        assert "email" not in [row[1] for row in connection.execute("PRAGMA table_info(users)")]
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (1,)
    connection.close()


def test_a_database_of_a_newer_version_is_not_opened_and_not_touched(settings: Settings) -> None:
    migrate(settings)
    path = settings.data_dir / "interval.db"
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '2031'")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    before = path.read_bytes()
    for attempt in (Store, migrate):
        with pytest.raises(
            StoreError, match=rf"newer Interval \(schema 2031, this version knows {upgrade.newest()}\); install that version"
        ):
            attempt(settings)
    assert path.read_bytes() == before


def test_somebody_elses_database_is_not_filled_with_our_tables(settings: Settings) -> None:
    settings.data_dir.mkdir()
    connection = sqlite3.connect(settings.data_dir / "interval.db")
    connection.execute("CREATE TABLE invoices (id)")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="tables that are not Interval's"):
        Store(settings)


def test_the_sql_for_postgresql_can_be_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database administrator reads it before running it; it must not need a database to be made."""
    config = upgrade.configuration()
    config.output_buffer = io.StringIO()
    command.upgrade(config, "head", sql=True)
    sql = config.output_buffer.getvalue()
    assert sql.count("CREATE TABLE") == len(Base.metadata.tables) + 1
    assert sql.count("CREATE TRIGGER") == 2 * len(APPEND_ONLY) + 2, "those of feedback twice: it got columns later"
    assert "TIMESTAMP WITH TIME ZONE" in sql
    assert "PRAGMA" not in sql


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg"),
        ("postgresql://u@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg"),
        ("sqlite:////tmp/x.db", "sqlite"),
    ],
)
def test_urls_as_hosting_services_write_them_are_understood(given: str, driver: str) -> None:
    assert dialect.normalised(given).drivername == driver


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite://", "sqlite:///:memory:", "nonsense"])
def test_a_url_that_cannot_work_is_refused_by_name(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="INTERVAL_DATABASE_URL"):
        Store(load(data_dir=tmp_path, database_url=url))


def test_a_password_in_the_url_is_never_shown(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    database = Database(load(data_dir=tmp_path, database_url="postgres://u:sesame@h/d"))
    assert "sesame" not in database.name
