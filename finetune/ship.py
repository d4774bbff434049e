"""From a finished run to what the repository carries: trained parts as float16, with the SHA-256 of what they build into.

    python -m finetune.ship --recipe finetune/recipes/first_cut.yaml --run runs/first_cut --out assets/bundled

The model is built once from the parts, as set-up will build it, and the hashes of the result are written beside them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

import settings
from errors import IntervalError
from finetune import base, bundled, language, loop, recipe
from finetune.recipe import STAGES, Recipe
from finetune.train import Run, reader
from inference import manifest

Arrays = Mapping[str, NDArray[np.float16]]


def write(out: Path, given: Recipe, tower: Arrays, words: Arrays) -> dict[str, Any]:
    """Write the parts and `parts.json` without hashes of the built model; returns its content."""
    out.mkdir(parents=True, exist_ok=True)
    for name, tensors in ((bundled.TOWER_PART, tower), (bundled.LANGUAGE_PART, words)):
        loop.atomic(out / name, lambda path, tensors=tensors: save_file(dict(sorted(tensors.items())), path))  # type: ignore[misc]
        (out / name).chmod(0o644)
    files = {name: base.sha256(out / name) for name in (bundled.TOWER_PART, bundled.LANGUAGE_PART)}
    record = {
        "name": bundled.NAME,
        "revision": hashlib.sha256("".join(files.values()).encode()).hexdigest()[:12],
        "recipe": given.name,
        "base": {"package": base.PACKAGE, "version": base.VERSION, "wheel_sha256": base.WHEEL_SHA256, "licence": base.LICENCE},
        "vision": asdict(given.vision),
        "lora": asdict(given.lora),
        "files": files,
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

    Raises `TuneError` when a stage is unfinished.
    """
    model, _ = reader(run, STAGES)
    record = write(out, run.recipe, language.tower_parts(model.sight, model.connector), language.language_parts(model))
    with tempfile.TemporaryDirectory() as folder:
        built = bundled.build(settings.load(data_dir=folder), parts=out)
        record["built"] = dict(manifest.read(built).files)
    save_record(out, record)
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m finetune.ship", description="Write a finished run's trained parts for the repository.")
    parser.add_argument("--recipe", type=Path, required=True, help="the run's recipe")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run's checkpoints")
    parser.add_argument("--out", type=Path, default=bundled.PARTS, help="folder of the trained parts")
    given = parser.parse_args(arguments)
    try:
        record = ship(Run(recipe.load(given.recipe), given.run), given.out)
    except IntervalError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
