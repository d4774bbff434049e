"""From a Hugging Face folder, or tensors in memory, to the GGUF pair that llama.cpp reads: text model and image projector.

Written on the `gguf` package alone, so that set-up needs neither torch nor llama.cpp's converter; tensors come out
bit-identical to the converter's. Queries and keys change their rotary order on the way (`weights.interleave`).

    python -m finetune.export hf --out out        # out/text-f16.gguf, out/mmproj-f16.gguf
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from errors import IntervalError, TuneError
from finetune import base, layout
from finetune.base import TextShape, Vocabulary
from finetune.layout import Shape, VisionShape
from inference import weights
from inference.weights import Array

MMPROJ_FILE = "mmproj-f16.gguf"
FAMILIES = ("idefics3", "smolvlm")

Tensors = Callable[[str], NDArray[Any]]
"""Tensor by Hugging Face name; raises KeyError for a name it does not have."""

Quant = gguf.GGMLQuantizationType
FILE_TYPES = {Quant.Q8_0: gguf.LlamaFileType.MOSTLY_Q8_0, Quant.F16: gguf.LlamaFileType.MOSTLY_F16, Quant.F32: gguf.LlamaFileType.ALL_F32}


def text_file(quant: Any) -> str:
    """Name of a text model's file in `quant`."""
    return f"text-{quant.name.lower()}.gguf"


TEXT_FILE = text_file(Quant.F16)
"""With Q8_0, llama.cpp rounds what it computes with to eight bits too, and answers part from torch's where two words are near."""


def through(values: Array, quant: Any) -> Array:
    """Values as they are after a trip through `quant` (Q8_0 or F16); vectors and F32 stay as they are."""
    if values.ndim < 2 or quant == Quant.F32:
        return values
    if quant == Quant.F16:
        return values.astype(np.float16).astype(np.float32)
    back: Array = gguf.quants.dequantize(gguf.quants.quantize(values, quant), quant)
    return back


def _put(writer: Any, name: str, values: NDArray[Any], quant: Any) -> None:
    """Add one tensor; vectors are always F32."""
    exact = np.ascontiguousarray(values, dtype=np.float32)
    if exact.ndim < 2 or quant == Quant.F32:
        writer.add_tensor(name, exact)
    elif quant == Quant.F16:
        writer.add_tensor(name, exact.astype(np.float16))
    else:
        writer.add_tensor(name, gguf.quants.quantize(exact, quant), raw_dtype=quant)


def finish(writer: Any) -> None:
    """Write what a `GGUFWriter` was given, and close it."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _text_header(writer: Any, shape: Shape, name: str, quant: Any) -> None:
    text = shape.text
    writer.add_type("model")
    writer.add_name(name)
    writer.add_license(base.LICENCE.lower())
    writer.add_file_type(FILE_TYPES[quant])
    writer.add_quantization_version(2)
    writer.add_context_length(text.context)
    writer.add_embedding_length(text.hidden)
    writer.add_block_count(text.layers)
    writer.add_feed_forward_length(text.intermediate)
    writer.add_head_count(text.heads)
    writer.add_head_count_kv(text.kv_heads)
    writer.add_layer_norm_rms_eps(text.rms_eps)
    writer.add_rope_freq_base(text.rope_theta)
    writer.add_rope_dimension_count(text.hidden // text.heads)
    writer.add_vocab_size(shape.vocabulary)


def _tokenizer(writer: Any, shape: Shape, vocabulary: Vocabulary, template: str) -> None:
    kinds = gguf.TokenType
    rows = [*vocabulary.tokens, *layout.ADDED]
    types = [kinds.CONTROL if index in vocabulary.control else kinds.NORMAL for index in range(len(vocabulary.tokens))]
    types += [kinds.CONTROL] * len(layout.ADDED)
    rows += [f"[PAD{index}]" for index in range(len(rows), shape.vocabulary)]
    types += [kinds.UNUSED] * (shape.vocabulary - len(types))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(rows)
    writer.add_token_types(types)
    writer.add_token_merges(list(vocabulary.merges))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(template)


def text_gguf(path: Path, shape: Shape, vocabulary: Vocabulary, tensors: Tensors, quant: Any = Quant.F16, name: str = "interval") -> None:
    """Write the text model. `tensors` gives Hugging Face tensors, float; the head is tied to the embedding."""
    writer = gguf.GGUFWriter(path, "llama")
    _text_header(writer, shape, name, quant)
    _tokenizer(writer, shape, vocabulary, layout.TEMPLATE)
    for tensor in weights.names(shape.text.layers):
        values = tensors(tensor)
        heads = shape.text.heads_of(tensor)
        _put(writer, weights.gguf_name(tensor), weights.interleave(values, heads) if heads else values, quant)
    finish(writer)


def mmproj_gguf(path: Path, shape: Shape, tensors: Tensors, quant: Any = Quant.F16, name: str = "interval") -> None:
    """Write tower and connector as llama.cpp's image projector of the Idefics3 kind.

    Raises `TuneError` for a tower whose inner width is its outer one: llama.cpp would take its two inner matrices for swapped.
    """
    vision = shape.vision
    if vision.intermediate == vision.hidden:
        raise TuneError(f"a tower of width {vision.hidden} inside and out would be read wrongly by llama.cpp; change intermediate_size")
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_name(name)
    writer.add_file_type(FILE_TYPES[quant])
    writer.add_quantization_version(2)
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("idefics3")
    writer.add_vision_projection_dim(shape.text.hidden)
    writer.add_vision_image_size(vision.tile)
    writer.add_vision_preproc_image_size(vision.tile)
    writer.add_vision_patch_size(vision.patch)
    writer.add_vision_embedding_length(vision.hidden)
    writer.add_vision_feed_forward_length(vision.intermediate)
    writer.add_vision_block_count(vision.layers)
    writer.add_vision_head_count(vision.heads)
    writer.add_vision_attention_layernorm_eps(vision.layer_norm_eps)
    writer.add_vision_image_mean([layout.MEAN] * 3)
    writer.add_vision_image_std([layout.STD] * 3)
    writer.add_vision_use_gelu(True)
    writer.add_vision_projector_scale_factor(vision.shuffle)
    for theirs, ours in weights.tower_names(vision.layers).items():
        _put(writer, ours, tensors(theirs), Quant.F32 if "position_embd" in ours else quant)
    finish(writer)


@dataclass(frozen=True)
class Folder:
    """A Hugging Face folder of a family we can export: its shape, vocabulary and tensors."""

    shape: Shape
    vocabulary: Vocabulary
    tensors: Tensors


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TuneError(f"{path}: it is missing or not JSON ({error}); give a folder written by save_pretrained") from error
    return content


def _shape(config: dict[str, Any], tokens: int) -> Shape:
    text, vision = config["text_config"], config["vision_config"]
    rope = text.get("rope_parameters") or {"rope_theta": text.get("rope_theta", 1e4)}
    return Shape(
        TextShape(
            text["hidden_size"],
            text["num_hidden_layers"],
            text["intermediate_size"],
            text["num_attention_heads"],
            text["num_key_value_heads"],
            text["max_position_embeddings"],
            rope["rope_theta"],
            text["rms_norm_eps"],
        ),
        VisionShape(
            vision["image_size"],
            vision["patch_size"],
            vision["hidden_size"],
            vision["num_hidden_layers"],
            vision["num_attention_heads"],
            vision["intermediate_size"],
            config["scale_factor"],
            vision["layer_norm_eps"],
        ),
        tokens,
    )


def text_shape(folder: Path) -> TextShape:
    """Shape of the language model of a Hugging Face folder. Raises `TuneError` for an unknown family or a missing file."""
    return _shape(_config(folder), 0).text


def _config(folder: Path) -> dict[str, Any]:
    config = _json(folder / "config.json")
    family = config.get("model_type", "?")
    if family not in FAMILIES:
        raise TuneError(f"{folder}: models of the family {family} cannot be exported; known are {', '.join(FAMILIES)}")
    return config


def _vocabulary(tokenizer: dict[str, Any]) -> Vocabulary:
    """The base's part of `tokenizer.json`; the added tokens are the layout's."""
    model = tokenizer["model"]
    order = sorted(model["vocab"].items(), key=lambda item: item[1])
    merges = tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"])
    control = frozenset(token["id"] for token in tokenizer["added_tokens"] if token["special"] and token["id"] < len(order))
    return Vocabulary(tuple(token for token, _ in order), merges, control)


def stored(path: Path) -> Tensors:
    """Tensors of one safetensors file (F16 or F32), read on demand."""
    try:
        file: Any = safe_open(path, "np")
    except (OSError, SafetensorError) as error:
        raise TuneError(f"{path}: the weights cannot be read ({error}); give a folder written by save_pretrained") from error
    keys = set(file.keys())

    def tensor(name: str) -> NDArray[Any]:
        if name not in keys:
            raise KeyError(name)
        values: NDArray[Any] = file.get_tensor(name)
        return values

    return tensor


def read(folder: Path) -> Folder:
    """Read a Hugging Face folder. Raises `TuneError` for an unknown family or a missing file."""
    config = _config(folder)
    vocabulary = _vocabulary(_json(folder / "tokenizer.json"))
    return Folder(_shape(config, len(vocabulary.tokens)), vocabulary, stored(folder / "model.safetensors"))


def export(folder: Path, out: Path) -> tuple[Path, Path]:
    """Write `folder` as two GGUF files in F16, text and projector, in `out`, which is made.

    Raises `TuneError` for an unknown family, a missing file or tensor, or a full disk; nothing is left behind then.
    """
    model = read(folder)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TuneError(f"{out} cannot be made ({error.strerror}); name another folder") from error
    text, mmproj = out / TEXT_FILE, out / MMPROJ_FILE
    parts = [path.with_suffix(".part") for path in (text, mmproj)]
    try:
        text_gguf(parts[0], model.shape, model.vocabulary, model.tensors)
        mmproj_gguf(parts[1], model.shape, model.tensors)
        parts[0].replace(text)
        parts[1].replace(mmproj)
    except KeyError as error:
        raise TuneError(f"{folder}: it has no tensor {error}; the export needs a complete {layout.FAMILY} model") from error
    except OSError as error:
        raise TuneError(f"{out}: the GGUF pair cannot be written ({error.strerror or error}); make room and export again") from error
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return text, mmproj


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m finetune.export", description="Write a transformers folder as a GGUF pair.")
    parser.add_argument("folder", type=Path, help=f"transformers folder of the family {' or '.join(FAMILIES)}")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pair, made if it is not there")
    given = parser.parse_args(arguments)
    try:
        pair = export(given.folder, given.out)
    except IntervalError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(*pair, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
