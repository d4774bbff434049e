"""What an answer says in words, held against the class that its checks are made of."""

from __future__ import annotations

import pytest

from inference.answered import against
from inference.closed import OVERALL_CHANGE, of_finding, of_question
from tests.inference import tiny


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("The right effusion is resolved; overall improved.", "stable", "improved"),
        ("No change; overall stable.", "worse", "stable"),
        ("The left nodule is new; the effusion is smaller; overall worse.", "worse", ""),
        ("The opacity is larger.", "improved", "worse"),
        ("The opacity is larger.", "stable", ""),
        ("The opacity is larger, the nodule smaller.", "worse", ""),
        ("A normal heart.", "worse", ""),
        ("", "worse", ""),
    ],
)
def test_the_disease_as_a_whole(text: str, name: str, said: str) -> None:
    """A part that changed contradicts a stable whole only where the answer speaks of the whole."""
    assert against(OVERALL_CHANGE, text, name) == said


def test_of_a_finding_only_its_own_clause_counts() -> None:
    text = "The nodule is smaller; the consolidation is new; overall worse."
    assert against(of_finding("nodule"), text, "worse") == "improved"
    assert against(of_finding("nodule"), text, "resolved") == ""
    assert against(of_finding("consolidation"), text, "stable") == "worse"
    assert against(of_finding("nodule"), text, "uncertain") == ""
    assert against(of_finding("nodule"), "No, neither image shows a nodule.", "resolved") == "stable"
    assert against(of_finding("nodule"), "No, neither image shows a nodule.", "stable") == ""


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("B: smaller", "larger", "smaller"),
        ("(B)", "larger", "smaller"),
        ("It is stable.", "larger", "stable"),
        ("A right nodule that is larger", "larger", ""),
        ("H: none", "larger", ""),
        ("Smaller or stable.", "larger", ""),
    ],
)
def test_an_option_is_named_by_its_letter_or_its_words(text: str, name: str, said: str) -> None:
    closed = of_question(tiny.pair("How did it change?\nA: larger\nB: smaller\nC: stable"))
    assert closed is not None
    assert against(closed, text, name) == said


def test_which_image() -> None:
    closed = of_question(tiny.pair("Which image shows more disease?"))
    assert closed is not None
    assert against(closed, "The second image.", "the first image") == "the second image"
    assert against(closed, "Neither: both images show the same.", "the first image") == "both the same"
    assert against(closed, "Neither: both images show the same.", "both the same") == ""
    assert against(closed, "The first image shows more than the second image.", "the second image") == ""
