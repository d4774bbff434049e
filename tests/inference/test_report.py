"""The draft says what the model said and scored, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from inference.measured import Paired
from inference.report import MARK, Report, Shown, Source, Words, as_text, cautions, draft

PRIOR = Shown("DX Chest PA", datetime(2024, 1, 2), "prior", "", "a" * 64)
CURRENT = Shown("DX Chest PA", datetime(2024, 1, 16), "current", "14 days later", "b" * 64)
SCORED = Source(
    1,
    "What changed?",
    "temporal",
    "The effusion is larger.",
    model="bundled",
    model_digest="c" * 64,
    image_hashes=("a" * 64, "b" * 64),
    progression={
        "pleural effusion": {"worse": 0.8, "stable": 0.2},
        "consolidation": {"new": 0.7, "stable": 0.3},
        "atelectasis": {"stable": 0.9, "new": 0.1},
        "nodule": {"worse": 0.4, "stable": 0.35, "new": 0.25},
    },
    overall={"worse": 0.9, "stable": 0.05, "improved": 0.05},
)


def test_findings_stand_by_class_and_what_is_undecided_is_said() -> None:
    words = draft([PRIOR, CURRENT], [SCORED])
    assert words.findings.splitlines() == [
        "New: consolidation.",
        "Worse: pleural effusion.",
        "Unchanged: atelectasis.",
        "Undecided between classes: nodule.",
    ]
    assert words.impression == "The effusion is larger.\nAs a whole: worse."
    assert words.comparison == "DX Chest PA of 2024-01-16 (14 days later) compared with DX Chest PA of 2024-01-02."


def test_cells_and_words_of_the_reader_stand_in_the_place_of_the_models() -> None:
    mended = Source(
        1,
        "What changed?",
        "temporal",
        "The effusion is smaller.",
        progression=SCORED.progression,
        overall=SCORED.overall,
        cells={"pleural effusion": "improved", "overall": "improved"},
        corrected=True,
    )
    words = draft([PRIOR, CURRENT], [mended])
    assert "Improved: pleural effusion." in words.findings
    assert "Worse" not in words.findings
    assert words.impression == "The effusion is smaller.\nAs a whole: improved."


def test_measurements_and_other_questions_are_told_as_what_they_are() -> None:
    heart = Source(2, "Is the heart large?", "reasoning", "No.")
    words = draft([PRIOR, CURRENT], [heart, SCORED], [Paired("A", "B", 8.0, 11.0)])
    assert "Measured by the reader, A and B: 8.0 to 11.0 mm (+38 %)." in words.findings
    assert "Asked “Is the heart large?”: No." in words.findings
    assert words.impression.startswith("The effusion is larger.")


def test_a_reply_stands_with_its_question_and_a_scored_answer_is_the_impression_in_any_mode() -> None:
    """An impression once read "No." and nothing else."""
    reply = Source(2, "Has the nodule grown?", "coreference", "No.", progression=SCORED.progression)
    which = Source(3, "Which image shows more disease?", "coreference", "The second image.")
    words = draft([PRIOR, CURRENT], [reply, which])
    assert words.impression == "Asked “Has the nodule grown?”: No."
    for whole in ("No significant interval change.", "Both lungs are clear; the nodule is stable.", "It grew.", "Stable."):
        assert draft([PRIOR, CURRENT], [replace(reply, text=whole)]).impression == whole
    assert "Asked “Which image shows more disease?”: The second image." in words.findings


@pytest.mark.parametrize(
    "text",
    [
        "Yes it has.",
        "No it has not.",
        "Yes, it is.",
        "No, it isn't.",
        "Yes – it has grown.",
        "Yes it has grown since the prior.",
        "No there is not.",
        "No — stable.",
        "It has.",
        "It hasn’t.",
        "They have not.",
        "It cannot.",
        "The second image does.",
        "Neither of them is.",
        "**Yes**, it has.",
    ],
)
def test_a_bare_reply_in_several_words_stands_with_its_question(text: str) -> None:
    """An impression once read "Yes it has." and nothing else."""
    reply = Source(2, "Has the nodule grown?", "temporal", text)
    assert draft([PRIOR, CURRENT], [reply]).impression == f"Asked “Has the nodule grown?”: {text}"


@pytest.mark.parametrize(
    "text",
    [
        "It has grown.",
        "It is stable.",
        "They are unchanged.",
        "The nodule has not grown.",
        "There is no change.",
        "No pleural effusion is seen.",
        "No new consolidation.",
        "Neither lung shows an effusion.",
        "None of the nodules has grown.",
        "Both effusions are larger.",
        "Nothing has changed.",
        "The effusion is larger than it was.",
    ],
)
def test_a_whole_sentence_stands_without_its_question(text: str) -> None:
    assert draft([PRIOR, CURRENT], [Source(2, "Has it grown?", "temporal", text)]).impression == text


def test_the_readers_cells_on_an_earlier_answer_stand_over_a_later_models_classes() -> None:
    """The newest answer with classes or cells once stood alone: it took the reader's word from the draft, or the model's."""
    said = replace(SCORED, cells={"pleural effusion": "improved", "nodule": "new", "overall": "improved"})
    later = replace(SCORED, version_id=2, question="And now?", cells={"nodule": "worse"})
    words = draft([PRIOR, CURRENT], [said, later])
    assert "Worse: nodule.\nImproved: pleural effusion." in words.findings
    assert words.impression.endswith("As a whole: improved.")
    free = Source(3, "Is the heart large?", "reasoning", "No.", cells={"cardiomegaly": "stable"})
    assert "Worse: pleural effusion.\nUnchanged: atelectasis, cardiomegaly." in draft([PRIOR, CURRENT], [SCORED, free]).findings


def test_a_withheld_answer_is_named_and_what_the_reader_said_of_it_stays() -> None:
    held = replace(SCORED, progression={}, overall={}, withheld="Withheld: seldom right.")
    assert draft([PRIOR, CURRENT], [held]) == draft([PRIOR, CURRENT], [])
    assert draft([PRIOR, CURRENT], [replace(held, cells={"nodule": "worse"})]).findings == "Worse: nodule."
    assert cautions([held])[0] == "“What changed?”: its answer is left out of what is drafted. Withheld: seldom right."
    told = as_text(Report("p-1", Words(), (PRIOR, CURRENT), (held,), ()))
    assert "Answer, withheld: The effusion is larger." in told


def test_an_unchecked_answer_is_told_so_once() -> None:
    unchecked = Source(2, "Is it worse?", "temporal", "Worse.", trust="not checked", trust_state="unchecked", trust_why="It was not asked.")
    assert cautions([unchecked]) == ("“Is it worse?”: whether it depends on the images was not checked.",)


def test_one_image_has_no_comparison_and_no_answer_makes_no_finding() -> None:
    assert draft([CURRENT], []) == Words("", "None. DX Chest PA of 2024-01-16.", "")
    assert cautions([]) == ("No question of this case has a whole answer, so nothing here comes from a model.",)
    views = draft([Shown("MG", None, "CC"), Shown("MG", None, "MLO")], [], relationship="views")
    assert views.comparison == "Views of one study: MG without a date (CC) and MG without a date (MLO)."


def test_text_carries_mark_checks_and_provenance_whatever_the_reader_wrote() -> None:
    report = Report(
        "p-1",
        Words("All mine.", "", ""),
        (PRIOR, CURRENT),
        (SCORED,),
        cautions([SCORED]),
        edited=True,
        made=datetime(2026, 1, 1, tzinfo=UTC),
    )
    text = as_text(report)
    assert text.startswith(f"{MARK}; edited by a reader".upper())
    for words in (
        "All mine.",
        "not a medical device",
        "was not checked",
        f"Model SHA-256: {'c' * 64}",
        f"SHA-256 {'a' * 64}",
        "2026-01-01T00:00:00",
    ):
        assert words in text, words
