"""What a model says to the cases: as they are, without the images, with the images exchanged, with one shown twice, with options turned.

Readings are kept as they are made, by the model's hash, its offsets and the case, so that an incumbent is asked once and a run that was
interrupted goes on.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, groupby
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from finetune import crew
from finetune.crew import Crew
from finetune.gating.cases import ABILITY, TARGET, Case, place
from finetune.journal import Journal
from inference import closed, pixels, probes
from inference.engine import Asked, Engine, Image, ModelCard, Options, Request
from inference.offsets import digest, weighed
from inference.reading import likelihoods

VERSION = "4"
"""Of what is asked; readings of another are made again."""
WORDS = 24
"""Tokens of an answer that is read in words."""
Say = Callable[[str], None]
Shares = tuple[float, ...]


@dataclass(frozen=True)
class Said:
    """What a model gave one case: shares of its answers in order, each adding up to 1; () where it was not asked.

    `blind` is with grey images, `back` with the two pictures exchanged, `same` with the second shown twice, `turned` with the listed
    options in the other order; `words` is the greedy answer.
    """

    real: Shares
    blind: Shares = ()
    back: Shares = ()
    same: Shares = ()
    turned: Shares = ()
    words: str = ""

    @property
    def chosen(self) -> int:
        """Place of the likeliest answer."""
        return max(range(len(self.real)), key=lambda number: self.real[number])


Readings = Mapping[str, Said]
"""Case key -> what was said."""


def ask(engine: Engine | Crew, cases: Sequence[Case], journal: Path, say: Say) -> dict[str, Said]:
    """Every case, those in the journal taken from there. Raises what the engine raises.

    What is asked of the same films goes to one engine, and what is asked about the same images together, so that they are read once.
    """
    some = crew.of(engine)
    with Journal(journal) as kept:
        new = sorted(
            (case for case in cases if _address(some.card, case) not in kept.rows), key=lambda case: (_films(case), _context(case))
        )
        work, done = [list(group) for _, group in groupby(new, _films)], len(cases) - len(new)
        for group, found in some.each(work, _asked_in_turn):
            for case, said in zip(group, found, strict=True):
                kept.add(_address(some.card, case), asdict(said))
            before, done = done // 200, done + len(group)
            if done // 200 > before:
                say(f"{some.card.name}: {done} of {len(cases)} cases")
        return {case.key: recalled(kept.rows[_address(some.card, case)]) for case in cases}


def _films(case: Case) -> tuple[str, ...]:
    return tuple(sorted(image.sha256 for image in case.request.images))


def _context(case: Case) -> tuple[object, ...]:
    return tuple((image.sha256, image.role, image.when) for image in case.request.images), case.request.clinical


def _asked_in_turn(engine: Engine, cases: Sequence[Case]) -> list[Said]:
    """Cases about the same films in order, those about the same images in one go."""
    return list(chain.from_iterable(asked(engine, list(some)) for _, some in groupby(cases, _context)))


def recalled(row: Mapping[str, Any]) -> Said:
    """A reading as the journal kept it."""
    told: dict[str, Any] = {name: tuple(value) if isinstance(value, list | tuple) else value for name, value in row.items()}
    return Said(**told)


def asked(engine: Engine, cases: Sequence[Case]) -> list[Said]:
    """Cases about the same images under the same context, each in every way that fits it; what the images are the same for in one go."""
    given, plain = cases[0].request, [(case.request.question, case.choices) for case in cases]
    other = [_turned(case) if case.group == ABILITY and case.listed else None for case in cases]
    found = _shares(engine, given, [*plain, *((question, choices) for question, choices, _ in filter(None, other))])
    real, rest = found[: len(cases)], iter(found[len(cases) :])
    turned = [() if one is None else next(rest)[:: -1 if one[2] else 1] for one in other]
    words = [_words(engine, case.request) if case.listed or case.item else "" for case in cases]

    def shown(images: tuple[Image, ...], chosen: Sequence[bool]) -> list[Shares]:
        some = iter(_shares(engine, replace(given, images=images), [one for one, wanted in zip(plain, chosen, strict=True) if wanted]))
        return [next(some) if wanted else () for wanted in chosen]

    turning = [case.turns and len(given.images) == 2 for case in cases]
    back, same = (shown(make(given.images), turning) for make in (_exchanged, _twice))
    blind = shown(tuple(map(_grey, given.images)), [_looked(case) for case in cases])
    return [Said(*row) for row in zip(real, blind, back, same, turned, words, strict=True)]


def _looked(case: Case) -> bool:
    """Whether the case is also asked without its images: held-back corrections always, every second of the generated ones."""
    return case.group == TARGET or (case.group == ABILITY and zlib.crc32(case.key.encode()) % 2 == 0)


def shares(engine: Engine, request: Request, choices: Sequence[str]) -> Shares:
    """Probability of each answer among those offered, with the model's offsets, as readers are shown it."""
    return _shares(engine, request, [(request.question, choices)])[0]


def _shares(engine: Engine, request: Request, some: Asked) -> list[Shares]:
    """The same of several questions about the request's images."""
    found = likelihoods(engine, request, some) if some else ()
    return [tuple(round(share, 6) for share in weighed(one, engine.card.offsets).values()) for one in found]


def _words(engine: Engine, request: Request) -> str:
    return "".join(token.text for token in engine.stream(replace(request, options=Options(WORDS)), Event())).strip()


def _grey(image: Image) -> Image:
    grey = np.full(image.pixels.shape, probes.GREY, np.uint8)
    return replace(pixels.image(grey), role=image.role, when=image.when)


def _exchanged(images: tuple[Image, ...]) -> tuple[Image, ...]:
    """The pictures of two images in each other's places; () of other numbers of images."""
    if len(images) != 2:
        return ()
    first, second = images
    return replace(first, pixels=second.pixels, sha256=second.sha256), replace(second, pixels=first.pixels, sha256=first.sha256)


def _twice(images: tuple[Image, ...]) -> tuple[Image, ...]:
    """The second picture in both places; () of other numbers of images."""
    if len(images) != 2:
        return ()
    first, second = images
    return replace(first, pixels=second.pixels, sha256=second.sha256), second


def _turned(case: Case) -> tuple[str, Sequence[str], bool] | None:
    """The question with its listed options in the other order, its answers, and whether these are in the other order too."""
    lettered = closed.options(case.request.question)
    if lettered is not None:
        classes = lettered.classes[::-1]
        return lettered.asked(classes), [f"{letter}: {text}" for letter, text in zip(closed.LETTERS, classes, strict=False)], True
    listing, reverse = (_listing(order) for order in (case.choices, case.choices[::-1]))
    question = case.request.question
    return (question.replace(listing, reverse), case.choices, False) if listing in question else None


def _listing(classes: Sequence[str]) -> str:
    return f"{', '.join(classes[:-1])} or {classes[-1]}"


def valid(case: Case, said: Said) -> bool:
    """Whether the words of an answer to a question that lists its answers are one of them."""
    return not case.listed or place(said.words, case.choices) is not None


def spoken(case: Case, said: Said) -> bool:
    """Whether the words are the right answer, as the reader who flagged it would see it."""
    return place(said.words, case.choices) == case.truth


def _address(card: ModelCard, case: Case) -> str:
    of = card.sha256, digest(card.offsets)
    told = (VERSION, *of, case.key, case.request.question, case.choices, case.group, bool(case.item), _context(case))
    return hashlib.sha256(repr(told).encode()).hexdigest()[:32]
