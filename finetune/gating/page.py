"""The score sheet of a candidate as one page that needs nothing else: no network, no script; light and dark as the reader's system is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from finetune.page import NONE, TEMPLATES, percent, points

WORDS = {True: "passed", False: "failed", None: "not asked"}
STATES = ("fixed", "still wrong", "newly broken", "still right")


def html(sheet: Mapping[str, Any]) -> str:
    """The page of a sheet; what came from files and people is escaped."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters.update(percent=percent, points=points)
    counts = Counter(row["state"] for row in sheet["replayed"])
    rows = [{**gate, "word": WORDS[gate["passed"]]} for gate in sheet["gates"]]
    return environment.get_template("gates.html").render(
        sheet=sheet, rows=rows, counts={state: counts[state] for state in STATES}, none=NONE
    )
