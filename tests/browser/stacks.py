"""Synthetic stacks for the tests of comparing: two CT exams of one patient that share nothing but the anatomy.

The anatomy is a function of the place in the patient, so that each exam shows the truth of its own geometry: a block whose
grey value is the place along the body's axis, and a ball whose diameter differs between the dates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from tests.dicoms import dataset, write

SIZE = 128
FIELD = 256.0
"""Pixels and mm of a slice's side."""


@dataclass(frozen=True)
class Exam:
    """One CT exam. Slice `n` lies at `first + n * step` mm of its own frame of reference; `origin` is what is added to a
    place in the patient to have it there."""

    date: str
    first: float
    step: float
    count: int
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ball: float = 20.0
    description: str = "Chest axial"
    uid: str = field(default_factory=lambda: generate_uid(prefix=None))
    body_part: str = "CHEST"
    orientation: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

    def anatomy(self, index: int) -> float:
        """Place of slice `index` along the body's axis in the patient, mm."""
        return self.first + index * self.step - self.origin[2]

    def slice(self, index: int) -> NDArray[np.int16]:
        """(128, 128) int16 HU: air around, a body whose value is 10 HU a mm of height, a ball of 900 HU at height 0."""
        at = (np.arange(SIZE) - (SIZE - 1) / 2) * (FIELD / SIZE)
        along, down = np.meshgrid(at, at)
        x, y = (along * self.orientation[axis] + down * self.orientation[axis + 3] for axis in (0, 1))
        height = self.anatomy(index)
        body = (x / 100) ** 2 + (y / 80) ** 2 < 1
        pixels = np.where(body, np.clip(10 * height, -900, 800), -1000)
        ball = (x - 30) ** 2 + y**2 + height**2 < (self.ball / 2) ** 2
        return np.where(ball, 900, pixels).astype(np.int16)


PRIOR = Exam("20240102", first=-30, step=1.25, count=49)
CURRENT = Exam("20240301", first=870, step=-5, count=13, origin=(12.0, -7.0, 840.0), ball=30.0, orientation=(1.0, 0.0, 0.0, 0.0, -1.0, 0.0))
"""Another frame of reference, four times the thickness, the other direction: its slices run from the head to the feet."""


def exam(folder: Path, made: Exam, patient: str = "4711") -> list[Path]:
    """The exam's DICOM files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    half = (SIZE - 1) / 2 * (FIELD / SIZE)
    for index in range(made.count):
        middle = (made.origin[0], made.origin[1], made.first + index * made.step)
        corner = [middle[axis] - half * (made.orientation[axis] + made.orientation[axis + 3]) for axis in range(3)]
        one = dataset(
            made.slice(index),
            PatientID=patient,
            StudyInstanceUID=made.uid,
            SeriesInstanceUID=f"{made.uid}.1",
            SOPInstanceUID=f"{made.uid}.1.{index + 1}",
            FrameOfReferenceUID=f"{made.uid}.9",
            StudyDate=made.date,
            SeriesDate=made.date,
            AcquisitionDate=made.date,
            SeriesDescription=made.description,
            StudyDescription="CT chest",
            BodyPartExamined=made.body_part,
            InstanceNumber=index + 1,
            ImagePositionPatient=corner,
            ImageOrientationPatient=list(made.orientation),
            PixelSpacing=[FIELD / SIZE, FIELD / SIZE],
            SliceThickness=abs(made.step),
            RescaleSlope=1,
            RescaleIntercept=0,
            WindowCenter=0,
            WindowWidth=2000,
        )
        paths.append(write(one, folder / f"{index + 1:03}.dcm"))
    return paths


def two_exams(folder: Path, patient: str = "4711") -> list[Path]:
    """Files of `PRIOR` and `CURRENT` of one patient."""
    return [*exam(folder / "prior", PRIOR, patient), *exam(folder / "current", CURRENT, patient)]
