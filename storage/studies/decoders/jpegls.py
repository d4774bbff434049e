"""JPEG-LS by CharLS through imagecodecs (BSD-3-Clause), which reads streams with preset parameters that pyjpegls 1.5 refuses."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner

DECODER_DEPENDENCIES = dict.fromkeys((uid.JPEGLSLossless, uid.JPEGLSNearLossless), ("numpy", "imagecodecs>=2026.3"))


def is_available(syntax: str) -> bool:
    """Whether this backend is installed and decodes `syntax`."""
    return syntax in DECODER_DEPENDENCIES and find_spec("imagecodecs") is not None


def decoded(src: bytes) -> NDArray[np.generic]:
    """The codestream's values, (H, W) or (H, W, 3), in its own type."""
    from imagecodecs import jpegls_decode

    values: NDArray[np.generic] = jpegls_decode(src)
    return values


def grey(src: bytes, rows: int, columns: int, allocated: int) -> NDArray[np.generic]:
    """(H, W) of a frame with one sample per pixel, in the codestream's own type."""
    return decoded(src)


def _decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    array = decoded(src)
    runner.set_option("bits_allocated", 8 * array.dtype.itemsize)
    if runner.samples_per_pixel > 1:
        runner.set_option("planar_configuration", 0)
    return np.ascontiguousarray(array).tobytes()
