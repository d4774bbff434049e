"""Fake engines that read pairs in known ways, so that a measure of reading has a known answer.

coherent       bright is ill: worse and improved follow the difference of mean brightness, stable where there is none, in words too
order_blind    sees that two images differ and always calls it worse
always_stable  says stable of everything
"""

from __future__ import annotations

from collections.abc import Mapping

from inference.engine import Request
from tests.fakes import FakeEngine

STEP = 2.0
"""Grey levels of mean brightness that tip the coherent reader from stable."""


def difference(request: Request) -> float:
    """Mean brightness of the last image less that of the first, in grey levels; 0 of a single image."""
    first, *others = (float(image.pixels.mean()) for image in request.images)
    return others[-1] - first if others else 0.0


def _scores(worse: float, stable: float, improved: float) -> Mapping[str, float]:
    return {"worse": worse, "new": worse - 3, "stable": stable, "improved": improved, "resolved": improved - 3, "uncertain": -12.0}


def coherent() -> FakeEngine:
    """Reads the difference of brightness, and its sign turns with the order."""

    def scores(request: Request) -> Mapping[str, float]:
        change = difference(request)
        return _scores(change, STEP - abs(change), -change)

    return FakeEngine(lambda request: f"Overall {max(scores(request).items(), key=lambda one: one[1])[0]}.", scores=scores)


def order_blind() -> FakeEngine:
    """Any difference is worse, in either order."""

    def scores(request: Request) -> Mapping[str, float]:
        return _scores(abs(difference(request)), STEP / 2, -4.0)

    return FakeEngine(scores=scores)


def always_stable() -> FakeEngine:
    """Never sees a change."""
    return FakeEngine(scores=_scores(-5.0, 0.0, -5.0))
