"""An adapter of random numbers for a tiny model, as a training run leaves it, so strong that it changes what is said."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForImageTextToText

from finetune import adapters
from finetune.adapters import Base
from inference.families import form


def build(folder: Path, model: Path, seed: int = 1, name: str = "planted", spread: float = 0.3) -> Path:
    """Write the adapter for the model folder `model` (with manifest) into `folder`."""
    base: Base = adapters.base_of(model)
    shape = form(base.folder)
    net = AutoModelForImageTextToText.from_pretrained(base.folder, dtype=torch.float32, local_files_only=True)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=shape.targets, task_type="CAUSAL_LM")
    torch.manual_seed(seed)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        tuned = get_peft_model(net, config)
    with torch.no_grad():
        for weights in (parameter for key, parameter in tuned.named_parameters() if "lora_" in key):
            weights.normal_(0, spread)
    listed = json.loads((model / "manifest.json").read_text())
    start = {
        "name": name,
        "family": listed["family"],
        "model": {"name": listed["name"]},
        "tile": listed["tile"],
        "tokens_per_image": listed["tokens_per_image"],
        "base": base.weights,
    }
    return adapters.write(folder, tuned, start, [], model=base.folder)
