"""A store of one's own, and the same store with two studies of one patient in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from settings import Settings
from storage.store import Store
from storage.studies.model import Source
from storage.views import PatientSummary, User
from tests.storage import values


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """An empty store."""
    with Store(settings) as opened:
        yield opened


@pytest.fixture
def reader(store: Store) -> User:
    """The user behind the command line."""
    return store.user("one browser")


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[Source]:
    """New files, as many as are asked for."""
    return values.files(tmp_path / "originals")


@pytest.fixture
def pair(store: Store, reader: User, sources: Iterator[Source]) -> PatientSummary:
    """A patient with a prior of three slices and a current study of two, the reader's own."""
    prior = values.series(tuple(values.frame(next(sources), location=float(place)) for place in range(3)))
    current = values.series(tuple(values.frame(next(sources), location=float(place)) for place in range(2)), uid="2.25.20")
    values.put(
        store,
        reader,
        values.study(current, uid="2.25.2", acquired=datetime(2021, 5, 18)),
        values.study(prior, acquired=datetime(2021, 5, 4)),
    )
    (patient,) = store.patients(reader)
    return patient
