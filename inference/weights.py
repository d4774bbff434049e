"""Transformers weights of a model whose GGUF pair holds the same numbers: made from the pair when something first needs them.

A model on disk is its GGUF pair. Its manifest may list `hf/model.safetensors` as made on demand: the file is not kept
until transformers is asked for, then written from the pair in a few seconds and held to the listed SHA-256 like every other.
This file also knows what each tensor of the family is called on either side.

    made(folder, manifest.read(folder))        # writes hf/model.safetensors unless it is there
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import ModelNotLoaded
from inference import manifest
from inference.manifest import Manifest

Array = NDArray[np.float32]

TEXT = "model.text_model."
TOWER = "model.vision_model."
CONNECTOR = "model.connector.modality_projection.proj.weight"

LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""Hugging Face's name of each part of a Llama layer -> GGUF's."""

TOWER_NAMES = {
    "layer_norm1": "ln1",
    "layer_norm2": "ln2",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}
"""Hugging Face's name of each part of a tower layer -> llama.cpp's."""


def interleave(weight: Array, heads: int) -> Array:
    """(heads * d, in): Hugging Face's half-split rotary order -> GGUF's interleaved one."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def deinterleave(weight: Array, heads: int) -> Array:
    """The inverse of `interleave`."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def names(layers: int) -> list[str]:
    """Hugging Face names of all tensors of a Llama text model of that many layers, in file order."""
    inner = [f"{TEXT}layers.{layer}.{part}.weight" for layer in range(layers) for part in LAYER_NAMES]
    return [f"{TEXT}embed_tokens.weight", *inner, f"{TEXT}norm.weight"]


def gguf_name(name: str) -> str:
    """``model.text_model.layers.3.self_attn.q_proj.weight`` -> ``blk.3.attn_q.weight``; KeyError if it is no text tensor."""
    stem = name.removeprefix(TEXT).removesuffix(".weight")
    if not stem.startswith("layers."):
        return {"embed_tokens": "token_embd.weight", "norm": "output_norm.weight"}[stem]
    _, layer, part = stem.split(".", 2)
    return f"blk.{layer}.{LAYER_NAMES[part]}.weight"


def tower_names(layers: int) -> dict[str, str]:
    """Hugging Face name -> llama.cpp name of every tensor of a tower of that many layers and of the connector."""
    ends = ("weight", "bias")
    found = {f"{TOWER}embeddings.patch_embedding.{end}": f"v.patch_embd.{end}" for end in ends}
    found[f"{TOWER}embeddings.position_embedding.weight"] = "v.position_embd.weight"
    for layer in range(layers):
        for part, ours in TOWER_NAMES.items():
            found |= {f"{TOWER}encoder.layers.{layer}.{part}.{end}": f"v.blk.{layer}.{ours}.{end}" for end in ends}
    found |= {f"{TOWER}post_layernorm.{end}": f"v.post_ln.{end}" for end in ends}
    return {**found, CONNECTOR: "mm.model.fc.weight"}


def missing(folder: Path, listed: Manifest) -> bool:
    """Whether weights that are made on demand are not there yet."""
    return any(name in listed.files and not (folder / name).is_file() for name in listed.on_demand)


def made(folder: Path, listed: Manifest) -> None:
    """Write the weights that `listed` makes on demand, unless they are there.

    The file appears whole or not at all. Raises `ModelNotLoaded` when the pair is damaged, the disk is full, or the result
    is not the listed one.
    """
    if not missing(folder, listed):
        return
    manifest.refuse_changed(folder, listed, (listed.text, listed.mmproj))
    name = f"{listed.hf}/model.safetensors"
    if listed.on_demand != (name,):
        raise ModelNotLoaded(f"{folder} makes {', '.join(listed.on_demand)} on demand and only {name} can be; {manifest.REBUILD}")
    try:
        with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as scratch:
            part = Path(scratch) / "weights"
            write(part, folder / listed.text, folder / listed.mmproj)
            if manifest.digest(part) != listed.files[name]:
                raise ModelNotLoaded(f"{folder / name} would differ from the file that was tested; {manifest.REBUILD}")
            (folder / name).parent.mkdir(exist_ok=True)
            part.replace(folder / name)
    except OSError as error:
        raise ModelNotLoaded(
            f"{folder / name} cannot be written ({error.strerror or error}); free 1 GB of disk, or use the GGUF engine"
        ) from error


def write(path: Path, text: Path, mmproj: Path) -> None:
    """Write the weights that a GGUF pair holds to `path`, F16 safetensors. Raises `OSError` when it cannot be written."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    tensors = {name: np.ascontiguousarray(values, dtype=np.float16) for file in (_text, _tower) for name, values in file(text, mmproj)}
    try:
        save_file(dict(sorted(tensors.items())), path, {"format": "pt"})
    except SafetensorError as error:
        raise OSError(str(error)) from error
    path.chmod(0o644)


def _opened(path: Path) -> tuple[Any, Callable[[str], Array]]:
    """The header of a GGUF file and a function from a tensor's name to its values, dequantised."""
    import gguf

    reader: Any = gguf.GGUFReader(path)
    tensors = {tensor.name: tensor for tensor in reader.tensors}

    def values(name: str) -> Array:
        found: Array = gguf.quants.dequantize(tensors[name].data, tensors[name].tensor_type).astype(np.float32)
        return found

    return reader, values


def _text(text: Path, _mmproj: Path) -> Iterator[tuple[str, Array]]:
    reader, values = _opened(text)
    heads = {
        part: reader.fields[f"llama.attention.{key}"].contents() for part, key in (("q_proj", "head_count"), ("k_proj", "head_count_kv"))
    }
    for name in names(reader.fields["llama.block_count"].contents()):
        turned = next((count for part, count in heads.items() if part in name), 0)
        yield name, deinterleave(values(gguf_name(name)), turned) if turned else values(gguf_name(name))


def _tower(_text: Path, mmproj: Path) -> Iterator[tuple[str, Array]]:
    reader, values = _opened(mmproj)
    for name, ours in tower_names(reader.fields["clip.vision.block_count"].contents()).items():
        yield name, values(ours)
