"""JPEG XL (DICOM supplement 232) by libjxl through imagecodecs (BSD-3-Clause)."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from pydicom.pixels.decoders.base import DecodeRunner

SYNTAXES = ("1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112")
DECODER_DEPENDENCIES = dict.fromkeys(SYNTAXES, ("numpy", "imagecodecs>=2026.3"))


def is_available(syntax: str) -> bool:
    """Whether this backend is installed and decodes `syntax`."""
    return syntax in DECODER_DEPENDENCIES and find_spec("imagecodecs") is not None


def _decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    from imagecodecs import jpegxl_decode

    array = jpegxl_decode(src)
    runner.set_option("bits_allocated", 8 * array.dtype.itemsize)
    if runner.samples_per_pixel == 3:
        array = array[..., :3]
        runner.set_option("photometric_interpretation", "RGB")
    return np.ascontiguousarray(array).tobytes()
