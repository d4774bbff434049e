"""A prior and a current film with known truth, from a seed: what the bundled model learns interval change from.

    pair = pairs.generate(7, phantom.PhantomSource())
    pair.overall                # worse | stable | improved | uncertain (unrelated patients)
    pair.changes                # {"consolidation": "worse"}

The same seed and source give the same bytes, whatever was generated before. A source knows how to fetch a patient's
clean film with its lungs; painting, acquisition and truth are the same for all sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from finetune.synthesis.truth import INVERSE, INVERSE_OVERALL, Change, Overall, Truth

Kind = Literal["pair", "identical", "unrelated", "single"]


@dataclass(frozen=True)
class Pair:
    """Two films and what is true of them.

    `prior` and `current` are (size, size) uint8; `changes` names every finding present at either end. `kind`:
    `pair` (one patient, two acquisitions; half of the stable ones differ by acquisition alone), `identical` (the same
    bytes twice), `unrelated` (two patients: `changes` empty, `overall` uncertain), `single` (only `current` counts;
    `prior` is the same array).
    """

    prior: NDArray[np.uint8]
    current: NDArray[np.uint8]
    prior_truth: Truth
    current_truth: Truth
    changes: Mapping[str, Change]
    overall: Overall
    interval_days: float
    patient: str
    kind: Kind
    seed: int


def exchanged(pair: Pair) -> Pair:
    """The same films in the other order, with every change inverted."""
    return replace(
        pair,
        prior=pair.current,
        current=pair.prior,
        prior_truth=pair.current_truth,
        current_truth=pair.prior_truth,
        changes={name: INVERSE[change] for name, change in pair.changes.items()},
        overall=INVERSE_OVERALL[pair.overall],
    )


class Source(Protocol):
    """Where clean films come from."""

    ...


def generate(seed: int, source: Source, size: int = 256, kind: Kind | None = None, strength: float = 1.0) -> Pair:
    """Pair number `seed` of `source`, (size, size) uint8 each.

    `kind` forces the kind (by default drawn: 78 % pair, 7 % identical, 8 % unrelated, 7 % single); `strength` scales
    the acquisition differences (0 none, 1 weak to moderate, 2 strong).
    """
    raise NotImplementedError
