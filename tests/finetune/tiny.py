"""A bundled model small enough for tests: the real classes, the real tokenizer's form, random weights of a few thousand numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from finetune import base, dataset, layout
from finetune.base import TextShape, Vocabulary
from finetune.layout import Shape, VisionShape
from finetune.recipe import Recipe, parse
from finetune.synthesis import pairs, phantom
from inference import weights

BYTES = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))]
"""The 256 characters by which byte-level tokenizers write bytes."""
CONTROLS = ("<|endoftext|>", layout.START, layout.END)
VISION = VisionShape(tile=64, patch=8, hidden=64, layers=1, heads=1, intermediate=128, shuffle=2)
TEXT = TextShape(hidden=64, layers=2, intermediate=96, heads=2, kv_heads=1, context=512, rope_theta=10000.0, rms_eps=1e-5)

RECIPE = {
    "name": "tiny",
    "seed": 3,
    "phantom": 1.0,
    "films": [],
    "lora": {"rank": 4, "alpha": 8},
    "vision": {"tile": 64, "patch": 8, "hidden": 64, "layers": 1, "heads": 1, "intermediate": 128, "shuffle": 2},
    "tower": {"schedule": {"steps": 10, "batch": 4, "rate": 0.003, "warmup": 1}, "coarse_until": 0.3, "strength": [0.0, 0.5]},
    "connector": {"schedule": {"steps": 4, "batch": 2, "rate": 0.003, "warmup": 1}, "train": ["connector"], "questions": 2},
    "joint": {
        "schedule": {"steps": 4, "batch": 2, "rate": 0.003, "warmup": 1},
        "train": ["connector", "lora"],
        "questions": 2,
        "lists": 1,
        "looks": 1,
        "gaze": 0.5,
        "heard": 0.5,
        "muon": True,
        "sliced": 0.5,
    },
}


def recipe(**changes: Any) -> Recipe:
    """The tiny recipe with top-level changes."""
    made: Recipe = parse(Recipe, {**RECIPE, **changes}, "tiny")
    return made


def vocabulary() -> Vocabulary:
    """Three control tokens and one token a byte, no merges but one."""
    tokens = (*CONTROLS, *BYTES, "in")
    return Vocabulary(tokens, ("i n",), frozenset(range(len(CONTROLS))))


def shape() -> Shape:
    """Shape of the tiny model."""
    return Shape(TEXT, VISION, len(vocabulary().tokens))


def words() -> dataset.Vocabulary:
    """Its tokenizer, as packing needs it."""
    return dataset.vocabulary(Tokenizer.from_str(json.dumps(layout.tokenizer_json(vocabulary()))))


class TinyBase:
    """A base model of random weights with `BaseModel`'s interface."""

    def __init__(self, seed: int = 0) -> None:
        self.shape = TEXT
        self._draw = np.random.default_rng(seed)
        sizes = {"embed_tokens": (shape().base_tokens, 64), "q_proj": (64, 64), "k_proj": (32, 64), "v_proj": (32, 64), "o_proj": (64, 64)}
        sizes |= {"gate_proj": (96, 64), "up_proj": (96, 64), "down_proj": (64, 96)}
        self._tensors = {name: self._random(next((s for part, s in sizes.items() if part in name), (64,))) for name in weights.names(2)}

    def _random(self, size: tuple[int, ...]) -> NDArray[np.float32]:
        return (self._draw.normal(0, 0.15, size) + (1.0 if len(size) == 1 else 0.0)).astype(np.float32)

    def vocabulary(self) -> Vocabulary:
        return vocabulary()

    def tensor(self, name: str) -> NDArray[np.float32]:
        return self._tensors[name]


def tower(seed: int = 1) -> dict[str, NDArray[np.float16]]:
    """Random tower and connector under Hugging Face names, strong enough that images matter."""
    draw = np.random.default_rng(seed)
    sizes = {"patch_embedding.weight": (64, 3, VISION.patch, VISION.patch), "position_embedding": (VISION.grid**2, 64)}
    sizes |= {
        "modality_projection": (64, 64 * VISION.shuffle**2),
        "layer_norm": (64,),
        "post_layernorm": (64,),
        "proj.weight": (64, 64),
        "fc1.weight": (128, 64),
        "fc1.bias": (128,),
        "fc2.weight": (64, 128),
    }
    made = {}
    for name in weights.tower_names(VISION.layers):
        size = next((s for part, s in sizes.items() if part in name), (64,))
        made[name] = (
            draw.normal(0, 0.1, size) + (1.0 if "norm.weight" in name or "norm1.weight" in name or "norm2.weight" in name else 0.0)
        ).astype(np.float16)
    return made


def pair(seed: int = 0, kind: pairs.Kind = "pair") -> pairs.Pair:
    """One phantom pair at 64 px."""
    return pairs.generate(seed, SOURCE, 64, kind)


SOURCE = phantom.PhantomSource(patients=2, width=96)


def wheel(folder: Path) -> Path:
    """A file that stands for the base's wheel where its content is not read."""
    path = folder / base.WHEEL
    path.write_bytes(b"not a wheel")
    return path
