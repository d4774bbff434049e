"""A model of every family, of the real classes with random weights and a byte tokenizer, small enough to be trained in a test.

The chat templates are those of the published models, shortened to what a test says.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image as Pillow
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedTokenizerFast

from finetune.families import FAMILIES
from tests.finetune.tiny import BYTES

NAMES = tuple(family.name for family in FAMILIES)
CONTROLS = (
    "<pad>",
    "<s>",
    "</s>",
    "<image>",
    "<Image>",
    "</Image>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|im_start|>",
    "<|im_end|>",
    "<end_of_utterance>",
    "<fake_token_around_image>",
    "<global-img>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<start_of_image>",
    "<end_of_image>",
    "<image_soft_token>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
)
IDS = {name: index for index, name in enumerate(CONTROLS)}
TEXT: dict[str, Any] = {
    "vocab_size": len(CONTROLS) + len(BYTES),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 1024,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}
TOWER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}}
QWEN: dict[str, Any] = {
    "image_token_id": IDS["<|image_pad|>"],
    "video_token_id": IDS["<|video_pad|>"],
    "vision_start_token_id": IDS["<|vision_start|>"],
    "vision_end_token_id": IDS["<|vision_end|>"],
    "text_config": {**TEXT, **ROPE},
}


def _llava(tower: str, text: str, **more: Any) -> dict[str, Any]:
    config = {"model_type": "llava", "image_token_index": IDS["<image>"], "vision_feature_layer": -2, **more}
    return {**config, "vision_config": {**TOWER, "model_type": tower}, "text_config": {**TEXT, "model_type": text}}


def _shuffled(kind: str) -> dict[str, Any]:
    return {
        "model_type": kind,
        "scale_factor": 2,
        "image_token_id": IDS["<image>"],
        "vision_config": {**TOWER, "image_size": 56},
        "text_config": {**TEXT, "model_type": "llama"},
    }


def _qwen(kind: str, text: dict[str, Any] | None = None, **vision: Any) -> dict[str, Any]:
    eyes = {"depth": 2, "hidden_size": 32, "num_heads": 2, "spatial_merge_size": 2, "temporal_patch_size": 2, "patch_size": 14}
    words = {**QWEN["text_config"], **(text or {})}
    return {"model_type": kind, **QWEN, "text_config": words, "vision_config": {**eyes, **vision}}


CONFIGS: dict[str, dict[str, Any]] = {
    "mantis-siglip": _llava("siglip_vision_model", "llama"),
    "mantis-clip": {**_llava("clip_vision_model", "llama"), "text_config": {**TEXT, "model_type": "llama", "vocab_size": 128_000}},
    "llava": _llava("clip_vision_model", "llama"),
    "llava-med": _llava("clip_vision_model", "mistral"),
    "idefics2": {
        "model_type": "idefics2",
        "image_token_id": IDS["<image>"],
        "vision_config": TOWER,
        "text_config": {**TEXT, "model_type": "mistral"},
        "perceiver_config": {
            "hidden_size": 32,
            "resampler_n_latents": 4,
            "resampler_depth": 1,
            "resampler_n_heads": 2,
            "resampler_head_dim": 16,
            "num_key_value_heads": 1,
        },
    },
    "idefics3": _shuffled("idefics3"),
    "smolvlm": _shuffled("smolvlm"),
    "gemma3": {
        "model_type": "gemma3",
        "mm_tokens_per_image": 4,
        "image_token_index": IDS["<image_soft_token>"],
        "boi_token_index": IDS["<start_of_image>"],
        "eoi_token_index": IDS["<end_of_image>"],
        "vision_config": {**TOWER, "model_type": "siglip_vision_model"},
        "text_config": {**TEXT, "model_type": "gemma3_text", "head_dim": 16, "sliding_window": 512, "query_pre_attn_scalar": 16},
    },
    "qwen2-vl": _qwen("qwen2_vl", embed_dim=32, mlp_ratio=2),
    "qwen2.5-vl": _qwen("qwen2_5_vl", intermediate_size=48, out_hidden_size=32, window_size=56, fullatt_block_indexes=[1]),
    "qwen3-vl": _qwen(
        "qwen3_vl",
        {"head_dim": 16, "rope_parameters": {**ROPE["rope_parameters"], "mrope_section": [3, 3, 2]}},  # dealt out in turn, to the last
        depth=3,
        patch_size=16,
        intermediate_size=48,
        out_hidden_size=32,
        num_position_embeddings=16,
        deepstack_visual_indexes=[0, 1],
    ),
    "internvl": {
        "model_type": "internvl",
        "image_token_id": IDS["<IMG_CONTEXT>"],
        "downsample_ratio": 0.5,
        "image_seq_length": 4,
        "vision_config": {**TOWER, "image_size": [56, 56], "patch_size": [14, 14]},
        "text_config": {**TEXT, "model_type": "qwen2"},
    },
}
TILES = {"qwen2-vl": 56, "qwen2.5-vl": 56, "qwen3-vl": 64}
"""Side asked for where the family's own is larger than a test wants."""

_PARTS = "{% for p in m.content %}{% if p.type == 'image' %}IMAGE{% else %}{{ p.text }}{% endif %}{% endfor %}"
_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n" + _PARTS + "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SPOKEN = (
    "{% for m in messages %}{{ m.role.capitalize() }}{% if m.content[0].type == 'image' %}:{% else %}: {% endif %}"
    + _PARTS
    + "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
_GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set first = messages[0].content[0].text + '\n\n' %}"
    "{% set rest = messages[1:] %}"
    "{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}{% for m in rest %}<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ first if loop.first else '' }}"
    + _PARTS.replace("p.text", "p.text | trim")
    + "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_VICUNA = (
    "{% for m in messages %}{{ m.role.upper() }}: {% for p in m.content | selectattr('type', 'equalto', 'image') %}<image>\n{% endfor %}"
    "{% for p in m.content | selectattr('type', 'equalto', 'text') %}{{ p.text }} {% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
TEMPLATES = {
    "llava": _VICUNA,
    "idefics2": _SPOKEN.replace("IMAGE", "<image>"),
    "smolvlm": "<|im_start|>" + _SPOKEN.replace("IMAGE", "<image>"),
    "gemma3": _GEMMA.replace("IMAGE", "<start_of_image>"),
    "qwen2-vl": _CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    "qwen2.5-vl": _CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    "qwen3-vl": _CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    "internvl": _CHATML.replace("IMAGE", "<IMG_CONTEXT>\n"),
}


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte behind the control tokens of every family."""
    vocabulary = {name: index for index, name in enumerate((*CONTROLS, *BYTES))}
    fast = Tokenizer(models.BPE(vocabulary, []))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in CONTROLS])
    return PreTrainedTokenizerFast(tokenizer_object=fast, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def config(folder: Path, name: str) -> Path:
    """Only the configuration, the tokenizer and the chat template of a family's tiny model."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIGS[name]), encoding="utf-8")
    tokenizer().save_pretrained(folder)
    if name in TEMPLATES:
        (folder / "chat_template.jinja").write_text(TEMPLATES[name], encoding="utf-8")
    return folder


def build(folder: Path, name: str, seed: int = 0, **tower: Any) -> Path:
    """Write a family's tiny model into `folder`, its numbers large enough that images matter; `tower` changes its tower's shape."""
    config(folder, name)
    if tower:
        changed = {**CONFIGS[name], "vision_config": {**CONFIGS[name]["vision_config"], **tower}}
        (folder / "config.json").write_text(json.dumps(changed), encoding="utf-8")
    transformers.logging.set_verbosity_error()
    torch.manual_seed(seed)
    net = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder))
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.15)
    net.save_pretrained(folder)
    return folder


def pictures(folder: Path, count: int = 4) -> list[Path]:
    """Different grey pictures of 40 x 32 pixels, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        drawn = np.random.default_rng(number).integers(0, 256, (5, 4), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        Pillow.fromarray(drawn).save(path)
    return paths


def examples(folder: Path, count: int = 6) -> Path:
    """A file of examples: two and three images in turn, answers that hang on the order."""
    pictures(folder)
    rows = []
    for number in range(count):
        shown = [(number + step) % 4 for step in range(2 + number % 2)]
        images = [{"path": f"{index}.png", "role": "prior" if not place else "current"} for place, index in enumerate(shown)]
        rows.append({"images": images, "question": f"What changed in {number}?", "answer": ["worse", "improved", "stable"][number % 3]})
    path = folder / "examples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
