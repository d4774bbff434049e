"""What goes over the wire, both ways: checked on the way in, plain on the way out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from inference.answer import MAX_QUESTION
from storage.views import Ability, AskedMark, Clinical, PatientSummary, Relationship, SessionSummary, Slot, TurnView
from ui.demo import DemoCase
from ui.engine_room import EngineStatus
from ui.rendering import window_of

Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=120)]
Told = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000)]
ModelName = Annotated[str, StringConstraints(max_length=300)]
"""One of the offered models, `` being the one that is served."""
Coordinate = Annotated[float, Field(ge=-1e5, le=1e5, allow_inf_nan=False)]


def _window(text: str) -> str:
    window_of(text)
    return text


class Incoming(BaseModel):
    """Base of everything a browser sends: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SlotIn(Incoming):
    """One image in declared order, in the window its viewport shows (as `/pixels` takes it)."""

    series_id: int = Field(ge=1)
    frame: int = Field(0, ge=0)
    role: Words = ""
    when: Words = ""
    window: Annotated[Words, AfterValidator(_window)] = ""

    def slot(self) -> Slot:
        """As the store keeps it."""
        return Slot(self.series_id, self.frame, self.role, self.when, self.window)


class MarkIn(Incoming):
    """A lettered mark that goes to the model with image `image` (from 0); `points` are (column, row) in pixels of the frame."""

    image: int = Field(ge=0, le=7)
    label: Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,2}$")]
    kind: Literal["point", "arrow", "box", "free"]
    points: Annotated[tuple[tuple[Coordinate, Coordinate], ...], Field(min_length=1, max_length=256)]

    def mark(self) -> AskedMark:
        """As the store keeps it."""
        return AskedMark(self.image, self.label, self.kind, self.points)


class ClinicalIn(Incoming):
    """What is told beside the images; an empty field is not sent."""

    indication: Told = ""
    technique: Told = ""
    prior_report: Annotated[str, StringConstraints(strip_whitespace=True, max_length=6000)] = ""
    age: Annotated[str, StringConstraints(strip_whitespace=True, max_length=40)] = ""

    def clinical(self) -> Clinical:
        """As the store keeps it."""
        return Clinical(**self.model_dump())


class AskIn(Incoming):
    """A question about images in declared order; `session_id` None begins a session."""

    question: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION)]
    slots: Annotated[tuple[SlotIn, ...], Field(min_length=1, max_length=8)]
    ability: Ability = "temporal"
    relationship: Relationship = "temporal"
    session_id: int | None = None
    different_patients: bool = False
    marks: Annotated[tuple[MarkIn, ...], Field(max_length=26)] = ()
    clinical: ClinicalIn = Field(default_factory=ClinicalIn)
    model: ModelName = ""

    @model_validator(mode="after")
    def _on_an_image(self) -> Self:
        if any(mark.image >= len(self.slots) for mark in self.marks):
            raise ValueError("a mark lies on an image that does not go along")
        return self


class AgainIn(Incoming):
    """Another answer to a kept question, by this model."""

    model: ModelName = ""


class SlotsIn(Incoming):
    """The images of a session."""

    slots: Annotated[tuple[SlotIn, ...], Field(max_length=8)]
    relationship: Relationship = "temporal"


class RelateIn(Incoming):
    """Series in the order shown; a `relationship` that the reader chose, or None to guess."""

    series_ids: Annotated[tuple[int, ...], Field(max_length=8)]
    relationship: Relationship | None = None


class HangIn(Incoming):
    """Studies to hang."""

    study_ids: Annotated[tuple[int, ...], Field(min_length=1, max_length=64)]


class StartIn(Incoming):
    """A session that begins without a question; without a title it gets one."""

    slots: Annotated[tuple[SlotIn, ...], Field(min_length=1, max_length=8)]
    relationship: Relationship = "temporal"
    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=160)] = ""


class OverrideIn(Incoming):
    """Why a reader goes past warnings about these series."""

    series_ids: Annotated[tuple[int, ...], Field(min_length=1, max_length=8)]
    codes: Annotated[tuple[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z-]{0,31}$")], ...], Field(min_length=1, max_length=16)]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=400)]


class TitleIn(Incoming):
    """A new title."""

    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=160)]


class NoticeIn(Incoming):
    """Something the reader did that is kept in the audit."""

    action: Literal["notice-dismissed"]


class WindowOut(BaseModel):
    """A window preset."""

    name: str
    center: float
    width: float
    function: str


class SeriesWordsOut(BaseModel):
    """What a series says of itself, wherever it is shown."""

    modality: str
    number: int | None
    description: str
    body_part: str
    laterality: str
    view: str
    plane: str
    lossy: bool
    windows: tuple[WindowOut, ...]
    warnings: tuple[str, ...]


class SeriesOut(SeriesWordsOut):
    """What a viewport needs to know of a series."""

    id: int
    frames: int
    rows: int
    columns: int
    spacing: tuple[float, float] | None
    study_uid: str
    study_description: str
    acquired: datetime | None
    pseudonym: str


class NoticeOut(BaseModel):
    """One thing that speaks against comparing what is shown; a blocking one needs a typed reason to go past."""

    code: str
    text: str
    blocking: bool


class RelationOut(BaseModel):
    """How the shown series relate, in which words each is announced, and what speaks against comparing them."""

    relationship: Relationship
    guessed: Relationship
    roles: tuple[str, ...]
    whens: tuple[str, ...]
    order: tuple[int, ...]
    reason: str
    warnings: tuple[str, ...]
    blocking: bool
    interval_days: float | None
    mixing: tuple[NoticeOut, ...] = ()


Kind = Literal["CT", "MR", "XR", "MG", "other"]


class FrameOut(BaseModel):
    """One frame of a series as the viewer reads it (`storage.studies.transport`); geometry in mm, LPS.

    `lut` names one of `FramesOut.luts`, the VOI lookup table of this frame's file; '' when it brings none.
    """

    n: int
    key: str
    rows: int
    columns: int
    spacing: tuple[float, float] | None
    position: tuple[float, float, float] | None
    orientation: tuple[float, float, float, float, float, float] | None
    location: float | None
    frame_of_reference: str
    dtype: str
    channels: int
    slope: float
    intercept: float
    inverse: bool
    lut: str
    error: str


class FrameStudyOut(BaseModel):
    """The study of a series and its place among the patient's dated studies; `relative` is relative to the newest.

    `name` is empty unless the site keeps identities.
    """

    id: int
    uid: str
    date: datetime | None
    description: str
    pseudonym: str
    name: str
    patient_id: int
    relative: str
    ordinal: int | None
    of: int


class FrameUrlsOut(BaseModel):
    """Addresses of a frame's pixels; `{n}` stands for its number."""

    pixels: str
    reduced: str


class LegendOut(BaseModel):
    """What the ends of a difference map's colours stand for."""

    unit: str
    low: float
    high: float


class DerivedOut(BaseModel):
    """Says that pixels are not a series' own: which job made them, and the words the viewer must show with them."""

    kind: Literal["registered", "difference", "checkerboard"]
    job: str
    words: str
    legend: LegendOut | None = None


class LutOut(BaseModel):
    """A VOI lookup table (PS3.3 C.11.2.1.1): white is `top`, `first` is the value that maps to the first entry, the ends hold beyond."""

    first: int
    top: float
    entries: tuple[float, ...]


class FramesOut(SeriesWordsOut):
    """A series as the viewer opens it: everything but the pixels. `derived` marks pictures made by a registration.

    A window whose function is `LUT` stands for the table that each frame names.
    """

    series_id: int
    uid: str
    units: str
    kind: Kind
    color: bool
    spacing_known: bool
    spacing_note: str
    luts: dict[str, LutOut]
    study: FrameStudyOut
    urls: FrameUrlsOut
    frames: tuple[FrameOut, ...]
    derived: DerivedOut | None = None


class SlotOut(BaseModel):
    """A filled viewport."""

    series: SeriesOut
    frame: int
    role: str
    when: str
    window: str = ""


class TimePointSeriesOut(BaseModel):
    """A series that can be hung from the timeline."""

    series_id: int
    modality: str
    description: str
    body_part: str
    laterality: str
    view: str
    plane: str
    frames: int


class TimePointOut(BaseModel):
    """One study on the timeline: `days` before the newest, `at` its true place from 0 (oldest) to 1 (newest); None without a date."""

    study_id: int
    date: datetime | None
    days: float | None
    at: float | None
    words: str
    ordinal: int | None
    of: int
    description: str
    modalities: tuple[str, ...]
    series: tuple[TimePointSeriesOut, ...]
    best_series_id: int


class TimelineOut(BaseModel):
    """Every study of a patient at its true distance in time, oldest first, those without a date last."""

    patient_id: int
    pseudonym: str
    span_days: float
    points: tuple[TimePointOut, ...]


class HungOut(BaseModel):
    """A series and its study."""

    study_id: int
    series_id: int


class HangingOut(BaseModel):
    """Viewports in declared order and why; `rule` and `reason` say how the prior was chosen."""

    slots: tuple[SlotOut, ...]
    relation: RelationOut
    patient_id: int | None = None
    layout: str = "1xN"
    rule: str = ""
    reason: str = ""
    current: HungOut | None = None
    prior: HungOut | None = None
    timeline: TimelineOut | None = None


class SessionOut(BaseModel):
    """A session as the page opens it. `lost` names images that are no longer there."""

    id: int
    title: str
    updated: datetime
    slots: tuple[SlotOut, ...]
    relation: RelationOut
    turns: tuple[TurnView, ...]
    lost: tuple[str, ...] = ()


class LimitsOut(BaseModel):
    """Limits the page keeps before the server has to."""

    max_images: int
    max_upload_mb: int
    max_question: int


class LibraryOut(BaseModel):
    """What there is to read. `preparing`: demo cases are still being imported."""

    patients: tuple[PatientSummary, ...]
    cases: tuple[DemoCase, ...]
    preparing: bool


class StartOut(BaseModel):
    """Everything the page needs at its start."""

    engine: EngineStatus
    limits: LimitsOut
    library: LibraryOut
    sessions: tuple[SessionSummary, ...]


class SawImage(BaseModel):
    """One image as the model was shown it; `same` says whether the pixels made again have the kept hash."""

    number: int
    role: str
    when: str
    sha256: str
    same: bool
    url: str
    tile: int
    series: str
    marks: tuple[str, ...] = ()


class SawOut(BaseModel):
    """What the model saw for one answer: pixels in order, words, options."""

    images: tuple[SawImage, ...]
    prompt: str
    clinical: tuple[tuple[str, str], ...]
    model: str
    engine: str
    model_digest: str
    adapter_digest: str
    made: datetime | None
    options: dict[str, object]
    seed: int
    timings: dict[str, float]
    tokens: int
    mean_probability: float | None
