"""Who it was leaves at the door: PS3.15 Basic Profile with Modified Dates on DICOM, no metadata on anything else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from storage.studies.dicomfile import Header, PixelFormat
from storage.studies.model import Kind, Source


@dataclass(frozen=True)
class Deidentified:
    """A rewritten file: where it is, its SHA-256, the patient's pseudonym and the shift of all its dates in days (negative)."""

    path: Path
    kind: Kind
    sha256: str
    pseudonym: str
    shift_days: int
    notices: tuple[str, ...] = ()


class Deidentifier:
    """De-identifies with one site `salt`: the same patient always gets the same pseudonym and the same date shift.

    New files go to `out_dir` under the name of their SHA-256. The same original gives the same bytes every time.
    """

    def __init__(self, salt: bytes, out_dir: Path) -> None:
        self.salt = salt
        self.out_dir = out_dir

    def dicom(self, opened: Header, shape: PixelFormat) -> tuple[Header, Source]:
        """Rewrite one opened DICOM file."""
        raise NotImplementedError

    def picture(self, source: Source, name: str) -> tuple[Source, str]:
        """Rewrite one PNG, JPEG, TIFF or NIfTI file."""
        raise NotImplementedError

    def pseudonym(self, patient_id: str) -> str:
        """Pseudonym of a patient identifier, `P-` and twelve hexadecimal digits."""
        raise NotImplementedError

    def shift_days(self, patient_id: str) -> int:
        """Days (negative) that are added to every date of this patient."""
        raise NotImplementedError


def deidentify(path: Path, salt: bytes, out_dir: Path) -> Deidentified:
    """De-identify one file into `out_dir`. Raises `StudyError` when it cannot be read."""
    raise NotImplementedError
