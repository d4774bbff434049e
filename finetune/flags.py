"""What became of each flag: every candidate is asked all of them again (`finetune.gates`), and whoever flagged is told.

fates(settings)[12].state        # `fixed`, `still wrong`, `newly broken` or `still right`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from finetune import files, runs
from inference import promoted
from settings import Settings

GRAVEST = ("newly broken", "still wrong", "fixed", "still right")
"""Where one statement was asked in several ways, the gravest is what became of it."""
MENDED = ("fixed", "still right")


@dataclass(frozen=True)
class Fate:
    """What became of the statement `feedback` in the run `run`, measured at `made` (UTC, ISO 8601).

    `question` was asked again, `right` is what should have come, `before` and `after` what the incumbent and the run say. `live` says
    that this run answers now; `kept` that an adapter which was promoted had it right, so that every later candidate must too.
    """

    feedback: int
    state: str
    run: str
    base: str
    made: str
    question: str
    right: str
    before: str
    after: str
    live: bool = False
    kept: bool = False


def fates(settings: Settings) -> dict[int, Fate]:
    """By statement: its fate in the run that answers now, else in the newest that passed its gates, else in the newest.

    What a stopped run makes of a flag hides nothing that a run did which may go live. Raises `TuneError` for a damaged sheet.
    """
    history = promoted.history(settings.adapters_dir)
    answering = {entry.run for base in {entry.base for entry in history} if (entry := promoted.live(settings.adapters_dir, base))}
    signed = {entry.run: settings.adapters_dir / entry.adapter / runs.GATES for entry in history if entry.action == "promote"}
    kept = {number for path in signed.values() for number, rows in _replayed(path)[1].items() if _gravest(rows)["state"] in MENDED}
    found: dict[int, Fate] = {}
    ranks: dict[int, tuple[bool, bool, str]] = {}
    for path in _sheets(settings, signed):
        sheet, replayed = _replayed(path)
        for number, rows in replayed.items():
            live = sheet["run"] in answering
            rank = live, sheet["passed"], sheet["made"]
            if number not in ranks or rank >= ranks[number]:
                ranks[number] = rank
                row = _gravest(rows)
                found[number] = Fate(
                    number, row["state"], sheet["run"], sheet["base"], sheet["made"], row["question"], row["gold"], row["before"],
                    row["after"], live, number in kept,
                )  # fmt: skip
    return found


def of(found: Mapping[int, Fate], statements: Sequence[int]) -> Fate | None:
    """The fate of the newest of a reader's statements on one answer that was ever asked again."""
    return next((found[number] for number in reversed(statements) if number in found), None)


def _sheets(settings: Settings, signed: Mapping[str, Path]) -> Iterator[Path]:
    """The newest sheet of every run, and the signed one of a run whose folder is gone."""
    there = {path.parent.name: path for path in settings.runs_dir.glob(f"*/{runs.GATES}")}
    yield from {**signed, **there}.values()


def _replayed(path: Path) -> tuple[Mapping[str, Any], Mapping[int, Sequence[Mapping[str, Any]]]]:
    return _read(path, path.stat().st_mtime_ns) if path.is_file() else ({}, {})


@lru_cache(maxsize=64)
def _read(path: Path, _changed: int) -> tuple[Mapping[str, Any], Mapping[int, Sequence[Mapping[str, Any]]]]:
    """A sheet's head, and its replayed flags by statement; read once as long as the file is the same."""
    sheet = files.read_json(path, runs.REMEDY)
    by: dict[int, list[Mapping[str, Any]]] = {}
    for row in sheet["replayed"]:
        by.setdefault(int(row["feedback"]), []).append(row)
    return {name: sheet[name] for name in ("run", "base", "made", "passed")}, by


def _gravest(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return min(rows, key=lambda row: GRAVEST.index(row["state"]))
