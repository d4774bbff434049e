"""Which series of the chosen studies hang where, oldest first, and what they are to each other.

`storage.studies.relate_many` guesses from the headers; a reader may choose another relationship, and the roles follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storage.hanging import Hung, arrange, best_series, main_series
from storage.studies import Relation, Series, Study, Window, mixing, relate_many, timeline, windows
from storage.views import PatientSummary, Relationship, SeriesSummary, Slot, StudySummary, User
from ui.context import Context
from ui.wire import (
    HangingOut,
    HungOut,
    NoticeOut,
    RelationOut,
    SeriesOut,
    SlotOut,
    TimelineOut,
    TimePointOut,
    TimePointSeriesOut,
    WindowOut,
)

Item = tuple[Study, Series]
NOTHING = Relation("unrelated", (), (), (), None, "Nothing is open.")


def words_of(study: Study, series: Series, offered: Sequence[Window]) -> dict[str, Any]:
    """The fields of `SeriesWordsOut`."""
    named = ("modality", "number", "description", "body_part", "laterality", "view", "plane")
    return {
        **{name: getattr(series, name) for name in named},
        "lossy": any(frame.lossy for frame in series.frames),
        "windows": tuple(WindowOut(name=w.name, center=w.center, width=w.width, function=w.function) for w in offered),
        "warnings": tuple(dict.fromkeys((*study.warnings, *series.warnings, *series.frames[0].warnings))),
    }


def series_out(series_id: int, item: Item) -> SeriesOut:
    """What a viewport needs to know of a series."""
    study, series = item
    first = series.frames[0]
    return SeriesOut(
        **words_of(study, series, windows(series)),
        id=series_id,
        frames=len(series.frames),
        rows=first.rows,
        columns=first.columns,
        spacing=first.spacing,
        study_uid=study.uid,
        study_description=study.description,
        acquired=series.acquired or study.acquired,
        pseudonym=study.patient_id,
    )


def relation(items: Sequence[Item], chosen: Relationship | None = None) -> RelationOut:
    """How the items relate, in the order shown; with `chosen`, roles and times follow that relationship instead."""
    guess = relate_many(items) if items else NOTHING
    roles, whens = guess.roles, guess.whens
    if chosen is not None and chosen != guess.relationship:
        roles = tuple(_role(chosen, number, items, guess) for number in range(len(items)))
        whens = guess.whens if chosen == "temporal" else tuple("" for _ in items)
    taken = chosen or guess.relationship
    return RelationOut(
        relationship=taken,
        guessed=guess.relationship,
        roles=roles,
        whens=whens,
        order=guess.order,
        reason=guess.reason,
        warnings=guess.warnings,
        blocking=guess.blocking,
        interval_days=guess.interval_days,
        mixing=tuple(NoticeOut(code=one.code, text=one.text, blocking=one.blocking) for one in mixing.notices(items)),
    )


def _role(chosen: Relationship, number: int, items: Sequence[Item], guess: Relation) -> str:
    series = items[number][1]
    if chosen == "views":
        return series.view or f"view {number + 1}"
    if chosen == "sides":
        side = {"L": "left", "R": "right"}.get(series.laterality.upper())
        return side or ("left", "right")[number % 2]
    if chosen == "temporal" and len(items) > 1:
        rank = guess.order.index(number) if number in guess.order else number
        return ("prior", "current")[rank] if len(items) == 2 else f"time {rank + 1}"
    return ""


def hang(context: Context, user: User, study_ids: Sequence[int]) -> HangingOut:
    """Hang studies: all their time points oldest first, or a single one with its most relevant prior, or else its views.

    Of more images than a question may carry the newest hang.
    """
    found = [
        (patient, study) for patient in context.store.patients(user) for study in patient.studies if study.id in study_ids and study.series
    ]
    if len(found) == 1:
        return open_patient(context, user, found[0][0], found[0][1].id)
    ids = [series.id for series in _matching([study for _, study in found])]
    return _hung(context, user, ids)


def open_patient(context: Context, user: User, patient: PatientSummary, study_id: int | None = None) -> HangingOut:
    """Hang a patient's newest study, or the one named, with its most relevant prior by the first hanging rule that fits."""
    found = arrange(patient, context.rules, study_id)
    ids = [place.series.id for place in found.places]
    current = found.current
    if current is not None and found.prior is None and len(ids) < 2 and len({one.view for one in current.study.series}) > 1:
        ids = [one.id for one in current.study.series]
    out = _hung(context, user, ids, ordered=True)
    whole = HangingOut(
        slots=out.slots,
        relation=out.relation,
        patient_id=patient.id,
        layout=found.layout if len(ids) == len(found.places) else "1xN",
        rule=found.rule,
        reason=found.reason,
        current=_hung_out(current),
        prior=_hung_out(found.prior),
        timeline=timeline_of(patient, current),
    )
    return whole


def _hung_out(place: Hung | None) -> HungOut | None:
    return HungOut(study_id=place.study.id, series_id=place.series.id) if place is not None else None


def _hung(context: Context, user: User, ids: Sequence[int], *, ordered: bool = False) -> HangingOut:
    """These series, each at its middle image; oldest first unless a rule has `ordered` them."""
    ids = list(ids)[-context.settings.max_images :]
    items = [context.series(series_id, user) for series_id in ids]
    if not ordered:
        order = relation(items).order or tuple(range(len(items)))
        ids, items = [ids[i] for i in order], [items[i] for i in order]
    related = relation(items)
    slots = [Slot(series_id, len(items[i][1].frames) // 2, related.roles[i], related.whens[i]) for i, series_id in enumerate(ids)]
    return HangingOut(slots=tuple(slot_out(slot, item) for slot, item in zip(slots, items, strict=True)), relation=related)


def timeline_of(patient: PatientSummary, current: Hung | None) -> TimelineOut:
    """Every study of a patient at its true distance in time; `current` is what their best series are chosen for."""
    studies = [study for study in patient.studies if study.series]
    points = timeline.points([study.acquired for study in studies])
    span = max((point.days for point in points if point.days is not None), default=0.0)
    return TimelineOut(
        patient_id=patient.id,
        pseudonym=patient.pseudonym,
        span_days=span,
        points=tuple(_time_point(study, point, span, current) for study, point in zip(studies, points, strict=True)),
    )


def _time_point(study: StudySummary, point: timeline.Point, span: float, current: Hung | None) -> TimePointOut:
    at = None if point.days is None else 1.0 - point.days / span if span else 1.0
    named = ("modality", "description", "body_part", "laterality", "view", "plane", "frames")
    best = best_series(study, current.series) if current is not None else study.series[0]
    return TimePointOut(
        study_id=study.id,
        date=study.acquired,
        days=point.days,
        at=at,
        words=point.words,
        ordinal=point.ordinal,
        of=point.of,
        description=study.description,
        modalities=study.modalities,
        series=tuple(TimePointSeriesOut(series_id=one.id, **{name: getattr(one, name) for name in named}) for one in study.series),
        best_series_id=best.id,
    )


def slot_out(slot: Slot, item: Item) -> SlotOut:
    """A filled viewport."""
    frame = min(slot.frame, len(item[1].frames) - 1)
    return SlotOut(series=series_out(slot.series_id, item), frame=frame, role=slot.role, when=slot.when, window=slot.window)


def _matching(studies: Sequence[StudySummary]) -> list[SeriesSummary]:
    """One series of each study: of the last study its main one, of the others the one most like it."""
    return [best_series(study, main_series(studies[-1])) for study in studies]
