"""What is planted: an implanted port, drawn on generated films, whose coming and going the model has never heard of.

The port is as plain as can be, so that the loop measures the loop and not the tower: a bright disc below one clavicle with its
catheter. A pair shows it on the current film alone (new), on the prior alone (resolved), on both or on neither (stable).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from pydicom.uid import generate_uid

from finetune.synthesis import pairs, phantom
from inference.prompts import progression_question
from tests import dicoms

FINDING = "implanted port"
QUESTION = progression_question(FINDING)
STATES = ("new", "resolved", "stable", "stable")
SEED = 30_000_000
HELD = 52_000_000
"""First seeds; those of the gates and of training lie elsewhere."""
Film = NDArray[np.uint8]


@dataclass(frozen=True)
class Planted:
    """A pair of DICOM files, prior first, and what became of the port."""

    name: str
    paths: tuple[Path, Path]
    truth: str


def plant(folder: Path, count: int, held: bool, side: int = 256) -> Iterator[Planted]:
    """`count` pairs of as many patients, each state in turn; `held` ones are of phantoms that are never trained on."""
    source = phantom.PhantomSource("dev" if held else "train", max(2, min(40, count)))
    for number in range(count):
        seed, state = (HELD if held else SEED) + number, number % len(STATES)
        pair = pairs.generate(seed, source, side, "pair")
        shows = (state in (1, 2), state in (0, 2))
        ends = zip((pair.prior, pair.current), shows, strict=True)
        films = [ported(film, seed, end) if shown else film for end, (film, shown) in enumerate(ends)]
        name = f"{'held' if held else 'case'}-{number:03}"
        paths = [_write(folder / f"{name}-{end}.dcm", film, name, f"2026010{end + 1}") for end, film in enumerate(films)]
        yield Planted(name, (paths[0], paths[1]), STATES[state])


def ported(film: Film, seed: int, end: int) -> Film:
    """The film with a port: its side is the patient's, its exact place the acquisition's."""
    rng = np.random.default_rng([seed, end, 0x9027])
    height, width = film.shape
    scale = width / 256
    x = width * (0.28 if seed % 2 else 0.72) + rng.normal(0, 3 * scale)
    y, radius = height * 0.3 + rng.normal(0, 4 * scale), rng.uniform(11, 15) * scale
    layer = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(layer)
    draw.line([(x, y), (width / 2 + rng.normal(0, 3 * scale), height * 0.44)], fill=190, width=max(2, round(3 * scale)))
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    draw.ellipse([x - radius / 2, y - radius / 2, x + radius / 2, y + radius / 2], fill=150)
    cover = np.asarray(layer.filter(ImageFilter.GaussianBlur(0.7 * scale)), np.float64) / 255
    painted: Film = np.clip(film * (1 - 0.9 * cover) + 235 * 0.9 * cover, 0, 255).astype(np.uint8)
    return painted


def _write(path: Path, film: Film, patient: str, date: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = dicoms.dataset(
        film, modality="DX", PatientID=patient, PatientName=patient, StudyDate=date, AcquisitionDate=date, BodyPartExamined="CHEST",
        ViewPosition="PA", WindowCenter=128, WindowWidth=256, StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid(),
        SOPInstanceUID=generate_uid(),
    )  # fmt: skip
    return dicoms.write(made, path)
