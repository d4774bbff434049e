"""One question of a benchmark under one condition: which images are shown, and what the model says.

Closed questions are read by likelihood, all cyclic orders of their options in one go, and in greedy words; open ones in words.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Literal

from errors import ContextFull, EngineDied, StudyError
from finetune import medmim, pictures
from finetune.medmim import Item
from finetune.pictures import Shape
from inference.engine import Asked, Engine, Image, Options, Request, Scores, Together

Condition = Literal["real", "blind", "shuffled", "exchanged"]
CONDITIONS: tuple[Condition, ...] = ("real", "blind", "shuffled", "exchanged")
LETTER_TOKENS = 16
OPEN_TOKENS = 64
GENERATED: tuple[Condition, ...] = ("real", "blind")
"""Conditions in which closed questions are also answered in words."""
DECIDED = re.compile(r"\W*[A-Za-z]\s*[.:;,)\]*]")
"""Beginning of an answer behind which no word can change the letter that the strict rule reads."""


@dataclass(frozen=True)
class Job:
    """One item under one condition: the images shown (None: grey of that shape), and the address of the answer in the journal."""

    item: Item
    condition: Condition
    paths: tuple[Path, ...]
    shapes: tuple[Shape, ...]
    address: str


@dataclass(frozen=True)
class Told:
    """What a model said to one item under one condition.

    `shares` is for each cyclic order of the options the probability of each option, in the file's order of options (empty for
    an open question); `text` the greedy words, None where they were not asked for; `refused` why the model could not read it,
    which counts as a wrong answer; `broken` why its images could not be shown, which leaves the item out. `seconds` is the time
    it took and `encoded` the images that had to be encoded for it.
    """

    shares: tuple[tuple[float, ...], ...] = ()
    text: str | None = None
    refused: str = ""
    broken: str = ""
    seconds: float = 0.0
    encoded: int = 0

    @property
    def mean(self) -> tuple[float, ...]:
        """Probability of each option, averaged over the orders; empty without any."""
        return tuple(sum(column) / len(self.shares) for column in zip(*self.shares, strict=True))


def answered(engine: Engine, job: Job) -> Told:
    """Ask one job; an engine that died is asked once more. A question that does not fit the model is refused, not raised."""
    try:
        return _asked(engine, job)
    except EngineDied:
        return _asked(engine, job)


def _asked(engine: Engine, job: Job) -> Told:
    started = time.monotonic()
    try:
        images = shown(job)
    except StudyError as error:
        return Told(broken=str(error))
    if len(images) > engine.card.max_images:
        return Told(refused=f"{len(images)} images, and the model reads at most {engine.card.max_images}")
    meter = _Meter(engine)
    try:
        shares = _letters(meter, job.item, images) if job.item.closed else ()
        text = _words(meter, job.item, images) if job.condition in GENERATED or not job.item.closed else None
    except ContextFull as error:
        return Told(refused=str(error), seconds=time.monotonic() - started)
    return Told(shares, text, "", "", round(time.monotonic() - started, 4), meter.encoded)


def shown(job: Job) -> tuple[Image, ...]:
    """The images of a job as the engine is given them."""
    if job.condition == "blind":
        return tuple(pictures.grey(shape) for shape in job.shapes)
    return tuple(pictures.picture(path) for path in job.paths)


class _Meter:
    """An engine with the count of images it encoded."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.encoded = 0

    def count(self) -> None:
        self.encoded += self.engine.timings.images_encoded

    def scored(self, request: Request, asked: Asked) -> Iterator[Scores]:
        """What begins each answer; in one go where the engine can, so that what the questions have in common is read once."""
        if isinstance(self.engine, Together):
            yield from self.engine.score_many(request, asked, whole=False)
            self.count()
            return
        for question, choices in asked:
            yield self.engine.score(replace(request, question=question), choices, whole=False)
            self.count()


def _request(item: Item, images: tuple[Image, ...]) -> Request:
    return Request(images, medmim.question(item), item.ability)


def _letters(meter: _Meter, item: Item, images: tuple[Image, ...]) -> tuple[tuple[float, ...], ...]:
    """For each cyclic order of the options their shares, in the file's order, from the letters' likelihoods at the answer's first token."""
    letters = [letter for letter, _ in item.options]
    orders = medmim.rotations(item)
    asked = [(medmim.question(item, order), letters) for order in orders]
    found = meter.scored(_request(item, images), asked)
    return tuple(_shares(order, one.logprobs) for order, one in zip(orders, found, strict=True))


def _shares(order: Sequence[int], logprobs: Sequence[float]) -> tuple[float, ...]:
    largest = max(logprobs)
    weights = [math.exp(logprob - largest) for logprob in logprobs]
    by_place = dict(zip(order, weights, strict=True))
    return tuple(by_place[place] / sum(weights) for place in range(len(weights)))


def _words(meter: _Meter, item: Item, images: tuple[Image, ...]) -> str:
    """The greedy answer, of a closed question no further than its letter."""
    options = Options(max_tokens=LETTER_TOKENS if item.closed else OPEN_TOKENS)
    text = ""
    tokens = meter.engine.stream(replace(_request(item, images), options=options), Event())
    for token in tokens:
        text += token.text
        if item.closed and DECIDED.match(text):
            break
    if isinstance(tokens, Generator):
        tokens.close()  # lets the engine stop what it would still write
    meter.count()
    return text.strip()


def recalled(row: Mapping[str, Any] | None, job: Job) -> Told | None:
    """An answer from its row in the journal; None when there is none, or none that fits the item."""
    try:
        shares = tuple(tuple(float(share) for share in order) for order in row["shares"])  # type: ignore[index]
        told = Told(shares, row["text"], str(row["refused"]), "", float(row["seconds"]), int(row["encoded"]))  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return None
    count = len(job.item.options) if job.item.closed else 0
    fits = bool(told.refused) or (len(shares) == count and all(len(order) == count for order in shares))
    return told if fits and (told.text is None or isinstance(told.text, str)) else None
