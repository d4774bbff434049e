"""Keeping what a model could: of replayed examples a run learns no answer, it holds to what the model said before, word by word.

Replay of a model's own answers forgets less than replay of true ones (0.07 against 0.14 of MMLU, 100 examples each; OpenReview
AmQVxvyRJC), and its whole distribution holds it closer than one drawn answer. Said before are the `KEPT` likeliest tokens at every
place of the answer; all others together are one more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from finetune import features
from finetune.encoding import Words
from finetune.examples import Example
from finetune.features import Said, Store
from finetune.hands import Accelerated, moved

if TYPE_CHECKING:
    from finetune.sft import Learner

KEPT = 32
EVERY = 100


@torch.no_grad()
def said(
    model: Learner, examples: Sequence[Example], words: Words, kept: Store | None, hands: Accelerated, say: Callable[[str], None] = print
) -> dict[str, Said]:
    """What `model` says at every place of the replayed answers, by the example's name, before it has learned anything."""
    found: dict[str, Said] = {}
    model.eval()
    with hands.lent([model]):
        for number, example in enumerate(one for one in examples if one.replayed):
            batch = moved(features.collate([(example, words.encode(example))], model.form, 1.0, kept), hands.device)
            with hands.autocast():
                logits = model.logits(batch).float()
            top = functional.log_softmax(logits, dim=-1).topk(min(KEPT, logits.shape[-1]), dim=-1)
            found[example.name] = (top.values.cpu(), top.indices.cpu())
            if number % EVERY == 0:
                say(f"answers as they are now: {number + 1}")
    model.train()
    return found


def apart(logits: Tensor, before: Tensor, places: Tensor) -> Tensor:
    """Summed Kullback-Leibler divergence of what is said now from what was, nats; logits (n, vocabulary), the others (n, K)."""
    now = functional.log_softmax(logits, dim=-1).gather(1, places)
    rest, other = (torch.log1p(-one.exp().sum(1).clamp(max=1 - 1e-6)) for one in (before, now))
    return (before.exp() * (before - now)).sum() + (rest.exp() * (rest - other)).sum()
