"""From nothing to a card, small: every stage's loss goes down, the run ships, the shipped model is measured, and the card says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from errors import TuneError
from finetune import base, bundled, card, dataset, heldout, loop, measure, offsets, parity, ship, train
from finetune.dataset import Sources
from finetune.recipe import STAGES, Recipe
from settings import load
from tests.finetune import tiny

STEPS = {"tower": 40, "connector": 10, "joint": 40}


@dataclass(frozen=True)
class Made:
    """A finished small run, its parts and its data directory with the built model."""

    recipe: Recipe
    folder: Path

    @property
    def run(self) -> train.Run:
        """The run."""
        return train.Run(self.recipe, self.folder / "run", workers=0)

    @property
    def parts(self) -> Path:
        """Where it ships to."""
        return self.folder / "parts"


def small() -> Recipe:
    """The tiny recipe, long enough to see its losses fall."""
    given = tiny.recipe()
    stages = {}
    for name, steps in STEPS.items():
        stage: Any = getattr(given, name)
        stages[name] = replace(stage, schedule=replace(stage.schedule, steps=steps, save_every=10))
    return replace(given, **stages)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """All stages run and shipped, with the tiny base in the place of the wheel's and two phantom patients."""

    @contextmanager
    def opened(_path: Path) -> Iterator[tiny.TinyBase]:
        yield tiny.TinyBase()

    torch.set_num_threads(1)
    found = Made(small(), tmp_path_factory.mktemp("made"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "wheel", lambda: found.folder)
        patch.setattr(base, "opened", opened)
        patch.setattr(dataset, "sources", lambda *_: Sources(tiny.SOURCE, None, 1.0))
        patch.setattr(heldout, "sources", lambda *_: {"phantom": tiny.SOURCE})
        patch.setattr(bundled, "PARTS", found.parts)
        patch.setattr(loop, "CURVE_EVERY", 5)
        for name in ("WATCHED", "AIMED", "LISTENED"):
            patch.setattr(train, name, 3)
        train.train(found.run)
        ship.ship(found.run, found.parts)
        bundled.build(load(data_dir=found.folder / "data"), parts=found.parts)
        yield found


def test_measuring_uses_seeds_that_no_stage_draws_or_watches() -> None:
    assert heldout.FIRST == dataset.HELD_OUT + 1_000_000
    assert small().seed + train.SPAN * len(STAGES) < dataset.HELD_OUT


@pytest.mark.parametrize("stage", STAGES)
def test_the_loss_of_each_stage_goes_down(made: Made, stage: str) -> None:
    curve = json.loads((made.run.folder / f"{stage}.json").read_text())["curve"]
    losses = [row["loss"] for row in curve if "loss" in row]
    assert len(losses) == STEPS[stage] // 5
    half = len(losses) // 2  # answers differ in length from step to step
    assert np.mean(losses[half:]) < np.mean(losses[:half])


def test_a_finished_stage_is_passed_over(made: Made) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.run.folder.glob("*.pt")}
    train.train(made.run, ["joint"])
    assert {path: path.stat().st_mtime_ns for path in made.run.folder.glob("*.pt")} == before


def test_a_run_that_is_not_finished_is_not_shipped_and_the_old_parts_stay(made: Made, tmp_path: Path) -> None:
    before = sorted((path.name, path.stat().st_mtime_ns) for path in made.parts.iterdir())
    longer = replace(made.recipe, joint=replace(made.recipe.joint, schedule=replace(made.recipe.joint.schedule, steps=STEPS["joint"] + 1)))
    with pytest.raises(TuneError, match="stage joint is not finished"):
        ship.ship(train.Run(longer, made.run.folder), made.parts)
    assert sorted((path.name, path.stat().st_mtime_ns) for path in made.parts.iterdir()) == before
    assert not [path for path in made.folder.iterdir() if path.name.startswith(".shipping")]


def test_too_large_a_model_is_not_shipped(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "MOST_MERGED", 1000)
    with pytest.raises(TuneError, match=r"MB merged are more than .* make the tower or the LoRA rank smaller"):
        ship.ship(made.run, made.folder / "other")
    assert not (made.folder / "other").exists()


def test_the_shipped_run_is_measured_and_its_card_written(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands as `make model` gives them, in one go from the run's folder."""
    reports, data = made.folder / "reports", made.folder / "data"
    common = ["--data-dir", str(data), "--model", "bundled"]
    assert offsets.main([*common, "--pairs", "3", "--out", str(made.parts / bundled.OFFSETS_FILE)]) == 0
    assert measure.main([*common, "--pairs", "3", "--out", str(reports / "figures.json")]) == 0
    assert parity.main([*common, "--pairs", "2", "--out", str(reports / "parity.json")]) == 0
    recipe = made.folder / "tiny.yaml"
    recipe.write_text(json.dumps({**tiny.RECIPE, **{name: _stage(made.recipe, name) for name in STAGES}}))
    assert card.main(["--recipe", str(recipe), "--run", str(made.run.folder), "--reports", str(reports)]) == 0, capsys.readouterr().err
    greedy = json.loads((reports / "parity.json").read_text())["greedy"]
    assert greedy["asked"] == sum(share["asked"] for share in greedy["by_ability"].values()) > 2
    page = (made.parts / "card.md").read_text()
    assert f"{greedy['equal']} of {greedy['asked']} greedy answers equal" in page
    assert bundled.caution(made.parts) in page
    fitted = json.loads((made.parts / bundled.OFFSETS_FILE).read_text())
    assert fitted["revision"] == json.loads((reports / "figures.json").read_text())["revision"]
    assert {row["kind"] for row in fitted["left_out"]} == set(offsets.KINDS)
    folder = bundled.build(load(data_dir=data), parts=made.parts)
    assert json.loads((folder / bundled.MANIFEST).read_text())["summary"] == bundled.caution(made.parts) != bundled.UNMEASURED


def _stage(given: Recipe, name: str) -> dict[str, Any]:
    written: dict[str, Any] = dict(tiny.RECIPE[name])  # type: ignore[call-overload]
    return {**written, "schedule": {**written["schedule"], "steps": getattr(given, name).schedule.steps}}
