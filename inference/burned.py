"""Text that is part of the picture: found by its shape alone, never read.

A line of print is a row of small separate strokes of one height on one baseline, much lighter or darker than what is around them. Anatomy
makes such rows next to never; a single letter, such as a side marker, is none.

    told((first, second))        # ("Image 2 (current) has text in its picture (about 9 letters lower left, 5 upper right): ...",)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.engine import Image

LONGEST = 1400
"""Pictures are looked at with at most this many pixels on their longer side."""
CONTRAST = 70
"""Grey levels of 255 by which a stroke differs from the mean around it."""
AROUND = 31
TALL = (6, 48)
LEAST = 5
"""Letters that make a line."""
Grey = NDArray[np.float32]


@dataclass(frozen=True)
class Line:
    """A row of letters: how many, and the middle of the row, 0 to 1 of width and height."""

    letters: int
    across: float
    down: float


def lines(pixels: NDArray[np.uint8]) -> tuple[Line, ...]:
    """Rows of letters in an (H, W, 3) uint8 picture."""
    step = max(1, -(-max(pixels.shape[:2]) // LONGEST))
    grey = pixels[::step, ::step].max(axis=2).astype(np.float32)
    beside = ndimage.uniform_filter(grey, AROUND, mode="nearest")
    found = [*_rows(grey - beside > CONTRAST), *_rows(beside - grey > CONTRAST)]
    height, width = grey.shape
    return tuple(Line(len(row), float(row[:, 1].mean()) / width, float(row[:, 0].mean()) / height) for row in found)


def told(images: Sequence[Image], printed: Sequence[bool] = ()) -> tuple[str, ...]:
    """One sentence for each image with text in its picture, with every place of it, but for those that are `printed` on purpose."""
    sentences = []
    for number, image in enumerate(images, 1):
        found = () if any(printed[number - 1 : number]) else lines(image.pixels)
        if found:
            name = f"Image {number} ({image.role})" if image.role else f"Image {number}"
            sentences.append(
                f"{name} has text in its picture (about {_places(found)}): check that it names nobody; a model reads such text too."
            )
    return tuple(sentences)


def _rows(mask: NDArray[np.bool_]) -> list[Grey]:
    """Rows of letter-like parts of a mask: (n, 2) arrays of their middles as (down, across)."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    if not count:
        return []
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    boxes = np.array([(y.start, y.stop, x.start, x.stop) for y, x in ndimage.find_objects(labels)], dtype=np.float32)
    tall, wide = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    full = areas / (tall * wide)
    letter = (tall >= TALL[0]) & (tall <= TALL[1]) & (wide >= 2) & (wide <= 1.6 * tall) & (full > 0.15) & (full < 0.97)
    boxes = boxes[letter]
    rows: list[list[int]] = []
    for at in np.argsort(boxes[:, 2]):
        for row in rows:
            if _next_to(boxes[row[-1]], boxes[at]):
                row.append(int(at))
                break
        else:
            rows.append([int(at)])
    middles = np.column_stack([(boxes[:, 0] + boxes[:, 1]) / 2, (boxes[:, 2] + boxes[:, 3]) / 2]).astype(np.float32)
    return [middles[row] for row in rows if len(row) >= LEAST]


def _next_to(left: Grey, right: Grey) -> bool:
    """Whether the second box is the next letter of the first one's line: same height and foot, a small gap."""
    tall = max(left[1] - left[0], right[1] - right[0])
    like = min(left[1] - left[0], right[1] - right[0]) > 0.6 * tall
    return bool(like and abs(left[1] - right[1]) <= 0.2 * tall and -0.2 * tall <= right[2] - left[3] <= 1.3 * tall)


def _places(found: Sequence[Line]) -> str:
    """``9 letters lower left, 5 upper right``: the name may be the shorter text."""
    letters: Counter[str] = Counter()
    for line in found:
        letters[_place(line)] += line.letters
    (where, most), *others = letters.most_common()
    return ", ".join([f"{most} letters {where}", *(f"{count} {place}" for place, count in others)])


def _place(line: Line) -> str:
    down = "upper" if line.down < 1 / 3 else "lower" if line.down > 2 / 3 else "middle"
    across = "left" if line.across < 1 / 3 else "right" if line.across > 2 / 3 else "centre"
    return f"{down} {across}"
