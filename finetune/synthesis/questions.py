"""Questions and answers about a generated pair, in all four abilities and many wordings, from its truth alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from finetune.synthesis.pairs import Pair
from inference.engine import Ability, Relationship
from inference.prompts import progression_question as progression_question


@dataclass(frozen=True)
class Item:
    """One question about the images of a pair.

    `images` are indices in the order shown (0 prior, 1 current; `(1, 0)` shows the current first); `roles` and `whens`
    run parallel to it and go into `inference.engine.Image` unchanged; `kind` names the form (`progression`, `overall`,
    `describe`, `which`, `present`, `side`, `letters`, ...) for scoring by form.
    """

    images: tuple[int, ...]
    roles: tuple[str, ...]
    whens: tuple[str, ...]
    question: str
    answer: str
    ability: Ability
    relationship: Relationship
    kind: str = ""


def items(pair: Pair, rng: np.random.Generator) -> list[Item]:
    """Several items about `pair`, seeded by `rng`: closed and open, balanced over answers."""
    raise NotImplementedError
