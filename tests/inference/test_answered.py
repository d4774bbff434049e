"""What an answer says in words, held against the class that its checks are made of."""

from __future__ import annotations

import pytest

from inference.answered import held
from inference.closed import OVERALL_CHANGE, Closed, of_finding, of_mark, of_question
from tests.inference import tiny


def against(closed: Closed, text: str, name: str) -> str:
    """What the words say in place of `name`, `` where they do not contradict it; asked of a pair what the closed question stands for."""
    verdict, said = held(tiny.pair(), closed, text, name)
    return said if verdict == "says otherwise" else ""


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
        ("Not worse overall.", "worse", "not worse"),
        ("Not worse overall.", "improved", ""),
        ("The disease is not worse.", "worse", "not worse"),
        ("The disease is not worse.", "stable", ""),
        ("The disease has not improved.", "improved", "not improved"),
        ("Overall, the disease isn't stable.", "stable", "not stable"),
        ("Overall, the disease isn't stable.", "worse", ""),
        ("The disease in the right lung is not worse.", "worse", ""),
        ("Overall, no change in the effusion.", "worse", ""),
        ("Overall, no change.", "worse", "stable"),
        ("The effusion is larger, overall stable.", "stable", ""),
        ("The effusion is larger but overall stable.", "worse", "stable"),
        ("Although the effusion is larger, overall the disease has improved.", "worse", "improved"),
        ("- Effusion: larger\n- Overall: stable", "stable", ""),
        ("Overall the disease is 2.5 cm larger.", "stable", "worse"),
        ("Overall, it is hard to tell whether the disease is worse.", "stable", ""),
        ("Overall, neither image shows disease.", "worse", "stable"),
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
        ("The effusion is larger; the nodule is smaller.", "stable", "worse"),
        ("Effusions have decreased, and the nodule is larger.", "worse", "improved"),
        ("The effusion is unchanged. A larger effusion would need drainage.", "stable", ""),
        ("The first film shows a worsening effusion. In the second the effusion is smaller.", "worse", "improved"),
        ("The pleural effusion is larger, whereas the nodule is smaller.", "worse", ""),
        ("The pleural effusion persists but is smaller.", "worse", "improved"),
        ("The pleural effusion is 2.5 cm larger.", "improved", "worse"),
        ("The pericardial effusion is larger; the pleural effusion is stable.", "worse", "stable"),
        ("The disease as a whole is worse; the pleural effusion is stable.", "stable", ""),
        ("There is no pleural effusion. The nodule is larger.", "improved", ""),
        ("The nodule is larger.", "improved", ""),
        ("Pleural effusion: larger\nNodule: smaller", "improved", "worse"),
        ("No new pleural effusion.", "worse", ""),
        ("The pleural effusion has not resolved.", "improved", ""),
        ("The pleural effusion hasn't changed.", "worse", "stable"),
        ("The pleural effusion is not larger.", "improved", ""),
        ("The pleural effusion was larger on the prior.", "improved", ""),
        ("Neither image shows an effusion.", "new", "stable"),
    ],
)
def test_a_finding_is_held_to_the_clauses_that_name_it(text: str, name: str, said: str) -> None:
    """ "2.5 cm" ended a sentence, "effusions" was no effusion, and the nodule's growth contradicted the effusion."""
    assert against(of_finding("pleural effusion"), text, name) == said


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("B: smaller", "larger", "smaller"),
        ("(B)", "larger", "smaller"),
        ("It is stable.", "larger", "stable"),
        ("A right nodule that is larger", "larger", ""),
        ("H: none", "larger", ""),
        ("Smaller or stable.", "larger", ""),
        ("It is not smaller.", "larger", ""),
        ("It isn't smaller.", "larger", ""),
        ("Not larger but stable.", "larger", "stable"),
    ],
)
def test_an_option_is_named_by_its_letter_or_its_words(text: str, name: str, said: str) -> None:
    closed = of_question(tiny.pair("How did it change?\nA: larger\nB: smaller\nC: stable"))
    assert closed is not None
    assert against(closed, text, name) == said


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("The second image.", ("says otherwise", "the second image")),
        ("Image 2.", ("says otherwise", "the second image")),
        ("The current one shows more.", ("says otherwise", "the second image")),
        ("The last film.", ("says otherwise", "the second image")),
        ("The prior study.", ("agrees", "the first image")),
        ("The first one.", ("agrees", "the first image")),
        ("Neither: both images show the same.", ("says otherwise", "both the same")),
        ("The first image shows more than the second image.", ("names none", "")),
        ("More disease.", ("names none", "")),
        ("They are not the same: the first image.", ("agrees", "the first image")),
        ("The same nodule is larger in the first image.", ("agrees", "the first image")),
        ("Both show the same amount of disease.", ("says otherwise", "both the same")),
        ("Not the second image.", ("names none", "")),
        ("Not the second image but the first image.", ("agrees", "the first image")),
        ("Neither lung is clear in the first image.", ("agrees", "the first image")),
        ("The 2.5 cm nodule of the first image.", ("agrees", "the first image")),
    ],
)
def test_which_image(text: str, verdict: tuple[str, str]) -> None:
    """However the image is named: only "the second image" was read, "Image 2." passed for agreement with the first."""
    request = tiny.pair("Which image shows more disease?")
    closed = of_question(request)
    assert closed is not None
    assert held(request, closed, text, "the first image") == verdict


@pytest.mark.parametrize(
    ("question", "text", "name", "verdict"),
    [
        ("Is the pleural effusion worse, stable or improved?", "No.", "resolved", ("names none", "")),
        ("Is the pleural effusion progressing?", "No.", "resolved", ("agrees", "")),
        ("Is the pleural effusion progressing?", "No.", "worse", ("says otherwise", "not worse")),
        ("Is the pleural effusion progressing?", "Yes.", "resolved", ("says otherwise", "worse")),
        ("Is the pleural effusion progressing?", "Yes.", "new", ("agrees", "")),
        ("Is the nodule larger?", "Yes.", "stable", ("says otherwise", "worse")),
        ("Is a shadow now larger in the film?", "Yes.", "stable", ("names none", "")),
        ("Has the disease improved?", "No, it has not.", "improved", ("says otherwise", "not improved")),
        ("Is the nodule unchanged?", "No.", "stable", ("says otherwise", "not stable")),
        ("What changed?", "A normal heart.", "stable", ("names none", "")),
    ],
)
def test_a_bare_yes_or_no_answers_what_was_asked_and_no_choice_between_options(
    question: str, text: str, name: str, verdict: tuple[str, str]
) -> None:
    """ "No." to a choice of three passed for agreement with whatever the model took; to a plain question it was not held against it."""
    request = tiny.pair(question)
    closed = of_question(request)
    assert closed is not None
    assert held(request, closed, text, name) == verdict


def test_of_a_mark_the_disease_around_it_says_nothing() -> None:
    assert against(of_mark("A"), "The disease is worse; region A is stable.", "stable") == ""
    assert against(of_mark("A"), "Region A isn't stable.", "stable") == "not stable"
