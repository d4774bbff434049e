"""What the page and the command line do alike when a model learns: what reviewers let through, and the model that items must fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from errors import EngineError, TuneError
from inference.engine import Image
from settings import Settings
from storage.reviewed import Reviewed
from storage.store import Store
from storage.views import LOCAL
from ui import requests

if TYPE_CHECKING:
    from finetune.versions.checks import Room
    from finetune.versions.drafts import Drafted


def corrections(store: Store) -> Callable[[Path], Drafted] | None:
    """What reviewers let through, ready to be drafted; None when there is nothing yet."""
    from finetune.versions.corrections import gather

    accepted, user = store.accepted(), store.user(LOCAL)

    def render(item: Reviewed) -> Sequence[Image]:
        drawn = [[mark for mark in item.marks if mark.image == number] for number in range(len(item.images))]
        return [requests.image(store, user, image.slot, marks) for image, marks in zip(item.images, drawn, strict=True)]

    return (lambda folder: gather(accepted, render, folder)) if accepted else None


def room_of(settings: Settings, model: str = "") -> tuple[Room | None, str]:
    """What items must fit into, and a remark when that is not known. Raises `EngineError`, `TuneError` for a model that was named."""
    from finetune.versions import checks
    from inference.catalogue import folder_of

    given = model or settings.model
    try:
        return checks.room(Path(given) if Path(given).is_dir() else folder_of(settings, given)), ""
    except (EngineError, TuneError) as error:
        if model:
            raise
        return None, f"Lengths are not checked: {error}."
