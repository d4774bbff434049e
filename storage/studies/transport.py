"""A frame as another program draws it: plain numbers in one of four types, and what turns them into grey.

The browser receives `values(frame)` and does rescale, window and inversion itself, so that changing the window costs no
request. `form(frame)` says how to read them without decoding anything.

    units = values * form.slope + form.intercept;  grey = window(units);  if form.inverse: grey = 1 - grey
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from errors import StudyError
from storage.studies import dicompixels, pixels, voi
from storage.studies.boundary import typed
from storage.studies.model import Frame, Series, Window
from storage.studies.voi import Lut, Mapping

Dtype = Literal["uint8", "uint16", "int16", "float32"]
_WHOLE: dict[str, Dtype] = {"bool": "uint8", "uint8": "uint8", "int8": "int16", "uint16": "uint16", "int16": "int16"}
_VERSION = 1

Values = NDArray[np.generic]
"""(H, W) or (H, W, 3) in the type of a `Form`."""


@dataclass(frozen=True)
class Form:
    """How to read `values`: type, channels (1, or 3 for interleaved RGB), rescale to the modality's units, inversion.

    `lut` names the VOI lookup table that the file brings (`table`), '' when it brings none.
    """

    dtype: Dtype
    channels: Literal[1, 3] = 1
    slope: float = 1.0
    intercept: float = 0.0
    inverse: bool = False
    lut: str = ""


def form(frame: Frame) -> Form:
    """What `values(frame)` will be; opens a DICOM file's header only. Raises `StudyError`."""
    if frame.source.kind != "dicom":
        raw = pixels.raw_of(frame)
        return _form(str(raw.values.dtype), raw.rgb is not None, raw.mapping)
    with typed(frame.source.path.name):
        opened, shape = pixels.header_of(frame)
        mapping = dicompixels.mapping(opened, shape, frame.index)
    floating = opened.layout.pixel_keyword != "PixelData"
    stored = "float32" if floating else f"{'' if shape.signed else 'u'}int{max(8, shape.allocated)}"
    return _form(stored, shape.samples > 1 or shape.photometric == "PALETTE COLOR", mapping)


def _form(stored: str, colour: bool, mapping: Mapping) -> Form:
    if colour:
        return Form("uint8", 3)
    lut = mapping.voi_lut.key if mapping.voi_lut is not None else ""
    dtype = _WHOLE.get(stored)
    if dtype is None or mapping.modality_lut is not None:
        return Form("float32", inverse=mapping.inverse, lut=lut)
    return Form(dtype, 1, mapping.slope, mapping.intercept, mapping.inverse, lut)


def values(frame: Frame) -> tuple[Form, NDArray[np.generic]]:
    """(H, W), or (H, W, 3) RGB, little-endian in the type of its form. Raises `StudyError`.

    Values the file calls padding are no measurement; they become the image's own darkest value, so that they are black in
    every window as in `pixels.display`.
    """
    raw = pixels.raw_of(frame)
    found = _form(str(raw.values.dtype), raw.rgb is not None, raw.mapping)
    if raw.rgb is not None:
        return found, np.ascontiguousarray(raw.rgb)
    little = np.dtype(found.dtype).newbyteorder("<")
    if found.dtype == "float32":
        array = np.nan_to_num(raw.mapping.modality(raw.values).astype(little), copy=False)
    else:
        array = np.asarray(raw.values).astype(little, copy=False)
    padded = raw.mapping.padded(raw.values)
    if padded is not None and padded.any() and not padded.all():
        array = array.copy()
        rest = array[~padded]
        array[padded] = rest.max() if found.inverse == (found.slope > 0) else rest.min()
    return found, np.ascontiguousarray(array)


def tag(frame: Frame, more: str = "") -> str:
    """Entity tag of a frame's values, equal only for equal bytes: files never change under their hash."""
    return hashlib.sha256(f"{_VERSION}|{frame.key}|{more}".encode()).hexdigest()[:32]


def table(frame: Frame) -> Lut | None:
    """The VOI lookup table a DICOM file brings for a frame, None when it brings none; opens its header only. Raises `StudyError`."""
    if frame.source.kind != "dicom":
        return None
    with typed(frame.source.path.name):
        opened, shape = pixels.header_of(frame)
        return dicompixels.mapping(opened, shape, frame.index).voi_lut


def windows(series: Series) -> tuple[Window, ...]:
    """`pixels.windows`, led by the file's own lookup table where it has one. Raises `StudyError`."""
    offered = pixels.windows(series)
    if not offered:
        return ()
    lut = pixels.speaking(series)[1].mapping.voi_lut
    return (_straight(lut), *offered) if lut is not None else offered


def _straight(lut: Lut) -> Window:
    """The window that stands for a lookup table: between the inputs it shows at 5 and 95 % of its range; all of one that does not rise."""
    shown_ = lut.entries / max(lut.top, 1.0)
    rising = np.maximum.accumulate(shown_)
    if shown_[-1] <= shown_[0] or not np.allclose(rising, shown_, atol=0.02):
        return Window(lut.first + (len(shown_) - 1) / 2, max(len(shown_) - 1.0, 1.0), "as filed", "LUT")
    low, high = (float(lut.first + np.searchsorted(rising, level * shown_[-1])) for level in (0.05, 0.95))
    return Window((low + high) / 2, max((high - low) / 0.9, 1.0), "as filed", "LUT")


def shown(form_: Form, array: Values, window: Window, lut: Lut | None = None) -> NDArray[np.uint8]:
    """Grey values as a window, or the table it stands for, shows them, (H, W) uint8: what the browser does with `values`."""
    bright = voi.bright(array.astype(np.float64) * form_.slope + form_.intercept, window, lut)
    return np.rint((1 - bright if form_.inverse else bright) * 255).astype(np.uint8)


def readable(frame: Frame) -> tuple[Form, str]:
    """The form, and '' or the reason why the frame cannot be read."""
    try:
        return form(frame), ""
    except StudyError as error:
        return Form("uint8", 3 if frame.samples > 1 else 1), error.reason
