"""Short, honest measurements of a model through its engine, for the model card: each figure beside what chance would give.

Closed questions are scored by likelihood: the choice with the highest log-probability is the answer. Pairs come from generator
seeds and patients that training never saw. The full evaluation with intervals and controls is another matter; this one is small
enough to run whenever a model is built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune import score
from finetune.dataset import HELD_OUT, Sources
from finetune.synthesis import pairs
from finetune.synthesis.pairs import Pair
from inference import pixels
from inference.engine import Ability, Engine, Request
from inference.prompts import OVERALL, OVERALL_QUESTION, TEMPLATES

Film = NDArray[np.uint8]
"""(H, W)."""
FIRST = HELD_OUT + 1_000_000
INVERSE = {"worse": "improved", "stable": "stable", "improved": "worse"}
WHICH = ("The first image.", "The second image.")
YES_NO = ("Yes.", "No.")


@dataclass(frozen=True)
class Figure:
    """One measurement: what, its value 0..1, what chance gives, on how many items."""

    what: str
    value: float
    chance: float
    items: int


def request(prior: Film, current: Film, question: str, ability: Ability = "temporal") -> Request:
    """A question about two films (H, W) uint8, prior first."""
    shown = (pixels.image(prior, "prior"), pixels.image(current, "current"))
    return Request(shown, question, ability)


def likely(engine: Engine, asked: Request, choices: Sequence[str]) -> tuple[int, list[float]]:
    """Index of the likeliest choice and the probability of each, choices compared with each other alone."""
    logprobs = np.array(engine.score(asked, choices).logprobs)
    odds = np.exp(logprobs - logprobs.max())
    return int(logprobs.argmax()), [float(value) for value in odds / odds.sum()]


def overall(engine: Engine, prior: Film, current: Film) -> tuple[str, list[float]]:
    """Worse, stable or improved, and the probability of each."""
    best, odds = likely(engine, request(prior, current, OVERALL_QUESTION), OVERALL)
    return OVERALL[best], odds


def held_out(source: Sources, size: int, kind: pairs.Kind, count: int) -> Iterator[Pair]:
    """`count` held-out pairs of one kind, films of real patients and phantoms in the recipe's proportion."""
    found, seed = 0, FIRST
    while found < count:
        pair = source.pair(seed, size, 1.0)
        seed += 1
        if pair.kind == kind:
            found += 1
            yield pair


def change(engine: Engine, tests: Sequence[Pair]) -> list[Figure]:
    """Change of extent, its direction by the odds of worse less those of improved, and the same with the films exchanged."""
    truths, guesses, turned, scores = [], [], [], []
    for pair in tests:
        guess, odds = overall(engine, pair.prior, pair.current)
        back, _ = overall(engine, pair.current, pair.prior)
        truths.append(OVERALL.index(pair.overall))
        guesses.append(OVERALL.index(guess))
        turned.append(back == INVERSE[guess])
        scores.append(odds[0] - odds[2])
    moved = [index for index, truth in enumerate(truths) if truth != 1]
    return [
        Figure("change of extent (worse, stable, improved), balanced accuracy", score.balanced(guesses, truths), 1 / 3, len(tests)),
        Figure("worse against improved, area under the curve", _auc(scores, truths, moved), 0.5, len(moved)),
        Figure("prior and current exchanged: the answer inverts", float(np.mean(turned)), 1 / 3, len(tests)),
    ]


def _auc(scores: Sequence[float], truths: Sequence[int], chosen: Sequence[int]) -> float:
    return score.auc([scores[index] for index in chosen], [float(truths[index] == 0) for index in chosen])


def identical(engine: Engine, tests: Sequence[Pair]) -> Figure:
    """The same film twice must be called stable."""
    answers = [overall(engine, pair.current, pair.current)[0] == "stable" for pair in tests]
    return Figure("identical pair called stable", float(np.mean(answers)), 1 / 3, len(answers))


def which(engine: Engine, tests: Sequence[Pair]) -> Figure:
    """Which image shows more disease, where it changed."""
    guesses, truths = [], []
    for pair in tests:
        if pair.overall in ("worse", "improved"):
            asked = request(pair.prior, pair.current, TEMPLATES["coreference"][0], "coreference")
            guesses.append(likely(engine, asked, WHICH)[0])
            truths.append(int(pair.overall == "worse"))
    return Figure("which image shows more disease, balanced accuracy", score.balanced(guesses, truths), 0.5, len(truths))


def present(engine: Engine, tests: Sequence[Pair], names: Sequence[str]) -> Figure:
    """Whether the current film shows a finding, on films whose truth is complete; yes and no equally weighted by AUC."""
    scores, truths = [], []
    for number, pair in enumerate(pair for pair in tests if pair.clean[1]):
        shown = [finding.name for finding in pair.current_truth.findings]
        absent = [name for name in names if name not in shown]
        for name in (*shown[:1], absent[number % len(absent)]):
            asked = request(pair.prior, pair.current, f"Is there {_article(name)} in the second image?", "coreference")
            scores.append(likely(engine, asked, YES_NO)[1][0])
            truths.append(float(name in shown))
    return Figure("finding present in the second image, area under the curve", score.auc(scores, truths), 0.5, len(truths))


def _article(name: str) -> str:
    return name if name in ("consolidation", "diffuse opacity", "cardiomegaly", "atelectasis") else f"a {name}"


def image_use(engine: Engine, tests: Sequence[Pair]) -> Figure:
    """Share of pairs in which another second image moves the probability of `worse` by more than a hundredth."""
    moved = []
    for pair, other in zip(tests, [*tests[1:], tests[0]], strict=True):
        _, odds = overall(engine, pair.prior, pair.current)
        _, replaced = overall(engine, pair.prior, other.current)
        moved.append(abs(odds[0] - replaced[0]) > 0.01)
    return Figure("another second image moves the answer's probabilities", float(np.mean(moved)), 0.0, len(moved))


def agreement(first: Engine, second: Engine, asked: Sequence[Request], answer: Callable[[Engine, Request], str]) -> Figure:
    """Share of greedy answers that two engines of the same model give alike."""
    same = [answer(first, request) == answer(second, request) for request in asked]
    return Figure("GGUF and torch give the same greedy answer", float(np.mean(same)), 0.0, len(same))


def brightness(tests: Sequence[Pair]) -> Figure:
    """The plainest comparator there is: difference of mean brightness of the middle of the films, against which a model must stand."""
    moved = [pair for pair in tests if pair.overall in ("worse", "improved")]
    scores = [_middle(pair.current) - _middle(pair.prior) for pair in moved]
    truths = [float(pair.overall == "worse") for pair in moved]
    return Figure(
        "worse against improved by difference of mean brightness alone (no model), area under the curve",
        score.auc(scores, truths),
        0.5,
        len(moved),
    )


def _middle(film: Film) -> float:
    """Mean brightness of the middle of a film less that of its lit part."""
    height, width = film.shape
    middle = film[height // 5 : 4 * height // 5, width // 8 : 7 * width // 8]
    return float(middle.mean() - film[film > 0].mean()) if (film > 0).any() else 0.0
