"""The same sessions, imports and audit on PostgreSQL: every test of the files named below, against a new database each.

The server is started here and goes away (tests/storage/postgresql.py), or named: TEST_POSTGRESQL_URL=postgresql://user@host/postgres
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine

from errors import StoreError
from settings import Settings, load
from storage import dialect
from storage.feedback import Said
from storage.review_views import Judgement
from storage.schema import APPEND_ONLY
from storage.statements import Statement
from storage.store import Store
from storage.studies.model import Source
from storage.views import PatientSummary, User
from tests.storage import postgresql, values
from tests.storage.test_feedback import *  # noqa: F403
from tests.storage.test_forecasts import *  # noqa: F403
from tests.storage.test_forecasts import foretold, next_study
from tests.storage.test_import import *  # noqa: F403  the tests themselves
from tests.storage.test_review import *  # noqa: F403
from tests.storage.test_review import judge, person
from tests.storage.test_sessions import *  # noqa: F403
from tests.storage.test_teaching import *  # noqa: F403

URL = os.environ.get("TEST_POSTGRESQL_URL", "")
LACKS = "" if URL else postgresql.remedy()
pytestmark = [pytest.mark.skipif(bool(LACKS), reason=LACKS), pytest.mark.slow]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server that may create databases: the one named, else one of these tests' own."""
    if URL:
        yield URL
        return
    with postgresql.server() as url:
        yield url


@pytest.fixture
def settings(settings: Settings, server: str) -> Iterator[Settings]:
    """Settings whose database is new and on the server."""
    name = f"interval_{uuid.uuid4().hex}"
    url = dialect.normalised(server)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield load(data_dir=settings.data_dir, database_url=url.set(database=name).render_as_string(hide_password=False))
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = 9", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_the_server_refuses_to_change_what_is_append_only(
    store: Store, reader: User, pair: PatientSummary, sources: Iterator[Source], table: str, statement: str
) -> None:
    version = store.add_version(
        store.add_turn(store.start_session(reader, "Case", []), reader, "Q?", "temporal", "temporal"), values.record()
    )
    store.add_feedback(version, reader, Said("agree"))
    store.override(reader, [pair.studies[0].series[0].id], ["views"], "Nothing else was there.")
    reviewer = person(store, "reviewer", "annotator")
    judge(store, 1, reviewer, Judgement("judged", Statement("agree")))
    foretold(store, reader, pair)
    store.resolve_forecast(store.forecasts(reader)[0].id, reader, "worse", next_study(store, reader, sources))
    store.commit_blind(reader, "a case", {"nodule": "worse"}, {"nodule": "worse"})
    with pytest.raises(StoreError, match="append-only"), store._database.write() as session:
        session.connection().exec_driver_sql(statement.format(table))
    assert store.check().problems == ()


def test_backup_names_the_tool_that_can_copy_the_server(store: Store, pair: PatientSummary) -> None:
    with pytest.raises(StoreError, match="pg_dump"):
        store.backup(store.settings.data_dir.parent / "backup")


def test_a_server_that_is_away_is_said_so_without_its_password(settings: Settings) -> None:
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        Store(load(data_dir=settings.data_dir, database_url="postgresql://reader:sesame@localhost:9/none"))
    assert "sesame" not in str(caught.value)
