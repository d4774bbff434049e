"""Where the images of a Med-MIM file are, and whose they are; both are read from the names alone, and never guessed.

A name is looked for as it is written, then by the part of it that the user's folders share, then by its last part where that
is the only one of its kind on both sides. Two names that would share one file get none.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from errors import TuneError

LUMIERE = re.compile(r"LUMIERE[^/]*/(Patient-\d+)/.*?(week_\d+(?:-\d+)?)")
EMBED = re.compile(r"^cohort_\d+/(\d+)/")
MIMIC = re.compile(r"(?:^|/)p\d\d/(p\d{8})/")
ODIR = re.compile(r"(\d+)_(?:left|right)\.\w+$")

LONGEST, LONGEST_PART = 1000, 200
"""Characters of a name, and of one part of it, that every file system takes."""

Index = Mapping[str, Sequence[tuple[str, ...]]]
"""Last part of a path -> the paths below a root that end in it, in parts."""


def safe(name: str) -> bool:
    """Whether a name stays below the folder it is looked for in and can be a file's: relative, no `..`, drive, back slash or NUL."""
    parts = name.split("/")
    if len(name) > LONGEST or max(map(len, parts)) > LONGEST_PART:
        return False
    return not (parts[0] == "" or ".." in parts or set(parts) <= {".", ""} or "\\" in name or "\0" in name or name[1:2] == ":")


def find(names: Sequence[str], roots: Sequence[Path]) -> dict[str, Path]:
    """Name -> file, for the names that a root holds; earlier roots first. `TuneError` when a root is no folder."""
    found: dict[str, Path] = {}
    for root in roots:
        if not root.is_dir():
            raise TuneError(f"{root}: the image folder is not there; give the folder that holds the images")
        wanted = [name for name in dict.fromkeys(names) if name not in found]
        found |= {name: root / name for name in wanted if (root / name).is_file()}
        rest = [name for name in wanted if name not in found]
        if rest:
            found |= _below(rest, wanted, root)
    return found


def _below(names: Sequence[str], wanted: Sequence[str], root: Path) -> dict[str, Path]:
    """Those of `names` that a file below `root` answers to; `wanted` are all that compete for it."""
    index = _index(root)
    lasts = Counter(PurePosixPath(name).name for name in wanted)
    matched = {name: _match(PurePosixPath(name).parts, index, lasts) for name in names}
    shared = Counter(file for file in matched.values() if file)
    return {name: root.joinpath(*file) for name, file in matched.items() if file and shared[file] == 1}


def _index(root: Path) -> Index:
    index: dict[str, list[tuple[str, ...]]] = {}
    for folder, _, files in os.walk(root):
        parts = Path(folder).relative_to(root).parts
        for file in files:
            index.setdefault(file, []).append((*parts, file))
    return index


def _match(parts: tuple[str, ...], index: Index, lasts: Mapping[str, int]) -> tuple[str, ...] | None:
    """The one file whose path ends in the name, or whose whole path the name ends in; else the only one of its last part."""
    files = index.get(parts[-1], ())
    whole = [file for file in files if file[-len(parts) :] == parts or parts[-len(file) :] == file]
    if len(whole) == 1:
        return whole[0]
    return files[0] if len(files) == 1 and lasts[parts[-1]] == 1 else None


def unit(subset: str, source: str, images: Sequence[str]) -> tuple[str, str]:
    """(patient, cluster) of an item: the unit that may be counted as independent.

    LUMIERE: patient, and patient x weeks. EMBED and MIMIC-CXR: patient. ODIR: patient, and the pair of images. VQA-RAD and
    whatever else: the first image, for its files tell nobody's name.
    """
    first = images[0]
    if found := LUMIERE.search(first):
        weeks = dict.fromkeys(week[2] for image in images if (week := LUMIERE.search(image)))
        return f"LUMIERE {found[1]}", f"LUMIERE {found[1]} {' '.join(weeks)}"
    if found := EMBED.search(first):
        return f"EMBED {found[1]}", f"EMBED {found[1]}"
    if found := MIMIC.search(first):
        return f"MIMIC {found[1]}", f"MIMIC {found[1]}"
    if (subset.endswith("odir") or "ODIR" in source) and (found := ODIR.search(first)):
        return f"ODIR {found[1]}", " ".join(images)
    return first, first
