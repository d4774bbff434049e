"""How Med-MIM answers are judged: which letter an answer means, what counts as correct, and with what uncertainty.

No grand mean and no pooled open score: each subset has the measures that its structure allows, in independent units, with a
cluster bootstrap. A model's answers come in as a mapping from item key to letter, None for an answer that is no option.

    predicted = {item.key: accept(text, item.options) for item, text in answers}
    for measure in headline(benchmark.items, predicted): ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.medmim import Item

DRAWS = 2000

Predicted = Mapping[str, str | None]
"""Item key -> letter of the file's own order; None is an answer that is no option. Items that are not in it were not asked."""
Weights = NDArray[np.float64]
Statistic = Callable[[Any, Weights], NDArray[np.float64]]
"""Of values (n, ...) and weights (draws, n), the statistic of each draw, (draws,); nan where a draw has none."""


@dataclass(frozen=True)
class Measure:
    """One figure of the sheet with its 95 % interval.

    `chance` is the figure of guessing at random (or of the best constant, as `note` says), nan where there is none; `units` are
    the independent units (clusters) and `items` the questions behind it; `kind` is `accuracy`, `recall` or `similarity`;
    `headline` marks the figures that a subset is known by.
    """

    name: str
    value: float
    low: float
    high: float
    chance: float
    units: int
    items: int
    note: str = ""
    kind: str = "accuracy"
    headline: bool = False


def accept(text: str, options: Sequence[tuple[str, str]]) -> str | None:
    """The letter that a generated answer means, by the strict rule; None is invalid, and invalid is wrong."""
    raise NotImplementedError


def correct(item: Item, letter: str | None) -> bool:
    """Whether `letter` is right: its text equals the gold letter's text after normalisation."""
    raise NotImplementedError


def strata(item: Item) -> tuple[str, ...]:
    """Names of the strata an item counts in, such as `clean-190` or `length-adversarial`."""
    raise NotImplementedError


def headline(items: Sequence[Item], predicted: Predicted, draws: int = DRAWS, seed: int = 0) -> list[Measure]:
    """The measures of one subset's closed items that were asked, headline figures first. Items are of one file."""
    raise NotImplementedError


def open_scores(items: Sequence[Item], texts: Mapping[str, str], draws: int = DRAWS, seed: int = 0) -> list[Measure]:
    """Measures of open items: exact labels where a label can be read, token F1 and ROUGE-L (similarity, not correctness) elsewhere."""
    raise NotImplementedError


def baselines(items: Sequence[Item]) -> list[Measure]:
    """What needs no model, on the headline's closed items: random, majority, and the fixed text rule of the subset."""
    raise NotImplementedError


def skill(accuracy: float, baseline: float) -> float:
    """(accuracy - b) / (1 - b): 0 is no better than b, 1 is perfect; b = max(majority, blind, fixed text rule)."""
    raise NotImplementedError


def bootstrap(
    values: NDArray[np.float64], clusters: Sequence[str], statistic: Statistic | None = None, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of a statistic (the mean by default) over resampled clusters."""
    raise NotImplementedError


def gain(items: Sequence[Item], real: Predicted, control: Predicted, draws: int = DRAWS, seed: int = 0) -> list[Measure]:
    """Paired differences real - control of the headline measures over the same resampled clusters (image gain, model against model)."""
    raise NotImplementedError


def mean_skill(skills: Mapping[str, float]) -> float | None:
    """Unweighted mean of skill over the six headline strata of P8; None unless all six are given. Never a mean of accuracies."""
    raise NotImplementedError
