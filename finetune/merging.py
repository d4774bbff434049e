"""An adapter merged into its base as a model of its own: quantised GGUF pair and transformers folder, for servers that wear none.

merge(settings, "mine", "bundled-mine")        # ~/.local/share/interval/models/bundled-mine
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from errors import InputError, TuneError
from finetune import bundled, export, lora_gguf, orders, runs
from finetune.export import Quant, Tensors
from inference import adapter as adapters
from inference import manifest, weights
from settings import Settings


def merge(settings: Settings, run: str, name: str, quant: Any = Quant.Q8_0) -> Path:
    """Write the model of a finished run under `name` among this machine's models; returns its folder.

    It appears whole or not at all. Raises `InputError` for a taken name, `TuneError` for a family that is not exported or a full disk,
    `ModelNotLoaded` when the adapter is not its base's.
    """
    target = settings.models_dir / name
    if not orders.NAME.fullmatch(name) or target.exists():
        raise InputError(f"{name} is taken or no name of a model; use small letters, digits, dots and dashes, and a free one")
    named = orders.base_of(settings, str(runs.view(settings, run).order["base"]))
    folder, base = runs.adapter(settings, run), named.manifest
    listed = adapters.checked(folder, base)
    weights.made(named.folder, base)
    manifest.refuse_changed(named.folder, base, base.weights)
    model = export.read(named.folder / base.hf)
    try:
        settings.models_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".merging-", dir=settings.models_dir) as scratch:
            made = Path(scratch) / "model"
            made.mkdir()
            text = made / export.text_file(quant)
            export.text_gguf(text, model.shape, model.vocabulary, tuned(model.tensors, folder), quant)
            shutil.copyfile(named.folder / base.mmproj, made / export.MMPROJ_FILE)
            shutil.copytree(named.folder / base.hf, made / "hf", ignore=shutil.ignore_patterns("*.safetensors"))
            weights.write(made / bundled.WEIGHTS, text, made / export.MMPROJ_FILE)
            said = (
                f"{base.name} with the adapter {listed.name} of run {run} merged in; measured by that run's gates before it was quantised."
            )
            revision = f"{base.revision}+{listed.files[adapters.FILES[1]][:12]}"
            bundled.write_manifest(made, model.shape, name, revision, said, offsets=[asdict(one) for one in base.offsets], text=text.name)
            made.rename(target)
    except OSError as error:
        raise TuneError(f"{target} cannot be written ({error.strerror or error}); free some disk and try again") from error
    return target


def tuned(tensors: Tensors, folder: Path) -> Tensors:
    """The base's tensors with `alpha / rank * B A` of the adapter in `folder` added. Raises `TuneError`."""
    try:
        config = json.loads((folder / adapters.FILES[0]).read_text(encoding="utf-8"))
        factors = load_file(folder / adapters.FILES[1])
    except (OSError, ValueError, SafetensorError) as error:
        raise TuneError(f"{folder}: the adapter cannot be read ({error}); train it again") from error
    scale = config["lora_alpha"] / config["r"]

    def tensor(name: str) -> Any:
        values, stem = tensors(name), f"{lora_gguf.PREFIX}{name.removesuffix('.weight')}"
        if f"{stem}.lora_A.weight" not in factors:
            return values
        down, up = (factors[f"{stem}.lora_{side}.weight"].astype(np.float32) for side in "AB")
        return values.astype(np.float32) + scale * (up @ down)

    return tensor
