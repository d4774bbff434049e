"""One study, whatever came in: `Study > Series > Frame`, plain values that every other room uses.

Nothing downstream asks whether a frame was DICOM, NIfTI or PNG. Pixels are not here: `pixels.stored`,
`pixels.modality` and `pixels.display` read them from the frame's source on demand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

Kind = Literal["dicom", "nifti", "image"]
Plane = Literal["axial", "coronal", "sagittal", "oblique", ""]
Outcome = Literal["imported", "duplicate", "skipped", "refused"]


@dataclass(frozen=True)
class Window:
    """A grey-level window in the modality's units (DICOM PS3.3 C.11.2); width > 0.

    `LUT` stands for the file's own lookup table; centre and width are then the straight window closest to it.
    """

    center: float
    width: float
    name: str = ""
    function: Literal["LINEAR", "LINEAR_EXACT", "SIGMOID", "LUT"] = "LINEAR"


@dataclass(frozen=True)
class Source:
    """Where a frame's bytes are: a file, its kind, its SHA-256 (of the file's bytes)."""

    path: Path
    kind: Kind
    sha256: str


@dataclass(frozen=True)
class Frame:
    """One two-dimensional image.

    `spacing` is (row, column) in mm, None when the image is not calibrated; `position` is the patient
    coordinate (LPS, mm) of the first pixel; `orientation` the six direction cosines of row and column;
    `location` is the distance along the series normal in mm.
    """

    source: Source
    index: int
    rows: int
    columns: int
    samples: int = 1
    units: str = ""
    spacing: tuple[float, float] | None = None
    position: tuple[float, float, float] | None = None
    orientation: tuple[float, float, float, float, float, float] | None = None
    location: float | None = None
    windows: tuple[Window, ...] = ()
    instance_uid: str = ""
    frame_of_reference: str = ""
    lossy: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Identity of the frame's pixels: file hash and frame number."""
        return f"{self.source.sha256}:{self.index}"


@dataclass(frozen=True)
class Series:
    """Frames of one acquisition, in geometric order where there is geometry, else by instance number."""

    uid: str
    modality: str
    number: int | None = None
    description: str = ""
    body_part: str = ""
    laterality: str = ""
    view: str = ""
    plane: Plane = ""
    acquired: datetime | None = None
    frames: tuple[Frame, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """One examination of one patient. `date_known` is False when the file carries no date."""

    uid: str
    patient_id: str
    patient_name: str = ""
    patient_sex: str = ""
    patient_birth_year: int | None = None
    acquired: datetime | None = None
    description: str = ""
    accession: str = ""
    series: tuple[Series, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def modalities(self) -> tuple[str, ...]:
        """Distinct modalities in the order of the series."""
        return tuple(dict.fromkeys(series.modality for series in self.series))


@dataclass(frozen=True)
class FileOutcome:
    """What became of one file of an upload; `reason` is one sentence unless it was imported."""

    path: str
    outcome: Outcome
    reason: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Reading:
    """The studies found under some paths, and what became of every file."""

    studies: tuple[Study, ...] = ()
    files: tuple[FileOutcome, ...] = ()
    warnings: tuple[str, ...] = field(default=())
