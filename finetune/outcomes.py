"""From readings of held-out pairs to figures: each with its interval by patient, what chance gives, and the design's target.

Figures come for each source apart and for both together. A target that has several readings is held against the one the
product gives: change of extent is read both ways (`inference.reading`), exchange one way, since both ways invert by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from finetune import score, uncertainty
from inference import offsets
from inference.offsets import Offset
from inference.prompts import OVERALL, PROGRESSION
from inference.reading import INVERSE, symmetrised, top

TARGETS: Mapping[str, float] = {
    "change both ways": 0.75,
    "exchange": 0.95,
    "identical": 0.90,
    "which image": 0.85,
    "present": 0.85,
    "side": 0.85,
}
"""The design's targets, by figure."""
WHICH = ("The first image.", "The second image.")
ANSWERS: Mapping[str, tuple[str, ...]] = {
    "overall": OVERALL,
    "more": WHICH,
    "shows": WHICH,
    "present": ("Yes.", "No."),
    "side": ("Right.", "Left."),
    "progression": PROGRESSION,
}
"""Kind of closed question -> the answers offered."""
BOTH = "together"
MOVED = 0.01
"""A probability that moves by less does not depend on what was replaced."""

Overall = tuple[float, ...]
"""Probabilities of `OVERALL`'s classes."""


@dataclass(frozen=True)
class Asked:
    """One closed question: `truth` is the index of the right answer, `odds` the share of each."""

    kind: str
    finding: str
    truth: int
    odds: tuple[float, ...]

    @property
    def right(self) -> float:
        """1 when the likeliest answer is the right one."""
        return float(int(np.argmax(self.odds)) == self.truth)


@dataclass(frozen=True)
class Reading:
    """What the model read from one pair.

    `truth` is worse, stable or improved; `ahead`, `back`, `same`, `replaced` are the shares of these for the pair as it is,
    exchanged, the current film twice, and another patient's current film; `cannot` is the share of "cannot tell" when the prior
    is missing; `brightness` the rise of the film's middle against its whole.
    """

    source: str
    patient: str
    truth: str
    ahead: Overall
    back: Overall
    same: Overall
    replaced: Overall
    cannot: float
    brightness: float
    asked: tuple[Asked, ...]

    @property
    def both(self) -> Overall:
        """The pair read both ways."""
        ahead, back = (dict(zip(OVERALL, odds, strict=True)) for odds in (self.ahead, self.back))
        return tuple(symmetrised(ahead, back).values())


@dataclass(frozen=True)
class Figure:
    """One figure 0..1 of one source (`phantom`, `painted`, `together`) with its 95 % interval by patient; NaN where there is none.

    `chance` is what a guess gives, `target` the design's. `units` are patients, `items` what was counted.
    """

    key: str
    what: str
    source: str
    value: float
    low: float
    high: float
    chance: float
    target: float | None
    units: int
    items: int


@dataclass(frozen=True)
class _Rows:
    """Values of n items with their patients, and for a balanced figure their classes."""

    values: Sequence[float]
    patients: Sequence[str]
    classes: Sequence[str] | None = None


def recalled(row: Mapping[str, Any]) -> Reading:
    """A reading as the journal kept it."""
    odds = {name: tuple(row[name]) for name in ("ahead", "back", "same", "replaced")}
    asked = tuple(Asked(**{**one, "odds": tuple(one["odds"])}) for one in row["asked"])
    return Reading(**{**row, **odds, "asked": asked})


def weighed(found: Sequence[Reading], added: Sequence[Offset]) -> list[Reading]:
    """Readings by likelihood as the product gives them, with a model's offsets."""

    def moved(odds: Overall, answers: Sequence[str] = OVERALL) -> Overall:
        return tuple(offsets.weighed(dict(zip(answers, odds, strict=True)), added).values())

    return [
        replace(
            one,
            ahead=moved(one.ahead),
            back=moved(one.back),
            same=moved(one.same),
            replaced=moved(one.replaced),
            asked=tuple(replace(asked, odds=moved(asked.odds, ANSWERS[asked.kind])) for asked in one.asked),
        )
        for one in found
    ]


def called(odds: Overall) -> str:
    """The likeliest class; empty when two opposite ones tie."""
    return top(dict(zip(OVERALL, odds, strict=True)))


def _balanced(odds: Callable[[Reading], Overall]) -> Callable[[Sequence[Reading]], _Rows]:
    """Whether the pair's class is the likeliest, balanced over the classes."""

    def rows(found: Sequence[Reading]) -> _Rows:
        return _Rows([float(called(odds(one)) == one.truth) for one in found], _patients(found), [one.truth for one in found])

    return rows


def _each(value: Callable[[Reading], float], which: Callable[[Reading], bool] = lambda _one: True) -> Callable[[Sequence[Reading]], _Rows]:
    """A value of each pair that `which` takes."""

    def rows(found: Sequence[Reading]) -> _Rows:
        kept = [one for one in found if which(one)]
        return _Rows([value(one) for one in kept], _patients(kept))

    return rows


def _closed(kinds: Sequence[str], finding: str = "") -> Callable[[Sequence[Reading]], _Rows]:
    """Closed questions of `kinds` (about `finding`), balanced over the right answer."""

    def rows(found: Sequence[Reading]) -> _Rows:
        kept = _asked(found, kinds, finding)
        return _Rows([one.right for _, one in kept], [patient for patient, _ in kept], [str(one.truth) for _, one in kept])

    return rows


def _asked(found: Sequence[Reading], kinds: Sequence[str], finding: str = "") -> list[tuple[str, Asked]]:
    return [(one.patient, asked) for one in found for asked in one.asked if asked.kind in kinds and finding in ("", asked.finding)]


def _patients(found: Sequence[Reading]) -> list[str]:
    return [one.patient for one in found]


def _inverts(one: Reading) -> float:
    ahead = called(one.ahead)
    return float(bool(ahead) and called(one.back) == INVERSE[ahead])


THIRD, HALF = 1 / 3, 0.5
MEANS: Sequence[tuple[str, str, float, Callable[[Sequence[Reading]], _Rows]]] = (
    ("change both ways", "change of extent, read both ways: balanced accuracy", THIRD, _balanced(lambda one: one.both)),
    ("change one way", "change of extent, read one way: balanced accuracy", THIRD, _balanced(lambda one: one.ahead)),
    ("exchange", "prior and current exchanged: the one-way answer inverts", THIRD, _each(_inverts)),
    (
        "exchange of changed",
        "the same, where the answer was worse or improved",
        THIRD,
        _each(_inverts, lambda one: called(one.ahead) in ("worse", "improved")),
    ),
    ("identical", "the same film twice: called stable", THIRD, _each(lambda one: float(called(one.same) == "stable"))),
    (
        "progression",
        "change of one finding, new to resolved, read one way: balanced accuracy",
        1 / len(PROGRESSION),
        _closed(("progression",)),
    ),
    ("which image", "which image shows the finding, or more disease: balanced accuracy", HALF, _closed(("more", "shows"))),
    ("which more", "which image shows more disease: balanced accuracy", HALF, _closed(("more",))),
    ("which shows", "which image shows a finding that one alone has: balanced accuracy", HALF, _closed(("shows",))),
    ("present", "finding present: balanced accuracy", HALF, _closed(("present",))),
    ("side", "side of the finding: balanced accuracy", HALF, _closed(("side",))),
    (
        "image use",
        "another patient's film as current moves the probabilities",
        0.0,
        _each(lambda one: float(max(abs(a - b) for a, b in zip(one.ahead, one.replaced, strict=True)) > MOVED)),
    ),
    ("shuffled", "change of extent with another patient's film as current: balanced accuracy", THIRD, _balanced(lambda one: one.replaced)),
    ("missing prior", "change asked without a prior: answered that it cannot be told", 0.25, _each(lambda one: float(one.cannot > 0.5))),
)
"""Figures that are means: key, words, chance, rows."""

Scorer = Callable[[Reading], float]
DIRECTIONS: Sequence[tuple[str, str, Scorer]] = (
    ("direction both ways", "worse against improved, read both ways: area under the curve", lambda one: one.both[0] - one.both[2]),
    ("direction one way", "worse against improved, read one way: area under the curve", lambda one: one.ahead[0] - one.ahead[2]),
    ("brightness", "worse against improved by mean brightness alone, no model: area under the curve", lambda one: one.brightness),
)


def figures(found: Sequence[Reading]) -> list[Figure]:
    """All figures, of each source and of all together."""
    sources = sorted({one.source for one in found})
    groups = {source: [one for one in found if one.source == source] for source in sources}
    if len(sources) > 1:
        groups[BOTH] = list(found)
    return [figure for source, chosen in groups.items() for figure in _of(source, chosen)]


def _of(source: str, found: Sequence[Reading]) -> Iterator[Figure]:
    for key, what, chance, rows in MEANS:
        yield _mean(key, what, source, chance, rows(found))
    moved = [one for one in found if one.truth in ("worse", "improved")]
    worse, patients = [float(one.truth == "worse") for one in moved], _patients(moved)
    for key, what, scorer in DIRECTIONS:
        yield _area(key, what, source, [scorer(one) for one in moved], worse, patients)
    yield _difference(source, moved)
    asked = _asked(found, ("present",))
    what = "finding present: area under the curve"
    truths = [float(one.truth == 0) for _, one in asked]
    yield _area("present area", what, source, [one.odds[0] for _, one in asked], truths, [patient for patient, _ in asked])


def _mean(key: str, what: str, source: str, chance: float, rows: _Rows) -> Figure:
    low, high = uncertainty.bootstrap(rows.values, rows.patients, rows.classes) if len(rows.values) else (float("nan"),) * 2
    value = (
        float(uncertainty.estimate(uncertainty.tally(rows.values, rows.patients, rows.classes))[0]) if len(rows.values) else float("nan")
    )
    return Figure(key, what, source, value, low, high, chance, TARGETS.get(key), len(set(rows.patients)), len(rows.values))


def _area(key: str, what: str, source: str, scores: Sequence[float], truths: Sequence[float], patients: Sequence[str]) -> Figure:
    value = score.auc(scores, truths) if scores else float("nan")
    low, high = score.auc_interval(scores, truths, patients)
    return Figure(key, what, source, value, low, high, HALF, TARGETS.get(key), len(set(patients)), len(scores))


def _difference(source: str, moved: Sequence[Reading]) -> Figure:
    """Area of the reading both ways less that of brightness, on the same pairs with the same patients drawn."""
    worse, patients = [float(one.truth == "worse") for one in moved], _patients(moved)
    ours, bright = ([scorer(one) for one in moved] for key, _, scorer in DIRECTIONS if key in ("direction both ways", "brightness"))
    value = score.auc(ours, worse) - score.auc(bright, worse) if moved else float("nan")
    low, high = uncertainty.interval(score.auc_draws(ours, worse, patients) - score.auc_draws(bright, worse, patients))
    what = "area under the curve, read both ways, less that of mean brightness"
    return Figure("over brightness", what, source, value, low, high, 0.0, None, len(set(patients)), len(moved))


def by_finding(found: Sequence[Reading]) -> list[Figure]:
    """Presence and side of each finding that was asked about, all sources together."""
    kinds = {"present": "present: balanced accuracy", "side": "side: balanced accuracy"}
    names = sorted({one.finding for reading in found for one in reading.asked if one.finding})
    rows = [(kind, what, name) for kind, what in kinds.items() for name in names if _asked(found, (kind,), name)]
    return [_mean(f"{kind} {name}", f"{name} {what}", BOTH, HALF, _closed((kind,), name)(found)) for kind, what, name in rows]


def confusion(found: Sequence[Reading]) -> dict[str, dict[str, int]]:
    """Truth -> what the pair, read both ways, was called -> pairs; a tie is called ``none``."""
    table = {truth: dict.fromkeys((*OVERALL, "none"), 0) for truth in OVERALL}
    for one in found:
        table[one.truth][called(one.both) or "none"] += 1
    return table


def line(row: Mapping[str, Any]) -> str:
    """One figure for a terminal."""
    if row["value"] is None or np.isnan(row["value"]):
        return f"{row['source']:9} {row['what']}: no items"
    known = row["low"] is not None and not np.isnan(row["low"])
    spread = f" [{row['low']:.2f}, {row['high']:.2f}]" if known else ""
    target = f", target {row['target']:.2f}" if row["target"] is not None else ""
    counted = f"{row['items']} items of {row['units']} patients"
    return f"{row['source']:9} {row['what']}: {row['value']:.2f}{spread} (chance {row['chance']:.2f}{target}; {counted})"
