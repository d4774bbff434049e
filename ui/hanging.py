"""Which series of the chosen studies hang where, oldest first, and what they are to each other.

`storage.studies.relate_many` guesses from the headers; a reader may choose another relationship, and the roles follow.
"""

from __future__ import annotations

from collections.abc import Sequence

from storage.studies import Relation, Series, Study, relate_many, windows
from storage.views import Relationship, SeriesSummary, Slot, StudySummary, User
from ui.context import Context
from ui.wire import HangingOut, RelationOut, SeriesOut, SlotOut, WindowOut

Item = tuple[Study, Series]
NOTHING = Relation("unrelated", (), (), (), None, "Nothing is open.")


def series_out(series_id: int, item: Item) -> SeriesOut:
    """What a viewport needs to know of a series."""
    study, series = item
    first = series.frames[0]
    return SeriesOut(
        id=series_id,
        modality=series.modality,
        number=series.number,
        description=series.description,
        body_part=series.body_part,
        laterality=series.laterality,
        view=series.view,
        plane=series.plane,
        frames=len(series.frames),
        rows=first.rows,
        columns=first.columns,
        spacing=first.spacing,
        lossy=any(frame.lossy for frame in series.frames),
        windows=tuple(WindowOut(name=w.name, center=w.center, width=w.width, function=w.function) for w in windows(series)),
        warnings=tuple(dict.fromkeys((*study.warnings, *series.warnings, *first.warnings))),
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
    """Hang studies: all their time points oldest first, or the views of a single study.

    Of more images than a question may carry the newest hang. A single new study with an earlier one of the same patient
    hangs beside that prior.
    """
    studies = _studies(context, user, study_ids)
    if len(studies) == 1 and len(studies[0].series) > 1 and len({s.view for s in studies[0].series}) > 1:
        chosen = list(studies[0].series)
    else:
        chosen = _matching(studies)
    ids = [series.id for series in chosen[-context.settings.max_images :]]
    items = [context.series(series_id, user) for series_id in ids]
    order = relation(items).order or tuple(range(len(items)))
    ids, items = [ids[i] for i in order], [items[i] for i in order]
    related = relation(items)
    slots = [Slot(series_id, len(items[i][1].frames) // 2, related.roles[i], related.whens[i]) for i, series_id in enumerate(ids)]
    return HangingOut(slots=tuple(slot_out(slot, item) for slot, item in zip(slots, items, strict=True)), relation=related)


def slot_out(slot: Slot, item: Item) -> SlotOut:
    """A filled viewport."""
    frame = min(slot.frame, len(item[1].frames) - 1)
    return SlotOut(series=series_out(slot.series_id, item), frame=frame, role=slot.role, when=slot.when, window=slot.window)


def _studies(context: Context, user: User, study_ids: Sequence[int]) -> list[StudySummary]:
    """The studies asked for, plus the newest earlier one when a patient's single study was asked for."""
    found: list[StudySummary] = []
    for patient in context.store.patients(user):
        mine = [study for study in patient.studies if study.id in study_ids and study.series]
        if len(mine) == 1 and len(study_ids) == 1:
            earlier = [study for study in patient.studies if study.series and _before(study, mine[0])]
            mine = [*earlier[-1:], *mine]
        found += mine
    return found


def _before(study: StudySummary, other: StudySummary) -> bool:
    return study.acquired is not None and other.acquired is not None and study.acquired < other.acquired


def _matching(studies: Sequence[StudySummary]) -> list[SeriesSummary]:
    """One series of each study: of the last study the one with most frames, of the others the one most like it."""
    if not studies:
        return []
    target = max(studies[-1].series, key=lambda series: series.frames)
    return [max(study.series, key=lambda series: _likeness(series, target)) for study in studies]


def _likeness(series: SeriesSummary, target: SeriesSummary) -> tuple[int, int]:
    names = ("modality", "body_part", "laterality", "view", "plane", "description")
    same = sum(getattr(series, name) == getattr(target, name) for name in names)
    return same + 4 * (series.modality == target.modality), -abs(series.frames - target.frames)
