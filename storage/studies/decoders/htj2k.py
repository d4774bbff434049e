"""High-throughput JPEG 2000 by OpenJPH through imagecodecs (BSD-3-Clause)."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner

DECODER_DEPENDENCIES = dict.fromkeys((uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K), ("numpy", "imagecodecs>=2026.3"))


def is_available(syntax: str) -> bool:
    """Whether this backend is installed and decodes `syntax`."""
    return syntax in DECODER_DEPENDENCIES and find_spec("imagecodecs") is not None


def _decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    from imagecodecs import htj2k_decode

    array = htj2k_decode(src)
    runner.set_option("bits_allocated", 8 * array.dtype.itemsize)
    if runner.photometric_interpretation in ("YBR_ICT", "YBR_RCT"):  # the codestream's own transform is undone while decoding
        runner.set_option("photometric_interpretation", "RGB")
    return np.ascontiguousarray(array).tobytes()
