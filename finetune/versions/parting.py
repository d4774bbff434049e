"""Which lines are trained on and which are held back: by patient, for ever the same, and never one person or picture on both sides.

Lines that share a patient or a picture belong together. A group is held back by the hash of its patients, so that who is held
back today is held back in every later version too.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from finetune.versions.lines import Line

MILLE = 1000


def groups(lines: Sequence[Line]) -> list[int]:
    """For each line the number of its group: the place of the group's first line."""
    above = list(range(len(lines)))

    def root(place: int) -> int:
        while above[place] != place:
            above[place] = place = above[above[place]]
        return place

    owner: dict[str, int] = {}
    for place, line in enumerate(lines):
        for mark in (*(f"patient {patient}" for patient in line.people), *line.pictures):
            first, other = sorted((root(owner.setdefault(mark, place)), root(place)))
            above[other] = first
    return [root(place) for place in range(len(lines))]


def held_back(patients: Iterable[str], share: float) -> bool:
    """Whether a group is held back: if any of its patients falls into that share of all."""
    return any(int(hashlib.sha256(patient.encode()).hexdigest()[:8], 16) % MILLE < MILLE * share for patient in patients)


def parted(lines: Sequence[Line], share: float) -> tuple[list[Line], list[Line]]:
    """(trained on, held back), in order."""
    group = groups(lines)
    people: dict[int, set[str]] = {}
    for place, line in zip(group, lines, strict=True):
        people.setdefault(place, set()).update(line.people)
    held = {place for place, patients in people.items() if held_back(patients, share)}
    train = [line for place, line in zip(group, lines, strict=True) if place not in held]
    return train, [line for place, line in zip(group, lines, strict=True) if place in held]


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
