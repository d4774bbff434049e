"""What a model reads from a pair: the change of each finding and of the disease as a whole, one way or both ways.

Both ways means: the pair is read as given and again with its two pictures exchanged, the second reading is inverted
(worse for improved, new for resolved), and the two are averaged. Exchanging prior and current then inverts the result
by construction, whatever the model is; what the images say is still the model's alone. `read_pair` reads every question
of one order before it turns the pair round, so that an engine encodes each image once and keeps its prefix.

    reading = read_pair(engine, Request((prior, current), ""))
    reading.overall["worse"], reading.progression["consolidation"]["new"], reading.ahead.overall
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Event

from errors import EngineError
from inference.engine import Asked, Engine, Image, Request, scored
from inference.offsets import weighed
from inference.prompts import FINDINGS, OVERALL, OVERALL_QUESTION, PROGRESSION, progression_question

Shares = Mapping[str, float]
"""Class -> probability among the offered classes; they sum to 1."""
Progression = Mapping[str, Shares]

_TIME = re.compile(r"time (\d+)")

INVERSE: Mapping[str, str] = {
    "new": "resolved",
    "worse": "improved",
    "stable": "stable",
    "improved": "worse",
    "resolved": "new",
    "uncertain": "uncertain",
}
"""What each class becomes when prior and current change places; it supposes that a change can be undone."""


@dataclass(frozen=True)
class BothWays:
    """One closed question: `ahead` as given, `back` of the exchanged pair as it came, `mean` of `ahead` and of `back` inverted."""

    ahead: Shares
    back: Shares
    mean: Shares


@dataclass(frozen=True)
class OneWay:
    """One order's reading: finding -> class -> probability, and the same for the extent of disease as a whole."""

    progression: Progression
    overall: Shares


@dataclass(frozen=True)
class PairReading:
    """A pair's reading; `back` is that of the exchanged pair as it came, None when the pair was read one way only."""

    progression: Progression
    overall: Shares
    ahead: OneWay
    back: OneWay | None = field(default=None)


def shares(engine: Engine, request: Request, question: str, choices: Sequence[str], cancel: Event | None = None) -> dict[str, float]:
    """Probability of each choice among `choices` as the answer to `question` about the request's images, with the model's offsets."""
    return weighed(likelihoods(engine, request, [(question, choices)], cancel)[0], engine.card.offsets)


def likelihoods(engine: Engine, request: Request, asked: Asked, cancel: Event | None = None) -> tuple[dict[str, float], ...]:
    """The likelihood of each choice as its share of all, for each question about the request's images, without offsets."""
    found = scored(engine, replace(request, history=()), asked, cancel)
    return tuple(_likelihoods(choices, one.logprobs) for (_, choices), one in zip(asked, found, strict=True))


def _likelihoods(choices: Sequence[str], logprobs: Sequence[float]) -> dict[str, float]:
    largest = max(logprobs)
    if not all(logprob < math.inf for logprob in logprobs) or largest == -math.inf:  # also of one that is no number
        raise EngineError("the model gave no probability to any of the options, so they cannot be weighed; try another model")
    weights = [math.exp(logprob - largest) for logprob in logprobs]
    return {choice: weight / sum(weights) for choice, weight in zip(choices, weights, strict=True)}


def exchanged(request: Request) -> Request:
    """The request with its pictures turned round in time (of two: exchanged); places, roles and times stay where they are."""
    order = in_time(request.images)
    return _moved(request, dict(zip(order, order[::-1], strict=True)))


def shifted(request: Request) -> Request:
    """The request with each picture where the one before it in time was, the first where the last was (of two: exchanged): none stays."""
    order = in_time(request.images)
    return _moved(request, dict(zip(order, (*order[1:], order[0]), strict=True)))


def _moved(request: Request, shows: Mapping[int, int]) -> Request:
    images = request.images
    return replace(request, images=tuple(showing(image, images[shows[place]]) for place, image in enumerate(images)))


def in_time(images: Sequence[Image]) -> tuple[int, ...]:
    """Places of the images, oldest first: by the time points (`time 1`, `time 2`) that all roles name, else as they are."""
    times = [int(named[1]) for image in images if (named := _TIME.fullmatch(image.role))]
    places = range(len(images))
    return tuple(sorted(places, key=times.__getitem__) if len(set(times)) == len(images) else places)


def showing(image: Image, picture: Image) -> Image:
    """`image` in its place, with its role and time, showing the pixels of `picture` and the marks on them."""
    return replace(image, pixels=picture.pixels, sha256=picture.sha256, marks=picture.marks)


def symmetrised(ahead: Shares, back: Shares, inverse: Mapping[str, str] = INVERSE) -> dict[str, float]:
    """Mean of `ahead` and of the inverted `back`; exactly what the exchanged pair gives, inverted."""
    return {name: (share + back[inverse[name]]) / 2 for name, share in ahead.items()}


def both_ways(
    engine: Engine,
    request: Request,
    question: str,
    choices: Sequence[str],
    inverse: Mapping[str, str] = INVERSE,
    cancel: Event | None = None,
) -> BothWays:
    """`question` about the request's two images, read both ways. For many questions of one pair use `read_pair`."""
    ahead = shares(engine, request, question, choices, cancel)
    back = shares(engine, exchanged(request), question, choices, cancel)
    return BothWays(ahead, back, symmetrised(ahead, back, inverse))


def read_pair(
    engine: Engine, request: Request, findings: Sequence[str] = FINDINGS, *, both: bool = True, cancel: Event | None = None
) -> PairReading:
    """Read every question of the pair, both ways or (`both` False) as given alone. Raises what the engine raises."""
    ahead = _one_way(engine, request, findings, cancel)
    if not both:
        return PairReading(ahead.progression, ahead.overall, ahead)
    back = _one_way(engine, exchanged(request), findings, cancel)
    progression = {finding: symmetrised(found, back.progression[finding]) for finding, found in ahead.progression.items()}
    return PairReading(progression, symmetrised(ahead.overall, back.overall), ahead, back)


def _one_way(engine: Engine, request: Request, findings: Sequence[str], cancel: Event | None) -> OneWay:
    asked = [(OVERALL_QUESTION, OVERALL), *((progression_question(finding), PROGRESSION) for finding in findings)]
    overall, *progression = (weighed(one, engine.card.offsets) for one in likelihoods(engine, request, asked, cancel))
    return OneWay(dict(zip(findings, progression, strict=True)), overall)


def top(found: Shares) -> str:
    """The class with the largest share. Two opposite classes that tie for it cancel out: the answer is then ``, no class.

    Such a tie is what a model that is blind to order gives both ways: changed, but nobody knows which way.
    """
    largest = max(found.values())
    first, *others = [name for name, share in found.items() if share == largest]
    return "" if others else first
