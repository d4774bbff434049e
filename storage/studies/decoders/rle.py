"""RLE Lossless (PS3.5 Annex G) by pylibjpeg-rle (MIT).

imagecodecs is faster (8 ms against 12 on a radiograph) but its C code reads beyond the end of a damaged frame and takes
the process with it: one of a thousand files with flipped bytes. pylibjpeg-rle is written in Rust, where the same
mistake is a panic; that is no `Exception`, so it is caught here by its name.
"""

from __future__ import annotations

import struct
from importlib.util import find_spec

from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner

DECODER_DEPENDENCIES = {uid.RLELossless: ("numpy", "pylibjpeg-rle>=2.2")}


def is_available(syntax: str) -> bool:
    """Whether this backend is installed and decodes `syntax`."""
    return syntax in DECODER_DEPENDENCIES and find_spec("rle") is not None


def _decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    from rle import decode_pixel_data

    if runner.samples_per_pixel > 1:
        runner.set_option("planar_configuration", 1)
    _check_segments(src, runner.samples_per_pixel * runner.bits_allocated // 8)
    shape = {"rows": runner.rows, "columns": runner.columns, "bits_allocated": runner.bits_allocated}
    try:
        return bytes(decode_pixel_data(src, version=2, byteorder="<", **shape))
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError("the run lengths end in the middle of a run") from None


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
