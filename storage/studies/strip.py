"""Metadata taken off pictures and volumes: PNG chunks, JPEG segments, TIFF tags, NIfTI free text. Pixels stay as they are."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from errors import StudyTooLarge, StudyUnreadable
from storage.studies import images
from storage.studies import nifti as volumes
from storage.studies.budget import Budget
from storage.studies.model import Kind

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"sRGB", b"sBIT")
_CHUNK = 1 << 20
_BOMB_FROM, _BOMB_RATIO = 128 << 20, 200


def kind_of(path: Path, head: bytes) -> Kind:
    """`image`, `nifti` or `dicom` by the first bytes of a file."""
    if head[128:132] == b"DICM":
        return "dicom"
    if head[:4] == _PNG[:4] or head[:3] == b"\xff\xd8\xff" or head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "image"
    return "nifti" if volumes.is_nifti(volumes.head_of(path)) else "dicom"


def picture(path: Path, budget: Budget) -> tuple[Iterator[bytes], str]:
    """(the file without metadata in chunks, its suffix). Raises `StudyUnreadable` for a broken file."""
    budget.check_bytes(path.stat().st_size)
    with path.open("rb") as file:
        head = file.read(8)
    if head == _PNG:
        return _png(path.read_bytes()), ".png"
    if head[:3] == b"\xff\xd8\xff":
        return _jpeg(path.read_bytes(), _orientation(path)), ".jpg"
    return iter((_tiff(path, budget),)), ".tif"


def _orientation(path: Path) -> int:
    with Image.open(path, formats=images.FORMATS) as opened:
        value = opened.getexif().get(0x0112, 1)
    return value if value in range(1, 9) else 1


def _png(data: bytes) -> Iterator[bytes]:
    """Critical chunks and those that change what the pixels look like; text, time, EXIF, animation and private ones go."""
    yield _PNG
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">L", data, at)
        kind = data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            raise StudyUnreadable("is a truncated PNG; export or copy it again")
        if kind in _PNG_KEPT:
            yield data[at:end]
        if kind == b"IEND":
            return
        at = end
    raise StudyUnreadable("is a truncated PNG; export or copy it again")


def _jpeg(data: bytes, orientation: int) -> Iterator[bytes]:
    """Tables, frames and scans; of the APPn segments only a bare JFIF and Adobe's colour note, and the way up."""
    yield b"\xff\xd8"
    if orientation != 1:
        exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes((orientation,)) + b"\0\0\0\0\0\0"
        yield b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    at = 2
    while at + 2 <= len(data):
        if data[at] != 0xFF:
            raise StudyUnreadable("is a damaged JPEG; export or copy it again")
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xD9:
            yield b"\xff\xd9"
            return
        if at + 4 > len(data):
            return
        end = at + 2 + int(struct.unpack_from(">H", data, at + 2)[0])
        segment = data[at:end]
        wanted = not (0xE0 <= marker <= 0xEF or marker == 0xFE)
        if wanted or (marker == 0xEE and segment[4:9] == b"Adobe") or (marker == 0xE0 and segment[4:9] == b"JFIF\0" and len(segment) == 18):
            yield segment
        if marker == 0xDA:
            scan = _scan_end(data, end)
            yield data[end:scan]
            end = scan
        at = end


def _scan_end(data: bytes, at: int) -> int:
    """Where the entropy-coded bytes from `at` end: at the next marker that is no stuffing and no restart."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return len(data)
        if data[at + 1] == 0 or 0xD0 <= data[at + 1] <= 0xD7:
            at += 2
        elif data[at + 1] == 0xFF:
            at += 1
        else:
            return at


def _tiff(path: Path, budget: Budget) -> bytes:
    """Every page written anew, without loss and without its tags."""
    with Image.open(path, formats=("TIFF",)) as opened:
        count = int(getattr(opened, "n_frames", 1))
    pages = [Image.fromarray(images.decode(path, index, budget)) for index in range(count)]
    buffer = io.BytesIO()
    pages[0].save(buffer, format="TIFF", compression="tiff_adobe_deflate", save_all=True, append_images=pages[1:])
    return buffer.getvalue()


def nifti(path: Path, budget: Budget) -> Iterator[bytes]:
    """One .nii without free text, extensions and what follows its values, not compressed. Names and descriptions become zeros."""
    start, need = volumes.check(path, budget)
    most = max(_BOMB_FROM, _BOMB_RATIO * path.stat().st_size)
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as stream:
        yield from _nifti(stream, budget, most, start, need)  # type: ignore[arg-type]


def _nifti(stream: BinaryIO, budget: Budget, most: int, start: int, need: int) -> Iterator[bytes]:
    """The header with its free text blanked, then the `need` bytes from `start`."""
    head = bytearray(stream.read(348))
    second = head[4:7] == b"n+2"
    if second:
        head += stream.read(540 - 348)
    fields = ((240, 80), (320, 24), (508, 16), (525, 15)) if second else ((4, 10), (14, 18), (148, 80), (228, 24), (328, 16))
    for place, length in fields:
        head[place : place + length] = bytes(length)
    size = 544 if second else 352
    order = "<" if struct.unpack_from("<l", head, 0)[0] in (348, 540) else ">"
    form, at = (order + "q", 168) if second else (order + "f", 108)
    struct.pack_into(form, head, at, size)
    yield bytes(head) + b"\0\0\0\0"
    stream.read(start - len(head))
    written = size
    while need > 0 and (chunk := stream.read(min(_CHUNK, need))):
        written += len(chunk)
        need -= len(chunk)
        budget.check_bytes(written)
        if written > most:
            raise StudyTooLarge(f"unpacks to more than {_BOMB_RATIO} times its size, which no real volume does; it was refused")
        yield chunk
