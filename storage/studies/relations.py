"""How studies relate: prior and current, views of one study, left and right, or nothing; guessed from headers, always shown.

A guess, and it says so: `reason` tells the reader what it rests on, and everything that speaks against it is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from storage.studies import vocabulary
from storage.studies.dicom import PROJECTION
from storage.studies.model import Series, Study

Relationship = Literal["temporal", "views", "sides", "unrelated"]
Item = tuple[Study, Series]
_SIDES = {"L": "left", "R": "right", "B": "both"}
_XRAY = "a radiograph"
_DAY = 86400.0
_MODALITY = re.compile(r"[A-Z]{2,6}")


@dataclass(frozen=True)
class Relation:
    """What two or more series are to each other.

    `roles` and `whens` are in the order given; `order` holds their indices from oldest to newest; `reason` is one
    sentence; `interval_days` spans first to last date, None when unknown; `blocking` means ask the reader before
    going on (two different patients).
    """

    relationship: Relationship
    roles: tuple[str, ...]
    whens: tuple[str, ...]
    order: tuple[int, ...]
    interval_days: float | None
    reason: str
    warnings: tuple[str, ...] = ()
    blocking: bool = False


def relate(first: Item, second: Item) -> Relation:
    """Relation of two series, in the order shown."""
    return relate_many((first, second))


def relate_many(items: Sequence[Item]) -> Relation:
    """Relation of one to eight series, in the order shown. `whens` are relative to the newest image."""
    if not items:
        raise ValueError("relate_many needs at least one series")
    if len(items) == 1:
        return Relation("unrelated", ("",), ("",), (0,), None, "There is one image, so there is nothing to compare.")
    if len({study.patient_id for study, _ in items if study.patient_id}) > 1:
        return _strangers(items)
    same_visit = _one_visit(items)
    if same_visit:
        return _sides(items) or _views(items, same_visit)
    return _temporal(items)


def interval_words(days: float) -> str:
    """`5 hours`, `1 day`, `14 days`, `4 years`: a span of time, in days as long as a reader can picture them."""
    if days < 1:
        hours = round(days * 24)
        return f"{hours} hour{'s' if hours != 1 else ''}" if hours else f"{max(1, round(days * 1440))} min"
    for size, limit, word in ((1.0, 1000, "day"), (365.25, 1 << 30, "year")):
        count = round(days / size)
        if count < limit:
            return f"{count} {word}{'s' if count != 1 else ''}"
    raise AssertionError


def moment(item: Item) -> datetime | None:
    """When an image was taken: its study's date, its series' date when that is the same day."""
    study, series = item
    if study.acquired and series.acquired and study.acquired.date() == series.acquired.date():
        return series.acquired
    return study.acquired or series.acquired


def _order(items: Sequence[Item]) -> tuple[int, ...]:
    """Indices from oldest to newest; as shown when any date is missing or all are equal."""
    moments = [moment(item) for item in items]
    if any(found is None for found in moments):
        return tuple(range(len(items)))
    return tuple(sorted(range(len(items)), key=lambda index: (moments[index] or datetime.min, index)))


def _span(items: Sequence[Item]) -> float | None:
    moments = [found for item in items if (found := moment(item))]
    return (max(moments) - min(moments)).total_seconds() / _DAY if len(moments) == len(items) else None


def _strangers(items: Sequence[Item]) -> Relation:
    blank = ("",) * len(items)
    return Relation(
        "unrelated", blank, blank, tuple(range(len(items))), None, "The images belong to different patients.",
        ("The images belong to different patients: check before asking for a comparison.", *_mismatches(items)), blocking=True,
    )  # fmt: skip


def _one_visit(items: Sequence[Item]) -> str:
    """Why these are images of one examination; '' when they are not."""
    uids = {study.uid for study, _ in items}
    if len(uids) == 1:
        return "one study"
    days = {found.date() if (found := moment(item)) else None for item in items}
    patient = {study.patient_id for study, _ in items}
    views = {(series.view, series.laterality, series.plane) for _, series in items}
    if len(days) == 1 and None not in days and len(patient) == 1 and "" not in patient and len(views) == len(items):
        return "one patient on one day"
    return ""


def _sides(items: Sequence[Item]) -> Relation | None:
    """Left against right of one examination: the same view, different sides."""
    sides = [series.laterality for _, series in items]
    if len(set(sides)) != len(items) or not set(sides) <= {"L", "R"} or len({series.view for _, series in items}) > 1:
        return None
    roles = tuple(_SIDES[side] for side in sides)
    reason = f"Both sides of one study: {' and '.join(roles)}."
    return Relation("sides", roles, ("",) * len(items), _order(items), _span(items), reason, tuple(_mismatches(items, ("side",))))


def _views(items: Sequence[Item], visit: str) -> Relation:
    roles = _view_roles(items)
    warnings = list(_mismatches(items, ("view", "side", "plane", "modality")))
    if len({series.uid for _, series in items}) < len(items):
        warnings.append("The same series is shown twice, so no change is to be expected.")
    reason = f"They are images of {visit}: {', '.join(role or 'no view stated' for role in roles)}."
    return Relation("views", roles, ("",) * len(items), _order(items), _span(items), reason, tuple(warnings))


def _view_roles(items: Sequence[Item]) -> tuple[str, ...]:
    """Shortest words that tell the images apart: view with side, plane, modality, else a number.

    Roles are put to the model, so nothing that someone typed into a header may become one.
    """
    candidates = (
        [" ".join(part for part in (series.laterality, vocabulary.view(series.view)) if part) for _, series in items],
        [series.plane for _, series in items],
        [series.modality if _MODALITY.fullmatch(series.modality) else "" for _, series in items],
    )
    for names in candidates:
        if all(names) and len(set(names)) == len(items):
            return tuple(names)
    return tuple(f"view {index + 1}" for index in range(len(items)))


def _temporal(items: Sequence[Item]) -> Relation:
    order = _order(items)
    moments = [moment(item) for item in items]
    newest = moments[order[-1]]
    names = ("prior", "current") if len(items) == 2 else tuple(f"time {index + 1}" for index in range(len(items)))
    roles = tuple(names[order.index(index)] for index in range(len(items)))
    whens = tuple(_earlier(found, newest) for found in moments)
    warnings = [*_date_warnings(items, order), *_mismatches(items)]
    return Relation("temporal", roles, whens, order, _span(items), _temporal_reason(items), tuple(warnings))


def _earlier(found: datetime | None, newest: datetime | None) -> str:
    if found is None or newest is None or found >= newest:
        return ""
    return f"{interval_words((newest - found).total_seconds() / _DAY)} earlier"


def _temporal_reason(items: Sequence[Item]) -> str:
    span = _span(items)
    if span is None:
        return "Not every image has a date, so the order shown is taken as the order in time."
    known = all(study.patient_id for study, _ in items)
    who = "one patient" if known else "perhaps one patient"
    return f"They are {len(items)} studies of {who}, {interval_words(span)} apart." if span else f"They are {len(items)} studies of {who}."


def _date_warnings(items: Sequence[Item], order: Sequence[int]) -> list[str]:
    moments = [moment(item) for item in items]
    found = [value for value in moments if value is not None]
    warnings = []
    if len(found) < len(items):
        warnings.append("A study has no date: check which is the prior.")
    elif len({value.date() for value in found}) < len(found):
        same = len(set(found)) == len(found)
        warnings.append("Two studies are of the same day: check which came first." if same else "Two studies have the same date and time.")
    if tuple(order) != tuple(range(len(items))):
        warnings.append("The images are shown with a newer one before an older one.")
    if any(value > datetime.now() for value in found):
        warnings.append("A study is dated in the future: its date is wrong.")
    if not all(study.patient_id for study, _ in items):
        warnings.append("Not every image names its patient: check that they are of one.")
    return warnings


def _mismatches(items: Sequence[Item], skip: Sequence[str] = ()) -> list[str]:
    """What the images do not share though a comparison supposes it."""
    modalities = [series.modality for _, series in items]
    kinds = (
        ("modality", modalities if len({kind_of(modality) for modality in modalities}) > 1 else []),
        ("body part", [series.body_part for _, series in items]),
        ("side", [_SIDES.get(series.laterality, "") for _, series in items]),
        ("view", [series.view for _, series in items]),
        ("plane", [series.plane for _, series in items]),
    )
    warnings = []
    for name, values in kinds:
        stated = list(dict.fromkeys(value for value in values if value))
        if name not in skip and len(stated) > 1:
            warnings.append(f"The images differ in {name}: {' and '.join(stated)}.")
    return warnings


def kind_of(modality: str) -> str:
    """The kind of image a modality is, so that a computed and a digital radiograph count as one; '' when it is not stated."""
    if modality == "MG":
        return "MG"
    if modality in PROJECTION:
        return _XRAY
    return "" if modality in ("OT", "SC") else modality
