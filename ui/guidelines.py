"""The annotators' guidelines and the correction that a case itself suggests."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

from inference.reading import INVERSE
from storage.feedback import WHOLE
from storage.review_views import ItemView
from ui.wire_review import GuidelinesOut, SuggestionOut

PATH = Path(__file__).resolve().parent.parent / "assets" / "guidelines" / "guidelines.yaml"

SENTENCES = {
    "new": "There is a new {finding}.",
    "worse": "The {finding} is worse.",
    "stable": "The {finding} is stable.",
    "improved": "The {finding} has improved.",
    "resolved": "The {finding} has resolved.",
    "uncertain": "It is uncertain whether the {finding} has changed.",
}
OVERALL = {
    "worse": "As a whole the disease is worse.",
    "stable": "As a whole nothing has changed.",
    "improved": "As a whole the disease has improved.",
}


@cache
def guidelines() -> GuidelinesOut:
    """What reviewers go by, from `assets/guidelines`."""
    return GuidelinesOut.model_validate(yaml.safe_load(PATH.read_text(encoding="utf-8")))


def suggestion(view: ItemView) -> SuggestionOut:
    """A correction that follows from what was said of the case: its words, its cells, or its error code; empty when none does."""
    said = view.proposed
    likeliest = {
        finding: max(shares, key=lambda name: shares[name]) for finding, shares in view.turn.versions[0].progression.items() if shares
    }
    if said.corrected_answer:
        return SuggestionOut(answer=said.corrected_answer, cells=dict(said.cells), why="as it was said before you")
    if said.cells:
        return SuggestionOut(answer=written(said.cells), cells=dict(said.cells), why="from the corrected findings")
    if "images-swapped" in said.codes and likeliest:
        cells = {finding: INVERSE[name] for finding, name in likeliest.items() if name in INVERSE}
        return SuggestionOut(answer=written(cells), cells=cells, why="the model's own findings with the images exchanged")
    if {"change-hallucinated", "positioning-or-technique"} & set(said.codes) and likeliest:
        cells = {finding: "stable" for finding, name in likeliest.items() if name not in ("stable", "uncertain")}
        return SuggestionOut(answer=written(cells), cells=cells, why="the findings the model saw change, as stable")
    if view.rival and said.verdict != "agree":
        return SuggestionOut(answer=view.rival, why="the other answer")
    return SuggestionOut()


def written(cells: Mapping[str, str]) -> str:
    """Corrected findings as sentences, the disease as a whole last."""
    told = [SENTENCES[name].format(finding=finding) for finding, name in cells.items() if finding != WHOLE]
    return " ".join([*told, *([OVERALL[cells[WHOLE]]] if WHOLE in cells else [])])
