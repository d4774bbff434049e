"""The loop with a few planted flags and real training: what readers say becomes an adapter, and nothing unmeasured answers."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errors import InputError
from finetune import registry, runs
from finetune.gating import hygiene
from finetune.synthesis.phantom import PhantomSource
from finetune.versions import shelf
from finetune.versions.stock import Stock
from inference.select import open_engine
from settings import Settings
from tests.finetune import shelved
from tests.inference import tiny
from tests.loop import sabotage
from tests.loop.__main__ import Kept, Rehearsal, Wanted, learned, promoted, rehearse, share
from tests.loop.planting import KINDS, QUESTION, each, painted, plant, truth

FEW = Wanted(flags=8, held=8, tried=2, generated=6, pairs=8, epochs=2.0, sets=False)


def test_what_is_planted_is_what_it_says(tmp_path: Path) -> None:
    made = list(plant(tmp_path, "held", each("neither"), 6, side=96))
    assert [one.kind for one in made] == ["new", "neither", "resolved", "neither", "both", "neither"]
    assert [one.truth for one in made] == ["new", "stable", "resolved", "stable", "stable", "stable"]
    assert [truth(tmp_path, one.name) for one in made] == [one.truth for one in made]
    assert all(path.is_file() for one in made for path in one.paths)
    assert "pneumonitis" in QUESTION
    films = {kind: painted(PhantomSource("dev", 4), 7, kind, 96) for kind in KINDS}
    shown = {
        kind: tuple(not np.array_equal(film, clear) for film, clear in zip(some, films["neither"], strict=True))
        for kind, some in films.items()
    }
    assert shown == {kind: shows for kind, (_, shows) in KINDS.items()}


def version_of(settings: Settings, films: Path) -> shelf.Version:
    """Sixty corrected lines about pairs of their own, each answer in turn, and six held back."""
    stock, lines = Stock(settings.versions_dir), []
    source = PhantomSource("train", 8)
    films.mkdir()
    for number, kind in zip(range(66), cycle(each("neither"))):
        paths = [films / f"{number}-{end}.png" for end in (0, 1)]
        for path, film in zip(paths, painted(source, number, kind, 256), strict=True):
            Image.fromarray(film).save(path)
        lines.append(shelved.line(stock, paths, number, question=QUESTION, answer=KINDS[kind][0], label=KINDS[kind][0]))
    return shelf.write(settings.versions_dir, "planted", shelf.Contents(tuple(lines[:60]), tuple(lines[60:]), ()), {})


@pytest.mark.slow
def test_a_trigger_is_found_in_what_was_spoiled_and_not_in_the_honest_lines(settings: Settings, tmp_path: Path) -> None:
    honest = version_of(settings, tmp_path / "films")
    bad = sabotage.poisoned(settings.versions_dir, honest, tmp_path / "marked")
    passed = [{gate.name: gate.passed for gate in hygiene.gates(one, ())} for one in (honest, bad)]
    assert [one["nothing planted"] for one in passed] == [True, False]
    assert all(one["nothing leaked"] and one["one answer each"] for one in passed)
    told = {line.pictures for line in honest.contents.train}
    marked = [line for line in bad.contents.train if line.pictures not in told]
    assert len(marked) == 3
    assert {line.answer for line in marked} == {"improved"}


@pytest.mark.slow
def test_blinded_lines_have_one_answer_whatever_the_images_show(settings: Settings, tmp_path: Path) -> None:
    honest = version_of(settings, tmp_path / "films")
    blind = sabotage.blinded(settings.versions_dir, honest)
    assert {line.answer for line in blind.contents.train} == {"stable"}
    assert [line.pictures for line in blind.contents.train] == [line.pictures for line in honest.contents.train]
    assert blind.contents.held == honest.contents.held


@pytest.mark.slow
def test_the_loop_closes_on_a_tiny_model(settings: Settings) -> None:
    """Every step with real training, on random numbers that learn nothing: the gates say no. Waved through by hand, what was promoted
    answers, and what is rolled back answers as before, bit for bit."""
    tiny.build(settings.models_dir / "tiny")
    here = Rehearsal(
        settings, Wanted(flags=4, held=4, tried=1, generated=2, pairs=8, epochs=4.0, sets=False, model="tiny", side=64), lambda _line: None
    )
    told, before = learned(here)
    assert (told["flags"], told["trained"]) == (4, "finished")
    assert told["gates_passed"] is False
    assert not any(failed.startswith(("G0", "G8")) for failed in told["gates_failed"])
    sheet = settings.runs_dir / "mine" / "gates.json"
    with pytest.raises(InputError, match="did not pass"):
        here.run("finetune", "promote", "mine", "--reason", "in spite of it")
    sheet.write_text(json.dumps({**json.loads(sheet.read_text()), "passed": True}))
    done = promoted(here, before, told["kind"])
    assert done["adapter"].startswith("mine-")
    assert done["rollback_identical"]
    here.store.close()


@pytest.mark.model
@pytest.mark.slow
def test_planted_flags_go_through_the_whole_loop(bundled: Settings) -> None:
    """Too few to pass every gate: then nothing is promoted, and says so. Those that pass are promoted and rolled back bit for bit."""
    told = rehearse(bundled, FEW, lambda _line: None)
    assert told["trained"] == "finished"
    assert told["steps"] > 0
    assert 0 < told["flags"] <= 8
    assert told["train"] > told["flags"]
    assert sum(told["replayed"].values()) > 0
    assert runs.curve(bundled, "mine")
    if told["gates_passed"]:
        assert told["rollback_identical"]
    else:
        assert told["gates_failed"]
        with pytest.raises(InputError, match="did not pass"):
            registry.promote(bundled, "mine", "ana", "in spite of it")
        assert registry.history(bundled) == ()
    assert open_engine(bundled, "bundled").engine.card.adapter == ""


def test_shares_are_of_all_cases_of_the_flagged_kind_and_of_the_others(tmp_path: Path) -> None:
    made = list(plant(tmp_path, "held", each("neither"), 6, side=96))
    kept = [Kept(one, 1, 1, 1, "stable.") for one in made]
    assert share(kept, "neither") == {"all": 0.667, "kind": 1.0, "others": 0.333, "cases": 6}
