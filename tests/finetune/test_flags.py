"""What became of a flag: told from the sheets of every run, the one that answers now first."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from errors import TuneError
from finetune import flags
from inference.promoted import HISTORY, Entry
from settings import Settings
from tests.finetune import ordered


def measured(settings: Settings, run: str, made: str, *rows: dict[str, Any]) -> dict[str, Any]:
    """A run with a sheet that was made at some hour and replayed these flags."""
    sheet = {**ordered.sheet(run), "made": f"2026-11-22T{made}:00+00:00", "replayed": list(rows)}
    ordered.run(settings, run, sheet=sheet)
    return sheet


def decided(settings: Settings, *lines: tuple[str, str], sheet: dict[str, Any] | None = None) -> None:
    """A history of (action, adapter); what is promoted is kept with its sheet."""
    settings.adapters_dir.mkdir(exist_ok=True)
    with (settings.adapters_dir / HISTORY).open("w") as file:
        for number, (action, adapter) in enumerate(lines, start=1):
            entry = Entry(number, "2026-11-22T12:00:00+00:00", "ana", action, "tiny", adapter, adapter.partition("-")[0])
            file.write(json.dumps(asdict(entry)) + "\n")
            if action == "promote":
                (settings.adapters_dir / adapter).mkdir(exist_ok=True)
                (settings.adapters_dir / adapter / "gates.json").write_text(json.dumps(sheet))


def row(number: int, state: str, after: str = "worse", question: str = "What changed?") -> dict[str, Any]:
    return ordered.told(number, state, question, "stable", after, "worse")


def test_nothing_is_known_before_a_run_was_measured(settings: Settings) -> None:
    ordered.run(settings, "mine")
    assert flags.fates(settings) == {}
    assert flags.of({}, [1, 2]) is None


def test_the_newest_sheet_speaks_until_something_is_live_and_then_that(settings: Settings) -> None:
    first = measured(settings, "one", "09:00", row(12, "fixed"), row(13, "still wrong", "stable"))
    measured(settings, "two", "10:00", row(12, "still wrong", "stable"))
    found = flags.fates(settings)
    assert (found[12].run, found[12].state, found[12].live) == ("two", "still wrong", False)
    assert (found[13].run, found[13].after, found[13].right) == ("one", "stable", "worse")
    decided(settings, ("promote", "one-1"), sheet=first)
    found = flags.fates(settings)
    assert (found[12].run, found[12].state, found[12].live, found[12].kept) == ("one", "fixed", True, True)
    assert not found[13].kept
    decided(settings, ("promote", "one-1"), ("rollback", ""), sheet=first)
    found = flags.fates(settings)
    assert (found[12].run, found[12].live, found[12].kept) == ("two", False, True), "once fixed and signed it is asked for ever"


def test_a_run_that_was_stopped_does_not_hide_what_one_that_passed_made_good(settings: Settings) -> None:
    """After a spoiled run had been measured, every annotator read that the flag was broken by what could never answer."""
    measured(settings, "good", "09:00", row(12, "fixed"))
    spoiled = measured(settings, "spoiled", "10:00", row(12, "newly broken"), row(13, "still wrong"))
    (settings.runs_dir / "spoiled" / "gates.json").write_text(json.dumps({**spoiled, "passed": False}))
    found = flags.fates(settings)
    assert (found[12].run, found[12].state) == ("good", "fixed")
    assert (found[13].run, found[13].state) == ("spoiled", "still wrong")


def test_a_statement_asked_in_several_ways_is_as_good_as_its_worst(settings: Settings) -> None:
    measured(settings, "one", "09:00", row(12, "fixed"), row(12, "newly broken", "new", "How has the effusion changed?"))
    fate = flags.fates(settings)[12]
    assert (fate.state, fate.after, fate.question) == ("newly broken", "new", "How has the effusion changed?")
    assert flags.of(flags.fates(settings), [12, 40]) == fate, "the last of a reader's statements that was ever asked"


def test_a_sheet_that_was_made_again_is_read_again(settings: Settings) -> None:
    sheet = measured(settings, "one", "09:00", row(12, "still wrong"))
    assert flags.fates(settings)[12].state == "still wrong"
    path = settings.runs_dir / "one" / "gates.json"
    path.write_text(json.dumps({**sheet, "made": "2026-11-22T11:00:00+00:00", "replayed": [row(12, "fixed")]}, indent=2))
    assert flags.fates(settings)[12].state == "fixed"
    path.write_text("{")
    with pytest.raises(TuneError, match=r"gates\.json"):
        flags.fates(settings)
