"""What registrations and matched levels say over the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from ui.wire import Incoming


class EndIn(Incoming):
    """One frame of one series."""

    series_id: int = Field(ge=1)
    frame: int = Field(0, ge=0)


class AlignIn(Incoming):
    """Lay `moving` over `fixed`; `volume` None: in 3-D where both are volumes."""

    fixed: EndIn
    moving: EndIn
    kind: Literal["rigid", "similarity", "affine", "bspline"] = "rigid"
    volume: bool | None = None


class LevelIn(Incoming):
    """Which frame of the other series shows what this frame shows?"""

    series_id: int = Field(ge=1)
    frame: int = Field(ge=0)
    other_series_id: int = Field(ge=1)
    other_frame: int | None = Field(None, ge=0)


class PlanesOut(BaseModel):
    """Whether two series can be scrolled together, and why not."""

    compatible: bool
    angle: float | None
    same_frame_of_reference: bool
    reason: str


class LevelOut(BaseModel):
    """A proposed slice (None: refused), how it was found and how sure that is."""

    frame: int | None
    method: str
    confidence: float
    sure: str
    reason: str
    offset_mm: float | None


class EndOut(BaseModel):
    """One side of a registration."""

    series_id: int
    frame: int


class QualityOut(BaseModel):
    """How well two pictures lie on each other."""

    correlation: float
    mutual_information: float
    overlap: float


class MotionOut(BaseModel):
    """What a registration did to the middle of the picture."""

    shift: float
    unit: Literal["mm", "px"]
    rotation_degrees: float
    scale: float


class SourcesOut(BaseModel):
    """Addresses of the frames.json of what a registration made."""

    registered: str
    difference: str
    checkerboard: str


class AlignOut(BaseModel):
    """A registration on its way or done."""

    job: str
    state: Literal["waiting", "running", "done", "cancelled", "failed"]
    progress: float
    stage: str
    kind: str
    dimensions: int
    fixed: EndOut
    moving: EndOut
    before: QualityOut | None
    after: QualityOut | None
    better: bool | None
    motion: MotionOut | None
    seconds: float
    error: str
    sources: SourcesOut | None
