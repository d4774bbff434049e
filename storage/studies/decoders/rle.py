"""RLE Lossless (PS3.5 Annex G) by imagecodecs (BSD-3-Clause)."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner

DECODER_DEPENDENCIES = {uid.RLELossless: ("numpy", "imagecodecs>=2026.3")}


def is_available(syntax: str) -> bool:
    """Whether this backend is installed and decodes `syntax`."""
    return syntax in DECODER_DEPENDENCIES and find_spec("imagecodecs") is not None


def _decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    from imagecodecs import dicomrle_decode

    if runner.samples_per_pixel > 1:
        runner.set_option("planar_configuration", 1)
    return bytes(dicomrle_decode(src, np.dtype(f"<u{runner.bits_allocated // 8}")))
