"""The one path from a question to an answer: prompt -> stream -> progression scores -> confidence -> provenance.

The page, the command line and every later check call `ask`; nobody else talks to an engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Literal

from inference.engine import Engine, ModelCard, Request, Stage, Timings, Token
from storage.views import AnswerRecord

State = Literal["complete", "stopped", "incomplete"]
Progression = Mapping[str, Mapping[str, float]]

MAX_QUESTION = 8000
"""Longest question in characters; anything longer is a paste by mistake."""


@dataclass(frozen=True)
class Confidence:
    """How sure the model was of its own words, uncalibrated: no share of these answers is known to be right.

    `mean_probability` is the geometric mean over the answer's tokens, `least_probability` its weakest token. With
    progression scores, `entropy` (0 sure .. 1 even) and `margin` (first minus second class) are means over findings.
    """

    mean_probability: float | None = None
    least_probability: float | None = None
    entropy: float | None = None
    margin: float | None = None
    calibrated: bool = False


@dataclass(frozen=True)
class Answer:
    """An answer with everything needed to make it again. `error` is one sentence when `state` is `incomplete`."""

    text: str
    state: State
    tokens: tuple[Token, ...]
    request: Request
    model: ModelCard
    timings: Timings
    prompt: str
    progression: Progression = field(default_factory=dict)
    checks: Mapping[str, str] = field(default_factory=dict)
    confidence: Confidence = field(default_factory=Confidence)
    warnings: tuple[str, ...] = ()
    error: str = ""

    @property
    def logprobs(self) -> tuple[float, ...]:
        """Natural log-probability of each token."""
        return tuple(token.logprob for token in self.tokens)

    @property
    def image_hashes(self) -> tuple[str, ...]:
        """SHA-256 of each image's displayed pixels, in declared order."""
        return tuple(image.sha256 for image in self.request.images)

    @property
    def roles(self) -> tuple[str, ...]:
        """Role of each image, in declared order."""
        return tuple(image.role for image in self.request.images)


def validate(request: Request, max_images: int) -> None:
    """Refuse what cannot be asked. Raises `QuestionError` with one sentence."""
    raise NotImplementedError


def ask(
    engine: Engine,
    request: Request,
    cancel: Event,
    *,
    progression: bool = False,
    findings: tuple[str, ...] | None = None,
    warnings: tuple[str, ...] = (),
) -> Iterator[Stage | Token | Answer]:
    """Ask, and yield stages and tokens as they come; the last item is always the `Answer`.

    A stop, or the engine's death, ends in an `Answer` that keeps the words so far (`stopped`, `incomplete`). With
    `progression`, temporal and comparison questions also score each finding. `warnings` are carried into the answer.
    Raises `QuestionError` before anything is done, `ContextFull` and `ModelNotLoaded` before the first token.
    """
    raise NotImplementedError


def as_json(answer: Answer, session_id: int | None = None) -> dict[str, object]:
    """The object that `ask --json` prints."""
    raise NotImplementedError


def record(answer: Answer) -> AnswerRecord:
    """The answer as the store keeps it."""
    raise NotImplementedError
