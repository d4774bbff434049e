"""From a finished run to what the repository carries: trained parts as float16, with the SHA-256 of what they build into.

    python -m finetune.ship --recipe finetune/recipes/bundled.yaml --run runs/bundled --out assets/bundled

The model is built once from the parts, as set-up will build it, and the hashes of the result are written beside them; how
long that took and what it takes on disk goes into the run's folder as `ship.json`, for the card.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

import settings
from errors import TuneError
from finetune import base, bundled, files, language, loop, recipe, terminal
from finetune.recipe import STAGES, Recipe
from finetune.train import Run, reader
from inference import manifest

Arrays = Mapping[str, NDArray[np.float16]]
MOST_PARTS, MOST_MERGED = 60_000_000, 180_000_000
"""Bytes that the repository may carry for the model, and that the merged model may take on disk."""


def write(out: Path, given: Recipe, tower: Arrays, words: Arrays) -> dict[str, Any]:
    """Write the parts and `parts.json` without hashes of the built model; returns its content."""
    out.mkdir(parents=True, exist_ok=True)
    for name, tensors in ((bundled.TOWER_PART, tower), (bundled.LANGUAGE_PART, words)):
        loop.atomic(out / name, lambda path, tensors=tensors: save_file(dict(sorted(tensors.items())), path))  # type: ignore[misc]
        (out / name).chmod(0o644)
    hashes = {name: base.sha256(out / name) for name in (bundled.TOWER_PART, bundled.LANGUAGE_PART)}
    record = {
        "name": bundled.NAME,
        "revision": hashlib.sha256("".join(hashes.values()).encode()).hexdigest()[:12],
        "recipe": given.name,
        "base": {"package": base.PACKAGE, "version": base.VERSION, "wheel_sha256": base.WHEEL_SHA256, "licence": base.LICENCE},
        "layers": list(given.layers),
        "vision": asdict(given.vision),
        "lora": asdict(given.lora),
        "files": hashes,
        "built": {},
    }
    save_record(out, record)
    return record


def save_record(out: Path, record: Mapping[str, Any]) -> None:
    """Write `parts.json`."""
    text = json.dumps(record, indent=2) + "\n"
    loop.atomic(out / bundled.PARTS_FILE, lambda path: path.write_text(text, encoding="utf-8"))


def ship(run: Run, out: Path) -> dict[str, Any]:
    """Parts of a finished run into `out`, built once to learn the hashes of the result; returns `parts.json`'s content.

    The parts appear together or not at all: they are written and built in a folder beside `out` first. Raises `TuneError` when
    a stage is unfinished, a number is not one, or the result is larger than the design allows.
    """
    model, _ = reader(run, STAGES)
    tower, words = language.tower_parts(model.sight, model.connector), language.language_parts(model)
    for name, values in (tower | words).items():
        if not np.isfinite(values).all():
            raise TuneError(f"{name} holds numbers that float16 does not have; the run went wrong, go back to an earlier checkpoint")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".shipping-", dir=out.parent) as scratch, tempfile.TemporaryDirectory() as data:
        parts = Path(scratch)
        record = write(parts, run.recipe, tower, words)
        record["built"], told = _built(parts, Path(data))
        save_record(parts, record)
        out.mkdir(exist_ok=True)
        for name in (bundled.TOWER_PART, bundled.LANGUAGE_PART, bundled.PARTS_FILE):
            (parts / name).replace(out / name)
    files.write_json(run.folder / "ship.json", told)
    return record


def _built(parts: Path, data: Path) -> tuple[dict[str, str], dict[str, float]]:
    """Hashes of what `parts` build into, and how long it took and how large both are."""
    started = time.monotonic()
    built = bundled.build(settings.load(data_dir=data), parts=parts)
    seconds = time.monotonic() - started
    (built / bundled.WEIGHTS).unlink()
    told = {"build_seconds": round(seconds, 1), "parts_bytes": _bytes(parts), "merged_bytes": _bytes(built)}
    if told["parts_bytes"] > MOST_PARTS or told["merged_bytes"] > MOST_MERGED:
        sizes = f"{told['parts_bytes'] / 1e6:.0f} MB of parts and {told['merged_bytes'] / 1e6:.0f} MB merged"
        raise TuneError(
            f"{sizes} are more than {MOST_PARTS / 1e6:.0f} and {MOST_MERGED / 1e6:.0f} MB; make the tower or the LoRA rank smaller"
        )
    return dict(manifest.read(built).files), told


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m finetune.ship", description="Write a finished run's trained parts for the repository.")
    parser.add_argument("--recipe", type=Path, required=True, help="the run's recipe")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run's checkpoints")
    parser.add_argument("--out", type=Path, default=bundled.PARTS, help="folder of the trained parts")
    given = parser.parse_args(arguments)
    return terminal.run(lambda: json.dumps(ship(Run(recipe.load(given.recipe), given.run), given.out)))


if __name__ == "__main__":
    sys.exit(main())
