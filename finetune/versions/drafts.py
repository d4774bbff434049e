"""What a version is made from, before its images are looked at: items of Med-MIM files and pairs of the generator, alike.

found = medmim_file(Path("Med_MIM_train_inherent_Comparison.json"), [Path("mimic")], replay=False)
found.drafts[0].line.patient, found.missing        # "MIMIC p10268877", images that no folder holds
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from errors import InputError
from finetune import classes, dataset, medmim
from finetune.classes import Rules
from finetune.dataset import Sources
from finetune.examples import FILM_SIZE, Source
from finetune.medmim import Benchmark, Item
from finetune.synthesis import phantom
from finetune.versions.lines import Line

GENERATED = "generator"
FIRST_SEED = 20_000_000
"""Replayed pairs are counted from here: far from those a model was trained on and from the held-out ones."""
COLLECTIONS = (
    ("MS_CXR_T", "MS-CXR-T", "DX"),
    ("LUMIERE", "LUMIERE", "MR"),
    ("EMBED", "EMBED", "MG"),
    ("VQA_ODIR", "ODIR", "OP"),
    ("VQA_RAD", "VQA-RAD", ""),
)
"""Beginning of an item's source -> the collection its images are of, and their modality as DICOM names it."""
LABELS: tuple[tuple[str, Rules], ...] = (
    ("LUMIERE_multichoice_typeB", classes.RESECTION),
    ("LUMIERE_multichoice_typeC", classes.TUMOUR),
    ("EMBED_multichoice_typeB", classes.FORECAST),
    ("EMBED_multichoice_typeD", classes.BIRADS),
)
"""Beginning of a source -> what its answers mean; all others are read for change."""
CHANGE = {"improving": "improved", "stable": "stable", "worsening": "worse"}


@dataclass(frozen=True)
class Look:
    """One image on its way into a version: where it lies, what it is called, and how it is announced."""

    path: Path | None
    name: str
    role: str = ""
    when: str = ""


@dataclass(frozen=True)
class Draft:
    """A line whose images have not been looked at yet; `said` is what a model answered and a reader corrected, else ``."""

    line: Line
    looks: tuple[Look, ...]
    said: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """What its images are called, in order."""
        return tuple(look.name for look in self.looks)

    @property
    def missing(self) -> tuple[str, ...]:
        """Images that are nowhere."""
        return tuple(look.name for look in self.looks if look.path is None)


@dataclass(frozen=True)
class Drafted:
    """One source as it was read; `sha256` is its file's, `left_out` counts by cause what gave no draft."""

    name: str
    sha256: str
    drafts: tuple[Draft, ...]
    left_out: tuple[tuple[str, int], ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Every image that is nowhere, once."""
        return tuple(sorted({name for draft in self.drafts for name in draft.missing}))


def collection(source: str) -> str:
    """What the images of an item with that source are of: ``MS_CXR_T_vqa_edema`` -> ``MS-CXR-T``."""
    return next((name for start, name, _ in COLLECTIONS if source.startswith(start)), source)


def medmim_file(path: Path, roots: Sequence[Path], replay: bool) -> Drafted:
    """Items of a Med-MIM file. Raises `TuneError`; `InputError` for one of the six published benchmark files."""
    found = medmim.load(path, roots)
    if found.frozen:
        raise InputError(f"{path.name} is a published benchmark file and is never trained on; give it to --gate, and a training file here")
    return Drafted(path.name, found.sha256, tuple(_draft(item, found, path.name, replay) for item in found.items))


def _draft(item: Item, found: Benchmark, name: str, replay: bool) -> Draft:
    modality = next((code for start, _, code in COLLECTIONS if item.source.startswith(start)), "")
    patient = " & ".join(dict.fromkeys(item.images)) if item.patient == item.images[0] else item.patient  # nobody is named: each is one
    line = Line(
        (), medmim.question(item), item.answer, item.ability, "temporal", name, "replay" if replay else "given",
        f"{item.id} {item.source}", patient, modality, label(item),
    )  # fmt: skip
    return Draft(line, tuple(Look(path, image) for path, image in zip(item.paths, item.images, strict=True)))


def label(item: Item) -> str:
    """What the right answer says, as a class of its collection; `` when it says none or several."""
    said = dict(item.options).get(item.letter or "", item.answer)
    rules = next((rules for start, rules in LABELS if item.source.startswith(start)), None)
    if rules is not None:
        return classes.first_match(said, rules)
    return CHANGE.get(classes.only_match(said, classes.CHANGE), "")


def generated(pairs: int, questions: int, seed: int, folder: Path) -> Drafted:
    """Questions about the generator's own pairs, whose films are written into `folder`; the same seed gives the same."""
    source = Source(GENERATED, pairs=pairs, questions=questions)
    sources = Sources(phantom.PhantomSource("train", dataset.PATIENTS), None, 1.0)
    drafts: list[Draft] = []
    first = FIRST_SEED + seed * 1000 % FIRST_SEED
    for number in range(first, first + pairs):
        pair = sources.pair(number, FILM_SIZE, source.strength)
        ends = [_written(film, folder) for film in (pair.prior, pair.current)]
        for item in dataset.choose(pair, questions, np.random.default_rng([number, 11])):
            line = Line(
                (), item.question, item.answer, item.ability, item.relationship, GENERATED, "replay",
                f"{number} {item.kind}", f"{GENERATED} {number}", "DX", item.answer if item.kind in ("progression", "overall") else "",
            )  # fmt: skip
            shown = zip(item.images, item.roles, item.whens, strict=True)
            drafts.append(Draft(line, tuple(Look(ends[end], f"pair {number} image {end + 1}", role, when) for end, role, when in shown)))
    told = repr([(draft.line, draft.looks) for draft in drafts])
    return Drafted(GENERATED, hashlib.sha256(told.encode()).hexdigest(), tuple(drafts))


def _written(film: np.ndarray, folder: Path) -> Path:
    path = folder / f"{hashlib.sha256(film.tobytes()).hexdigest()}.png"
    if not path.is_file():
        Pillow.fromarray(film).save(path)
    return path
