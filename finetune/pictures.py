"""Image files of a benchmark as a model is shown them: through the same reader and display pipeline as a study's.

Shapes are read ahead of the work from the files' heads, so that a missing or broken image is known before anything is asked.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import ExifTags
from PIL import Image as Pillow

from errors import StudyError, StudyUnreadable
from inference import pixels, probes
from inference.engine import Image
from inference.images import frame_image
from storage import studies
from storage.studies.images import FORMATS

Shape = tuple[int, int]
"""Height and width in pixels."""
GREY_SIDE = 64
"""Longer side in pixels of the grey that stands for an image: an even grey needs no more to be scaled to a model's size."""
ORIENTATION = ExifTags.Base.Orientation
SIDEWAYS = 5
"""EXIF orientations from here on exchange width and height."""


@lru_cache(maxsize=6)
def picture(path: Path) -> Image:
    """The image of a file, of several frames the middle one, without a role. Raises `StudyError`."""
    reading = studies.read([path])
    series = [one for study in reading.studies for one in study.series]
    if not series:
        raise StudyUnreadable(next((file.reason for file in reading.files if file.reason), "holds no image that can be read"), str(path))
    frames = series[0].frames
    return frame_image(frames[len(frames) // 2])


@lru_cache(maxsize=32)
def grey(shape: Shape) -> Image:
    """One even grey of that shape, the same for every model."""
    return pixels.image(np.full((*shape, 3), probes.GREY, np.uint8))


@lru_cache(maxsize=1 << 16)
def shape(path: Path) -> Shape:
    """Shape of the image as it is shown, from the file's head where that tells. Raises `StudyError`."""
    try:
        with (
            warnings.catch_warnings(action="ignore", category=Pillow.DecompressionBombWarning),
            Pillow.open(path, formats=FORMATS) as opened,
        ):
            turned = opened.getexif().get(ORIENTATION, 1) >= SIDEWAYS
            return (opened.width, opened.height) if turned else (opened.height, opened.width)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError):
        height, width = picture(path).pixels.shape[:2]
        return height, width


def proportions(path: Path | None) -> Shape:
    """Shape of the grey that stands for an image, the same proportions in small; a square for a file that is not there."""
    height, width = shape(path) if path is not None else (1, 1)
    longer = max(height, width)
    return max(1, round(GREY_SIDE * height / longer)), max(1, round(GREY_SIDE * width / longer))


def trouble(path: Path) -> str:
    """Why the file cannot be shown, `` when its head is in order; the pixels are not read yet."""
    try:
        shape(path)
    except StudyError as error:
        return str(error)
    return ""


def mark(path: Path) -> str:
    """What tells this file from a changed one of the same name, without reading it: name, bytes, time of writing."""
    found = path.stat()
    return f"{path.name}:{found.st_size}:{found.st_mtime_ns}"
