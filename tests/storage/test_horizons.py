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
        ("What predictions can be made for the upcoming year?", Horizon("for the upcoming year", 365)),
        ("What is the forecasted progression of the disease?\nA: worse\nB: stable", Horizon()),
        ("Which category fits best?\nA: Probably benign outlook\nB: Malignancy confirmed by biopsy", None),
        ("Is the effusion progressing from the prior to the current study?", None),
        ("Did it shrink in 6 months as expected?", None),
        ("Is the expected post-operative change seen?", None),
        ("What changed in one year?", None),
        ("Is this opacity likely developed in two weeks?", None),
        ("Is it likely to be larger in two weeks?", Horizon("in two weeks", 14)),
        ("Will you tell me what changed?", None),
        ("Has it changed in the next study?", None),
        ("In a year's time will it be larger?", Horizon("in a year", 365)),
        ("Will it grow within the next two to three months?", Horizon("within the next two to three months", 76)),
        ("How will it look in 18 months?", Horizon("in 18 months", 548)),
        ("How will it look in half a year?", Horizon("in half a year", 183)),
        ("Will it be larger in about 1.5 years?", Horizon("in about 1.5 years", 548)),
        ("Will it be gone in a few weeks?", Horizon("in a few weeks")),
        ("Will it resolve within a couple of weeks?", Horizon("within a couple of weeks", 14)),
        ("Will it remain stable for two years?", Horizon("for two years", 730)),
        ("Stable over the last two years, will it grow?", Horizon()),
        ("Stable over two years, will it grow?", Horizon()),
        ("It has grown in 6 months. What is the prognosis?", Horizon()),
        ("Was it larger? What is expected in a year?", Horizon("in a year", 365)),
        ("What do you expect in the coming year?", Horizon("in the coming year", 365)),
        ("What changes do you anticipate at the next follow-up?", Horizon()),
        ("What would it look like in a year?", Horizon("in a year", 365)),
        ("What could the change in two weeks mean?", None),
        ("Would you say it has grown in a year?", None),
        ("How long until it resolves?", Horizon()),
        ("How long before the current study was the prior taken?", None),
        ("Is it going to grow?", Horizon()),
        ("Is the tube going to the stomach?", None),
        ("Is the nodule likely to grow?", Horizon()),
        ("Is the patient likely to have pneumonia?", None),
        ("What is expected in pneumonia?", None),
        ("What is the most likely diagnosis given the growth in two months?", None),
        ("Is it likely pneumonia, with cough for two weeks?", None),
        ("Will you describe the changes?", None),
        ("I will show you two films. What changed?", None),
        ("You will see two radiographs. Which shows more disease?", None),
        ("What happened in the six months between them?", None),
        ("Did it grow in the next study?", None),
        ("Is it larger in the next study?", None),
        ("When is the next study due?", None),
        ("What about next year?", Horizon("next year", 365)),
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


def test_a_letter_that_only_looks_like_ascii_is_no_number() -> None:
    """The pattern that knows no case took "ſix" for six, the table of numbers did not, and the question was refused by a ValueError."""
    assert asked("Will it increase in ſix weeks?") == Horizon()
