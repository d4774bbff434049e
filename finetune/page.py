"""The score sheet as one page that needs nothing else: no network, no script; light and dark as the reader's system is.

Every text on it that came from a file is escaped by the template. Figures are drawn as SVG whose marks are placed in percent,
so that a plot is as wide as its page and its labels stay text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"
TITLES = {
    "temporal": "Temporal",
    "comparison": "Comparison",
    "reasoning": "Reasoning",
    "coreference": "Co-reference",
    "odir": "ODIR, held out",
    "rad": "RAD, held out",
}
KINDS = ("real", "generation", "blind", "shuffled", "exchanged")
"""Marks of the dot plot in the order of their rows in the legend; `generation` is of the real images."""
LEGEND = {
    "real": "with the images, by likelihood",
    "generation": "with the images, generated",
    "blind": "without the images",
    "shuffled": "another patient's images",
    "exchanged": "images in the other order",
}
WORDS = {key: LEGEND[key] for key in ("blind", "shuffled", "exchanged")} | {"real": "with the images"}
NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
ROUNDS_TO_ZERO = 0.0005

Rows = list[dict[str, Any]]


def html(content: Mapping[str, Any]) -> str:
    """The page of a sheet's content."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters.update(percent=percent, points=points, span=span, at=at, number=number, signed=signed)
    template = environment.get_template("sheet.html")
    return template.render(
        sheet=content,
        title=title(content["benchmark"]["subset"]),
        tiles=tiles(content),
        dots=dots(content),
        legend={kind: LEGEND[kind] for kind in KINDS if any(mark["kind"] == kind for row in dots(content) for mark in row["marks"])},
        gains=gains(content),
        bins=points_of(content["reliability"]),
        grids=grids(content["confusion"]),
        words=WORDS,
        floors=floors(content),
        rates=pivot(content["controls"]),
        similar=pivot(content["open"]),
    )


def title(subset: str) -> str:
    """The subset's name in words."""
    name = subset.removeprefix("train_")
    return TITLES.get(name, name or "Med-MIM") + (", training half" if subset.startswith("train_") else "")


# Numbers


def percent(value: float | None, digits: int = 1) -> str:
    """0.444 -> ``44.4 %``."""
    return NONE if value is None else f"{100 * value:.{digits}f} %"


def points(value: float | None, digits: int = 1) -> str:
    """0.031 -> ``+3.1``, in percentage points."""
    if value is None:
        return NONE
    return f"{100 * value:+.{digits}f}".replace("-", MINUS) if abs(value) >= ROUNDS_TO_ZERO else "0"


def signed(value: float | None) -> str:
    """0.25 -> ``+0.25``."""
    return NONE if value is None else f"{value:+.2f}".replace("-", MINUS)


def span(measure: Mapping[str, Any], signed: bool = False) -> str:
    """The interval: ``38.2 to 50.9``."""
    low, high = measure["low"], measure["high"]
    if low is None or high is None:
        return NONE
    return f"{points(low)} to {points(high)}" if signed else f"{100 * low:.1f} to {100 * high:.1f}"


def at(value: float, low: float = 0.0, high: float = 1.0) -> str:
    """Where a value stands between `low` and `high`, as an SVG percentage."""
    return f"{100 * (min(max(value, low), high) - low) / (high - low):.2f}%"


def number(value: float | None, digits: int = 2) -> str:
    """A plain figure."""
    return NONE if value is None else f"{value:,.{digits}f}"


# Figures


def tiles(content: Mapping[str, Any]) -> Rows:
    """The few figures on top: each headline figure by likelihood with what it is without images."""
    first = content["conditions"][0]
    rows = []
    for score in content["scores"]:
        if score["condition"] == first and score["reading"] == "likelihood" and score["headline"]:
            gain = _same(content["image_gain"], score["name"], control="blind", reading="likelihood")
            rows.append({**score, "gain": gain, "condition": first})
    return rows


def _same(rows: Sequence[Mapping[str, Any]], name: str, **where: str) -> Mapping[str, Any] | None:
    return next((row for row in rows if row["name"] == name and all(row[key] == value for key, value in where.items())), None)


def dots(content: Mapping[str, Any]) -> Rows:
    """One row a measure, one mark a condition; the first mark carries the interval that is drawn broad."""
    names = list(dict.fromkeys(score["name"] for score in content["scores"]))
    rows = []
    for name in names:
        marks = []
        for kind in KINDS:
            reading, condition = ("generation", "real") if kind == "generation" else ("likelihood", kind)
            found = _same(content["scores"], name, condition=condition, reading=reading)
            if found is not None and found["value"] is not None:
                marks.append({**found, "kind": kind})
        if marks:
            rows.append({**marks[0], "marks": marks})
    return rows


def gains(content: Mapping[str, Any]) -> dict[str, Any]:
    """Image gain by likelihood against each control, on one axis that holds every interval."""
    rows = [row for row in content["image_gain"] if row["reading"] == "likelihood" and row["value"] is not None]
    ends = [abs(row[end]) for row in rows for end in ("low", "high", "value") if row[end] is not None]
    reach = next((step for step in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if step >= max(ends, default=0.1)), 1.0)
    return {"rows": rows, "reach": reach, "ticks": [-reach, -reach / 2, 0.0, reach / 2, reach]}


def points_of(reliability: Mapping[str, Any] | None) -> Rows:
    """The reliability diagram's points in a square of 100 by 100, the y axis turned downwards."""
    rows = []
    for one in (reliability or {}).get("bins", ()):
        low, high = (100 - 100 * one[end] if one[end] is not None else None for end in ("low", "high"))
        rows.append({**one, "x": 100 * one["confidence"], "y": 100 - 100 * one["accuracy"], "from": low, "to": high})
    return rows


def grids(tables: Sequence[Mapping[str, Any]]) -> Rows:
    """Each confusion matrix with its rows: name, items, and for each column the count and its share of the row."""
    out = []
    for table in tables:
        rows = []
        for name, counts in zip(table["rows"], table["counts"], strict=True):
            total = sum(counts)
            rows.append({"name": name, "total": total, "cells": [(count, count / total if total else 0.0) for count in counts]})
        out.append({**table, "lines": rows})
    return out


def floors(content: Mapping[str, Any]) -> Rows:
    """For each figure what needs no image: random, majority, text rule, the model blind; then its score and skill, where there is one."""
    rows = []
    for name in dict.fromkeys(row["name"] for row in content["baselines"]):
        kinds = {row["kind"]: row for row in content["baselines"] if row["name"] == name}
        blind = _same(content["scores"], name, condition="blind", reading="likelihood")
        real = _same(content["scores"], name, condition="real", reading="likelihood")
        rows.append({"name": name, "kinds": kinds, "blind": blind, "real": real, "skill": _same(content["skill"], name)})
    return rows


def pivot(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows of one name in one line, a column for each condition."""
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    lines = []
    for name in dict.fromkeys(row["name"] for row in rows):
        cells = {row["condition"]: row for row in rows if row["name"] == name}
        lines.append({**next(iter(cells.values())), "cells": [cells.get(condition) for condition in conditions]})
    return {"conditions": conditions, "lines": lines}
