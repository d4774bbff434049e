"""What a model's likelihoods of listed answers are off by, whatever the images show: fitted once, kept with the model.

A language model likes some words better than others and hardly lets the images move them, so that the likeliest of "worse, stable,
improved" is "stable" for nearly every pair although worse and improved are ranked well. `finetune.offsets` fits a few numbers for each
kind of closed question on generated pairs that measuring never uses: how much the difference between opposites counts (`contrast`), how
much the likelihood that opposites have in common does (`level`), and what is added to each. Opposites share all of them, so that
exchanging the images inverts as well as it did before. The classes are weighed alike: a share supposes that all are equally frequent.

    weighed({"worse": 0.35, "stable": 0.36, "improved": 0.29}, card.offsets)["worse"]
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

LEAST = 1e-30
"""A share below it is taken for this."""


@dataclass(frozen=True)
class Offset:
    """Of one kind of closed question. `groups` are its answers as `plain` writes them, opposites together; `added` is one number a group.

    An answer's log-share becomes ``contrast * (own - mean of its group) + level * (mean of its group) + added``, in nat.
    """

    kind: str
    groups: tuple[tuple[str, ...], ...]
    added: tuple[float, ...]
    level: float = 1.0
    contrast: float = 1.0


def plain(answer: str) -> str:
    """An answer without case and signs: ``The first image.`` -> ``the first image``."""
    return " ".join(re.findall(r"[a-z]+", answer.lower()))


def fitting(offsets: Sequence[Offset], choices: Sequence[str]) -> Offset | None:
    """The offset of the kind whose answers are `choices`, in any order; None when there is none."""
    asked = sorted(map(plain, choices))
    return next((one for one in offsets if sorted(name for group in one.groups for name in group) == asked), None)


def weighed(shares: Mapping[str, float], offsets: Sequence[Offset]) -> dict[str, float]:
    """Probabilities among answers (they sum to 1) with the offset of their kind on them; the same ones where there is none."""
    offset = fitting(offsets, list(shares))
    if offset is None:
        return dict(shares)
    logs = {plain(name): math.log(max(share, LEAST)) for name, share in shares.items()}
    moved: dict[str, float] = {}
    for group, added in zip(offset.groups, offset.added, strict=True):
        mean = sum(logs[name] for name in group) / len(group)
        moved |= {name: offset.contrast * (logs[name] - mean) + offset.level * mean + added for name in group}
    largest = max(moved.values())
    weights = {name: math.exp(moved[plain(name)] - largest) for name in shares}
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def digest(offsets: Sequence[Offset]) -> str:
    """SHA-256 of offsets, `` without any: readings weighed by others are not mixed with these."""
    told = json.dumps([asdict(one) for one in offsets], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest() if offsets else ""
