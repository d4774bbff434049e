"""A model of the bundled model's family with random weights, small enough to be made and asked in a test.

The GGUF pair is in F32 and holds the very numbers of the transformers folder, so both engines must agree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from finetune import bundled, export, layout
from finetune.base import TextShape, Vocabulary
from finetune.layout import Shape, VisionShape
from inference import pixels, weights
from inference.engine import Image, Options, Request

SHAPE_TEXT = TextShape(hidden=64, layers=2, intermediate=128, heads=2, kv_heads=1, context=2048, rope_theta=1e5, rms_eps=1e-5)
SHAPE_VISION = VisionShape(tile=64, patch=16, hidden=64, layers=2, heads=1, intermediate=128, shuffle=2)
CONTROLS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def vocabulary() -> Vocabulary:
    """Three control tokens, the 256 bytes as byte-level BPE writes them, and one merge."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    spelled = {byte: chr(byte) for byte in plain}
    others = [byte for byte in range(256) if byte not in spelled]
    spelled |= {byte: chr(256 + number) for number, byte in enumerate(others)}
    return Vocabulary((*CONTROLS, *(spelled[byte] for byte in range(256)), "th"), ("t h",), frozenset({0, 1, 2}))


@dataclass
class Weights:
    """Random tensors by Hugging Face name, the same for the same seed; every value is one that F16 holds."""

    shape: Shape
    seed: int
    made: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __call__(self, name: str) -> NDArray[Any]:
        """The tensor of that name."""
        if name not in self.made:
            random = np.random.default_rng([self.seed, *name.encode()])
            values = random.normal(0, self._spread(name), self._size(name))
            if "norm" in name and name.endswith("weight"):
                values += 1
            self.made[name] = values.astype(np.float16).astype(np.float32)
        return self.made[name]

    def _spread(self, name: str) -> float:
        return 1.0 if "embed" in name else 0.05 if "norm" in name else 0.25

    def _size(self, name: str) -> tuple[int, ...]:
        text, vision = self.shape.text, self.shape.vision
        wide = (vision.intermediate, vision.hidden) if "vision" in name else (text.intermediate, text.hidden)
        hidden = wide[1]
        if "patch_embedding.weight" in name:
            return (vision.hidden, 3, vision.patch, vision.patch)
        if "position_embedding" in name:
            return (vision.grid**2, vision.hidden)
        if "embed_tokens" in name:
            return (self.shape.vocabulary, text.hidden)
        if name == weights.CONNECTOR:
            return (text.hidden, vision.hidden * vision.shuffle**2)
        if "norm" in name or name.endswith("bias"):
            return (wide[0],) if "fc1" in name else (hidden,)
        if any(part in name for part in ("gate_proj", "up_proj", "fc1")):
            return wide
        if "down_proj" in name or "fc2" in name:
            return wide[::-1]
        if "k_proj" in name or "v_proj" in name:
            return (hidden if "vision" in name else hidden // text.heads * text.kv_heads, hidden)
        return (hidden, hidden)


def build(folder: Path, seed: int = 0) -> Path:
    """Write the model into `folder`: GGUF pair, `hf/` and `manifest.json`."""
    words = vocabulary()
    shape = Shape(SHAPE_TEXT, SHAPE_VISION, len(words.tokens))
    values = Weights(shape, seed)
    (folder / "hf").mkdir(parents=True)
    full = gguf.GGMLQuantizationType.F32
    export.text_gguf(folder / export.TEXT_FILE, shape, words, values, full)
    export.mmproj_gguf(folder / export.MMPROJ_FILE, shape, values, full)
    names = [*weights.names(shape.text.layers), *weights.tower_names(shape.vision.layers)]
    save_file({name: values(name).astype(np.float16) for name in names}, folder / bundled.WEIGHTS, {"format": "pt"})
    layout.write(folder / "hf", shape, words)
    bundled.write_manifest(folder, shape, "tiny", f"seed {seed}", "Random weights, for tests.")
    return folder


def picture(seed: int, role: str = "", when: str = "", size: tuple[int, int] = (64, 64)) -> Image:
    """A random picture, the same for the same seed."""
    return pixels.image(np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8), role, when)


def pair(question: str = "What changed since the prior?", tokens: int = 12, **fields: Any) -> Request:
    """A question about two different pictures, prior and current."""
    images = (picture(1, "prior"), picture(2, "current", "14 days later"))
    return Request(**{"images": images, "question": question, "options": Options(max_tokens=tokens), **fields})
