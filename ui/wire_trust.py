"""What an answer's words point at, and the reader's measurements beside them, over the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from inference.checks import Name
from ui.wire import Incoming


class ChecksIn(Incoming):
    """Which checks to make; without a list the usual ones."""

    names: tuple[Name, ...] = Field((), max_length=8)


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
