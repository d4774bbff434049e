"""The demo cases that come with Interval, in every store from its first start, for all to see.

`assets/demo/cases.yaml` names them. Which studies in the store are which case is noted in the data directory, so that the
second start reads nothing; when the note does not fit the store or the cases, they are imported again, which changes
nothing that is there.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, Field, ValidationError

from storage.store import Store
from storage.views import LOCAL, Ability

log = logging.getLogger(__name__)

DEMO = Path(__file__).resolve().parent.parent / "assets" / "demo"
NOTE = "demo.json"


@dataclass(frozen=True)
class DemoCase:
    """One case: its studies in the store, its name, which tells what happened and is not sent, and the question it was made for."""

    name: Annotated[str, Field(exclude=True)]
    title: str
    study_ids: tuple[int, ...]
    question: str
    ability: Ability


class _Visit(BaseModel):
    folder: str


class _Case(BaseModel):
    name: str
    title: str
    question: str
    ability: Ability
    visits: tuple[_Visit, ...]


class _Note(BaseModel):
    digest: str
    studies: dict[str, tuple[int, ...]]


def ensure_demo(store: Store, folder: Path = DEMO) -> tuple[DemoCase, ...]:
    """The demo cases, imported as shared studies unless they are there. Raises `StoreError` when they cannot be kept."""
    catalogue = folder / "cases.yaml"
    if not catalogue.is_file():
        log.warning("demo cases: %s is missing from this installation", catalogue)
        return ()
    text = catalogue.read_bytes()
    cases = tuple(_Case.model_validate(case) for case in yaml.safe_load(text))
    digest = hashlib.sha256(text).hexdigest()
    note = store.settings.data_dir / NOTE
    studies = _noted(note, digest, store) or _import(store, folder, cases)
    note.write_text(_Note(digest=digest, studies=studies).model_dump_json())
    return tuple(DemoCase(case.name, case.title, studies.get(case.name, ()), case.question, case.ability) for case in cases)


def _noted(note: Path, digest: str, store: Store) -> dict[str, tuple[int, ...]]:
    """Studies by case as noted at an earlier start, or nothing when the note is not of these cases or a study is gone."""
    try:
        kept = _Note.model_validate(json.loads(note.read_text()))
    except (OSError, ValueError, ValidationError):
        return {}
    there = {study.id for patient in store.patients(store.user(LOCAL)) for study in patient.studies if study.shared}
    noted = {study_id for ids in kept.studies.values() for study_id in ids}
    return kept.studies if kept.digest == digest and noted and noted <= there else {}


def _import(store: Store, folder: Path, cases: Iterable[_Case]) -> dict[str, tuple[int, ...]]:
    local = store.user(LOCAL)
    studies: dict[str, tuple[int, ...]] = {}
    for case in cases:
        report = store.import_paths([folder / visit.folder for visit in case.visits], local, shared=True)
        studies[case.name] = report.study_ids
        log.info("demo case %s: %d studies", case.name, len(report.study_ids))
    return studies
