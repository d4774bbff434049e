"""Calibrators of this site, fitted on what its reviewers let through and fitted again only when they let something else through."""

from __future__ import annotations

from datetime import datetime
from threading import Lock

from inference.calibrated import FINDING, of_answer, of_findings, reviewed
from inference.platt import LEAST, Platt, Reviewed, fit
from inference.platt import Reliability as Diagram
from storage.store import Store
from storage.views import Ability, AnswerRecord
from ui.wire_trust import BinOut, CalibratedOut, CalibrationOut, ReliabilityOut, ThresholdOut

THRESHOLDS = (50, 60, 70, 80, 90, 95)
"""Chances of being right, of 100, below which a reader may have answers withheld."""
WORDS = {"coreference": "co-reference questions", FINDING: "findings"}
UNNAMED = "No percentage: the model server does not say what its weights are, so reviewed answers vouch for no other one."
Weights = tuple[str, str, str]
"""As `ModelCard.weights`."""


class Calibrators:
    """Fits for each model with its adapter and offsets, and each question type; safe between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._stamp: tuple[int, datetime | None] | None = None
        self._items: dict[Weights, tuple[Reviewed, ...]] = {}
        self._fits: dict[tuple[Weights, str], Platt | None] = {}

    def of(self, store: Store, ability: Ability, record: AnswerRecord, at_least: int = 0) -> CalibrationOut:
        """What may be said of an answer and of its findings, and what is withheld of them below `at_least` of 100."""
        model = (record.model_digest, record.adapter_digest, record.offsets_digest)
        share = of_answer(record.checks)
        with self._lock:
            self._renew(store, model)
            return CalibrationOut(
                answer=self._told(model, ability, {} if share is None else {"": share}, at_least),
                findings=self._told(model, FINDING, of_findings(record.progression), at_least),
            )

    def _renew(self, store: Store, model: Weights) -> None:
        stamp = store.accepted_stamp()
        if stamp != self._stamp:
            self._stamp, self._items, self._fits = stamp, {}, {}
        if model not in self._items:
            self._items[model] = reviewed(store.accepted(), model)

    def _told(self, model: Weights, kind: str, shares: dict[str, float], at_least: int) -> CalibratedOut:
        items = self._items[model]
        if (model, kind) not in self._fits:
            self._fits[model, kind] = fit(items, kind) if model[0] else None
        fitted = self._fits[model, kind]
        count = sum(one.kind == kind for one in items)
        words = WORDS.get(kind, f"{kind} questions")
        probabilities = {name: fitted.probability(share) for name, share in shares.items()} if fitted else {}
        return CalibratedOut(
            words=words,
            reviewed=count,
            least=LEAST,
            why="" if fitted and shares else _why(shares, count, words) if model[0] else UNNAMED,
            probabilities=probabilities,
            before=diagram(fitted.before) if fitted else None,
            after=diagram(fitted.reliability) if fitted else None,
            withheld={name: withheld(chance, at_least, words) for name, chance in probabilities.items() if chance < at_least / 100},
            thresholds=tuple(_threshold(fitted, least) for least in THRESHOLDS) if fitted else (),
        )


def withheld(chance: float, at_least: int, words: str) -> str:
    """Why an answer that is right with this chance (0 to 1) is folded."""
    right = f"answers like this one ({words}) are right in about {int(100 * chance)} of 100 here"
    return f"Withheld: {right}, and you asked for at least {at_least}."


def _threshold(fitted: Platt, least: int) -> ThresholdOut:
    shown, right = fitted.kept(least / 100)
    return ThresholdOut(least=least, shown=shown, right=right)


def _why(shares: dict[str, float], count: int, words: str) -> str:
    if not shares:
        return "No percentage: there is no class here that reviewed answers can vouch for."
    if count < LEAST:
        return f"No percentage yet: it takes {LEAST} reviewed {words} answered by this model, and there are {count}."
    return f"No percentage: over {count} reviewed {words} this model's likelihood does not tell right from wrong."


def diagram(found: Diagram) -> ReliabilityOut:
    """The diagram over the wire."""
    bins = tuple(BinOut(count=one.count, said=one.said, right=one.right) for one in found.bins)
    return ReliabilityOut(bins=bins, error=found.error)
