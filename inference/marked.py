"""A reader's lettered marks, drawn into the image that goes to the model. `inference.prompts.where` tells their places beside it.

shown = drawn(image, [Mark("A", "box", ((0.2, 0.3), (0.6, 0.8)))])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from inference import pixels
from inference.engine import Image, Mark

YELLOW, BLACK = (255, 214, 0), (0, 0, 0)
LINE, LETTER, RING = 1 / 130, 1 / 14, 1 / 36
"""Width of a line, height of a letter and radius of a point's ring, in parts of the longer side: a model is shown some 400 pixels of it."""

Place = tuple[float, float]


def drawn(image: Image, marks: Sequence[Mark]) -> Image:
    """The image with the marks drawn into its pixels, under the hash of the new pixels; the same image when there are none."""
    if not marks:
        return image
    picture = Pillow.fromarray(image.pixels)
    for mark in marks:
        _draw(picture, mark)
    made = pixels.image(np.asarray(picture), image.role, image.when)
    return replace(made, marks=tuple(marks))


def _draw(picture: Pillow.Image, mark: Mark) -> None:
    """The shape twice, dark and wide below, bright above, so that it shows on any grey; then the letter beside it."""
    places = [(across * picture.width - 0.5, down * picture.height - 0.5) for across, down in mark.points]
    side = max(picture.size)
    line, ring, size = max(1, round(side * LINE)), max(3.0, side * RING), max(10, round(side * LETTER))
    pen = ImageDraw.Draw(picture)
    for colour, width in ((BLACK, 3 * line), (YELLOW, line)):
        _shape(pen, mark.kind, places, ring, colour, width)
    left, top, right, _ = _bounds([places[-1]] if mark.kind == "arrow" else places)
    across, down = (right + ring, top - size / 2) if mark.kind in ("point", "arrow") else (left, top - 1.25 * size)
    corner = (min(max(0.0, across), picture.width - size), min(max(0.0, down), picture.height - 1.2 * size))
    pen.text(corner, mark.label, YELLOW, ImageFont.load_default(size), stroke_width=max(1, size // 9), stroke_fill=BLACK)


def _shape(pen: ImageDraw.ImageDraw, kind: str, places: Sequence[Place], ring: float, colour: tuple[int, int, int], width: int) -> None:
    if kind == "point":
        column, row = places[0]
        pen.ellipse((column - ring, row - ring, column + ring, row + ring), outline=colour, width=width)
    elif kind == "arrow":
        tip, tail = places[0], places[-1]
        pen.line((tip, tail), colour, width)
        for end in _barbs(tip, tail, 2 * ring):
            pen.line((tip, end), colour, width)
    elif kind == "box":
        pen.rectangle(_bounds(places), outline=colour, width=width)
    else:
        pen.line((*places, places[0]), colour, width, joint="curve")


def _bounds(places: Sequence[Place]) -> tuple[float, float, float, float]:
    columns, rows = [column for column, _ in places], [row for _, row in places]
    return min(columns), min(rows), max(columns), max(rows)


def _barbs(tip: Place, tail: Place, length: float) -> tuple[Place, Place]:
    """The two strokes of an arrow's head, 30 degrees from its shaft."""
    way = np.array(tail) - np.array(tip)
    unit = way / max(1e-6, float(np.hypot(*way)))
    turned = [np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ unit * length for a in (np.pi / 6, -np.pi / 6)]
    first, second = ((float(tip[0] + one[0]), float(tip[1] + one[1])) for one in turned)
    return first, second
