"""Which reviewed answers may say how often an answer is right: those of the same weights and of the same question type.

A type is an ability, for whole answers, or `FINDING`, for single cells of the progression. The share that is calibrated is the
likeliest class's, of the closed question that an answer is or that stands for it (the check `decided`); an answer was right when
two readers, or an adjudicator, agreed with it, and a cell when the class they set is the model's first.

    items = reviewed(store.accepted(), card.weights)
    fitted = platt.fit(items, "temporal")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inference.platt import Reviewed
from inference.reading import Shares, top
from storage import horizons
from storage import reviewed as store

FINDING = "finding"
Checks = Mapping[str, object]


def reviewed(accepted: Iterable[store.Reviewed], weights: tuple[str, str, str]) -> tuple[Reviewed, ...]:
    """What calibrates answers of these `ModelCard.weights`; shares weighed with other offsets are other figures."""
    items: list[Reviewed] = []
    for one in accepted:
        if (one.model_sha256, one.adapter_sha256, one.offsets_sha256) != weights:
            continue
        share = of_answer(one.checks)
        if share is not None and one.verdict:
            items.append(Reviewed(one.ability, share, one.verdict == "agree", one.patient))
        cells = of_findings(one.progression)
        items += [
            Reviewed(FINDING, cells[finding], top(one.progression[finding]) == name, one.patient)
            for finding, name in one.cells.items()
            if finding in cells
        ]
    return tuple(items)


def of_answer(checks: Checks) -> float | None:
    """The share of an answer's likeliest class; None for an open question, for a forecast, and while the checks are not made."""
    decided = checks.get("decided")
    if not isinstance(decided, Mapping) or horizons.asked(str(decided.get("question", ""))) is not None:
        return None
    seen = decided.get("seen")
    return max(seen.values()) if seen else None


def of_findings(progression: Mapping[str, Shares]) -> dict[str, float]:
    """The share of each finding's likeliest class."""
    return {finding: max(shares.values()) for finding, shares in progression.items() if shares}
