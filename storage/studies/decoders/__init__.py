"""Which backend decodes which transfer syntax, decided once by measurement and never by alphabet.

Left to itself pydicom tries every plugin in alphabetical order until one works, which costs a factor of 2 on
JPEG-LS and 4 on RLE, and 3 seconds on a hostile file. Each syntax here has exactly one backend, a module of this
package with the three names of a pydicom plugin, and `grey`, which gives the array itself. Colour goes through pydicom's own runner;
a grey frame does not, because the runner copies it three times (a fifth of the time of a fast codec).
Milliseconds on a 2487 x 2048 12-bit radiograph, one run on a two-core machine, best of three:

    JPEG 2000 lossless   imagecodecs, 2 threads  197   pylibjpeg-openjpeg  417   Pillow  713
    HTJ2K                imagecodecs (OpenJPH)    33   pylibjpeg-openjpeg   57
    JPEG-LS              imagecodecs (CharLS)     63   pyjpegls             63, and it refuses preset parameters
    JPEG lossless        imagecodecs (turbo)      30   liblj92              44   jpg_0XC3  59
    JPEG baseline, 8 bit imagecodecs (turbo)       7   Pillow                8
    RLE                  pylibjpeg-rle            12   imagecodecs           8, and it crashes on damaged files

pylibjpeg-libjpeg is left out for its licence (GPL) and GDCM for CVE-2026-3650; neither is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.pixels.decoders.base import Decoder

from errors import StudyUnsupported

Grey = Callable[[bytes, int, int, int], NDArray[np.generic]]
JPEG_XL = ("1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112")
NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian)

_BACKENDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "turbo": ("imagecodecs", (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)),
    "jpegls": ("imagecodecs", (uid.JPEGLSLossless, uid.JPEGLSNearLossless)),
    "jpeg2000": ("imagecodecs", (uid.JPEG2000Lossless, uid.JPEG2000)),
    "htj2k": ("imagecodecs", (uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)),
    "jpegxl": ("imagecodecs", JPEG_XL),
    "rle": ("pylibjpeg-rle", (uid.RLELossless,)),
}
_NAMES = {
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
}


class Encapsulated(uid.UID):  # type: ignore[misc]
    """A compressed transfer syntax that pydicom's dictionary does not know yet."""

    @property
    def is_transfer_syntax(self) -> bool:
        """Always."""
        return True

    @property
    def is_compressed(self) -> bool:
        """Always."""
        return True

    @property
    def is_encapsulated(self) -> bool:
        """Always."""
        return True

    @property
    def is_little_endian(self) -> bool:
        """Always."""
        return True


@dataclass(frozen=True)
class Choice:
    """The decoder of a transfer syntax, the plugin it may use ('' for native) and why; `grey` of compressed ones
    takes (frame, rows, columns, bits allocated) and gives (H, W)."""

    decoder: Decoder
    plugin: str
    reason: str
    grey: Grey | None = None


def name(syntax: str) -> str:
    """`JPEG XL Lossless (1.2.840.10008.1.2.4.110)`: a transfer syntax in words a person can search for."""
    known = _NAMES.get(syntax, uid.UID(syntax).name)
    return f"{known} ({syntax})" if known != syntax else syntax


def supported() -> tuple[str, ...]:
    """Every transfer syntax with a backend in the table, installed or not."""
    return (*NATIVE, *(syntax for _, syntaxes in _BACKENDS.values() for syntax in syntaxes))


@lru_cache(maxsize=64)
def choose(syntax: str) -> Choice:
    """The one way this transfer syntax is decoded. Raises `StudyUnsupported` with the remedy when there is none."""
    if syntax in NATIVE:
        return Choice(Decoder(uid.UID(syntax)), "", "not compressed")
    for label, (package, syntaxes) in _BACKENDS.items():
        if syntax not in syntaxes:
            continue
        decoder = Decoder(Encapsulated(syntax) if syntax in JPEG_XL else uid.UID(syntax))
        decoder.add_plugin(label, (f"{__name__}.{label}", "_decode_frame"))
        if label not in decoder.available_plugins:
            raise StudyUnsupported(f"uses {name(syntax)}, which needs the package {package}; install it with pip and import again")
        grey: Grey = import_module(f"{__name__}.{label}").grey
        return Choice(decoder, label, f"{package} was the fastest that decodes {name(syntax)}", grey)
    raise StudyUnsupported(f"uses {name(syntax)}; no decoder for it is installed; export it uncompressed")
