"""What stands beside a score: what the images gave, what needs none, and what an answer depends on that it should not.

Image gain is the score with the item's own images less the score of a control, paired over the same resampled units. A gain
whose interval contains 0 shows nothing, and is said to show nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from finetune import classes, protocol
from finetune.evaluate import Evaluation, Told
from finetune.medmim import Item
from finetune.protocol import Measure
from finetune.readings import Readings, answered, likeliest

USED, UNUSED, WORSE = "the images were used", "no evidence that the images were used", "the answers are better without the images"
OWN, ANY, OTHERS = "it matters whose images they are", "another patient's images do as well", "another patient's images do better"
VERDICTS = {"blind": (USED, UNUSED, WORSE), "shuffled": (OWN, ANY, OTHERS)}
"""Control -> what is said of a gain whose interval lies above 0, contains it, lies below."""


def image_gain(items: Sequence[Item], told: Readings) -> list[dict[str, Any]]:
    """Paired differences of the real images against each control, each with its verdict in words."""
    rows = []
    for condition, reading in told:
        if condition not in ("blind", "shuffled") or ("real", reading) not in told:
            continue
        real, control = told["real", reading], told[condition, reading]
        both = [item for item in items if item.key in real and item.key in control]
        for measure in protocol.gain(both, real, control):
            rows.append({"control": condition, "reading": reading, **asdict(measure), **verdict(condition, measure)})
    return rows


def verdict(control: str, gain: Measure) -> dict[str, Any]:
    """Whether a gain's interval lies above 0, and what is to be said of it. Without an interval there is no evidence."""
    above, within, below = VERDICTS[control]
    return {"evidence": gain.low > 0, "verdict": above if gain.low > 0 else below if gain.high < 0 else within}


def skill(items: Sequence[Item], told: Readings) -> list[dict[str, Any]]:
    """Each figure by likelihood above the best that needs no image, the same model's blind answers among it."""
    real = told.get(("real", "likelihood"))
    return [asdict(one) for one in protocol.skills(items, real, told.get(("blind", "likelihood")))] if real else []


def controls(done: Evaluation, closed: Sequence[Item], told: Readings) -> list[dict[str, Any]]:
    """Rates that are no scores: flips under reordered options, invalid words, answers moved by an exchanged order of images."""
    rows: list[tuple[str, Measure]] = []
    for condition in done.conditions:
        answers = done.answers[condition]
        read = [item for item in closed if item.key in answers and answers[item.key].shares]
        if read and condition != "exchanged":
            flips = [flipped(item, answers[item.key]) for item in read]
            rows.append((condition, rate("the answer changes with the order of the options", read, flips)))
        words = told.get((condition, "generation"))
        if words:
            spoken = answered(closed, words)
            rows.append((condition, rate("the words are no option (invalid)", spoken, [words[item.key] is None for item in spoken])))
    rows += [("exchanged", measure) for measure in exchange(done, closed, told)]
    return [{"condition": condition, **asdict(measure)} for condition, measure in rows]


def flipped(item: Item, told: Told) -> bool:
    """Whether the orders of the options do not all lead to the same text."""
    return len({classes.norm(item.options[likeliest(order)][1]) for order in told.shares}) > 1


def exchange(done: Evaluation, closed: Sequence[Item], told: Readings) -> list[Measure]:
    """What the exchanged order of the images does to the answers that it was asked about."""
    real, turned = told.get(("real", "likelihood")), told.get(("exchanged", "likelihood"))
    if not real or not turned:
        return []
    both = [item for item in closed if real.get(item.key) and turned.get(item.key)]
    if not both:
        return []
    moved = [_said(item, real[item.key]) != _said(item, turned[item.key]) for item in both]
    before, after = (done.answers[condition] for condition in ("real", "exchanged"))
    shift = [0.5 * float(np.abs(np.subtract(before[item.key].mean, after[item.key].mean)).sum()) for item in both]
    rows = [
        rate("the answer changes with the order of the images", both, moved),
        rate("probability moved by the order of the images", both, shift, "total variation, 0 (blind to order) to 1"),
    ]
    directed = [item for item in both if classes.strict_change(item) and _direction(item, real[item.key])]
    if directed:
        turns = [_direction(item, turned[item.key]) == OPPOSITE[_direction(item, real[item.key])] for item in directed]
        rows.append(rate("the answer inverts with the order of the images", directed, turns, "improving and worsening, stable and stable"))
    return rows


OPPOSITE = {"improving": "worsening", "worsening": "improving", "stable": "stable"}


def _said(item: Item, letter: str | None) -> str:
    return next((classes.norm(text) for known, text in item.options if known == letter), "")


def _direction(item: Item, letter: str | None) -> str:
    """`improving`, `stable` or `worsening` where the option says so, else ``."""
    return classes.read_change(item, next((text for known, text in item.options if known == letter), ""))


def rate(name: str, items: Sequence[Item], values: Sequence[float], note: str = "") -> Measure:
    """A mean over items with its cluster interval."""
    found = np.asarray(values, dtype=np.float64)
    clusters = [item.cluster for item in items]
    low, high = protocol.bootstrap(found, clusters)
    return Measure(name, float(found.mean()), low, high, math.nan, len(set(clusters)), len(found), note, "rate")
