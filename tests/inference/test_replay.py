"""An answer made again from its record is the same to the last token, on the engine and model that made it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from inference import pixels
from inference.answer import Answer, ask, record
from inference.engine import Engine, Options, Request, Turn
from inference.gguf import GgufEngine
from inference.replay import compared
from tests.fakes import CARD, FakeEngine
from tests.inference import tiny


def answer(engine: Engine, request: Request) -> Answer:
    *_, last = ask(engine, request, Event())
    assert isinstance(last, Answer)
    return last


def twenty() -> Iterator[Request]:
    """Ten pairs, each asked twice, some after an earlier turn, some drawn with a seed."""
    for number in range(10):
        images = (tiny.picture(3 * number, "prior"), tiny.picture(3 * number + 1, "current", "14 days later"))
        options = Options(12, 0.9, number) if number % 5 == 4 else Options(12)
        yield tiny.pair(images=images, options=options)
        yield tiny.pair("And the heart?", images=images, history=(Turn("What changed?", "It is worse."),))


def test_twenty_of_twenty_answers_are_the_same_on_a_new_engine(gguf: GgufEngine, tiny_model: Path) -> None:
    """The first engine has answered others before, the second begins with nothing: what is kept between questions must not show."""
    asked = list(twenty())
    kept = [record(answer(gguf, request)) for request in asked]
    fresh = GgufEngine(tiny_model, threads=1)
    try:
        again = [compared(one, answer(fresh, request)) for one, request in zip(kept, asked, strict=True)]
    finally:
        fresh.close()
    assert [one.same for one in again] == [True] * 20
    assert max(one.logprob_difference for one in again) < 1e-3
    assert len({one.text for one in again}) > 5


@pytest.mark.model
@pytest.mark.slow
def test_twenty_of_twenty_answers_of_the_bundled_model_are_the_same(bundled_models: Path) -> None:
    draw = np.random.default_rng(7)
    questions = ("What changed since the prior?", "Is there a pleural effusion?")
    asked = []
    for _ in range(10):
        films = [
            pixels.image(np.asarray(draw.normal(110, 40, (96, 96)).clip(0, 255), dtype=np.uint8), role) for role in ("prior", "current")
        ]
        asked += [Request(tuple(films), question, options=Options(16)) for question in questions]
    kept = []
    for round_ in range(2):
        engine = GgufEngine(bundled_models / "bundled")
        try:
            made = [answer(engine, request) for request in asked]
        finally:
            engine.close()
        if not round_:
            kept = [record(one) for one in made]
    assert [compared(one, now).same for one, now in zip(kept, made, strict=True)] == [True] * 20


def test_the_first_token_that_differs_and_what_else_differs_are_told() -> None:
    kept = record(answer(FakeEngine(["It is worse now."]), tiny.pair()))
    other = compared(kept, answer(FakeEngine(["It is stable now."]), tiny.pair()))
    assert (other.same, other.token, other.reasons) == (False, 2, ())
    longer = compared(kept, answer(FakeEngine(["It is worse now indeed."]), tiny.pair()))
    assert longer.token == 3
    images = tiny.pair(images=tuple(replace(image, sha256="0" * 64) for image in tiny.pair().images))
    moved = compared(kept, answer(FakeEngine(["It is worse now."]), images))
    assert (moved.same, moved.token) == (False, -1)
    assert "pixels" in moved.reasons[0]
    told = compared(kept, answer(FakeEngine(["It is worse now."]), tiny.pair("Is it worse?")))
    assert told.reasons == ("the prompt is not the one that was kept",)
    worn = compared(kept, answer(FakeEngine(["It is worse now."], card=replace(CARD, adapter="ab" * 32)), tiny.pair()))
    assert worn.reasons == ("it was made with no adapter, and adapter abababababab is on the model now",)
