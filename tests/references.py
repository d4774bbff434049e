"""The truth table of reading: file, transfer syntax, frames, shape, dtype, units, spacing, four pixel values.

One list, and every decoder is run against every row it supports (`tests/storage/studies/test_references.py`). The
first part are pydicom's own files, which come in its wheel; the values were decoded by pydicom with plugins that we do
not use (Pillow, pyjpegls, pylibjpeg-openjpeg, its own RLE). The second part is generated: one ramp of known values in
every syntax that can be written here without loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom.data
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import RLELossless

from tests.dicoms import dataset, write

PYDICOM_FILES = Path(pydicom.data.__file__).parent / "test_files"
Value = int | tuple[int, int, int]


@dataclass(frozen=True)
class Reference:
    """`corners` are the first frame's values at top left, top right, the centre (H // 2, W // 2) and bottom right."""

    name: str
    syntax: str
    frames: int
    shape: tuple[int, ...]
    dtype: str
    units: str
    spacing: tuple[float, float] | None
    corners: tuple[Value, Value, Value, Value]
    tolerance: int = 0

    @property
    def path(self) -> Path:
        return PYDICOM_FILES / self.name


REFERENCES: tuple[Reference, ...] = (
    Reference("693_J2KI.dcm", "1.2.840.10008.1.2.4.91", 1, (512, 512), "int16", "HU", (0.478516, 0.478516), (-2016, -2016, 1056, -2016)),
    Reference("CT_small.dcm", "1.2.840.10008.1.2.1", 1, (128, 128), "int16", "HU", (0.661468, 0.661468), (175, 216, 1928, 909)),
    Reference(
        "ExplVR_BigEnd.dcm",
        "1.2.840.10008.1.2.2",
        1,
        (60, 80, 3),
        "uint8",
        "",
        None,
        ((171, 171, 171), (169, 169, 169), (255, 255, 0), (255, 232, 0)),
    ),
    Reference(
        "GDCMJ2K_TextGBR.dcm",
        "1.2.840.10008.1.2.4.90",
        1,
        (400, 400, 3),
        "uint8",
        "",
        None,
        ((128, 128, 128), (128, 128, 128), (128, 128, 128), (128, 128, 128)),
    ),
    Reference(
        "J2K_pixelrep_mismatch.dcm", "1.2.840.10008.1.2.4.90", 1, (512, 512), "int16", "HU", (0.431, 0.431), (-2000, -2000, 27, -2000)
    ),
    Reference("JPEG2000.dcm", "1.2.840.10008.1.2.4.91", 1, (1024, 256), "int16", "", (2.26, 2.26), (0, 0, 7, 0)),
    Reference("JPEGLSNearLossless_08.dcm", "1.2.840.10008.1.2.4.81", 1, (45, 10), "uint8", "", None, (255, 255, 15, 0)),
    Reference("JPEGLSNearLossless_16.dcm", "1.2.840.10008.1.2.4.81", 1, (50, 10), "uint16", "", None, (65535, 65535, 255, 0)),
    Reference("JPGExtended.dcm", "1.2.840.10008.1.2.4.51", 1, (1024, 256), "uint16", "", (2.26, 2.26), (1, 1, 14, 1), tolerance=1),
    Reference("MR_small.dcm", "1.2.840.10008.1.2.1", 1, (64, 64), "int16", "", (0.3125, 0.3125), (905, 328, 182, 862)),
    Reference("MR_small_RLE.dcm", "1.2.840.10008.1.2.5", 1, (64, 64), "int16", "", (0.3125, 0.3125), (905, 328, 182, 862)),
    Reference("MR_small_bigendian.dcm", "1.2.840.10008.1.2.2", 1, (64, 64), "int16", "", (0.3125, 0.3125), (905, 328, 182, 862)),
    Reference("MR_small_implicit.dcm", "1.2.840.10008.1.2", 1, (64, 64), "int16", "", (0.3125, 0.3125), (905, 328, 182, 862)),
    Reference("MR_small_jp2klossless.dcm", "1.2.840.10008.1.2.4.90", 1, (64, 64), "int16", "", (0.3125, 0.3125), (905, 328, 182, 862)),
    Reference("MR_small_jpeg_ls_lossless.dcm", "1.2.840.10008.1.2.4.80", 1, (64, 64), "int16", "", (0.3125, 0.3125), (905, 328, 182, 862)),
    Reference("MR_small_padded.dcm", "1.2.840.10008.1.2.1", 1, (64, 64), "int16", "", (0.3125, 0.3125), (905, 328, 182, 862)),
    Reference(
        "SC_jpeg_no_color_transform.dcm",
        "1.2.840.10008.1.2.4.50",
        1,
        (256, 256, 3),
        "uint8",
        "",
        None,
        ((244, 244, 244), (244, 244, 244), (244, 244, 244), (244, 244, 244)),
    ),
    Reference(
        "SC_jpeg_no_color_transform_2.dcm",
        "1.2.840.10008.1.2.4.50",
        1,
        (256, 256, 3),
        "uint8",
        "",
        None,
        ((244, 246, 246), (246, 246, 246), (244, 244, 246), (244, 246, 246)),
    ),
    Reference(
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "1.2.840.10008.1.2.4.50",
        1,
        (100, 100, 3),
        "uint8",
        "",
        (1.0, 1.0),
        ((255, 0, 0), (255, 0, 0), (129, 129, 255), (255, 255, 255)),
    ),
    Reference(
        "SC_rgb_dcmtk_+eb+cy+n1.dcm",
        "1.2.840.10008.1.2.4.50",
        1,
        (100, 100, 3),
        "uint8",
        "",
        (1.0, 1.0),
        ((254, 0, 0), (254, 0, 0), (128, 124, 255), (255, 255, 255)),
    ),
    Reference(
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "1.2.840.10008.1.2.4.50",
        1,
        (100, 100, 3),
        "uint8",
        "",
        (1.0, 1.0),
        ((254, 0, 0), (254, 0, 0), (128, 124, 255), (255, 255, 255)),
    ),
    Reference(
        "SC_rgb_dcmtk_+eb+cy+s4.dcm",
        "1.2.840.10008.1.2.4.50",
        1,
        (100, 100, 3),
        "uint8",
        "",
        (1.0, 1.0),
        ((254, 0, 0), (254, 0, 0), (125, 130, 255), (255, 255, 255)),
    ),
    Reference(
        "SC_rgb_gdcm_KY.dcm",
        "1.2.840.10008.1.2.4.91",
        1,
        (100, 100, 3),
        "uint8",
        "",
        (1.0, 1.0),
        ((255, 0, 0), (255, 0, 0), (128, 128, 255), (255, 255, 255)),
    ),
    Reference(
        "SC_rgb_jls_lossy_line.dcm",
        "1.2.840.10008.1.2.4.81",
        1,
        (100, 100, 3),
        "uint8",
        "",
        None,
        ((255, 0, 0), (255, 0, 0), (130, 130, 255), (255, 255, 255)),
    ),
    Reference(
        "SC_rgb_jls_lossy_sample.dcm",
        "1.2.840.10008.1.2.4.81",
        1,
        (100, 100, 3),
        "uint8",
        "",
        None,
        ((255, 0, 0), (255, 0, 0), (130, 130, 255), (255, 255, 255)),
    ),
    Reference(
        "SC_rgb_jpeg.dcm",
        "1.2.840.10008.1.2.4.50",
        1,
        (256, 256, 3),
        "uint8",
        "",
        None,
        ((244, 244, 244), (244, 244, 244), (244, 244, 244), (244, 244, 244)),
    ),
    Reference(
        "SC_rgb_jpeg_dcmd.dcm",
        "1.2.840.10008.1.2",
        1,
        (256, 256, 3),
        "uint8",
        "",
        None,
        ((244, 244, 244), (244, 244, 244), (244, 244, 244), (244, 244, 244)),
    ),
    Reference(
        "SC_rgb_jpeg_dcmtk.dcm",
        "1.2.840.10008.1.2.4.50",
        1,
        (100, 100, 3),
        "uint8",
        "",
        (1.0, 1.0),
        ((254, 0, 0), (254, 0, 0), (125, 130, 255), (255, 255, 255)),
    ),
    Reference(
        "SC_rgb_jpeg_gdcm.dcm",
        "1.2.840.10008.1.2.4.70",
        1,
        (100, 100, 3),
        "uint8",
        "",
        (1.0, 1.0),
        ((255, 0, 0), (255, 0, 0), (128, 128, 255), (255, 255, 255)),
    ),
    Reference(
        "SC_rgb_jpeg_lossy_gdcm.dcm",
        "1.2.840.10008.1.2.4.50",
        1,
        (100, 100, 3),
        "uint8",
        "",
        (1.0, 1.0),
        ((254, 0, 0), (254, 0, 0), (124, 124, 255), (255, 255, 255)),
    ),
    Reference(
        "SC_rgb_rle.dcm",
        "1.2.840.10008.1.2.5",
        1,
        (100, 100, 3),
        "uint8",
        "",
        (1.0, 1.0),
        ((255, 0, 0), (255, 0, 0), (128, 128, 255), (255, 255, 255)),
    ),
    Reference(
        "SC_rgb_rle_16bit.dcm",
        "1.2.840.10008.1.2.5",
        1,
        (100, 100, 3),
        "uint16",
        "",
        (1.0, 1.0),
        ((65535, 0, 0), (65535, 0, 0), (32896, 32896, 65535), (65535, 65535, 65535)),
    ),
    Reference(
        "SC_rgb_rle_16bit_2frame.dcm",
        "1.2.840.10008.1.2.5",
        2,
        (100, 100, 3),
        "uint16",
        "",
        (1.0, 1.0),
        ((65535, 0, 0), (65535, 0, 0), (32896, 32896, 65535), (65535, 65535, 65535)),
    ),
    Reference(
        "SC_rgb_rle_2frame.dcm",
        "1.2.840.10008.1.2.5",
        2,
        (100, 100, 3),
        "uint8",
        "",
        (1.0, 1.0),
        ((255, 0, 0), (255, 0, 0), (128, 128, 255), (255, 255, 255)),
    ),
    Reference(
        "SC_rgb_rle_32bit.dcm",
        "1.2.840.10008.1.2.5",
        1,
        (100, 100, 3),
        "uint32",
        "",
        (1.0, 1.0),
        ((4294967295, 0, 0), (4294967295, 0, 0), (2155905152, 2155905152, 4294967295), (4294967295, 4294967295, 4294967295)),
    ),
    Reference(
        "SC_rgb_small_odd.dcm",
        "1.2.840.10008.1.2.1",
        1,
        (3, 3, 3),
        "uint8",
        "",
        (33.333333, 33.333333),
        ((166, 141, 52), (166, 141, 52), (63, 87, 176), (158, 158, 158)),
    ),
    Reference(
        "SC_rgb_small_odd_big_endian.dcm",
        "1.2.840.10008.1.2.2",
        1,
        (3, 3, 3),
        "uint8",
        "",
        (33.333333, 33.333333),
        ((166, 141, 52), (166, 141, 52), (63, 87, 176), (158, 158, 158)),
    ),
    Reference(
        "SC_rgb_small_odd_jpeg.dcm",
        "1.2.840.10008.1.2.4.50",
        1,
        (3, 3, 3),
        "uint8",
        "",
        (33.333333, 33.333333),
        ((165, 142, 49), (165, 142, 49), (62, 87, 179), (159, 158, 154)),
    ),
    Reference(
        "SC_ybr_full_422_uncompressed.dcm",
        "1.2.840.10008.1.2.1",
        1,
        (100, 100, 3),
        "uint8",
        "",
        (1.0, 1.0),
        ((254, 0, 0), (254, 0, 0), (125, 130, 255), (255, 255, 255)),
    ),
    Reference(
        "examples_jpeg2k.dcm",
        "1.2.840.10008.1.2.4.90",
        1,
        (480, 640, 3),
        "uint8",
        "",
        None,
        ((0, 0, 0), (0, 0, 0), (12, 12, 12), (0, 0, 0)),
    ),
    Reference(
        "examples_overlay.dcm", "1.2.840.10008.1.2.1", 1, (300, 484), "uint16", "", (0.72314049586777, 0.72314049586777), (0, 8, 136, 6)
    ),
    Reference("examples_palette.dcm", "1.2.840.10008.1.2.1", 1, (350, 800), "uint8", "", None, (244, 244, 1, 0)),
    Reference(
        "examples_rgb_color.dcm",
        "1.2.840.10008.1.2.1",
        1,
        (240, 320, 3),
        "uint8",
        "",
        None,
        ((0, 0, 0), (0, 0, 0), (10, 10, 10), (0, 0, 0)),
    ),
    Reference(
        "examples_ybr_color.dcm",
        "1.2.840.10008.1.2.4.50",
        30,
        (240, 320, 3),
        "uint8",
        "",
        (0.5104970559477806, 0.5104970559477806),
        ((3, 0, 5), (1, 1, 0), (7, 7, 7), (1, 1, 0)),
    ),
    Reference("image_dfl.dcm", "1.2.840.10008.1.2.1.99", 1, (512, 512), "uint8", "", None, (213, 90, 65, 188)),
)


def ramp(bits: int, signed: bool) -> NDArray[np.generic]:
    """(33, 47) values that fill the whole range of `bits`, each row another pattern."""
    top = (1 << bits) - 1
    values = (np.arange(33 * 47, dtype=np.int64).reshape(33, 47) * 2654435761) % (top + 1)
    values[0], values[-1] = np.linspace(0, top, 47).astype(np.int64), top
    if signed:
        values -= 1 << (bits - 1)
    return values.astype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")


def _lossless_jpeg(array: NDArray[np.generic]) -> bytes:
    bits = 8 * array.dtype.itemsize
    return bytes(imagecodecs.jpeg8_encode(array.view(f"u{array.dtype.itemsize}"), lossless=True, bitspersample=bits, predictor=1))


def run_lengths(array: NDArray[np.generic]) -> bytes:
    """A frame as RLE Lossless, by pydicom itself."""
    bits = 8 * array.dtype.itemsize
    options = {"rows": array.shape[0], "columns": array.shape[1], "number_of_frames": 1, "samples_per_pixel": 1, "bits_allocated": bits}
    options |= {"bits_stored": bits, "pixel_representation": int(array.dtype.kind == "i"), "photometric_interpretation": "MONOCHROME2"}
    return bytes(get_encoder(RLELossless).encode(array, encoding_plugin="pydicom", **options))


ENCODERS = {
    "1.2.840.10008.1.2.4.57": _lossless_jpeg,
    "1.2.840.10008.1.2.4.70": _lossless_jpeg,
    "1.2.840.10008.1.2.4.80": lambda array: bytes(imagecodecs.jpegls_encode(array.view(f"u{array.dtype.itemsize}"))),
    "1.2.840.10008.1.2.4.90": lambda array: bytes(imagecodecs.jpeg2k_encode(array, level=0, reversible=True, codecformat="j2k")),
    "1.2.840.10008.1.2.4.201": lambda array: bytes(imagecodecs.htj2k_encode(array, reversible=True)),
    "1.2.840.10008.1.2.4.202": lambda array: bytes(imagecodecs.htj2k_encode(array, reversible=True)),
    "1.2.840.10008.1.2.4.110": lambda array: bytes(imagecodecs.jpegxl_encode(array, lossless=True)),
    "1.2.840.10008.1.2.5": run_lengths,
}
UNSIGNED_ONLY = ("1.2.840.10008.1.2.4.110",)


def generated(folder: Path, syntax: str, bits: int, signed: bool) -> tuple[Path, NDArray[np.generic]]:
    """A file whose pixels are `ramp(bits, signed)` in `syntax`, and those pixels."""
    array = ramp(bits, signed)
    allocated = 8 * array.dtype.itemsize
    made = dataset(array, syntax=syntax, BitsStored=bits, HighBit=bits - 1, BitsAllocated=allocated)
    if syntax in ENCODERS:
        made.PixelData = encapsulate([ENCODERS[syntax](array)])
        made["PixelData"].is_undefined_length = True
    return write(made, folder / f"{syntax}-{bits}-{signed}.dcm"), array
