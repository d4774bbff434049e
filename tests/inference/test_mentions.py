"""Words of an answer that mean an image, a time, a side or a mark point at the right viewport, or are marked."""

from __future__ import annotations

from itertools import pairwise

import pytest

from inference.mentions import Drawn, Place, Scene, mentions, unresolved

PAIR = Scene((Place("prior"), Place("current")), "temporal", (Drawn("A", 0), Drawn("B", 1), Drawn("C", None)))
THREE = Scene((Place("time 1"), Place("time 2"), Place("time 3")))
LEFT = Scene((Place("CC", "left"), Place("MLO", "left")), "views")
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
        ("The effusion has grown since the last study.", PAIR, [("the last study", "time", (0,))]),
        ("In the previous visit it was small.", PAIR, [("the previous visit", "time", (0,))]),
        (
            "The current visit shows more than the first visit.",
            PAIR,
            [("The current visit", "time", (1,)), ("the first visit", "image", (0,))],
        ),
        ("Compared with the last exam, it is larger.", PAIR, [("the last exam", "time", (0,))]),
        ("Larger than on the last radiograph.", PAIR, [("the last radiograph", "time", (0,))]),
        ("New since the last image.", PAIR, [("the last image", "time", (0,))]),
        ("First seen in May, it grew since the last film.", PAIR, [("the last film", "time", (0,))]),
        ("The last scan shows more.", THREE, [("The last scan", "image", (2,))]),
        ("The last of the three films is worse.", THREE, [("The last of the three films", "image", (2,))]),
        ("The first image shows less than the last one.", PAIR, [("The first image", "image", (0,)), ("the last one", "image", (1,))]),
        ("Images 1 and 2 differ.", PAIR, [("Images 1 and 2", "image", (0, 1))]),
        ("Images 1-3 show it.", THREE, [("Images 1-3", "image", (0, 1, 2))]),
        ("Image 1 - 8 mm; image 2 - 9 mm.", PAIR, [("Image 1", "image", (0,)), ("image 2", "image", (1,))]),
        ("In the current image two nodules.", PAIR, [("the current image", "time", (1,))]),
        ("The 2nd image shows more.", PAIR, [("The 2nd image", "image", (1,))]),
        ("A mass in the left breast.", LEFT, [("the left breast", "image", (0, 1))]),
        ("A mass in the right breast.", Scene((Place("CC"), Place("MLO")), "views"), [("the right breast", "side", (0, 1))]),
        ("The right image shows it.", LEFT, [("The right image", "image", (1,))]),
        ("The follow-up study, 2 weeks later, is clear.", PAIR, [("The follow-up study", "time", (1,))]),
        ("Seen at baseline and follow-up.", PAIR, [("baseline", "time", (0,)), ("follow-up", "time", (1,))]),
        ("From prior to current it grew.", PAIR, [("prior", "time", (0,)), ("current", "time", (1,))]),
        ("**Prior**: clear\n- Current: worse", PAIR, [("Prior", "time", (0,)), ("Current", "time", (1,))]),
        ("The prior chest radiograph is clear.", PAIR, [("The prior chest radiograph", "time", (0,))]),
        ("Compared with prior CT.", PAIR, [("prior CT", "time", (0,))]),
        ("The prior demonstrates none.", PAIR, [("The prior", "time", (0,))]),
        ("No change from the prior of May.", PAIR, [("the prior", "time", (0,))]),
        ("For the current study: clear.", PAIR, [("the current study", "time", (1,))]),
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
        ("Unchanged since the last study.", ALONE, "no image is the last one"),
        ("Images 1 and 3 show it.", PAIR, "none is number 3"),
        ("Right breast: a mass.", LEFT, "no image shows the right side"),
    ],
)
def test_a_mention_that_points_at_nothing_is_marked_and_says_why(text: str, scene: Scene, reason: str) -> None:
    (lost,) = unresolved(mentions(text, scene))
    assert not lost.resolved
    assert reason in lost.reason


@pytest.mark.parametrize(
    "text",
    [
        "A study 2 months earlier showed it.",
        "The images 3 days apart differ.",
        "Scans 3 and 6 months later.",
        "An exam one year ago.",
        "Study 12/03/2023.",
        "A scan of 10 mm; film 2-3 days after.",
        "The 2 images are alike.",
        "The two films differ.",
        "Chest radiograph 2 views.",
        "Alike on all 3 views.",
        "In this image two nodules are seen.",
        "At that time 2 nodules.",
        "Over the last one year it grew.",
        "The first one-third of the rib.",
        "The last two images.",
        "An effusion was seen on the last study.",
        "Compared with the most recent study.",
        "Recent CT showed metastases.",
        "Follow-up CT in 3 months is recommended.",
        "Recommend follow-up.",
        "Follow-up imaging in 6 to 8 weeks.",
        "A follow-up scan is advised.",
        "Antibiotics and follow-up.",
        "Prior surgery.",
        "Prior to surgery.",
        "Changes from prior granulomatous disease.",
        "A previous fracture.",
        "A current smoker.",
        "The initial diagnosis was pneumonia.",
        "Seen earlier, two weeks prior.",
        "Prior or current infection.",
        "No prior for comparison.",
    ],
)
def test_words_that_mean_no_image_are_no_mention(text: str) -> None:
    """They lit an image, most of them the wrong one, or were said to point at nothing."""
    assert all(mentions(text, scene) == () for scene in (PAIR, ALONE))


@pytest.mark.parametrize(
    "text", ["The previous image shows less.", "Worse than the prior.", "Larger since the last study.", "Earlier: clear."]
)
def test_of_three_times_no_image_is_the_one_before(text: str) -> None:
    """It lit the first, which may be the one before the one before."""
    assert mentions(text, THREE) == ()
    assert mentions("Worse than the initial image.", THREE)[0].images == (0,)


@pytest.mark.parametrize("text", ["the ſecond image", "the thırd film", "image ſix", "images two and ſıx", "the laſt one, image ٣"])
def test_letters_that_only_look_like_ascii_name_no_image(text: str) -> None:
    """A pattern that knows no case took "ſ" for an s, and the list of ordinals did not have the word."""
    assert mentions(text, Scene((Place("prior", ""), Place("current", "")))) == ()


def test_mentions_do_not_overlap_and_come_in_the_order_of_the_text() -> None:
    text = "Compared with the first image, the left lung of the second image and of image 2 at time 2 is worse in region A."
    found = mentions(text, PAIR)
    assert [one.start for one in found] == sorted(one.start for one in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert len(found) == 6
