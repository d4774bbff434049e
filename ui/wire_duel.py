"""Two models on one question, over the wire."""

from __future__ import annotations

from pydantic import BaseModel

from ui.wire import AskIn, ModelName


class DuelIn(AskIn):
    """A question for two of the offered models, '' being the one that answers here; `blind` hides which is which."""

    models: tuple[ModelName, ModelName]
    blind: bool = True


class ModelOut(BaseModel):
    """A model to choose."""

    name: str
    words: str
