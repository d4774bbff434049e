"""The forecast ledger: what is kept of a question about what is to come, when it is due, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from errors import InputError, StoreError, StoreMissing
from storage.horizons import Horizon, asked
from storage.store import Store
from storage.studies.model import Source
from storage.views import PatientSummary, Slot, User
from tests.storage import values

SHARES = {"worse": 0.6, "stable": 0.3, "improved": 0.1}
QUESTION = "Will the effusion be larger in six months?"


def answered(store: Store, reader: User, pair: PatientSummary, question: str = QUESTION) -> tuple[int, int]:
    """A question of both studies with a whole answer: the case's and the answer's number."""
    slots = [Slot(study.series[0].id, role=role) for study, role in zip(pair.studies, ("prior", "current"), strict=True)]
    session = store.start_session(reader, "Case", slots)
    return session, store.add_version(store.add_turn(session, reader, question, "temporal", "temporal"), values.record("It will be worse."))


def next_study(store: Store, reader: User, sources: Iterator[Source], day: datetime = datetime(2021, 12, 1)) -> int:
    """The patient comes again; the study's number."""
    series = values.series((values.frame(next(sources)),), uid=f"2.25.{day:%j}")
    return values.put(store, reader, values.study(series, uid=f"2.25.9{day:%j}", acquired=day)).study_ids[0]


@pytest.mark.parametrize(
    ("question", "horizon"),
    [
        ("Will the effusion have resolved in six months?", Horizon("in six months", 183)),
        ("What is expected in a year?", Horizon("in a year", 365)),
        ("Predict the change over the next 12 weeks.", Horizon("over the next 12 weeks", 84)),
        ("How will it look at the next study?", Horizon()),
        ("What is the prognosis?", Horizon()),
        ("Is the effusion progressing from the prior to the current study?", None),
        ("Did it shrink in 6 months as expected?", None),
        ("Is the expected post-operative change seen?", None),
        ("What changed in one year?", None),
        ("Will you tell me what changed?", None),
        ("Has it changed in the next study?", None),
    ],
)
def test_a_question_ahead_is_told_from_one_that_looks_back(question: str, horizon: Horizon | None) -> None:
    """Words of expectation alone must not turn a question about what the images show into a forecast."""
    assert asked(question) == horizon


def test_forecast_is_open_then_due_then_resolved(store: Store, reader: User, pair: PatientSummary, sources: Iterator[Source]) -> None:
    session, version = answered(store, reader, pair)
    kept = store.keep_forecast(version, reader, SHARES)
    assert kept is not None
    assert store.session(session, reader).turns[0].forecast == Horizon("in six months", 183)
    (found,) = store.forecasts(reader)
    assert (found.state, found.id, found.session, found.horizon, found.days) == ("open", kept, session, "in six months", 183)
    assert (found.patient, found.acquired, found.shares) == (pair.pseudonym, datetime(2021, 5, 18), SHARES)
    assert (found.model_digest, found.adapter_digest) == ("m" * 64, "d" * 64)
    study = next_study(store, reader, sources)
    (found,) = store.forecasts(reader)
    assert (found.state, [one.study_id for one in found.later]) == ("due", [study])
    store.resolve_forecast(kept, reader, "stable", study)
    (found,) = store.forecasts(reader)
    assert (found.state, found.outcomes[-1].came, found.outcomes[-1].acquired) == ("resolved", "stable", datetime(2021, 12, 1))
    (said,) = store.resolved_forecasts()
    assert (said.shares, said.came, said.model_digest) == (SHARES, "stable", "m" * 64)
    assert store.check().ok


def test_another_word_stands_beside_the_first_and_counts(
    store: Store, reader: User, pair: PatientSummary, sources: Iterator[Source]
) -> None:
    kept = store.keep_forecast(answered(store, reader, pair)[1], reader, SHARES)
    assert kept is not None
    study = next_study(store, reader, sources)
    first = store.resolve_forecast(kept, reader, "stable", study)
    assert store.resolve_forecast(kept, reader, "stable", study) == first
    store.resolve_forecast(kept, reader, "worse", study)
    assert [one.came for one in store.forecasts(reader)[0].outcomes] == ["stable", "worse"]
    assert [one.came for one in store.resolved_forecasts()] == ["worse"]
    store.resolve_forecast(kept, reader, "uncertain", study)
    assert store.resolved_forecasts() == ()


def test_the_same_model_foretells_once_for_a_question_and_findings_never(store: Store, reader: User, pair: PatientSummary) -> None:
    session, version = answered(store, reader, pair)
    turn = store.session(session, reader).turns[0].id
    kept = store.keep_forecast(version, reader, SHARES)
    assert store.keep_forecast(store.add_version(turn, values.record("Again.")), reader, {"worse": 1.0}) == kept
    other = store.keep_forecast(store.add_version(turn, values.record("Another.", adapter_digest="")), reader, SHARES)
    assert other not in (None, kept)
    assert store.keep_forecast(store.add_version(turn, values.record("Half", state="stopped", model_digest="x")), reader, SHARES) is None
    assert store.keep_forecast(answered(store, reader, pair, "What changed in one year?")[1], reader, SHARES) is None
    assert [one.shares for one in store.forecasts(reader)] == [SHARES, SHARES]


def test_outcomes_need_a_class_of_the_forecast_and_a_later_study(
    store: Store, reader: User, pair: PatientSummary, sources: Iterator[Source]
) -> None:
    kept = store.keep_forecast(answered(store, reader, pair)[1], reader, SHARES)
    assert kept is not None
    study = next_study(store, reader, sources)
    with pytest.raises(InputError, match="worse, stable, improved, uncertain"):
        store.resolve_forecast(kept, reader, "larger", study)
    with pytest.raises(InputError, match="later study of the same patient"):
        store.resolve_forecast(kept, reader, "worse", pair.studies[0].id)
    stranger = store.user("somebody else")
    assert store.forecasts(stranger) == ()
    with pytest.raises(StoreMissing):
        store.resolve_forecast(kept, stranger, "worse", study)
    with pytest.raises(StoreError):
        store.keep_forecast(1, stranger, SHARES)


def test_forecasts_go_with_their_case_and_stay_when_a_study_goes(
    store: Store, reader: User, pair: PatientSummary, sources: Iterator[Source]
) -> None:
    session, version = answered(store, reader, pair)
    kept = store.keep_forecast(version, reader, SHARES)
    assert kept is not None
    store.resolve_forecast(kept, reader, "worse", next_study(store, reader, sources))
    store.delete_study(pair.studies[1].id, reader)
    (found,) = store.forecasts(reader)
    assert (found.patient, found.study_id, found.later, found.state) == ("", None, (), "resolved")
    store.delete_session(session, reader)
    assert store.forecasts(reader) == ()
    counts = store.check().counts
    assert (counts["forecasts"], counts["forecast_outcomes"]) == (0, 0)
