"""From a frame to the JPEG a viewport shows: the display pipeline, resized to the size asked, kept for the next look.

Full-size displayed pixels and finished JPEGs are kept in two caches bounded in bytes, so that scrolling back and forth and
changing the size of the window decode nothing twice.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from storage.studies import Frame, Window, display

Value = TypeVar("Value")
SIZES = (96, 256, 512, 768, 1024, 1536, 2048, 3072, 4096)
"""Longest sides a viewport may ask for, so that few versions of one frame are made."""

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID", "LUT")
_MEGA = 1024 * 1024


class Kept(Generic[Value]):
    """Last used values up to `limit` bytes; safe between threads."""

    def __init__(self, limit: int, size: Callable[[Value], int]) -> None:
        self._limit, self._size = limit, size
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._held = 0
        self._lock = Lock()

    def get(self, key: str) -> Value | None:
        """The value, marked as just used, or None."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: str, value: Value) -> None:
        """Keep `value` and let go of the longest unused until all fit; one larger than the limit is not kept."""
        size = self._size(value)
        if size > self._limit:
            return
        with self._lock:
            if key in self._values:
                self._held -= self._size(self._values.pop(key))
            self._values[key] = value
            self._held += size
            while self._held > self._limit:
                self._held -= self._size(self._values.popitem(last=False)[1])

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held


class Renderer:
    """Makes and keeps viewport pictures."""

    def __init__(self, pixel_bytes: int = 96 * _MEGA, jpeg_bytes: int = 32 * _MEGA) -> None:
        self._pixels: Kept[NDArray[np.uint8]] = Kept(pixel_bytes, lambda value: int(value.nbytes))
        self._jpegs: Kept[bytes] = Kept(jpeg_bytes, len)

    def jpeg(self, frame: Frame, window: Window | None, size: int) -> bytes:
        """`frame` as a JPEG whose longest side is at most `size` pixels (never enlarged). Raises `StudyError`."""
        key = tag(frame, window, size)
        kept = self._jpegs.get(key)
        if kept is None:
            kept = encode(self._displayed(frame, window), size)
            self._jpegs.put(key, kept)
        return kept

    def _displayed(self, frame: Frame, window: Window | None) -> NDArray[np.uint8]:
        key = tag(frame, window, 0)
        pixels = self._pixels.get(key)
        if pixels is None:
            pixels = display(frame, window)
            self._pixels.put(key, pixels)
        return pixels


def encode(pixels: NDArray[np.uint8], size: int, quality: int = 90) -> bytes:
    """(H, W) or (H, W, 3) uint8 -> JPEG bytes, longest side at most `size`."""
    picture = Pillow.fromarray(np.ascontiguousarray(pixels))
    longest = max(picture.size)
    if longest > size:
        scale = size / longest
        resample = Pillow.Resampling.BOX if scale < 0.5 else Pillow.Resampling.BILINEAR
        smaller = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        picture = picture.resize(smaller, resample, reducing_gap=1.0)  # whole blocks first: a quarter of the time
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()


def tag(frame: Frame, window: Window | None, size: int) -> str:
    """Name of one rendering, equal only for equal pixels; also its HTTP entity tag."""
    grey = "" if window is None else f"{window.center!r},{window.width!r},{window.function}"
    return hashlib.sha256(f"1|{frame.key}|{grey}|{size}".encode()).hexdigest()[:32]


def window_of(text: str) -> Window | None:
    """`center,width[,function]` -> Window; `` means the file's own. Raises `ValueError` with a sentence for anything else."""
    if not text:
        return None
    parts = text.split(",")
    try:
        center, width = float(parts[0]), float(parts[1])
    except (ValueError, IndexError):
        raise ValueError("A window is centre,width as two numbers.") from None
    function = parts[2] if len(parts) > 2 else "LINEAR"
    if not (math.isfinite(center) and math.isfinite(width) and width > 0 and function in _FUNCTIONS):
        raise ValueError("A window needs a finite centre and a width above zero.")
    return Window(center, width, function=function)  # type: ignore[arg-type]


def step(size: int) -> int:
    """The smallest of `SIZES` that is not under `size`."""
    return next((known for known in SIZES if known >= size), SIZES[-1])
