"""Feedback and review over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from finetune.flags import Fate
from storage.feedback import MAX_ANSWER, MAX_CELLS, MAX_COMMENT, Said
from storage.flags import FlagView
from storage.review_views import Decision, Filters, ItemView, Judgement, Order, Shown
from storage.roles import MAX_NAME, Right
from storage.statements import Statement
from storage.views import AskedMark, FeedbackView, Role, Severity, Verdict
from ui.wire import Coordinate, Incoming, RelationOut, SlotOut

Comment = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_COMMENT)]
Corrected = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_ANSWER)]
Code = Annotated[str, StringConstraints(max_length=40)]
Finding = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]


class PlaceIn(Incoming):
    """A place in image `image` (from 0) of the question that feedback speaks of; `points` are (column, row) in pixels of the frame."""

    image: int = Field(ge=0, le=7)
    label: Annotated[str, StringConstraints(max_length=16)] = ""
    kind: Annotated[str, StringConstraints(pattern=r"^[a-z]{1,16}$")] = "point"
    points: Annotated[tuple[tuple[Coordinate, Coordinate], ...], Field(min_length=1, max_length=2000)]


class FeedbackIn(Incoming):
    """What a reader says of an answer version. A field left out leaves what stood; an empty one takes it back."""

    version_id: int = Field(ge=1)
    verdict: Verdict = ""
    comment: Comment | None = None
    codes: Annotated[tuple[Code, ...], Field(max_length=16)] | None = None
    severity: Severity | None = None
    corrected_answer: Corrected | None = None
    cells: Annotated[dict[Finding, str], Field(max_length=MAX_CELLS)] | None = None
    mark: PlaceIn | Literal[""] | None = None
    preferred_over: Annotated[int, Field(ge=0)] | None = None

    def said(self) -> Said:
        """As the store takes it. Raises `InputError`."""
        place = self.mark
        mark = AskedMark(place.image, place.label, place.kind, place.points) if isinstance(place, PlaceIn) else place
        given = self.model_dump(exclude={"version_id", "mark"})
        return Said(**given, mark=mark)


class SaidOut(BaseModel):
    """The row that was added, as it stands."""

    id: int
    feedback: FeedbackView


class FlagOut(BaseModel):
    """What the reader said of an answer, and what became of it; `fate` is null until a candidate was asked again."""

    flag: FlagView
    fate: Fate | None


class FormOut(BaseModel):
    """What the form offers: error codes with their meaning, classes of a finding, classes of the disease as a whole."""

    codes: tuple[tuple[str, str], ...]
    classes: tuple[str, ...]
    overall: tuple[str, ...]


class MeOut(BaseModel):
    """The reader, as the page needs to know."""

    id: int
    name: str
    role: Role
    rights: tuple[Right, ...]


class NameIn(Incoming):
    """What the reader wants to be called."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_NAME)]


class FiltersIn(Incoming):
    """Which cases of the queue."""

    state: Shown = ""
    ability: Code = ""
    modality: Code = ""
    model: Annotated[str, StringConstraints(max_length=200)] = ""
    code: Code = ""
    reader: int = Field(0, ge=0)
    order: Order = "smart"
    mine: bool = False

    def filters(self) -> Filters:
        """As the store takes them."""
        return Filters(**self.model_dump())


class JudgementIn(Incoming):
    """What a reviewer decides of a case."""

    decision: Decision
    verdict: Verdict = ""
    codes: Annotated[tuple[Code, ...], Field(max_length=16)] = ()
    severity: Severity = ""
    corrected_answer: Corrected = ""
    cells: Annotated[dict[Finding, str], Field(max_length=MAX_CELLS)] = Field(default_factory=dict)
    comment: Comment = ""
    blind: bool = False

    def judgement(self) -> Judgement:
        """As the store takes it, checked by the rules of feedback. Raises `InputError`."""
        Said(self.verdict, self.comment, self.codes, self.severity, self.corrected_answer, self.cells)
        given = self.model_dump(exclude={"decision", "blind"})
        return Judgement(self.decision, Statement(**given), self.blind)


class SuggestionOut(BaseModel):
    """A correction that follows from what was said; `why` names what it follows from. Empty when nothing does."""

    answer: str = ""
    cells: dict[str, str] = Field(default_factory=dict)
    why: str = ""


class CaseOut(BaseModel):
    """A case as the viewer and the review pane open it. `lost` names images that are no longer there, `fate` is what became of it."""

    case: ItemView
    slots: tuple[SlotOut, ...]
    relation: RelationOut
    suggestion: SuggestionOut
    lost: tuple[str, ...] = ()
    fate: Fate | None = None


class ExampleOut(BaseModel):
    """A worked example of the guidelines."""

    question: str
    answer: str
    truth: str
    codes: tuple[str, ...]
    cells: dict[str, str]
    corrected: str
    why: str


class GuidelineOut(BaseModel):
    """What an error code means, when it is and is not given, and examples."""

    code: str
    title: str
    give: str
    leave: str
    examples: tuple[ExampleOut, ...] = ()


class GuidelinesOut(BaseModel):
    """The annotators' guidelines."""

    revised: datetime | None = None
    rules: tuple[str, ...]
    codes: tuple[GuidelineOut, ...]
