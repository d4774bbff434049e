"""What a reader draws and arranges on a case: marks, measurements, pairs, key images, links and layout, as one document.

The document is saved whole under a version number: whoever saves names the version that was read, and is told when
another tab was faster. Undo stays in the browser; what is kept here is what it looked like when it was saved.

Coordinates are (column, row) in pixels of the frame, the centre of the first pixel at (0, 0).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.orm import Session

from errors import InputError, StoreConflict, StoreError
from storage import audit, dialect, history, library
from storage.schema import SessionStateRow, clean, now
from storage.views import User

MarkKind = Literal["length", "bidirectional", "angle", "ctr", "ellipse", "rectangle", "probe", "point", "arrow", "box", "free"]
Mode = Literal["side", "swipe", "fade", "flicker", "difference", "checkerboard", "registered"]
Point = tuple[float, float]

MOST_BYTES = 1 << 20
"""Largest document, as JSON."""
MOST_MARKS, MOST_POINTS, MOST_PIECES = 500, 2000, 200
_POINTS: dict[str, tuple[int, int]] = {
    "length": (2, 2), "bidirectional": (4, 4), "angle": (3, 4), "ctr": (2, 6), "ellipse": (2, 4), "rectangle": (2, 4), "probe": (1, 1),
    "point": (1, 1), "arrow": (2, 2), "box": (2, 4), "free": (2, MOST_POINTS),
}  # fmt: skip
_FAR = 1e6
_STRICT = {"extra": "forbid"}


def _words(name: str, text: str, most: int) -> None:
    if len(text) > most:
        raise ValueError(f"{name} has {len(text):,} characters; shorten it to {most}")


def _few(name: str, items: tuple[object, ...], most: int) -> None:
    if len(items) > most:
        raise ValueError(f"there are {len(items):,} {name}; {most} can be kept")


@dataclass(frozen=True)
class Mark:
    """One drawing on one frame; `values` are its measured numbers by name, `label` is A, B, C... for marks a question speaks of."""

    __pydantic_config__ = _STRICT

    id: str
    kind: MarkKind
    series_id: int
    frame: int
    points: tuple[Point, ...]
    label: str = ""
    text: str = ""
    values: Mapping[str, float | str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises `ValueError` for a mark that cannot be drawn."""
        _words("a mark's id", self.id, 64)
        _words("a label", self.label, 16)
        _words("a text", self.text, 400)
        least, most = _POINTS[self.kind]
        if not least <= len(self.points) <= most:
            raise ValueError(f"a mark of kind {self.kind} has {least} to {most} points, not {len(self.points)}")
        if not all(math.isfinite(number) and abs(number) < _FAR for point in self.points for number in point):
            raise ValueError("a mark's points are not places in an image")
        if self.frame < 0 or len(self.values) > 40 or any(len(name) > 64 for name in self.values):
            raise ValueError("a mark's frame or values are out of range")
        if any(isinstance(value, float) and not math.isfinite(value) for value in self.values.values()):
            raise ValueError("a mark's values are not finite numbers")


@dataclass(frozen=True)
class Pair:
    """A measurement of the prior and its counterpart in the current study, by their marks' ids."""

    __pydantic_config__ = _STRICT

    id: str
    prior: str
    current: str


@dataclass(frozen=True)
class KeyImage:
    """A bookmarked frame."""

    __pydantic_config__ = _STRICT

    series_id: int
    frame: int
    note: str = ""

    def __post_init__(self) -> None:
        """Raises `ValueError` for a note that is too long."""
        _words("a note", self.note, 400)


@dataclass(frozen=True)
class Anchor:
    """Two frames that the reader, or a matched level, declared to be the same place."""

    __pydantic_config__ = _STRICT

    a_series: int
    a_frame: int
    b_series: int
    b_frame: int


@dataclass(frozen=True)
class Links:
    """Which actions are linked, which views take part, and the anchors of linked scrolling."""

    __pydantic_config__ = _STRICT

    scroll: bool = False
    camera: bool = False
    window: bool = False
    crosshair: bool = False
    views: tuple[bool, ...] = ()
    anchors: tuple[Anchor, ...] = ()


@dataclass(frozen=True)
class Override:
    """A warning the reader went past, with the reason as typed; the store's own record is `overrides`."""

    __pydantic_config__ = _STRICT

    code: str
    reason: str
    at: str = ""

    def __post_init__(self) -> None:
        """Raises `ValueError` for words that are too long."""
        _words("a code", self.code, 64)
        _words("a reason", self.reason, 400)
        _words("a time", self.at, 40)


@dataclass(frozen=True)
class Marks:
    """Everything a reader drew and arranged on one case. `version` 0 is a case nothing was ever saved of."""

    __pydantic_config__ = _STRICT

    version: int = 0
    marks: tuple[Mark, ...] = ()
    pairs: tuple[Pair, ...] = ()
    key_images: tuple[KeyImage, ...] = ()
    links: Links = Links()
    layout: str | None = None
    mode: Mode = "side"
    overrides: tuple[Override, ...] = ()

    def __post_init__(self) -> None:
        """Raises `ValueError` for a document that contradicts itself or is too large."""
        _few("marks", self.marks, MOST_MARKS)
        for name in ("pairs", "key_images", "overrides"):
            _few(name.replace("_", " "), getattr(self, name), MOST_PIECES)
        _few("anchors", self.links.anchors, MOST_PIECES)
        _few("linked views", self.links.views, 64)
        _words("a layout's name", self.layout or "", 16)
        ids = {mark.id for mark in self.marks}
        if len(ids) < len(self.marks):
            raise ValueError("two marks have the same id")
        for pair in self.pairs:
            if pair.prior == pair.current or not {pair.prior, pair.current} <= ids:
                raise ValueError(f"pair {pair.id[:16]} names a mark that is not there")

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Every (series, frame) the document speaks of."""
        anchored = (place for one in self.links.anchors for place in ((one.a_series, one.a_frame), (one.b_series, one.b_frame)))
        drawn = [(one.series_id, one.frame) for one in self.marks] + [(one.series_id, one.frame) for one in self.key_images]
        return tuple(dict.fromkeys((*drawn, *anchored)))

    @property
    def findings(self) -> tuple[object, ...]:
        """What of it is clinical: changes here are audited, changes of layout are not."""
        return self.marks, self.pairs, self.key_images


_READ = TypeAdapter(Marks)


def read(found: Mapping[str, Any]) -> Marks:
    """A document as it came as JSON. Raises `InputError` with a sentence."""
    try:
        return _READ.validate_python(found)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"the marks are not right at {'.'.join(map(str, first['loc'])) or 'their whole'}: {first['msg'].removeprefix('Value error, ')}"
        ) from error


def load(session: Session, session_id: int, user: User) -> Marks:
    """The document of a session this user may see. Raises `StoreError`."""
    history.own(session, session_id, user)
    row = session.get(SessionStateRow, session_id)
    return read({**row.document, "version": row.version}) if row is not None else Marks()


def save(session: Session, session_id: int, user: User, given: Marks) -> int:
    """Keep the document in the place of version `given.version`; its new version.

    Raises `StoreConflict` when another one was saved since, `InputError` when it is too large, `StoreError` when it speaks
    of images this user may not see.
    """
    document = asdict(given)
    del document["version"]
    if (size := len(json.dumps(document))) > MOST_BYTES:
        raise InputError(f"the marks take {size >> 10:,} kB, over the limit of {MOST_BYTES >> 10:,} kB; remove some free shapes")
    history.own(session, session_id, user)
    _check_places(session, given, user)
    dialect.one_writer(session.connection(), "session_states")
    row = session.get(SessionStateRow, session_id)
    before = read({**row.document, "version": row.version}) if row is not None else Marks()
    if given.version != before.version:
        raise StoreConflict(
            "this case was changed in another tab since it was opened here; reload it to go on from there", version=before.version
        )
    if row is None:
        row = SessionStateRow(session_id=session_id, version=0, document={})
        session.add(row)
    row.version, row.document, row.updated = before.version + 1, kept(document), now()
    if given.findings != before.findings:
        audit.append(session, user.id, "mark", "session", session_id)
    return row.version


def kept(value: Any) -> Any:
    """JSON as both databases take it."""
    if isinstance(value, Mapping):
        return {clean(str(key)): kept(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [kept(item) for item in value]
    return clean(value) if isinstance(value, str) else value


def _check_places(session: Session, given: Marks, user: User) -> None:
    frames = library.frame_counts(session, list({series for series, _ in given.places}), user)
    for series, frame in given.places:
        if series not in frames:
            raise StoreError(f"series {series} was not found; choose one from the list")
        if not 0 <= frame < frames[series]:
            raise StoreError(f"series {series} has no image {frame + 1}; it has {frames[series]}")
