"""A first walk over a DICOM file's bytes, before pydicom sees them: depth, element count, lengths, where the pixels are.

pydicom 3.0.2 recurses once per nested item (200 levels end in RecursionError), believes any length and inflates
without limit. This walk keeps an explicit stack, allocates nothing for what it walks over and stops at the budget.
It follows PS3.5 section 7 and is as tolerant as pydicom where tolerance does not change meaning.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from mmap import mmap

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from errors import StudyTooLarge, StudyUnreadable
from storage.studies.budget import Budget, Clock

Data = bytes | mmap
UNDEFINED = 0xFFFFFFFF
_STEP, _BOMB_FROM, _BOMB_RATIO = 1 << 20, 16 << 20, 200
PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_SHORT = frozenset((b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"))
_SHORT |= frozenset((b"ST", b"TM", b"UI", b"UL", b"US"))
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


@dataclass(frozen=True)
class Layout:
    """Where things are in a DICOM file.

    `meta` is the (start, end) of the file meta group, `header` of the data set before its pixels. `pixels` is the
    (start, end) of the pixel element's value, without item delimiters when it is encapsulated; None without one.
    Offsets count in `inflated` when that is not None, else in the file.
    """

    syntax: str
    implicit: bool
    little: bool
    meta: tuple[int, int]
    header: tuple[int, int]
    pixels: tuple[int, int] | None
    pixel_keyword: str = ""
    pixel_vr: str = "OW"
    encapsulated: bool = False
    fragments: int = 0
    elements: int = 0
    depth: int = 0
    inflated: bytes | None = None
    notices: tuple[str, ...] = ()


@dataclass
class _Walk:
    """State of one walk."""

    data: Data
    budget: Budget
    clock: Clock
    implicit: bool = False
    little: bool = True
    elements: int = 0
    deepest: int = 0

    def __post_init__(self) -> None:
        self.use(self.implicit, self.little)

    def use(self, implicit: bool, little: bool) -> None:
        """Set the encoding of what follows."""
        self.implicit, self.little = implicit, little
        order = "<" if little else ">"
        self.tag = struct.Struct(order + "HH").unpack_from
        self.long = struct.Struct(order + "L").unpack_from
        self.short = struct.Struct(order + "H").unpack_from

    def count(self, depth: int) -> None:
        """Count one element or item; raise when over the budget."""
        self.elements += 1
        if self.elements > self.budget.elements:
            raise StudyTooLarge(f"holds more than {self.budget.elements:,} data elements; it is no ordinary image")
        if not self.elements & 1023:
            self.clock.check()
        if depth > self.deepest:
            self.deepest = depth
            if depth > self.budget.depth:
                raise StudyTooLarge(f"nests its sequences deeper than {self.budget.depth} levels; it is no ordinary image")

    def head(self, at: int, implicit: bool) -> tuple[int, bytes, int, int]:
        """(tag, VR or b'', length, start of value) of the element at `at`."""
        group, element = self.tag(self.data, at)
        tag = group << 16 | element
        if group == 0xFFFE:
            return tag, b"", self.long(self.data, at + 4)[0], at + 8
        if implicit:
            return tag, b"", self.long(self.data, at + 4)[0], at + 8
        vr = self.data[at + 4 : at + 6]
        if vr in _SHORT:
            return tag, vr, self.short(self.data, at + 6)[0], at + 8
        if vr in _LONG:
            return tag, vr, self.long(self.data, at + 8)[0], at + 12
        if vr.isalpha() and vr.isupper():  # a VR that does not exist yet, PS3.5 6.2.2: long form if its reserved bytes are zero
            if self.data[at + 6 : at + 8] == b"\0\0":
                return tag, vr, self.long(self.data, at + 8)[0], at + 12
            return tag, vr, self.short(self.data, at + 6)[0], at + 8
        return tag, b"", self.long(self.data, at + 4)[0], at + 8  # an implicit element among explicit ones

    def nests(self, tag: int, vr: bytes, length: int, start: int) -> bool:
        """Whether the element's value is a sequence that pydicom may open."""
        if vr == b"SQ" or (length == UNDEFINED and vr in (b"UN", b"")):
            return True
        if vr not in (b"UN", b"") or length < 8:
            return False
        if dictionary_has_tag(tag):
            return bool(dictionary_VR(tag) == "SQ")
        return bytes(self.data[start : start + 4]) == b"\xfe\xff\x00\xe0"


# A frame of the walk's stack: (kind, end offset or None when delimited, implicit)
_Level = tuple[str, int | None, bool]


def _skip_value(walk: _Walk, at: int, start: int, length: int, size: int, tag: int) -> int:
    end = start + length
    if end > size:
        raise StudyUnreadable(f"is truncated inside element ({tag >> 16:04X},{tag & 0xFFFF:04X}) at byte {at:,}; export or copy it again")
    return end


def walk_nested(walk: _Walk, start: int, length: int, implicit: bool, size: int) -> int:
    """Walk one sequence's value from `start`; return the offset behind it (and its delimiter)."""
    stack: list[_Level] = [("sequence", None if length == UNDEFINED else start + length, implicit)]
    at = start
    while stack:
        kind, end, inside = stack[-1]
        if end is not None and at >= end:
            at = end if kind == "sequence" else at
            stack.pop()
            continue
        if at + 8 > size:
            raise StudyUnreadable(f"is truncated inside a sequence at byte {at:,}; export or copy it again")
        tag, vr, count, value = walk.head(at, inside)
        walk.count((len(stack) + 1) // 2)
        if tag in (_ITEM_END, _SEQUENCE_END):
            stack.pop()
            if tag == _SEQUENCE_END and kind == "item" and stack:
                stack.pop()
            at = value
        elif kind == "sequence":
            if tag != _ITEM:
                return end if end is not None and end <= size else at
            stack.append(("item", None if count == UNDEFINED else min(value + count, size), inside))
            at = value
        elif walk.nests(tag, vr, count, value):
            if count != UNDEFINED:
                _skip_value(walk, at, value, count, size, tag)
            stack.append(("sequence", None if count == UNDEFINED else value + count, inside or vr == b"UN"))
            at = value
        elif count == UNDEFINED:
            at = _skip_fragments(walk, value, size)[1]
        else:
            at = _skip_value(walk, at, value, count, size, tag)
    return at


def _skip_fragments(walk: _Walk, at: int, size: int) -> tuple[int, int, int]:
    """Walk encapsulated fragments; return (end of the last, offset behind the delimiter, how many items)."""
    items = 0
    while at + 8 <= size:
        tag, _, length, value = walk.head(at, True)
        if tag == _SEQUENCE_END:
            return at, value, items
        walk.count(1)
        items += 1
        if tag != _ITEM or length == UNDEFINED or value + length > size:
            raise StudyUnreadable(f"has a broken or truncated fragment of pixel data at byte {at:,}; export or copy it again")
        at = value + length
    return at, at, items


def _meta(walk: _Walk, start: int, size: int) -> tuple[int, str]:
    """Walk the file meta group (always explicit little endian); return (its end, transfer syntax UID or '')."""
    at, syntax = start, ""
    while at + 8 <= size and walk.short(walk.data, at)[0] == 2:
        tag, vr, length, value = walk.head(at, False)
        walk.count(0)
        if length == UNDEFINED:
            raise StudyUnreadable("has a file header with an endless element; export it again")
        if vr == b"SQ":
            raise StudyUnreadable("has a sequence in its file header; export it again")
        end = _skip_value(walk, at, value, length, size, tag)
        if tag == 0x00020010:
            syntax = bytes(walk.data[value:end]).rstrip(b"\0 ").decode("ascii", "replace")
        at = end
    return at, syntax


def _begin(data: Data, size: int) -> tuple[int, tuple[str, ...]]:
    """Offset of the first element, and notices. Raises `StudyUnreadable` when it is no DICOM file."""
    if data[128:132] == b"DICM":
        preamble = bytes(data[:128])
        if preamble[:2] == b"MZ" or preamble[:4] in (b"\x7fELF", b"%PDF") or preamble[:2] == b"#!":
            return 132, ("its preamble looks like a program; it is cleared in the stored copy",)
        return 132, ()
    if data[:4] == b"DICM":
        return 4, ("it has no preamble; it was read all the same",)
    if size >= 16:
        group, number, vr = struct.unpack_from("<HH2s", data, 0)
        (length,) = struct.unpack_from("<L", data, 4)
        known = group in (2, 8) or (group == 0 and number == 0 and length == 4)
        if known and (vr in _SHORT or vr in _LONG or 0 < length < min(size, 4096)):
            return 0, ("it has no preamble; it was read all the same",)
        if group in (0x0800, 0x0200) and (vr in _SHORT or vr in _LONG):
            return 0, ("it has no preamble; it was read all the same",)
    raise StudyUnreadable("is not a DICOM, NIfTI, PNG, JPEG or TIFF file; check what was exported")


def _encoding(walk: _Walk, at: int, syntax: str, size: int) -> tuple[str, bool, bool, tuple[str, ...]]:
    """(syntax, implicit, little, notices) of the data set at `at`; what is there wins over what is said."""
    if at + 8 > size:
        raise StudyUnreadable("ends right after its file header; export or copy it again")
    vr = bytes(walk.data[at + 4 : at + 6])
    explicit = vr in _SHORT or vr in _LONG
    if not syntax:
        (group,) = struct.unpack_from("<H", walk.data, at)
        little = not (group >= 1024 and explicit)
        guess = ExplicitVRLittleEndian if explicit and little else ExplicitVRBigEndian if explicit else ImplicitVRLittleEndian
        return str(guess), not explicit, little, ("it names no transfer syntax; one was inferred",)
    little = syntax != ExplicitVRBigEndian
    if explicit == (syntax != ImplicitVRLittleEndian):
        return syntax, not explicit, little, ()
    return syntax, not explicit, little, ("its transfer syntax is not the one it names; it was read as found",)


def _inflate(data: Data, at: int, budget: Budget) -> bytes:
    """Inflate the rest of a deflated data set in steps, never beyond the budget and never at the ratio of a bomb."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    limit = min(budget.inflated, budget.bytes)
    whole = bytearray()
    feed = bytes(data[at : at + _STEP])
    while feed and not engine.eof:
        whole += engine.decompress(feed, _STEP)
        at += len(feed) - len(engine.unconsumed_tail)
        if len(whole) > limit or (len(whole) > _BOMB_FROM and len(whole) > _BOMB_RATIO * at):
            raise StudyTooLarge(
                f"inflates to more than {len(whole) >> 20:,} MB from {at >> 10:,} kB, which no real image does; it was refused"
            )
        feed = bytes(data[at : at + _STEP])
    return bytes(whole)


def scan(data: Data, budget: Budget) -> Layout:
    """Walk a whole DICOM file. Raises `StudyUnreadable` or `StudyTooLarge`; allocates only to inflate."""
    size = len(data)
    start, notices = _begin(data, size)
    walk = _Walk(data, budget, Clock(budget.seconds))
    meta_end, syntax = _meta(walk, start, size)
    inflated = None
    at = meta_end
    if syntax == DeflatedExplicitVRLittleEndian:
        inflated = _inflate(data, at, budget)
        walk.data, size, at = inflated, len(inflated), 0
    syntax, implicit, little, more = _encoding(walk, at, syntax, size)
    walk.use(implicit, little)
    return _dataset(
        walk, at, size, Layout(syntax, implicit, little, (start, meta_end), (at, at), None, notices=notices + more, inflated=inflated)
    )


def _dataset(walk: _Walk, at: int, size: int, base: Layout) -> Layout:
    """Walk the top level of the data set up to the pixels."""
    first = at
    while at + 8 <= size:
        tag, vr, length, value = walk.head(at, walk.implicit)
        walk.count(0)
        if tag in PIXELS:
            return _pixels(walk, at, size, base, (tag, vr, length, value))
        if walk.nests(tag, vr, length, value):
            if length != UNDEFINED:
                _skip_value(walk, at, value, length, size, tag)
            at = walk_nested(walk, value, length, walk.implicit or vr == b"UN", size)
        elif length == UNDEFINED:
            at = _skip_fragments(walk, value, size)[1]
        elif tag >> 16 == 0xFFFE:
            at = value
        else:
            at = _skip_value(walk, at, value, length, size, tag)
    return _layout(base, walk, (first, at), None)


def _pixels(walk: _Walk, at: int, size: int, base: Layout, head: tuple[int, bytes, int, int]) -> Layout:
    tag, vr, length, value = head
    items = 1
    if length == UNDEFINED:
        end, _, items = _skip_fragments(walk, value, size)
    elif value + length > size:
        raise StudyUnreadable(f"is truncated: {size - value:,} of {length:,} bytes of pixel data are there; export or copy it again")
    else:
        end = value + length
    return _layout(
        base, walk, (base.header[0], at), (value, end), PIXELS[tag], vr.decode("ascii") or "OW", items - 1 if length == UNDEFINED else None
    )


def _layout(
    base: Layout,
    walk: _Walk,
    header: tuple[int, int],
    pixels: tuple[int, int] | None,
    keyword: str = "",
    vr: str = "OW",
    fragments: int | None = None,
) -> Layout:
    return Layout(
        base.syntax, base.implicit, base.little, base.meta, header, pixels, keyword, vr, fragments is not None, fragments or 0,
        walk.elements, walk.deepest, base.inflated, base.notices,
    )  # fmt: skip
