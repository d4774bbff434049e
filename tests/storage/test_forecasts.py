"""The forecast ledger: what is kept of a question about what is to come, when it is due, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from errors import InputError, StoreMissing
from storage.forecasts import UNTOLD, Later
from storage.store import Store
from storage.studies.model import Source
from storage.views import LOCAL, PatientSummary, Slot, User
from tests.storage import values

SHARES = {"worse": 0.6, "stable": 0.3, "improved": 0.1}
CHECKS = {"decided": {"question": "Will the effusion be?", "seen": SHARES}}
QUESTION = "Will the effusion be larger in six months?"
CURRENT = datetime(2021, 5, 18)


def foretold(store: Store, reader: User, pair: PatientSummary, question: str = QUESTION, **more: object) -> tuple[int, int]:
    """A question of both studies with a whole answer, its closed question weighed: the case's and the answer's number."""
    slots = [Slot(study.series[0].id, role=role) for study, role in zip(pair.studies, ("prior", "current"), strict=True)]
    session = store.start_session(reader, "Case", slots)
    return session, again(store, store.add_turn(session, reader, question, "temporal", "temporal"), **more)


def again(store: Store, turn: int, **more: object) -> int:
    """One more answer to a question; its number."""
    return store.add_version(turn, values.record("It will be worse.", **({"checks": CHECKS} | more)))


def next_study(store: Store, reader: User, sources: Iterator[Source], days: int = 183) -> int:
    """The patient comes again so many days after the current study; the study's number."""
    day = CURRENT + timedelta(days=days, hours=9)
    series = values.series((values.frame(next(sources)),), uid=f"2.25.{days}")
    return values.put(store, reader, values.study(series, uid=f"2.25.9{days}", acquired=day)).study_ids[-1]


def test_forecast_is_open_then_due_then_resolved(store: Store, reader: User, pair: PatientSummary, sources: Iterator[Source]) -> None:
    session, version = foretold(store, reader, pair)
    (found,) = store.forecasts(reader)
    assert (found.state, found.session, found.version, found.horizon) == ("open", session, version, "in six months")
    assert (found.patient, found.study_id, found.acquired, found.due) == (
        pair.pseudonym,
        pair.studies[1].id,
        CURRENT,
        datetime(2021, 11, 17),
    )
    assert (found.shares, found.model) == (SHARES, "bundled")
    study = next_study(store, reader, sources)
    (found,) = store.forecasts(reader)
    assert (found.state, [(one.study_id, one.days) for one in found.later]) == ("due", [(study, 183)])
    store.resolve_forecast(found.id, reader, "stable", study, "  as large\nas before ")
    (found,) = store.forecasts(reader)
    outcome = found.outcomes[-1]
    assert (found.state, outcome.came, outcome.comment, outcome.days) == ("resolved", "stable", "as large as before", 183)
    (said,) = store.resolved_forecasts()
    assert (said.shares, said.came, said.model_digest, said.adapter_digest) == (SHARES, "stable", "m" * 64, "d" * 64)
    assert store.check().ok


@pytest.mark.parametrize(
    ("question", "days", "due"),
    [
        (QUESTION, 60, False),
        (QUESTION, 122, True),
        (QUESTION, 244, True),
        (QUESTION, 245, False),
        ("Will the effusion be larger in a year?", 183, False),
        ("How will it look at the next study?", 3, True),
        ("How will it look at the next study?", -3, False),
    ],
)
def test_it_is_due_on_a_study_from_about_the_time_it_looks_ahead_to(
    store: Store, reader: User, pair: PatientSummary, sources: Iterator[Source], question: str, days: int, due: bool
) -> None:
    """A film after two months says nothing of what half a year brings."""
    foretold(store, reader, pair, question)
    study = next_study(store, reader, sources, days)
    (found,) = store.forecasts(reader)
    assert found.state == ("due" if due else "open")
    if not due:
        with pytest.raises(InputError, match="about the time it looks ahead to"):
            store.resolve_forecast(found.id, reader, "worse", study)


def test_the_next_study_is_the_first_that_came(store: Store, reader: User, pair: PatientSummary, sources: Iterator[Source]) -> None:
    foretold(store, reader, pair, "How will it look at the next study?")
    next_study(store, reader, sources, 90)
    first = next_study(store, reader, sources, 30)
    (found,) = store.forecasts(reader)
    assert found.later == (Later(first, CURRENT + timedelta(days=30, hours=9), "Thorax", 30),)


def test_another_word_stands_beside_the_first_and_counts(
    store: Store, reader: User, pair: PatientSummary, sources: Iterator[Source]
) -> None:
    foretold(store, reader, pair)
    kept, study = store.forecasts(reader)[0].id, next_study(store, reader, sources)
    first = store.resolve_forecast(kept, reader, "stable", study)
    assert store.resolve_forecast(kept, reader, "stable", study) == first
    store.resolve_forecast(kept, reader, "worse", study)
    assert [one.came for one in store.forecasts(reader)[0].outcomes] == ["stable", "worse"]
    assert [one.came for one in store.resolved_forecasts()] == ["worse"]
    store.resolve_forecast(kept, reader, UNTOLD, study, "Another view.")
    assert store.forecasts(reader)[0].state == "resolved"
    assert store.resolved_forecasts() == ()


def test_a_model_foretells_once_for_a_question_and_findings_never(store: Store, reader: User, pair: PatientSummary) -> None:
    """Asking again, in another case or another branch, must not count one forecast twice."""
    session, version = foretold(store, reader, pair)
    turn = store.session(session, reader).turns[0].id
    again(store, turn)
    foretold(store, reader, pair)
    store.add_checks(version, reader, {"decided": {"seen": {"worse": 1.0}}}, {})
    branch = store.branch(session, turn, reader)
    store.add_checks(store.session(branch, reader).turns[0].versions[0].id, reader, CHECKS, {})
    assert [(one.version, one.shares) for one in store.forecasts(reader)] == [(version, SHARES)]
    other = again(store, turn, adapter_digest="")
    again(store, turn, state="stopped", model_digest="x")
    foretold(store, reader, pair, "What changed in one year?")
    foretold(store, reader, pair, "Will it be larger in a year?", checks={})
    assert [one.version for one in store.forecasts(reader)] == [other, version]


def test_what_is_weighed_after_the_answer_is_kept_with_it(store: Store, reader: User, pair: PatientSummary) -> None:
    version = foretold(store, reader, pair, checks={})[1]
    assert store.forecasts(reader) == ()
    store.add_checks(version, reader, CHECKS, {})
    assert [one.shares for one in store.forecasts(reader)] == [SHARES]


def test_outcomes_are_a_class_of_the_forecast_and_a_readers_own(
    store: Store, reader: User, pair: PatientSummary, sources: Iterator[Source]
) -> None:
    foretold(store, reader, pair)
    kept, study = store.forecasts(reader)[0].id, next_study(store, reader, sources)
    with pytest.raises(InputError, match="worse, stable, improved, cannot tell"):
        store.resolve_forecast(kept, reader, "larger", study)
    with pytest.raises(InputError, match="same patient"):
        store.resolve_forecast(kept, reader, "worse", pair.studies[0].id)
    with pytest.raises(InputError, match="at most 400"):
        store.resolve_forecast(kept, reader, "worse", study, "x" * 401)
    stranger = store.user("somebody else")
    assert store.forecasts(stranger) == ()
    with pytest.raises(StoreMissing):
        store.resolve_forecast(kept, stranger, "worse", study)
    assert store.resolved_forecasts() == ()


def test_forecasts_go_with_their_case_and_stay_when_a_study_goes(
    store: Store, reader: User, pair: PatientSummary, sources: Iterator[Source]
) -> None:
    session, _ = foretold(store, reader, pair)
    kept = store.forecasts(reader)[0].id
    store.resolve_forecast(kept, reader, "worse", next_study(store, reader, sources))
    store.delete_study(pair.studies[1].id, reader)
    (found,) = store.forecasts(reader)
    assert (found.patient, found.study_id, found.acquired, found.due, found.later) == ("", None, None, None, ())
    assert found.state == "resolved"
    store.delete_session(session, reader)
    assert store.forecasts(reader) == ()
    counts = store.check().counts
    assert (counts["forecasts"], counts["forecast_outcomes"]) == (0, 0)


def test_ledger_leaves_and_comes_with_its_case(
    store: Store, reader: User, pair: PatientSummary, sources: Iterator[Source], tmp_path: Path
) -> None:
    """Taken in beside a case that is erased here, and refused whole when an outcome is none of its classes."""
    session, _ = foretold(store, reader, pair)
    before = store.forecasts(reader)[0]
    store.resolve_forecast(before.id, reader, "stable", next_study(store, reader, sources), "As before.")
    before, local = store.forecasts(reader)[0], store.user(LOCAL)
    store.export(tmp_path / "cases.json", local)
    store.delete_session(session, reader)
    damaged = json.loads((tmp_path / "cases.json").read_text())
    damaged["cases"][0]["turns"][0]["versions"][0]["forecast"]["outcomes"][0]["came"] = "larger"
    (tmp_path / "damaged.json").write_text(json.dumps(damaged))
    for study in store.patients(reader)[0].studies:
        values.put(store, local, store.study(study.id, reader))
    with pytest.raises(InputError, match="damaged"):
        store.take_in(tmp_path / "damaged.json", local)
    store.take_in(tmp_path / "cases.json", local)
    (after,) = store.forecasts(local)
    assert (after.shares, after.due, after.horizon, after.outcomes) == (before.shares, before.due, before.horizon, before.outcomes)
    assert (after.patient, after.created) == (before.patient, before.created)
    assert [one.came for one in store.resolved_forecasts()] == ["stable"]


def test_a_resolved_forecast_never_trains(store: Store, reader: User, pair: PatientSummary, sources: Iterator[Source]) -> None:
    foretold(store, reader, pair)
    store.resolve_forecast(store.forecasts(reader)[0].id, reader, "stable", next_study(store, reader, sources))
    assert store.accepted() == ()
    assert store.accepted_stamp()[0] == 0
