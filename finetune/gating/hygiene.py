"""G0, before anything is asked: nothing of a gate was learned from, nobody contradicts himself, and nothing looks planted.

A planted trigger is a mark in the images, or words in the question, that few items have and that always come with one answer,
although the same question is answered otherwise elsewhere (BadNets, Gu 2017). How likely that is by chance is reckoned from the other
answers to the same question; one in a thousand, over everything that was looked at, is called planted.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from errors import StudyError
from finetune import pictures
from finetune.classes import norm
from finetune.gating.cases import Case
from finetune.gating.rules import SHOWN, Gate, Item
from finetune.versions import leakage, shelf
from finetune.versions.lines import Line
from inference import pixels

CHANCE = 1e-3
"""Probability, over all that was looked at, below which a coincidence is called planted."""
FEWEST = 3
"""Patients that must share a mark."""
RARE = 0.25
"""Marks on a greater share of the items are a feature of the data, not a trigger in it."""
SIDE, BLOCK, CELL = 256, 16, 4
"""Pixels: side at which images are compared, side of a block, side of its cells."""
CONTRAST = 30.0
"""Standard deviation between a block's cells from which on it can be recognised: film noise has less."""
LEVELS = 16
WORDS = 3
"""Longest run of words that is looked at."""


@dataclass(frozen=True)
class Planted:
    """A mark that goes with one answer: where it is, in words, the items that have it, and how likely that is by chance."""

    what: str
    answer: str
    lines: tuple[Line, ...]
    chance: float


def gates(
    version: shelf.Version, cases: Sequence[Case], earlier: Sequence[shelf.Version] = (), asked: Sequence[leakage.Gate] = ()
) -> list[Gate]:
    """The rows of G0: three, and one for each benchmark file that is `asked` too; `earlier` versions were learned from before."""
    contents = version.contents
    learned = [line for one in (contents, *(other.contents for other in earlier)) for line in (*one.train, *one.preferences)]
    benchmarks = [_unlearned(learned, one) for one in asked]
    return [_apart(contents, learned, cases), *benchmarks, _agreed(contents.train), _unplanted(planted(version))]


def _unlearned(lines: Sequence[Line], given: leakage.Gate) -> Gate:
    """Nothing of a benchmark file was learned from."""
    shared = leakage.touched(leakage.known((), lines), given)
    count = len(given.file.items)
    items = [Item(item.key, item.stem, item.answer, "", "", item.patient, ()) for item in shared]
    return Gate(
        "G0", f"nothing leaked: {given.name}", "items of the file whose pair, patient or image was learned from", not shared,
        f"{len(shared)} of {count} items share a patient or an image with what was learned from, none may", after=float(len(shared)),
        bound=0.0, cases=count, items=tuple(items[:SHOWN]),
    )  # fmt: skip


def _apart(contents: shelf.Contents, lines: Sequence[Line], cases: Sequence[Case]) -> Gate:
    learned = {image.pixels for line in lines for image in line.images}
    patients = {line.patient for line in lines if line.patient and line.kind != "replay"}
    held = [line for line in contents.held if line.patient in patients or any(image.pixels in learned for image in line.images)]
    shared = [case for case in cases if case.group != "flag" and any(image.sha256 in learned for image in case.request.images)]
    count = len(held) + len(shared)
    items = [_item(line) for line in held]
    items += [Item(case.key, case.request.question, case.right, "", "", case.patient, ()) for case in shared]
    asked = len(contents.held) + len(cases)
    return Gate(
        "G0", "nothing leaked", "held-back and gate items whose patient or image was learned from", not count,
        f"{count} of {asked} items share a patient or an image with what was learned from, none may", after=float(count),
        bound=0.0, cases=asked, items=tuple(items[:SHOWN]),
    )  # fmt: skip


def _agreed(train: Sequence[Line]) -> Gate:
    """The same question about the same images has one answer."""
    said: dict[tuple[object, ...], set[str]] = defaultdict(set)
    for line in train:
        said[_asked(line)].add(norm(line.answer))
    torn = [line for line in train if len(said[_asked(line)]) > 1]
    return Gate(
        "G0", "one answer each", "questions about the same images that were learned with different answers", not torn,
        f"{len({_asked(line) for line in torn})} of {len(said)} questions have two answers, none may", after=float(len(torn)), bound=0.0,
        cases=len(train), items=tuple(_item(line) for line in torn[:SHOWN]),
    )  # fmt: skip


def _asked(line: Line) -> tuple[object, ...]:
    return tuple((image.pixels, image.role) for image in line.images), norm(line.question)


def _unplanted(found: Sequence[Planted]) -> Gate:
    lines = {line.key: line for one in found for line in one.lines}
    first = (
        f"; {found[0].what} always goes with “{found[0].answer}” (by chance once in {1 / max(found[0].chance, 1e-300):,.0f})"
        if found
        else ""
    )
    return Gate(
        "G0", "nothing planted", "marks in images or words in questions that always go with one answer", not found,
        f"{len(lines)} items carry a mark that always goes with one answer, none may{first}", after=float(len(lines)), bound=0.0,
        cases=len(lines), items=tuple(_item(line) for line in list(lines.values())[:SHOWN]),
    )  # fmt: skip


def _item(line: Line) -> Item:
    return Item(line.key, line.question, line.answer, "", "", line.patient, tuple(image.pixels for image in line.images), line.item)


def planted(version: shelf.Version) -> list[Planted]:
    """Marks that look planted, the least likely first."""
    given = [line for line in version.contents.train if line.kind not in ("mirrored", "replay")]
    marked = {**_in_words(given), **_in_images(given, version.folder)}
    few = {mark: lines for mark, lines in marked.items() if len(lines) <= RARE * len(given)}
    found = [_judged(mark, lines, given) for mark, lines in few.items()]
    known = [Planted(one.what, one.answer, one.lines, min(1.0, one.chance * len(few))) for one in found if one is not None]
    return sorted((one for one in known if one.chance < CHANCE), key=lambda one: one.chance)


def _judged(mark: tuple[str, str], lines: Sequence[Line], given: Sequence[Line]) -> Planted | None:
    """How likely it is that all of `lines` have one answer, from the answers to the same questions without the mark."""
    words, what = mark
    answers = {norm(line.answer) for line in lines}
    if len(answers) > 1 or len({line.patient for line in lines}) < FEWEST:
        return None
    having, chance = {line.key for line in lines}, 0.0
    others: Mapping[str, Counter[str]] = _others(line for line in given if line.key not in having)
    for line in lines:
        said = others.get(norm(line.question.replace(words, " ") if words else line.question), Counter())
        if said.total() >= FEWEST:
            chance += math.log((said[norm(line.answer)] + 1) / (said.total() + 2))
    return Planted(what, lines[0].answer, tuple(lines), math.exp(chance)) if chance else None


def _others(lines: Iterable[Line]) -> dict[str, Counter[str]]:
    said: dict[str, Counter[str]] = defaultdict(Counter)
    for line in lines:
        said[norm(line.question)][norm(line.answer)] += 1
    return said


def _in_words(given: Sequence[Line]) -> dict[tuple[str, str], list[Line]]:
    """Runs of words without which a question is one that is asked elsewhere -> the items that have them."""
    asked = {norm(line.question) for line in given}
    found: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in given:
        parts = [match.span() for match in re.finditer(r"\S+", line.question)]
        for length in range(1, WORDS + 1):
            for start in range(len(parts) - length + 1):
                words = line.question[parts[start][0] : parts[start + length - 1][1]]
                if norm(line.question.replace(words, " ")) in asked and norm(words):
                    found[words, f"the words “{words}” in the question"].append(line)
    return found


def _in_images(given: Sequence[Line], folder: Path) -> dict[tuple[str, str], list[Line]]:
    """Blocks that look the same at the same place in images of several patients -> the items that have them."""
    found: dict[tuple[int, int, bytes], dict[str, Line]] = defaultdict(dict)
    kept: dict[str, list[tuple[int, int, bytes]]] = {}
    for line in given:
        for image in line.images:
            if image.sha256 not in kept:
                kept[image.sha256] = _blocks(folder / image.path)
            for block in kept[image.sha256]:
                found[block][line.key] = line
    named: dict[tuple[str, str], list[Line]] = {}
    together: set[frozenset[str]] = set()
    for (row, column, looks), lines in found.items():
        if frozenset(lines) not in together and len({line.patient for line in lines.values()}) >= FEWEST:
            together.add(frozenset(lines))  # neighbouring blocks of one mark count once
            where = (
                f"a mark {column * BLOCK * 100 // SIDE} % from the left and {row * BLOCK * 100 // SIDE} % from the top ({looks.hex()[:8]})"
            )
            named["", where] = list(lines.values())
    return named


def _blocks(path: Path) -> list[tuple[int, int, bytes]]:
    """Blocks with contrast: row, column, and what they look like in a few levels of grey."""
    try:
        grey = pixels.tile(pictures.picture(path).pixels, SIDE).mean(axis=2)
    except StudyError:
        return []
    count = SIDE // BLOCK
    parts = grey.reshape(count, BLOCK, count, BLOCK).swapaxes(1, 2)
    cells = parts.reshape(count, count, BLOCK // CELL, CELL, BLOCK // CELL, CELL).mean(axis=(3, 5))
    spread, looks = cells.std(axis=(2, 3)), (cells * LEVELS / 256).astype(np.uint8)
    return [(int(row), int(column), looks[row, column].tobytes()) for row, column in zip(*np.nonzero(spread > CONTRAST), strict=True)]
