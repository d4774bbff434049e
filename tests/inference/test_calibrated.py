"""Which reviewed answers count for a percentage: of the same model, adapter and question type, with the share the model gave."""

from __future__ import annotations

import numpy as np

from inference.calibrated import FINDING, of_answer, reviewed
from inference.platt import LEAST, fit
from storage.reviewed import Reviewed
from tests.finetune.versions import reviews


def site(count: int, model: str, seed: int = 3) -> tuple[Reviewed, ...]:
    """Reviewed answers of a model whose likelihood says 0.4 to 1 where 0.3 to 0.9 is right."""
    draw = np.random.default_rng(seed)
    shares = draw.uniform(0.4, 0.99, count)
    right = draw.random(count) < shares - 0.1
    return tuple(
        reviews.reviewed(
            number,
            model_sha256=model,
            verdict="agree" if hit else "disagree",
            codes=(),
            corrected_answer="",
            cells={"pleural effusion": "worse" if hit else "new"},
            progression={"pleural effusion": {"worse": share, "stable": 1 - share - 0.001, "new": 0.001}},
            checks={"decided": {"check": "C0", "seen": {"worse": share, "stable": 1 - share}}},
        )
        for number, (share, hit) in enumerate(zip(shares.tolist(), right.tolist(), strict=True))
    )


def test_answers_and_cells_of_the_same_model_count_and_no_others() -> None:
    items = site(LEAST, "m")
    found = reviewed(items, ("m", "", ""))
    assert {one.kind for one in found} == {"temporal", FINDING}
    assert fit(found, "temporal") is not None
    assert fit(found, FINDING) is not None
    assert reviewed(items, ("m", "an adapter", "")) == ()
    assert reviewed(items, ("m", "", "other offsets")) == ()
    assert reviewed(items, ("another", "", "")) == ()
    assert fit(reviewed(items[1:], ("m", "", "")), "temporal") is None
    assert fit(found, "comparison") is None


def test_an_answer_is_right_when_reviewers_agree_and_a_cell_when_it_is_the_models_first() -> None:
    item = reviews.reviewed(
        1,
        verdict="agree",
        cells={"pleural effusion": "stable", "nodule": "new"},
        checks={"decided": {"seen": {"worse": 0.7, "stable": 0.3}}},
    )
    answer, cell = reviewed([item], ("m", "", ""))
    assert (answer.kind, answer.share, answer.right, answer.patient) == ("temporal", 0.7, True, "patient-1")
    assert (cell.kind, cell.share, cell.right) == (FINDING, 0.9, True)


def test_what_was_not_weighed_or_not_judged_counts_for_nothing() -> None:
    open_question = {"decided": {"check": "C0", "seen": {}}}
    assert of_answer({}) is None
    assert of_answer(open_question) is None
    assert reviewed([reviews.reviewed(1, checks=open_question, cells={})], ("m", "", "")) == ()
    assert reviewed([reviews.reviewed(1, verdict="", checks={"decided": {"seen": {"worse": 0.7}}}, cells={})], ("m", "", "")) == ()
