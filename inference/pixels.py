"""The last step from a displayed frame to what a model sees: a square RGB tile at the model's own size.

Both engines and training call `tile`, so "what the model saw" is one function and GGUF and torch agree.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.engine import RGB, Image

MADE = 16
"""Tiles kept for the next question."""


def rgb(display: NDArray[np.uint8]) -> RGB:
    """(H, W) or (H, W, 3) uint8 -> contiguous (H, W, 3) uint8."""
    if display.ndim == 2:
        display = np.repeat(display[:, :, None], 3, axis=2)
    return np.ascontiguousarray(display[:, :, :3], dtype=np.uint8)


def image(display: NDArray[np.uint8], role: str = "", when: str = "") -> Image:
    """Wrap displayed pixels as an `Image` named by the SHA-256 of shape and pixels."""
    pixels = rgb(display)
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    return Image(pixels=pixels, sha256=digest, role=role, when=when)


class Tiles:
    """The tiles of `size` of the images asked about last, at most `MADE`, each made once."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._made: OrderedDict[str, RGB] = OrderedDict()

    def __call__(self, image: Image) -> RGB:
        """The (size, size, 3) uint8 tile of an image."""
        if image.sha256 not in self._made:
            self._made[image.sha256] = tile(image.pixels, self._size)
        self._made.move_to_end(image.sha256)
        if len(self._made) > MADE:
            self._made.popitem(last=False)
        return self._made[image.sha256]


def tile(pixels: RGB, size: int) -> RGB:
    """Pad to a square with black (aspect kept), then resize to (size, size, 3) uint8."""
    height, width = pixels.shape[:2]
    side = max(height, width)
    resample = Pillow.Resampling.BOX if side > 2 * size else Pillow.Resampling.BICUBIC
    scaled = Pillow.fromarray(pixels).resize((max(1, round(width * size / side)), max(1, round(height * size / side))), resample)
    square = np.zeros((size, size, 3), dtype=np.uint8)
    top, left = (size - scaled.height) // 2, (size - scaled.width) // 2
    square[top : top + scaled.height, left : left + scaled.width] = np.asarray(scaled)
    return square
