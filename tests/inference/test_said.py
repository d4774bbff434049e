"""Words of change: which way an answer says things went, and which of its words compare."""

from __future__ import annotations

import time

import pytest

from inference.guard import claims, comparable, no_opposite
from inference.said import denied, direction, meaning
from tests.inference import tiny


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("The effusion has decreased.", "smaller"),
        ("The opacity is worse on the right.", "larger"),
        ("Stable.", "same"),
        ("No change since the prior.", "same"),
        ("No significant interval change.", "same"),
        ("The nodule is not larger.", "same"),
        ("No new opacity; the nodule is larger.", "larger"),
        ("The consolidation is no longer seen.", "smaller"),
        ("The effusion is smaller but the opacity has increased.", "mixed"),
        ("A right pleural effusion.", ""),
        ("", ""),
        ("There is no worsening and no improvement.", "same"),
        ("Increased opacity; heart size unchanged.", "larger"),
        ("It has progressed.", "larger"),
    ],
)
def test_direction_of_an_answer(text: str, way: str) -> None:
    assert direction(text) == way


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("It didn't grow.", "same"),
        ("It doesn’t look any worse.", "same"),
        ("It is not 0.5 cm larger.", "same"),
        ("The effusion hasn't changed.", "same"),
        ("Without significant interval change.", "same"),
        ("There is no doubt it is larger.", "larger"),
        ("The nodule is not only larger but denser.", "larger"),
        ("No pneumothorax\nWorse effusion", "larger"),
        ("The disease is not stable.", ""),
        ("It is no longer stable; it has grown.", "larger"),
        ("It is no longer growing.", "same"),
        ("These are not the same patient.", ""),
        ("Neither stable nor improved.", ""),
        ("No pneumothorax and stable cardiomegaly.", "same"),
        ("Not larger and stable.", "same"),
        ("The effusion has not resolved.", ""),
        ("There isn't a new opacity.", ""),
        ("Nothing new.", ""),
        ("No longer enlarged.", "smaller"),
    ],
)
def test_what_is_denied_is_not_claimed(text: str, way: str) -> None:
    """ "It didn't grow" was read as larger and "not stable" as stable."""
    assert direction(text) == way


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("It is not worse.", "larger"),
        ("No improvement.", "smaller"),
        ("It isn't stable.", "same"),
        ("No worsening and no improvement.", ""),
        ("It is not worse; it is stable.", ""),
        ("Stable.", ""),
    ],
)
def test_the_one_way_that_an_answer_denies(text: str, way: str) -> None:
    assert denied(text) == way


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("The effusion was larger in the prior.", ""),
        ("The nodule was larger before.", ""),
        ("The nodule is larger than before.", "larger"),
        ("It is larger than on the prior.", "larger"),
        ("The effusion was larger on the prior and has decreased.", "smaller"),
        ("On the prior study the effusion was larger.", ""),
        ("On the prior study there was a small effusion, which has increased.", "larger"),
        ("In the first image the nodule is smaller, in the second image it is larger.", "larger"),
        ("The first image shows a larger effusion than the second.", ""),
        ("The second image shows a larger effusion.", "larger"),
        ("The nodule seen on the prior study is larger.", "larger"),
        ("The previously noted consolidation has improved.", "smaller"),
        ("The effusion was previously larger.", ""),
        ("There is resolution of the previously noted effusion.", "smaller"),
        ("In the first image there was a worsening opacity. In the second image it has improved.", "smaller"),
        ("The previous image showed worsening oedema, and increased effusions, but it is unchanged in the current image.", "same"),
        ("The first image shows oedema and the second image shows a decrease of it.", "smaller"),
        ("The first film had an effusion, which has grown.", "larger"),
        ("From the first image to the second the effusion increased.", "larger"),
        ("The effusions are unchanged, the right one greater than the left.", "same"),
        ("The effusions are stable; it is important to monitor the size to assess the progression of disease.", "same"),
        ("Opacities are more prominent on the right.", ""),
        ("Opacities are more prominent.", "larger"),
        ("The effusion is larger on the current film.", "larger"),
        ("The effusion has increased on the left.", "larger"),
        ("There was an improvement in the previously mild oedema.", "smaller"),
        ("I cannot tell whether it is worse.", ""),
        ("It is unclear if it has grown.", ""),
        ("Unclear whether it is worse, stable or improved.", ""),
        ("Regardless of whether it is rotated, the effusion is larger.", "larger"),
        ("If anything, larger.", "larger"),
        ("Worsening cannot be excluded.", ""),
        ("I am not sure it is larger.", ""),
    ],
)
def test_what_was_before_or_is_doubted_says_nothing_of_now(text: str, way: str) -> None:
    """What was larger in the prior is smaller now: it was read as larger, and so was what nobody can tell."""
    assert direction(text) == way


def test_a_long_answer_without_signs_is_read_at_once() -> None:
    """A quarter of a second went by on 8,000 characters: every word of change looked back to the beginning."""
    began = time.process_time()
    assert direction("worse " * 10_000) == "larger"
    assert time.process_time() - began < 2


def test_answers_that_mean_the_same_count_as_one() -> None:
    assert meaning("Worse.") == meaning("The opacity has increased") == "larger"
    assert meaning("Left lung!") == meaning("left  LUNG") == "left lung"
    assert meaning("The left lung is larger.") == meaning("Left lung: increased") != meaning("The right lung is larger.")
    assert meaning("The effusion is larger; the left lung is normal.") == "larger"
    assert len({meaning(text) for text in ("肺炎", "正常", "बढ़ गया", "बढ गये", "↑", "↓")}) == 6
    assert meaning("НОРМА!") == meaning("норма")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Compared with the prior study the effusion is larger.", ["Compared with", "prior study", "is larger"]),
        ("The heart is enlarged.", []),
        ("Unchanged from the previous exam.", ["Unchanged", "from the previous exam"]),
        ("Interval increase of the opacity.", ["Interval increase"]),
        ("A nodule of 8 mm in the left lung.", []),
    ],
)
def test_claims_are_found_where_they_stand(text: str, said: list[str]) -> None:
    found = claims(text)
    assert [claim.text for claim in found] == said
    assert all(text[claim.start : claim.end] == claim.text for claim in found)


def test_views_and_sides_of_one_study_cannot_be_compared_over_time() -> None:
    assert comparable(tiny.pair())
    assert not comparable(tiny.pair(relationship="views"))
    assert not comparable(tiny.pair(images=tiny.pair().images[:1]))


@pytest.mark.parametrize(
    ("question", "what"),
    [("Is the chest tube in place?", "a device"), ("After lobectomy?", "surgery"), ("Will it grow?", "a forecast"), ("Is it worse?", "")],
)
def test_questions_without_an_opposite(question: str, what: str) -> None:
    assert no_opposite(question) == what
