"""How Med-MIM answers are judged: which letter an answer means, what counts as correct, and with what uncertainty.

No grand mean and no pooled open score: each subset has the measures that its structure allows, in independent units, with a
cluster bootstrap (`figures`, `uncertainty`).

    predicted = {item.key: accept(text, item.options) for item, text in answers}
    for measure in headline(benchmark.items, predicted):
        print(measure.name, measure.value, measure.low, measure.high, measure.chance)
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from finetune.classes import norm
from finetune.figures import MEAN_SKILL, Figure, figures, gold_text
from finetune.medmim import Item
from finetune.opened import open_scores
from finetune.uncertainty import DRAWS, NAN, Floats, Measure, bootstrap, estimate, paired, spread, tally

__all__ = [
    "DRAWS",
    "Measure",
    "Predicted",
    "Skill",
    "accept",
    "baselines",
    "bootstrap",
    "correct",
    "gain",
    "headline",
    "mean_skill",
    "open_scores",
    "paired",
    "skill",
    "skills",
    "strata",
]

Predicted = Mapping[str, str | None]
"""Item key -> letter of the file's own order; None is an answer that is no option. Items that are not in it were not asked."""

LEADING = re.compile(r"\W*([A-Ha-h])\s*(?:[.:;,)\]*]|$)")
FOLLOWED = re.compile(r"\W*([B-H])\s")
"""A capital letter and a space; not A, which is an article."""


def accept(text: str, options: Sequence[tuple[str, str]]) -> str | None:
    """The letter that a generated answer means, by the strict rule; None is invalid, and invalid is wrong.

    A leading letter (of an option, else invalid); an option's text and nothing else; exactly one option's text inside the answer.
    """
    letters = [letter for letter, _ in options]
    leading = LEADING.match(text) or FOLLOWED.match(text)
    if leading:
        letter = leading[1].upper()
        return letter if letter in letters else None
    equal = [letter for letter, option in options if norm(option) and norm(option) == norm(text)]
    if equal:
        return equal[0]
    words = f" {_words(text)} "
    inside = {norm(option): letter for letter, option in reversed(options) if _words(option) and f" {_words(option)} " in words}
    return next(iter(inside.values())) if len(inside) == 1 else None


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def correct(item: Item, letter: str | None) -> bool:
    """Whether `letter` is right: it is the gold letter, or its text equals the gold option's after normalisation."""
    if letter is None or item.letter is None:
        return False
    texts = dict(item.options)
    return letter == item.letter or (letter in texts and norm(texts[letter]) == norm(texts[item.letter]))


def strata(item: Item) -> tuple[str, ...]:
    """Names of the figures that a closed item counts in, such as `clean-190` or `length-adversarial`; () for an open one."""
    return tuple(figure.name for figure in figures(item.file) if figure.chosen(item)) if item.closed else ()


@dataclass(frozen=True)
class _Rows:
    """Values of a figure with the unit and the group of each, and the questions behind them."""

    values: Floats
    clusters: tuple[str, ...]
    groups: tuple[str, ...]
    items: int


def _right(figure: Figure, item: Item, letter: str | None) -> bool:
    """Whether one answer counts as right in a figure."""
    if letter is None or letter not in dict(item.options):
        return False
    if figure.letter:
        return letter == item.letter
    if figure.by_class and figure.read:
        return figure.read(item, dict(item.options)[letter]) == figure.read(item, gold_text(item))
    return correct(item, letter)


def _chosen(figure: Figure, items: Sequence[Item], asked: Predicted) -> list[Item]:
    return [item for item in items if item.closed and item.key in asked and figure.chosen(item)]


def _rows(figure: Figure, items: Sequence[Item], predicted: Predicted) -> _Rows:
    """One row for each item, or for each cluster where items vote."""
    if figure.vote:
        return _votes(figure, items, predicted)
    values = [float(_right(figure, item, predicted[item.key])) for item in items]
    return _Rows(np.array(values), tuple(item.cluster for item in items), tuple(figure.group(item) for item in items), len(items))


def _votes(figure: Figure, items: Sequence[Item], predicted: Predicted) -> _Rows:
    """Majority of the answers' classes inside each cluster against the majority of the gold classes; a tie is wrong."""
    together: dict[str, list[Item]] = {}
    for item in items:
        together.setdefault(item.cluster, []).append(item)
    values, groups = [], []
    for some in together.values():
        gold = _majority([_class(figure, item, item.letter) for item in some])
        values.append(float(gold != "" and gold == _majority([_class(figure, item, predicted[item.key]) for item in some])))
        groups.append(figure.group(some[0]))
    return _Rows(np.array(values), tuple(together), tuple(groups), len(items))


def _class(figure: Figure, item: Item, letter: str | None) -> str:
    """What an answer means in a figure: its class, or its letter where there are no classes; `` for no option."""
    text = dict(item.options).get(letter or "")
    if text is None:
        return ""
    return figure.read(item, text) if figure.read else letter or ""


def _majority(votes: Sequence[str]) -> str:
    """The commonest vote, `` when two are equally common."""
    ranked = Counter(votes).most_common(2)
    return "" if len(ranked) > 1 and ranked[0][1] == ranked[1][1] else ranked[0][0]


def _random(figure: Figure, items: Sequence[Item]) -> float:
    """Expected figure of choosing options at random; where items vote, what the table says."""
    if figure.chance is not None:
        return figure.chance
    groups = [figure.group(item) for item in items]
    values = [np.mean([_right(figure, item, letter) for letter, _ in item.options]) for item in items]
    return _value(_Rows(np.array(values, dtype=np.float64), tuple(item.cluster for item in items), tuple(groups), len(items)))


def _value(rows: _Rows) -> float:
    return float(estimate(tally(rows.values, rows.clusters, rows.groups))[0])


def _measure(figure: Figure, rows: _Rows, chance: float, draws: int, seed: int) -> Measure:
    data = tally(rows.values, rows.clusters, rows.groups)
    low, high = spread(data, draws, seed)
    value = float(estimate(data)[0])
    return Measure(figure.name, value, low, high, chance, data.clusters, rows.items, figure.note, figure.kind, figure.headline)


def _figures(items: Sequence[Item]) -> tuple[Figure, ...]:
    return figures(items[0].file) if items else ()


def headline(items: Sequence[Item], predicted: Predicted, draws: int = DRAWS, seed: int = 0) -> list[Measure]:
    """The measures of one file's closed items that were asked (the keys of `predicted`), headline figures first."""
    measures = []
    for figure in _figures(items):
        if some := _chosen(figure, items, predicted):
            measures.append(_measure(figure, _rows(figure, some, predicted), _random(figure, some), draws, seed))
    return measures


def gain(items: Sequence[Item], real: Predicted, control: Predicted, draws: int = DRAWS, seed: int = 0) -> list[Measure]:
    """Paired differences real - control of every figure, on the items that both answered (image gain; model against model).

    `chance` is nan. An interval that contains 0 is no evidence of a difference.
    """
    both = {key: letter for key, letter in real.items() if key in control}
    measures = []
    for figure in _figures(items):
        some = _chosen(figure, items, both)
        if not some:
            continue
        first, second = _rows(figure, some, real), _rows(figure, some, control)
        value, low, high = paired(first.values, second.values, first.clusters, first.groups, draws, seed)
        units = len(set(first.clusters))
        measures.append(Measure(figure.name, value, low, high, NAN, units, first.items, figure.note, figure.kind, figure.headline))
    return measures


def baselines(items: Sequence[Item], draws: int = DRAWS, seed: int = 0) -> list[Measure]:
    """What needs no model, for every figure of closed `items` but recalls; `kind` is `random`, `majority` or `text rule`, `note` which one.

    The majority is the best constant class (or letter, where options have no class), known from the answers themselves: what a
    model could learn without looking.
    """
    measures = []
    for figure in _figures(items):
        some = _chosen(figure, items, dict.fromkeys((item.key for item in items), None))
        if not some or figure.kind == "recall":
            continue
        chance = _random(figure, some)
        measures.append(Measure(figure.name, chance, NAN, NAN, chance, len({item.cluster for item in some}), len(some), "", "random"))
        rule = {item.key: figure.rule(item) for item in some}
        for kind, note, predicted in (("majority", *_constant(figure, some)), ("text rule", figure.rule_name, rule)):
            found = _measure(figure, _rows(figure, some, predicted), chance, draws, seed)
            measures.append(Measure(found.name, found.value, found.low, found.high, chance, found.units, found.items, note, kind))
    return measures


def _constant(figure: Figure, items: Sequence[Item]) -> tuple[str, Predicted]:
    """The class, or letter, that scores best when it is always chosen, and that choice for each item."""
    best: tuple[float, str, Predicted] = (-1.0, "", {})
    for wanted in sorted({_class(figure, item, letter) for item in items for letter, _ in item.options} - {""}):
        chosen = {item.key: _option(figure, item, wanted) for item in items}
        value = _value(_rows(figure, items, chosen))
        if value > best[0]:
            best = (value, f"always {wanted}", chosen)
    return best[1], best[2]


def _option(figure: Figure, item: Item, wanted: str) -> str | None:
    """Letter of an option of the `wanted` class, the gold one if it is; None if the item offers none."""
    letters = [item.letter, *(letter for letter, _ in item.options)]
    return next((letter for letter in letters if _class(figure, item, letter) == wanted), None)


@dataclass(frozen=True)
class Skill:
    """Skill of one figure: (value - baseline) / (1 - baseline); `against` names the strongest baseline."""

    name: str
    value: float
    baseline: float
    against: str
    skill: float


def skill(accuracy: float, baseline: float) -> float:
    """(accuracy - b) / (1 - b): 0 is no better than b, 1 is perfect; nan where b is already perfect."""
    return (accuracy - baseline) / (1 - baseline) if baseline < 1 else NAN


def skills(items: Sequence[Item], predicted: Predicted, blind: Predicted | None = None) -> list[Skill]:
    """Skill of every figure but recalls over b = max(majority, the same model blind, fixed text rule), on the items that were asked."""
    some = [item for item in items if item.key in predicted and (blind is None or item.key in blind)]
    asked = {item.key: predicted[item.key] for item in some}
    rivals = [(measure.name, measure.kind, measure.value) for measure in baselines(some, 1) if measure.kind != "random"]
    if blind is not None:
        rivals += [(measure.name, "blind", measure.value) for measure in headline(some, {key: blind[key] for key in asked}, 1)]
    found = []
    for measure in headline(some, asked, 1):
        if measure.kind == "recall":
            continue
        against, strongest = max(((kind, value) for name, kind, value in rivals if name == measure.name), key=lambda rival: rival[1])
        found.append(Skill(measure.name, measure.value, strongest, against, skill(measure.value, strongest)))
    return found


def mean_skill(skills_by_subset: Mapping[str, float]) -> float | None:
    """Unweighted mean of skill over the six figures of `figures.MEAN_SKILL`, by subset; None unless all six are there.

    The one number, where one is needed. Accuracies are never averaged over subsets.
    """
    values = [skills_by_subset.get(subset, NAN) for subset in MEAN_SKILL]
    return None if any(math.isnan(value) for value in values) else float(np.mean(values))
