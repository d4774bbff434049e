"""What stands where in the bundled model: its shape, the tokens added to the base, the chat template, the configuration files.

Training, set-up and export read this one file, so a token id or a template cannot mean two things. The JSON files
are written by hand rather than by transformers, so that set-up needs numpy alone and gives the same bytes everywhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.base import TextShape, Vocabulary
from inference.prompts import SYSTEM

FAMILY = "idefics3"
AROUND = "<fake_token_around_image>"
IMAGE = "<image>"
GLOBAL = "<global-img>"
ROW = "<row_1_col_1>"
START, END = "<|im_start|>", "<|im_end|>"
ADDED: tuple[str, ...] = (
    AROUND,
    IMAGE,
    "<end_of_utterance>",
    GLOBAL,
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
)
MEAN, STD = 0.5, 0.5

TEMPLATE = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
    "{{ '<|im_start|>system\n" + SYSTEM + "<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}"
    "{% elif c['type'] in ['image', 'image_url'] %}{{ '<image>' }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML; an image place is one ``<image>``, which the processor or the stock server expands."""


@dataclass(frozen=True)
class VisionShape:
    """Sizes of the image tower and of the square tile it reads, in pixels."""

    tile: int = 256
    patch: int = 16
    hidden: int = 384
    layers: int = 6
    heads: int = 6
    intermediate: int = 1536
    shuffle: int = 4
    layer_norm_eps: float = 1e-6

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return self.tile // self.patch

    @property
    def tokens(self) -> int:
        """Image tokens of one tile after pixel shuffle."""
        return (self.grid // self.shuffle) ** 2


@dataclass(frozen=True)
class Shape:
    """The whole model: text, tower, and the vocabulary with its added tokens padded to 64 rows."""

    text: TextShape
    vision: VisionShape
    base_tokens: int

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding table."""
        return (self.base_tokens + len(ADDED) + 63) // 64 * 64

    def added(self, token: str) -> int:
        """Id of an added token."""
        return self.base_tokens + ADDED.index(token)


def tokenizer_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """`tokenizer.json` of the base with our tokens added.

    Transformers' own reading of the GGUF loses SmolLM2's splitting of digits; the pre-tokeniser here has it.
    """
    count = len(vocabulary.tokens)
    special = [(index, vocabulary.tokens[index]) for index in sorted(vocabulary.control)]
    special += [(count + index, token) for index, token in enumerate(ADDED)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model: dict[str, Any] = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
    }
    model |= {"fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index, "content": token, **flags} for index, token in special],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, level]},
        "post_processor": None,
        "decoder": level,
        "model": model
        | {"vocab": {token: index for index, token in enumerate(vocabulary.tokens)}, "merges": [m.split(" ") for m in vocabulary.merges]},
    }


def tokenizer_config() -> dict[str, Any]:
    """`tokenizer_config.json`."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": START,
        "eos_token": END,
        "pad_token": END,
        "unk_token": "<|endoftext|>",
        "additional_special_tokens": list(ADDED),
        "clean_up_tokenization_spaces": False,
        "model_max_length": 8192,
    }


def config(shape: Shape) -> dict[str, Any]:
    """`config.json` of Idefics3ForConditionalGeneration."""
    text, vision = shape.text, shape.vision
    return {
        "architectures": ["Idefics3ForConditionalGeneration"],
        "model_type": FAMILY,
        "dtype": "float16",
        "image_token_id": shape.added(IMAGE),
        "pad_token_id": 2,
        "scale_factor": vision.shuffle,
        "tie_word_embeddings": True,
        "text_config": {
            "model_type": "llama",
            "attention_bias": False,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 2,
            "head_dim": text.hidden // text.heads,
            "hidden_act": "silu",
            "hidden_size": text.hidden,
            "intermediate_size": text.intermediate,
            "max_position_embeddings": text.context,
            "num_attention_heads": text.heads,
            "num_hidden_layers": text.layers,
            "num_key_value_heads": text.kv_heads,
            "rms_norm_eps": text.rms_eps,
            "rope_parameters": {"rope_theta": text.rope_theta, "rope_type": "default"},
            "tie_word_embeddings": True,
            "vocab_size": shape.vocabulary,
        },
        "vision_config": {
            "model_type": "idefics3_vision",
            "hidden_act": "gelu_pytorch_tanh",
            "hidden_size": vision.hidden,
            "image_size": vision.tile,
            "intermediate_size": vision.intermediate,
            "layer_norm_eps": vision.layer_norm_eps,
            "num_attention_heads": vision.heads,
            "num_channels": 3,
            "num_hidden_layers": vision.layers,
            "patch_size": vision.patch,
        },
    }


def image_processor(vision: VisionShape) -> dict[str, Any]:
    """`image_processor` of the processor: one square tile, scaled to -1..1, no splitting."""
    return {
        "image_processor_type": "Idefics3ImageProcessor",
        "do_convert_rgb": True,
        "do_image_splitting": False,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [MEAN] * 3,
        "image_std": [STD] * 3,
        "max_image_size": {"longest_edge": vision.tile},
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": vision.tile},
    }


def write(folder: Path, shape: Shape, vocabulary: Vocabulary) -> None:
    """All files of a transformers folder but the weights."""
    generation = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "do_sample": False}
    processor = {"processor_class": "Idefics3Processor", "image_seq_len": shape.vision.tokens}
    files: dict[str, dict[str, Any]] = {
        "config.json": config(shape),
        "generation_config.json": generation,
        "tokenizer.json": tokenizer_json(vocabulary),
        "tokenizer_config.json": tokenizer_config(),
        "processor_config.json": {**processor, "image_processor": image_processor(shape.vision)},
    }
    for name, content in files.items():
        indent = None if name == "tokenizer.json" else 2
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
