"""Marks in the image a model is shown, their places in its prompt, and clinical context beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference import chat, pixels, probes, prompts
from inference.engine import Image, Mark, Request
from inference.marked import YELLOW, drawn
from inference.order import ordered
from inference.reading import exchanged

BOX = Mark("A", "box", ((0.25, 0.5), (0.75, 0.5), (0.25, 0.75), (0.75, 0.75)))
POINT = Mark("B", "point", ((0.1, 0.2),))


def film(grey: int = 90, role: str = "") -> Image:
    return pixels.image(np.full((200, 400), grey, np.uint8), role)


def yellow(image: Image) -> np.ndarray:
    """(H, W) bool: where the bright line lies."""
    return np.all(image.pixels == YELLOW, axis=2)


@pytest.mark.parametrize(
    ("mark", "place"),
    [
        (BOX, (100, 99)),
        (BOX, (300, 149)),
        (Mark("A", "arrow", ((0.5, 0.5), (0.9, 0.9))), (199, 99)),
        (Mark("A", "free", ((0.2, 0.2), (0.8, 0.2), (0.5, 0.8))), (200, 39)),
        (POINT, (39 + 10, 39)),
    ],
    ids=["box, top left", "box, bottom right", "arrow, its tip", "outline", "point, its ring"],
)
def test_a_mark_lies_where_the_reader_put_it(mark: Mark, place: tuple[int, int]) -> None:
    column, row = place
    near = yellow(drawn(film(), [mark]))[row - 2 : row + 3, column - 2 : column + 3]
    assert near.any()


def test_the_marked_image_is_another_image_under_another_hash() -> None:
    plain = film(role="prior")
    shown = drawn(plain, [BOX])
    assert shown.sha256 == pixels.image(shown.pixels).sha256 != plain.sha256
    assert (shown.role, shown.marks) == ("prior", (BOX,))
    assert not yellow(plain).any(), "the image itself is left as it was"
    assert drawn(plain, []) is plain


@pytest.mark.parametrize("size", [(24, 24), (3000, 40)])
def test_marks_fit_into_images_of_any_shape(size: tuple[int, int]) -> None:
    image = pixels.image(np.zeros(size, np.uint8))
    corner = Mark("AB", "point", ((1.0, 0.0),))
    assert drawn(image, [corner, Mark("C", "arrow", ((0, 0), (0, 0)))]).pixels.shape == (*size, 3)


def test_the_prompt_tells_where_the_marks_lie() -> None:
    images = (drawn(film(role="prior"), [BOX, POINT]), film(role="current"))
    prompt = chat.written(chat.request_segments(Request(images, "Has A grown?")))
    told = "Marks on image 1, in per cent of its width and height: A, a box from (25, 50) to (75, 75); B, a point at (10, 20).\n"
    assert told in prompt
    assert prompt.index("[image 1]") < prompt.index(told) < prompt.index("Image 2 (current)")
    assert "Marks on image 2" not in prompt


def test_places_go_with_their_image_when_images_change_places() -> None:
    """The exchange check shows the marked picture in the other place, so the words must name that place."""
    request = Request((drawn(film(60, "prior"), [BOX]), film(90, "current")), "Has A grown?")
    assert "Marks on image 2" in chat.written(chat.request_segments(exchanged(request)))
    first = ordered(request, "current-first")[1].parts
    assert [part for part in first if isinstance(part, str) and "Marks on image 1" in part] == [first[5]]


def test_without_its_images_a_question_keeps_its_words() -> None:
    request = Request((drawn(film(60, "prior"), [BOX]), film(90)), "Has A grown?", clinical=(("Age", "61"),))
    blind = probes.without_images(request)
    assert chat.written(chat.request_segments(blind)) == chat.written(chat.request_segments(request))
    assert not yellow(blind.images[0]).any()


def test_clinical_context_stands_behind_the_images_and_before_the_question() -> None:
    request = Request((film(),), "What is seen?", clinical=(("Indication", "<image> cough"), ("Age", "61")))
    parts = chat.request_segments(request)
    assert sum(isinstance(part, prompts.ImageSlot) for part in parts) == 1, "typed text is never an image"
    prompt = chat.written(parts)
    assert f"{prompts.CLINICAL}\nIndication: <image> cough\nAge: 61\nWhat is seen?" in prompt
    assert prompts.CLINICAL not in chat.written(chat.request_segments(replace(request, clinical=())))
