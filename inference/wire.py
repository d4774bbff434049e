"""How an engine's parent and child process talk: a JSON head and a raw tail in each frame, over two pipes.

Never pickle: the child parses files that others made, and what it sends must not be able to run here. Text that is
not UTF-8 by itself (pieces of one character) goes as hex.

    frame = head length (4 bytes, little-endian), tail length (4 bytes), head (UTF-8 JSON object), tail (bytes)
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from typing import Any

from inference.chat import Control, Segment
from inference.prompts import ImageSlot

HEADER = struct.Struct("<II")
MAX_HEAD = 4 << 20
MAX_TAIL = 256 << 20


class Closed(Exception):
    """The other side has closed its end, or sent what is not a frame."""


@dataclass(frozen=True)
class Frame:
    """One message: a JSON object and raw bytes."""

    head: dict[str, Any]
    tail: bytes = b""

    def encode(self) -> bytes:
        """The frame as bytes."""
        head = json.dumps(self.head).encode()
        return HEADER.pack(len(head), len(self.tail)) + head + self.tail


class Reader:
    """Cuts the bytes that arrive into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes as they came."""
        self._buffer += data

    def next(self) -> Frame | None:
        """The next whole frame, or None when more bytes are needed. Raises `Closed` for what is not a frame."""
        if len(self._buffer) < HEADER.size:
            return None
        head, tail = HEADER.unpack_from(self._buffer)
        if head > MAX_HEAD or tail > MAX_TAIL:
            raise Closed("not a frame")
        end = HEADER.size + head + tail
        if len(self._buffer) < end:
            return None
        raw = bytes(self._buffer[HEADER.size : end])
        del self._buffer[:end]
        try:
            return Frame(dict(json.loads(raw[:head])), raw[head:])
        except ValueError as error:
            raise Closed("not a frame") from error


def write(descriptor: int, frame: Frame) -> None:
    """Write a whole frame to a pipe. Raises `Closed` when nobody reads it any more."""
    data = memoryview(frame.encode())
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError as error:
        raise Closed(str(error)) from error


def pack_segments(parts: tuple[Segment, ...]) -> list[list[Any]]:
    """Segments as JSON: `["control", name]`, `["text", words]`, `["image", index]`."""
    return [
        ["control", p.name] if isinstance(p, Control) else ["image", p.index] if isinstance(p, ImageSlot) else ["text", p] for p in parts
    ]


def unpack_segments(packed: list[list[Any]]) -> tuple[Segment, ...]:
    """The inverse of `pack_segments`."""
    kinds: dict[str, Any] = {"control": Control, "image": ImageSlot, "text": str}
    return tuple(kinds[kind](value) for kind, value in packed)
