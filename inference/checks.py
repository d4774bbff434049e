"""Trust checks: is an answer drawn from the images, and in their order?

Each asks the model the overall question again about images that were changed on purpose. They are of the model's own
likelihoods among three words, uncalibrated: a verdict speaks of this question and these images alone.

    for item in checked(engine, ask(engine, request, cancel, progression=True), cancel):
        ...                      # Stage, Token, ..., and last the Answer with its `checks`
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import replace
from threading import Event

import numpy as np

from errors import Cancelled, EngineError
from inference import pixels
from inference.answer import SCORED, Answer
from inference.engine import Engine, Request, Stage, Token
from inference.prompts import OVERALL, OVERALL_QUESTION
from inference.reading import INVERSE, Shares, exchanged, shares, showing

Check = dict[str, object]

GREY = 128
CLOSE = 0.2
"""A first class ahead of the second by less than this share is too close to call."""
MOVED = 0.05
"""A class whose share moves by less than this without the images does not depend on them."""


def checked(engine: Engine, items: Iterator[Stage | Token | Answer], cancel: Event) -> Iterator[Stage | Token | Answer]:
    """What `ask` yields, with the checks made before a complete `Answer` is handed on."""
    for item in items:
        if isinstance(item, Answer) and item.state == "complete":
            item = yield from _checks(engine, item, cancel)
        yield item


def _checks(engine: Engine, answer: Answer, cancel: Event) -> Generator[Stage, None, Answer]:
    """The answer with every check that fits it; what fails or is stopped keeps those already made."""
    request = answer.request
    if request.ability not in SCORED or len(request.images) < 2:
        told = "the checks need two or more images and a temporal or comparison question, so none was made"
        return replace(answer, warnings=(*answer.warnings, told))
    made: dict[str, Check] = {}
    warnings = answer.warnings
    probes = {"no_image": without_images(request)}
    if len(request.images) == 2:
        probes |= {"exchange": exchanged(request), "identical": identical(request)}
    judges = {"no_image": image_dependence, "exchange": order_coherence, "identical": invented_change}
    try:
        seen = answer.overall or shares(engine, request, OVERALL_QUESTION, OVERALL, cancel)
        made["decided"] = decidedness(seen)
        for number, (name, probe) in enumerate(probes.items(), 1):
            yield Stage("checking", number, len(probes))
            made[name] = judges[name](seen, shares(engine, probe, OVERALL_QUESTION, OVERALL, cancel))
    except Cancelled:
        warnings = (*warnings, "the checks were stopped and are not complete")
    except EngineError as error:
        warnings = (*warnings, f"the checks are not complete: {error}")
    return replace(answer, checks=made, warnings=warnings)


def without_images(request: Request) -> Request:
    """The request with every image made one grey of the same size; roles and times stay."""
    grey = (pixels.image(np.full_like(image.pixels, GREY), image.role, image.when) for image in request.images)
    return replace(request, images=tuple(grey))


def identical(request: Request) -> Request:
    """The request with the current picture (the last, when no role says which) in both places."""
    images = request.images
    current = next((image for image in images if image.role.lower() == "current"), images[-1])
    return replace(request, images=tuple(showing(image, current) for image in images))


def decidedness(seen: Shares) -> Check:
    """C0: entropy (0 sure .. 1 even) and margin of the overall classes. Verdict `clear` or `close`."""
    name, share = _top(seen)
    entropy = -sum(p * math.log(p) for p in seen.values() if p > 0) / math.log(len(seen))
    margin = share - sorted(seen.values())[-2]
    verdict = "clear" if margin >= CLOSE else "close"
    gap = "well ahead of" if verdict == "clear" else "hardly ahead of"
    return _check(verdict, f"Overall the model says {name}, {gap} its second choice.", seen, entropy=entropy, margin=margin)


def image_dependence(seen: Shares, blind: Shares) -> Check:
    """C1: does the overall class, or its share, move without the images? `image-dependent` or `not image-dependent`."""
    name, share = _top(seen)
    moved = share - blind[name]
    if _top(blind)[0] == name and abs(moved) < MOVED:
        return _check("not image-dependent", f"With grey in place of the images the model says {name} just the same.", blind, moved=moved)
    told = f"{_top(blind)[0]} instead of {name}" if _top(blind)[0] != name else f"{name} with another probability"
    return _check("image-dependent", f"With grey in place of the images the model says {told}.", blind, moved=moved)


def order_coherence(seen: Shares, turned: Shares) -> Check:
    """C2: exchanged images must turn worse into improved and keep stable. `coherent`, `order-blind` or `unstable`.

    After surgery or for devices the opposite need not hold (the check supposes that a change can be undone).
    """
    before, after = _top(seen)[0], _top(turned)[0]
    if after == before == "stable":
        return _check("coherent", "With the images exchanged stable stays stable, which a model blind to order would say too.", turned)
    if after == INVERSE[before]:
        return _check("coherent", f"With the images exchanged {before} becomes {after}, as it should.", turned)
    if after == before:
        return _check("order-blind", f"With the images exchanged the model still says {after}: their order is not used.", turned)
    told = f"With the images exchanged {before} becomes {after}, where {INVERSE[before]} was due."
    return _check("unstable", told, turned)


def invented_change(_seen: Shares, same: Shares) -> Check:
    """C4: the same image twice must be stable. `stable` or `invented change`."""
    name = _top(same)[0]
    if name == "stable":
        return _check("stable", "Shown the same image twice the model says stable, as it should.", same)
    return _check("invented change", f"Shown the same image twice the model says {name}, which no image can bear out.", same)


def _check(verdict: str, explanation: str, found: Shares, **figures: float) -> Check:
    name, share = _top(found)
    return {"verdict": verdict, "explanation": explanation, "class": name, "probability": share, "shares": dict(found), **figures}


def _top(found: Shares) -> tuple[str, float]:
    return max(found.items(), key=lambda item: item[1])
