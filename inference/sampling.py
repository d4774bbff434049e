"""Which token comes next: the likeliest, or a draw. Both engines choose here, so a seed means the same on both."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pick(logprobs: NDArray[np.floating[Any]], temperature: float, random: np.random.Generator) -> int:
    """Index into `logprobs` (vocabulary,): the largest at temperature 0, else a draw from the tempered distribution."""
    if temperature <= 0:
        return int(logprobs.argmax())
    reached = np.exp((logprobs - logprobs.max()) / temperature).cumsum(dtype=np.float64)
    return int(reached.searchsorted(random.random() * reached[-1], side="right"))
