"""Over the wire before a question is sent: what fits, what it costs, and the reader's own wordings."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from inference.answer import MAX_QUESTION
from storage import templates
from storage.views import Ability, Relationship
from ui.wire import ClinicalIn, Incoming, MarkIn, SlotIn

Template = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=templates.LONGEST)]
Letters = Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,2}$")]


class DraftIn(Incoming):
    """A question as it stands in the box, not asked yet."""

    question: Annotated[str, StringConstraints(max_length=MAX_QUESTION)] = ""
    slots: Annotated[tuple[SlotIn, ...], Field(min_length=1, max_length=8)]
    ability: Ability = "temporal"
    relationship: Relationship = "temporal"
    session_id: int | None = None
    marks: Annotated[tuple[MarkIn, ...], Field(max_length=26)] = ()
    clinical: ClinicalIn = Field(default_factory=ClinicalIn)


class BudgetOut(BaseModel):
    """Tokens of a draft; `exact` False means reckoned. `earlier_questions` are remembered, `left_out` are not."""

    images: int
    words: int
    earlier: int
    answer: int
    whole: int
    taken: int
    fits: bool
    exact: bool
    earlier_questions: int
    left_out: str


class FitIn(Incoming):
    """What hangs, to find questions that fit it."""

    series_ids: Annotated[tuple[int, ...], Field(min_length=1, max_length=8)]
    ability: Ability = "temporal"
    relationship: Relationship = "temporal"
    marks: Annotated[tuple[Letters, ...], Field(max_length=26)] = ()


class TemplatesIn(Incoming):
    """A reader's list for one ability; an empty one brings the program's own back."""

    texts: Annotated[tuple[Template, ...], Field(max_length=templates.MOST)]


class TemplatesOut(BaseModel):
    """The templates of one ability, and whether the reader wrote them."""

    texts: tuple[str, ...]
    own: bool
