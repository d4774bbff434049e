"""Two models on one question, over the wire."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, StringConstraints

from ui.wire import AskIn

Model = Annotated[str, StringConstraints(max_length=300)]


class DuelIn(AskIn):
    """A question for two of the offered models, '' being the one that answers here; `blind` hides which is which."""

    models: tuple[Model, Model]
    blind: bool = True


class ModelOut(BaseModel):
    """A model to choose."""

    name: str
    words: str
