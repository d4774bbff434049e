"""Hostile DICOM files, each made by one function that writes into a folder and returns what to open."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from tests.dicoms import ct, dataset, write
from tests.hostile.case import case

JPEG_LS, J2K, RLE, JPEG, MPEG4 = (f"1.2.840.10008.1.2.{tail}" for tail in ("4.80", "4.90", "5", "4.50", "4.102"))
DEFLATED, EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
GREY = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)


def compressed(path: Path, syntax: str, frame: bytes, **changes: Any) -> Path:
    """A file that says it holds `frame` compressed as `syntax`."""
    made = dataset(GREY, syntax=syntax, **changes)
    made.PixelData = encapsulate([frame])
    made["PixelData"].is_undefined_length = True
    return write(made, path)


def head(syntax: str = EXPLICIT) -> bytes:
    """Preamble and a file meta group written by hand."""
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    return b"\0" * 128 + b"DICM" + b"\x02\0\x10\0UI" + struct.pack("<H", len(value)) + value


def element(group: int, number: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """One explicit little-endian element; `length` may lie."""
    size = len(value) if length is None else length
    long = vr in (b"OB", b"OW", b"SQ", b"UN", b"UT")
    return struct.pack("<HH", group, number) + vr + (b"\0\0" + struct.pack("<L", size) if long else struct.pack("<H", size)) + value


IMAGE = b"".join(
    (
        element(0x0028, 0x0002, b"US", b"\1\0"),
        element(0x0028, 0x0004, b"CS", b"MONOCHROME2 "),
        element(0x0028, 0x0010, b"US", b"\x08\0"),
        element(0x0028, 0x0011, b"US", b"\x08\0"),
        element(0x0028, 0x0100, b"US", b"\x08\0"),
        element(0x0028, 0x0101, b"US", b"\x08\0"),
        element(0x0028, 0x0102, b"US", b"\x07\0"),
        element(0x0028, 0x0103, b"US", b"\0\0"),
        element(0x7FE0, 0x0010, b"OB", bytes(64)),
    )
)


def raw(folder: Path, data: bytes, name: str = "image.dcm") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@case("empty file", "refused", "is empty")
def empty(folder: Path) -> Path:
    return raw(folder, b"")


@case("one byte", "refused")
def one_byte(folder: Path) -> Path:
    return raw(folder, b"D")


@case("127 bytes", "refused")
def short(folder: Path) -> Path:
    return raw(folder, bytes(127))


@case("text named .dcm", "refused", "not a DICOM")
def text_file(folder: Path) -> Path:
    return raw(folder, b"Dear colleague, please find attached the images.\n" * 20)


@case("PNG named .dcm", "refused", "plain picture")
def renamed(folder: Path) -> Path:
    return raw(folder, bytes(imagecodecs.png_encode(GREY)))


@case("no preamble but valid", "picture", "no preamble")
def no_preamble(folder: Path) -> Path:
    return raw(folder, ct(folder / "whole.dcm").read_bytes()[132:], "image")


@case("program in the preamble", "picture", "looks like a program")
def polyglot(folder: Path) -> Path:
    return write(dataset(GREY), folder / "image.dcm", preamble=b"MZ\x90\0" + bytes(124))


@case("ends after its header", "refused")
def header_only(folder: Path) -> Path:
    return raw(folder, head())


@case("half of the pixels", "refused", "truncated")
def half(folder: Path) -> Path:
    data = write(dataset(GREY), folder / "whole.dcm").read_bytes()
    return raw(folder, data[: len(data) - GREY.nbytes // 2])


@case("one frame of two", "refused", "truncated")
def one_of_two(folder: Path) -> Path:
    return write(dataset(GREY, Rows=128), folder / "image.dcm")


@case("compressed pixels named uncompressed", "refused", "transfer syntax")
def wrong_syntax(folder: Path) -> Path:
    path = compressed(folder / "whole.dcm", JPEG_LS, bytes(imagecodecs.jpegls_encode(GREY)))
    return relabel(folder, path.read_bytes(), EXPLICIT)


@case("uncompressed pixels named JPEG", "refused", "transfer syntax")
def wrong_syntax_back(folder: Path) -> Path:
    return relabel(folder, write(dataset(GREY), folder / "whole.dcm").read_bytes(), JPEG)


@case("implicit data named explicit", "picture", "read as found")
def implicit_as_explicit(folder: Path) -> Path:
    return relabel(folder, write(dataset(GREY, syntax=IMPLICIT), folder / "whole.dcm").read_bytes(), EXPLICIT)


def relabel(folder: Path, data: bytes, syntax: str) -> Path:
    """The same file under the name of another transfer syntax."""
    at = data.index(b"\x02\0\x10\0UI")
    length = struct.unpack_from("<H", data, at + 6)[0]
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    return raw(folder, data[: at + 6] + struct.pack("<H", len(value)) + value + data[at + 8 + length :])


@case("no pixels", "skipped", "holds no picture")
def no_pixels(folder: Path) -> Path:
    made = dataset(GREY)
    del made.PixelData
    return write(made, folder / "image.dcm")


def _object(sop: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        return write(dataset(GREY, SOPClassUID=sop), folder / "image.dcm")

    return make


for _name, _sop, _words in (
    ("structured report", "88.11", "structured report"),
    ("segmentation", "66.4", "segmentation"),
    ("radiotherapy structure set", "481.3", "structure set"),
    ("radiotherapy dose", "481.2", "dose"),
):
    case(_name, "skipped", _words)(_object(f"1.2.840.10008.5.1.4.1.1.{_sop}"))


@case("1 x 1 image", "picture")
def one_pixel(folder: Path) -> Path:
    return write(dataset(np.array([[7]], dtype=np.uint16)), folder / "image.dcm")


@case("30,000 rows claimed", "refused", "truncated")
def many_rows(folder: Path) -> Path:
    return write(dataset(GREY, Rows=30000, Columns=30000), folder / "image.dcm")


@case("30,000 rows claimed of run lengths", "refused", "run-length")
def many_rows_rle(folder: Path) -> Path:
    frame = struct.pack("<16L", 2, 64, 96, *([0] * 13)) + b"\xff\0" * 32
    return compressed(folder / "image.dcm", RLE, frame, Rows=30000, Columns=30000)


@case("run lengths that end inside a run", "refused", "damaged")
def cut_run(folder: Path) -> Path:
    """The C decoder of imagecodecs 2026.3 read on beyond the frame and ended the process on files like this one."""
    frame = struct.pack("<16L", 2, 64, 66, *([0] * 13)) + b"\xff\0" + b"\xff\0" * 20 + b"\x7f\1"
    return compressed(folder / "image.dcm", RLE, frame)


@case("run lengths with offsets outside the frame", "refused", "damaged")
def lost_segments(folder: Path) -> Path:
    frame = struct.pack("<16L", 2, 64, 1 << 31, *([0] * 13)) + b"\x81\0" * 60
    return compressed(folder / "image.dcm", RLE, frame)


@case("0 rows", "refused", "no image")
def no_rows(folder: Path) -> Path:
    return write(dataset(GREY, Rows=0), folder / "image.dcm")


@case("rows x columns x frames beyond 2^32", "refused", "limit")
def overflow(folder: Path) -> Path:
    made = dataset(GREY, Rows=65535, Columns=65535)
    made.NumberOfFrames = 65537
    return write(made, folder / "image.dcm")


@case("rows as a 32-bit number", "refused")
def long_rows(folder: Path) -> Path:
    data = head() + IMAGE.replace(element(0x0028, 0x0010, b"US", b"\x08\0"), element(0x0028, 0x0010, b"UL", b"\x01\0\x01\0"))
    return raw(folder, data)


@case("2,000,000 frames", "refused")
def many_frames(folder: Path) -> Path:
    made = dataset(GREY)
    made.NumberOfFrames = 2_000_000
    return write(made, folder / "image.dcm")


@case("100 frames of 8192 x 8192, really there", "refused", "limit")
def real_giant(folder: Path) -> Path:
    made = dataset(GREY, Rows=8192, Columns=8192)
    made.NumberOfFrames = 100
    path = write(made, folder / "image.dcm")
    with path.open("r+b") as file:
        file.truncate(100 * 8192 * 8192 * 2 + 2048)
    return path


@case("length of 4 GB", "refused", "truncated")
def huge_length(folder: Path) -> Path:
    return raw(folder, head() + element(0x0010, 0x0020, b"UN", b"x" * 100, length=0xFFFFFFF0))


@case("pixel length of 4 GB", "refused", "truncated")
def huge_pixels(folder: Path) -> Path:
    return raw(folder, head() + IMAGE[:-76] + element(0x7FE0, 0x0010, b"OW", bytes(100), length=0xFFFFFFF0))


@case("deflate bomb, x1028", "refused", "inflates")
def deflate_bomb(folder: Path) -> Path:
    engine = zlib.compressobj(9, wbits=-15)
    body = [engine.compress(element(0x7FE0, 0x0010, b"OW", b"", length=256 << 20))]
    body += [engine.compress(bytes(1 << 20)) for _ in range(40)]
    return raw(folder, head(DEFLATED) + b"".join(body) + engine.flush())


@case("deflated data, damaged", "refused")
def deflate_broken(folder: Path) -> Path:
    return raw(folder, head(DEFLATED) + bytes(range(256)) * 4)


@case("deflated frame bomb", "refused", "no decoder")
def deflated_frame(folder: Path) -> Path:
    return compressed(folder / "image.dcm", "1.2.840.10008.1.2.8.1", zlib.compress(bytes(1 << 20), 9))


@case("200 nested sequences of undefined length", "refused", "deeper than 64")
def deep(folder: Path) -> Path:
    start = element(0x0008, 0x1140, b"SQ", b"", length=0xFFFFFFFF) + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    return raw(folder, head() + start * 200 + (b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0") * 200 + IMAGE)


@case("1,000 nested sequences of defined length", "refused", "deeper than 64")
def deep_defined(folder: Path) -> Path:
    value = b""
    for _ in range(1000):
        value = element(0x0008, 0x1140, b"SQ", b"\xfe\xff\0\xe0" + struct.pack("<L", len(value)) + value)
    return raw(folder, head() + value + IMAGE)


@case("nested sequences hidden as unknown", "refused", "deeper than 64")
def deep_unknown(folder: Path) -> Path:
    value = b""
    for _ in range(300):
        value = struct.pack("<HHL", 0x0008, 0x1140, len(value) + 8) + b"\xfe\xff\0\xe0" + struct.pack("<L", len(value)) + value
    return raw(folder, head() + element(0x0009, 0x1001, b"UN", b"\xfe\xff\0\xe0" + struct.pack("<L", len(value)) + value) + IMAGE)


@case("1,000,000 small private elements", "refused", "data elements")
def many_elements(folder: Path) -> Path:
    body = b"".join(struct.pack("<HH", 9 + 2 * (index // 60000), 0x1000 + index % 60000) + b"LO\0\0" for index in range(1_000_000))
    return raw(folder, head() + body + IMAGE)


@case("palette index beyond its table", "picture")
def palette(folder: Path) -> Path:
    made = dataset(np.full((16, 16), 200, dtype=np.uint8), PhotometricInterpretation="PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [4, 0, 16])
        setattr(made, f"{name}PaletteColorLookupTableData", struct.pack("<4H", 0, 100, 200, 65535))
    return write(made, folder / "image.dcm")


@case("palette without a table", "either")
def palette_gone(folder: Path) -> Path:
    return write(dataset(np.zeros((16, 16), np.uint8), PhotometricInterpretation="PALETTE COLOR"), folder / "image.dcm")


@case("palette shorter than it says", "either")
def palette_short(folder: Path) -> Path:
    made = dataset(np.full((16, 16), 200, dtype=np.uint8), PhotometricInterpretation="PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [0, 0, 16])
        setattr(made, f"{name}PaletteColorLookupTableData", b"\0\1")
    return write(made, folder / "image.dcm")


for _name, _changes in {
    "bits stored beyond allocated": {"BitsStored": 24},
    "high bit beyond allocated": {"HighBit": 16},
    "bits allocated 0": {"BitsAllocated": 0},
    "bits allocated 48": {"BitsAllocated": 48},
    "bits stored 0": {"BitsStored": 0},
    "pixel representation 7": {"PixelRepresentation": 7},
    "5 samples per pixel": {"SamplesPerPixel": 5},
    "colour with one sample": {"PhotometricInterpretation": "RGB"},
    "unknown colour model": {"PhotometricInterpretation": "SEPIA"},
    "rows missing": {"Rows": None},
}.items():
    case(_name, "refused")(lambda folder, changes=_changes: write(dataset(GREY, **changes), folder / "image.dcm"))

for _name, _changes in {
    "rescale slope 0": {"RescaleSlope": 0, "RescaleIntercept": 0},
    "rescale slope 1e308": {"RescaleSlope": "1e308", "RescaleIntercept": "1e308"},
    "rescale slope NaN": {"RescaleSlope": "NaN", "RescaleIntercept": "0"},
    "window width 0": {"WindowCenter": 40, "WindowWidth": 0},
    "window width negative": {"WindowCenter": 40, "WindowWidth": -400},
    "window empty": {"WindowCenter": "", "WindowWidth": ""},
    "more centres than widths": {"WindowCenter": [40, 50, 60], "WindowWidth": [400]},
    "window 1e300": {"WindowCenter": "1e300", "WindowWidth": "1e300"},
}.items():
    case(_name, "picture")(lambda folder, changes=_changes: write(dataset(GREY, **changes), folder / "image.dcm"))


@case("JPEG-LS of another size", "refused", "frame holds 48 x 64")
def jls_size(folder: Path) -> Path:
    return compressed(folder / "image.dcm", JPEG_LS, bytes(imagecodecs.jpegls_encode(GREY)), Rows=4000, Columns=4000)


@case("JPEG 2000 of another size", "refused", "frame holds")
def j2k_size(folder: Path) -> Path:
    return compressed(folder / "image.dcm", J2K, _j2k(), Rows=9, Columns=9)


def _j2k() -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(GREY, level=0, reversible=True, codecformat="j2k"))


@case("JPEG 2000 that claims 60,000 x 60,000", "refused")
def j2k_bomb(folder: Path) -> Path:
    frame = bytearray(_j2k())
    at = frame.index(b"\xff\x4f\xff\x51") + 8
    struct.pack_into(">2L", frame, at, 60000, 60000)
    return compressed(folder / "image.dcm", J2K, bytes(frame), Rows=60000, Columns=60000)


@case("JPEG-LS that claims 30,000 x 30,000 and agrees with its header", "refused")
def jls_bomb(folder: Path) -> Path:
    frame = bytearray(imagecodecs.jpegls_encode(GREY))
    at = frame.index(b"\xff\xf7")
    struct.pack_into(">2H", frame, at + 5, 30000, 30000)
    return compressed(folder / "image.dcm", JPEG_LS, bytes(frame), Rows=30000, Columns=30000)


@case("MPEG-4", "refused", "MPEG-4")
def mpeg(folder: Path) -> Path:
    return compressed(folder / "image.dcm", MPEG4, bytes(100))


@case("a syntax nobody knows", "refused", "1.2.3.4")
def unknown_syntax(folder: Path) -> Path:
    return relabel(folder, compressed(folder / "whole.dcm", JPEG_LS, bytes(100)).read_bytes(), "1.2.3.4")


@case("encapsulated without frames", "refused")
def no_frames(folder: Path) -> Path:
    made = dataset(GREY, syntax=JPEG)
    made.PixelData = b"\xfe\xff\0\xe0\0\0\0\0"
    made["PixelData"].is_undefined_length = True
    return write(made, folder / "image.dcm")


@case("names in odd character sets", "picture")
def charsets(folder: Path) -> Path:
    made = dataset(GREY)
    data = write(made, folder / "whole.dcm").read_bytes()
    data = data.replace(b"ISO_IR 192", b"ISO_IR 999", 1).replace(b"Doe^Jane", b"\x1b$)C\xff\xfe\x80^", 1)
    return raw(folder, data)


@case("a private sequence with damaged items", "either")
def broken_items(folder: Path) -> Path:
    return raw(folder, head() + element(0x0009, 0x1002, b"SQ", b"\xfe\xff\0\xe0\x10\0\0\0" + b"\xff" * 12) + IMAGE)


@case("a per-frame group that is no sequence", "picture")
def groups(folder: Path) -> Path:
    made = dataset(GREY)
    made.add_new(0x52009230, "LO", "nothing")
    return write(made, folder / "image.dcm")


@case("a VOI LUT with nothing in it", "picture")
def empty_lut(folder: Path) -> Path:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [0, 0, 16], b""
    return write(dataset(GREY, VOILUTSequence=Sequence([item])), folder / "image.dcm")


@case("DICOMDIR that names /etc/passwd", "refused", "leaves the folder")
def dicomdir(folder: Path) -> Path:
    made = dataset(GREY, SOPClassUID="1.2.840.10008.1.3.10")
    del made.PixelData
    record = Dataset()
    record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", ["..", "..", "..", "..", "etc", "passwd"]
    made.DirectoryRecordSequence = Sequence([record])
    return write(made, folder / "DICOMDIR")
