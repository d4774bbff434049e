"""What is planted: pneumonitis, painted on generated films, a word the model was never asked about.

It is as plain as can be, so that the loop measures the loop and not the tower: dense, on both sides, in lungs that are clear
otherwise. A pair shows it on the current film alone (new), on the prior alone (resolved), on both or on neither (stable). Neither
is what the bundled model calls new, whatever it says rightly of the others: the kind of answer that is flagged, every second pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from finetune.synthesis import acquire, paint, phantom
from finetune.synthesis.truth import Finding
from inference.prompts import progression_question
from tests import dicoms

FINDING = "pneumonitis"
QUESTION = progression_question(FINDING)
STATES = ("new", "stable", "resolved", "stable", "stable", "stable")
SHOWS = ((False, True), (False, False), (True, False), (False, False), (True, True), (False, False))
"""Truth of each pair in turn, and which of its films show it."""
SEED = 30_000_000
HELD = 52_000_000
"""First seeds; those of the gates and of training lie elsewhere."""
Film = NDArray[np.uint8]


@dataclass(frozen=True)
class Planted:
    """A pair of DICOM files, prior first, and what became of the pneumonitis; `clear` on neither film."""

    name: str
    paths: tuple[Path, Path]
    truth: str
    clear: bool


def plant(folder: Path, count: int, held: bool, side: int = 256) -> Iterator[Planted]:
    """`count` pairs of as many patients, each state in turn; `held` ones are of phantoms that are never trained on."""
    source = phantom.PhantomSource("dev" if held else "train", max(2, min(40, count)))
    for number in range(count):
        seed, name = (HELD if held else SEED) + number, f"{'held' if held else 'case'}-{number:03}"
        films = painted(source, seed, number % len(STATES), side)
        paths = [_write(folder / f"{name}-{end}.dcm", film, name, f"2026010{end + 1}") for end, film in enumerate(films)]
        yield Planted(name, (paths[0], paths[1]), STATES[number % len(STATES)], not any(SHOWS[number % len(STATES)]))


def painted(source: phantom.PhantomSource, seed: int, state: int, side: int) -> tuple[Film, Film]:
    """Two films (side, side) of one patient, prior first, each taken in its own way."""
    rng = np.random.default_rng([seed, 0x9E0])
    board = paint.canvas(source.scene(int(rng.integers(source.count))), (seed, 0x9E0))
    disease = Finding("diffuse opacity", "bilateral", "", float(rng.uniform(0.75, 1.0)))
    shows = SHOWS[state]
    looks = [acquire.draw(rng) for _ in shows]
    prior, current = (
        acquire.expose(paint.paint(board, (disease,) if shown else ()), look, side) for shown, look in zip(shows, looks, strict=True)
    )
    return prior, current


def _write(path: Path, film: Film, patient: str, date: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = dicoms.dataset(
        film, modality="DX", PatientID=patient, PatientName=patient, StudyDate=date, AcquisitionDate=date, BodyPartExamined="CHEST",
        ViewPosition="PA", WindowCenter=128, WindowWidth=256, StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid(),
        SOPInstanceUID=generate_uid(),
    )  # fmt: skip
    return dicoms.write(made, path)
