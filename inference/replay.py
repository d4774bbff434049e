"""A kept answer made again: is it the same to the last token?

On the same engine, model and machine a greedy answer is, and a drawn one too, because its seed is kept. Where it is not, the first
difference is told, and what else differs: the pixels, the prompt, or the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import zip_longest

from inference.answer import Answer
from inference.engine import ModelCard, Request
from storage.views import AnswerRecord


@dataclass(frozen=True)
class Replayed:
    """A kept answer beside the one made again. `token` is where they first differ, -1 where they do not.

    `logprob_difference` is the largest difference of a token's log-probability up to there, nat; `reasons` are what else differs.
    """

    same: bool
    text: str
    text_now: str
    token: int = -1
    logprob_difference: float = 0.0
    reasons: tuple[str, ...] = ()


def compared(kept: AnswerRecord, now: Answer) -> Replayed:
    """The kept answer against the one made now, token by token."""
    words = tuple(token.text for token in now.tokens)
    differing = (place for place, (a, b) in enumerate(zip_longest(kept.tokens, words)) if a != b)
    token = next(differing, -1)
    upto = len(words) if token < 0 else token
    gaps = [abs(a - b) for a, b in zip(kept.logprobs[:upto], now.logprobs[:upto], strict=False)]
    reasons = unlike(kept, now.request, now.model, now.prompt)
    same = token < 0 and kept.text == now.text and kept.state == now.state and not reasons
    return Replayed(same, kept.text, now.text, token, max((gap for gap in gaps if math.isfinite(gap)), default=0.0), reasons)


def unlike(kept: AnswerRecord, request: Request, card: ModelCard, prompt: str) -> tuple[str, ...]:
    """What is not as it was when the answer was made, each a sentence's part."""
    said = []
    if kept.image_hashes != tuple(image.sha256 for image in request.images):
        said.append("the images' pixels are not those that were kept")
    if kept.prompt != prompt:
        said.append("the prompt is not the one that was kept")
    if kept.model_digest != card.sha256:
        said.append(f"{kept.model} of another digest made it ({kept.model_digest[:12]}, now {card.sha256[:12]})")
    if kept.adapter_digest != card.adapter:
        said.append(f"it was made with {_adapter(kept.adapter_digest)}, and {_adapter(card.adapter)} is on the model now")
    if kept.engine != card.engine:
        said.append(f"the {kept.engine} engine made it and {card.engine} runs now")
    return tuple(said)


def _adapter(digest: str) -> str:
    return f"adapter {digest[:12]}" if digest else "no adapter"
