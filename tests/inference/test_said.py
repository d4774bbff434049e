"""Words of change: which way an answer says things went, and which of its words compare."""

from __future__ import annotations

import pytest

from inference.guard import claims, comparable, no_opposite
from inference.said import direction, meaning
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


def test_answers_that_mean_the_same_count_as_one() -> None:
    assert meaning("Worse.") == meaning("The opacity has increased") == "larger"
    assert meaning("Left lung!") == meaning("left  LUNG") == "left lung"


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
