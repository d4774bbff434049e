"""What differs between families of multi-image models, as one table, so that one piece of code runs and fine-tunes them all.

A row says how the family is told from its `config.json`, how many tokens an image becomes, what stands around an image in the
prompt, in which order it wants time points, which layers carry LoRA, and what the tower is given. The words of a prompt are those
of `inference.prompts`, so a model is trained on what it will be asked; the control tokens around them are those of
`inference.chat` where that knows the family, else of the model folder's own chat template. A template's system text never
reaches a model: ours takes its place.

    form = families.form(Path("Mantis-8B-siglip-llama3"))
    form.tokens            # 728
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from errors import ModelNotLoaded
from inference import originals

Feed = Literal["images", "nested", "patches"]
"""What the tower is given: (n, 3, S, S); (n, 1, 3, S, S); or patches in merge order with their grid."""
Count = Literal["grid", "latents", "fixed", "shuffled", "merged", "downsampled"]
"""How the tokens of an image are counted; see `tokens`."""

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
Scale = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and spread of each channel that the tower's input is brought to."""

LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
    "{% for part in message.content %}{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}"
    "<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
"""Llama-3's chat (meta-llama/llama3 `tokenizer.py`), images inside a turn."""
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'assistant' %} {% elif message.role == 'system' %}[INST] "
    "{% elif loop.index0 == 1 and messages[0].role == 'system' %}{{ '\n' }}{% else %}[INST] {% endif %}"
    "{% for part in message.content %}{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% elif message.role == 'user' %} [/INST]{% endif %}{% endfor %}"
)
"""Mistral-Instruct's chat as LLaVA-Med uses it (`mistral_instruct`); it has no system turn, so that text opens the first one."""


@dataclass(frozen=True)
class Family:
    """One row of the table.

    `model`, and where they are not empty `text` and `tower`, are the model types that its `config.json` names.
    """

    name: str
    model: str
    count: Count
    feed: Feed
    language: str
    """Path of the language model inside the class: LoRA goes below it and nowhere else."""
    marker: str
    """What stands for an image in the chat template's output."""
    text: str = ""
    tower: str = ""
    vocabulary: int = 0
    """Fewest words its language model knows, where that tells Llama-3 from its elders."""
    before: str = ""
    after: str = ""
    """What stands around an image's tokens; `{number}` counts images from 1."""
    scale: Scale = HALF
    """Used where the folder's `preprocessor_config.json` names none."""
    max_images: int = 8
    tile: int = 0
    """Side that an image is given as where the config names none, pixels."""
    flexible: bool = False
    """Whether the tower reads tiles of another side than its config's."""
    types: Literal["", "token_type_ids", "mm_token_type_ids"] = ""
    """Name of the input that marks image tokens."""
    template: str = ""
    """Chat template, for families whose folders carry none that can hold images; `` takes the folder's."""
    templates: str = ""
    """Key of `inference.chat.TEMPLATES`, for families the engines run."""
    whole: bool = False
    """Whether the class takes the features of n images as one (n, tokens, width) tensor."""
    order: Literal["oldest-first", "current-first"] = "oldest-first"
    """Order in which it wants time points."""
    note: str = ""
    """What to know before it is used."""


_AROUND = "<fake_token_around_image>"
_QWEN: dict[str, Any] = {
    "count": "merged",
    "feed": "patches",
    "language": "model.language_model",
    "marker": "<|image_pad|>",
    "tile": 448,
    "flexible": True,
    "types": "mm_token_type_ids",
}

FAMILIES: tuple[Family, ...] = (
    Family(
        name="mantis-siglip",
        model="llava",
        text="llama",
        tower="siglip_vision_model",
        count="grid",
        feed="images",
        language="model.language_model",
        marker="<image>",
        before="(image {number}: <Image>",
        after="</Image>)",
        template=LLAMA3,
        note="728 tokens an image at 384 px: the feature strategy drops a first patch although SigLIP has no class token",
    ),
    Family(
        name="mantis-clip",
        model="llava",
        text="llama",
        tower="clip_vision_model",
        vocabulary=128_000,
        count="grid",
        feed="images",
        language="model.language_model",
        marker="<image>",
        before="(image {number}: <Image>",
        after="</Image>)",
        scale=CLIP,
        template=LLAMA3,
    ),
    Family(
        name="llava",
        model="llava",
        text="llama",
        tower="clip_vision_model",
        count="grid",
        feed="images",
        language="model.language_model",
        marker="<image>",
        scale=CLIP,
    ),
    Family(
        name="llava-med",
        model="llava",
        text="mistral",
        tower="clip_vision_model",
        count="grid",
        feed="images",
        language="model.language_model",
        marker="<image>",
        scale=CLIP,
        max_images=4,
        template=MISTRAL,
        note="its licence allows research only; trained on single images",
    ),
    Family(
        name="idefics2",
        model="idefics2",
        count="latents",
        feed="nested",
        language="model.text_model",
        marker="<image>",
        before=_AROUND,
        after=_AROUND,
        flexible=True,
        note="Mantis-Idefics2 too; one view an image, never split",
    ),
    Family(
        name="idefics3",
        model="idefics3",
        count="shuffled",
        feed="nested",
        language="model.text_model",
        marker="<image>",
        templates="idefics3",
        flexible=True,
        note="the bundled model's family; one tile an image, as the engines read it",
    ),
    Family(
        name="smolvlm",
        model="smolvlm",
        count="shuffled",
        feed="nested",
        language="model.text_model",
        marker="<image>",
        before=f"{_AROUND}<global-img>",
        after=_AROUND,
        flexible=True,
    ),
    Family(
        name="gemma3",
        model="gemma3",
        count="fixed",
        feed="images",
        language="model.language_model",
        marker="<start_of_image>",
        before="\n\n<start_of_image>",
        after="<end_of_image>\n\n",
        types="token_type_ids",
        whole=True,
        order="current-first",
        note="MedGemma too; it is given the current image first and the history after, as its notes want",
    ),
    Family(name="qwen2-vl", model="qwen2_vl", scale=CLIP, **_QWEN),
    Family(name="qwen2.5-vl", model="qwen2_5_vl", scale=CLIP, note="Lingshu too", **_QWEN),
    Family(name="qwen3-vl", model="qwen3_vl", **_QWEN),
    Family(
        name="internvl",
        model="internvl",
        count="downsampled",
        feed="images",
        language="model.language_model",
        marker="<IMG_CONTEXT>",
        before="<img>",
        after="</img>",
        scale=IMAGENET,
        whole=True,
    ),
)
NAMES = frozenset(family.name for family in FAMILIES)
ORIGINAL = {"llava_mistral": "llava-med", "llava_llama": "llava"}
"""Model types of LLaVA's own code, which transformers does not know -> the family they are read as; see `inference.originals`."""


@dataclass(frozen=True)
class Form:
    """A family at the sizes of one model folder: what stands in its `config.json`, worked out once.

    `tile` is the side in pixels an image is given as, `tokens` what it becomes, `context` tokens the language model holds.
    """

    family: Family
    folder: Path
    tile: int
    patch: int
    merge: int
    tokens: int
    context: int
    image_id: int
    scale: Scale
    targets: str
    """Regular expression of the layers that carry LoRA."""


def known() -> str:
    """Names of all families, for sentences."""
    return ", ".join(family.name for family in FAMILIES)


def detect(config: Mapping[str, Any], where: str) -> Family:
    """The family of a `config.json`. Raises `ModelNotLoaded` naming the known ones."""
    kind = str(config.get("model_type", ""))
    if kind in ORIGINAL:
        return next(family for family in FAMILIES if family.name == ORIGINAL[kind])
    text, tower = (str((config.get(part) or {}).get("model_type", "")) for part in ("text_config", "vision_config"))
    words = int((config.get("text_config") or {}).get("vocab_size") or 0)
    for family in FAMILIES:
        if family.model == kind and family.text in ("", text) and family.tower in ("", tower) and words >= family.vocabulary:
            return family
    parts = " over ".join(part for part in (text, tower) if part)
    raise ModelNotLoaded(
        f"{where}: {kind or 'no model type'}{f' ({parts})' if parts else ''} is no family Interval knows; known are {known()}"
    )


def form(folder: Path, tile: int = 0, linears: Sequence[str] = LINEARS) -> Form:
    """Read a model folder's form; `tile` asks for another side than the family's own.

    Raises `ModelNotLoaded` for a folder that is no model, an unknown family, or a side the tower cannot read.
    """
    config = config_of(folder)
    family = detect(config, folder.name)
    whole = full(folder)
    vision = whole.vision_config
    patch = int(_first(vision.patch_size))
    own = family.tile or int(_first(vision.image_size))
    merge = int(getattr(vision, "spatial_merge_size", 1) if family.count == "merged" else getattr(whole, "scale_factor", 1) or 1)
    side, step = tile or own, patch * merge
    if side != own and not family.flexible:
        raise ModelNotLoaded(f"{folder.name}: {family.name} reads images of {own} pixels only; ask for no tile of {tile}")
    if family.flexible and family.count != "latents" and side % step:
        raise ModelNotLoaded(f"{folder.name}: a tile of {side} pixels is no multiple of {step}; ask for one that is")
    return Form(
        family=family,
        folder=folder,
        tile=side,
        patch=patch,
        merge=merge,
        tokens=tokens(family, whole, side, patch, merge),
        context=int(whole.get_text_config().max_position_embeddings),
        image_id=int(whole.image_token_id),
        scale=_scale(folder, family),
        targets=rf"{re.escape(family.language)}\.layers\.\d+\..*\.({'|'.join(linears)})",
    )


def tokens(family: Family, config: Any, side: int, patch: int, merge: int) -> int:
    """Tokens an image of `side` pixels becomes.

    `grid`: one a patch, with CLIP's class token, without the first where the strategy is "default". `latents`: the resampler's.
    `fixed`: the config's. `shuffled`, `merged`: one for each merge x merge patches. `downsampled`: by the config's ratio.
    """
    grid = side // patch
    if family.count == "latents":
        return int(config.perceiver_config.resampler_n_latents)
    if family.count == "fixed":
        return int(config.mm_tokens_per_image)
    if family.count == "downsampled":
        return int(grid * config.downsample_ratio) ** 2
    if family.count == "grid":
        return int(grid**2 + (family.tower == "clip_vision_model") - (config.vision_feature_select_strategy == "default"))
    return int((grid // merge) ** 2)


def chat_template(form: Form, tokenizer: Any) -> str:
    """The Jinja template of the family's chat. Raises `ModelNotLoaded` when the folder has none that holds images."""
    for path in (form.folder / "chat_template.jinja", form.folder / "chat_template.json"):
        if not form.family.template and path.is_file():
            text = path.read_text(encoding="utf-8")
            return text if path.suffix == ".jinja" else str(json.loads(text).get("chat_template", ""))
    found = form.family.template or tokenizer.chat_template or ""
    if form.family.marker not in found:
        raise ModelNotLoaded(
            f"{form.folder.name}: its chat template has no place for images ({form.family.marker}); copy chat_template.jinja of the "
            "original model into the folder"
        )
    return str(found)


def config_of(folder: Path) -> dict[str, Any]:
    """The folder's `config.json`. Raises `ModelNotLoaded`."""
    return _json(folder / "config.json")


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) else value


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelNotLoaded(f"{path}: it cannot be read ({type(error).__name__}); give the folder of a transformers model") from error
    if not isinstance(content, dict):
        raise ModelNotLoaded(f"{path}: this is no model's configuration; give the folder of a transformers model")
    return content


def full(folder: Path) -> Any:
    """The configuration with its class's defaults; nothing of the folder is run. Raises `ModelNotLoaded`."""
    from transformers import AutoConfig

    config = config_of(folder)
    if str(config.get("model_type", "")) in ORIGINAL:
        return originals.config(config, folder.name)
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ModelNotLoaded(
            f"{folder.name}: its config.json cannot be used ({str(error).splitlines()[0][:160]}); copy the model again"
        ) from error


def _scale(folder: Path, family: Family) -> Scale:
    """Mean and spread of the folder's image processor, else the family's."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        content = _json(folder / name) if (folder / name).is_file() else {}
        content = content.get("image_processor", content)
        if content.get("image_mean") and content.get("image_std"):
            return tuple(content["image_mean"]), tuple(content["image_std"])
    return family.scale
