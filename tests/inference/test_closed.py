"""Closed questions: options in more than one order, synonyms counted as one class, options that a reader typed."""

from __future__ import annotations

import math

import pytest

from errors import EngineError
from inference import closed, prompts
from inference.closed import NONE, OVERALL_CHANGE, of_finding, of_question, options, paraphrased, read, without
from inference.engine import Request
from inference.suggest import TEMPLATES
from tests.fakes import FakeEngine
from tests.inference import tiny

LETTERED = "How did the nodule change?\nA: larger\nB: smaller\nC: stable"


def test_the_given_order_is_the_question_that_was_trained() -> None:
    """Another wording would ask a fine-tuned model something it has never seen."""
    assert OVERALL_CHANGE.asked(OVERALL_CHANGE.classes) == prompts.OVERALL_QUESTION
    for finding in prompts.FINDINGS:
        assert of_finding(finding).asked(prompts.PROGRESSION) == prompts.progression_question(finding)


def test_unchanged_and_no_change_count_as_stable() -> None:
    even = {"worse": -1.0, "improved": -1.0, "stable": -2.0, "unchanged": -2.0, "no change": -2.0}
    found = read(FakeEngine(scores=even), tiny.pair(), OVERALL_CHANGE).shares
    weights = {"worse": math.exp(-1), "improved": math.exp(-1), "stable": 3 * math.exp(-2)}
    whole = sum(weights.values()) + 2 * math.exp(-9)
    assert found["stable"] == pytest.approx(weights["stable"] / whole)
    assert max(found, key=lambda name: found[name]) == "stable"


def test_no_synonym_stands_under_two_classes() -> None:
    said = [word for name, words in closed.SYNONYMS.items() for word in (name, *words)]
    assert len(set(said)) == len(said)
    assert set(closed.SYNONYMS) == set(prompts.PROGRESSION)


def test_a_model_that_takes_the_first_option_is_averaged_to_no_preference_and_told() -> None:
    def first(request: Request) -> dict[str, float]:
        return {name: 0.0 if request.question.startswith(f"Overall, is the disease {name}") else -6.0 for name in OVERALL_CHANGE.classes}

    engine = FakeEngine(scores=first)
    found = read(engine, tiny.pair(), OVERALL_CHANGE)
    assert found.shares["worse"] == pytest.approx(found.shares["improved"])
    assert not found.agrees
    assert found.top == ""
    assert [request.question for request, _ in engine.scored] == [
        prompts.OVERALL_QUESTION,
        "Overall, is the disease improved, stable or worse since the prior? Answer with one word.",
    ]
    assert all(sum(one.values()) == pytest.approx(1) for one in (found.shares, *found.orders))


def test_letters_keep_their_places_while_the_options_move() -> None:
    def knows(request: Request) -> dict[str, float]:
        place = [line[0] for line in request.question.splitlines() if line.endswith(": smaller")]
        return {f"{place[0]}: smaller": 0.0}

    typed = options(LETTERED)
    assert typed is not None
    engine = FakeEngine(scores=knows)
    found = read(engine, tiny.pair(), typed)
    assert found.top == "smaller"
    assert found.agrees
    assert engine.scored[0][0].question == LETTERED
    assert engine.scored[1][0].question.endswith("\nA: stable\nB: smaller\nC: larger")


def test_options_that_turn_round_are_known_and_others_are_not() -> None:
    typed = options(LETTERED)
    assert typed is not None
    assert typed.inverse == {"larger": "smaller", "smaller": "larger", "stable": "stable"}
    assert typed.still == "stable"
    for signs in ("improved > 50 %|improved < 50 %|stable", "worse by 50 %|improved|stable", "worse|worse!|improved|stable"):
        lines = "\n".join(f"{letter}: {text}" for letter, text in zip("ABCD", signs.split("|"), strict=False))
        measured = options(f"How did it change?\n{lines}")
        assert measured is not None
        assert measured.inverse == {}, "words that say more than their class, or the same twice"
    other = options("What is it?\nA) pneumonia\nB) oedema")
    assert other is not None
    assert (other.inverse, other.still) == ({}, "")


NINE = "x" + "".join(f"\n{letter}: the {letter}" for letter in "ABCDEFGHI")


@pytest.mark.parametrize(
    "question",
    [
        "What changed?",
        "A: alone",
        "x\nA: one\nC: three",
        "x\nA: same\nB: same",
        "B: b\nA: a",
        NINE,
        "Marks: A: left nodule",
        "Marks:\nA: left nodule\nB: right nodule\nWhat changed?",
    ],
)
def test_what_lists_no_options_is_open(question: str) -> None:
    assert options(question) is None


@pytest.mark.parametrize(
    ("question", "classes"),
    [
        (NINE.rpartition("\n")[0], tuple(f"the {letter}" for letter in "ABCDEFGH")),
        ("How is it?\r\nA: worse\r\nB: stable\r\n", ("worse", "stable")),
        ("How is it?\nA: worse\nB: stable\nAnswer with the letter.", ("worse", "stable")),
        ("A: worse\nB: stable\nWhich is it?", ("worse", "stable")),
    ],
)
def test_options_are_read_whole(question: str, classes: tuple[str, ...]) -> None:
    """Nine were cut to eight, and options pasted from Windows ended in a sign that nobody sees."""
    typed = options(question)
    assert typed is not None
    assert typed.classes == classes


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Is the effusion larger?", "pleural effusion"),
        ("Have the pleural effusions grown?", "pleural effusion"),
        ("Is the pericardial effusion larger?", "overall"),
        ("Has the joint effusion grown?", "overall"),
        ("Did the pericardial and pleural effusions grow?", "pleural effusion"),
        ("Are the pneumothoraces bigger?", "pneumothorax"),
        ("Have the atelectases improved?", "atelectasis"),
        ("Has the heart size increased?", "cardiomegaly"),
        ("Has the endotracheal tube moved?", "tube or line"),
        ("Has the central line moved?", "tube or line"),
        ("Are the lines and tubes unchanged?", "tube or line"),
        ("Is the effusion smaller since the chest tube was placed?", "pleural effusion"),
        ("Has the pleural line moved?", "overall"),
        ("Are Kerley B lines new?", "overall"),
        ("Is the midline shift worse?", "overall"),
        ("Are the effusion and the nodule larger?", "overall"),
    ],
)
def test_a_finding_is_known_by_its_own_words(question: str, name: str) -> None:
    """A pericardial effusion was taken for a pleural one, and no tube for the finding "tube or line"."""
    found = of_question(tiny.pair(question))
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    ("question", "dated"),
    [
        ("Which of these two films shows more?", False),
        ("On which image is the effusion larger?", False),
        ("At which time point is it largest?", False),
        ("Which x-ray shows more?", False),
        ("Which exam shows more?", False),
        ("Which of both images shows more?", False),
        ("Which of the two shows more effusion?", False),
        ("Which is the image with more disease?", False),
        ("In which image is the later stage seen?", False),
        ("Which image is the first to show the nodule?", False),
        ("Which image is lateral?", False),
        ("Which image is newly abnormal?", False),
        ("Which study is older?", True),
        ("Which one of them is the later film?", True),
        ("Which is the older film?", True),
        ("Which of the x-rays is older?", True),
        ("Which image was taken first?", True),
        ("Which image is from the earlier date?", True),
        ("Which image is the most recent one?", True),
        ("Which image is the follow-up?", True),
    ],
)
def test_which_image_is_told_from_which_is_older(question: str, dated: bool) -> None:
    """Of the older one nothing is due when the pictures change places; "lateral" and "first to show" are no dates."""
    found = of_question(tiny.pair(question))
    assert found is not None
    assert (found.name, bool(found.inverse)) == ("which", not dated)


@pytest.mark.parametrize(
    "question",
    [
        "Which lung is worse?",
        "Which of the two lungs is worse?",
        "Which of these findings is new?",
        "Which of the two nodules is larger?",
        "Which of them has grown?",
        "Which side is worse?",
        "Which study should be done next?",
        "Which exam would you recommend?",
    ],
)
def test_which_of_something_else_asks_for_no_image(question: str) -> None:
    found = of_question(tiny.pair(question))
    assert found is None or found.name != "which"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"question": "What changed since the prior?"}, "overall"),
        ({"question": LETTERED, "ability": "reasoning"}, "options"),
        ({"question": "Which image shows more disease?", "ability": "coreference"}, "which"),
        ({"question": "Which of the two images shows more disease?"}, "which"),
        ({"question": "Which of these films is worse?"}, "which"),
        ({"question": "In which study is the nodule larger?"}, "which"),
        ({"question": "Which one shows the larger nodule?"}, "which"),
        ({"question": "Which one of the nodules is spiculated?", "ability": "coreference"}, ""),
        ({"question": "Which one of the films shows more disease?", "ability": "coreference"}, "which"),
        ({"question": "Is the heart enlarged?", "ability": "coreference"}, ""),
        ({"question": "Is the larger nodule malignant?", "ability": "reasoning"}, ""),
        ({"question": "Are both images of the same patient?", "ability": "coreference"}, ""),
        ({"question": "What differential diagnoses would you consider?", "ability": "reasoning"}, ""),
        ({"question": "Is there a new nodule?", "ability": "coreference"}, "nodule"),
        ({"question": "Which images show a nodule?", "ability": "coreference"}, ""),
        ({"question": "What is different?", "relationship": "sides", "ability": "comparison"}, ""),
        ({"question": "What is the diagnosis?", "ability": "reasoning"}, ""),
        ({"question": "Has the nodule grown?", "ability": "coreference"}, "nodule"),
        ({"question": "What changed since the prior?", "ability": "reasoning"}, "overall"),
        ({"question": "Where is the larger nodule?", "ability": "coreference"}, ""),
        ({"question": "Which finding explains the difference between the images?", "ability": "reasoning"}, ""),
        ({"question": "Do the images together show a nodule?", "ability": "reasoning"}, ""),
        ({"question": "What changed?", "images": (tiny.picture(1),)}, ""),
        ({"question": "Is the effusion progressing?"}, "pleural effusion"),
        ({"question": "Are the diffuse opacities progressing?"}, "diffuse opacity"),
        ({"question": "Did the pleural effusions or the nodule grow?"}, "overall"),
        ({"question": "Is there a nodule?"}, ""),
        ({"question": "Which findings are present in both images?", "ability": "comparison"}, ""),
    ],
)
def test_a_closed_question_stands_for_what_can_be_closed(fields: dict[str, object], name: str) -> None:
    found = of_question(tiny.pair(**fields))  # type: ignore[arg-type]
    assert (found.name if found else "") == name


def test_an_answer_that_speaks_of_change_is_about_change_whatever_was_asked() -> None:
    found = of_question(tiny.pair("And the heart?"), "It has grown.")
    assert found is not None
    assert found.name == "overall"


@pytest.mark.parametrize(
    "question",
    [
        "Is there any change between the images?",
        "Is there a difference between the two images?",
        "Has the effusion become larger?",
        "Did the patient get worse?",
        "Is the effusion growing?",
        "Has anything happened since the prior?",
        "Has the opacity gone?",
        "Has the effusion cleared?",
        "Is the nodule larger than before?",
        "Is the nodule larger in the second image?",
        "Is it worse or better?",
        "How much has the nodule grown?",
        "How did the disease change?",
    ],
)
def test_a_question_of_change_is_one_in_every_mode(question: str) -> None:
    assert of_question(tiny.pair(question, ability="reasoning")) is not None


@pytest.mark.parametrize(
    "question",
    [
        "Is the left lung larger than the right?",
        "Is there a mass larger than 3 cm?",
        "Does the nodule show increased uptake?",
        "Is there a bigger bulla on the left?",
        "Is there more than one nodule?",
        "Is the nodule in the first image the same as the one in the second?",
        "Is the left lung better aerated?",
    ],
)
def test_a_state_is_no_change_where_another_mode_was_chosen(question: str) -> None:
    assert of_question(tiny.pair(question, ability="reasoning")) is None


@pytest.mark.parametrize("question", TEMPLATES["temporal"])
def test_every_suggested_question_about_change_is_known_as_one(question: str) -> None:
    assert of_question(tiny.pair(question.format(finding="consolidation", mark="region A", images=3))) is not None


def test_the_same_classes_in_other_words_and_without_one() -> None:
    again = paraphrased(OVERALL_CHANGE)
    assert again.classes == OVERALL_CHANGE.classes
    assert again.asked(again.classes) != OVERALL_CHANGE.asked(OVERALL_CHANGE.classes)
    assert without(OVERALL_CHANGE, "stable").classes == ("worse", "improved", NONE)


def test_options_without_any_probability_are_a_sentence() -> None:
    nothing = FakeEngine(scores=dict.fromkeys(("worse", "stable", "improved", "worsened", "unchanged", "no change", "better"), -math.inf))
    with pytest.raises(EngineError, match="no probability to any of the options"):
        read(nothing, tiny.pair(), OVERALL_CHANGE)
