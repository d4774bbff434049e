"""RLE Lossless (PS3.5 Annex G) by pylibjpeg-rle (MIT).

imagecodecs is faster (8 ms against 12 on a radiograph) but its C code reads beyond the end of a damaged frame and takes
the process with it: one of a thousand files with flipped bytes. pylibjpeg-rle is written in Rust, where the same
mistake is a panic; that is no `Exception`, so it is caught here by its name.
"""

from __future__ import annotations

import struct
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner

DECODER_DEPENDENCIES = {uid.RLELossless: ("numpy", "pylibjpeg-rle>=2.2")}


def is_available(syntax: str) -> bool:
    """Whether this backend is installed and decodes `syntax`."""
    return syntax in DECODER_DEPENDENCIES and find_spec("rle") is not None


def grey(src: bytes, rows: int, columns: int, allocated: int) -> NDArray[np.generic]:
    """(H, W) of a frame with one sample per pixel, unsigned."""
    return np.frombuffer(_decoded(src, 1, rows, columns, allocated), dtype=f"<u{allocated // 8}").reshape(rows, columns)


def _decode_frame(src: bytes, runner: DecodeRunner) -> bytes | bytearray:
    if runner.samples_per_pixel > 1:
        runner.set_option("planar_configuration", 1)
    return _decoded(src, runner.samples_per_pixel, runner.rows, runner.columns, runner.bits_allocated)


def _decoded(src: bytes, samples: int, rows: int, columns: int, allocated: int) -> bytes | bytearray:
    from rle import decode_pixel_data

    _check_segments(src, samples * allocated // 8)
    try:
        found: bytes | bytearray = decode_pixel_data(src, version=2, byteorder="<", rows=rows, columns=columns, bits_allocated=allocated)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError("the run lengths end in the middle of a run") from None
    return found


def _check_segments(src: bytes, expected: int) -> None:
    """The header (PS3.5 G.5): as many segments as there are bytes per pixel, in order and inside the frame."""
    if len(src) < 64:
        raise ValueError("the run-length header is cut off")
    count, *offsets = struct.unpack_from("<16L", src)
    if count != expected:
        raise ValueError(f"the run-length header names {count} segments, not {expected}")
    ends = [*offsets[1:count], len(src)]
    if offsets[0] != 64 or any(start >= end for start, end in zip(offsets[:count], ends, strict=True)):
        raise ValueError("the run-length segments are out of order or outside the frame")
