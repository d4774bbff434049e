"""What speaks against comparing two images: who, which side, which part, which kind, and whether their dates can be trusted.

A blocking notice must be gone past by a typed reason (`Store.override`); the others are shown. The order shown is the
declared order: dates that are missing, equal or inverted are said, never silently acted upon.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, pairwise

from storage.studies.relations import Item, kind_of, moment

_SIDES = {"L": "left", "R": "right", "B": "both sides"}
_PARTS = {
    "THORAX": "CHEST", "LUNG": "CHEST", "LUNGS": "CHEST", "CXR": "CHEST", "HEAD": "BRAIN", "SKULL": "BRAIN", "NEURO": "BRAIN",
    "ABD": "ABDOMEN", "ABDOMENPELVIS": "ABDOMEN", "MAMMA": "BREAST",
}  # fmt: skip
"""Names of one body part that scanners use for another; the first letters decide nothing."""


@dataclass(frozen=True)
class Notice:
    """One thing that speaks against a comparison: a code for programs, a sentence for readers."""

    code: str
    text: str
    blocking: bool = False


def notices(items: Sequence[Item]) -> tuple[Notice, ...]:
    """Everything that speaks against comparing these series, in the order they are shown; the blocking ones first."""
    if len(items) < 2:
        return ()
    found = [*_people(items), *_kinds(items), *_times(items)]
    if len({series.uid for _, series in items}) < len(items):
        found.append(Notice("same-series", "The same series is shown twice, so no change is to be expected."))
    return tuple(sorted(found, key=lambda notice: not notice.blocking))


def _people(items: Sequence[Item]) -> list[Notice]:
    named = {study.patient_id for study, _ in items if study.patient_id}
    if len(named) > 1:
        return [Notice("patient", "The images belong to different patients.", True)]
    if len({study.uid for study, _ in items}) > 1 and any(not study.patient_id for study, _ in items):
        return [Notice("patient-unknown", "Not every image names its patient: check that they are of one.")]
    return []


def _kinds(items: Sequence[Item]) -> list[Notice]:
    one_visit = len({study.uid for study, _ in items}) == 1
    sides = _stated(_SIDES.get(series.laterality, "") for _, series in items)
    parts = _stated(part_of(series.body_part) for _, series in items)
    checks = (
        ("modality", _stated(kind_of(series.modality) for _, series in items), "modality", True),
        ("body-part", parts if any(not same_part(left, right) for left, right in combinations(parts, 2)) else [], "body part", True),
        ("laterality", [] if one_visit else sides, "side", True),
        ("view", _stated(series.view for _, series in items), "view", False),
        ("plane", _stated(series.plane for _, series in items), "plane", False),
    )
    return [
        Notice(code, f"The images differ in {name}: {' and '.join(found)}.", hard) for code, found, name, hard in checks if len(found) > 1
    ]


def _times(items: Sequence[Item]) -> list[Notice]:
    moments = [moment(item) for item in items]
    known = [found for found in moments if found is not None]
    notices = []
    if len({study.uid for study, _ in items}) > 1:
        if len(known) < len(items):
            notices.append(Notice("date-missing", "A study has no date: the order shown is taken as the order in time."))
        elif len({found.date() for found in known}) < len({study.uid for study, _ in items}):
            notices.append(Notice("date-equal", "Two studies are of the same day: the order shown is taken as the order in time."))
        if any(first > second for first, second in pairwise(known)):
            notices.append(Notice("date-inverted", "A newer image is shown before an older one."))
    if any(found > datetime.now() for found in known):
        notices.append(Notice("date-future", "A study is dated in the future: its date is wrong."))
    return notices


def _stated(values: Iterable[str]) -> list[str]:
    """Distinct values that are not empty, in order."""
    return list(dict.fromkeys(value for value in values if value))


def part_of(said: str) -> str:
    """A body part under one name."""
    word = "".join(letter for letter in said.upper() if letter.isalpha())
    return _PARTS.get(word, word)


def same_part(left: str, right: str) -> bool:
    """Whether one of two names of `part_of` covers the other (CHEST and CHESTABDPELVIS do)."""
    return left in right or right in left
