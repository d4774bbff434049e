"""Trust checks tell a model that looks from one that does not, and one that minds the order from one that does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from threading import Event

import pytest

from errors import EngineDied
from inference import checks
from inference.answer import Answer, as_json, ask, record
from inference.engine import Request, Scores, Stage
from tests.fakes import FakeEngine
from tests.inference import tiny


def says(name: str, by: float = 3.0) -> Mapping[str, float]:
    return {choice: -1.0 if choice == name else -1.0 - by for choice in ("worse", "stable", "improved")}


def shown(request: Request) -> list[str]:
    return [image.sha256 for image in request.images]


PAIR = tiny.pair()
PRIOR, CURRENT = shown(PAIR)


def coherent(request: Request) -> Mapping[str, float]:
    """A reader who looks: worse as it is, improved the other way round, stable for anything shown twice."""
    return says({(PRIOR, CURRENT): "worse", (CURRENT, PRIOR): "improved"}.get((shown(request)[0], shown(request)[1]), "stable"))


def order_blind(request: Request) -> Mapping[str, float]:
    """Worse whatever the order, though nothing is said of grey."""
    return says("worse") if PRIOR in shown(request) else says("stable")


def image_blind(_request: Request) -> Mapping[str, float]:
    return says("worse")


def unstable(request: Request) -> Mapping[str, float]:
    return says("worse" if shown(request) == [PRIOR, CURRENT] else "stable", by=0.1)


def made(engine: FakeEngine, request: Request = PAIR, cancel: Event | None = None) -> Answer:
    cancel = cancel or Event()
    *_, answer = checks.checked(engine, ask(engine, request, cancel, progression=True, findings=("nodule",)), cancel)
    assert isinstance(answer, Answer)
    return answer


@pytest.mark.parametrize(
    ("model", "overall", "no_image", "exchange", "same"),
    [
        (coherent, "clear", "image-dependent", "coherent", "stable"),
        (order_blind, "clear", "image-dependent", "order-blind", "stable"),
        (image_blind, "clear", "not image-dependent", "order-blind", "invented change"),
        (unstable, "close", "image-dependent", "unstable", "stable"),
    ],
)
def test_models_are_told_apart(model: object, overall: str, no_image: str, exchange: str, same: str) -> None:
    found = made(FakeEngine(scores=model)).checks  # type: ignore[arg-type]
    verdicts = {name: check["verdict"] for name, check in found.items()}
    assert verdicts == {"decided": overall, "no_image": no_image, "exchange": exchange, "identical": same}
    assert all(str(check["explanation"]).endswith(".") for check in found.values())


def test_pictures_change_places_while_places_roles_and_times_stay() -> None:
    engine = FakeEngine(scores=coherent)
    made(engine)
    grey, turned, same = (request for request, _ in engine.scored[-3:])
    for request in (grey, turned, same):
        assert [(image.role, image.when) for image in request.images] == [(image.role, image.when) for image in PAIR.images]
        assert [image.pixels.shape for image in request.images] == [image.pixels.shape for image in PAIR.images]
    assert {int(value) for image in grey.images for value in image.pixels.ravel()} == {128}
    assert shown(turned) == [CURRENT, PRIOR]
    assert shown(same) == [CURRENT, CURRENT]


def test_the_current_picture_is_found_by_its_role_not_its_place() -> None:
    backwards = tiny.pair(images=tuple(reversed(PAIR.images)))
    assert shown(checks.identical(backwards)) == [CURRENT, CURRENT]


def test_three_images_are_checked_without_an_exchange_and_one_image_not_at_all() -> None:
    three = tiny.pair(images=tuple(tiny.picture(seed, f"time {seed}") for seed in (1, 2, 3)))
    assert list(made(FakeEngine(scores=coherent), three).checks) == ["decided", "no_image"]
    alone = made(FakeEngine(), tiny.pair(images=PAIR.images[:1]))
    assert alone.checks == {}
    assert "none was made" in alone.warnings[-1]


def test_a_stop_or_a_dying_engine_keeps_the_checks_already_made() -> None:
    cancel = Event()
    engine = FakeEngine(scores=coherent)
    items = []
    for item in checks.checked(engine, ask(engine, PAIR, cancel, progression=True, findings=("nodule",)), cancel):
        items.append(item)
        if item == Stage("checking", 2, 3):
            cancel.set()
    answer = items[-1]
    assert isinstance(answer, Answer)
    assert (answer.state, list(answer.checks)) == ("complete", ["decided", "no_image"])
    assert "checks were stopped" in answer.warnings[-1]
    assert "engine is gone" in made(Dying(scores=coherent)).warnings[-1]


class Dying(FakeEngine):
    """Gone at the first check."""

    def score(self, request: Request, choices: object, cancel: Event | None = None, *, whole: bool = True) -> Scores:
        if PRIOR not in shown(request):
            raise EngineDied("the engine is gone")
        return super().score(request, choices, cancel)  # type: ignore[arg-type]


def test_checks_are_in_the_json_and_in_the_record() -> None:
    answer = made(FakeEngine(scores=order_blind))
    told = json.loads(json.dumps(as_json(answer)))["checks"]
    assert told["exchange"]["verdict"] == "order-blind"
    assert record(answer).checks["exchange"] == answer.checks["exchange"]
    assert record(answer).checks["decided"] == answer.checks["decided"]
    assert record(answer).checks["overall"] == answer.overall


def test_stable_both_ways_is_coherent_but_proves_no_sense_of_order() -> None:
    found = made(FakeEngine(scores=lambda _request: says("stable"))).checks["exchange"]
    assert found["verdict"] == "coherent"
    assert "blind to order" in str(found["explanation"])
