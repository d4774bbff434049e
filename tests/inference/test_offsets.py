"""Offsets: what a model's likelihoods are off by is put right wherever likelihoods become probabilities, and nowhere else."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from threading import Event

import pytest

from inference.answer import Answer, as_json, ask
from inference.closed import OVERALL_CHANGE, of_finding, options, read
from inference.engine import Request
from inference.offsets import Offset, digest, fitting, weighed
from inference.prompts import OVERALL, OVERALL_QUESTION
from inference.reading import INVERSE, both_ways, likelihoods, read_pair
from tests.fakes import CARD, FakeEngine
from tests.inference import tiny

OVER = Offset("overall", (("stable",), ("worse", "improved")), (0.0, 1.0), level=0.5, contrast=4.0)
COURSE = Offset("progression", (("stable",), ("worse", "improved"), ("new", "resolved"), ("uncertain",)), (0.0, 0.5, 1.0, -1.0))
WEIGHED = replace(CARD, offsets=(COURSE, OVER))
SHY = {"worse": -0.9, "stable": -0.2, "improved": -1.6}
"""Worse ahead of improved, and stable ahead of both."""


def engine(offsets: bool = True) -> FakeEngine:
    return FakeEngine(scores=SHY, card=WEIGHED if offsets else CARD)


def test_a_model_without_offsets_reads_as_its_likelihoods_say() -> None:
    shares = {"worse": 0.2, "stable": 0.7, "improved": 0.1}
    assert weighed(shares, ()) == shares
    found = read_pair(engine(offsets=False), tiny.pair(), ["nodule"])
    assert found.ahead.overall == likelihoods(engine(), tiny.pair(), [(OVERALL_QUESTION, OVERALL)])[0]


def test_answers_a_model_shies_from_are_put_right_in_every_reading() -> None:
    """`predict`, the matrix under an answer and the checks read by three ways, and say the same."""
    bare, told = (read_pair(engine(offsets), tiny.pair(), ["nodule"]).ahead for offsets in (False, True))
    assert max(bare.overall, key=lambda name: bare.overall[name]) == "stable"
    assert max(told.overall, key=lambda name: told.overall[name]) == "worse"
    assert told.overall == weighed(bare.overall, [OVER])
    assert told.progression["nodule"] == weighed(bare.progression["nodule"], [COURSE])
    listed = read(engine(), tiny.pair(), OVERALL_CHANGE)
    assert listed.top == "worse"
    assert listed.shares == pytest.approx(told.overall, abs=1e-3)
    answers = [item for item in ask(engine(), tiny.pair(), Event(), progression=True) if isinstance(item, Answer)]
    assert answers[0].overall == listed.shares
    assert answers[0].progression["nodule"] == read(engine(), tiny.pair(), of_finding("nodule")).shares


def test_opposites_are_told_apart_by_contrast_and_together_by_level() -> None:
    found = weighed({"worse": 0.4, "stable": 0.5, "improved": 0.1}, [OVER])
    assert found["worse"] / found["improved"] == pytest.approx((0.4 / 0.1) ** 4)
    common = math.sqrt(found["worse"] * found["improved"])
    assert common / found["stable"] == pytest.approx((math.sqrt(0.4 * 0.1) / 0.5) ** 0.5 * math.e)
    assert sum(found.values()) == pytest.approx(1)
    assert list(found) == ["worse", "stable", "improved"]
    assert weighed({"worse": 0.0, "stable": 1.0, "improved": 0.0}, [OVER])["stable"] > 0.99


def test_opposites_share_a_number_so_that_what_inverted_still_inverts() -> None:
    def antisymmetric(request: Request) -> dict[str, float]:
        way = 1 if request.images[0].sha256 < request.images[1].sha256 else -1
        return {"worse": 0.3 * way, "stable": 0.4, "improved": -0.3 * way}

    found = both_ways(FakeEngine(scores=antisymmetric, card=WEIGHED), tiny.pair(), OVERALL_QUESTION, OVERALL)
    assert found.back == pytest.approx({name: found.ahead[INVERSE[name]] for name in OVERALL})


def test_only_the_kind_with_exactly_these_answers_is_weighed() -> None:
    assert fitting([COURSE, OVER], ["Worse.", "Stable.", "Improved."]) is OVER
    for answers in (["new", "stable"], ["stable", "improved", "none of these"], ["larger", "smaller"]):
        assert fitting([COURSE, OVER], answers) is None
    assert weighed({"larger": 0.4, "smaller": 0.6}, [COURSE, OVER]) == {"larger": 0.4, "smaller": 0.6}


def test_lettered_options_keep_their_likelihoods_because_letters_were_not_fitted() -> None:
    typed = options("How is it?\nA: worse\nB: stable\nC: improved")
    assert typed is not None
    plain, told = (read(FakeEngine(scores={"B": -0.5, "A": -1.0}, card=card), tiny.pair(), typed) for card in (CARD, WEIGHED))
    assert told == plain


def test_an_answer_tells_by_which_offsets_it_was_read() -> None:
    answers = [item for item in ask(engine(), tiny.pair(), Event(), progression=True) if isinstance(item, Answer)]
    card = as_json(answers[0])["model"]
    assert isinstance(card, dict)
    assert card["offsets"] == tuple(asdict(one) for one in WEIGHED.offsets)
    assert digest(WEIGHED.offsets) != digest((OVER,)) != digest(()) == ""
