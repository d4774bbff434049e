"""An answer's words against what is open: mentions of images and marks, and the reader's paired measurements. No engine is asked."""

from __future__ import annotations

import math
from collections.abc import Mapping

from errors import StoreError
from inference.measured import Paired, against
from inference.mentions import Drawn, Place, Scene, mentions
from storage.marks import Mark, Marks
from storage.studies import Series
from storage.views import SessionView, Slot, TurnView, User
from ui.context import Context
from ui.wire_trust import MeasuredOut, MentionOut, SpokenOut, TrustOut

SIDES = {"L": "left", "R": "right"}


def spoken(here: Context, user: User, session: SessionView) -> TrustOut:
    """Mentions and measurements of every whole answer of the session, with the marks as they are now."""
    marks = here.store.marks(session.id, user)
    series = _series(here, user, session, marks)
    answers: dict[int, SpokenOut] = {}
    for turn in session.turns:
        scene = scene_of(turn, marks, series)
        shown = {slot.series_id: series[slot.series_id] for slot in turn.slots if slot.series_id in series}
        pairs = () if turn.forecast else paired(marks, shown)  # what was measured elsewhere, or before it comes, contradicts nothing
        for version in turn.versions:
            if version.state == "complete":
                answers[version.id] = _spoken(turn.question, version.text, scene, pairs)
    return TrustOut(answers=answers)


def scene_of(turn: TurnView, marks: Marks, series: Mapping[int, Series]) -> Scene:
    """What an answer to this turn can speak of: its images as they were asked of, and the marks on them."""
    places = tuple(Place(slot.role, _side(series.get(slot.series_id))) for slot in turn.slots)
    drawn = tuple(Drawn(mark.label, _image(turn.slots, mark)) for mark in marks.marks if mark.label)
    return Scene(places, turn.relationship, drawn)


def paired(marks: Marks, series: Mapping[int, Series]) -> tuple[Paired, ...]:
    """The reader's pairs of lengths and diameters as numbers, in mm where both images are calibrated; others are left out."""
    by_id = {mark.id: mark for mark in marks.marks}
    found = []
    for pair in marks.pairs:
        prior, current = by_id[pair.prior], by_id[pair.current]
        values = [_length(mark, series.get(mark.series_id)) for mark in (prior, current)]
        if values[0] is not None and values[1] is not None:
            found.append(Paired(prior.label, current.label, values[0], values[1]))
    return tuple(found)


def _spoken(question: str, text: str, scene: Scene, pairs: tuple[Paired, ...]) -> SpokenOut:
    return SpokenOut(
        mentions=tuple(
            MentionOut(
                start=one.start,
                end=one.end,
                text=one.text,
                kind=one.kind,
                images=one.images,
                mark=one.mark,
                side=one.side,
                reason=one.reason,
            )
            for one in mentions(text, scene)
        ),
        measured=tuple(
            MeasuredOut(sentence=one.sentence, conflicts=one.conflicts, said=one.said, way=one.pair.way)
            for one in against(text, pairs, question)
        ),
    )


def _series(here: Context, user: User, session: SessionView, marks: Marks) -> dict[int, Series]:
    """Every series the session speaks of that is still there."""
    ids = {slot.series_id for turn in session.turns for slot in turn.slots} | {mark.series_id for mark in marks.marks}
    found: dict[int, Series] = {}
    for series_id in ids:
        try:
            found[series_id] = here.store.series(series_id, user)[1]
        except StoreError:
            continue
    return found


def _side(series: Series | None) -> str:
    return SIDES.get(series.laterality.upper()[:1], "") if series is not None else ""


def _image(slots: tuple[Slot, ...], mark: Mark) -> int | None:
    """The image of the question a mark lies on: its frame, else its series."""
    exact = (n for n, slot in enumerate(slots) if (slot.series_id, slot.frame) == (mark.series_id, mark.frame))
    same = (n for n, slot in enumerate(slots) if slot.series_id == mark.series_id)
    return next(exact, next(same, None))


def _length(mark: Mark, series: Series | None) -> float | None:
    """The length in mm, of diameters the longer; None for other kinds and without calibration."""
    if mark.kind not in ("length", "bidirectional") or series is None or mark.frame >= len(series.frames):
        return None
    spacing = series.frames[mark.frame].spacing
    if spacing is None:
        return None
    down, across = spacing
    ends = zip(mark.points[::2], mark.points[1::2], strict=True)
    return max(math.hypot((b[0] - a[0]) * across, (b[1] - a[1]) * down) for a, b in ends)
