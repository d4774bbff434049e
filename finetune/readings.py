"""What a model's answers mean: for each condition and reading, the letter it gave to each closed question.

By likelihood it is the option with the greatest share, averaged over the orders of the options; by generation what the strict
rule accepts of its words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from finetune import protocol
from finetune.evaluate import Condition, Evaluation, Told
from finetune.medmim import Item
from finetune.protocol import Predicted

Readings = Mapping[tuple[Condition, str], Predicted]
"""(condition, `likelihood` or `generation`) -> item key -> letter of the file's own order, None for no option."""


def readings(done: Evaluation) -> Readings:
    """Every reading that was made of the closed items."""
    closed = [item for item in done.asked if item.closed]
    return {(condition, reading): letters(closed, done.answers[condition], reading) for condition, reading in _made(done)}


def _made(done: Evaluation) -> list[tuple[Condition, str]]:
    """Every reading that was made: by likelihood under each condition, by generation where words were asked for."""
    made: list[tuple[Condition, str]] = []
    for condition in done.conditions:
        closed = [told for item in done.asked if item.closed and (told := done.answers[condition].get(item.key))]
        made += [(condition, "likelihood")] if closed else []
        made += [(condition, "generation")] if any(told.text is not None for told in closed) else []
    return made


def letters(items: Sequence[Item], answers: Mapping[str, Told], reading: str) -> dict[str, str | None]:
    """Item key -> letter of the file's own order; None for an answer that is no option, or that could not be given."""
    out: dict[str, str | None] = {}
    for item in items:
        told = answers.get(item.key)
        if told is None:
            continue
        if reading == "generation":
            out[item.key] = protocol.accept(told.text, item.options) if told.text is not None else None
        else:
            out[item.key] = item.options[likeliest(told.mean)][0] if told.shares else None
    return out


def likeliest(shares: Sequence[float]) -> int:
    """Place of the greatest share, the first of equals."""
    return max(range(len(shares)), key=lambda place: shares[place])


def answered(items: Sequence[Item], predicted: Predicted) -> list[Item]:
    """The items that were asked."""
    return [item for item in items if item.key in predicted]
