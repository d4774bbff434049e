"""`models add` and `models remove` as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.inference import tiny


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.build(tmp_path / "Mine 2")


def test_a_folder_is_added_listed_verified_and_removed(run: Run, model: Path) -> None:
    done = run("models", "add", str(model), "--licence", "CC-BY-4.0", "--json")
    assert (done.code, done.json["name"]) == (0, "mine-2")
    listed = {entry["name"]: entry for entry in run("models", "list", "--json").json["models"]}
    assert (listed["mine-2"]["state"], listed["mine-2"]["licence"]) == ("ready", "CC-BY-4.0")
    assert run("models", "verify", "mine-2", "--json").json["ok"]
    gone = run("models", "remove", "mine-2", "--json")
    assert (gone.code, gone.json["name"]) == (0, "mine-2")
    assert run("models", "remove", "mine-2").code == 1
    assert "mine-2" not in {entry["name"] for entry in run("models", "list", "--json").json["models"]}


def test_terms_are_shown_and_nothing_is_fetched_before_they_are_accepted(run: Run) -> None:
    done = run("models", "add", "llava-med-v1.5")
    assert done.code == 2
    assert "research and reproduction alone" in done.err
    assert "then add --accept-licence" in done.err.splitlines()[-1]


def test_a_model_that_is_not_released_is_said_to_be_so(run: Run) -> None:
    done = run("models", "add", "med-mantis")
    assert done.code == 1
    assert done.err.splitlines()[-1].count("have not released its weights yet") == 1


def test_the_list_tells_what_a_model_needs_and_how_it_did(run: Run) -> None:
    listed = {entry["name"]: entry for entry in run("models", "list", "--json").json["models"]}
    medgemma = listed["medgemma-1.5-4b"]
    assert (medgemma["image_order"], medgemma["tokens_per_image"], medgemma["released"]) == ("current-first", 256, True)
    assert medgemma["scores"][0]["value"] == "65.7"
    assert medgemma["scores"][0]["source"]
    assert listed["med-mantis"]["released"] is False
    assert "GPU" in run("models", "list", "--json").json["models"][1]["hardware"]
