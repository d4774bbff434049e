"""`predict`: one JSON line for each pair of a CSV, whatever is wrong with some of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from errors import EngineDied, ModelNotLoaded
from inference.engine import Request, Scores
from inference.prompts import FINDINGS, OVERALL, PROGRESSION
from inference.reading import INVERSE
from settings import Settings
from tests.cli.conftest import Opened, Ran, Run, radiograph
from tests.conftest import ROOT
from tests.readers import coherent, order_blind

HEADER = "note,prior_path,current_path\n"
Predict = Callable[..., Ran]


@pytest.fixture
def predict(run: Run, opened: Opened, tmp_path: Path) -> Predict:
    """Write `rows` as a pair file beside three films and predict them."""
    opened.engine = coherent()
    for name, level in (("a", 60), ("b", 66), ("c", 66)):
        Pillow.fromarray(np.full((16, 12), level, dtype=np.uint8)).save(tmp_path / f"{name}.png")

    def go(*rows: str, text: str | bytes | None = None, more: tuple[str, ...] = ()) -> Ran:
        pairs = tmp_path / "pairs.csv"
        content = text if text is not None else HEADER + "".join(f"n,{row}\n" for row in rows)
        pairs.write_bytes(content if isinstance(content, bytes) else content.encode())
        return run("predict", "--pairs", pairs, "--image-root", tmp_path, *more)

    return go


def lines(done: Ran) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.out.splitlines()]


def test_each_pair_has_one_line_in_order(predict: Predict, opened: Opened) -> None:
    done = predict("a.png,b.png", "b.png,a.png", "b.png,c.png")
    assert done.code == 0, done.err
    found = lines(done)
    assert [(row["prior_path"], row["current_path"]) for row in found] == [("a.png", "b.png"), ("b.png", "a.png"), ("b.png", "c.png")]
    for row in found:
        assert set(row) == {"prior_path", "current_path", "progression", "overall", "warnings"}
        assert set(row["overall"]) == set(OVERALL)
        assert {name: set(shares) for name, shares in row["progression"].items()} == {name: set(PROGRESSION) for name in FINDINGS}
        assert sum(row["overall"].values()) == pytest.approx(1, abs=1e-5)
    assert [max(row["overall"], key=row["overall"].get) for row in found] == ["worse", "improved", "stable"]
    assert "3 pairs, 0 of them not read" in done.err
    assert opened.engine.closed


def test_the_model_and_the_order_reach_the_engine(predict: Predict, opened: Opened) -> None:
    """Both orders of each pair are read, and the exchanged one is announced like the other."""
    predict("a.png,b.png", more=("--model", "mine@torch"))
    assert opened.asked == [("mine@torch", None)]
    assert len(opened.engine.scored) == 2 * (len(FINDINGS) + 1)
    assert {tuple(image.role for image in request.images) for request, _ in opened.engine.scored} == {("prior", "current")}


def test_json_keeps_one_line_a_pair_and_sums_up_in_the_last(predict: Predict) -> None:
    done = predict("a.png,b.png", "missing.png,b.png", "b.png,a.png", more=("--json",))
    assert done.code == 0
    assert done.err == ""
    assert len(done.out.splitlines()) == 3
    assert ["summary" in row for row in lines(done)] == [False, False, True]
    summary = done.json["summary"]
    assert (summary["pairs"], summary["failed"], summary["model"], summary["reading"]) == (3, 1, "fake", "both ways")
    assert summary["seconds"] >= 0


def test_a_model_blind_to_order_gives_no_direction_unless_read_one_way(predict: Predict, opened: Opened) -> None:
    opened.engine = order_blind()
    both = predict("a.png,b.png").out
    one = predict("a.png,b.png", more=("--one-way",)).out
    assert json.loads(both)["overall"]["worse"] == json.loads(both)["overall"]["improved"]
    assert json.loads(one)["overall"]["worse"] > 0.9


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("missing.png,a.png", "missing.png: is not there; check the path"),
        ("a.png,pairs.csv", "pairs.csv: is not a DICOM, NIfTI, PNG, JPEG or TIFF file"),
        ("a.png,broken.png", "broken.png: "),
        ("../outside.png,a.png", "leaves the image root, so it was not opened"),
        (",a.png", "the line names no image"),
        ("a.png,empty.png", "empty.png: is empty"),
    ],
)
def test_a_pair_that_cannot_be_read_keeps_its_line_and_the_rest_goes_on(predict: Predict, tmp_path: Path, row: str, why: str) -> None:
    Pillow.fromarray(np.full((8, 8), 9, dtype=np.uint8)).save(tmp_path.parent / "outside.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    (tmp_path / "empty.png").write_bytes(b"")
    done = predict(row, "a.png,b.png")
    assert done.code == 0, done.err
    bad, good = lines(done)
    assert bad["progression"] == {}
    assert bad["overall"] == {}
    assert any(why in text for text in bad["warnings"]), bad["warnings"]
    assert good["overall"]
    assert good["warnings"] == []


def test_no_pair_that_can_be_read_is_exit_2(predict: Predict) -> None:
    done = predict("missing.png,a.png", "a.png,nowhere.png")
    assert done.code == 2
    assert len(lines(done)) == 2
    assert done.err.splitlines()[-1].startswith("missing.png: is not there")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("prior_path;current_path\na.png;b.png\n", "separated by semicolons"),
        ("one,two\na.png,b.png\n", "there is no column prior_path and no column current_path"),
        (HEADER, "no pair"),
    ],
)
def test_a_file_that_cannot_be_used_is_exit_2_before_a_model_is_opened(predict: Predict, opened: Opened, text: str, why: str) -> None:
    done = predict(text=text)
    assert done.code == 2
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert why in done.err
    assert opened.asked == []


def test_a_byte_order_mark_is_no_matter(predict: Predict) -> None:
    assert predict(text=b"\xef\xbb\xbfprior_path,current_path\r\na.png,b.png\r\n").code == 0


def test_options_left_out_are_one_sentence(run: Run, tmp_path: Path) -> None:
    done = run("predict", "--image-root", tmp_path)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert "--pairs" in done.err


def test_dicom_pairs_are_read_with_what_speaks_against_them(predict: Predict, tmp_path: Path) -> None:
    """The pair file's order stands; that the headers say another patient, or the dates the other way round, is a warning."""
    radiograph(tmp_path / "one.dcm", "20210504", 900)
    radiograph(tmp_path / "two.dcm", "20210518", 900, patient="5678")
    radiograph(tmp_path / "three.dcm", "20210401", 900)
    strangers, turned = lines(predict("one.dcm,two.dcm", "one.dcm,three.dcm"))
    assert any("different patients" in text for text in strangers["warnings"])
    assert any("a newer one before an older one" in text for text in turned["warnings"])
    assert strangers["overall"]


def test_an_engine_that_dies_costs_one_pair(predict: Predict, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, deaths = opened.engine, [True]
    score = engine.score

    def dies(request: Request, choices: object, cancel: object = None, **_: object) -> Scores:
        if deaths:
            deaths.pop()
            raise EngineDied("the engine's process ended (signal 9); it is started again with the next question")
        return score(request, choices)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "score", dies)
    done = predict("a.png,b.png", "b.png,a.png")
    first, second = lines(done)
    assert done.code == 0
    assert "the engine's process ended" in first["warnings"][0]
    assert second["overall"]


def test_a_model_that_does_not_load_ends_the_run(predict: Predict, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_given: object, **_named: object) -> Scores:
        raise ModelNotLoaded("text.gguf is damaged; build it again")

    monkeypatch.setattr(opened.engine, "score", refuses)
    done = predict("a.png,b.png", "b.png,a.png")
    assert done.code == 1
    assert done.out == ""
    assert done.err.strip() == "text.gguf is damaged; build it again"


@pytest.mark.data
@pytest.mark.model
@pytest.mark.slow
def test_the_bundled_model_inverts_when_two_real_films_are_exchanged(bundled: Settings, test_data: Path, tmp_path: Path) -> None:
    """The command as it is typed, on real films: each class's probability becomes that of its opposite."""
    rows = (test_data / "pairs_cxr.csv").read_text().splitlines()[:2]
    prior, current = rows[1].split(",")[-2:]
    (tmp_path / "pairs.csv").write_text(f"prior_path,current_path\n{prior},{current}\n{current},{prior}\n")
    typed = [sys.executable, ROOT / "app.py", "--data-dir", bundled.data_dir, "predict", "--json"]
    typed += ["--pairs", tmp_path / "pairs.csv", "--image-root", test_data]
    done = subprocess.run(typed, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    there, back = (json.loads(line) for line in done.stdout.splitlines())
    assert there["overall"] == pytest.approx({name: back["overall"][INVERSE[name]] for name in OVERALL}, abs=0.002)
    for finding in FINDINGS:
        turned = {name: back["progression"][finding][INVERSE[name]] for name in PROGRESSION}
        assert there["progression"][finding] == pytest.approx(turned, abs=0.002)
    assert back["summary"]["seconds_a_pair"] > 0
