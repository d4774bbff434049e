"""A question ahead is told from one that looks back, and its turn says so wherever it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.horizons import Horizon, asked
from storage.store import Store
from storage.views import PatientSummary, Slot, User


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
        ("Is this opacity likely developed in two weeks?", None),
        ("Is it likely to be larger in two weeks?", Horizon("in two weeks", 14)),
        ("Will you tell me what changed?", None),
        ("Has it changed in the next study?", None),
    ],
)
def test_a_question_ahead_is_told_from_one_that_looks_back(question: str, horizon: Horizon | None) -> None:
    """Words of expectation alone must not turn a question about what the images show into a forecast."""
    assert asked(question) == horizon


def test_a_kept_question_says_how_far_ahead_it_looks(store: Store, reader: User, pair: PatientSummary, tmp_path: Path) -> None:
    session = store.start_session(reader, "Case", [Slot(study.series[0].id) for study in pair.studies])
    for question in ("Will the effusion be larger in six months?", "Is the effusion larger?"):
        store.add_turn(session, reader, question, "temporal", "temporal")
    assert [turn.forecast for turn in store.session(session, reader).turns] == [Horizon("in six months", 183), None]
    store.export(tmp_path / "cases.json", reader)
    assert (tmp_path / "cases.json").read_text().count("Forecast, not a finding") == 1
