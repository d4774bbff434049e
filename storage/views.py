"""What the store hands out and takes in: plain frozen values, so that no database object leaves this room.

Times are aware `datetime`s in UTC, except acquisition times, which are as the study says (no zone). Every
sequence is a tuple in display order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from storage.horizons import Horizon
from storage.studies.model import FileOutcome

Ability = Literal["temporal", "comparison", "reasoning", "coreference"]
Relationship = Literal["temporal", "views", "sides", "unrelated"]
State = Literal["complete", "stopped", "incomplete"]
Verdict = Literal["agree", "disagree", ""]
Severity = Literal["minor", "major", "critical", ""]
Role = Literal["reader", "annotator", "adjudicator", "educator", "admin"]
AuditOutcome = Literal["success", "minor", "serious", "major"]

LOCAL = "local"
"""Key of the user behind the command line on this machine."""


@dataclass(frozen=True)
class User:
    """One reader. `key` is the secret of a browser's cookie, or `local`; only its hash is kept in the database."""

    id: int
    key: str
    name: str = ""


@dataclass(frozen=True)
class SeriesSummary:
    """One series in a list; `frames` counts its images."""

    id: int
    uid: str
    number: int | None
    modality: str
    description: str = ""
    body_part: str = ""
    laterality: str = ""
    view: str = ""
    plane: str = ""
    frames: int = 0
    acquired: datetime | None = None


@dataclass(frozen=True)
class StudySummary:
    """One study in a list. `own` is False when another user shared it; `synthetic` marks generated images."""

    id: int
    uid: str
    acquired: datetime | None
    description: str
    modalities: tuple[str, ...]
    synthetic: bool
    shared: bool
    own: bool
    imported: datetime
    series: tuple[SeriesSummary, ...] = ()


@dataclass(frozen=True)
class PatientSummary:
    """One pseudonymous patient with the studies this reader may see, oldest study first."""

    id: int
    pseudonym: str
    sex: str = ""
    birth_year: int | None = None
    studies: tuple[StudySummary, ...] = ()


@dataclass(frozen=True)
class ImportReport:
    """What an import did. The four counts are of what the accepted files hold, duplicates included; `files` names
    every file; `study_ids` are the studies the files belong to, oldest first, whether new or known."""

    patients: int = 0
    studies: int = 0
    series: int = 0
    instances: int = 0
    files: tuple[FileOutcome, ...] = ()
    study_ids: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()

    def count(self, outcome: str) -> int:
        """How many files ended as `imported`, `duplicate`, `skipped` or `refused`."""
        return sum(file.outcome == outcome for file in self.files)


@dataclass(frozen=True)
class Slot:
    """One image of a session in declared order: which frame (index within its series), its role and relative time.

    `window` is the grey-level window chosen for it as `center,width,function` in the modality's units; `` is the file's own.
    """

    series_id: int
    frame: int = 0
    role: str = ""
    when: str = ""
    window: str = ""


@dataclass(frozen=True)
class AskedMark:
    """A lettered mark as it was drawn for the model: on image `image` of the question (from 0), `points` as (column, row) in pixels."""

    image: int
    label: str
    kind: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Clinical:
    """What a reader told the model beside the images, in their own words; nothing unless they chose to."""

    indication: str = ""
    technique: str = ""
    prior_report: str = ""
    age: str = ""

    @property
    def labelled(self) -> tuple[tuple[str, str], ...]:
        """The fields that say something, each with its label."""
        named = (("Indication", self.indication), ("Technique", self.technique), ("Prior report", self.prior_report), ("Age", self.age))
        return tuple((label, text) for label, text in named if text)


@dataclass(frozen=True)
class AnswerRecord:
    """One answer as it is kept: the words and everything needed to make them again.

    `image_hashes`, `roles` and `whens` are in the order the model was shown the images. `tokens` and `logprobs`
    (natural log) run together. `progression` is finding -> class -> probability. `timings` are seconds or
    counts by name. `options` and `checks` hold whatever JSON the answering room puts there; an answer of `inference.answer` has
    `confidence` (every figure) and `overall` (class -> probability) in `checks`.
    """

    text: str
    state: State
    model: str
    engine: str
    model_digest: str
    image_hashes: tuple[str, ...]
    roles: tuple[str, ...] = ()
    whens: tuple[str, ...] = ()
    prompt: str = ""
    adapter_digest: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    seed: int = 0
    timings: Mapping[str, float] = field(default_factory=dict)
    checks: Mapping[str, object] = field(default_factory=dict)
    progression: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    confidence: float | None = None
    tokens: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()
    created: datetime | None = None

    @property
    def offsets_digest(self) -> str:
        """SHA-256 of what the model's likelihoods were corrected by, `` for nothing."""
        return str(self.options.get("offsets", ""))


@dataclass(frozen=True)
class FeedbackView:
    """What a reader said of one answer version, whole; never changed, a later one supersedes it (`storage.feedback`)."""

    id: int
    version_id: int
    verdict: Verdict
    comment: str
    created: datetime
    codes: tuple[str, ...] = ()
    severity: Severity = ""
    corrected_answer: str = ""
    cells: Mapping[str, str] = field(default_factory=dict)
    mark: AskedMark | None = None
    preferred_over: int | None = None


@dataclass(frozen=True)
class VersionView:
    """One answer in the history. Prompt and tokens are left to `Store.answer`, which reads the whole record."""

    id: int
    number: int
    text: str
    state: State
    model: str
    engine: str
    created: datetime
    roles: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    checks: Mapping[str, object] = field(default_factory=dict)
    progression: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    confidence: float | None = None
    warnings: tuple[str, ...] = ()
    feedback: tuple[FeedbackView, ...] = ()


@dataclass(frozen=True)
class TurnView:
    """One question, the images it was asked of (as they were then) with what was drawn and told, and its answers, oldest first.

    `forecast` says how far ahead it looks when it asks for what is to come, so that its answers are marked wherever they are shown.
    """

    id: int
    question: str
    ability: Ability
    relationship: Relationship
    created: datetime
    slots: tuple[Slot, ...] = ()
    versions: tuple[VersionView, ...] = ()
    marks: tuple[AskedMark, ...] = ()
    clinical: Clinical = field(default_factory=Clinical)
    forecast: Horizon | None = None

    def marks_on(self, image: int) -> tuple[AskedMark, ...]:
        """The marks that went along on image `image` (from 0)."""
        return tuple(mark for mark in self.marks if mark.image == image)


@dataclass(frozen=True)
class SessionSummary:
    """One case in the history list; `turns` counts its questions."""

    id: int
    title: str
    updated: datetime
    turns: int
    relationship: Relationship = "temporal"


@dataclass(frozen=True)
class SessionView:
    """One reader's case with its images and questions in order."""

    id: int
    title: str
    relationship: Relationship
    created: datetime
    updated: datetime
    slots: tuple[Slot, ...] = ()
    turns: tuple[TurnView, ...] = ()


@dataclass(frozen=True)
class OverrideView:
    """A warning about series shown together that a reader went past, with the reason in their words."""

    id: int
    series: tuple[int, ...]
    codes: tuple[str, ...]
    reason: str
    created: datetime


@dataclass(frozen=True)
class Listed:
    """A study or a case as the reader at the terminal sees it: number, name and the day it is of."""

    kind: Literal["study", "session"]
    id: int
    name: str
    day: str


@dataclass(frozen=True)
class Erased:
    """What an erasure took: files a study had, how many of them nobody else's study holds and so are gone, and the cases
    that showed it and keep their words."""

    files: int
    removed: int
    cases: tuple[int, ...]


@dataclass(frozen=True)
class TakenIn:
    """What came of an export's cases: numbers of those added, how many were here already, how many lack their images here."""

    added: tuple[int, ...]
    doubled: int
    lost: int


@dataclass(frozen=True)
class Restored:
    """What a restore did: the backup, images brought back, the schema before and after, and where the rows are that were there ('')."""

    backup: str
    files: int
    before: str
    after: str
    kept: str


@dataclass(frozen=True)
class CheckReport:
    """Health of the store. `problems` are sentences; `notes` are harmless (files nothing refers to).

    `counts` is rows by table; `files` and `bytes` are those of the content store.
    """

    schema: str
    counts: Mapping[str, int] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.problems
