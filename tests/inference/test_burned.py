"""Text in a picture is found by its shape, on light and on dark, and anatomy is not taken for it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from inference import pixels
from inference.burned import lines, told
from storage.studies import display, read
from tests.conftest import ROOT

FILMS = sorted((ROOT / "assets" / "demo").glob("*/*/*.dcm"))


def printed(text: str, *, grey: int, ink: int, size: int = 18, side: int = 700) -> NDArray[np.uint8]:
    """A noisy flat picture with a line of print at its lower left."""
    noise = np.random.default_rng(1).normal(grey, 6, (side, side)).clip(0, 255).astype(np.uint8)
    picture = Pillow.fromarray(np.dstack([noise] * 3))
    ImageDraw.Draw(picture).text((30, side - 60), text, (ink,) * 3, ImageFont.load_default(size))
    return np.asarray(picture)


@pytest.mark.parametrize(("grey", "ink"), [(10, 255), (60, 200), (230, 0)])
def test_a_name_in_the_picture_is_found_wherever_it_stands_out(grey: int, ink: int) -> None:
    (found,) = lines(printed("DOE JANE", grey=grey, ink=ink))
    assert 5 <= found.letters <= 8
    assert found.across < 0.33
    assert found.down > 0.67


def test_a_side_marker_and_a_picture_without_text_are_let_pass() -> None:
    assert lines(printed("L", grey=10, ink=255, size=40)) == ()
    assert lines(printed("", grey=128, ink=0)) == ()


def test_of_the_demo_films_only_the_printed_word_is_found() -> None:
    """They carry SYNTHETIC at the lower left, and nothing of their ribs is taken for letters."""
    for path in FILMS:
        frame = read([path]).studies[0].series[0].frames[0]
        found = lines(pixels.image(display(frame), "", "").pixels)
        assert all(one.down > 0.9 and one.across < 0.2 for one in found)


def test_the_sentence_names_the_image_and_leaves_out_what_was_printed_on_purpose() -> None:
    plain, named = (pixels.image(printed(text, grey=10, ink=255), "", "") for text in ("", "DOE JANE"))
    (said,) = told((plain, named))
    assert said.startswith("Image 2 has text in its picture (about 7 letters lower left)")
    assert told((plain, named), printed=(False, True)) == ()


def test_the_sentence_tells_every_place_of_text_and_the_role_of_the_image() -> None:
    """Of several texts only the place of the longest was told, and a short name elsewhere in the picture was not looked for."""
    picture = printed("MOBILE UNIT TWELVE", grey=10, ink=255)
    name = np.roll(printed("DOE JANE", grey=10, ink=255), (60 - 640, 500), (0, 1))
    both = np.where(np.arange(len(picture))[:, None, None] < 350, name, picture)
    (said,) = told((pixels.image(both, "current", ""),))
    assert re.match(r"Image 1 \(current\) has text in its picture \(about \d+ letters lower left, \d upper right\): check", said), said
    (said,) = told((pixels.image(name, "", ""),))
    assert re.match(r"Image 1 has text in its picture \(about \d letters upper right\): check", said), said
