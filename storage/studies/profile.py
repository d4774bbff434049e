"""What happens to each attribute: PS3.15 Basic Profile with Modified Dates and Clean Descriptors.

The table of 655 attributes (edition 2026c) and the handling of single values come from dicom-anonymizer (Kitware,
BSD-3-Clause). It works on the top level of a data set and with random UIDs; what is added here is: every nested
item, one date shift per patient instead of dummy dates, UIDs that stay consistent between imports, person names
and free text of attributes that the table does not know, attributes that no dictionary knows, overlays, curves, and
private attributes at any depth.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from dicomanonymizer.simpledicomanonymizer import delete, initialize_actions
from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from storage.studies import vocabulary

EDITION = "dicomfields_2026c"
_CLEANED = (0x00081030, 0x0008103E, 0x00181030)
_BIRTH = re.compile(r"Birth|Death")
_KEEP_UID = re.compile(r"(Class|Scheme|Syntax|Resource|Context(Group)?(Extension)?Creator|Context)UID$|^(Mapping|CodingScheme)")
_TEXT = ("LT", "ST", "UT", "UC", "UN", "UR")

Action = Callable[[Dataset, tuple[int, int]], None]


@dataclass(frozen=True)
class Plan:
    """What one patient's data become: shift of dates in days, and the new UID of an old one."""

    shift_days: int
    uid: Callable[[str], str]


@lru_cache(maxsize=1)
def _actions() -> dict[tuple[int, int], Action]:
    return {tag: action for tag, action in initialize_actions(EDITION).items() if len(tag) == 2}


def clean(dataset: Dataset, plan: Plan) -> None:
    """Apply the profile to a data set and everything nested in it, in place."""
    for tag in list(dataset.keys()):
        if tag.group % 2 or tag.element == 0 or 0x5000 <= tag.group < 0x5100 or 0x6000 <= tag.group < 0x6100 or tag.group >= 0xFFFA:
            del dataset[tag]
        else:
            _element(dataset, tag, plan)


def _vr(dataset: Dataset, tag: BaseTag) -> str:
    said = dataset.get_item(tag).VR
    if said and said != "UN":
        return str(said)
    return str(dictionary_VR(tag)) if dictionary_has_tag(tag) else "UN"


def _element(dataset: Dataset, tag: BaseTag, plan: Plan) -> None:
    vr = _vr(dataset, tag)
    action = _actions().get((tag.group, tag.element))
    if action is None and not dictionary_has_tag(tag):
        del dataset[tag]
    elif vr == "SQ":
        _sequence(dataset, tag, plan, action)
    elif tag in _CLEANED:
        _describe(dataset, tag)
    elif vr in ("DA", "DT", "TM"):
        _moment(dataset, tag, vr, plan)
    elif vr == "UI":
        _uid(dataset, tag, plan, action)
    elif vr == "PN" or (vr in _TEXT and action is None):
        _blank(dataset, tag)
    elif action is not None:
        _by_table(dataset, tag, action)


def _by_table(dataset: Dataset, tag: BaseTag, action: Action) -> None:
    """The library's own handling; what it has none for is removed."""
    try:
        action(dataset, (tag.group, tag.element))
    except NotImplementedError:
        del dataset[tag]


def _sequence(dataset: Dataset, tag: BaseTag, plan: Plan, action: Action | None) -> None:
    items = dataset[tag].value
    if action is delete or not isinstance(items, Sequence):
        del dataset[tag]
        return
    if action is not None and action.__name__ in ("empty", "delete_or_empty"):
        dataset[tag].value = []
        return
    for item in items:
        clean(item, plan)


def _assign(dataset: Dataset, tag: BaseTag, values: list[str]) -> None:
    """Set text values under the dictionary's VR, whatever VR the file gave the element."""
    dataset[tag] = DataElement(tag, _vr(dataset, tag), values if len(values) > 1 else "".join(values))


def _describe(dataset: Dataset, tag: BaseTag) -> None:
    kept = vocabulary.clean(" ".join(_values(dataset, tag)))
    if kept:
        _assign(dataset, tag, [kept])
    else:
        del dataset[tag]


def _values(dataset: Dataset, tag: BaseTag) -> list[str]:
    value = dataset[tag].value
    if value is None:
        return []
    if isinstance(value, bytes):
        value = value.decode("latin-1").rstrip("\0 ").split("\\")
    return [str(part) for part in value] if isinstance(value, (MultiValue, list)) else [str(value)]


def _moment(dataset: Dataset, tag: BaseTag, vr: str, plan: Plan) -> None:
    """Shift a date or date-time by whole days; a time of day stays; birth and death go."""
    if dictionary_has_tag(tag) and _BIRTH.search(dictionary_keyword(tag)):
        _blank(dataset, tag)
        return
    values = _values(dataset, tag)
    if vr == "TM":
        changed = [value if re.fullmatch(r"[0-9:]{2,8}(\.\d{1,6})?", value.strip()) else "" for value in values]
    else:
        changed = [shifted(value, plan.shift_days) for value in values]
    if changed != values:
        _assign(dataset, tag, changed)


def shifted(value: str, days: int) -> str:
    """A DA or DT value moved by whole days, time and zone untouched; '' when it is not a full date."""
    digits = re.sub(r"^(\d{4})[-./](\d{2})[-./](\d{2})", r"\1\2\3", value.strip())
    match = re.match(r"^(\d{4})(\d{2})(\d{2})([\d.+\-]*)$", digits)
    if not match:
        return ""
    try:
        moved = date(int(match[1]), int(match[2]), int(match[3])) + timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved:%Y%m%d}".zfill(8) + match[4]


def _uid(dataset: Dataset, tag: BaseTag, plan: Plan, action: Action | None) -> None:
    """Replace instance UIDs; leave UIDs of the standard and of classes."""
    if action is delete:
        del dataset[tag]
        return
    keyword = dictionary_keyword(tag) if dictionary_has_tag(tag) else ""
    if action is None and _KEEP_UID.search(keyword):
        return
    values = _values(dataset, tag)
    changed = [value if not value or value.startswith("1.2.840.10008.") else plan.uid(value) for value in values]
    _assign(dataset, tag, changed)


def _blank(dataset: Dataset, tag: BaseTag) -> None:
    """Empty an attribute; one without a place in a profile of ours is removed."""
    if dictionary_has_tag(tag) and _vr(dataset, tag) not in _TEXT:
        _assign(dataset, tag, [])
    else:
        del dataset[tag]
