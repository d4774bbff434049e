"""What supervised fine-tuning reads: questions about several images with the answer to learn, from wherever they come.

Three sources give the same value: Med-MIM files (published or composed), the pair generator, and files of examples, one JSON
object a line, which is also how readers' corrections arrive:

    {"images": [{"path": "a.png", "role": "prior"}, {"path": "b.png", "role": "current", "when": "14 days later"}],
     "question": "What changed since the prior?", "answer": "The effusion is larger."}

A preference has `chosen` and `rejected` in the place of `answer`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np

from errors import TuneError
from finetune import dataset, medmim, pictures
from finetune.base import cache_dir
from finetune.dataset import Sources
from finetune.synthesis import phantom
from finetune.synthesis.films import FilmSource
from inference import pixels
from inference.engine import RGB, Ability, Image, Relationship, Request

KINDS = ("medmim", "examples", "generator")
FILM_SIZE = 256
"""Side at which the generator paints, pixels."""


@dataclass(frozen=True)
class Source:
    """One source of a recipe. Paths are below the data root."""

    kind: str
    """`medmim`, `examples` or `generator`."""
    file: str = ""
    """The JSON file of `medmim`, the JSON lines of `examples`."""
    images: tuple[str, ...] = ()
    """Folders in which its images are looked for."""
    limit: int = 0
    """At most so many items, the first ones; 0 takes all."""
    pairs: int = 0
    """Pairs of `generator`."""
    questions: int = 4
    """Questions about each of those pairs."""
    phantom: float = 1.0
    """Share of those pairs made from the phantom; the rest are painted on `films`."""
    films: tuple[str, ...] = ()
    """Folders of real films to paint on."""
    strength: float = 1.0
    """Acquisition differences of those pairs, 0 none to 2 strong."""

    def __post_init__(self) -> None:
        """Refuse a source that names nothing to read."""
        if self.kind not in KINDS:
            raise TuneError(f"data: there is no kind {self.kind!r}; known are {', '.join(KINDS)}")
        if (self.kind == "generator") != bool(self.pairs) or (self.kind != "generator") != bool(self.file):
            raise TuneError(
                f"data: a source of kind {self.kind} needs {'pairs' if self.kind == 'generator' else 'a file'} and nothing else"
            )
        if self.kind == "generator" and (not 0 <= self.phantom <= 1 or (self.phantom < 1 and not self.films)):
            raise TuneError("data: the generator paints on real films but names no folder of films; add `films` or set phantom to 1")


class Picture(Protocol):
    """An image that can be read when it is needed. `key` is the SHA-256 of what it is read from."""

    @property
    def key(self) -> str:
        """SHA-256 in hex; reads the file the first time."""
        ...

    def trouble(self) -> str:
        """Why it cannot be read, `` when it can; cheap."""
        ...

    def pixels(self) -> RGB:
        """(H, W, 3) uint8."""
        ...


@dataclass(frozen=True)
class FilePicture:
    """An image file through the product's own reader."""

    path: Path

    @property
    def key(self) -> str:
        """SHA-256 of the file."""
        return _file_digest(self.path)

    def trouble(self) -> str:
        """Why its head cannot be read."""
        return pictures.trouble(self.path) if self.path.is_file() else f"{self.path} is not there"

    def pixels(self) -> RGB:
        """Raises `StudyError`."""
        return pictures.picture(self.path).pixels


@dataclass(frozen=True)
class FilmPicture:
    """One end of a generated pair, made again when it is needed."""

    sources: Sources
    seed: int
    end: int
    strength: float
    key: str

    def trouble(self) -> str:
        """Nothing can be wrong with it."""
        return ""

    def pixels(self) -> RGB:
        """(FILM_SIZE, FILM_SIZE, 3)."""
        return pixels.rgb(_films(self.sources, self.seed, self.strength)[self.end])


@dataclass(frozen=True)
class Example:
    """A question about ordered images, and the answer to learn, or to prefer to `rejected`. `name` says where it stands, for sentences."""

    name: str
    images: tuple[Picture, ...]
    question: str
    answer: str
    ability: Ability = "temporal"
    relationship: Relationship = "temporal"
    roles: tuple[str, ...] = ()
    whens: tuple[str, ...] = ()
    rejected: str = ""
    clinical: tuple[tuple[str, str], ...] = ()
    """Clinical context told with the question, (label, text) in order."""
    replayed: bool = False
    """Whether it is there so that nothing is forgotten: then a run may hold to what the model said before, whatever the answer."""

    def request(self) -> Request:
        """As it will be asked; the images carry roles and times and no pixels."""
        blank, count = np.zeros((1, 1, 3), np.uint8), len(self.images)
        named = zip(self.roles or ("",) * count, self.whens or ("",) * count, strict=True)
        images = tuple(Image(blank, "", role, when) for role, when in named)
        return Request(images, self.question, self.ability, self.relationship, clinical=self.clinical)


@dataclass(frozen=True)
class Collected:
    """Examples of one source and what names it in the run's manifest; `missing` images were found under no folder."""

    source: Source
    sha256: str
    examples: tuple[Example, ...]
    missing: tuple[str, ...] = ()


def collect(source: Source, root: Path, seed: int) -> Collected:
    """Read a source. Raises `TuneError`."""
    if source.kind == "generator":
        return _generated(source, root, seed)
    read = _medmim if source.kind == "medmim" else _lines
    found = read(source, root)
    if source.limit:
        return Collected(found.source, found.sha256, found.examples[: source.limit], found.missing)
    return found


def _medmim(source: Source, root: Path) -> Collected:
    """Asked exactly as evaluation asks; an image that is not there is a path that `trouble` names."""
    read = medmim.load(root / source.file, [root / folder for folder in source.images])
    first = root / source.images[0] if source.images else root
    examples = [
        Example(
            f"{source.file} {item.id}",
            tuple(FilePicture(path or first / name) for path, name in zip(item.paths, item.images, strict=True)),
            medmim.question(item),
            item.answer,
            item.ability,
        )
        for item in read.items
    ]
    return Collected(source, read.sha256, tuple(examples), read.missing)


def _lines(source: Source, root: Path) -> Collected:
    path = root / source.file
    try:
        raw = path.read_bytes()
        rows = [(number, json.loads(line)) for number, line in enumerate(raw.decode().splitlines(), 1) if line.strip()]
    except (OSError, ValueError) as error:
        raise TuneError(f"{path}: the examples cannot be read ({error}); give JSON lines in UTF-8") from error
    folders = [root / folder for folder in source.images] or [path.parent]
    examples = tuple(_example(row, f"{source.file} line {number}", folders) for number, row in rows)
    return Collected(source, hashlib.sha256(raw).hexdigest(), examples)


def _example(row: Any, name: str, folders: Sequence[Path]) -> Example:
    """One line of a file of examples."""
    if not isinstance(row, dict) or not isinstance(row.get("images"), list) or not row["images"]:
        raise TuneError(f"{name}: an example is an object with images, question and answer; correct the file")
    shown = [{"path": entry} if isinstance(entry, str) else entry for entry in row["images"]]
    answer: Any = row.get("answer", row.get("chosen"))
    rejected: Any = row.get("rejected", "")
    text = [row.get("question"), answer, rejected, *(one.get(key, "") for one in shown for key in ("path", "role", "when"))]
    if not all(isinstance(value, str) for value in text) or not all(one["path"] for one in shown):
        raise TuneError(f"{name}: question, answer, path, role and when are text, and each image has a path; correct the file")
    ability, relationship = row.get("ability", "temporal"), row.get("relationship", "temporal")
    if ability not in get_args(Ability) or relationship not in get_args(Relationship):
        raise TuneError(f"{name}: ability {ability!r} or relationship {relationship!r} is unknown; correct the file")
    found = [
        next((folder / one["path"] for folder in folders if (folder / one["path"]).is_file()), folders[0] / one["path"]) for one in shown
    ]
    roles, whens = (tuple(one.get(key, "") for one in shown) for key in ("role", "when"))
    clinical = tuple((str(label), str(told)) for label, told in row.get("clinical") or ())
    return Example(
        name, tuple(map(FilePicture, found)), row["question"], answer, ability, relationship, roles, whens, rejected, clinical,
        row.get("kind") == "replay",
    )  # fmt: skip


def _generated(source: Source, root: Path, seed: int) -> Collected:
    """Questions about the generator's pairs; the same seed gives the same."""
    films = tuple(root / name for name in source.films)
    real = FilmSource(films, cache_dir().parent / "films", "train") if source.phantom < 1 else None
    sources = Sources(phantom.PhantomSource("train", dataset.PATIENTS), real, source.phantom)
    examples = [example for number in range(source.pairs) for example in _questions(source, sources, seed + number)]
    text = json.dumps([[example.question, example.answer, *(image.key for image in example.images)] for example in examples])
    return Collected(source, hashlib.sha256(text.encode()).hexdigest(), tuple(examples))


def _questions(source: Source, sources: Sources, seed: int) -> Iterator[Example]:
    pair = sources.pair(seed, FILM_SIZE, source.strength)
    keys = [hashlib.sha256(film.tobytes()).hexdigest() for film in (pair.prior, pair.current)]
    for item in dataset.choose(pair, source.questions, np.random.default_rng([seed, 11])):
        images = tuple(FilmPicture(sources, seed, end, source.strength, keys[end]) for end in item.images)
        name = f"pair {seed} {item.kind}"
        yield Example(name, images, item.question, item.answer, item.ability, item.relationship, item.roles, item.whens)


@lru_cache(maxsize=8)
def _films(sources: Sources, seed: int, strength: float) -> tuple[Any, Any]:
    pair = sources.pair(seed, FILM_SIZE, strength)
    return pair.prior, pair.current


@lru_cache(maxsize=1 << 16)
def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def summary(found: Collected) -> Mapping[str, Any]:
    """What a run's manifest says of a source."""
    return {"kind": found.source.kind, "file": found.source.file, "sha256": found.sha256, "items": len(found.examples)}
