"""What a question takes of a model's context before it is sent: images, words, earlier turns, and room for the answer.

An engine that can tokenise is asked, and its count is exact; it is shown one small grey picture in every place, because how many tokens an
image takes does not hang on what it shows. Any other count is reckoned and said to be so.

    reckoned = budget(engine, request)
    reckoned.taken, reckoned.whole, reckoned.fits, reckoned.exact
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from inference import chat
from inference.engine import Engine, ModelCard, Request
from inference.probes import without_images

CHARACTERS = 3.5
"""Characters of English a token stands for, where nobody can be asked."""


@runtime_checkable
class Counting(Protocol):
    """An engine that can tokenise a request without answering it."""

    def counts(self) -> bool:
        """Whether it would do so at once: its model is loaded."""
        ...

    def token_ids(self, request: Request) -> list[int]:
        """Token ids of the whole prompt, one for each token of an image too."""
        ...


@dataclass(frozen=True)
class Budget:
    """Tokens by what takes them; `exact` when the engine counted them itself."""

    images: int
    words: int
    earlier: int
    answer: int
    whole: int
    exact: bool

    @property
    def taken(self) -> int:
        """All of it, room for the answer included."""
        return self.images + self.words + self.earlier + self.answer

    @property
    def fits(self) -> bool:
        """Whether the model would take the question; one that does not fit is refused whole, never cut."""
        return self.taken <= self.whole


def budget(engine: Engine, request: Request) -> Budget:
    """The request's budget with this engine, counted by it where it can at once. Raises what the engine raises."""
    if not isinstance(engine, Counting) or not engine.counts():
        return reckoned(engine.card, request)
    blank = without_images(request)
    whole = len(engine.token_ids(blank))
    alone = len(engine.token_ids(replace(blank, history=()))) if request.history else whole
    images = engine.card.tokens_per_image * len(request.images)
    return Budget(images, alone - images, whole - alone, request.options.max_tokens, engine.card.context_tokens, True)


def reckoned(card: ModelCard, request: Request) -> Budget:
    """The same by the number of characters, for an engine that is busy or cannot tokenise."""
    images = card.tokens_per_image * len(request.images)
    alone, whole = (_characters(one) for one in (replace(request, history=()), request))
    words, earlier = round(alone / CHARACTERS), round((whole - alone) / CHARACTERS)
    return Budget(images, words, earlier, request.options.max_tokens, card.context_tokens, False)


def _characters(request: Request) -> int:
    return sum(len(part) if isinstance(part, str) else 0 for part in chat.request_segments(request))
