"""Every family of models that Interval runs, each as a tiny model of the real class with random weights, loaded from disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from errors import Cancelled, ModelNotLoaded
from inference import chat, families, hardware, manifest, pixels, seeing
from inference.engine import Image, Request, Stage, Turn
from inference.families import FAMILIES
from inference.order import ordered
from inference.prompts import SYSTEM, ImageSlot
from inference.torch_engine import TorchEngine
from tests.finetune import tiny_families as tiny
from tests.inference.tiny import pair, picture

RUN = [name for name in tiny.NAMES if name != "mantis-clip"]
"""`mantis-clip` is Mantis-SigLIP's prompt on LLaVA's tower; its vocabulary of 128,000 is no thing for a test."""
TOKENS = {"mantis-siglip": 3, "llava": 4, "llava-med": 4, "gemma3": 4, "idefics2": 4, "internvl": 4}
"""Tokens an image becomes, worked out by hand from the tiny towers; SigLIP's first patch is dropped. The others merge 2 x 2 of 16."""


@pytest.fixture(scope="module", params=RUN)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers folder of each family in turn."""
    return tiny.build(tmp_path_factory.mktemp("families") / request.param, request.param)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[TorchEngine]:
    """The engine on it."""
    made = opened(folder)
    yield made
    made.close()


def opened(folder: Path, **more: Any) -> TorchEngine:
    listed = manifest.of_transformers(folder, tiny.TILES.get(folder.name, 0))
    return TorchEngine(folder.parent, 1024, 1, listed=listed, **more)


def spoken(engine: TorchEngine, request: Request) -> list[tuple[int, float]]:
    return [(token.id, token.logprob) for token in engine.stream(request, Event())]


def keys(engine: TorchEngine, request: Request) -> tuple[list[int], list[bool]]:
    """The prompt's ids with the family's image token in each image's places, and where they are."""
    ids = engine.token_ids(request)
    image = families.full(engine._folder / engine._manifest.hf).image_token_id
    return [image if token == -1 else token for token in ids], [token == -1 for token in ids]


def stock(engine: TorchEngine, request: Request, images: Sequence[Image]) -> np.ndarray[Any, Any]:
    """Log-probabilities behind the prompt by the class's own forward pass, images as pixels, nothing cached."""
    folder = engine._folder / engine._manifest.hf
    form = families.form(folder, engine._manifest.tile)
    net = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    ids, places = keys(engine, request)
    tiles = torch.from_numpy(np.stack([pixels.tile(image.pixels, form.tile) for image in images]))
    values = seeing.scaled(tiles, form)
    given: dict[str, Any] = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
    if form.family.feed == "nested":
        given["pixel_values"] = values[None]
    elif form.family.feed == "patches":
        given |= {"pixel_values": seeing.patches(values, form.patch, form.merge), "image_grid_thw": seeing.grids(len(tiles), form)}
    else:
        given["pixel_values"] = values
    if form.family.types:
        given[form.family.types] = torch.tensor([places]).long()
    with torch.inference_mode():
        found: np.ndarray[Any, Any] = torch.log_softmax(net(**given).logits[0, -1].double(), -1).numpy()
    return found


def test_two_images_are_read_as_the_class_itself_reads_them_and_exchanging_them_changes_what_it_says(engine: TorchEngine) -> None:
    """Our language-model-only path with its kept prefix against the class's whole forward: masks, positions, deeper features, all of it."""
    request = pair("What changed?", 3)
    swapped = pair("What changed?", 3, images=tuple(reversed(request.images)))
    for asked in (request, swapped, pair("Is it worse?", 3)):  # the third keeps the prefix with both images
        first, *_ = engine.stream(asked, Event())
        shown = [asked.images[part.index] for part in ordered(asked, engine.card.image_order)[1].parts if isinstance(part, ImageSlot)]
        theirs = stock(engine, asked, shown)
        assert first.logprob == pytest.approx(float(theirs[first.id]), abs=2e-3)
        assert first.id == int(theirs.argmax()) or theirs.max() - theirs[first.id] < 2e-3
    assert engine.timings.images_encoded == 0
    assert engine.timings.reused_tokens > 2 * engine.card.tokens_per_image
    forth, back = spoken(engine, request), spoken(engine, swapped)
    assert forth != back
    again = spoken(engine, request)
    assert [token for token, _ in again] == [token for token, _ in forth]
    assert [value for _, value in again] == pytest.approx([value for _, value in forth], abs=1e-3)


def test_an_image_takes_the_tokens_that_the_card_says(engine: TorchEngine, folder: Path) -> None:
    assert engine.card.tokens_per_image == TOKENS.get(folder.name, 4)
    assert engine.token_ids(pair("?")).count(-1) == 2 * engine.card.tokens_per_image
    assert engine.token_ids(pair("?", images=(picture(1),))).count(-1) == engine.card.tokens_per_image


def test_the_prompt_is_in_our_words_and_typed_control_tokens_stay_text(engine: TorchEngine) -> None:
    request = pair("Why?", history=(Turn("What changed?", "It is worse."),))
    text = engine.prompt(request)
    assert text.count(SYSTEM) == 1
    assert text.index("What changed?") < text.index("It is worse.") < text.index("Why?")
    assert (text.count("[image 1]"), text.count("[image 2]")) == (1, 1)
    controls = range(len(tiny.CONTROLS))
    plain = sum(token in controls for token in engine.token_ids(pair("Why?")))
    typed = engine.token_ids(pair("".join(tiny.CONTROLS)))
    assert sum(token in controls for token in typed) == plain
    assert typed.count(-1) == 2 * engine.card.tokens_per_image


def test_a_choice_is_worth_the_same_alone_as_among_others_and_after_an_answer(engine: TorchEngine) -> None:
    choices = ["worse", "stable", "improved"]
    together = engine.score(pair("How?"), choices)
    alone = [engine.score(pair("How?"), [choice]).logprobs[0] for choice in choices]
    assert together.logprobs == pytest.approx(alone, abs=1e-3)
    spoken(engine, pair("How?", 5))
    assert engine.score(pair("How?"), choices).logprobs == pytest.approx(together.logprobs, abs=1e-3)


def test_a_stop_while_the_prompt_is_read_leaves_the_next_answer_as_it_was(engine: TorchEngine) -> None:
    request = pair("Is it worse?", 4)
    expected = [token for token, _ in spoken(engine, request)]
    cancel = Event()

    def on_stage(stage: Stage) -> None:
        if stage.name == "reading":
            cancel.set()

    with pytest.raises(Cancelled):
        list(engine.stream(pair("Something else entirely?", images=(picture(5), picture(6))), cancel, on_stage))
    assert [token for token, _ in spoken(engine, request)] == expected


def adapter(folder: Path, base: Path, family: str) -> Path:
    """A PEFT adapter on the language model of `base`, with numbers that matter, as a training run leaves it."""
    from peft import LoraConfig, get_peft_model

    form = families.form(base, tiny.TILES.get(family, 0))
    net = AutoModelForImageTextToText.from_pretrained(base)
    tuned = get_peft_model(net, LoraConfig(r=2, lora_alpha=8, target_modules=form.targets))
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.5)
    tuned.save_pretrained(folder, save_embedding_layers=False)
    names = ("adapter_config.json", "adapter_model.safetensors")
    content = {"name": "tuned", "family": family, "tile": form.tile, "tokens_per_image": form.tokens}
    content["files"] = {name: manifest.digest(folder / name) for name in names}
    content["base"] = {"model.safetensors": manifest.digest(base / "model.safetensors")}
    (folder / "manifest.json").write_text(json.dumps(content))
    return folder


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_an_adapter_changes_the_answer_on_its_base_and_is_refused_on_another(folder: Path, engine: TorchEngine, tmp_path: Path) -> None:
    made = adapter(tmp_path / "adapter", folder, folder.name)
    request = pair("What changed?", 4)
    tuned = opened(folder, adapter=made)
    assert tuned.card.name == f"{folder.name}+tuned"
    assert tuned.card.sha256 != engine.card.sha256
    assert spoken(tuned, request) != spoken(engine, request)
    tuned.close()
    other = tiny.build(tmp_path / "other" / folder.name, folder.name, seed=1)
    with pytest.raises(ModelNotLoaded, match="was trained on other weights"):
        opened(other, adapter=made)


@pytest.mark.parametrize(("name", "order"), [(family.name, family.order) for family in FAMILIES])
def test_time_points_stand_in_the_order_the_family_wants_under_their_readers_numbers(name: str, order: str) -> None:
    """MedGemma is given the current image first, history after; an answer's "image 2" is the reader's second image all the same."""
    assert order == ("current-first" if name == "gemma3" else "oldest-first")
    request = pair("What changed?", images=(picture(1, "prior"), picture(2, "prior"), picture(3, "current")))
    parts = ordered(request, order)[1].parts  # type: ignore[arg-type]
    slots = [part.index for part in parts if isinstance(part, ImageSlot)]
    assert slots == ([2, 0, 1] if order == "current-first" else [0, 1, 2])
    for place, part in enumerate(parts):
        if isinstance(part, ImageSlot):
            assert str(parts[place - 1]).startswith(f"Image {part.index + 1} (")
    assert parts[-1] == "What changed?"
    views = pair("Compare.", relationship="views")
    assert ordered(views, "current-first") == ordered(views, "oldest-first")


@pytest.mark.parametrize("name", ["smolvlm", "gemma3", "qwen2.5-vl", "qwen3-vl"])
def test_the_prompt_of_a_gguf_pair_is_the_one_the_familys_own_template_makes(tmp_path: Path, name: str) -> None:
    """The GGUF engine has no folder with a template to cut; what is written for it must be what transformers' side reads."""
    engine = opened(tiny.build(tmp_path / name, name))
    request = pair("Why?", history=(Turn("What changed?", "It is worse."),))
    written = chat.written(chat.segments(ordered(request, engine.card.image_order), name))
    assert written.replace("<bos>", "<s>") == engine.prompt(request)


def test_gemma_reads_the_current_image_first(tmp_path: Path) -> None:
    engine = opened(tiny.build(tmp_path / "gemma3", "gemma3"))
    text = engine.prompt(pair("What changed?"))
    assert (
        text.index("Image 2 (current, 14 days later)") < text.index("[image 2]") < text.index("Image 1 (prior)") < text.index("[image 1]")
    )
    assert engine.card.image_order == "current-first"


@pytest.mark.parametrize("name", ["gemma3", "qwen3-vl"])
def test_weights_that_do_not_fit_in_float32_are_read_in_16_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = tiny.build(tmp_path / name, name)
    request = pair("What changed?", 3)
    wide = opened(folder).score(request, ["worse", "stable"])
    monkeypatch.setattr(hardware, "memory_free", lambda: 0)
    coarse = opened(folder)
    narrow = coarse.score(request, ["worse", "stable"])
    assert narrow.logprobs != wide.logprobs
    assert narrow.logprobs == pytest.approx(wide.logprobs, rel=0.1)
    assert spoken(coarse, request)


def original(folder: Path, modern: Path) -> Path:
    """The tiny LLaVA-Med in LLaVA's own layout: its names of tensors and its configuration."""
    folder.mkdir()
    renamed = {}
    for name, values in load_file(modern / "model.safetensors").items():
        for ours, theirs in (
            ("model.language_model.", "model."),
            ("language_model.model.", "model."),
            ("language_model.lm_head", "lm_head"),
            ("model.multi_modal_projector.linear_1", "model.mm_projector.0"),
            ("model.multi_modal_projector.linear_2", "model.mm_projector.2"),
            ("multi_modal_projector.linear_1", "model.mm_projector.0"),
            ("multi_modal_projector.linear_2", "model.mm_projector.2"),
            ("model.vision_tower.", "model.vision_tower.vision_tower."),
            ("vision_tower.", "model.vision_tower.vision_tower."),
        ):
            if name.startswith(ours):
                name = theirs + name[len(ours) :]
                break
        renamed[name] = values
    save_file(renamed, folder / "model.safetensors", {"format": "pt"})
    config = {**tiny.TEXT, "model_type": "llava_mistral", "mm_vision_tower": "openai/clip-vit-large-patch14-336", "mm_hidden_size": 32}
    config |= {"mm_vision_select_layer": -2, "mm_vision_select_feature": "patch", "vision_config": tiny.TOWER}
    (folder / "config.json").write_text(json.dumps(config))
    tiny.tokenizer().save_pretrained(folder)
    return folder


def test_llava_meds_own_layout_is_read_as_the_converted_one(tmp_path: Path) -> None:
    modern = tiny.build(tmp_path / "llava-med", "llava-med")
    own = original(tmp_path / "own", modern)
    engines = [opened(modern), opened(own)]
    assert [engine.card.family for engine in engines] == ["llava-med", "llava-med"]
    said, same = (spoken(engine, pair("What changed?", 4)) for engine in engines)
    assert [token for token, _ in same] == [token for token, _ in said]
    assert [value for _, value in same] == pytest.approx([value for _, value in said], abs=1e-4)


def test_the_published_tower_of_llava_med_is_known(tmp_path: Path) -> None:
    """576 tokens an image: 24 x 24 patches, CLIP's class token dropped."""
    config = {"model_type": "llava_mistral", "mm_vision_tower": "openai/clip-vit-large-patch14-336", "vocab_size": 32_000}
    config |= {"max_position_embeddings": 32_768, "mm_vision_select_layer": -2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    form = families.form(tmp_path)
    assert (form.family.name, form.tokens, form.tile, form.context, form.image_id) == ("llava-med", 576, 336, 32_768, 32_000)
    (tmp_path / "config.json").write_text(json.dumps({**config, "mm_vision_tower": "google/vit"}))
    with pytest.raises(ModelNotLoaded, match="its image tower vit is none of clip-vit-large"):
        families.form(tmp_path)


def test_weights_of_another_family_or_too_few_are_a_sentence(tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "llava", "llava")
    kept = load_file(folder / "model.safetensors")
    save_file({name: values for name, values in kept.items() if "projector" not in name}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelNotLoaded, match=r"lacks weights of a llava model \(.*projector.* and \d more\); copy the whole model"):
        opened(folder).load()
    other = tiny.build(tmp_path / "q" / "qwen2-vl", "qwen2-vl")
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(ModelNotLoaded, match=r"lacks weights of a llava model|cannot be loaded"):
        opened(folder).load()


def test_pickled_weights_are_never_opened(tmp_path: Path) -> None:
    folder = tiny.config(tmp_path / "llava", "llava")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelNotLoaded, match=r"only as pytorch_model.bin, which runs code when it is opened"):
        manifest.of_transformers(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ModelNotLoaded, match="has its weights nowhere in it"):
        manifest.of_transformers(folder)
