"""Words of an answer that mean an image, a time, a side or a mark point at the right viewport, or are marked."""

from __future__ import annotations

from itertools import pairwise

import pytest

from inference.mentions import Drawn, Place, Scene, mentions, unresolved

PAIR = Scene((Place("prior"), Place("current")), "temporal", (Drawn("A", 0), Drawn("B", 1), Drawn("C", None)))
THREE = Scene((Place("time 1"), Place("time 2"), Place("time 3")))
SIDES = Scene((Place("right", "right"), Place("left", "left")), "sides")
ALONE = Scene((Place(""),), "temporal")


@pytest.mark.parametrize(
    ("text", "scene", "found"),
    [
        ("The second image shows more.", PAIR, [("The second image", "image", (1,))]),
        ("Image 1 and image two differ.", PAIR, [("Image 1", "image", (0,)), ("image two", "image", (1,))]),
        ("Worse than the prior.", PAIR, [("the prior", "time", (0,))]),
        ("The current study against the previous one.", PAIR, [("The current study", "time", (1,)), ("the previous one", "time", (0,))]),
        ("At time point 2 it is larger.", THREE, [("time point 2", "time", (1,))]),
        ("Since baseline it grew; the latest scan is worse.", THREE, [("baseline", "time", (0,)), ("the latest scan", "time", (2,))]),
        ("Effusion in the left lung.", PAIR, [("left", "side", (0, 1))]),
        ("A mass in the left breast.", SIDES, [("the left breast", "image", (1,))]),
        ("Denser on the right.", SIDES, [("right", "side", (0,))]),
        ("Region A is larger than mark B.", PAIR, [("Region A", "mark", (0,)), ("mark B", "mark", (1,))]),
        ("Both images show it.", PAIR, [("Both images", "image", (0, 1))]),
        ("Both studies show it.", Scene((Place("CC"), Place("MLO"), Place("CC"))), [("Both studies", "image", (0, 1, 2))]),
        ("All images show it.", THREE, [("All images", "image", (0, 1, 2))]),
        ("The last image is blurred.", THREE, [("The last image", "image", (2,))]),
        ("The right-hand image is worse.", PAIR, [("The right-hand image", "image", (1,))]),
        ("Cardiomegaly.", PAIR, []),
        ("A nodule of 8 mm; a region a bit denser.", PAIR, []),
    ],
)
def test_mentions_point_at_their_viewport(text: str, scene: Scene, found: list[tuple[str, str, tuple[int, ...]]]) -> None:
    got = mentions(text, scene)
    assert [(one.text, one.kind, one.images) for one in got] == found
    assert all(text[one.start : one.end] == one.text for one in got)
    assert all(not one.reason for one in got)


@pytest.mark.parametrize(
    ("text", "scene", "reason"),
    [
        ("The third image is clear.", PAIR, "there are 2 images, none is number 3"),
        ("Unchanged from the prior.", ALONE, "no image is the prior one"),
        ("Region D is denser.", PAIR, "nothing is marked D"),
        ("Region C is denser.", PAIR, "did not show"),
        ("Image 0 is clear.", PAIR, "none is number 0"),
        ("The left image is clear.", Scene((Place("right", "right"),), "sides"), "no image is of the left side"),
        ("Neither: both images show the same.", THREE, "there are 3 images, not two"),
        ("At time point 9.", THREE, "none is number 9"),
    ],
)
def test_a_mention_that_points_at_nothing_is_marked_and_says_why(text: str, scene: Scene, reason: str) -> None:
    (lost,) = unresolved(mentions(text, scene))
    assert not lost.resolved
    assert reason in lost.reason


def test_mentions_do_not_overlap_and_come_in_the_order_of_the_text() -> None:
    text = "Compared with the first image, the left lung of the second image and of image 2 at time 2 is worse in region A."
    found = mentions(text, PAIR)
    assert [one.start for one in found] == sorted(one.start for one in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert len(found) == 6
