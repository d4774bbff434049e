"""JPEG-LS by CharLS through imagecodecs (BSD-3-Clause), which reads streams with preset parameters that pyjpegls 1.5 refuses."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner

DECODER_DEPENDENCIES = dict.fromkeys((uid.JPEGLSLossless, uid.JPEGLSNearLossless), ("numpy", "imagecodecs>=2026.3"))


def is_available(syntax: str) -> bool:
    """Whether this backend is installed and decodes `syntax`."""
    return syntax in DECODER_DEPENDENCIES and find_spec("imagecodecs") is not None


def _decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    from imagecodecs import jpegls_decode

    array = jpegls_decode(src)
    runner.set_option("bits_allocated", 8 * array.dtype.itemsize)
    if runner.samples_per_pixel > 1:
        runner.set_option("planar_configuration", 0)
    return np.ascontiguousarray(array).tobytes()
