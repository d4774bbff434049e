"""PNG, JPEG and TIFF as frames: grey stays grey, 16 bits stay 16, colour becomes RGB, a picture of greys is grey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from errors import StudyUnreadable
from storage.studies.budget import Budget
from storage.studies.model import Frame, Series, Source, Study

FORMATS = ("PNG", "JPEG", "TIFF")
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")


def _open(path: Path, budget: Budget) -> Image.Image:
    budget.check_bytes(path.stat().st_size)
    picture = Image.open(path, formats=FORMATS)
    try:
        _refuse(picture, path, budget)
    except BaseException:
        picture.close()
        raise
    return picture


def _refuse(picture: Image.Image, path: Path, budget: Budget) -> None:
    """Raise when what the picture claims is over the limits, or is no real image's."""
    frames = int(getattr(picture, "n_frames", 1)) if picture.format == "TIFF" else 1
    budget.check_pixels(picture.height, picture.width, frames, len(picture.getbands()))
    if picture.width * picture.height > 64_000_000 and picture.width * picture.height > 1000 * path.stat().st_size:
        raise StudyUnreadable(
            f"claims {picture.width} x {picture.height} pixels in {path.stat().st_size:,} bytes, which no real image does"
        )


def describe(path: Path, source: Source, budget: Budget, name: str) -> tuple[Study, Series]:
    """The picture's pages as frames of one series. Identity is the content; there is no patient and no date."""
    with _open(path, budget) as picture:
        pages = int(getattr(picture, "n_frames", 1)) if picture.format == "TIFF" else 1
        moving = bool(getattr(picture, "is_animated", False)) and picture.format != "TIFF"
        form = str(picture.format)
    warnings = ["no pixel spacing: measurements are in pixels", "no patient, date or modality in the file"]
    if moving:
        warnings.append("animated: only its first picture was taken")
    if form == "JPEG":
        warnings.append("lossy compressed")
    frames = tuple(_frame(path, source, index, budget, form == "JPEG", tuple(warnings)) for index in range(pages))
    series = Series(uid=uid(source.sha256, 1), modality="OT", description=name, frames=frames)
    return Study(uid=uid(source.sha256, 0), patient_id="", description=name, warnings=("the study has no date",)), series


def _frame(path: Path, source: Source, index: int, budget: Budget, lossy: bool, warnings: tuple[str, ...]) -> Frame:
    array = decode(path, index, budget)
    samples = 3 if array.ndim == 3 else 1
    return Frame(
        source, index, array.shape[0], array.shape[1], samples, instance_uid=uid(source.sha256, 2 + index), lossy=lossy, warnings=warnings
    )


def uid(digest: str, salt: int) -> str:
    """A UID (2.25., PS3.5 B.2) made from content, so that the same bytes are always the same study."""
    return f"2.25.{(int(digest[:32], 16) + salt) % (1 << 128)}"


def decode(path: Path, index: int, budget: Budget) -> NDArray[np.generic]:
    """Page `index`: (H, W) uint8, uint16, int32 or float32, or (H, W, 3) uint8. Turned upright as its EXIF says."""
    with _open(path, budget) as picture:
        if index:
            picture.seek(index)
            budget.check_pixels(picture.height, picture.width, 1, len(picture.getbands()))
        upright = ImageOps.exif_transpose(picture) or picture
        return _array(upright)


def _array(picture: Image.Image) -> NDArray[np.generic]:
    if picture.mode in _DEEP:
        deep = np.array(picture)
        if picture.mode == "I" and deep.min() >= 0 and deep.max() <= 65535:
            return deep.astype(np.uint16)
        return deep.astype(deep.dtype.newbyteorder("="))
    if picture.mode in ("1", "L"):
        return np.array(picture.convert("L"))
    if picture.mode in ("LA", "La", "RGBA", "RGBa", "PA") or (picture.mode == "P" and "transparency" in picture.info):
        over = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", over.size, (0, 0, 0, 255)), over)
    colour = np.array(picture.convert("RGB"))
    if np.array_equal(colour[..., 0], colour[..., 1]) and np.array_equal(colour[..., 0], colour[..., 2]):
        return np.ascontiguousarray(colour[..., 0])
    return colour
