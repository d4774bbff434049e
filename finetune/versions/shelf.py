"""Versions on disk: one folder each, written once, whole or not at all, and never changed.

version = shelf.read(settings.versions_dir, "v3")
version.sha256, version.manifest["counts"]["train"]
shelf.check(version)                    # every file and image against its hash
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from errors import InputError, TuneError
from finetune import files
from finetune.versions import lines
from finetune.versions.lines import Line
from inference import manifest as hashes

MANIFEST = "manifest.json"
TRAIN, HELD, PREFERENCES = "train.jsonl", "held.jsonl", "preferences.jsonl"
FILES = (TRAIN, HELD, PREFERENCES)
FORMAT = 1
READ_ONLY = 0o444
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Contents:
    """The lines of a version: trained on, held back, and preferences."""

    train: tuple[Line, ...]
    held: tuple[Line, ...]
    preferences: tuple[Line, ...]

    @property
    def parts(self) -> tuple[tuple[Line, ...], ...]:
        """As `FILES`."""
        return self.train, self.held, self.preferences

    @property
    def every(self) -> tuple[Line, ...]:
        """All lines."""
        return tuple(line for part in self.parts for line in part)

    @property
    def sha256(self) -> str:
        """Of what is said and shown; the same on every machine."""
        return lines.sha256([lines.text(part) for part in self.parts])


@dataclass(frozen=True)
class Version:
    """A data set as it was written."""

    name: str
    folder: Path
    sha256: str
    manifest: Mapping[str, Any]

    @property
    def contents(self) -> Contents:
        """Its lines. Raises `TuneError`."""
        return Contents(*(tuple(lines.read(self.folder / name)) for name in FILES))


def fresh(versions: Path, name: str) -> str:
    """A free name: the given one, or the next of v1, v2... Raises `InputError` for one that is taken or no name."""
    if not name:
        taken = {version.name for version in every(versions)}
        return next(free for number in range(1, len(taken) + 2) if (free := f"v{number}") not in taken)
    if not NAME.fullmatch(name) or name == lines.IMAGES:
        raise InputError(f"{name} is no name of a version; use small letters, digits, dots and dashes")
    if (versions / name).exists():
        raise InputError(f"{name} is there already and versions are never changed; choose another name")
    return name


def write(versions: Path, name: str, contents: Contents, facts: Mapping[str, Any]) -> Version:
    """Keep a version under a free name; its images are in the stock already. Raises `TuneError` on a full disk."""
    part, place = versions / f".{name}.part", versions / name
    shutil.rmtree(part, ignore_errors=True)
    images = {versions / lines.IMAGES / Path(image.path).name for line in contents.every for image in line.images}
    try:
        part.mkdir(parents=True)
        for file, found in zip(FILES, contents.parts, strict=True):
            (part / file).write_text(lines.text(found), encoding="utf-8")
        content = {
            "kind": "dataset",
            "format": FORMAT,
            "name": name,
            "sha256": contents.sha256,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "files": {file: hashes.digest(part / file) for file in FILES},
            "images": {"count": len(images), "bytes": sum(path.stat().st_size for path in images)},
            "counts": counts(*contents.parts),
            **facts,
        }
        files.write_json(part / MANIFEST, content)
        for file in (*FILES, MANIFEST):
            (part / file).chmod(READ_ONLY)
        part.rename(place)
    except OSError as error:
        with suppress(OSError):
            shutil.rmtree(part)
        raise TuneError(f"{place}: the version cannot be written ({error.strerror}); make room and build it again") from error
    return read(versions, name)


def read(versions: Path, name: str) -> Version:
    """A version by its name. Raises `InputError` when there is none, `TuneError` when its manifest is not one."""
    folder = versions / name
    if not NAME.fullmatch(name) or not (folder / MANIFEST).is_file():
        known = ", ".join(version.name for version in every(versions)) or "none"
        raise InputError(f"there is no dataset version {name}; known: {known} (python app.py finetune list)")
    found = files.read_json(folder / MANIFEST, "take the version from a backup, or build it again")
    if found.get("kind") != "dataset" or found.get("format") != FORMAT:
        raise TuneError(f"{folder}: this is no dataset version of format {FORMAT}; build it again")
    return Version(name, folder, str(found["sha256"]), found)


def every(versions: Path) -> tuple[Version, ...]:
    """All versions, oldest first."""
    found = [read(versions, path.parent.name) for path in versions.glob(f"*/{MANIFEST}") if NAME.fullmatch(path.parent.name)]
    return tuple(sorted(found, key=lambda version: (version.manifest["created"], version.name)))


def check(version: Version) -> None:
    """Hash every file and image. Raises `TuneError` naming the first that is not what it was."""
    for file, sha256 in version.manifest["files"].items():
        _same(version.folder / file, sha256)
    for image in {image.path: image for line in version.contents.every for image in line.images}.values():
        _same(version.folder / image.path, image.sha256)


def _same(path: Path, sha256: str) -> None:
    if not path.is_file() or hashes.digest(path) != sha256:
        cause = "was changed" if path.is_file() else "is gone"
        raise TuneError(f"{path.resolve()} {cause} since the version was built; take it from a backup, or build a new version")


def counts(train: Sequence[Line], held: Sequence[Line], preferences: Sequence[Line]) -> dict[str, object]:
    """What a version holds, by split and of its examples by source, ability, modality, label, kind and error code."""
    examples = [*train, *held]

    def by(name: str) -> dict[str, int]:
        return dict(sorted(Counter(getattr(line, name) or "none" for line in examples).items()))

    return {
        "train": len(train),
        "held": len(held),
        "preferences": len(preferences),
        "patients": len({patient for line in examples for patient in line.people}),
        **{name: by(name) for name in ("source", "ability", "modality", "label", "kind")},
        "code": dict(sorted(Counter(code for line in preferences for code in line.codes).items())),
    }


def told(found: Mapping[str, int] | Sequence[tuple[str, int]]) -> str:
    """Counts in words: ``3 temporal, 1 comparison``."""
    pairs = found.items() if isinstance(found, Mapping) else found
    return ", ".join(f"{count} {name}" for name, count in pairs)
