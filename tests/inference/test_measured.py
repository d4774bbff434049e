"""What the reader measured beside what the model said."""

from __future__ import annotations

import pytest

from inference.measured import Paired, against


@pytest.mark.parametrize(
    ("prior", "current", "unit", "way"),
    [
        (8.0, 11.0, "mm", "larger"),
        (11.0, 8.0, "mm", "smaller"),
        (30.0, 31.0, "mm", "same"),
        (5.0, 6.0, "mm", "same"),
        (0.50, 0.58, "", "larger"),
        (0.0, 4.0, "mm", "larger"),
        (0.0, 0.0, "mm", "same"),
        (100.0, 80.0, "mm²", "smaller"),
    ],
)
def test_a_change_is_what_lies_beyond_the_difference_of_two_readers(prior: float, current: float, unit: str, way: str) -> None:
    assert Paired("A", "B", prior, current, unit).way == way


@pytest.mark.parametrize(
    ("text", "conflicts", "words"),
    [
        ("The nodule is smaller.", True, "but the answer says smaller"),
        ("The nodule has grown.", False, "and the answer agrees"),
        ("Unchanged.", True, "but the answer says unchanged"),
        ("There is a nodule.", False, "says nothing of change"),
        ("The nodule is larger, the effusion smaller.", False, "says both"),
    ],
)
def test_an_answer_against_the_measurement_is_a_conflict(text: str, conflicts: bool, words: str) -> None:
    (found,) = against(text, [Paired("A", "B", 8.0, 11.0)])
    assert found.conflicts is conflicts
    assert words in found.sentence
    assert found.sentence.startswith("A and B measure 8.0 → 11.0 mm (larger)")


@pytest.mark.parametrize(
    ("question", "text", "conflicts", "words"),
    [
        ("Has the nodule grown?", "No.", True, "but the answer says not larger"),
        ("Has the nodule grown?", "Yes.", False, "and the answer agrees"),
        ("Is the nodule smaller?", "Yes.", True, "but the answer says smaller"),
        ("Is the nodule smaller?", "No.", False, "and the answer says not smaller"),
        ("Is there a nodule?", "No.", False, "says nothing of change"),
        ("Has it grown?", "No, it is larger.", False, "and the answer agrees"),
        ("Has the nodule changed in size?", "No.", True, "but the answer says unchanged"),
        ("Has the nodule grown?", "**No**", True, "but the answer says not larger"),
        ("Has the nodule grown?", "No it has not.", True, "but the answer says not larger"),
        ("Is the mass smaller than 3 cm?", "Yes.", False, "says nothing of change"),
        ("Is the smaller nodule calcified?", "Yes.", False, "says nothing of change"),
        ("Has the nodule grown?", "No prior is available for comparison.", False, "says nothing of change"),
        ("Is there a new nodule?", "No.", False, "says nothing of change"),
        ("Are both images of the same patient?", "Yes.", False, "says nothing of change"),
    ],
)
def test_a_plain_yes_or_no_says_or_denies_what_was_asked(question: str, text: str, conflicts: bool, words: str) -> None:
    """A nodule measured 90 % larger stood beside "Has the nodule grown? No." without a word."""
    (found,) = against(text, [Paired("A", "B", 8.0, 11.0)], question)
    assert found.conflicts is conflicts
    assert words in found.sentence


def test_what_has_not_resolved_may_well_be_smaller() -> None:
    (found,) = against("No.", [Paired("A", "B", 11.0, 8.0)], "Has the effusion resolved?")
    assert not found.conflicts


@pytest.mark.parametrize(
    ("current", "conflicts", "words"),
    [(8.0, False, "(smaller), and the answer says not larger"), (11.2, False, "(unchanged), and"), (14.0, True, "(larger), but")],
)
def test_what_is_not_larger_may_well_be_smaller(current: float, conflicts: bool, words: str) -> None:
    """It counted as unchanged, and so against a nodule measured smaller."""
    (found,) = against("The nodule is not larger.", [Paired("A", "B", 11.0, current)])
    assert found.conflicts is conflicts
    assert words in found.sentence
