"""What readers say of answers: whole statements, each change a new row, and nothing that contradicts itself."""

from __future__ import annotations

import pytest

from errors import InputError, StoreError
from storage.feedback import CODES, Said
from storage.store import Store
from storage.views import AskedMark, FeedbackView, PatientSummary, Slot, User
from tests.storage import values


@pytest.fixture
def turn(store: Store, reader: User, pair: PatientSummary) -> int:
    """A question about two images."""
    prior, current = (study.series[0].id for study in pair.studies)
    session = store.start_session(reader, "Case", [Slot(prior, 0, "prior"), Slot(current, 0, "current")])
    return store.add_turn(session, reader, "What changed?", "temporal", "temporal")


@pytest.fixture
def answer(store: Store, turn: int) -> int:
    """Its answer."""
    return store.add_version(turn, values.record())


def said(store: Store, reader: User, place: int = 0) -> tuple[FeedbackView, ...]:
    """Everything the reader said of the first question's answer."""
    return store.session(1, reader).turns[0].versions[place].feedback


def test_a_whole_statement_comes_back_as_it_was_given(store: Store, reader: User, answer: int) -> None:
    mark = AskedMark(1, "B", "box", ((3.5, 4.0), (9.0, 12.25)))
    given = Said(
        "disagree",
        "The effusion is smaller.",
        codes=("wrong-side", "images-swapped"),
        severity="critical",
        corrected_answer="The effusion has improved.",
        cells={"effusion": "improved", "overall": "improved"},
        mark=mark,
    )
    store.add_feedback(answer, reader, given)
    (row,) = said(store, reader)
    assert (row.verdict, row.comment, row.severity, row.corrected_answer) == (
        "disagree", "The effusion is smaller.", "critical", "The effusion has improved.",
    )  # fmt: skip
    assert row.codes == ("images-swapped", "wrong-side"), "in the order they are offered"
    assert row.cells == {"effusion": "improved", "overall": "improved"}
    assert row.mark == mark


def test_each_change_is_a_row_and_the_newest_says_everything(store: Store, reader: User, answer: int) -> None:
    """A reader corrects one cell after another; the last row alone must hold all that stands, the others the history."""
    store.add_feedback(answer, reader, Said("disagree", codes=("change-missed",)))
    store.add_feedback(answer, reader, Said(cells={"effusion": "worse"}))
    store.add_feedback(answer, reader, Said(cells={"consolidation": "new"}, severity="major"))
    store.add_feedback(answer, reader, Said(cells={"effusion": ""}, corrected_answer="Worse."))
    rows = said(store, reader)
    assert [dict(row.cells) for row in rows] == [
        {},
        {"effusion": "worse"},
        {"effusion": "worse", "consolidation": "new"},
        {"consolidation": "new"},
    ]
    newest = rows[-1]
    assert (newest.verdict, newest.codes, newest.severity, newest.corrected_answer) == ("disagree", ("change-missed",), "major", "Worse.")


def test_a_verdict_that_turns_leaves_its_reasons_behind_and_keeps_the_cells(store: Store, reader: User, answer: int) -> None:
    store.add_feedback(answer, reader, Said("disagree", "No.", codes=("other",), severity="minor", cells={"effusion": "stable"}))
    store.add_feedback(answer, reader, Said("agree"))
    newest = said(store, reader)[-1]
    assert (newest.verdict, newest.comment, newest.codes, newest.severity, newest.cells) == ("agree", "", (), "", {"effusion": "stable"})


def test_a_code_alone_means_disagreement(store: Store, reader: User, answer: int) -> None:
    store.add_feedback(answer, reader, Said(codes=("wrong-view",)))
    assert said(store, reader)[-1].verdict == "disagree"


def test_a_preference_is_between_answers_to_one_question(store: Store, reader: User, turn: int, answer: int) -> None:
    better = store.add_version(turn, values.record("Smaller."))
    store.add_feedback(better, reader, Said(preferred_over=answer))
    assert said(store, reader, 1)[-1].preferred_over == answer
    elsewhere = store.add_version(store.add_turn(1, reader, "And here?", "comparison", "temporal"), values.record())
    for other in (better, elsewhere, 999):
        with pytest.raises(InputError, match="two answers to the same question"):
            store.add_feedback(better, reader, Said(preferred_over=other))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "says nothing"),
        ({"verdict": "agree", "codes": ("other",)}, "has no error codes"),
        ({"codes": ("rude",)}, "is no error code"),
        ({"severity": "fatal"}, "minor, major or critical"),
        ({"cells": {"effusion": "gone"}}, "new, worse, stable, improved, resolved, uncertain"),
        ({"cells": {"overall": "new"}}, "worse, stable, improved"),
        ({"cells": {"": "new"}}, "needs a name"),
        ({"corrected_answer": "x" * 8_001}, "shorten it"),
        ({"mark": AskedMark(2, "A", "point", ((1.0, 1.0),))}, "image 3 and the question has 2"),
        ({"mark": AskedMark(0, "A", "point", ((float("nan"), 1.0),))}, "not places in an image"),
        ({"mark": AskedMark(0, "A", "point", ())}, "has no points"),
    ],
)
def test_what_means_nothing_is_refused_in_a_sentence(
    store: Store, reader: User, answer: int, given: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        store.add_feedback(answer, reader, Said(**given))  # type: ignore[arg-type]
    assert said(store, reader) == ()


def test_nobody_says_anything_of_another_readers_answer(store: Store, answer: int) -> None:
    with pytest.raises(StoreError, match="was not found"):
        store.add_feedback(answer, store.user("another browser"), Said("agree"))


def test_every_code_has_its_meaning() -> None:
    assert len(CODES) == 9
    assert all(words and words[0].isupper() and not words.endswith(".") for words in CODES.values())
