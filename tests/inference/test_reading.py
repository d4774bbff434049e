"""Reading a pair both ways: exchange inverts whatever the model is, each image is shown in both places, one way stays one way."""

from __future__ import annotations

import random

import numpy as np
import pytest

from errors import EngineError
from inference import pixels
from inference.engine import Image, Request
from inference.prompts import FINDINGS, OVERALL, OVERALL_QUESTION, PROGRESSION
from inference.reading import INVERSE, both_ways, exchanged, read_pair, symmetrised, top
from tests.fakes import FakeEngine
from tests.readers import always_stable, coherent, order_blind


def film(level: int, role: str = "") -> Image:
    return pixels.image(np.full((8, 8), level, dtype=np.uint8), role, "")


def pair(prior: int, current: int) -> Request:
    return Request((film(prior, "prior"), film(current, "current")), "")


def erratic() -> FakeEngine:
    """Scores that hang on the images, their order and the question, and on nothing sensible."""

    def scores(request: Request) -> dict[str, float]:
        key = "".join(image.sha256 + image.role for image in request.images) + request.question
        draw = random.Random(key)
        return {name: draw.uniform(-5, 0) for name in PROGRESSION}

    return FakeEngine(scores=scores)


def test_exchange_inverts_by_construction_even_an_erratic_model() -> None:
    engine = erratic()
    for prior, current in ((10, 90), (90, 30), (50, 51)):
        there, back = read_pair(engine, pair(prior, current)), read_pair(engine, pair(current, prior))
        assert there.overall == {name: back.overall[INVERSE[name]] for name in OVERALL}
        for finding in FINDINGS:
            assert there.progression[finding] == {name: back.progression[finding][INVERSE[name]] for name in PROGRESSION}
        assert there.ahead.overall != {name: back.ahead.overall[INVERSE[name]] for name in OVERALL}


def test_shares_sum_to_one_and_cover_what_was_offered() -> None:
    found = read_pair(erratic(), pair(20, 60))
    assert sum(found.overall.values()) == pytest.approx(1)
    assert {finding: set(shares) for finding, shares in found.progression.items()} == {finding: set(PROGRESSION) for finding in FINDINGS}
    assert all(sum(shares.values()) == pytest.approx(1) for shares in found.progression.values())


def test_the_exchanged_pair_keeps_its_announcements() -> None:
    """Only the pictures change places: the first image is announced as the prior in both readings, or roles would answer for order."""
    engine = coherent()
    read_pair(engine, pair(10, 90), findings=("nodule",))
    shown = [[image.role for image in request.images] for request, _ in engine.scored]
    assert shown == [["prior", "current"]] * 4
    assert [request.images[0].sha256 for request, _ in engine.scored] == [film(10).sha256] * 2 + [film(90).sha256] * 2


def test_one_way_reads_the_given_order_alone() -> None:
    engine = order_blind()
    found = read_pair(engine, pair(10, 90), both=False)
    assert found.back is None
    assert found.overall == found.ahead.overall
    assert len(engine.scored) == len(FINDINGS) + 1


def test_a_reader_that_sees_order_is_left_as_it_is() -> None:
    found = read_pair(coherent(), pair(10, 16))
    assert found.overall == pytest.approx(found.ahead.overall)
    assert top(found.overall) == "worse"
    assert top(read_pair(coherent(), pair(16, 10)).overall) == "improved"


def test_a_reader_blind_to_order_is_left_without_a_direction() -> None:
    """Worse both ways says that something changed and not which way; no class may win that tie."""
    found = read_pair(order_blind(), pair(10, 90))
    assert found.overall["worse"] == found.overall["improved"]
    assert top(found.overall) == ""
    assert top(found.ahead.overall) == "worse"


def test_identical_images_are_left_to_the_model() -> None:
    assert top(read_pair(always_stable(), pair(40, 40)).overall) == "stable"
    alarmist = FakeEngine(scores={"worse": 0.0, "stable": -3.0, "improved": -9.0})
    assert read_pair(alarmist, pair(40, 40)).overall["stable"] < 0.1


def test_one_question_both_ways_tells_both_readings() -> None:
    found = both_ways(order_blind(), pair(10, 90), OVERALL_QUESTION, OVERALL)
    assert found.ahead == found.back
    assert found.mean == symmetrised(found.ahead, found.back)
    assert found.mean["worse"] == pytest.approx((found.ahead["worse"] + found.ahead["improved"]) / 2)


def test_exchanging_twice_is_nothing() -> None:
    request = pair(10, 90)
    assert exchanged(exchanged(request)) == request


@pytest.mark.parametrize("logprob", [float("nan"), float("inf"), float("-inf")])
def test_likelihoods_that_are_no_numbers_are_a_sentence_and_no_shares(logprob: float) -> None:
    with pytest.raises(EngineError, match="gave no probability to any of the options"):
        read_pair(FakeEngine(scores=lambda _: dict.fromkeys((*OVERALL, *PROGRESSION), logprob)), pair(10, 20))
