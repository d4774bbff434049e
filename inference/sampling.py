"""Which token comes next: the likeliest, or a draw. Both engines choose here, so a seed means the same on both."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 256
"""Tokens whose probabilities are added up before the draw is placed among them: a running sum over all takes three times as long."""


def pick(logprobs: NDArray[np.floating[Any]], temperature: float, random: np.random.Generator) -> int:
    """Index into `logprobs` (vocabulary,): the largest at temperature 0, else a draw from the tempered distribution."""
    if temperature <= 0:
        return int(logprobs.argmax())
    weights = logprobs - logprobs.max()
    weights /= temperature
    np.exp(weights, out=weights)
    blocks = np.add.reduceat(weights, np.arange(0, len(weights), BLOCK)).cumsum(dtype=np.float64)
    drawn = random.random() * blocks[-1]
    block = min(int(blocks.searchsorted(drawn, side="right")), len(blocks) - 1)
    within = weights[block * BLOCK : (block + 1) * BLOCK].cumsum(dtype=np.float64)
    place = int(within.searchsorted(drawn - (blocks[block - 1] if block else 0.0), side="right"))
    return block * BLOCK + min(place, len(within) - 1)
