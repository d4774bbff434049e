"""What a compressed frame says about its own size, read from its first bytes before any decoder allocates for it."""

from __future__ import annotations

import struct

_SOF = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7))
_XL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def size(frame: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) of a JPEG, JPEG-LS, JPEG 2000 or HTJ2K codestream; components 0 when not stated; None if unknown."""
    if frame[:2] == b"\xff\xd8":
        return _jpeg(frame)
    if frame[:2] == b"\xff\x0a":
        return _jpegxl(frame[2:40])
    if frame[4:8] == b"JXL ":
        at = frame.find(b"jxlc", 0, 4096)
        return _jpegxl(frame[at + 6 : at + 44]) if at >= 0 else None
    at = frame.find(b"\xff\x4f\xff\x51", 0, 4096)
    if at >= 0 and len(frame) >= at + 42:
        right, bottom, left, top = struct.unpack_from(">4L", frame, at + 8)
        return bottom - top, right - left, struct.unpack_from(">H", frame, at + 40)[0]
    return None


def precision(frame: bytes) -> int | None:
    """Bits of a sample as a JPEG, JPEG-LS, JPEG 2000 or HTJ2K codestream states them; None if unknown."""
    if frame[:2] == b"\xff\xd8":
        at = _frame_header(frame)
        return frame[at + 4] if at is not None else None
    at = frame.find(b"\xff\x4f\xff\x51", 0, 4096)
    return (frame[at + 42] & 0x7F) + 1 if 0 <= at < len(frame) - 42 else None


def _jpeg(frame: bytes) -> tuple[int, int, int] | None:
    at = _frame_header(frame)
    return struct.unpack_from(">HHB", frame, at + 5) if at is not None else None


def _frame_header(frame: bytes) -> int | None:
    """Where the start-of-frame marker of a JPEG or JPEG-LS stream is."""
    at = 2
    while at + 10 <= len(frame):
        if frame[at] != 0xFF:
            return None
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _SOF:
            return at
        elif marker in (0xD9, 0xDA):
            return None
        else:
            at += 2 + int(struct.unpack_from(">H", frame, at + 2)[0])
    return None


def _jpegxl(head: bytes) -> tuple[int, int, int] | None:
    """SizeHeader of ISO/IEC 18181-1, least significant bit first."""
    bits, at = int.from_bytes(head, "little"), 0

    def take(count: int) -> int:
        nonlocal at
        value = bits >> at & ((1 << count) - 1)
        at += count
        return value

    def edge() -> int:
        return (take(5) + 1) * 8 if small else 1 + take((9, 13, 18, 30)[take(2)])

    small = bool(take(1))
    rows = edge()
    ratio = take(3)
    if ratio == 0:
        return rows, edge(), 0
    across, down = _XL_RATIOS[ratio - 1]
    return rows, rows * across // down, 0
