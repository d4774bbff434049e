"""A case's report over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, StringConstraints

from storage.reports import LONGEST
from ui.wire import Incoming

Part = Annotated[str, StringConstraints(max_length=LONGEST)]


class ReportIn(Incoming):
    """The three parts as the reader left them."""

    findings: Part
    comparison: Part
    impression: Part


class WordsOut(BaseModel):
    """The three parts of a report."""

    findings: str
    comparison: str
    impression: str


class ReportOut(BaseModel):
    """A report as it stands and the draft it can go back to; `answers` it rests on, `refusal` says why it cannot go out as DICOM."""

    words: WordsOut
    draft: WordsOut
    edited: bool
    saved: datetime | None
    mark: str
    patient: str
    answers: int
    models: tuple[str, ...]
    cautions: tuple[str, ...]
    refusal: str
