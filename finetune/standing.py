"""What figures mean in words: how a model stands to chance, to its targets and to mean brightness, said by rules from the figures alone.

The model card and the caution under every question are made of these sentences, so a model that was trained anew gets true ones.
A row is one entry of `figures.json`: `key`, `source`, `value`, `low`, `high`, `chance`, `target`, `items`, `units`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

Row = Mapping[str, Any]
Grade = Literal["unknown", "chance", "weak", "short", "reached"]

ORDER = ("together", "painted", "phantom")
"""Sources by how much they say; the first that was measured speaks."""


def whole(rows: Sequence[Row], key: str) -> Row | None:
    """The figure `key` of all sources together, else of the one that was measured; None when it has no value."""
    found = {row["source"]: row for row in rows if row["key"] == key and row["value"] is not None}
    return next((found[source] for source in ORDER if source in found), None)


def bounds(row: Row) -> tuple[float, float]:
    """95 % interval; where none is given, that of independent items."""
    if row["low"] is not None and row["high"] is not None:
        return row["low"], row["high"]
    half = 1.96 * math.sqrt(max(row["value"] * (1 - row["value"]), 0.01) / max(1, row["items"]))
    return max(0.0, row["value"] - half), min(1.0, row["value"] + half)


def grade(row: Row | None) -> Grade:
    """How a figure stands: `chance` when its interval holds chance or lies below, `weak` nearer to chance than to all right."""
    if row is None:
        return "unknown"
    if bounds(row)[0] <= row["chance"]:
        return "chance"
    if row["target"] is not None and row["value"] >= row["target"]:
        return "reached"
    return "short" if row["value"] >= (1 + row["chance"]) / 2 else "weak"


def figure(row: Row) -> str:
    """``0.71 [0.66, 0.76]``."""
    if row["low"] is None:
        return f"{row['value']:.2f}"
    return f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def caution(rows: Sequence[Row]) -> str:
    """One sentence for the page: how often the model is right about change, and that real change is another matter."""
    row = whole(rows, "change both ways") or whole(rows, "change one way")
    if row is None:
        return "Not measured yet: nobody knows how often it is right."
    known = f"({row['value']:.2f}; chance {row['chance']:.2f})"
    order = whole(rows, "direction both ways")
    if order is not None and grade(row) == "chance" and grade(order) in ("short", "reached"):
        curve = f"area under the curve {order['value']:.2f}; chance {order['chance']:.2f}"
        return (
            f"On held-out generated pairs it puts worse above improved ({curve}) but names worse, stable and improved no better than "
            f"chance {known}; on real disease trust it less."
        )
    how = {
        "chance": f"no better than chance {known}",
        "weak": f"better than chance and often wrongly {known}",
        "short": f"mostly rightly {known}",
        "reached": f"mostly rightly {known}",
    }
    return f"On held-out generated pairs it tells worse, stable and improved {how[grade(row)]}; on real disease trust it less."


WORDS: Mapping[Grade, str] = {
    "chance": "no better than a guess",
    "weak": "better than a guess and still often wrongly",
    "short": "mostly rightly, short of the design's target",
    "reached": "as well as the design asks",
}
ABILITIES: Sequence[tuple[str, str]] = (
    ("change both ways", "whether disease is worse, stable or improved"),
    ("which image", "which of two images shows a finding or more disease"),
    ("present", "whether a finding is there"),
    ("side", "on which side it is"),
)


def knows(rows: Sequence[Row]) -> list[str]:
    """Sentences on what the model can and cannot read, from held-out generated pairs."""
    return [*_abilities(rows), *_against_brightness(rows), *_images(rows), *_same(rows), *_sources(rows)]


def _abilities(rows: Sequence[Row]) -> Iterator[str]:
    for key, words in ABILITIES:
        row = whole(rows, key)
        if row is not None:
            target = f", target {row['target']:.2f}" if row["target"] is not None else ""
            yield f"It tells {words} {_how(row)} ({figure(row)}; chance {row['chance']:.2f}{target})."


def _how(row: Row) -> str:
    kind = grade(row)
    if kind == "short" and row["target"] is None:
        return "mostly rightly"
    return WORDS[kind]


def _against_brightness(rows: Sequence[Row]) -> Iterator[str]:
    ours, bright, over = (whole(rows, key) for key in ("direction both ways", "brightness", "over brightness"))
    if ours is None or bright is None:
        return
    low, high = bounds(over) if over is not None and over["low"] is not None else (ours["value"] - bright["value"],) * 2
    verdict = "better than" if low > 0 else "worse than" if high < 0 else "not shown to be better than"
    yield (
        f"Its sense of whether a changed pair is worse or improved is {verdict} plain mean brightness of the films "
        f"(area under the curve {figure(ours)} against {figure(bright)})."
    )


def _images(rows: Sequence[Row]) -> Iterator[str]:
    used = whole(rows, "image use")
    if used is not None and used["value"] < 0.99:
        yield f"In {100 * (1 - used['value']):.0f} % of pairs another patient's film in place of the current one hardly moves its answer."
    gone = whole(rows, "missing prior")
    if gone is not None:
        yield f"Asked about change without a prior it says that this cannot be told in {100 * gone['value']:.0f} % of cases."


def _same(rows: Sequence[Row]) -> Iterator[str]:
    same, turned = whole(rows, "identical"), whole(rows, "exchange")
    if same is not None and same["value"] < 1:
        yield f"Shown the same film twice it invents a change in {100 * (1 - same['value']):.0f} % of cases."
    if turned is not None and turned["value"] < 1:
        yield (
            f"With prior and current exchanged its one-way answer fails to invert in {100 * (1 - turned['value']):.0f} % of pairs; "
            "read both ways, as `predict` reads, it inverts by construction."
        )


def _sources(rows: Sequence[Row]) -> Iterator[str]:
    parts = {row["source"]: row for row in rows if row["key"] == "change both ways" and row["value"] is not None}
    phantom, painted = parts.get("phantom"), parts.get("painted")
    if phantom is None or painted is None:
        return
    if bounds(phantom)[0] > bounds(painted)[1]:
        yield (
            f"It reads change on the phantom ({figure(phantom)}) better than on real films with painted lesions ({figure(painted)}); "
            "expect less again of real disease."
        )


def missed(rows: Sequence[Row], parity: Mapping[str, Any] | None = None) -> list[str]:
    """The design's targets that the model does not reach, each with its figure."""
    out = []
    for key in dict.fromkeys(row["key"] for row in rows if row["target"] is not None):
        row = whole(rows, key)
        if row is not None and row["value"] < row["target"]:
            near = ", inside the interval" if bounds(row)[1] >= row["target"] else ""
            out.append(f"{row['what']} ({figure(row)}; target {row['target']:.2f}{near})")
    if parity and parity["greedy"]["share"] < 0.97:
        greedy = parity["greedy"]
        out.append(f"GGUF and torch give the same greedy answer ({greedy['equal']} of {greedy['asked']}; target 97 of 100)")
    return out
