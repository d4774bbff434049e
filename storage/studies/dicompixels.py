"""Pixels of a DICOM frame: decoded by the one chosen backend, and the mapping that turns them into grey or colour."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_color_lut

from errors import StudyTooLarge, StudyUnreadable
from storage.studies import codestream
from storage.studies.decoders import NATIVE, Choice, choose, name
from storage.studies.dicom import Groups, first, rescale
from storage.studies.dicomfile import Header, PixelFormat, number, numbers
from storage.studies.model import Window
from storage.studies.voi import Lut, Mapping

_RLE = "1.2.840.10008.1.2.5"
_BIG = 48 << 20


def decode(opened: Header, shape: PixelFormat, index: int) -> NDArray[np.generic]:
    """Stored values of frame `index`: (H, W), or (H, W, 3) RGB for colour. Raises `StudyError` before allocating too much."""
    choice = choose(opened.layout.syntax)
    if _in_file(opened, shape):
        return _read(opened, shape, index)
    options = {
        "rows": shape.rows, "columns": shape.columns, "number_of_frames": shape.frames, "samples_per_pixel": shape.samples,
        "bits_allocated": shape.allocated, "bits_stored": shape.stored, "pixel_representation": int(shape.signed),
        "photometric_interpretation": shape.photometric, "pixel_keyword": opened.layout.pixel_keyword, "pixel_vr": opened.layout.pixel_vr,
    }  # fmt: skip
    if shape.samples > 1:
        options["planar_configuration"] = shape.planar
    with opened.pixels() as stream:
        if opened.layout.syntax in NATIVE:
            array, _ = choice.decoder.as_array(stream, index=index, view_only=True, correct_unused_bits=False, **options)
            return _used_bits(np.asarray(array.astype(array.dtype.newbyteorder("="), copy=False)), shape)
        frame = _compressed(stream, opened, shape, index)
    _check_frame(frame, opened.layout.syntax, shape)
    options["number_of_frames"] = 1
    try:
        grey = _grey(choice, frame, opened.layout.syntax, shape)
        if grey is not None:
            return grey
        array, _ = choice.decoder.as_array(_wrapped(frame), index=0, validate=False, decoding_plugin=choice.plugin, **options)
    except Exception as error:  # a decoder may raise anything; the runner itself makes a RuntimeError of it
        raise StudyUnreadable(
            f"cannot be decoded as {name(opened.layout.syntax)}: the compressed pixels are damaged; export it again"
        ) from error
    return np.asarray(array)


def _in_file(opened: Header, shape: PixelFormat) -> bool:
    """Whether a frame's values are in the file byte for byte as a processor of today has them."""
    plain = opened.layout.syntax in NATIVE and opened.layout.little and opened.layout.pixel_keyword == "PixelData"
    return plain and shape.samples == 1 and shape.allocated in (8, 16, 32) and sys.byteorder == "little"


def _read(opened: Header, shape: PixelFormat, index: int) -> NDArray[np.generic]:
    """Such a frame, straight into the array that is handed out."""
    array = np.empty((shape.rows, shape.columns), _dtype(shape))
    with opened.pixels() as stream:
        stream.seek(index * shape.frame_bytes, os.SEEK_CUR)
        if stream.readinto(array.data.cast("B")) != array.nbytes:  # type: ignore[attr-defined]
            raise StudyUnreadable("is truncated: its last pixels are not there; export or copy it again")
    return _used_bits(array, shape)


def _dtype(shape: PixelFormat) -> str:
    return f"{'i' if shape.signed else 'u'}{shape.allocated // 8}"


def _grey(choice: Choice, frame: bytes, syntax: str, shape: PixelFormat) -> NDArray[np.generic] | None:
    """A compressed frame of one sample per pixel as pydicom's runner would give it, without its copies; None leaves it to the runner.

    A codestream that knows no sign, or states another one, holds the low bits of a signed value: taken as `shape` says and
    extended from the bits stored they are the value (pydicom's "sign correction"), as long as both mean the same bits.
    """
    if choice.grey is None or shape.samples != 1 or shape.allocated not in (8, 16, 32):
        return None
    found = choice.grey(frame, shape.rows, shape.columns, shape.allocated)
    whole = found.shape == (shape.rows, shape.columns) and found.dtype.kind in "iu" and 8 * found.dtype.itemsize <= shape.allocated
    signed = found.dtype.kind == "i"
    if not whole or (signed != shape.signed and syntax != _RLE and codestream.precision(frame) not in (shape.stored, shape.allocated)):
        return None
    same = found.view(f"{'i' if shape.signed else 'u'}{found.dtype.itemsize}")
    return _used_bits(same.astype(_dtype(shape), copy=False), shape)


def _used_bits(array: NDArray[np.generic], shape: PixelFormat) -> NDArray[np.generic]:
    """Clear bits above Bits Stored (PS3.5 8.1.1), and copy only where there are any."""
    spare = shape.allocated - shape.stored
    if not spare or array.dtype.kind == "f" or array.dtype.itemsize * 8 != shape.allocated:
        return array
    low = -(1 << (shape.stored - 1)) if shape.signed else 0
    if int(array.max()) < low + (1 << shape.stored) and (not shape.signed or int(array.min()) >= low):
        return array
    shifted = array.astype(np.int64) << (64 - shape.stored)
    return ((shifted if shape.signed else shifted.view(np.uint64)) >> (64 - shape.stored)).astype(array.dtype)


def _compressed(stream: BinaryIO, opened: Header, shape: PixelFormat, index: int) -> bytes:
    assert opened.layout.pixels is not None
    offsets = None
    if "ExtendedOffsetTable" in opened.dataset and "ExtendedOffsetTableLengths" in opened.dataset:
        offsets = (opened.dataset.ExtendedOffsetTable, opened.dataset.ExtendedOffsetTableLengths)
    return bytes(get_frame(stream, index, number_of_frames=shape.frames, extended_offsets=offsets))


def _wrapped(frame: bytes) -> bytes:
    """One frame as encapsulated pixel data: an empty offset table and one fragment."""
    padded = frame + b"\0" * (len(frame) % 2)
    return b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0" + len(padded).to_bytes(4, "little") + padded


def _check_frame(frame: bytes, syntax: str, shape: PixelFormat) -> None:
    """Compare what the codestream claims with the header, and both with its length, before a decoder sees it."""
    if not frame:
        raise StudyUnreadable("has an empty compressed frame; export it again")
    if syntax == _RLE:
        if shape.frame_bytes > 64 * len(frame) + 64:
            raise StudyUnreadable(
                f"claims {shape.columns} x {shape.rows} pixels, more than {len(frame):,} run-length bytes can hold; export it again"
            )
        return
    found = codestream.size(frame)
    if found is not None and (found[0], found[1]) != (shape.rows, shape.columns):
        raise StudyUnreadable(
            f"says {shape.columns} x {shape.rows} pixels but its {name(syntax)} frame holds {found[1]} x {found[0]}; export it again"
        )
    if found is not None and found[2] and found[2] != shape.samples:
        raise StudyUnreadable(f"says {shape.samples} samples per pixel but its compressed frame holds {found[2]}; export it again")
    if shape.frame_bytes > _BIG and shape.frame_bytes > 500 * len(frame):
        raise StudyTooLarge(f"unpacks {len(frame) >> 10:,} kB to {shape.frame_bytes >> 20:,} MB, which no real image does; it was refused")


def mapping(opened: Header, shape: PixelFormat, index: int) -> Mapping:
    """How frame `index` becomes grey; what of it was unusable is in the frame's warnings."""
    groups = Groups(opened.dataset, index)
    slope, intercept, _ = rescale(opened.dataset, groups)
    little = opened.layout.little
    lut = _lut(first(opened.dataset, "ModalityLUTSequence"), shape.signed, little)
    voi = _lut(first(groups.of("FrameVOILUTSequence"), "VOILUTSequence"), shape.signed or intercept < 0, little)
    plain = shape.allocated == 8 and not shape.signed and slope == 1 and intercept == 0 and lut is None
    top = float((1 << shape.stored) - 1)
    return Mapping(
        slope, intercept, lut, voi,
        inverse=shape.photometric == "MONOCHROME1",
        padding=_padding(opened.dataset, shape),
        identity=Window(top / 2, max(top, 1.0), "as stored", "LINEAR_EXACT") if plain or shape.allocated == 1 else None,
    )  # fmt: skip


def _lut(item: Dataset | None, signed: bool, little: bool) -> Lut | None:
    """A Modality or VOI LUT item (PS3.3 C.11.1.1, C.11.2.1.1); None when absent or inconsistent."""
    descriptor = numbers(item, "LUTDescriptor") if item is not None else ()
    if item is None or len(descriptor) != 3:
        return None
    count, start, bits = (int(value) for value in descriptor)
    count = count % 65536 or 65536
    start = start - 65536 if signed and start > 32767 else start
    data = item.get("LUTData")
    if isinstance(data, bytes):
        entries = (
            np.frombuffer(data[: len(data) // 2 * 2], dtype="<u2" if little else ">u2")
            if len(data) >= 2 * count
            else np.frombuffer(data, dtype="u1")
        )
    else:
        entries = np.asarray(numbers(item, "LUTData"))
    if len(entries) < count or not 8 <= bits <= 16:
        return None
    entries = np.asarray(entries[:count], dtype=np.float64)
    return Lut(start, entries, max(float((1 << bits) - 1), float(entries.max())))


def _padding(dataset: Dataset, shape: PixelFormat) -> tuple[float, float] | None:
    """Range of stored values that are padding (PS3.3 C.7.5.1.1.2), read as signed where the pixels are."""
    keyword = "PixelPaddingValue" if "PixelPaddingValue" in dataset else ""
    value = number(dataset, keyword) if keyword else None
    if value is None:
        return None
    limit = number(dataset, "PixelPaddingRangeLimit")
    ends = sorted(_as_stored(part, shape) for part in (value, value if limit is None else limit))
    return ends[0], ends[1]


def _as_stored(value: float, shape: PixelFormat) -> float:
    top = 1 << shape.allocated
    if shape.signed and value >= top / 2:
        return value - top
    return value + top if not shape.signed and value < 0 else value


def palette(opened: Header, indices: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Palette indices -> (H, W, 3) uint8; an index beyond the table takes its last colour."""
    coloured = np.asarray(apply_color_lut(indices, opened.dataset))[..., :3]
    if coloured.dtype.itemsize == 1:
        return np.ascontiguousarray(coloured, dtype=np.uint8)
    bits = int((numbers(opened.dataset, "RedPaletteColorLookupTableDescriptor") or (0, 0, 16))[2])
    return (coloured >> (bits - 8 if bits > 8 and coloured.max(initial=0) > 255 else 0)).astype(np.uint8)


def colour(array: NDArray[np.generic], stored: int) -> NDArray[np.uint8]:
    """(H, W, 3) colour of any depth -> uint8."""
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array.view(np.uint8))
    if array.dtype.kind == "f":
        return np.clip(np.nan_to_num(array.astype(np.float64)) * 255, 0, 255).astype(np.uint8)
    return (array.astype(np.int64) >> max(stored - 8, 0)).clip(0, 255).astype(np.uint8)
