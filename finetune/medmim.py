"""Med-MIM as published: questions about several images, read strictly, keyed for ever, and never completed by guessing.

Every file is a list of ``{"id", "images", "conversation": [user, assistant], "source"}``. The key of an item, the parser and
the subset names are those of the scoring protocol; what is wrong in a file is refused in one sentence, and an image that no
root holds is listed as missing.

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
from typing import Any

from errors import TuneError
from finetune import lookup
from inference.engine import Ability

INSTRUCTION = "Answer with the option's letter from the given choices directly."

BENCHMARK = "Med_MIM_benchmark_"
PUBLISHED = {
    "265b2538ee6169be9f51b1834b229cc2712b99e6cb00786940b411cbe5c2db0f": f"{BENCHMARK}Held_in_Temporal.json",
    "4ce9790ccacccbbafac72d4dab099a9d8bd0fd22ece3d03fc006d524e8f728eb": f"{BENCHMARK}Held_in_Comparison.json",
    "cb3369a051e4ee8d2a5818802161c063b34bc965225724167069d77dd555f4d5": f"{BENCHMARK}Held_in_Reasoning.json",
    "4356ef0251f6c414828fee102eebdc4ec9d63442bf895f979d5f1722fb581756": f"{BENCHMARK}Held_in_Coreference.json",
    "da253e35ad3e4b9bc296b08c582e430f29803975b66c9b52c48d7f7eae26b153": f"{BENCHMARK}Held_out_ODIR.json",
    "d3bd573b26a29052307391fd579b485fcda5f7efd51472f0cf9ee6342f719700": f"{BENCHMARK}Held_out_RAD.json",
}
"""SHA-256 of the six published benchmark files -> their published names."""
SUBSETS: dict[str, Ability] = {
    "temporal": "temporal",
    "comparison": "comparison",
    "reasoning": "reasoning",
    "coreference": "coreference",
    "odir": "comparison",
    "rad": "comparison",
    "composed": "comparison",
}
"""Word of a file's name that names its subset -> the ability it asks for; a composed item's source may name another."""

PLACE = "<image>"
OPTION = re.compile(r"^\s*([A-H])\s*:\s*(.+?)\s*$", re.MULTILINE)
GOLD = re.compile(r"([A-H])\s*:")
PREFIX = re.compile(rf"(?:\s*{PLACE})*\s*")
REMEDY = "correct the file, or download it again"


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


@dataclass(frozen=True)
class _Entry:
    """An item's fields after the checks of the schema."""

    id: str
    source: str
    images: tuple[str, ...]
    question: str
    answer: str


def load(path: Path, image_root: Path | Sequence[Path] | None = None) -> Benchmark:
    """Read one file, and look for its images under one or several roots; without a root all images are missing.

    Raises `TuneError`, one sentence naming file, item and cause.
    """
    content, digest = _content(path)
    published = PUBLISHED.get(digest, path.name)
    name = subset(published)
    entries = [_entry(raw, f"{path.name}: item {number}") for number, raw in enumerate(content, 1)]
    roots = [image_root] if isinstance(image_root, Path) else list(image_root or ())
    found = lookup.find([image for entry in entries for image in entry.images], roots)
    seen: dict[str, int] = {}
    items = []
    for number, entry in enumerate(entries, 1):
        where = f"{path.name}: item {number} ({_short(entry.id)})"
        item = _item(entry, name, published, tuple(found.get(image) for image in entry.images), where)
        if seen.setdefault(item.key, number) != number:
            raise TuneError(f"{where} repeats the id, source and question of item {seen[item.key]}; keep one of them")
        items.append(item)
    missing = sorted({image for entry in entries for image in entry.images} - set(found))
    return Benchmark(name, digest, tuple(items), tuple(missing), digest in PUBLISHED)


def subset(name: str) -> str:
    """Subset that a file of that name belongs to, `` when its name names none: ``..Held_out_RAD.json`` -> ``rad``."""
    words = re.split(r"[^a-z]+", name.removesuffix(".json").lower())
    known = next((word for word in words if word in SUBSETS), "")
    return f"train_{known}" if known and "train" in words and known != "composed" else known


def _content(path: Path) -> tuple[list[Any], str]:
    """The file's list and its SHA-256."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TuneError(f"{path}: the benchmark file cannot be read ({error.strerror}); give the path of a Med-MIM JSON file") from error
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise TuneError(f"{path.name}: this is not JSON ({error}); download the file again") from error
    if not isinstance(content, list) or not content:
        raise TuneError(f"{path.name}: a Med-MIM file is a list of items and this is not one, or an empty one; give another file")
    return content, hashlib.sha256(raw).hexdigest()


def _entry(raw: Any, where: str) -> _Entry:
    """Check one element of the list against the schema."""
    if not isinstance(raw, dict):
        raise TuneError(f"{where} is not an object with id, images, conversation and source; {REMEDY}")
    for field in ("id", "source"):
        if not isinstance(raw.get(field), str) or not raw[field]:
            raise TuneError(f"{where} has no {field}; {REMEDY}")
    where = f"{where} ({_short(raw['id'])})"
    if not _is_text(raw):
        raise TuneError(f"{where} holds characters that no text has; {REMEDY}")
    images = raw.get("images")
    if not isinstance(images, list) or not images or not all(isinstance(image, str) and image for image in images):
        raise TuneError(f"{where} names no images; {REMEDY}")
    for image in images:
        if not lookup.safe(image):
            raise TuneError(f"{where} names an image that cannot lie in the image folder ({_short(image)}); {REMEDY}")
    question, answer = _turns(raw.get("conversation"), where)
    return _Entry(raw["id"], raw["source"], tuple(images), question, answer)


def _short(text: str) -> str:
    """A name as an error shows it: one line, not too long, printable."""
    line = "".join(character if character.isprintable() else "?" for character in text)
    return line if len(line) <= 80 else f"{line[:79]}…"


def _is_text(raw: dict[str, Any]) -> bool:
    """Whether every string of an item can be encoded; JSON can hold half a character."""
    try:
        json.dumps(raw, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _turns(conversation: Any, where: str) -> tuple[str, str]:
    """The user's and the assistant's words of a conversation of exactly these two turns."""
    if not isinstance(conversation, list) or len(conversation) != 2:
        count = len(conversation) if isinstance(conversation, list) else 0
        raise TuneError(f"{where} has {count} turns and must have two, a question and its answer; {REMEDY}")
    said = []
    for turn, role in zip(conversation, ("user", "assistant"), strict=True):
        text = turn.get("content") if isinstance(turn, dict) and turn.get("role") == role else None
        if not isinstance(text, str) or not text.replace(PLACE, "").strip():
            raise TuneError(f"{where} has no words of the {role} where they belong; {REMEDY}")
        said.append(text)
    return said[0], said[1]


def _item(entry: _Entry, name: str, published: str, paths: tuple[Path | None, ...], where: str) -> Item:
    """Parse question and answer (P1), and name the item."""
    prefix = PREFIX.match(entry.question)
    body = entry.question[prefix.end() if prefix else 0 :]
    places, inside = entry.question.count(PLACE), body.count(PLACE)
    if inside or places != len(entry.images):
        cause = "one after its first word" if inside else f"{places} before the question"
        raise TuneError(f"{where} has {len(entry.images)} images and {PLACE} places do not fit them ({cause}); {REMEDY}")
    options, letter = _options(body, entry.answer, where)
    ability = _ability(name, entry.source, where)
    patient, cluster = lookup.unit(name, entry.source, entry.images)
    digest = hashlib.sha1("|".join((published, entry.id, entry.source, entry.question)).encode(), usedforsecurity=False)
    return Item(
        key=digest.hexdigest(),
        file=name or ability,
        id=entry.id,
        source=entry.source,
        ability=ability,
        images=entry.images,
        paths=paths,
        stem=_stem(body, options),
        options=options,
        answer=entry.answer.strip(),
        letter=letter,
        cluster=cluster,
        patient=patient,
    )


def _stem(body: str, options: Sequence[tuple[str, str]]) -> str:
    """First line of a closed question, the whole of an open one, without the stray quotation mark that some end in."""
    text = body.strip()
    return (text.splitlines()[0] if options else text).strip().removesuffix('"').rstrip()


def _options(body: str, answer: str, where: str) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """Options and gold letter of a closed question, (), None of an open one."""
    options = tuple((match[1], match[2]) for match in OPTION.finditer(body))
    gold = GOLD.match(answer.lstrip())
    if len(options) < 2 or not gold:
        return (), None
    letters = [letter for letter, _ in options]
    if len(set(letters)) != len(letters):
        raise TuneError(f"{where} offers the same letter twice; {REMEDY}")
    if gold[1] not in letters:
        raise TuneError(f"{where} has the answer {gold[1]} and offers only {', '.join(letters)}; {REMEDY}")
    return options, gold[1]


def _ability(name: str, source: str, where: str) -> Ability:
    """What the item asks for: of its subset; where that does not say, of the word in its source."""
    plain = name.removeprefix("train_")
    if plain and plain != "composed":
        return SUBSETS[plain]
    words = re.split(r"[^a-z]+", source.lower())
    ability = next((SUBSETS[word] for word in words if word in SUBSETS and word != "composed"), None) or SUBSETS.get(plain)
    if ability is None:
        raise TuneError(
            f"{where}: neither the file's name nor the source {source!r} names a known ability; put one of {', '.join(SUBSETS)} "
            "in the file's name"
        )
    return ability


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
