"""A DICOM file opened safely: scanned, then parsed by pydicom up to its pixels, which stay in the file until asked for."""

from __future__ import annotations

import io
import math
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from errors import StudyTooLarge, StudyUnreadable, StudyUnsupported
from storage.studies.budget import Budget
from storage.studies.cache import Cache
from storage.studies.decoders import NATIVE, name
from storage.studies.prescan import Layout, scan

# Files from the field break the rules of their value representations all the time; what matters is checked here.
config.settings.reading_validation_mode = config.IGNORE
config.settings.writing_validation_mode = config.IGNORE

_MOST_HEADER = 128 << 20
_SMALLEST = 16 << 10
_GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_422", "YBR_PARTIAL_420")
_NO_IMAGE = {
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.66.5": "a surface segmentation",
    "1.2.840.10008.5.1.4.1.1.481.2": "a radiotherapy dose grid",
    "1.2.840.10008.5.1.4.1.1.481.3": "a radiotherapy structure set",
    "1.2.840.10008.5.1.4.1.1.481.5": "a radiotherapy plan",
    "1.2.840.10008.1.3.10": "a directory of files (DICOMDIR)",
}
_RT_IMAGE = "1.2.840.10008.5.1.4.1.1.481.1"
_NO_IMAGE_PREFIX = {
    "1.2.840.10008.5.1.4.1.1.88.": "a structured report",
    "1.2.840.10008.5.1.4.1.1.481.": "a radiotherapy object",
    "1.2.840.10008.5.1.4.1.1.9.": "a waveform",
    "1.2.840.10008.5.1.4.1.1.11.": "a presentation state",
    "1.2.840.10008.5.1.4.1.1.104.": "an encapsulated document",
}


class NoPicture(StudyUnsupported):
    """A sound file that is no image: skipped, not refused."""


@dataclass(frozen=True)
class PixelFormat:
    """The Image Pixel module (PS3.3 C.7.6.3) after checking; `signed` and bit counts describe stored values."""

    rows: int
    columns: int
    frames: int
    samples: int
    allocated: int
    stored: int
    signed: bool
    photometric: str
    planar: int
    notices: tuple[str, ...] = ()

    @property
    def frame_bytes(self) -> int:
        """Bytes of one decoded frame."""
        return math.ceil(self.rows * self.columns * self.samples * self.allocated / 8)

    @property
    def native_bytes(self) -> int:
        """Bytes of all frames, not compressed; colours of YBR_FULL_422 are subsampled (PS3.3 C.7.6.3.1.2)."""
        whole_bytes = math.ceil(self.rows * self.columns * self.samples * self.frames * self.allocated / 8)
        return whole_bytes * 2 // 3 if self.photometric == "YBR_FULL_422" else whole_bytes


@dataclass(frozen=True)
class Header:
    """A parsed file: where it is, its layout, its file meta group and its data set without pixels."""

    path: Path
    layout: Layout
    meta: Dataset
    dataset: Dataset
    deidentified: bool = False

    @contextmanager
    def pixels(self) -> Iterator[BinaryIO]:
        """The file (or its inflated copy) positioned at the first byte of the pixel element's value."""
        if self.layout.pixels is None:
            raise StudyUnsupported("holds no picture")
        stream: BinaryIO = io.BytesIO(self.layout.inflated) if self.layout.inflated is not None else self.path.open("rb")
        with stream:
            stream.seek(self.layout.pixels[0])
            yield stream


def open_header(path: Path, budget: Budget) -> Header:
    """Scan and parse one DICOM file. Raises `StudyError` (through `boundary.typed` for pydicom's own failures)."""
    size = path.stat().st_size
    if size == 0:
        raise StudyUnreadable("is empty; export or copy it again")
    budget.check_bytes(size)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        layout = scan(data, budget)
        body: bytes | mmap.mmap = layout.inflated if layout.inflated is not None else data
        if layout.header[1] - layout.header[0] > _MOST_HEADER:
            raise StudyTooLarge(f"has a header of {(layout.header[1] - layout.header[0]) >> 20} MB; it is no ordinary image")
        meta = read_dataset(io.BytesIO(data[slice(*layout.meta)]), False, True)
        dataset = read_dataset(io.BytesIO(body[slice(*layout.header)]), layout.implicit, layout.little)
    return Header(path, layout, meta, dataset)


_headers: Cache[Header] = Cache(limit=64 << 20)


def header(path: Path, digest: str, budget: Budget) -> Header:
    """`open_header`, remembered by content: the last files whose headers are 64 MB together."""
    found = _headers.get(digest)
    if found is None:
        found = open_header(path, budget)
        remember(digest, found)
    return found if found.path == path else replace(found, path=path)


def remember(digest: str, value: Header) -> None:
    """Keep a parsed header; it costs what it takes in the file, and what was inflated."""
    layout = value.layout
    inflated = len(layout.inflated) if layout.inflated is not None else 0
    _headers.put(digest, value, _SMALLEST + layout.header[1] - layout.header[0] + inflated)


def forget() -> None:
    """Remember no header."""
    _headers.clear()


def text(dataset: Dataset, keyword: str, most: int = 256) -> str:
    """One text value, stripped, control characters removed, at most `most` characters; '' when absent or unreadable."""
    try:
        value = dataset.get(keyword)
    except Exception:
        return ""
    if value is None or isinstance(value, (Sequence, Dataset)):
        return ""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        value = value[0] if len(value) else ""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return "".join(character for character in str(value)[: 4 * most] if character.isprintable()).strip()[:most]


def number(dataset: Dataset, keyword: str) -> float | None:
    """One finite number; None when absent or unusable."""
    found = numbers(dataset, keyword)
    return found[0] if found else None


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """All values of an element as finite numbers; () when absent or any is unusable."""
    try:
        value = dataset.get(keyword)
        if value is None or value == "":
            return ()
        if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
            value = [value]
        result = tuple(float(part) for part in value)
    except Exception:
        return ()
    return result if all(math.isfinite(part) for part in result) else ()


def whole(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    """One whole number. Raises `StudyUnreadable` when it is absent without a default, or not a whole number."""
    try:
        value = dataset.get(keyword)
    except Exception:
        value = b"?"
    if value is None or value == "":
        if default is None:
            raise StudyUnreadable(f"does not state its {keyword}; export it again")
        return default
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found) or found != int(found):
        raise StudyUnreadable(f"has an unusable value of {keyword}; export it again")
    return int(found)


def refuse_non_images(opened: Header) -> None:
    """Raise `StudyUnsupported` for objects that are sound but no picture: SR, SEG, RT, waveforms, documents."""
    sop = text(opened.dataset, "SOPClassUID") or text(opened.meta, "MediaStorageSOPClassUID")
    what = _NO_IMAGE.get(sop) or next(
        (words for prefix, words in _NO_IMAGE_PREFIX.items() if sop.startswith(prefix) and sop != _RT_IMAGE), ""
    )
    if what:
        raise NoPicture(f"is {what}, not an image; it was left out")
    if opened.layout.pixels is None:
        kind = UID(sop).name if sop.startswith("1.2.840.10008.") else ""
        raise NoPicture(f"holds no picture{f' ({kind})' if kind else ''}; it was left out")


def pixel_format(opened: Header, budget: Budget) -> PixelFormat:
    """Check the Image Pixel module against itself, the budget and the bytes that are there, before any allocation."""
    dataset, layout = opened.dataset, opened.layout
    rows, columns = whole(dataset, "Rows"), whole(dataset, "Columns")
    frames, samples = max(1, whole(dataset, "NumberOfFrames", 1)), whole(dataset, "SamplesPerPixel", 1)
    budget.check_pixels(rows, columns, frames, samples)
    floating = layout.pixel_keyword != "PixelData"
    allocated = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}.get(layout.pixel_keyword) or whole(dataset, "BitsAllocated")
    stored = allocated if floating else whole(dataset, "BitsStored", allocated)
    signed = 0 if floating else whole(dataset, "PixelRepresentation", 0)
    notices = _check_bits(dataset, allocated, stored, signed, samples)
    photometric = _photometric(dataset, samples)
    shape = PixelFormat(
        rows, columns, frames, samples, allocated, stored, bool(signed), photometric, whole(dataset, "PlanarConfiguration", 0), notices
    )
    return _check_length(layout, shape)


def _check_bits(dataset: Dataset, allocated: int, stored: int, signed: int, samples: int) -> tuple[str, ...]:
    high = whole(dataset, "HighBit", stored - 1)
    if allocated not in (1, 8, 16, 32, 64) or not 1 <= stored <= allocated or not 0 <= high < allocated:
        raise StudyUnreadable(
            f"claims {stored} bits stored of {allocated} allocated with high bit {high}, which cannot be; export it again"
        )
    if signed not in (0, 1):
        raise StudyUnreadable(f"claims pixel representation {signed}, which is neither unsigned (0) nor signed (1); export it again")
    if samples not in (1, 3):
        raise StudyUnreadable(f"claims {samples} samples per pixel; only grey (1) and colour (3) exist; export it again")
    return () if high == stored - 1 else (f"high bit {high} does not fit {stored} bits stored and was ignored",)


def _photometric(dataset: Dataset, samples: int) -> str:
    found = text(dataset, "PhotometricInterpretation").upper() or ("MONOCHROME2" if samples == 1 else "RGB")
    if found not in (_GREY if samples == 1 else _COLOUR):
        raise StudyUnreadable(f"claims the colour model {found[:20]!r} with {samples} samples per pixel, which cannot be; export it again")
    return found


def _check_length(layout: Layout, shape: PixelFormat) -> PixelFormat:
    """Compare the bytes that are there with the bytes that are claimed; correct a 4:2:2 that is none."""
    assert layout.pixels is not None
    there = layout.pixels[1] - layout.pixels[0]
    native = layout.syntax in NATIVE
    if native == layout.encapsulated:
        words = ("compressed", "uncompressed") if native else ("uncompressed", "compressed")
        raise StudyUnreadable(f"has {words[0]} pixels but names the {words[1]} transfer syntax {name(layout.syntax)}; export it again")
    if not native:
        if shape.frames > layout.fragments:
            raise StudyUnreadable(f"claims {shape.frames:,} frames but holds {layout.fragments:,} compressed ones; export it again")
        return shape
    if there < shape.native_bytes:
        raise StudyUnreadable(f"is truncated: {there:,} of {shape.native_bytes:,} bytes of pixel data are there; export or copy it again")
    full = replace(shape, photometric="YBR_FULL", notices=(*shape.notices, "its colours are not subsampled as it says"))
    return full if shape.photometric == "YBR_FULL_422" and there >= full.native_bytes else shape
