"""How much of a gate's or benchmark's items a data set already knows: by pair of images, by patient, by image.

    report = compare(known(drafts), gate(Path("Med_MIM_benchmark_Held_in_Comparison.json"), ()))
    report.rows[0]       # MS-CXR-T: pair of 210 of 270 items, patient of 234

A patient and a pair are told by the files' own names; an image by its name, and by what it shows where both sides have it, so
that a copy under another name is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import StudyError
from finetune import medmim, pictures
from finetune.medmim import Benchmark, Item
from finetune.versions.drafts import Draft, collection
from finetune.versions.lines import Line

if TYPE_CHECKING:
    from finetune.versions.shelf import Version


@dataclass(frozen=True)
class Gate:
    """A file of questions that a model is to be measured on, and what it is called."""

    name: str
    file: Benchmark


@dataclass(frozen=True)
class Row:
    """One collection of a file: how many of its `items` share their pair, their patient, or an image with the data."""

    collection: str
    items: int
    pair: int
    patient: int
    image: int


@dataclass(frozen=True)
class Report:
    """What a file shares with the data; `looked` of its `images` could be compared by what they show."""

    file: str
    sha256: str
    items: int
    rows: tuple[Row, ...]
    images: int
    looked: int

    @property
    def clean(self) -> bool:
        """Whether nothing is shared."""
        return not any(row.pair or row.patient or row.image for row in self.rows)

    @property
    def content(self) -> dict[str, Any]:
        """As a manifest keeps it."""
        return {"file": self.file, "sha256": self.sha256, "items": self.items, "rows": [asdict(row) for row in self.rows],
                "images": self.images, "looked": self.looked}  # fmt: skip

    @property
    def lines(self) -> list[str]:
        """For people, one line a collection."""
        told = [
            f"  {row.collection}: pair of {row.pair} of {row.items} items, patient of {row.patient} of {row.items}, "
            f"an image of {row.image} of {row.items}"
            for row in self.rows
        ]
        return [f"{self.file}, {self.items} items ({self.looked} of {self.images} images compared by what they show)", *told]


@dataclass(frozen=True)
class Known:
    """What a data set knows: patients, images by name and by pixels, and pairs as sets of either."""

    patients: frozenset[str]
    images: frozenset[str]
    pairs: frozenset[frozenset[str]]

    def touches(self, patient: str, images: Sequence[str]) -> tuple[bool, bool, bool]:
        """Whether it has the pair, the patient, one of the images."""
        return len(images) > 1 and frozenset(images) in self.pairs, patient in self.patients, not self.images.isdisjoint(images)


def known(drafts: Iterable[Draft], lines: Iterable[Line] = ()) -> Known:
    """Names of drafts, names and pixels of lines. Names of pictures that the store rendered are no names and are left out."""
    patients: set[str] = set()
    groups: set[frozenset[str]] = set()
    for draft in drafts:
        patients.update(draft.line.people)
        groups.add(frozenset(draft.names))
    for line in lines:
        patients.update(line.people)
        groups |= {frozenset(image.name for image in line.images), frozenset(line.pictures)}
    return Known(frozenset(patients), frozenset().union(*groups), frozenset(group for group in groups if len(group) > 1))


@lru_cache(maxsize=1 << 16)
def pixels_of(path: Path) -> str:
    """Hash of what an image file shows, as answers keep it; `` for one that cannot be read."""
    try:
        return pictures.picture(path).sha256
    except StudyError:
        return ""


def gate(path: Path, roots: Sequence[Path]) -> Gate:
    """A gate's or benchmark's file, called as it was published where it was. Raises `TuneError`."""
    file = medmim.load(path, roots)
    return Gate(medmim.PUBLISHED.get(file.sha256, path.name), file)


def touched(data: Known, given: Gate) -> tuple[Item, ...]:
    """The file's items that share their pair, their patient or an image with the data."""
    shown = _shown(given.file)
    return tuple(item for item in given.file.items if any(_touched(data, item, shown)))


def compare(data: Known, given: Gate) -> Report:
    """Count what the file shares with the data, collection by collection."""
    file, shown = given.file, _shown(given.file)
    counts: dict[str, list[int]] = {}
    for item in file.items:
        counted = counts.setdefault(collection(item.source), [0, 0, 0, 0])
        for place, found in enumerate((True, *_touched(data, item, shown))):
            counted[place] += found
    rows = tuple(Row(name, *counted) for name, counted in counts.items())
    images = {name for item in file.items for name in item.images}
    return Report(given.name, file.sha256, len(file.items), rows, len(images), len(shown))


def shared(given: Sequence[Gate], drafts: Sequence[Draft]) -> frozenset[int]:
    """Places of the drafts whose patient or an image's name is in one of the files."""
    patients = {item.patient for one in given for item in one.file.items}
    images = {name for one in given for item in one.file.items for name in item.images}
    return frozenset(
        place for place, one in enumerate(drafts) if not patients.isdisjoint(one.line.people) or not images.isdisjoint(one.names)
    )


def seen(given: Sequence[Gate], lines: Sequence[Line]) -> frozenset[int]:
    """Places of the lines that show an image of one of the files."""
    pixels = {found for one in given for found in _shown(one.file).values()}
    return frozenset(place for place, line in enumerate(lines) if not pixels.isdisjoint(line.pictures))


def _touched(data: Known, item: Item, shown: Mapping[str, str]) -> tuple[bool, bool, bool]:
    by_name = data.touches(item.patient, item.images)
    by_sight = data.touches(item.patient, [shown[name] for name in item.images if name in shown])
    pair, patient, image = (one or other for one, other in zip(by_name, by_sight, strict=True))
    return pair, patient, image


def _shown(file: Benchmark) -> dict[str, str]:
    """Name -> pixels of the file's images that are there and can be read."""
    there = {name: path for item in file.items for name, path in zip(item.images, item.paths, strict=True) if path is not None}
    return {name: seen for name, path in there.items() if (seen := pixels_of(path))}


def of_version(version: Version, given: Gate) -> Report:
    """What a version that was built shares with a file."""
    return compare(known((), version.contents.every), given)
