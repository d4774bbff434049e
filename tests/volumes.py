"""Small CT series as files: one body of ellipsoids, sliced with any thickness, direction, spacing and frame of reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from tests.dicoms import dataset, write


def body(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hounsfield units of the same body at (..., 3) points in its own mm: trunk, lungs, heart, spine, and organs at every level."""
    x, y, z = np.moveaxis(points, -1, 0)
    units = np.full(x.shape, -1000.0)
    units[(x / 90) ** 2 + (y / 65) ** 2 < 1] = 40
    for side in (-1, 1):
        units[((x - side * 42) / 30) ** 2 + ((y + 5) / 42) ** 2 + ((z - 60) / 55) ** 2 < 1] = -820
    units[((x - 12) / 26) ** 2 + ((y + 18) / 24) ** 2 + ((z - 35) / 28) ** 2 < 1] = 90
    units[(x / 11) ** 2 + ((y - 45) / 11) ** 2 < 1] = 320 + 60 * np.sign(np.sin(z[(x / 11) ** 2 + ((y - 45) / 11) ** 2 < 1] / 5))
    units[((x + 40) / 35) ** 2 + ((y + 10) / 30) ** 2 + ((z + 35) / 30) ** 2 < 1] = 110
    units[((x - 45) / 18) ** 2 + ((y - 12) / 18) ** 2 + ((z + 40) / 22) ** 2 < 1] = 150
    return units


def ct_series(
    folder: Path,
    *,
    slices: int = 24,
    thickness: float = 6.0,
    first: float = -70.0,
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
    head_first: bool = True,
    spacing: float = 3.4,
    side: int = 64,
    date: str = "20240102",
    patient: str = "4711",
    more: dict[str, object] | None = None,
) -> list[Path]:
    """Axial slices from body coordinate z = `first` upwards; `shift` is where the body lies in this frame of reference (mm, LPS).

    `head_first` False stores rows and slices the other way round, so that the normal points to the feet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    uid = generate_uid(entropy_srcs=[patient, date, str(shift)])
    row, column = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0 if head_first else -1.0, 0.0])
    half = spacing * (side - 1) / 2
    paths = []
    for number in range(slices):
        z = first + thickness * number
        corner = np.array([-half, -half if head_first else half, z])
        grid = corner + np.arange(side)[None, :, None] * spacing * row + np.arange(side)[:, None, None] * spacing * column
        values = body(grid) + np.random.default_rng(number).normal(0, 12, grid.shape[:2])
        place = [round(float(value), 4) for value in corner + np.array(shift)]
        tags: dict[str, object] = {
            "PatientID": patient, "StudyDate": date, "SeriesDate": date, "AcquisitionDate": date, "StudyInstanceUID": uid,
            "SeriesInstanceUID": f"{uid}.1", "SOPInstanceUID": f"{uid}.1.{number + 1}", "FrameOfReferenceUID": f"{uid}.9",
            "InstanceNumber": number + 1, "BodyPartExamined": "CHEST", "ImagePositionPatient": place,
            "ImageOrientationPatient": [*row.tolist(), *column.tolist()], "PixelSpacing": [spacing, spacing],
            "SliceThickness": thickness, "RescaleSlope": 1, "RescaleIntercept": 0, "WindowCenter": 40, "WindowWidth": 400,
        }  # fmt: skip
        made = dataset(np.rint(values).astype(np.int16), **(tags | (more or {})))  # type: ignore[arg-type]
        paths.append(write(made, folder / f"{number:03d}.dcm"))
    return paths
