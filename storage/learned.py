"""What was learned, as part of a backup: dataset versions, runs and adapters with the history that says which one answers.

They are files that `finetune` writes whole or not at all, so they are copied while people work. Left out is what a run makes again
by itself: what the image tower made of each image, and half-written files.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from storage.content import copied, flush
from storage.database import private_folder

FOLDERS = ("adapters", "runs", "versions")
HISTORY, IMAGES = "adapters/history.jsonl", "versions/images/"
SPARED = ("runs/*/lock", "runs/*/features", ".*", "*.part")


def known(name: str) -> bool:
    """Whether a name in a backup's list is one that this module writes."""
    parts = PurePosixPath(name).parts
    return len(parts) > 1 and parts[0] in FOLDERS and ".." not in parts


def copy(data: Path, draft: Path) -> dict[str, str]:
    """Copy everything learned from the data directory into `draft`; SHA-256 by name. Raises `OSError`."""
    found: dict[str, str] = {}
    for name in _names(data):
        try:
            found[name] = _one(data / name, draft / name)
        except FileNotFoundError:  # a checkpoint that was replaced meanwhile
            (draft / name).unlink(missing_ok=True)
    return found


def present(data: Path) -> bool:
    """Whether the data directory holds anything learned."""
    return next(_names(data), None) is not None


def swap(backup: Path, files: Mapping[str, str], data: Path, aside: Path) -> None:
    """Put the backup's `files` in the place of what was learned here, which goes to the folder `aside`. Raises `OSError`."""
    fresh = data / ".learned"
    shutil.rmtree(fresh, ignore_errors=True)
    private_folder(fresh)
    for name, sha256 in files.items():
        if known(name) and _one(backup / name, fresh / name) != sha256:
            raise OSError(errno.EIO, "the backup changed while it was copied")
    for folder in FOLDERS:
        if (data / folder).is_dir():
            private_folder(aside)
            (data / folder).rename(aside / folder)
        if (fresh / folder).is_dir():
            (fresh / folder).rename(data / folder)
    shutil.rmtree(fresh)
    flush(data)


def _names(data: Path) -> Iterator[str]:
    """Files by their names, each before what it names: the history, adapters, runs, versions, and images last."""
    if (data / HISTORY).is_file():
        yield HISTORY
    for folder in FOLDERS:
        yield from (name for name in _below(data, folder) if name != HISTORY and not name.startswith(IMAGES))
    yield from _below(data, IMAGES.rstrip("/"))


def _below(data: Path, folder: str) -> Iterator[str]:
    for place, inner, names in os.walk(data / folder):
        here = PurePosixPath(Path(place).relative_to(data).as_posix())
        inner[:], kept = ([name for name in sorted(some) if not any((here / name).match(one) for one in SPARED)] for some in (inner, names))
        yield from (str(here / name) for name in kept)


def _one(origin: Path, target: Path) -> str:
    """Copy a file, for this user's eyes only and as changeable as it was; the hash of what was copied."""
    private_folder(target.parent)
    found = copied(origin, target)
    target.chmod(origin.stat().st_mode & 0o700)
    flush(target)
    return found
