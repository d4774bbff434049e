"""What is taken for what: truth against answer, by meaning where a subset's options have one, by letter where they have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from finetune import classes
from finetune.classes import Reader
from finetune.medmim import Item
from finetune.protocol import Predicted
from finetune.readings import Readings


def confusion(closed: Sequence[Item], told: Readings) -> list[dict[str, Any]]:
    """Truth against answer by likelihood, by meaning where the options have one, by place where they have none."""
    condition = next((condition for condition, reading in told if reading == "likelihood"), None)
    if condition is None:
        return []
    predicted = told[condition, "likelihood"]
    tables = []
    for name, chosen, read in MEANINGS:
        items = [item for item in closed if item.key in predicted and chosen(item)]
        if items:
            tables.append({"name": name, "condition": condition, **_table(items, predicted, read)})
    return tables


def _table(items: Sequence[Item], predicted: Predicted, read: Reader) -> dict[str, Any]:
    """Counts of (truth, answer) with the classes in order of how often they are the truth; `none` is an answer without a class."""
    pairs = Counter((_class(item, item.letter, read), _class(item, predicted[item.key], read)) for item in items)
    truths = Counter(truth for truth, _ in pairs.elements())
    rows = sorted(truths) if all(len(name) == 1 for name in truths) else [name for name, _ in truths.most_common()]
    columns = [*rows, *sorted({answer for _, answer in pairs} - {*rows, "none"}), *(["none"] if any(a == "none" for _, a in pairs) else [])]
    return {"rows": rows, "columns": columns, "counts": [[pairs[row, column] for column in columns] for row in rows]}


def _class(item: Item, letter: str | None, read: Reader) -> str:
    text = next((text for known, text in item.options if known == letter), None)
    return "none" if letter is None or text is None else (read(item, text) or "other")


def _letter(item: Item, text: str) -> str:
    return next(letter for letter, known in item.options if known == text)


def _of_source(file: str, start: str = "") -> Callable[[Item], bool]:
    return lambda item: item.file.removeprefix("train_") == file and item.source.startswith(start)


MEANINGS: tuple[tuple[str, Callable[[Item], bool], Reader], ...] = (
    ("tumour follow-up (LUMIERE)", _of_source("temporal", "LUMIERE"), classes.reader(classes.TUMOUR)),
    ("one year ahead (EMBED)", _of_source("temporal", "EMBED"), classes.reader(classes.FORECAST)),
    (
        "progression (MS-CXR-T, strict)",
        lambda item: _of_source("comparison", "MS")(item) and classes.strict_change(item),
        classes.read_change,
    ),
    ("resection (LUMIERE)", _of_source("comparison", "LUMIERE"), classes.reader(classes.RESECTION)),
    ("BI-RADS category (EMBED)", _of_source("reasoning"), classes.birads({})),
    ("which image", _of_source("coreference"), classes.read_place),
    ("option's letter", lambda item: item.file in ("odir", "rad", "composed"), _letter),
)
"""Name of a matrix, the items it is about, and what is read from an option's text."""
