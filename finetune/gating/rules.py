"""The gates G1 to G8: what a candidate's readings must be beside the incumbent's, each with an interval over patients.

Bounds are those of non-inferiority: 2 points, or 5 where fewer than 150 patients were asked. Both models answer the same cases, so
differences are paired and patients are drawn as wholes. What could not be asked is not passed; it is named with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from finetune import uncertainty
from finetune.gating.asking import Readings, Said, spoken, valid
from finetune.gating.cases import ABILITY, ANCHOR, FLAG, TARGET, Case
from inference import platt
from inference.engine import ABILITIES
from inference.prompts import OVERALL
from inference.reading import INVERSE

MANY = 150
"""Patients from which on the closer bound holds."""
CLOSE, WIDE = 0.02, 0.05
GAIN = 0.01
"""How far image gain may fall."""
CALIBRATION = 0.02
INVALID = 0.01
RISK = 0.3
"""Share of wrong answers at which coverage is compared."""
PARITY = 0.95
SHOWN = 60
"""Items behind a figure, at most."""
Value = Callable[[Case, Said], float]


@dataclass(frozen=True)
class Item:
    """One case behind a figure: what was answered before and after, by likelihood."""

    key: str
    question: str
    truth: str
    before: str
    after: str
    patient: str
    images: tuple[str, ...]
    item: str = ""


@dataclass(frozen=True)
class Gate:
    """One gate. `passed` None means it was not asked; then `required` says whether a promotion can do without it.

    `before` and `after` are the incumbent's and the candidate's figure, `difference` with `low` and `high` is after less before, and
    `bound` what the difference is held to.
    """

    gate: str
    name: str
    what: str
    passed: bool | None
    reason: str
    before: float = math.nan
    after: float = math.nan
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    bound: float = math.nan
    units: int = 0
    cases: int = 0
    required: bool = True
    items: tuple[Item, ...] = field(default=())


@dataclass(frozen=True)
class Both:
    """The same cases asked of both."""

    cases: tuple[Case, ...]
    before: Readings
    after: Readings

    def group(self, *groups: str) -> list[Case]:
        """Cases of some groups."""
        return [case for case in self.cases if case.group in groups]


def right(case: Case, said: Said) -> float:
    """1 when the likeliest answer is right."""
    return float(said.chosen == case.truth)


def likely(case: Case, said: Said) -> float:
    """Probability of the right answer."""
    return said.real[case.truth]


def gained(case: Case, said: Said) -> float:
    """What the images add to the probability of the right answer."""
    return said.real[case.truth] - said.blind[case.truth]


def coherent(case: Case, said: Said) -> float:
    """How far the answer inverts when the images are exchanged, 0..1: one less the total variation (in shares of `OVERALL`)."""
    turned = [said.back[OVERALL.index(INVERSE[name])] for name in OVERALL]
    return 1 - _apart(said.real, turned)


def still(case: Case, said: Said) -> float:
    """Probability of "stable" for one image shown twice."""
    return said.same[OVERALL.index("stable")]


def missed(case: Case, said: Said) -> float:
    """Probability that a worsening is called something else."""
    return 1 - said.real[OVERALL.index("worse")]


def moved(case: Case, said: Said) -> float:
    """How far the answer goes with the order of the listed options, 0..1: total variation, the least share of answers that must change.

    How many likeliest answers change is mostly how many are near ties: four more of 178 did after a run that had
    moved the probabilities less, not more (`docs/log.md`).
    """
    return _apart(said.real, said.turned)


def _apart(one: Sequence[float], other: Sequence[float]) -> float:
    return 0.5 * float(np.abs(np.subtract(one, other)).sum())


def margin(cases: Sequence[Case]) -> float:
    """The bound of non-inferiority for that many patients."""
    return CLOSE if len({case.patient for case in cases}) >= MANY else WIDE


def compared(both: Both, cases: Sequence[Case], value: Value) -> dict[str, Any]:
    """Both figures and their paired difference with its interval by patient."""
    before = [value(case, both.before[case.key]) for case in cases]
    after = [value(case, both.after[case.key]) for case in cases]
    difference, low, high = uncertainty.paired(after, before, [case.patient for case in cases])
    return {"before": float(np.mean(before)), "after": float(np.mean(after)), "difference": difference, "low": low, "high": high}


def changed(both: Both, cases: Sequence[Case]) -> tuple[Item, ...]:
    """Cases whose likeliest answer changed, those that became wrong first."""
    moved = [case for case in cases if both.before[case.key].chosen != both.after[case.key].chosen]
    moved.sort(key=lambda case: right(case, both.after[case.key]))
    return tuple(shown(both, case) for case in moved[:SHOWN])


def shown(both: Both, case: Case) -> Item:
    """A case for the sheet."""
    said = [case.choices[reading.chosen] for reading in (both.before[case.key], both.after[case.key])]
    hashes = tuple(image.sha256 for image in case.request.images)
    return Item(case.key, case.request.question, case.right, said[0], said[1], case.patient, hashes, case.item)


def _points(value: float) -> str:
    return f"{100 * value:+.1f} points"


def _held(name: str, title: str, what: str, both: Both, cases: Sequence[Case], value: Value, *, lower: bool = True) -> Gate:
    """Non-inferiority of one figure; `lower` says that less is worse."""
    if not cases:
        return Gate(name, title, what, None, "no case of this kind could be asked", required=False)
    found, bound = compared(both, cases, value), margin(cases)
    worst = found["low"] if lower else -found["high"]
    if math.isnan(worst):
        worst = found["difference"] if lower else -found["difference"]
    side = "lower" if lower else "upper"
    units, signed = len({case.patient for case in cases}), -bound if lower else bound
    edge = found["low"] if lower else found["high"]
    reason = f"{_points(found['difference'])}, {side} bound {_points(edge)}, allowed {_points(signed)}"
    return Gate(
        name, title, what, worst > -bound, reason, **found, bound=signed, units=units, cases=len(cases), items=changed(both, cases)
    )  # fmt: skip


def target(both: Both) -> Gate:
    """G1: the held-back corrections are answered better."""
    what = "share of held-back corrections answered rightly, by likelihood"
    cases = both.group(TARGET)
    if len({case.patient for case in cases}) < 2:
        return Gate("G1", "target gain", what, False, "fewer than two patients' corrections were held back; build a version with more")
    found = compared(both, cases, right)
    low = f"lower bound {_points(found['low'])}, must be above 0"
    reason = f"{100 * found['before']:.0f} % before, {100 * found['after']:.0f} % after; {_points(found['difference'])}, {low}"
    units = len({case.patient for case in cases})
    return Gate(
        "G1", "target gain", what, found["low"] > 0, reason, **found, bound=0.0, units=units, cases=len(cases), items=changed(both, cases)
    )  # fmt: skip


def abilities(both: Both) -> list[Gate]:
    """G2: nothing the model could is lost, ability by ability."""
    what = "share of held-out generated questions answered rightly, by likelihood"
    kinds = {ability: [case for case in both.group(ABILITY) if case.ability == ability] for ability in ABILITIES}
    return [_held("G2", f"no loss: {ability}", what, both, cases, right) for ability, cases in kinds.items()]


def gain(both: Both) -> Gate:
    """G3: the images matter as much as before; a model that stops looking is the dangerous one."""
    what = "probability of the right answer with the images less that without"
    cases = [case for case in both.group(TARGET, ABILITY) if both.before[case.key].blind and both.after[case.key].blind]
    if not cases:
        return Gate("G3", "image gain", what, False, "no case could be asked without its images")
    found = compared(both, cases, gained)
    reason = f"{_points(found['before'])} before, {_points(found['after'])} after; {_points(found['difference'])}, allowed {_points(-GAIN)}"
    units = len({case.patient for case in cases})
    return Gate("G3", "image gain", what, found["difference"] >= -GAIN, reason, **found, bound=-GAIN, units=units, cases=len(cases))


def order(both: Both) -> list[Gate]:
    """G4: exchange inverts, one image twice is no change, worsening is not missed more often."""
    turning = [case for case in both.group(ABILITY) if case.turns]
    worse = [case for case in turning if case.right == "worse"]
    return [
        _held("G4", "exchange inverts", "how far the answer inverts when the images are exchanged", both, turning, coherent),
        _held("G4", "identical is no change", "probability of stable for one image shown twice", both, turning, still),
        _held("G4", "missed worsening", "probability that a worsening is called something else", both, worse, missed, lower=False),
    ]


def calibration(both: Both) -> list[Gate]:
    """G5: the error of calibration after a refit, and how much is answered at a fixed risk."""
    cases = both.group(TARGET, ABILITY)
    if not cases:
        return [Gate("G5", "calibration", "expected calibration error after a refit", None, "no case could be asked", required=False)]
    before, after = (_refit(cases, readings) for readings in (both.before, both.after))
    units = len({case.patient for case in cases})
    one = Gate(
        "G5", "calibration", "expected calibration error after a refit on half of the patients", after[0] <= before[0] + CALIBRATION,
        f"{100 * before[0]:.1f} % before, {100 * after[0]:.1f} % after, allowed {100 * (before[0] + CALIBRATION):.1f} %",
        before[0], after[0], after[0] - before[0], bound=CALIBRATION, units=units, cases=len(cases),
    )  # fmt: skip
    room = margin(cases)
    two = Gate(
        "G5", "coverage", f"share of answers kept when {100 * RISK:.0f} % of them may be wrong", after[1] >= before[1] - room,
        f"{100 * before[1]:.0f} % before, {100 * after[1]:.0f} % after, allowed {100 * (before[1] - room):.0f} %",
        before[1], after[1], after[1] - before[1], bound=-room, units=units, cases=len(cases),
    )  # fmt: skip
    return [one, two]


def _refit(cases: Sequence[Case], readings: Readings) -> tuple[float, float]:
    """(calibration error, coverage at `RISK`) of the likeliest answers, refitted where there are enough."""
    given = [(readings[case.key].real[readings[case.key].chosen], bool(right(case, readings[case.key])), case.patient) for case in cases]
    fitted = platt.fit([platt.Reviewed("all", share, hit, patient) for share, hit, patient in given], "all")
    error = fitted.reliability.error if fitted else platt.reliability([one[0] for one in given], [one[1] for one in given]).error
    curve = platt.coverage([one[0] for one in given], [one[1] for one in given])
    return error, max((kept for kept, wrong in curve if wrong <= RISK), default=0.0)


def form(both: Both) -> list[Gate]:
    """G6: answers are among the options, and do not hang on their order."""
    listed = [case for case in both.cases if case.listed]
    turned = [case for case in both.cases if both.before[case.key].turned and both.after[case.key].turned]
    if not listed:
        return [Gate("G6", "invalid answers", "words that are no option", None, "no question listed its options", required=False)]
    found = compared(both, listed, lambda case, said: float(not valid(case, said)))
    bound = max(INVALID, found["before"])
    wrong = [case for case in listed if not valid(case, both.after[case.key])]
    one = Gate(
        "G6", "invalid answers", "share of answers whose words are no option", found["after"] <= bound,
        f"{100 * found['before']:.1f} % before, {100 * found['after']:.1f} % after, allowed {100 * bound:.1f} %", **found, bound=bound,
        units=len({case.patient for case in listed}), cases=len(listed), items=tuple(_worded(both, case) for case in wrong[:SHOWN]),
    )  # fmt: skip
    return [
        one,
        _held("G6", "order of options", "how far answers go with the order of options, likelihoods", both, turned, moved, lower=False),
    ]


def _worded(both: Both, case: Case) -> Item:
    hashes = tuple(image.sha256 for image in case.request.images)
    words = both.before[case.key].words, both.after[case.key].words
    return Item(case.key, case.request.question, case.right, *words, case.patient, hashes, case.item)


def forgetting(both: Both) -> Gate:
    """G7: questions about single images that the tuning was not about."""
    cases = both.group(ANCHOR)
    what = "probability of the right answer to yes/no questions about single images"
    if not cases:
        return Gate("G7", "forgetting", what, None, "no single image could be asked about", required=False)
    found = compared(both, cases, likely)
    reason = f"{_points(found['difference'])}, allowed {_points(-CLOSE)}"
    units = len({case.patient for case in cases})
    return Gate(
        "G7", "forgetting", what, found["difference"] >= -CLOSE, reason, **found, bound=-CLOSE, units=units, cases=len(cases),
        items=changed(both, cases),
    )  # fmt: skip


def parity(cases: Sequence[Case], served: Readings, peft: Mapping[str, tuple[float, ...]]) -> Gate:
    """G8: what serves the adapter says what PEFT says."""
    same = [served[case.key].chosen == max(range(len(peft[case.key])), key=lambda place: peft[case.key][place]) for case in cases]
    share = float(np.mean(same)) if same else math.nan
    apart = [case for case, equal in zip(cases, same, strict=True) if not equal]
    items = tuple(
        Item(
            case.key, case.request.question, case.right,
            case.choices[max(range(len(case.choices)), key=lambda place, case=case: peft[case.key][place])],  # type: ignore[misc]
            case.choices[served[case.key].chosen], case.patient, tuple(image.sha256 for image in case.request.images), case.item,
        )
        for case in apart[:SHOWN]
    )  # fmt: skip
    reason = f"{sum(same)} of {len(same)} answers are the same through llama.cpp and through transformers, needed {100 * PARITY:.0f} %"
    return Gate(
        "G8", "engines agree", "share of likeliest answers that both engines share, adapter on", share >= PARITY, reason,
        before=1.0, after=share, bound=PARITY, cases=len(same), items=items,
    )  # fmt: skip


def replayed(both: Both) -> list[dict[str, object]]:
    """Every flagged case by what the words now say: `fixed`, `still wrong`, `newly broken` or `still right`."""
    rows = []
    for case in both.group(TARGET, FLAG):
        if not case.item:
            continue
        was, now = (spoken(case, readings[case.key]) for readings in (both.before, both.after))
        state = {(False, True): "fixed", (False, False): "still wrong", (True, False): "newly broken", (True, True): "still right"}[
            was, now
        ]
        rows.append(
            {
                "feedback": int(case.item),
                "state": state,
                "held": case.group == TARGET,
                "question": case.request.question,
                "gold": case.right,
                "before": both.before[case.key].words,
                "after": both.after[case.key].words,
                "codes": list(case.codes),
                "patient": case.patient,
                "images": [image.sha256 for image in case.request.images],
            }
        )
    return rows


def regressions(rows: Sequence[Mapping[str, object]], fixed_before: frozenset[int]) -> Gate:
    """G1 once more: a flag that an earlier adapter had fixed stays fixed for ever."""
    broken = [row for row in rows if row["state"] == "newly broken" and row["feedback"] in fixed_before]
    kept = sum(row["feedback"] in fixed_before for row in rows)
    reason = f"{len(broken)} of {kept} flags that were fixed before are broken again, none may be"
    return Gate(
        "G1",
        "fixed flags stay fixed",
        "flags that an earlier adapter fixed",
        not broken,
        reason,
        after=float(len(broken)),
        bound=0.0,
        cases=kept,
    )
