"""What fits into a model's context, and how much of the last prompt can be kept: the same rules for both engines."""

from __future__ import annotations

from collections.abc import Sequence

from errors import ContextFull

Key = int | tuple[str, int]
"""One cell of a conversation: a token id, or (image hash, index within the image)."""


def common_prefix(prompt: Sequence[Key], kept: Sequence[Key]) -> int:
    """How many cells both begin with, at least one short of the prompt: its last token must be read to go on from it."""
    common = 0
    while common < min(len(prompt) - 1, len(kept)) and prompt[common] == kept[common]:
        common += 1
    return common


def refuse_overfull(tokens: int, room: int, whole: int) -> None:
    """Raises `ContextFull` when `tokens` of prompt and `room` for the answer exceed the `whole` context."""
    if tokens + room > whole:
        raise ContextFull(
            f"the question with its images takes {tokens} tokens and the answer may take {room}, but the model holds {whole}; "
            "use fewer images, a shorter question or a new session"
        )
