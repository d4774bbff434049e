"""What an answer's words point at, the reader's measurements beside them, and how often such answers were right, over the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from inference.checks import Name
from ui.wire import Incoming, ModelName


class ChecksIn(Incoming):
    """Which checks to make, without a list the usual ones, and by which model, which must be the one that gave the answer."""

    names: tuple[Name, ...] = Field((), max_length=9)
    model: ModelName = ""


class MentionOut(BaseModel):
    """Words of an answer, `start` to `end` in characters, and the viewports they mean (from 0); without any, `reason` says why."""

    start: int
    end: int
    text: str
    kind: Literal["image", "time", "side", "mark"]
    images: tuple[int, ...]
    mark: str
    side: str
    reason: str


class MeasuredOut(BaseModel):
    """One paired measurement of the reader beside the direction the answer gives."""

    sentence: str
    conflicts: bool
    said: str
    way: str


class SpokenOut(BaseModel):
    """What can be said of an answer's words without the engine."""

    mentions: tuple[MentionOut, ...]
    measured: tuple[MeasuredOut, ...]


class TrustOut(BaseModel):
    """Every whole answer of a session by its id."""

    answers: dict[int, SpokenOut]


class BinOut(BaseModel):
    """Answers of about the same probability: how many, their mean probability, the part that was right."""

    count: int
    said: float
    right: float


class ReliabilityOut(BaseModel):
    """A reliability diagram and its expected calibration error, 0 to 1."""

    bins: tuple[BinOut, ...]
    error: float


class ThresholdOut(BaseModel):
    """What withholding below `least` of 100 would leave of the reviewed answers, held out of the fit, and how many of these were right."""

    least: int
    shown: int
    right: int


class CalibratedOut(BaseModel):
    """One question type: how many of it were reviewed and, once there are `least`, how often such an answer was right.

    `probabilities` are by finding, of a whole answer under ``; without any `why` says so. `before` is the diagram of the raw shares,
    `after` of the fitted ones, held out by patient. `withheld` says why each is folded that is less probable than the reader asked for.
    """

    words: str
    reviewed: int
    least: int
    why: str
    probabilities: dict[str, float]
    before: ReliabilityOut | None
    after: ReliabilityOut | None
    withheld: dict[str, str]
    thresholds: tuple[ThresholdOut, ...]


class CalibrationOut(BaseModel):
    """What reviewed answers of the same model say of one answer and of its findings."""

    answer: CalibratedOut
    findings: CalibratedOut
