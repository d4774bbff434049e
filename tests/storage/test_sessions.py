"""Sessions, questions, answers and feedback come back as they were, to the reader they belong to."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from sqlalchemy import event, insert

from errors import InputError, StoreError
from storage.feedback import Said
from storage.marks import Mark, Marks
from storage.schema import TurnRow, VersionRow
from storage.store import Store
from storage.studies.model import Source
from storage.views import AskedMark, Clinical, PatientSummary, Slot, User
from tests.storage import values


@pytest.fixture
def slots(pair: PatientSummary) -> tuple[Slot, Slot]:
    prior, current = (study.series[0].id for study in pair.studies)
    return Slot(prior, 1, "prior", ""), Slot(current, 0, "current", "14 days later")


@pytest.fixture
def session(store: Store, reader: User, slots: tuple[Slot, Slot]) -> int:
    return store.start_session(reader, "Effusion, follow-up", slots, "temporal")


def test_a_reopened_session_shows_its_images_questions_answers_and_feedback(
    store: Store, reader: User, session: int, slots: tuple[Slot, Slot]
) -> None:
    first = store.add_turn(session, reader, "What changed?", "temporal", "temporal")
    second = store.add_turn(session, reader, "Which image shows more?", "coreference", "temporal")
    older = store.add_version(first, values.record("Larger."))
    newer = store.add_version(first, values.record("Much larger.", state="stopped"))
    store.add_feedback(newer, reader, Said("disagree", "It is the same."))
    store.add_feedback(newer, reader, Said("agree"))

    view = store.session(session, reader)

    assert (view.title, view.relationship, view.slots) == ("Effusion, follow-up", "temporal", slots)
    assert [(turn.id, turn.question, turn.ability, turn.slots) for turn in view.turns] == [
        (first, "What changed?", "temporal", slots),
        (second, "Which image shows more?", "coreference", slots),
    ]
    assert [(one.id, one.number, one.text, one.state) for one in view.turns[0].versions] == [
        (older, 1, "Larger.", "complete"),
        (newer, 2, "Much larger.", "stopped"),
    ]
    said = view.turns[0].versions[1].feedback
    assert [(one.verdict, one.comment) for one in said] == [("disagree", "It is the same."), ("agree", "")]
    assert view.turns[0].versions[0].feedback == ()
    assert view.turns[0].versions[0].progression == values.record().progression
    assert view.turns[1].versions == ()


def test_what_was_drawn_and_told_stays_with_its_question(store: Store, reader: User, session: int) -> None:
    marks = (AskedMark(0, "A", "box", ((1.5, 2), (3, 4))), AskedMark(1, "B", "point", ((0.25, 7),)))
    told = Clinical(indication="cough", prior_report="Small effusion.")
    store.add_turn(session, reader, "Has A grown?", "temporal", "temporal", marks, told)
    store.add_turn(session, reader, "What changed?", "temporal", "temporal")
    first, second = store.session(session, reader).turns
    assert (first.marks, first.clinical) == (marks, told)
    assert first.clinical.labelled == (("Indication", "cough"), ("Prior report", "Small effusion."))
    assert (second.marks, second.clinical) == ((), Clinical())


def test_an_answer_keeps_everything_needed_to_make_it_again(store: Store, reader: User, session: int) -> None:
    record = values.record()
    version = store.add_version(store.add_turn(session, reader, "What changed?", "temporal", "temporal"), record)
    kept = store.answer(version, reader)
    assert kept.created is not None
    assert kept == values.record(created=kept.created)
    assert list(kept.progression) == ["effusion", "consolidation"], "findings in the order the model was asked"


def test_changing_the_images_does_not_change_what_was_asked_before(
    store: Store, reader: User, session: int, slots: tuple[Slot, Slot]
) -> None:
    store.add_turn(session, reader, "What changed?", "temporal", "temporal")
    swapped = (Slot(slots[1].series_id, 1, "left", ""), Slot(slots[0].series_id, 0, "right", ""))
    store.update_slots(session, reader, swapped, "sides")
    store.add_turn(session, reader, "What differs?", "comparison", "sides")
    view = store.session(session, reader)
    assert (view.relationship, view.slots) == ("sides", swapped)
    assert [turn.slots for turn in view.turns] == [slots, swapped]


@pytest.mark.parametrize("frame", [-1, 3])
def test_a_slot_must_be_an_image_of_its_series(store: Store, reader: User, slots: tuple[Slot, Slot], frame: int) -> None:
    with pytest.raises(StoreError, match="has no image"):
        store.start_session(reader, "Case", [Slot(slots[0].series_id, frame)])
    assert store.sessions(reader) == ()


def test_history_is_ordered_by_use_and_found_by_title_question_or_answer(store: Store, reader: User, session: int) -> None:
    other = store.start_session(reader, "Knie, Übersicht", [])
    assert [one.id for one in store.sessions(reader)] == [other, session]
    turn = store.add_turn(session, reader, "Is the 50% opacity_new?", "temporal", "temporal")
    store.add_version(turn, values.record("The OPACITY resolved."))
    assert [(one.id, one.turns) for one in store.sessions(reader)] == [(session, 1), (other, 0)]
    found = {
        words: [one.id for one in store.sessions(reader, words)]
        for words in ("follow-up", "übersicht", "50% opacity_new", "resolved opacity", "50_", "%", "effusion knie")
    }
    assert found == {
        "follow-up": [session],
        "übersicht": [other],
        "50% opacity_new": [session],
        "resolved opacity": [session],
        "50_": [],
        "%": [session],
        "effusion knie": [],
    }
    assert len(store.sessions(reader, limit=1)) == 1


def test_rename(store: Store, reader: User, session: int) -> None:
    store.rename_session(session, reader, "  New \n title ")
    assert store.session(session, reader).title == "New title"
    with pytest.raises(StoreError, match="needs a title"):
        store.rename_session(session, reader, "   ")


def test_another_reader_finds_nothing_of_mine(store: Store, reader: User, session: int, slots: tuple[Slot, Slot]) -> None:
    version = store.add_version(store.add_turn(session, reader, "What changed?", "temporal", "temporal"), values.record())
    other = store.user("another browser")
    assert store.sessions(other) == ()
    attempts = (
        lambda: store.session(session, other),
        lambda: store.rename_session(session, other, "Mine"),
        lambda: store.update_slots(session, other, []),
        lambda: store.add_turn(session, other, "What changed?", "temporal", "temporal"),
        lambda: store.answer(version, other),
        lambda: store.add_feedback(version, other, Said("agree")),
        lambda: store.start_session(other, "Case", slots),
    )
    for attempt in attempts:
        with pytest.raises(StoreError, match="was not found"):
            attempt()


def test_text_no_database_would_take_is_kept_readable(store: Store, reader: User, session: int) -> None:
    """A lone surrogate from a browser or a NUL from a header once ended the request with a traceback."""
    turn = store.add_turn(session, reader, "a\x00b\ud800c", "temporal", "temporal")
    version = store.add_version(turn, values.record("x\x00", checks={"k\x00": float("nan")}))
    assert store.session(session, reader).turns[0].question == "a\ufffdb\ufffd\ufffd\ufffdc"
    assert store.answer(version, reader).checks == {"k\ufffd": None}


@pytest.mark.parametrize(("verdict", "comment", "sentence"), [("maybe", "", "agree or disagree"), ("agree", "x" * 10_001, "shorten it")])
def test_feedback_that_cannot_be_kept_is_refused(
    store: Store, reader: User, session: int, verdict: str, comment: str, sentence: str
) -> None:
    version = store.add_version(store.add_turn(session, reader, "What changed?", "temporal", "temporal"), values.record())
    with pytest.raises(InputError, match=sentence):
        store.add_feedback(version, reader, Said(verdict, comment))  # type: ignore[arg-type]


def test_an_answer_to_no_question_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="question 7 was not found"):
        store.add_version(7, values.record())


def test_history_of_ten_thousand_turns_opens_at_once(store: Store, reader: User, session: int) -> None:
    """Five queries however long the session; the list of sessions is one, and neither reads tokens. Times are of the processor."""
    record = values.record()
    store.add_version(store.add_turn(session, reader, "What changed?", "temporal", "temporal"), record)
    with store._database.write() as writing:
        turn = {"session_id": session, "question": "What changed?", "ability": "temporal", "relationship": "temporal"}
        writing.execute(insert(TurnRow), [turn | {"id": number} for number in range(2, 10_001)])
        version = {"number": 1, "text": record.text, "state": "complete", "model": "m", "engine": "e", "model_digest": "d"}
        tokens = {"tokens": ["word"] * 40, "logprobs": [-1.0] * 40}
        writing.execute(insert(VersionRow), [version | tokens | {"turn_id": number} for number in range(2, 10_001)])
    statements: list[str] = []
    event.listen(store._database.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    started = time.thread_time()
    (summary,) = store.sessions(reader, "effusion")
    listed = time.thread_time() - started
    assert summary.turns == 10_000
    assert len([text for text in statements if text.startswith("SELECT")]) == 1
    statements.clear()
    view = store.session(session, reader)
    opened = time.thread_time() - started - listed
    assert len(view.turns) == 10_000
    assert all(len(turn.versions) == 1 for turn in view.turns)
    assert len([text for text in statements if text.startswith("SELECT")]) == 5
    assert not any("logprobs" in text for text in statements)
    assert listed < 1.0
    assert opened < 2.0


def test_users_are_kept_by_key_and_the_key_is_not_in_the_database(store: Store, sources: Iterator[Source]) -> None:
    secret = "cookie-8f31c2"
    first = store.user(secret, "Dr. A")
    assert store.user(secret) == first
    assert store.user(secret, "Dr. B").name == "Dr. B"
    assert store.user("other").id != first.id
    store.close()
    folder = store.settings.data_dir
    assert not any(secret.encode() in path.read_bytes() for path in folder.rglob("interval.db*"))
    with pytest.raises(StoreError, match="needs a key"):
        store.user("")


def test_a_branch_goes_its_own_way_from_a_question_on(store: Store, reader: User, session: int, slots: tuple[Slot, Slot]) -> None:
    """What was said of the answers stays where it was said; prompts and figures come along."""
    first = store.add_turn(
        session, reader, "What changed?", "temporal", "temporal", [AskedMark(1, "A", "point", ((3, 4),))], Clinical(age="61")
    )
    store.add_version(first, values.record("Larger."))
    whole = store.add_version(first, values.record("Much larger."))
    store.add_feedback(whole, reader, Said("agree"))
    store.save_marks(session, reader, Marks(marks=(Mark("m1", "point", slots[1].series_id, 0, ((3.0, 4.0),), "A"),)))
    store.add_turn(session, reader, "And the heart?", "temporal", "temporal")
    made = store.branch(session, first, reader)
    before, after = store.session(session, reader), store.session(made, reader)
    assert after.title == "Effusion, follow-up (branch)"
    assert after.slots == before.slots
    (copy,) = after.turns
    assert (copy.question, copy.marks, copy.clinical) == ("What changed?", before.turns[0].marks, before.turns[0].clinical)
    assert [(one.text, one.feedback) for one in copy.versions] == [("Larger.", ()), ("Much larger.", ())]
    assert store.answer(copy.versions[1].id, reader) == store.answer(whole, reader)
    assert store.marks(made, reader).marks == store.marks(session, reader).marks
    store.add_turn(made, reader, "And the nodule?", "temporal", "temporal")
    assert [len(store.session(one, reader).turns) for one in (session, made)] == [2, 2]
    assert len(before.turns[0].versions[1].feedback) == 1


def test_only_a_question_of_the_readers_own_session_is_branched_from(store: Store, reader: User, session: int) -> None:
    turn = store.add_turn(session, reader, "What changed?", "temporal", "temporal")
    elsewhere = store.start_session(reader, "Another", (), "temporal")
    for where, who in ((elsewhere, reader), (session, store.user("another browser"))):
        with pytest.raises(StoreError, match="was not found"):
            store.branch(where, turn, who)
