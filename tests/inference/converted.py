"""Tiny Qwen-VL and Gemma 3 models of the real classes as the GGUF pairs that llama.cpp's own converter would write of them.

The pair is in F32 and holds the very numbers of the transformers folder, so both engines must agree.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from finetune.export import finish
from inference import manifest
from inference.families import CLIP, HALF
from inference.gguf import measured
from inference.manifest import Manifest
from tests.finetune import tiny_families as tiny
from tests.finetune.tiny import BYTES

SIGLIP = "vision_tower.vision_model."
Arrays = dict[str, NDArray[Any]]
TILES = {"gemma3": 28, "qwen2.5-vl": 168, "qwen3-vl": 128}
"""Of Qwen-VL several windows of the tower's attention to a side; fewer tokens than eight llama.cpp would enlarge."""
ARCHES = {"gemma3": gguf.MODEL_ARCH.GEMMA3, "qwen2.5-vl": gguf.MODEL_ARCH.QWEN2VL, "qwen3-vl": gguf.MODEL_ARCH.QWEN3VL}
ENDS = {"gemma3": "<end_of_turn>", "qwen2.5-vl": "<|im_end|>", "qwen3-vl": "<|im_end|>"}
KINDS = gguf.VisionProjectorType
PROJECTORS = {"gemma3": KINDS.GEMMA3, "qwen2.5-vl": KINDS.QWEN25VL, "qwen3-vl": KINDS.QWEN3VL}
TOWERS: dict[str, dict[str, Any]] = {"gemma3": {}, "qwen2.5-vl": {"window_size": 112}, "qwen3-vl": {"deepstack_visual_indexes": [1]}}
"""The one width of window that llama.cpp has; fewer deeper features than the text model has layers."""


def build(folder: Path, family: str) -> Path:
    """A model folder with `hf/`, the GGUF pair and its manifest."""
    hf = tiny.build(folder / "hf", family, **TOWERS[family])
    config = json.loads((hf / "config.json").read_text())
    tensors = dict(_stored(hf))
    _text(folder / "text.gguf", config, family, tensors)
    _projector(folder / "mmproj.gguf", config, family, tensors)
    made = manifest.of_transformers(hf, TILES[family])
    listed = Manifest(
        name=folder.name,
        family=family,
        text="text.gguf",
        mmproj="mmproj.gguf",
        tile=TILES[family],
        image_order=made.image_order,
        files={name: manifest.digest(folder / name) for name in ("text.gguf", "mmproj.gguf")},
        bytes={name: (folder / name).stat().st_size for name in ("text.gguf", "mmproj.gguf")},
    )
    found = measured(folder, listed)
    assert found.tokens_per_image == made.tokens_per_image
    listed = listed.model_copy(update={"tokens_per_image": found.tokens_per_image, "context_tokens": found.trained_tokens})
    (folder / "manifest.json").write_text(listed.model_dump_json())
    return folder


def _stored(hf: Path) -> list[tuple[str, NDArray[Any]]]:
    """The folder's tensors by the names that the converter knows; Gemma's norms are kept as what they are more than one."""
    known = (
        ("model.language_model.", "model."),
        ("language_model.model.", "model."),
        ("model.visual.", "visual."),
        ("vision_tower.", SIGLIP),
    )
    out = []
    for path in hf.glob("*.safetensors"):
        for name, values in load_file(path).items():
            if name.startswith("vision_tower.head."):
                continue
            ours = next((name.replace(theirs, told, 1) for theirs, told in known if name.startswith(theirs)), name)
            out.append((ours.replace("_projection_weight", "_projection.weight"), values.astype(np.float32)))
    return out


def _text(path: Path, config: dict[str, Any], family: str, tensors: Arrays) -> None:
    text, arch = config["text_config"], ARCHES[family]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    writer.add_type("model")
    writer.add_context_length(text["max_position_embeddings"])
    writer.add_embedding_length(text["hidden_size"])
    writer.add_block_count(text["num_hidden_layers"])
    writer.add_feed_forward_length(text["intermediate_size"])
    writer.add_head_count(text["num_attention_heads"])
    writer.add_head_count_kv(text["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(text.get("rms_norm_eps", 1e-6))
    if "head_dim" in text:
        writer.add_key_length(text["head_dim"])
        writer.add_value_length(text["head_dim"])
    rope = text["rope_parameters"]
    if family == "gemma3":
        writer.add_rope_freq_base(rope["full_attention"]["rope_theta"])
        writer.add_sliding_window(text["sliding_window"])
    else:
        writer.add_rope_freq_base(rope["rope_theta"])
        writer.add_rope_dimension_sections([*rope["mrope_section"], 0])
    if family == "qwen3-vl":
        writer.add_num_deepstack_layers(len(config["vision_config"]["deepstack_visual_indexes"]))
    rows = ["<bos>" if family == "gemma3" and row == "<s>" else row for row in (*tiny.CONTROLS, *BYTES)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(rows)
    writer.add_token_types([gguf.TokenType.CONTROL if place < len(tiny.CONTROLS) else gguf.TokenType.NORMAL for place in range(len(rows))])
    writer.add_token_merges([f"{BYTES[0]} {BYTES[0]}"])  # one there must be; nobody types it
    writer.add_eos_token_id(tiny.IDS[ENDS[family]])
    writer.add_add_bos_token(False)
    names = gguf.get_tensor_name_map(arch, text["num_hidden_layers"])
    for name, values in tensors.items():
        if name.startswith(("model.", "lm_head.")):
            norm = family == "gemma3" and name.endswith("norm.weight")
            writer.add_tensor(_named(names, name), values + 1 if norm else values)
    finish(writer)


def _projector(path: Path, config: dict[str, Any], family: str, tensors: Arrays) -> None:
    eyes = config["vision_config"]
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type(PROJECTORS[family])
    writer.add_vision_projection_dim(config["text_config"]["hidden_size"])
    writer.add_vision_image_size({"gemma3": 28, "qwen2.5-vl": 560, "qwen3-vl": 64}[family])
    writer.add_vision_patch_size(eyes["patch_size"])
    writer.add_vision_embedding_length(eyes["hidden_size"])
    writer.add_vision_feed_forward_length(eyes["intermediate_size"])
    writer.add_vision_block_count(eyes.get("depth") or eyes["num_hidden_layers"])
    writer.add_vision_head_count(eyes.get("num_heads") or eyes["num_attention_heads"])
    writer.add_vision_attention_layernorm_eps(1e-6)
    mean, spread = CLIP if family == "qwen2.5-vl" else HALF
    writer.add_vision_image_mean(list(mean))
    writer.add_vision_image_std(list(spread))
    if family == "gemma3":
        writer.add_vision_use_gelu(True)
        writer.add_vision_projector_scale_factor(1)
    elif family == "qwen3-vl":
        writer.add_vision_use_gelu(True)
        writer.add_vision_spatial_merge_size(eyes["spatial_merge_size"])
        writer.add_vision_is_deepstack_layers([layer in eyes["deepstack_visual_indexes"] for layer in range(eyes["depth"])])
    else:
        writer.add_vision_use_silu(True)
        writer.add_vision_n_wa_pattern(eyes["fullatt_block_indexes"][0] + 1)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.MMPROJ, 32)
    for name, values in tensors.items():
        if not name.startswith(("model.", "lm_head.")):
            for own, part in _parts(name, values, eyes):
                writer.add_tensor(own if own.startswith(("v.", "mm.")) else _named(names, own), np.ascontiguousarray(part))
    finish(writer)


def _parts(name: str, values: NDArray[Any], eyes: dict[str, Any]) -> list[tuple[str, NDArray[Any]]]:
    """A tensor as the converter splits and names it."""
    end = name.rpartition(".")[2]
    if name == "visual.patch_embed.proj.weight":  # two frames at once, an image being the same one twice
        return [("v.patch_embd.weight", values[:, :, 0]), ("v.patch_embd.weight.1", values[:, :, 1])]
    if name.endswith("soft_emb_norm.weight"):
        return [(name, values + 1)]
    if ".qkv." in name and "deepstack_visual_indexes" not in eyes:
        return [(name.replace("qkv", each), part) for each, part in zip("qkv", np.split(values, 3), strict=True)]
    if "deepstack_merger_list" in name:
        _, _, place, inner, _ = name.split(".")
        kind = {"norm": "norm", "linear_fc1": "fc1", "linear_fc2": "fc2"}[inner]
        return [(f"v.deepstack.{eyes['deepstack_visual_indexes'][int(place)]}.{kind}.{end}", values)]
    renamed = {"visual.merger.linear_fc1": "mm.0", "visual.merger.linear_fc2": "mm.2", "visual.merger.norm": "v.post_ln"}
    stem = name.rpartition(".")[0]
    return [(f"{renamed[stem]}.{end}" if stem in renamed else name, values)]


def _named(names: Any, name: str) -> str:
    found = names.get_name(name, try_suffixes=(".weight", ".bias"))
    assert found, name
    return str(found)
