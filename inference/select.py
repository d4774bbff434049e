"""Which engine runs a model, chosen once, with the reason in a sentence; a setting or the model's name overrides it.

How a model is named (`--model`, `INTERVAL_MODEL`), with an optional engine after an `@`:

    bundled               the catalogue's model of that name, engine chosen by what the machine has
    bundled@torch         the same model through transformers
    bundled@gguf          the same model through llama.cpp
    /models/mine          a folder with manifest.json (GGUF pair, `hf/`, or both), or a transformers folder
    /models/text.gguf     a GGUF text model whose manifest.json and image projector lie beside it
"""

from __future__ import annotations

from dataclasses import dataclass

from inference.engine import Engine
from settings import Settings


@dataclass(frozen=True)
class Selection:
    """An engine and one sentence why it was chosen."""

    engine: Engine
    reason: str


def open_engine(settings: Settings, model: str | None = None, engine: str | None = None) -> Selection:
    """Open `model` (default: the setting) on the engine it asks for (`gguf`, `torch`, `auto`; default: the setting).

    The model loads in the background; the first question waits for it. Raises `ModelNotLoaded` when the model is
    unknown, incomplete or damaged.
    """
    raise NotImplementedError
