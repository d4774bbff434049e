"""Caches that stay within their bytes, and pictures no larger than asked."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from ui.rendering import SIZES, Kept, encode, step


def test_kept_values_stay_within_their_bytes_and_the_last_used_survive() -> None:
    kept: Kept[bytes] = Kept(10, len)
    kept.put("a", b"1234")
    kept.put("b", b"1234")
    assert kept.get("a") == b"1234"
    kept.put("c", b"1234")
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (b"1234", None, b"1234")
    kept.put("large", b"x" * 11)
    assert kept.get("large") is None
    assert kept.held == 8


def test_putting_again_does_not_count_twice() -> None:
    kept: Kept[bytes] = Kept(10, len)
    for _ in range(100):
        kept.put("a", b"1234")
    assert kept.held == 4


def test_picture_is_reduced_never_enlarged_and_keeps_its_shape() -> None:
    pixels = np.zeros((300, 150), dtype=np.uint8)
    assert Image.open(io.BytesIO(encode(pixels, 100))).size == (50, 100)
    assert Image.open(io.BytesIO(encode(pixels, 4096))).size == (150, 300)
    assert Image.open(io.BytesIO(encode(np.zeros((20, 10, 3), dtype=np.uint8), 4096))).mode == "RGB"


def test_sizes_are_few() -> None:
    assert step(1) == SIZES[0]
    assert step(1025) == 1536
    assert step(10**6) == SIZES[-1]
