"""The table of families: each is told from its config, counts its tokens as its tower does, and is asked in its own words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from errors import TuneError
from finetune import families, features
from finetune.encoding import Words
from finetune.examples import Example, FilePicture
from inference import chat, seeing
from inference.prompts import SYSTEM
from inference.torch_engine import TorchEngine
from tests.finetune import tiny_families as tiny
from tests.inference import tiny as engine_tiny

TRAINED = [name for name in tiny.NAMES if name != "mantis-clip"]
"""`mantis-clip` is Mantis-SigLIP's prompt on LLaVA's tower; its vocabulary of 128,000 is no thing for a test."""
SIGLIP = {"model_type": "siglip_vision_model", "image_size": 384, "patch_size": 14, "hidden_size": 1152, "num_attention_heads": 16}
CLIP = {"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14, "hidden_size": 1024, "num_attention_heads": 16}
LLAMA3 = {"model_type": "llama", "vocab_size": 128_258, "max_position_embeddings": 8192}
PUBLISHED: dict[str, tuple[dict[str, Any], str, int, int, int]] = {
    "Mantis-8B-siglip-llama3": (
        {"model_type": "llava", "image_token_index": 128_256, "vision_config": SIGLIP, "text_config": LLAMA3, "image_seq_length": 576},
        "mantis-siglip",
        728,
        8192,
        128_256,
    ),
    "Mantis-8B-clip-llama3": (
        {"model_type": "llava", "image_token_index": 128_256, "vision_config": CLIP, "text_config": LLAMA3},
        "mantis-clip",
        576,
        8192,
        128_256,
    ),
    "llava-med-v1.5-mistral-7b-hf": (
        {
            "model_type": "llava",
            "image_token_index": 32_000,
            "vision_config": CLIP,
            "text_config": {"model_type": "mistral", "max_position_embeddings": 32_768},
        },
        "llava-med",
        576,
        32_768,
        32_000,
    ),
    "llava-1.5-7b-hf": ({"model_type": "llava", "vision_config": CLIP, "text_config": {"model_type": "llama"}}, "llava", 576, 2048, 32_000),
    "Mantis-8B-Idefics2": ({"model_type": "idefics2"}, "idefics2", 64, 32_768, 32_001),
    "medgemma-4b-it": ({"model_type": "gemma3"}, "gemma3", 256, 131_072, 262_144),
    "Lingshu-7B": ({"model_type": "qwen2_5_vl"}, "qwen2.5-vl", 256, 32_768, 151_655),
    "Qwen3-VL-4B": ({"model_type": "qwen3_vl"}, "qwen3-vl", 196, 128_000, 151_655),
    "SmolVLM2-500M": (
        {
            "model_type": "smolvlm",
            "scale_factor": 4,
            "image_token_id": 49_190,
            "vision_config": {"image_size": 512, "patch_size": 16},
            "text_config": {"model_type": "llama", "max_position_embeddings": 8192},
        },
        "smolvlm",
        64,
        8192,
        49_190,
    ),
}


def example(question: str = "What changed?", images: int = 2) -> Example:
    shown = tuple(FilePicture(Path(f"{number}.png")) for number in range(images))
    return Example(
        "test", shown, question, "It is worse.", roles=("prior", "current", "")[:images], whens=("", "14 days later", "")[:images]
    )


def form(folder: Path, name: str) -> families.Form:
    return families.form(tiny.config(folder, name), tiny.TILES.get(name, 0))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_is_told_and_measured_from_its_config(tmp_path: Path, name: str) -> None:
    """728 tokens an image of Mantis-SigLIP is the trap: its own config says 576 and its patches number 729."""
    config, family, tokens, context, image_id = PUBLISHED[name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = families.form(tmp_path)
    assert (found.family.name, found.tokens, found.context, found.image_id) == (family, tokens, context, image_id)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"model_type": "mamba"}, "mamba is no family Interval knows; known are mantis-siglip"),
        ({"model_type": "llava_mistral"}, "convert the weights to its LLaVA layout, then it is read as llava-med"),
        ({"model_type": "llava", "text_config": {"model_type": "phi"}, "vision_config": {"model_type": "dinov2"}}, "(phi over dinov2)"),
        ({}, "no model type is no family"),
        ([], "this is no model's configuration"),
    ],
)
def test_an_unknown_family_is_one_sentence(tmp_path: Path, config: object, sentence: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(TuneError) as raised:
        families.form(tmp_path)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_tower_of_one_size_is_not_given_another(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="reads images of 28 pixels only"):
        families.form(tiny.config(tmp_path, "mantis-siglip"), 56)
    with pytest.raises(TuneError, match="no multiple of 28"):
        families.form(tiny.config(tmp_path / "q", "qwen2.5-vl"), 60)


@pytest.mark.parametrize("name", TRAINED)
def test_an_image_becomes_as_many_tokens_as_the_prompt_has_room_for(tmp_path: Path, name: str) -> None:
    found = families.form(tiny.build(tmp_path, name), tiny.TILES.get(name, 0))
    net = AutoModelForImageTextToText.from_pretrained(tmp_path)
    tiles = torch.randint(0, 256, (2, found.tile, found.tile, 3), dtype=torch.uint8)
    made = features.seen(net, found, tiles)
    assert [len(feature[0]) for feature in made] == [found.tokens] * 2
    assert not torch.allclose(made[0][0], made[1][0])


@pytest.mark.parametrize("name", TRAINED)
def test_every_family_is_asked_in_our_words(tmp_path: Path, name: str) -> None:
    """Whatever the template says of its own, the system text is ours, images stand in order and the answer is ended."""
    words = Words(form(tmp_path, name))
    prompt, answer = words.segments(example())
    text = chat.written(prompt)
    assert text.count(SYSTEM) == 1
    assert text.index("[image 1]") < text.index("[image 2]") < text.index("What changed?")
    assert "Image 2 (current, 14 days later): " in text
    assert answer[0].strip() == "It is worse."  # type: ignore[union-attr]
    assert isinstance(answer[-1], chat.Control)
    encoded = words.encode(example())
    assert encoded.images.sum() == 2 * words.form.tokens
    assert encoded.answer_tokens == len(words.ids(answer))


EXACT = {
    "mantis-siglip": "<s><|start_header_id|>system<|end_header_id|>\n\n{system}<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
    "Image 1 (prior): (image 1: <Image>[image 1]</Image>)\nImage 2 (current, 14 days later): (image 2: <Image>[image 2]</Image>)\n"
    "What changed?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "llava-med": "<s>[INST] {system}\nImage 1 (prior): [image 1]\nImage 2 (current, 14 days later): [image 2]\nWhat changed? [/INST]",
    "idefics2": "System: {system}<end_of_utterance>\nUser: Image 1 (prior): <fake_token_around_image>[image 1]<fake_token_around_image>\n"
    "Image 2 (current, 14 days later): <fake_token_around_image>[image 2]<fake_token_around_image>\nWhat changed?"
    "<end_of_utterance>\nAssistant:",
    "gemma3": "<s><start_of_turn>user\n{system}\n\nImage 1 (prior): \n\n<start_of_image>[image 1]<end_of_image>\n\n\n"
    "Image 2 (current, 14 days later): \n\n<start_of_image>[image 2]<end_of_image>\n\n\nWhat changed?<end_of_turn>\n<start_of_turn>model\n",
    "qwen2.5-vl": "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\nImage 1 (prior): <|vision_start|>[image 1]<|vision_end|>\n"
    "Image 2 (current, 14 days later): <|vision_start|>[image 2]<|vision_end|>\nWhat changed?<|im_end|>\n<|im_start|>assistant\n",
}


@pytest.mark.parametrize("name", EXACT)
def test_a_prompt_is_written_as_the_family_writes_it(tmp_path: Path, name: str) -> None:
    prompt, _ = Words(form(tmp_path, name)).segments(example())
    assert chat.written(prompt) == EXACT[name].format(system=SYSTEM)


@pytest.mark.parametrize("name", ["mantis-siglip", "gemma3", "idefics3", "qwen3-vl"])
def test_markers_typed_by_a_person_stay_text(tmp_path: Path, name: str) -> None:
    """A question with every control token in it asks for no image more and ends no turn."""
    words = Words(form(tmp_path, name))
    typed = "".join(tiny.CONTROLS) + "\ue0000\ue001"
    encoded = words.encode(example(typed))
    assert encoded.images.sum() == 2 * words.form.tokens
    plain = words.encode(example("What changed?"))
    controls = range(len(tiny.CONTROLS))
    assert np.isin(encoded.ids, controls).sum() == np.isin(plain.ids, controls).sum()


def test_a_template_that_speaks_as_a_pirate_is_refused(tmp_path: Path) -> None:
    made = form(tmp_path, "smolvlm")
    text = (tmp_path / "chat_template.jinja").read_text()
    (tmp_path / "chat_template.jinja").write_text("You are a pirate chatbot who always responds in pirate speak!" + text)
    with pytest.raises(TuneError, match="speaks as a pirate"):
        Words(made).segments(example())


def test_a_folder_without_a_template_for_images_is_one_sentence(tmp_path: Path) -> None:
    made = form(tmp_path, "gemma3")
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(TuneError, match="no place for images"):
        Words(made)


def test_the_engine_reads_the_very_tokens_that_were_trained_on(tmp_path: Path) -> None:
    folder = engine_tiny.build(tmp_path / "model")
    request = engine_tiny.pair("What changed?")
    asked = Example("test", example().images, "What changed?", "worse", roles=("prior", "current"), whens=("", "14 days later"))
    words = Words(families.form(folder / "hf"))
    engine = TorchEngine(folder, threads=1)
    ids = words.ids(words.segments(asked)[0])
    assert engine.token_ids(request) == [-1 if token == words.form.image_id else token for token in ids]
    engine.close()


def test_patches_are_those_of_the_published_image_processor() -> None:
    tile = np.random.default_rng(0).integers(0, 256, (56, 56, 3), dtype=np.uint8)
    theirs = Qwen2VLImageProcessorPil(patch_size=14, merge_size=2, min_pixels=56 * 56, max_pixels=56 * 56)(tile, return_tensors="pt")
    form = families.Form(families.detect({"model_type": "qwen2_vl"}, ""), Path(), 56, 14, 2, 4, 100, 0, families.CLIP, "")
    ours = seeing.patches(seeing.scaled(torch.from_numpy(tile)[None], form), 14, 2)
    assert torch.allclose(ours, theirs.pixel_values, atol=1e-5)
    assert features.grids(1, form).tolist() == theirs.image_grid_thw.tolist()
