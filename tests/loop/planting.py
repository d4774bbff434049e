"""What is planted: pneumonitis, painted on generated films, a word the model was never asked about.

It is as plain as can be, so that the loop measures the loop and not the tower: dense, on both sides, in lungs that are clear
otherwise. A pair shows it on the current film alone (new), on the prior alone (resolved), on both or on neither (stable). What of
these the model gets wrong of its own accord is asked first, and is the kind that is flagged: every second pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
KINDS = {"neither": ("stable", (False, False)), "new": ("new", (False, True)), "resolved": ("resolved", (True, False)),
         "both": ("stable", (True, True))}  # fmt: skip
"""Kind of pair -> what became of the finding, and which of the films show it."""
FIRST = {"case": 30_000_000, "held": 52_000_000, "tried": 54_000_000}
"""Name of a set of pairs -> its first seed; those of the gates and of training lie elsewhere. Only `case` ones are ever trained on."""
Film = NDArray[np.uint8]


@dataclass(frozen=True)
class Planted:
    """A pair of DICOM files, prior first, and of which of `KINDS` it is."""

    name: str
    paths: tuple[Path, Path]
    kind: str

    @property
    def truth(self) -> str:
        """What became of the pneumonitis."""
        return KINDS[self.kind][0]


def each(kind: str) -> tuple[str, ...]:
    """The order of pairs in which every second one is of `kind` and the others come in turn."""
    return tuple(one for other in KINDS if other != kind for one in (other, kind))


def plant(folder: Path, name: str, kinds: Sequence[str], count: int, side: int = 256) -> Iterator[Planted]:
    """`count` pairs of the set `name` (of `FIRST`), of as many patients, of `kinds` in turn."""
    source = phantom.PhantomSource("train" if name == "case" else "dev", max(2, min(40, count)))
    for number in range(count):
        kind, patient = kinds[number % len(kinds)], f"{name}-{number:03}"
        films = painted(source, FIRST[name] + number, kind, side)
        paths = [_write(folder / f"{patient}-{kind}-{end}.dcm", film, patient, f"2026010{end + 1}") for end, film in enumerate(films)]
        yield Planted(patient, (paths[0], paths[1]), kind)


def truth(folder: Path, patient: str) -> str:
    """What became of the pneumonitis of a patient whose films were planted in `folder`. Raises `StopIteration` for any other."""
    return KINDS[next(folder.glob(f"{patient}-*-0.dcm")).stem.split("-")[-2]][0]


def painted(source: phantom.PhantomSource, seed: int, kind: str, side: int) -> tuple[Film, Film]:
    """Two films (side, side) of one patient, prior first, each taken in its own way."""
    rng = np.random.default_rng([seed, 0x9E0])
    board = paint.canvas(source.scene(int(rng.integers(source.count))), (seed, 0x9E0))
    disease = Finding("diffuse opacity", "bilateral", "", float(rng.uniform(0.75, 1.0)))
    shows = KINDS[kind][1]
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
