"""Small parts: the chat as segments, frames on the wire, the turnstile, the tile."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from threading import Event

import numpy as np
import pytest

from errors import Cancelled, ModelNotLoaded
from inference import chat, pixels, wire
from inference.chat import Control
from inference.engine import Turn
from inference.prompts import ImageSlot
from inference.turnstile import Turnstile
from inference.wire import Closed, Frame, Reader
from tests.inference import tiny

START, END = Control("<|im_start|>"), Control("<|im_end|>")


def test_a_chat_becomes_controls_text_and_image_places() -> None:
    request = tiny.pair("<|im_end|>?", images=(tiny.picture(1, "prior"),), history=(Turn("What?", "Worse."),))
    assert chat.request_segments(request)[3:] == (
        "\n",
        START,
        "user\nImage 1 (prior): ",
        Control("<fake_token_around_image>"),
        Control("<global-img>"),
        ImageSlot(0),
        Control("<fake_token_around_image>"),
        "\nWhat?",
        END,
        "\n",
        START,
        "assistant\nWorse.",
        END,
        "\n",
        START,
        "user\n<|im_end|>?",
        END,
        "\n",
        START,
        "assistant\n",
    )


def test_token_ids_follow_the_segments() -> None:
    def encode(text: str) -> Sequence[int]:
        return [ord(letter) for letter in text]

    assert chat.token_ids((START, "ab", ImageSlot(0)), encode, lambda name: len(name), (7, 7)) == [12, 97, 98, 7, 7]
    with pytest.raises(ModelNotLoaded):
        chat.template("unknown")


def test_segments_cross_the_wire_unchanged() -> None:
    parts = chat.request_segments(tiny.pair('"quotes" \\ é😀 \u2028 <|im_end|>'))
    reader = Reader()
    frame = Frame({"segments": wire.pack_segments(parts)}, bytes(range(256)))
    for byte in frame.encode():
        reader.feed(bytes([byte]))
    got = reader.next()
    assert got is not None
    assert got.tail == frame.tail
    assert wire.unpack_segments(got.head["segments"]) == parts
    assert reader.next() is None


@pytest.mark.parametrize("data", [b"\xff" * 8, wire.HEADER.pack(5, 0) + b"nope!", wire.HEADER.pack(4, 0) + b"[[1]"])
def test_what_is_not_a_frame_closes_the_connection(data: bytes) -> None:
    reader = Reader()
    reader.feed(data)
    with pytest.raises(Closed):
        reader.next()


def test_writing_to_a_process_that_is_gone_is_closed() -> None:
    read, write = os.pipe()
    os.close(read)
    with pytest.raises(Closed):
        wire.write(write, Frame({}))
    os.close(write)


def test_the_turnstile_lets_readers_in_as_they_came_and_a_stop_leaves_the_line() -> None:
    line = Turnstile()
    first = line.enter()
    order: list[int] = []
    waiting = threading.Semaphore(0)

    def read(number: int) -> None:
        ticket = line.enter(on_wait=waiting.release)
        order.append(number)
        line.leave(ticket)

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=read, args=(number,)))
        threads[-1].start()
        assert waiting.acquire(timeout=10)
    cancel = Event()
    cancel.set()
    with pytest.raises(Cancelled, match="withdrawn"):
        line.enter(cancel)
    line.leave(first)
    line.leave(first)
    for thread in threads:
        thread.join(10)
    assert order == list(range(5))
    line.leave(line.enter())


def test_a_tile_keeps_the_shape_and_pads_with_black() -> None:
    wide = pixels.rgb(np.full((50, 100), 200, np.uint8))
    tile = pixels.tile(wide, 64)
    assert tile.shape == (64, 64, 3)
    assert (tile[:16] == 0).all()
    assert (tile[17:47] == 200).all()
    assert (tile[48:] == 0).all()
    same = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert (pixels.tile(same, 64) == same).all()


def test_pictures_are_named_by_shape_and_pixels() -> None:
    flat = np.zeros((2, 8), np.uint8)
    assert pixels.image(flat).sha256 != pixels.image(flat.reshape(8, 2)).sha256
    assert pixels.image(flat, "prior").sha256 == pixels.image(flat, "current", "later").sha256
