"""Recipes: the shipped one is valid, contradictions and typing errors are one sentence before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from errors import TuneError
from finetune import recipe
from tests.finetune import tiny

FOLDER = Path(__file__).resolve().parents[2] / "finetune" / "recipes"
RECIPES = sorted(path for path in FOLDER.glob("*.yaml") if not path.name.startswith(("sft_", "run_")))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_valid(path: Path) -> None:
    assert recipe.load(path).tower.schedule.steps > 0


def changed(stage: str, **changes: Any) -> dict[str, Any]:
    return {stage: {**tiny.RECIPE[stage], **changes}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"phantom": 0.5}, "paints on real films but names no folder"),
        ({"phantom": 2}, "phantom 2.0 is a share of 1"),
        ({"lora": {"rank": 16, "alpha": 20}}, "must be 0.5, 1, 2 or 4"),
        (changed("connector", train=["connector", "lora"]), "the connector stage trains the connector alone"),
        (changed("joint", train=["tower"]), "it may name connector, lora"),
        (changed("joint", sliced=1.5), "sliced 1.5 is a share of 1"),
        (changed("tower", strength=[0.1]), "must be two numbers"),
        (changed("tower", schedule={"steps": 4, "batch": 1, "rate": 0.1, "warmup": 9}), "warm-up of 9 steps does not fit into 4"),
        (changed("tower", schedule={"steps": 4, "batch": 1, "rate": 3.0}), "learning rate 3.0 is not in"),
        (changed("tower", schedule={"steps": 4, "batch": 1}), "missing 1 required positional argument: 'rate'"),
        ({"vision": {"tile": 80, "patch": 16}}, "5 patches a side cannot be shuffled by 4"),
        ({"layers": [1, 0]}, "name each kept layer once, in order"),
        ({"seed": "seven"}, "tiny.seed: 'seven' is not a int"),
        ({"colour": 1}, "there is no colour"),
    ],
)
def test_a_contradiction_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TuneError) as raised:
        tiny.recipe(**changes)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_recipe_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="the recipe cannot be read"):
        recipe.load(tmp_path / "none.yaml")
