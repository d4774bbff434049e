"""Teaching cases: pairs of the demo cases with their known truth, read blind before model and reference are shown.

What a learner is told before they commit holds nothing of the truth: a case goes by a key made of a hash, because the demo cases' own
names and titles tell what happened, and its findings stand in the order of `FINDINGS`, those that are absent among them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import yaml
from pydantic import BaseModel

from errors import InputError
from inference.checks import examined
from inference.closed import of_change, read
from inference.engine import Request, Stage
from inference.prompts import FINDINGS, PROGRESSION
from inference.reading import Shares, top
from inference.trust import Check, Trust, judged
from storage.studies.relations import interval_words
from storage.teaching import UNCERTAIN
from storage.views import Slot, StudySummary, User
from ui import requests
from ui.checking import Lent
from ui.context import Context
from ui.demo import DEMO

ASKED = 5
"""Findings of a case that a learner is asked of: those that changed or stayed, and absent ones up to this number."""
QUESTION = "What changed since the prior?"
"""What the trust checks are made for; the findings are asked one by one."""


@dataclass(frozen=True)
class TeachingCase:
    """Two consecutive studies with what is true of each finding asked; `absent` ones are shown at neither date, and so are `stable`."""

    key: str
    number: int
    studies: tuple[StudySummary, StudySummary]
    reference: Mapping[str, str]
    absent: tuple[str, ...]
    title: str
    lesson: str

    @property
    def findings(self) -> tuple[str, ...]:
        """What a learner is asked of."""
        return tuple(self.reference)

    @property
    def apart(self) -> str:
        """The time between the two studies in words, `` when a date is missing."""
        first, second = (study.acquired for study in self.studies)
        return interval_words((second - first).total_seconds() / 86400) if first and second else ""


@dataclass(frozen=True)
class ModelRead:
    """The model's shares of each finding, its first class (`uncertain` for a tie), and the state of its trust checks if any were made."""

    progression: Mapping[str, Shares]
    cells: Mapping[str, str]
    trust: Trust | None
    model: str


class _Step(BaseModel):
    changes: dict[str, str]


class _Case(BaseModel):
    name: str
    title: str
    teaching: str
    steps: tuple[_Step, ...]


def cases(here: Context, user: User, folder: Path = DEMO) -> tuple[TeachingCase, ...]:
    """Every pair of consecutive studies of the demo cases that are in the store, in their order."""
    catalogue = folder / "cases.yaml"
    if not here.cases or not catalogue.is_file():
        return ()
    told = {case.name: case for case in (_Case.model_validate(one) for one in yaml.safe_load(catalogue.read_bytes()))}
    studies = {study.id: study for patient in here.store.patients(user) for study in patient.studies if study.series}
    found: list[TeachingCase] = []
    for demo in here.cases:
        known = told.get(demo.name)
        there = sorted((studies[one] for one in demo.study_ids if one in studies), key=lambda study: (str(study.acquired), study.id))
        if known is None or len(there) != len(known.steps) + 1:
            continue
        for number, step in enumerate(known.steps):
            key = hashlib.sha256(f"{demo.name}/{number}".encode()).hexdigest()[:12]
            reference, absent = _asked(key, step.changes)
            pair = (there[number], there[number + 1])
            found.append(TeachingCase(key, len(found) + 1, pair, reference, absent, known.title, known.teaching))
    return tuple(found)


def model_read(here: Context, user: User, case: TeachingCase, slots: tuple[Slot, ...], *, alone: bool) -> ModelRead:
    """Have the engine say of each finding how it changed; `alone` hides the prior. Raises what the engine raises."""
    cancel = Event()
    engine = Lent(here.engine.use, cancel, lambda ahead: None)
    images = tuple(requests.image(here.store, user, slot) for slot in slots)
    request = Request(images[-1:] if alone else images, QUESTION, "temporal", "temporal")
    count = len(request.images)
    progression = {finding: read(engine, request, of_change(count, finding), cancel=cancel).shares for finding in case.findings}
    made: dict[str, Check] = {}
    if not alone:
        made = dict(one for one in examined(engine, request, "", cancel) if not isinstance(one, Stage))
    cells = {finding: top(shares) or UNCERTAIN for finding, shares in progression.items()}
    return ModelRead(progression, cells, judged(made) if made else None, engine.card.name)


def checked(case: TeachingCase, cells: Mapping[str, str]) -> Mapping[str, str]:
    """A reading in the case's order. Raises `InputError` for a finding or class that is not the case's."""
    if set(cells) != set(case.findings) or not set(cells.values()) <= set(PROGRESSION):
        raise InputError(f"a reading says one of {', '.join(PROGRESSION)} of each finding of the case; say uncertain where you cannot tell")
    return {finding: cells[finding] for finding in case.findings}


def _asked(key: str, changes: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """What is asked, finding -> truth, and which of it are absent; those are drawn by the case's key, the same every time."""
    others = [name for name in FINDINGS if name not in changes]
    others.sort(key=lambda name: hashlib.sha256(f"{key}/{name}".encode()).digest())
    absent = others[: max(0, ASKED - len(changes))]
    reference = {name: changes.get(name, "stable") for name in FINDINGS if name in changes or name in absent}
    return reference, tuple(name for name in reference if name in absent)
