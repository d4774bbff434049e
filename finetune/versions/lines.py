"""What a dataset version holds: examples and preferences, one JSON object a line, named by what they say and show.

An example is readable by `finetune.examples`. Its images are named by hashes, so that a line is the same on every machine; a
preference has `chosen` and `rejected` in the place of `answer`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from errors import TuneError
from inference.engine import Ability, Relationship

IMAGES = "images"
"""Folder of every version's images, beside the versions."""
FEEDBACK = "feedback"
"""Source of what readers said; its items are the feedback's numbers."""
PREFERRED = "preferred"
KINDS = ("given", "corrected", "agreed", "cell", PREFERRED, "mirrored", "replay")
"""How a line came to its answer: of a file, of a reader's correction, agreement, cell or choice of two, images exchanged, known before."""


@dataclass(frozen=True)
class Shown:
    """One image: `sha256` of its file and `pixels` of what it shows (as `AnswerRecord.image_hashes`); `name` is what it was called."""

    sha256: str
    pixels: str
    suffix: str
    name: str
    role: str = ""
    when: str = ""

    @property
    def path(self) -> str:
        """Where it lies, from the version's folder."""
        return f"../{IMAGES}/{self.sha256}{self.suffix}"


@dataclass(frozen=True)
class Line:
    """An example, or with `rejected` a preference whose chosen answer is `answer`.

    `item` is the id it has in its `source`, `patient` the person as far as known (several with ` & `), `label` a class of change
    or ``, `codes` the reader's error codes or the recipe of a preference, `reader` who said it (an opaque number), `` for a file's;
    `clinical` what was told beside the images, (label, text).
    """

    images: tuple[Shown, ...]
    question: str
    answer: str
    ability: Ability
    relationship: Relationship
    source: str
    kind: str
    item: str
    patient: str
    modality: str = ""
    label: str = ""
    codes: tuple[str, ...] = ()
    reader: str = ""
    rejected: str = ""
    clinical: tuple[tuple[str, str], ...] = ()

    @property
    def pictures(self) -> tuple[str, ...]:
        """Pixels of its images, in order."""
        return tuple(image.pixels for image in self.images)

    @property
    def people(self) -> tuple[str, ...]:
        """Every patient it shows."""
        return tuple(self.patient.split(" & "))

    @property
    def said(self) -> tuple[object, ...]:
        """What makes two lines the same: images in order with roles and times, question, clinical context, answers."""
        shown = tuple((image.pixels, image.role, image.when) for image in self.images)
        return shown, self.question, self.clinical, self.answer, self.rejected

    @property
    def asked(self) -> tuple[object, ...]:
        """What makes two lines the same question."""
        return self.said[:3]

    @property
    def key(self) -> str:
        """SHA-1 of source, id and what is said: the line's name."""
        return hashlib.sha1(repr((self.source, self.item, self.kind, self.said)).encode(), usedforsecurity=False).hexdigest()


def row(line: Line) -> dict[str, Any]:
    """The JSON object of a line."""
    images = [{"path": image.path, **{name: value for name, value in asdict(image).items() if name != "suffix"}} for image in line.images]
    told = {"chosen": line.answer, "rejected": line.rejected} if line.rejected else {"answer": line.answer}
    rest = {name: getattr(line, name) for name in ("ability", "relationship", "source", "kind", "item", "patient", "modality", "label")}
    said = {
        "clinical": [list(pair) for pair in line.clinical],
        "codes": list(line.codes),
        "reader": line.reader,
        "feedback": int(line.item) if line.source == FEEDBACK else None,
    }
    return {"key": line.key, "images": images, "question": line.question, **told, **rest, **said}


def text(lines: Iterable[Line]) -> str:
    """The lines as a file holds them."""
    return "".join(json.dumps(row(line), ensure_ascii=False, sort_keys=True) + "\n" for line in lines)


def line_of(found: Any, where: str) -> Line:
    """The line of a JSON object. Raises `TuneError` naming the place `where` it stands."""
    try:
        images = tuple(_shown(one) for one in found["images"])
        words = {
            name: str(found.get(name, "")) for name in ("source", "kind", "item", "patient", "modality", "label", "reader", "rejected")
        }
        clinical = tuple((str(name), str(told)) for name, told in found.get("clinical", ()))
        rest: dict[str, Any] = {**words, "codes": tuple(map(str, found.get("codes", ()))), "clinical": clinical}
        answer = found.get("answer") or found["chosen"]
        line = Line(images, str(found["question"]), str(answer), found["ability"], found["relationship"], **rest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TuneError(f"{where}: this is no line of a dataset version ({error}); export the version again") from error
    if line.ability not in get_args(Ability) or line.relationship not in get_args(Relationship) or line.kind not in KINDS:
        raise TuneError(f"{where}: ability, relationship or kind is unknown; export the version again")
    if found.get("key", line.key) != line.key:
        raise TuneError(f"{where}: the line was changed since it was written; export the version again")
    return line


def _shown(one: Mapping[str, str]) -> Shown:
    return Shown(one["sha256"], one["pixels"], Path(one["path"]).suffix, one["name"], one.get("role", ""), one.get("when", ""))


def read(path: Path) -> list[Line]:
    """Every line of a file. Raises `TuneError`."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, ValueError) as error:
        raise TuneError(f"{path}: it cannot be read ({error}); take the folder from where it came once more") from error
    return [line_of(found, f"{path.name} line {number}") for number, found in enumerate(rows, 1)]


def exchanged(line: Line, **changes: Any) -> Line:
    """The line with its two pictures in each other's places; roles and times stay where they are."""
    first, second = line.images
    turned = (replace(second, role=first.role, when=first.when), replace(first, role=second.role, when=second.when))
    return replace(line, images=turned, **changes)


def sha256(parts: Sequence[str]) -> str:
    """One digest of several files' contents, in order."""
    return hashlib.sha256("".join(hashlib.sha256(part.encode()).hexdigest() for part in parts).encode()).hexdigest()
