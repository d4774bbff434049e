"""Teaching cases over the wire. `CaseOut` and `TeachOut` hold nothing of the truth; only `ReferenceOut` does."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from storage.teaching import Score
from ui.wire import Incoming, RelationOut, SlotOut

Cells = Annotated[
    dict[Annotated[str, StringConstraints(max_length=80)], Annotated[str, StringConstraints(max_length=20)]], Field(max_length=16)
]


class CommitIn(Incoming):
    """A reading: finding -> class."""

    cells: Cells


class ModelIn(Incoming):
    """The slices on the screen, which the model is asked of, prior first; `alone` hides the prior from it."""

    frames: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]
    alone: bool = False


class RevealIn(Incoming):
    """What the model said, finding -> class, to be held against the reference too; empty when it was not asked."""

    model: Cells = Field(default_factory=dict)


class ReadOut(BaseModel):
    """A committed reading in the history: when, and how many findings were as the reference or left open."""

    key: str
    title: str
    created: datetime
    right: int
    open: int
    total: int


class LineOut(BaseModel):
    """A case in the list; `series` and `frame` are its thumbnail. `read` is whether this reader committed a reading."""

    key: str
    title: str
    modality: str
    apart: str
    images: int
    series: int
    frame: int
    read: bool


class TeachOut(BaseModel):
    """The case library, and what this reader read, newest first."""

    cases: tuple[LineOut, ...]
    reads: tuple[ReadOut, ...]


class TeachCaseOut(BaseModel):
    """A case to read: its images, what is asked of them, and this reader's own words once they committed them."""

    key: str
    title: str
    slots: tuple[SlotOut, ...]
    relation: RelationOut
    findings: tuple[str, ...]
    cells: dict[str, str] | None
    committed: datetime | None


class ModelReadOut(BaseModel):
    """What the model says of each finding: shares and first class; `state`, `words` and `explanation` of its trust checks."""

    progression: dict[str, dict[str, float]]
    cells: dict[str, str]
    claims: int
    model: str
    state: str
    words: str
    explanation: str


class ReferenceOut(BaseModel):
    """The truth: finding -> class, which of them are `absent` at both dates, and how reader and model compare with it."""

    reference: dict[str, str]
    absent: tuple[str, ...]
    title: str
    lesson: str
    yours: Score
    model: Score | None
