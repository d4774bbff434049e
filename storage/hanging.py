"""How a patient hangs: the newest study, the most relevant prior, and the rule of `assets/hanging.yaml` that fits them.

    rules = load(Path("assets/hanging.yaml"))
    found = arrange(patient, rules)          # found.places in declared order, found.reason for the reader

A choice only: nothing here reads a pixel, and every time point can be hung instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from errors import StoreError
from storage.relevance import Likeness, choose
from storage.studies import timeline
from storage.studies.dicom import PROJECTION
from storage.studies.relations import kind_of
from storage.views import PatientSummary, SeriesSummary, StudySummary

Layout = Literal["1x1", "1x2", "2x1", "2x2", "1xN"]
Time = Literal["prior", "current"]
_SIDES = ("R", "L", "")
_FRONTAL = ("PA", "AP", "FRONTAL", "CC")


class Place(BaseModel):
    """One viewport of a rule: which time, and where it matters which view and side (`one`: the side that has most of the views)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: Time
    view: str = ""
    side: Literal["", "L", "R", "one"] = ""


class Rule(BaseModel):
    """One hanging rule, as the file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    layout: Layout
    slots: tuple[Place, ...] = Field(min_length=1, max_length=8)
    modalities: tuple[str, ...] = ()
    needs: Literal["", "prior"] = ""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rules: tuple[Rule, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Hung:
    """One filled viewport."""

    time: Time
    study: StudySummary
    series: SeriesSummary


@dataclass(frozen=True)
class Arrangement:
    """What hangs, by which rule, and why this prior. `prior` is None when no earlier study is fit for comparison."""

    rule: str
    layout: Layout
    places: tuple[Hung, ...]
    reason: str
    current: Hung | None = None
    prior: Hung | None = None


def load(path: Path) -> tuple[Rule, ...]:
    """The rules of a file. Raises `StoreError` with the place that is wrong."""
    try:
        return _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).rules
    except (OSError, yaml.YAMLError) as error:
        raise StoreError(f"the hanging rules {path} cannot be read ({type(error).__name__}); restore the file") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise StoreError(f"the hanging rules {path} are not right at {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def arrange(patient: PatientSummary, rules: Sequence[Rule], study_id: int | None = None) -> Arrangement:
    """Hang `study_id` (the newest with a date unless it is given) with its most relevant prior by the first rule that fits."""
    current = _current(patient, study_id)
    if current is None:
        return Arrangement("", "1x1", (), "This patient has no images.")
    earlier = _earlier(patient, current)
    main = Hung("current", current, main_series(current))
    prior, alike = _prior(main.series, earlier)
    reason = _reason(main, prior, alike, bool(earlier))
    for rule in rules:
        places = _fill(rule, main, prior, earlier)
        if places is not None:
            return Arrangement(rule.name, _layout(rule, len(places)), places, reason, main, prior)
    return Arrangement("", "1x1", (main,), reason, main, prior)


def main_series(study: StudySummary) -> SeriesSummary:
    """The series that stands for a study: most images, axial before other planes, frontal before other views."""
    return max(study.series, key=lambda one: (one.frames, one.plane == "axial", one.view in _FRONTAL))


def best_series(study: StudySummary, target: SeriesSummary) -> SeriesSummary:
    """The series of a study that is most like `target`, fit for comparison or not."""
    index, _ = choose(target, [(None, one) for one in study.series])
    return study.series[index] if index is not None else main_series(study)


def _current(patient: PatientSummary, study_id: int | None) -> StudySummary | None:
    with_images = [study for study in patient.studies if study.series]
    if study_id is not None:
        return next((study for study in with_images if study.id == study_id), None)
    dated = [study for study in with_images if study.acquired is not None]
    found = dated or with_images
    return found[-1] if found else None


def _earlier(patient: PatientSummary, current: StudySummary) -> list[StudySummary]:
    """Studies before the current one: by date, those of the same moment and those without a date in the order they are listed."""
    others = [study for study in patient.studies if study.series and study.id != current.id]
    if current.acquired is None:
        at = [study.id for study in patient.studies].index(current.id)
        return [study for study in others if [one.id for one in patient.studies].index(study.id) < at]
    before = [study for study in others if study.acquired and (study.acquired, study.id) < (current.acquired, current.id)]
    return before or [study for study in others if study.acquired is None]


def _prior(target: SeriesSummary, earlier: Sequence[StudySummary]) -> tuple[Hung | None, Likeness | None]:
    candidates = [(study, series) for study in reversed(earlier) for series in study.series]
    index, alike = choose(target, [(study.acquired, series) for study, series in candidates])
    return (Hung("prior", *candidates[index]), alike) if index is not None else (None, None)


def _fill(rule: Rule, main: Hung, prior: Hung | None, earlier: Sequence[StudySummary]) -> tuple[Hung, ...] | None:
    """The rule's viewports, or None when it does not fit: another modality, no prior, or fewer than two of several filled."""
    kind = kind_of(main.series.modality)
    fits = not rule.modalities or kind in {kind_of(name) for name in rule.modalities}
    if not fits or (rule.needs == "prior" and prior is None):
        return None
    found = [_place(place, main, prior, earlier, _one_side(main.study)) for place in rule.slots]
    filled = tuple(hung for hung in found if hung is not None)
    return filled if len(filled) >= min(2, len(rule.slots)) else None


def _place(place: Place, main: Hung, prior: Hung | None, earlier: Sequence[StudySummary], one: str) -> Hung | None:
    side = one if place.side == "one" else place.side
    if not place.view and not side:
        return main if place.time == "current" else prior
    target = _wanted(main, place.view, side)
    if target is None or place.time == "current":
        return Hung("current", main.study, target) if target is not None else None
    return _prior(target, earlier)[0]


def _wanted(main: Hung, view: str, side: str) -> SeriesSummary | None:
    """A series of the current study of this view and side; `other` is the first of a view that the main series does not have."""
    for series in main.study.series:
        fits = series.view and series.view != main.series.view if view == "other" else not view or series.view == view
        if fits and (not side or series.laterality == side) and kind_of(series.modality) == kind_of(main.series.modality):
            return series
    return None


def _one_side(study: StudySummary) -> str:
    """The side with most views, right before left."""
    return max(_SIDES, key=lambda side: len({series.view for series in study.series if series.laterality == side and series.view}))


def _layout(rule: Rule, count: int) -> Layout:
    if count == len(rule.slots):
        return rule.layout
    return "1x1" if count == 1 else "1x2" if count == 2 else rule.layout


def _reason(main: Hung, prior: Hung | None, alike: Likeness | None, earlier: bool) -> str:
    if prior is None or alike is None:
        about = ", ".join(part for part in (main.series.modality, main.series.body_part) if part)
        return (
            f"No earlier study is fit for comparison with this one ({about})." if earlier else "There is no earlier study of this patient."
        )
    when = timeline.points([prior.study.acquired, main.study.acquired])[0].words
    stated = {"modality": _kind(main.series), "body part": main.series.body_part, "view": main.series.view, "plane": main.series.plane}
    same = [f"{name} ({stated[name]})" if stated.get(name) else name for name in alike.same]
    words = f"Prior of {when}" if when.endswith("earlier") else "Prior"
    words += f": same {_listed(same)}" if same else ": nothing about it is stated"
    return words + (f"; differs in {_listed(list(alike.other))}." if alike.other else ".")


def _kind(series: SeriesSummary) -> str:
    return "radiograph" if series.modality in PROJECTION and series.modality != "MG" else series.modality


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
