"""JPEG baseline, extended 8 and 12 bit, and lossless, by libjpeg-turbo 3 (imagecodecs, BSD-3-Clause).

A pydicom decoding plugin. libjpeg-turbo would convert YCbCr to RGB by its own guess; the codestream's components
are asked for as they are, and pydicom converts by what the header says.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner

SYNTAXES = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
DECODER_DEPENDENCIES = dict.fromkeys(SYNTAXES, ("numpy", "imagecodecs>=2026.3"))


def is_available(syntax: str) -> bool:
    """Whether this backend is installed and decodes `syntax`."""
    return syntax in DECODER_DEPENDENCIES and find_spec("imagecodecs") is not None


def grey(src: bytes, rows: int, columns: int, allocated: int) -> NDArray[np.generic]:
    """(H, W) of a frame with one sample per pixel, in the codestream's own type."""
    from imagecodecs import jpeg8_decode

    values: NDArray[np.generic] = jpeg8_decode(src)
    return values


def _decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    from imagecodecs import jpeg8_decode

    if runner.samples_per_pixel == 1:
        array = grey(src, runner.rows, runner.columns, runner.bits_allocated)
    else:
        same = "RGB" if _adobe_transform(src) == 0 or runner.photometric_interpretation == "RGB" else "YCBCR"
        array = jpeg8_decode(src, colorspace=same, outcolorspace=same)
    if array.dtype.itemsize == 1:
        runner.set_option("bits_allocated", 8)
    else:
        runner.set_option("bits_allocated", 16)
    if runner.samples_per_pixel > 1:
        runner.set_option("planar_configuration", 0)
    return np.ascontiguousarray(array).tobytes()


def _adobe_transform(src: bytes) -> int | None:
    """The colour transform an Adobe APP14 marker states: 0 none, 1 YCbCr; None without the marker."""
    at = src.find(b"\xff\xee\x00\x0eAdobe")
    return src[at + 15] if 0 <= at < len(src) - 15 else None
