"""Open questions, scored apart from closed ones: by label where a label can be read, by shared words where none can.

Shared words (token F1, ROUGE-L) say that an answer resembles the reference. They do not say that it is right, and are never
shown as accuracy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from finetune import classes
from finetune.classes import Reader
from finetune.medmim import Item
from finetune.uncertainty import DRAWS, NAN, Measure, spread, tally

SIMILARITY = "similarity to the reference, not correctness"


@dataclass(frozen=True)
class _Label:
    """Open questions whose answers carry a label: which they are, and how it is read from an answer."""

    name: str
    subset: str
    chosen: Callable[[Item], bool]
    read: Reader


LABELS = (
    _Label(
        "single diagnosis", "odir", lambda item: item.stem.startswith("What is the diagnostic result for the"), classes.diagnosis
    ),
    _Label("same or different", "odir", classes.asks_same, classes.same_or_different),
    _Label("which image is named", "coreference", lambda item: True, classes.named_image),
    _Label("BI-RADS in words", "reasoning", lambda item: True, classes.birads({})),
)  # fmt: skip


def label(item: Item) -> str:
    """Name of the label that an open item is scored by, `` when it is scored by shared words."""
    return next((known.name for known in LABELS if item.file.endswith(known.subset) and known.chosen(item)), "")


def tokens(text: str) -> list[str]:
    """Words of a text in lower case."""
    return re.findall(r"[a-z0-9]+", text.lower())


def _f1(shared: int, answer: int, reference: int) -> float:
    return 2 * shared / (answer + reference) if shared else 0.0


def token_f1(answer: str, reference: str) -> float:
    """F1 of the words that two texts share, 0..1, words counted as often as they occur."""
    one, two = Counter(tokens(answer)), Counter(tokens(reference))
    return _f1((one & two).total(), one.total(), two.total())


def rouge_l(answer: str, reference: str) -> float:
    """ROUGE-L F1, 0..1: the longest common subsequence of words (Lin 2004, beta = 1, no stemming)."""
    one, two = tokens(answer), tokens(reference)
    lengths = [0] * (len(two) + 1)
    for word in one:
        diagonal = 0
        for place, other in enumerate(two, 1):
            above = lengths[place]
            lengths[place] = diagonal + 1 if word == other else max(above, lengths[place - 1])
            diagonal = above
    return _f1(lengths[-1], len(one), len(two))


def open_scores(items: Sequence[Item], texts: Mapping[str, str], draws: int = DRAWS, seed: int = 0) -> list[Measure]:
    """Measures of the open items that `texts` (key -> answer) has: exact labels first, then token F1 and ROUGE-L of the rest."""
    asked = [item for item in items if not item.closed and item.key in texts]
    measures = []
    for known in LABELS:
        if some := [item for item in asked if label(item) == known.name and item.file.endswith(known.subset)]:
            measures.append(_labelled(known, some, texts, draws, seed))
    rest = [item for item in asked if not label(item)]
    if rest:
        measures += [_similar(name, score, rest, texts, draws, seed) for name, score in (("token F1", token_f1), ("ROUGE-L", rouge_l))]
    return measures


def _labelled(known: _Label, items: Sequence[Item], texts: Mapping[str, str], draws: int, seed: int) -> Measure:
    """Share of answers with the reference's label; `chance` is the best constant label."""
    gold = [known.read(item, item.answer) for item in items]
    values = [float(want != "" and known.read(item, texts[item.key]) == want) for item, want in zip(items, gold, strict=True)]
    common, count = Counter(gold).most_common(1)[0]
    note = f"label read from the words; chance is always {common}"
    return _measure(known.name, values, items, count / len(items), note, "accuracy", draws, seed)


def _similar(
    name: str, score: Callable[[str, str], float], items: Sequence[Item], texts: Mapping[str, str], draws: int, seed: int
) -> Measure:
    values = [score(texts[item.key], item.answer) for item in items]
    return _measure(name, values, items, NAN, SIMILARITY, "similarity", draws, seed)


def _measure(
    name: str, values: Sequence[float], items: Sequence[Item], chance: float, note: str, kind: str, draws: int, seed: int
) -> Measure:
    data = tally(values, [item.cluster for item in items])
    low, high = spread(data, draws, seed)
    return Measure(name, float(sum(values) / len(values)), low, high, chance, data.clusters, len(items), note, kind)
