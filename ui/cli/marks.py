"""Marks typed on the command line: `2:box:120,80:260,210` is a box on image 2 between two pixels, column before row.

A point has one place, an arrow two (its tip first), a box two opposite corners, a free shape three or more. Letters A, B, C follow the
order in which marks were typed, as in the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from string import ascii_uppercase

from errors import QuestionError
from storage.studies import Frame
from storage.views import AskedMark

PLACES = {"point": (1, 1), "arrow": (2, 2), "box": (2, 2), "free": (3, 256)}
"""Fewest and most places of each kind."""
HOW = "type IMAGE:KIND:COLUMN,ROW[:COLUMN,ROW...], as in 2:box:120,80:260,210"


def marks(typed: Sequence[str], frames: Sequence[Frame]) -> tuple[AskedMark, ...]:
    """The marks, lettered, in pixels of the frames they lie on. Raises `QuestionError`."""
    if len(typed) > len(ascii_uppercase):
        raise QuestionError(f"{len(typed)} marks were given and at most {len(ascii_uppercase)} have a letter: leave some out.")
    return tuple(_mark(text, letter, frames) for text, letter in zip(typed, ascii_uppercase, strict=False))


def _mark(text: str, letter: str, frames: Sequence[Frame]) -> AskedMark:
    number, kind, *places = text.strip().split(":")
    if kind not in PLACES:
        raise QuestionError(f"The mark {text!r} has no kind of {', '.join(PLACES)}: {HOW}.")
    if not number.isdecimal() or not 1 <= int(number) <= len(frames):
        raise QuestionError(f"The mark {text!r} names no image of this question, which has {len(frames)}: {HOW}.")
    fewest, most = PLACES[kind]
    if not fewest <= len(places) <= most:
        raise QuestionError(f"The mark {text!r} has {len(places)} places and a {kind} has {_count(fewest, most)}: {HOW}.")
    frame = frames[int(number) - 1]
    points = tuple(_point(text, place, frame) for place in places)
    return AskedMark(int(number) - 1, letter, kind, points)


def _point(text: str, place: str, frame: Frame) -> tuple[float, float]:
    try:
        column, row = (float(one) for one in place.split(","))
    except ValueError:
        raise QuestionError(f"The mark {text!r} has {place!r} where a column and a row belong: {HOW}.") from None
    if not (math.isfinite(column) and math.isfinite(row) and 0 <= column < frame.columns and 0 <= row < frame.rows):
        raise QuestionError(f"The mark {text!r} lies outside its image, which is {frame.columns} x {frame.rows} pixels.")
    return column, row


def _count(fewest: int, most: int) -> str:
    return str(fewest) if fewest == most else f"{fewest} to {most}"
