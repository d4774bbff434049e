"""Where the images bear on an answer: input times gradient of the answer's log-probability (Shrikumar et al. 2016), patch by patch.

    maps = engine.relevance(request, "The effusion is larger.")     # one (patches, patches) for each image, all together 1

What it says: at which patches a small change of the pixels would change the likelihood of these words most. What it does not say: why,
or that the words are right. Gradients are local and noisy, and a map of an answer that does not depend on the images looks no less
convincing, so it is shown beside the check without images and never in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from inference.engine import Request

LIMITS = (
    "Input times gradient of the answer's likelihood, patch by patch: where a small change of the pixels would change these words most. "
    "It does not say why, nor that the words are right; an answer that does not depend on the images has a map too."
)


@runtime_checkable
class Looking(Protocol):
    """An engine that can tell where the images bear on an answer."""

    def relevance(self, request: Request, answer: str, cancel: Event | None = None) -> tuple[NDArray[np.float32], ...]:
        """One map for each image in declared order, (patches, patches), not negative, all together 1."""
        ...


def patched(signed: Sequence[NDArray[np.float32]], patch: int) -> tuple[NDArray[np.float32], ...]:
    """Signed pixels (S, S) summed over patches, their sizes as shares of all images together; even where nothing bears on the answer."""
    sums = []
    for values in signed:
        side = len(values) // patch
        cut = values[: side * patch, : side * patch].reshape(side, patch, side, patch)
        sums.append(np.abs(cut.sum(axis=(1, 3), dtype=np.float64)))
    total = sum(float(one.sum()) for one in sums)
    if total == 0:
        return tuple(np.full_like(one, 1 / sum(each.size for each in sums), dtype=np.float32) for one in sums)
    return tuple((one / total).astype(np.float32) for one in sums)
