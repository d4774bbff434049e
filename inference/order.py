"""The order in which a family wants time points, put into its prompt; what a reader declared is left as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from inference.engine import Request
from inference.prompts import ImageSlot, Message, messages

Order = Literal["oldest-first", "current-first"]


def ordered(request: Request, order: Order) -> tuple[Message, ...]:
    """The chat of `request` with its images in the family's order, each still announced with the number its reader gave it.

    `current-first` puts the current image before the history, which keeps its own order; only time points are moved.
    """
    chat = messages(request)
    if order != "current-first" or request.relationship != "temporal" or len(request.images) < 2:
        return chat
    roles = [image.role for image in request.images]
    current = roles.index("current") if "current" in roles else len(roles) - 1
    return (chat[0], Message(chat[1].role, _moved(chat[1].parts, current)), *chat[2:])


def _moved(parts: Sequence[str | ImageSlot], current: int) -> tuple[str | ImageSlot, ...]:
    """The announcement, image and line end of image `current` before those of the others."""
    images = sum(isinstance(part, ImageSlot) for part in parts)
    shown = [tuple(parts[3 * index : 3 * index + 3]) for index in range(images)]
    shown.insert(0, shown.pop(current))
    return (*(part for one in shown for part in one), *parts[3 * images :])
