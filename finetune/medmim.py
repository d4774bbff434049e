"""Med-MIM as published: questions about several images, read strictly, keyed for ever, and never completed by guessing.

Every file is a list of ``{"id", "images", "conversation": [user, assistant], "source"}``. The key of an item, the parser and
the subset names are those of the scoring protocol; what the file does not hold is an error, and an image that no root holds
is listed as missing.

    benchmark = load(Path("Med_MIM_benchmark_Held_out_RAD.json"), Path("vqa_rad/images"))
    benchmark.items[0].paths      # where its images are, None for each that is missing
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from errors import TuneError
from inference.engine import Ability

INSTRUCTION = "Answer with the option's letter from the given choices directly."


@dataclass(frozen=True)
class Item:
    """One question, its images as the file names them, and the answer that counts.

    `file` is the subset's name (`temporal`, `comparison`, `reasoning`, `coreference`, `odir`, `rad`, `train_comparison`..,
    `composed`); `options` are (letter, text) in the file's order, empty for an open question; `letter` is the gold letter;
    `cluster` is the unit of the bootstrap and `patient` the person, as far as the paths tell; `paths` stand beside `images`.
    """

    key: str
    file: str
    id: str
    source: str
    ability: Ability
    images: tuple[str, ...]
    paths: tuple[Path | None, ...]
    stem: str
    options: tuple[tuple[str, str], ...]
    answer: str
    letter: str | None
    cluster: str
    patient: str

    @property
    def closed(self) -> bool:
        """Whether it is answered by a letter."""
        return self.letter is not None

    @property
    def complete(self) -> bool:
        """Whether every image was found."""
        return all(path is not None for path in self.paths)


@dataclass(frozen=True)
class Benchmark:
    """A file that was read: its subset's name, SHA-256, items in file order, and the images that no root holds.

    `frozen` says that the file is byte for byte one of the six published benchmark files.
    """

    name: str
    sha256: str
    items: tuple[Item, ...]
    missing: tuple[str, ...]
    frozen: bool


def load(path: Path, image_root: Path | Sequence[Path] | None = None) -> Benchmark:
    """Read one file, and look for its images under one or several roots; without a root all images are missing.

    Raises `TuneError`, one sentence naming file, item and cause.
    """
    raise TuneError(f"{path}: not read yet ({image_root})")


def rotations(item: Item) -> tuple[tuple[int, ...], ...]:
    """Every cyclic order of the item's n options, the file's own first: n tuples of n places."""
    count = len(item.options)
    return tuple(tuple((place + turn) % count for place in range(count)) for turn in range(count))


def shown(item: Item, order: Sequence[int] | None = None) -> tuple[tuple[str, str], ...]:
    """Options as they are shown in `order`: letters keep their places, texts move; place i shows option order[i]."""
    if order is None:
        return item.options
    return tuple((letter, item.options[index][1]) for (letter, _), index in zip(item.options, order, strict=True))


def original(item: Item, letter: str | None, order: Sequence[int] | None = None) -> str | None:
    """The file's letter of what `letter` meant when options were shown in `order`; None stays None."""
    if letter is None or order is None:
        return letter
    place = [known for known, _ in item.options].index(letter)
    return item.options[order[place]][0]


def question(item: Item, order: Sequence[int] | None = None) -> str:
    """What is asked: stem, options in `order`, and the instruction to answer by letter; an open question as it is."""
    if not item.closed:
        return item.stem
    lines = [f"{letter}: {text}" for letter, text in shown(item, order)]
    return "\n".join([item.stem, *lines, INSTRUCTION])
