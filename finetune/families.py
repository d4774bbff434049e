"""The families of models that can be tuned: those of `inference.families`, whose refusals are this room's errors here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from errors import ModelNotLoaded, TuneError
from inference import families
from inference.families import CLIP, FAMILIES, LINEARS, ORIGINAL, Family, Form, config_of

__all__ = ["CLIP", "FAMILIES", "LINEARS", "Family", "Form", "detect", "form", "refused"]


@contextmanager
def refused() -> Iterator[None]:
    """A model folder that cannot be used is a `TuneError` inside."""
    try:
        yield
    except ModelNotLoaded as error:
        raise TuneError(str(error)) from error


def detect(config: Mapping[str, Any], where: str) -> Family:
    """The family of a `config.json`. Raises `TuneError` naming the known ones; LLaVA's own layout is run here but not tuned."""
    kind = str(config.get("model_type", ""))
    if kind in ORIGINAL:
        raise TuneError(
            f"{where}: transformers does not know {kind}; convert the weights to its LLaVA layout, then it is read as {ORIGINAL[kind]}"
        )
    with refused():
        return families.detect(config, where)


def form(folder: Path, tile: int = 0, linears: Sequence[str] = LINEARS) -> Form:
    """Read a model folder's form; `tile` asks for another side than the family's own.

    Raises `TuneError` for a folder that is no model, an unknown family, or a side the tower cannot read.
    """
    with refused():
        detect(config_of(folder), folder.name)
        return families.form(folder, tile, linears)
