"""A PEFT adapter as the GGUF file that llama.cpp puts on its base: `adapter/adapter.gguf`, beside PEFT's own files.

The numbers are PEFT's, in F32; rows of queries' and keys' `B` change their rotary order as the base's own rows did
(`weights.interleave`). llama.cpp adds `alpha / rank * B A x` to what a layer makes of x, as PEFT does.

    write(Path("runs/mine/adapter"), Path("models/bundled/hf"))
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from errors import TuneError
from finetune import export
from finetune.base import TextShape
from inference import adapter, weights
from inference.weights import Array

PREFIX = "base_model.model."
SIDES = {"lora_A": "lora_a", "lora_B": "lora_b"}
"""PEFT's name of each factor -> llama.cpp's; A is (rank, in), B is (out, rank)."""


def possible(family: str, config: Any) -> bool:
    """Whether llama.cpp can serve an adapter of PEFT's `config` on a model of `family`: a family we export, plain LoRA."""
    return family in export.FAMILIES and not config.use_dora and not config.use_rslora


def write(folder: Path, model: Path) -> Path:
    """Write `adapter.gguf` into an adapter's `folder`; `model` is the transformers folder of its base.

    Raises `TuneError` when PEFT's files are damaged or name a layer on which llama.cpp puts none.
    """
    try:
        config = json.loads((folder / adapter.FILES[0]).read_text(encoding="utf-8"))
        tensors = load_file(folder / adapter.FILES[1])
    except (OSError, ValueError, SafetensorError) as error:
        raise TuneError(f"{folder}: the adapter cannot be read ({error}); train it again") from error
    shape = export.text_shape(model)
    writer: Any = gguf.GGUFWriter(folder / adapter.GGUF, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(config["lora_alpha"]))
    for name in sorted(tensors):
        ours, values = _named(name, tensors[name].astype(np.float32), shape)
        writer.add_tensor(ours, np.ascontiguousarray(values))
    export.finish(writer)
    return folder / adapter.GGUF


def _named(name: str, values: Array, shape: TextShape) -> tuple[str, Array]:
    """llama.cpp's name and rows of one of PEFT's tensors."""
    stem, _, side = name.removeprefix(PREFIX).removesuffix(".weight").rpartition(".")
    try:
        ours = f"{weights.gguf_name(f'{stem}.weight')}.{SIDES[side]}"
    except KeyError as error:
        raise TuneError(f"{name}: llama.cpp puts no adapter on this layer; train the language model's linear layers alone") from error
    heads = shape.heads_of(f"{stem}.weight") if side == "lora_B" else 0
    return ours, weights.interleave(values, heads) if heads else values
