"""Real films as backgrounds: decoded once, lungs found once, kept as small arrays in a cache folder.

    FilmSource((Path("cxr_kermany"), Path("cxr_nih")), cache=Path("~/.cache/interval/films").expanduser(), split="train")

Roots are folders as the data's README describes them. Films are split by patient (a hash of the patient's name), never by
file. A film whose lungs cannot be placed is left out rather than painted beside the lung.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from errors import TuneError
from finetune.synthesis import lungs
from finetune.synthesis.scene import Scene

FILM_SIZE = 320
LEAST_FIT = 1.30
DEV_SHARE = 0.10
VERSION = "2"


@dataclass(frozen=True)
class Film:
    """One film on disk: its patient, and whether its own label says that there is no disease.

    `label` is 1 where the film's record says diseased, 0 where it says not, -1 where it says neither; `view` is the projection
    where it is known (`ap`, `pa`), so that contrasts of the label are not contrasts of the projection.
    """

    path: Path
    patient: str
    clean: bool
    label: int = -1
    view: str = ""


def split_of(patient: str) -> str:
    """`dev` for a tenth of all patients, by hash; else `train`."""
    return "dev" if int(hashlib.sha256(patient.encode()).hexdigest()[:8], 16) % 1000 < 1000 * DEV_SHARE else "train"


def _kermany(root: Path) -> Iterator[Film]:
    for path in sorted((root / "images").iterdir()):
        person = re.match(r"(person\d+)", path.name)
        normal = re.match(r"((?:NORMAL2-)?IM-\d+)", path.name)
        name = person[1] if person else normal[1] if normal else path.stem
        yield Film(path, f"kermany-{name}", person is None, int(person is not None))


def _hannover(root: Path) -> Iterator[Film]:
    with (root / "data.csv").open(newline="") as file:
        rows = {row["image_id"]: row for row in csv.DictReader(file)}
    for path in sorted((root / "images").iterdir()):
        if row := rows.get(path.stem):
            yield Film(path, f"hannover-{row['patient_id']}", False, intensive(row), row["projection"])


def intensive(row: Mapping[str, str]) -> int:
    """1 when the patient was in intensive care at the film (offsets are days after it), 0 when released before it or never there."""
    admitted, released = row["icu_admission_offset"], row["icu_release_offset"]
    if not admitted:
        return 0
    if float(admitted) <= 0 and (not released or float(released) > 0):
        return 1
    return 0 if released and float(released) < 0 else -1  # admitted later, or released on the day: unknown


def _nih(root: Path) -> Iterator[Film]:
    with gzip.open(root / "Data_Entry_2017_v2020.csv.gz", "rt", newline="") as file:
        labels = {row["Image Index"]: row["Finding Labels"] for row in csv.DictReader(file)}
    for path in sorted(root.rglob("*.png")):
        label = labels.get(path.name[:16].split("-")[0].removesuffix(".png") + ".png", "")
        yield Film(path, f"nih-{path.name[:8]}", label == "No Finding", 0 if label == "No Finding" else -1)


CONTRASTS = {"kermany": 0.6, "hannover": 0.4}
SAME_PATIENT = 0.6
READERS = {"cxr_kermany": _kermany, "cxr_hannover": _hannover, "cxr_nih": _nih}


def films(root: Path) -> list[Film]:
    """Films under one data folder. Raises `TuneError` when the folder is not one we know or is not there."""
    reader = READERS.get(root.name)
    if reader is None or not root.is_dir():
        raise TuneError(f"{root} is not a folder of films we can read; give one of {', '.join(READERS)}")
    return list(reader(root))


def _prepare(path: Path) -> tuple[NDArray[np.uint8], float]:
    """Film, right and left lung as (3, H, W) uint8, long side FILM_SIZE, and how well the lungs fit."""
    with Image.open(path) as opened:
        image = opened.convert("L")
    image.thumbnail((FILM_SIZE, FILM_SIZE), Image.Resampling.BICUBIC)
    film = np.asarray(image, dtype=np.uint8)
    low, high = np.percentile(film[film > 3] if (film > 3).any() else film, (0.5, 99.8))
    film = np.clip((film - low) * (255 / max(high - low, 1)), 0, 255).astype(np.uint8)
    found = lungs.fit(film)
    right, left = (np.round(mask * 255).astype(np.uint8) for mask in found.masks(*film.shape))
    return np.stack([film, right, left]), found.score


def _decode(path: Path, cache: Path) -> Path:
    """Path of the cached array of one film; made when missing."""
    stat = path.stat()
    key = hashlib.sha256(f"{VERSION}|{path.name}|{stat.st_size}".encode()).hexdigest()[:20]
    kept = cache / f"{key}.npz"
    if not kept.exists():
        stack, score = _prepare(path)
        partial = kept.with_suffix(".partial.npz")
        np.savez(partial, stack=stack, score=np.float32(score))
        partial.replace(kept)
    return kept


@dataclass(frozen=True)
class FilmSource:
    """Real films under `roots`, of one `split` (`train` or `dev`); `clean_only` keeps films labelled without disease."""

    roots: tuple[Path, ...]
    cache: Path
    split: str = "train"
    clean_only: bool = False
    workers: int = 1
    least_fit: float = field(default=LEAST_FIT)

    @cached_property
    def _films(self) -> list[tuple[Film, NDArray[np.uint8]]]:
        self.cache.mkdir(parents=True, exist_ok=True)
        chosen = [f for root in self.roots for f in films(root) if split_of(f.patient) == self.split and (f.clean or not self.clean_only)]
        paths = [film.path for film in chosen]
        if self.workers > 1:
            with ProcessPoolExecutor(self.workers) as pool:
                kept = list(pool.map(_decode, paths, [self.cache] * len(paths), chunksize=4))
        else:
            kept = [_decode(path, self.cache) for path in paths]
        loaded = []
        for film, path in zip(chosen, kept, strict=True):
            with np.load(path) as data:
                if data["score"] >= self.least_fit:
                    loaded.append((film, data["stack"]))
        if not loaded:
            raise TuneError(f"no usable film for split {self.split} under {', '.join(str(root) for root in self.roots)}")
        return loaded

    @property
    def count(self) -> int:
        """Number of films."""
        return len(self._films)

    def scene(self, index: int) -> Scene:
        """Film number `index`."""
        film, stack = self._films[index % self.count]
        planes = stack.astype(np.float32) / 255
        return Scene(film=planes[0], right=planes[1], left=planes[2], patient=film.patient, clean=film.clean, label=film.label)

    @cached_property
    def _contrasts(self) -> dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
        """Pairs of films labelled less and more diseased, same projection, by folder: of one patient, and of two."""
        found: dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]]]] = {name: ([], []) for name in CONTRASTS}
        known = [film for film, _ in self._films]
        more = [number for number, film in enumerate(known) if film.label == 1]
        for low, film in enumerate(known):
            for high in more if film.label == 0 else ():
                other, name = known[high], film.patient.split("-", 1)[0]
                if name in found and other.patient.startswith(name) and other.view == film.view:
                    found[name][other.patient != film.patient].append((low, high))
        return {name: both for name, both in found.items() if any(both)}

    def contrast(self, seed: int) -> tuple[Scene, Scene]:
        """Two films of one data folder, the less diseased by its own label first: weak supervision, never truth about a pair.

        Where patients have films of both labels, `SAME_PATIENT` of the draws are of one patient; else of two; always in one
        projection. Raises `TuneError` when no folder has films of both labels.
        """
        if not self._contrasts:
            raise TuneError("no folder of this source has films labelled with and without disease; give cxr_kermany or cxr_hannover")
        rng = np.random.default_rng([seed, 0xC0])
        names = list(self._contrasts)
        shares = np.array([CONTRASTS[name] for name in names])
        same, apart = self._contrasts[names[int(rng.choice(len(names), p=shares / shares.sum()))]]
        chosen = same if same and (not apart or rng.random() < SAME_PATIENT) else apart
        low, high = chosen[int(rng.integers(len(chosen)))]
        return self.scene(low), self.scene(high)
