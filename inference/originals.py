"""LLaVA's own layout of a model folder (LLaVA-Med v1.5, MIM-LLaVA-Med), read as transformers' layout of the same numbers.

LLaVA's code names its parts otherwise than transformers and its `config.json` says little of the image tower, which is OpenAI's
CLIP. Nothing is written: the configuration is made here and the tensors get their names while they are loaded. The names are those
of transformers' own former converter (`models/llava/convert_llava_weights_to_hf.py`, commit 01080c6).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from errors import ModelNotLoaded

TOWERS: Mapping[str, Mapping[str, int]] = {
    "clip-vit-large-patch14-336": {"image_size": 336, "patch_size": 14, "hidden_size": 1024, "intermediate_size": 4096},
    "clip-vit-large-patch14": {"image_size": 224, "patch_size": 14, "hidden_size": 1024, "intermediate_size": 4096},
}
"""Sizes of the towers that LLaVA's code knows, by the last part of their names; all have 24 layers of 16 heads."""

KEYS = {
    r"^model\.mm_projector\.0\.": "model.multi_modal_projector.linear_1.",
    r"^model\.mm_projector\.2\.": "model.multi_modal_projector.linear_2.",
    r"^model\.vision_tower\.vision_tower\.": "model.vision_tower.",
    r"^model\.layers\.": "model.language_model.layers.",
    r"^model\.embed_tokens\.": "model.language_model.embed_tokens.",
    r"^model\.norm\.": "model.language_model.norm.",
}
"""LLaVA's names of tensors, as regular expressions -> transformers'."""


def config(own: Mapping[str, Any], where: str) -> Any:
    """A `LlavaConfig` of LLaVA's own configuration. Raises `ModelNotLoaded` for a tower that is not known."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, MistralConfig

    tower = str(own.get("mm_vision_tower", "")).rstrip("/").rpartition("/")[2]
    sizes = own.get("vision_config") or TOWERS.get(tower)
    if not sizes:
        raise ModelNotLoaded(
            f"{where}: its image tower {tower or '(not named)'} is none of {', '.join(TOWERS)}; convert it to transformers' layout"
        )
    text = MistralConfig if own["model_type"] == "llava_mistral" else LlamaConfig
    ours = ("model_type", "architectures", "auto_map", "quantization_config", "vision_config")
    words = text(**{name: value for name, value in own.items() if name not in ours and not name.startswith(("mm_", "_"))})
    vision = CLIPVisionConfig(**{"num_hidden_layers": 24, "num_attention_heads": 16, "projection_dim": 768, **sizes})
    return LlavaConfig(
        text_config=words,
        vision_config=vision,
        image_token_index=words.vocab_size,
        vision_feature_layer=int(own.get("mm_vision_select_layer", -2)),
        vision_feature_select_strategy="default" if own.get("mm_vision_select_feature", "patch") == "patch" else "full",
        tie_word_embeddings=bool(own.get("tie_word_embeddings", False)),
    )
