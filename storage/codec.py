"""Values to rows and back, exactly: a study read from the store equals the one that was imported.

Columns hold what is searched or listed; every further field of the values goes to JSON by its own name, so a field
added to `Study`, `Series` or `Frame` is kept without a new column.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from operator import itemgetter
from typing import Any, Protocol, cast

from errors import StoreError
from storage.content import ContentStore
from storage.schema import SeriesRow, StudyRow, clean
from storage.studies.model import Frame, Kind, Plane, Series, Source, Study, Window

STUDY_COLUMNS = frozenset({"uid", "acquired", "description", "series", "warnings"})
SERIES_COLUMNS = frozenset(
    {"uid", "number", "modality", "description", "body_part", "laterality", "view", "plane", "acquired", "frames", "warnings"}
)
FRAME_COLUMNS = frozenset({"source"})


def plain(value: object) -> Any:
    """`value` as JSON both databases take: tuples as lists, numbers of numpy as Python's, NaN and infinities as null."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Window):
        return _fields(value, frozenset())
    if isinstance(value, Mapping):
        return {clean(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        return plain(value.item())
    raise StoreError(f"a value of type {type(value).__name__} cannot be stored; give numbers, text, lists or mappings")


def tupled(value: Any) -> Any:
    """JSON's lists as tuples, all the way down."""
    return tuple(tupled(item) for item in value) if isinstance(value, list) else value


def study_facts(study: Study) -> dict[str, Any]:
    """What of a study has no column."""
    return _fields(study, STUDY_COLUMNS)


def series_facts(series: Series) -> dict[str, Any]:
    """What of a series has no column."""
    return _fields(series, SERIES_COLUMNS)


def frame_json(frame: Frame, place: int) -> dict[str, Any]:
    """One frame and its place in the series, without its source."""
    return {"place": place, **_fields(frame, FRAME_COLUMNS)}


def frame_value(found: Mapping[str, Any], source: Source) -> Frame:
    """The frame again."""
    values = {name: tupled(value) for name, value in found.items() if name != "place"}
    values["windows"] = tuple(Window(**window) for window in found.get("windows", ()))
    return Frame(source=source, **values)


class FileRow(Protocol):
    """What of an instance's row its frames need."""

    sha256: Any
    kind: Any
    frames: Any


def frames_value(instances: Iterable[FileRow], content: ContentStore) -> tuple[Frame, ...]:
    """All frames of a series in their order."""
    placed = [
        (found["place"], frame_value(found, source))
        for instance in instances
        for source in (Source(content.path(instance.sha256), cast(Kind, instance.kind), instance.sha256),)
        for found in instance.frames
    ]
    return tuple(frame for _, frame in sorted(placed, key=itemgetter(0)))


def series_value(row: SeriesRow, frames: tuple[Frame, ...]) -> Series:
    """The series with these frames."""
    return Series(
        uid=row.uid,
        modality=row.modality,
        number=row.number,
        description=row.description,
        body_part=row.body_part,
        laterality=row.laterality,
        view=row.view,
        plane=cast(Plane, row.plane),
        acquired=row.acquired,
        frames=frames,
        warnings=tuple(row.warnings),
        **{name: tupled(value) for name, value in row.facts.items()},
    )


def study_value(row: StudyRow, series: tuple[Series, ...]) -> Study:
    """The study with these series."""
    return Study(
        uid=row.uid,
        acquired=row.acquired,
        description=row.description,
        series=series,
        warnings=tuple(row.warnings),
        **{name: tupled(value) for name, value in row.facts.items()},
    )


def _fields(value: Study | Series | Frame | Window, columns: frozenset[str]) -> dict[str, Any]:
    """The fields that are neither columns nor at their default, as JSON."""
    wanted = (item for item in fields(value) if item.name not in columns)
    return {item.name: plain(getattr(value, item.name)) for item in wanted if getattr(value, item.name) != _default(item)}


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()
