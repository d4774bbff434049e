"""What a candidate is asked before it may answer: held-back corrections, every flag, and pairs of the generator it never saw.

Each case has the answers it may be given and which is right, so that it is read by likelihood and no word has to be parsed. An open
answer stands against the answers to other cases of its kind. Cases come from a version and a seed alone: the same for every
candidate of that version.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from finetune import heldout, pictures
from finetune.classes import norm
from finetune.heldout import Held
from finetune.synthesis import pairs, phantom, questions
from finetune.versions import shelf
from finetune.versions.lines import FEEDBACK, Line
from inference import closed, pixels
from inference.engine import Ability, Image, Request
from inference.prompts import OVERALL, OVERALL_QUESTION

TARGET, FLAG, ABILITY, ANCHOR = "target", "flag", "ability", "anchor"
"""Held-back corrections; a flag that was learned from; what the model could before; questions about a single image."""
WHICH = ("The first image.", "The second image.", "Neither: both images show the same.")
YES_NO = ("Yes.", "No.")
LISTED = re.compile(r"Answer with one word: ([a-z][a-z ,]*)\.")
EACH = 4
OTHERS = 3
"""Wrong answers an open case stands against."""
ANCHORS = 53_000_000
"""First seed of the single images; those of the pairs are `heldout.FIRST`."""


@dataclass(frozen=True)
class Case:
    """One question with its answers; `truth` is the place of the right one. `item` is the feedback's number, `` for others.

    `turns` says that the question is of change between two images, whose exchange inverts the answer.
    """

    key: str
    group: str
    ability: Ability
    patient: str
    request: Request
    choices: tuple[str, ...]
    truth: int
    item: str = ""
    listed: bool = False
    """Whether the question names its answers, so that any other word is invalid."""
    turns: bool = False
    codes: tuple[str, ...] = ()

    @property
    def right(self) -> str:
        """The right answer."""
        return self.choices[self.truth]


def choices(question: str, answer: str) -> tuple[str, ...]:
    """The answers a question allows, from its own words and the form of the right one; () for an open question."""
    lettered = closed.options(question)
    if lettered is not None:
        return tuple(f"{letter}: {text}" for letter, text in zip(closed.LETTERS, lettered.classes, strict=False))
    if question == OVERALL_QUESTION:
        return OVERALL
    if found := LISTED.search(question):
        return tuple(part.strip() for part in re.split(r",| or ", found[1]) if part.strip())
    return next((offered for offered in (YES_NO, WHICH) if answer in offered), ())


def place(answer: str, offered: Sequence[str]) -> int | None:
    """Which of the answers a text is: equal but for case and signs, or its letter; None when it is none of them."""
    said = norm(answer)
    exact = next((number for number, one in enumerate(offered) if norm(one) == said), None)
    if exact is not None:
        return exact
    letter = re.match(r"\W*([A-H])\b(?!\w)", answer)
    return next((number for number, one in enumerate(offered) if letter and one.startswith(f"{letter[1]}: ")), None)


def of_version(version: shelf.Version) -> list[Case]:
    """Held-back corrections as targets, and the corrections that were learned from as flags; open ones against what else was said."""
    contents = version.contents
    said: dict[str, list[str]] = {}
    for line in contents.every:
        said.setdefault(line.question, []).extend(text for text in (line.answer, line.rejected) if text)
    made = [_of_line(line, TARGET, said, version.folder) for line in contents.held if line.kind != "replay"]
    learned = [line for line in contents.train if line.source == FEEDBACK and line.kind in ("corrected", "cell")]
    made += [_of_line(line, FLAG, said, version.folder) for line in learned]
    return [case for case in made if case is not None]


def _of_line(line: Line, group: str, said: dict[str, list[str]], folder: Path) -> Case | None:
    offered = choices(line.question, line.answer)
    found = place(line.answer, offered)
    listed = bool(offered) and offered not in (YES_NO, WHICH)
    if found is None:
        offered, found, listed = _open(line.answer, said.get(line.question, []), line.key), 0, False
        if len(offered) < 2:
            return None
    shown = tuple(replace(pictures.picture(folder / image.path), role=image.role, when=image.when) for image in line.images)
    request = Request(shown, line.question, line.ability, line.relationship, clinical=line.clinical)
    turns = len(shown) == 2 and offered == OVERALL
    return Case(
        line.key, group, line.ability, line.patient, request, offered, found,
        line.item if line.source == FEEDBACK else "", listed, turns, line.codes,
    )  # fmt: skip


def _open(answer: str, others: Sequence[str], key: str) -> tuple[str, ...]:
    """The right answer first, then others that say something else, drawn by the case's name."""
    wrong = sorted({text for text in others if norm(text) != norm(answer)})
    rng = np.random.default_rng(list(key.encode()))
    return (answer, *(wrong[int(index)] for index in rng.permutation(len(wrong))[:OTHERS]))


def of_generator(count: int, tile: int) -> list[Case]:
    """Cases of every ability about `count` held-out pairs, up to `EACH` of each, and the change of the disease as a whole."""
    held = heldout.draw(count, tile, None)
    asked = [(one, item) for one in held for item in _drawn(one)]
    said: dict[str, list[str]] = {}
    for _, item in asked:
        said.setdefault(item.kind, []).append(item.answer)
    made = [_overall(one) for one in held] + [_of_item(one, item, said[item.kind]) for one, item in asked]
    unique = {case.key: case for case in made if case is not None}
    return sorted(unique.values(), key=lambda case: (case.patient, tuple(image.sha256 for image in case.request.images), case.key))


def _drawn(held: Held) -> list[questions.Item]:
    """At most `EACH` questions of each ability, drawn by the pair's seed."""
    rng = np.random.default_rng([held.pair.seed, 0x6A7E])
    offered = [item for _ in range(2) for item in questions.items(held.pair, rng) if len(item.images) == 2]
    found: list[questions.Item] = []
    for ability in ("temporal", "comparison", "reasoning", "coreference"):
        some = [item for item in offered if item.ability == ability and item.question != OVERALL_QUESTION]
        found += [some[int(index)] for index in rng.permutation(len(some))[:EACH]]
    return found


def _films(held: Held, item: questions.Item) -> tuple[Image, ...]:
    films = (held.pair.prior, held.pair.current)
    return tuple(pixels.image(films[end], *told) for end, *told in zip(item.images, item.roles, item.whens, strict=True))


def _overall(held: Held) -> Case | None:
    if held.pair.overall not in OVERALL:
        return None
    shown = (pixels.image(held.pair.prior, "prior"), pixels.image(held.pair.current, "current"))
    request = Request(shown, OVERALL_QUESTION)
    return Case(
        f"generated-{held.pair.seed}-overall", ABILITY, "temporal", held.pair.patient, request, OVERALL,
        OVERALL.index(held.pair.overall), listed=True, turns=True,
    )  # fmt: skip


def _of_item(held: Held, item: questions.Item, said: Sequence[str]) -> Case | None:
    offered = choices(item.question, item.answer)
    found = place(item.answer, offered)
    listed = found is not None and offered not in (YES_NO, WHICH)
    key = f"generated-{held.pair.seed}-{item.ability}-{item.kind}-{norm(item.question)[:24]}"
    if found is None:
        offered, found = _open(item.answer, said, key), 0
        if len(offered) < 2:
            return None
    request = Request(_films(held, item), item.question, item.ability, item.relationship)
    return Case(key, ABILITY, item.ability, held.pair.patient, request, offered, found, listed=listed)


def anchors(count: int, tile: int) -> list[Case]:
    """Questions with yes or no about `count` single images: what a tuned model must not forget."""
    source, made = phantom.PhantomSource("dev", max(2, min(heldout.PATIENTS, count))), []
    for seed in range(ANCHORS, ANCHORS + count):
        pair = pairs.generate(seed, source, tile, "single")
        rng = np.random.default_rng([seed, 0xA7C])
        for item in questions.items(pair, rng):
            if item.answer in YES_NO:
                request = Request((pixels.image(pair.current),), item.question, item.ability, item.relationship)
                key = f"anchor-{seed}-{norm(item.question)[:32]}"
                made.append(Case(key, ANCHOR, item.ability, pair.patient, request, YES_NO, YES_NO.index(item.answer)))
    return list({case.key: case for case in made}.values())
