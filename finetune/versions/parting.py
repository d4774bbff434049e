"""Which lines are trained on and which are held back: by patient, for ever the same, and never one person or picture on both sides.

A patient is held back by the hash of the name, so that who is held back today is held back in every later version too. A line that
shows patients of both sides, or a picture that a held-back line shows as well, is neither.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from finetune.versions.lines import Line

MILLE = 1000


def held_back(patient: str, share: float) -> bool:
    """Whether a patient falls into that share of all."""
    return int(hashlib.sha256(patient.encode()).hexdigest()[:8], 16) % MILLE < MILLE * share


def parted(lines: Sequence[Line], share: float) -> tuple[list[Line], list[Line], list[Line]]:
    """(trained on, held back, neither), in order."""
    train: list[Line] = []
    held: list[Line] = []
    neither: list[Line] = []
    for line in lines:
        sides = {held_back(patient, share) for patient in line.people}
        (neither if len(sides) > 1 else held if True in sides else train).append(line)
    shown = {pixels for line in held for pixels in line.pictures}
    neither += [line for line in train if not shown.isdisjoint(line.pictures)]
    return [line for line in train if shown.isdisjoint(line.pictures)], held, neither


def within_quota(lines: Sequence[Line], quota: int) -> tuple[list[Line], Counter[str]]:
    """At most `quota` items of one reader, the oldest; how many of whose wait for a later version. 0 sets no limit."""
    taken: dict[str, list[str]] = {}
    kept: list[Line] = []
    over: dict[str, set[str]] = {}
    for line in lines:
        items = taken.setdefault(line.reader, [])
        if line.reader and quota and line.item not in items and len(items) >= quota:
            over.setdefault(line.reader, set()).add(line.item)
            continue
        if line.item not in items:
            items.append(line.item)
        kept.append(line)
    return kept, Counter({reader: len(items) for reader, items in over.items()})
