"""The reviewers' queue: who may judge what, who holds it, where it stands, and what trains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from errors import InputError, StoreError, StoreHeld, StoreRefused
from settings import load
from storage import audit, review, schema
from storage.feedback import Said
from storage.review_views import Filters, Judgement
from storage.statements import Statement
from storage.store import Store
from storage.studies.model import Source
from storage.views import LOCAL, FeedbackView, PatientSummary, Slot, User, Verdict
from tests.storage import values

FLAG = Said("disagree", codes=("change-missed",), cells={"effusion": "worse"})
CONFIRMED = Judgement("judged", Statement("disagree", ("change-missed",), cells={"effusion": "worse"}))


def person(store: Store, name: str, role: str) -> User:
    """Somebody with a role."""
    user = store.user(name, name)
    store.give_role(store.user(LOCAL), user.id, role)
    return user


@pytest.fixture
def second(store: Store) -> User:
    """An annotator."""
    return person(store, "second", "annotator")


@pytest.fixture
def third(store: Store) -> User:
    """An adjudicator."""
    return person(store, "third", "adjudicator")


@pytest.fixture
def case(store: Store, reader: User, pair: PatientSummary) -> int:
    """A session with a prior and a current study."""
    prior, current = (study.series[0].id for study in pair.studies)
    return store.start_session(reader, "Case", [Slot(prior, 1, "prior"), Slot(current, 0, "current", "14 days later")])


def answered(store: Store, reader: User, case: int, question: str = "What changed?", **more: object) -> int:
    """Another answer in the case."""
    ability = str(more.pop("ability", "temporal"))
    turn = store.add_turn(case, reader, question, ability, "temporal")  # type: ignore[arg-type]
    return store.add_version(turn, values.record(**more))  # type: ignore[arg-type]


@pytest.fixture
def version(store: Store, reader: User, case: int) -> int:
    return answered(store, reader, case)


@pytest.fixture
def item(store: Store, reader: User, second: User, version: int) -> int:
    """The reader's flag on that answer, in the queue."""
    store.add_feedback(version, reader, FLAG)
    (line,) = store.queue(second, Filters()).items
    return line.id


def judge(store: Store, item: int, user: User, judgement: Judgement = CONFIRMED) -> str:
    """Take, decide; the state then."""
    store.take(item, user)
    return store.decide(item, user, judgement).state


def test_a_confirmed_flag_trains_with_everything_that_goes_with_it(
    store: Store, reader: User, second: User, item: int, version: int, pair: PatientSummary
) -> None:
    assert store.accepted() == ()
    assert judge(store, item, second) == "submitted"
    assert store.queue(second, Filters(mine=True)).counts == {"submitted": 1}
    (found,) = store.accepted()
    assert (found.item, found.version, found.reader, found.reviewers, found.adjudicator) == (item, version, reader.id, (second.id,), None)
    assert (found.question, found.ability, found.answer, found.model) == ("What changed?", "temporal", values.record().text, "bundled")
    assert (found.verdict, found.codes, found.cells) == ("disagree", ("change-missed",), {"effusion": "worse"})
    assert found.patient == pair.pseudonym
    assert found.modality == "CT"
    assert [(image.slot.role, image.slot.frame, image.tile_sha256) for image in found.images] == [
        ("prior", 1, "b" * 64), ("current", 0, "a" * 64),
    ]  # fmt: skip
    assert all(len(image.file_sha256) == 64 for image in found.images)
    assert found.images[0].file_sha256 != found.images[1].file_sha256
    terminal = store.user(LOCAL)
    assert [store.series(image.slot.series_id, terminal)[1].uid for image in found.images] == [one.series_uid for one in found.images]


def test_only_reviewers_see_the_queue_and_its_images_and_nothing_else_of_others(
    store: Store, reader: User, second: User, item: int, pair: PatientSummary
) -> None:
    """Feedback lets reviewers see the images that were asked about, not the reader's other studies, and not in their list."""
    series = pair.studies[0].series[0].id
    assert store.series(series, second)[0].series
    assert store.patients(second) == ()
    with pytest.raises(StoreError, match="was not found"):
        store.study(pair.studies[0].id, second)
    with pytest.raises(StoreError, match="was not found"):
        store.start_session(second, "Mine", [Slot(series)])
    stranger = store.user("stranger")
    with pytest.raises(StoreError, match="was not found"):
        store.series(series, stranger)
    for attempt in (
        lambda: store.queue(stranger, Filters()),
        lambda: store.queue_facets(stranger),
        lambda: store.review_case(item, stranger),
        lambda: store.take(item, stranger),
        lambda: store.take_next(stranger, Filters()),
        lambda: store.agreement(stranger),
    ):
        with pytest.raises(StoreRefused, match=rf"users role {stranger.id} annotator"):
            attempt()
    store.give_role(store.user(LOCAL), second.id, "reader")
    with pytest.raises(StoreError, match="was not found"):
        store.series(series, second)


def test_nobody_reviews_their_own_words(store: Store, reader: User, item: int) -> None:
    store.give_role(store.user(LOCAL), reader.id, "admin")
    with pytest.raises(StoreRefused, match="said yourself"):
        store.take(item, reader)
    assert store.take_next(reader, Filters()) is None


def test_a_case_is_held_by_one_and_free_when_the_time_is_over(
    store: Store, second: User, third: User, item: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = store.take(item, second)
    assert (held.holder, held.holder_name) == (second.id, "second")
    assert store.queue(third, Filters()).counts == {"in work": 1}
    assert [one.id for one in store.queue(third, Filters(state="in work")).items] == [item]
    assert store.queue(third, Filters(state="pending")).items == ()
    with pytest.raises(StoreHeld, match="somebody else has this case"):
        store.take(item, third)
    assert store.take_next(third, Filters()) is None
    later = schema.now() + timedelta(minutes=16)
    monkeypatch.setattr(review, "now", lambda: later)
    assert store.queue(third, Filters()).counts == {"pending": 1}
    with pytest.raises(StoreHeld, match="time for this case ran out"):
        store.decide(item, second, CONFIRMED)
    taken = store.take_next(third, Filters())
    assert taken is not None
    assert (taken.id, taken.holder) == (item, third.id)
    assert store.decide(item, third, CONFIRMED).state == "submitted"


def test_one_holds_one_case_and_can_let_it_go(store: Store, reader: User, second: User, third: User, case: int, item: int) -> None:
    store.add_feedback(answered(store, reader, case, "And now?"), reader, FLAG)
    first, other = (one.id for one in store.queue(second, Filters(order="oldest")).items)
    store.take(first, second)
    store.take(other, second)
    assert store.take(first, third).holder == third.id
    assert store.let_go(second) == 1
    assert store.queue(second, Filters()).counts == {"in work": 1, "pending": 1}


def test_a_contradiction_waits_for_a_third_who_may_adjudicate(store: Store, reader: User, second: User, third: User, item: int) -> None:
    other = Judgement("judged", Statement("disagree", ("change-hallucinated",), cells={"effusion": "stable"}))
    assert judge(store, item, second, other) == "disputed"
    assert store.accepted() == ()
    with pytest.raises(StoreRefused, match="needs the role adjudicator"):
        store.take(item, person(store, "fourth", "annotator"))
    view = store.review_case(item, third)
    assert view.conflicts == ("codes", "effusion")
    assert [one.statement.codes for one in view.reviews] == [("change-hallucinated",)]
    store.give_role(store.user(LOCAL), second.id, "adjudicator")
    with pytest.raises(StoreRefused, match="judged this case already"):
        store.take(item, second)
    final = Judgement("judged", Statement("disagree", ("change-missed",), "major", "The effusion is larger.", {"effusion": "worse"}))
    assert judge(store, item, third, final) == "adjudicated"
    (found,) = store.accepted()
    assert (found.codes, found.corrected_answer, found.adjudicator, found.reviewers) == (
        ("change-missed",), "The effusion is larger.", third.id, (second.id,),
    )  # fmt: skip
    with pytest.raises(StoreHeld, match="adjudicated already"):
        store.take(item, person(store, "fifth", "admin"))


def test_what_only_one_person_said_waits_for_a_second_voice(store: Store, second: User, third: User, item: int) -> None:
    """A reviewer who adds words that nobody else saw could poison the training set; they wait for another."""
    added = replace(CONFIRMED.statement, corrected_answer="The effusion is larger.")
    assert judge(store, item, second, Judgement("judged", added)) == "pending"
    assert store.accepted() == ()
    with pytest.raises(StoreRefused, match="another must confirm"):
        store.take(item, second)
    proposed = store.review_case(item, third).proposed
    assert proposed.corrected_answer == "The effusion is larger."
    assert judge(store, item, third, Judgement("judged", replace(proposed, corrected_answer=" the effusion is  larger"))) == "submitted"
    (found,) = store.accepted()
    assert (found.corrected_answer, found.reviewers) == ("The effusion is larger.", (second.id, third.id))


def test_unusable_is_decided_by_a_third_and_never_trains(store: Store, second: User, third: User, item: int) -> None:
    assert judge(store, item, second, Judgement("unusable", Statement(comment="The images do not show it."))) == "disputed"
    assert judge(store, item, third, Judgement("unusable")) == "adjudicated"
    assert store.accepted() == ()


def test_a_skipped_case_goes_to_another(store: Store, second: User, third: User, item: int) -> None:
    assert judge(store, item, second, Judgement("skipped")) == "skipped"
    assert store.take_next(second, Filters(state="skipped")) is None
    taken = store.take_next(third, Filters(state="skipped"))
    assert taken is not None
    assert store.decide(taken.id, third, CONFIRMED).state == "submitted"


def test_a_reader_who_changes_their_mind_waits_anew(store: Store, reader: User, second: User, version: int, item: int) -> None:
    """Reviewed words that were changed afterwards must not train as reviewed."""
    judge(store, item, second)
    store.add_feedback(version, reader, Said(cells={"effusion": "improved"}))
    (line,) = store.queue(second, Filters()).items
    assert (line.id, line.state, line.accepted, line.reviews) == (item, "pending", False, 0)
    assert store.accepted() == ()
    store.take(item, second)
    store.add_feedback(version, reader, Said(cells={"effusion": "stable"}))
    with pytest.raises(StoreHeld, match="its reader changed it"):
        store.decide(item, second, CONFIRMED)


def test_two_reviewers_are_asked_for_where_the_site_wants_two(tmp_path: Path, sources: Iterator[Source]) -> None:
    with Store(load(data_dir=tmp_path / "two", review_readers=2)) as store:
        reader = store.user("one browser")
        case = store.start_session(reader, "Case", [])
        store.add_feedback(answered(store, reader, case), reader, FLAG)
        assert judge(store, 1, person(store, "second", "annotator")) == "pending"
        assert judge(store, 1, person(store, "third", "annotator")) == "submitted"


def test_the_queue_is_narrowed_by_every_filter(store: Store, reader: User, second: User, case: int) -> None:
    other = store.user("other browser", "Other")
    for number, (ability, model, codes) in enumerate(
        [("temporal", "bundled", ("wrong-side",)), ("comparison", "bundled", ("other", "wrong-side")), ("temporal", "large", ())]
    ):
        verdict: Verdict = "disagree" if codes else "agree"
        version = answered(store, reader, case, f"Question {number}?", ability=ability, model=model)
        store.add_feedback(version, reader, Said(verdict, codes=codes))
    shared = store.user(LOCAL)
    version = answered(store, shared, store.start_session(shared, "Everybody's", []))
    store.add_feedback(version, other, Said("disagree", codes=("other",)))

    def numbers(**filters: object) -> list[int]:
        page = store.queue(second, Filters(order="oldest", **filters))  # type: ignore[arg-type]
        assert page.total == len(page.items)
        return [one.id for one in page.items]

    assert numbers() == [1, 2, 3, 4]
    assert numbers(ability="temporal") == [1, 3, 4]
    assert numbers(model="large") == [3]
    assert numbers(code="wrong-side") == [1, 2]
    assert numbers(reader=other.id) == [4]
    assert numbers(modality="CT", code="other") == [2]
    assert numbers(state="submitted") == []
    assert [one.id for one in store.queue(second, Filters(order="newest")).items] == [4, 3, 2, 1]
    facets = store.queue_facets(second)
    assert (facets.abilities, facets.modalities, facets.models, facets.codes) == (
        ("comparison", "temporal"), ("CT",), ("bundled", "large"), ("other", "wrong-side"),
    )  # fmt: skip
    assert facets.readers == ((reader.id, ""), (other.id, "Other"))
    page = store.queue(second, Filters(order="oldest"), offset=1, limit=2)
    assert ([one.id for one in page.items], page.total) == ([2, 3], 4)


def test_smart_order_puts_first_what_teaches_most(store: Store, reader: User, second: User, case: int) -> None:
    """Exchange disagreement x no-change failure x ability weakness x low margin, each told apart from the rest."""
    sure, close = {"worse": 0.9, "stable": 0.1}, {"worse": 0.52, "stable": 0.48}

    def checks(exchange: bool, identical: bool, overall: dict[str, float]) -> dict[str, object]:
        return {"exchange": {"passed": exchange}, "identical": {"passed": identical}, "overall": overall}

    cases = [
        ("agreed, all passed", checks(True, True, sure), "temporal", "agree"),
        ("flag, all passed", checks(True, True, sure), "temporal", "disagree"),
        ("flag, close", checks(True, True, close), "temporal", "disagree"),
        ("flag, order-blind", checks(False, True, sure), "temporal", "disagree"),
        ("flag, order-blind, invents, close", checks(False, False, close), "temporal", "disagree"),
        ("flag, weak ability, order-blind", checks(False, True, sure), "coreference", "disagree"),
    ]
    for name, made, ability, verdict in cases:
        store.add_feedback(answered(store, reader, case, name, ability=ability, checks=made), reader, Said(verdict))  # type: ignore[arg-type]
    for number in range(4):
        store.add_feedback(
            answered(store, reader, case, f"{number}", ability="temporal", checks=checks(True, True, sure)), reader, Said("agree")
        )
    order = [one.question for one in store.queue(second, Filters(), limit=6).items]
    assert order[:3] == ["flag, order-blind, invents, close", "flag, weak ability, order-blind", "flag, order-blind"]
    assert order[3:5] == ["flag, close", "flag, all passed"]
    taken = store.take_next(second, Filters())
    assert taken is not None
    assert taken.question == order[0]
    for number in range(6):
        store.add_feedback(answered(store, reader, case, f"right {number}", ability="coreference"), reader, Said("agree"))
    order = [one.question for one in store.queue(second, Filters(), limit=6).items]
    assert order[1:3] == ["flag, order-blind", "flag, weak ability, order-blind"], "no longer weak"


def test_each_reviewer_is_shown_what_they_may_judge(store: Store, second: User, third: User, item: int) -> None:
    """The same list asked for by two people is not the same list."""
    shared = store.user(LOCAL)
    store.add_feedback(answered(store, shared, store.start_session(shared, "Everybody's", [])), second, Said("disagree"))
    mine = {user: {one.reader for one in store.queue(user, Filters(mine=True)).items} for user in (second, third)}
    assert mine[third] - mine[second] == {second.id}


def test_checks_that_come_later_move_the_case_up(store: Store, reader: User, second: User, version: int, item: int) -> None:
    before = store.queue(second, Filters()).items[0].rank
    store.add_checks(version, reader, {"exchange": {"passed": False}, "identical": {"passed": False}}, {})
    assert store.queue(second, Filters()).items[0].rank > before


def test_everything_a_reviewer_does_is_in_the_audit_by_number(store: Store, second: User, third: User, item: int) -> None:
    store.take(item, second)
    store.take(item, second)
    store.decide(item, second, Judgement("unusable", Statement(comment="A name: Doe")))
    store.take(item, third)
    store.let_go(third)
    judge(store, item, third)
    with store._database.read() as session:
        rows = (
            session.connection().exec_driver_sql("SELECT event, object_id, user_id FROM audit WHERE object_kind = 'item' ORDER BY id").all()
        )
        assert audit.broken(session) == ""
    assert [tuple(row) for row in rows] == [
        ("take", str(item), second.id), ("review", str(item), second.id), ("take", str(item), third.id),
        ("release", str(item), third.id), ("take", str(item), third.id), ("adjudicate", str(item), third.id),
    ]  # fmt: skip


def test_a_case_that_is_erased_takes_its_reviews_along(store: Store, reader: User, second: User, case: int, item: int) -> None:
    judge(store, item, second)
    store.delete_session(case, reader)
    assert store.queue(second, Filters()).items == ()
    assert store.accepted() == ()
    report = store.check()
    assert report.problems == ()
    assert {
        name: report.counts[name] for name in ("feedback", "reviews", "review_items", "review_codes", "review_series")
    } == dict.fromkeys(("feedback", "reviews", "review_items", "review_codes", "review_series"), 0)


def test_a_study_that_is_erased_leaves_the_words_and_says_its_images_are_gone(
    store: Store, reader: User, second: User, item: int, pair: PatientSummary
) -> None:
    judge(store, item, second)
    store.delete_study(pair.studies[0].id, reader)
    (found,) = store.accepted()
    assert [bool(image.file_sha256) for image in found.images] == [False, True]
    assert store.check().problems == ()


def test_an_export_brings_statements_along_and_they_wait_for_review_again(store: Store, second: User, tmp_path: Path) -> None:
    """Another site's reviewers are not this site's: what comes back from a file is reviewed here before it trains."""
    terminal = store.user(LOCAL)
    case = store.start_session(terminal, "Case", [])
    turn = store.add_turn(case, terminal, "What changed?", "temporal", "temporal")
    worse, better = (store.add_version(turn, values.record(text)) for text in ("Worse.", "Better."))
    store.add_feedback(worse, terminal, replace(FLAG, severity="major", corrected_answer="Better."))
    store.add_feedback(better, terminal, Said(preferred_over=worse))
    before = [replace(one, id=0, version_id=0, preferred_over=None) for one in said(store, case, terminal)]
    store.export(tmp_path / "cases.json", terminal)
    store.delete_session(case, terminal)
    (again,) = store.take_in(tmp_path / "cases.json", terminal).added
    after = said(store, again, terminal)
    assert [replace(one, id=0, version_id=0, preferred_over=None) for one in after] == before
    assert after[1].preferred_over == after[0].version_id
    assert store.queue(second, Filters()).counts == {"pending": 2}


def said(store: Store, case: int, user: User) -> list[FeedbackView]:
    """Everything said in a case."""
    return [one for version in store.session(case, user).turns[0].versions for one in version.feedback]


def test_roles_are_given_by_admins_alone(store: Store, reader: User) -> None:
    other = store.user("other")
    assert store.role(store.user(LOCAL)) == "admin"
    assert store.role(other) == "reader"
    with pytest.raises(StoreRefused, match="needs the role admin"):
        store.give_role(reader, reader.id, "admin")
    with pytest.raises(InputError, match="is no role"):
        store.give_role(store.user(LOCAL), other.id, "king")
    with pytest.raises(InputError, match="no reader 999"):
        store.give_role(store.user(LOCAL), 999, "annotator")
    store.give_role(store.user(LOCAL), other.id, "educator")
    store.call(other, "  Dr.  Other ")
    assert [(one.name, one.role) for one in store.members() if one.id == other.id] == [("Dr. Other", "educator")]


def test_a_reader_sees_how_far_each_of_their_flags_came(
    store: Store, reader: User, second: User, case: int, item: int, version: int
) -> None:
    """Whoever flagged was never told what came of it."""
    (flag,) = store.flags(reader)
    assert (flag.item, flag.version, flag.state, flag.accepted) == (item, version, "pending", False)
    assert flag.question == store.session(flag.session, reader).turns[0].question
    first = flag.statements
    store.add_feedback(version, reader, Said(severity="major"))
    (flag,) = store.flags(reader)
    assert flag.statements[:1] == first
    assert (len(flag.statements), flag.said.severity) == (2, "major")
    said = store.review_case(item, second).proposed
    assert judge(store, item, second, Judgement("judged", said)) == "submitted"
    (flag,) = store.flags(reader)
    assert (flag.state, flag.accepted) == ("submitted", True)
    assert store.flags(second) == ()
    other = answered(store, reader, case)
    store.add_feedback(other, reader, Said("agree"))
    assert [one.version for one in store.flags(reader)] == [other, version], "newest first"
