"""`evaluate` as it is typed: the sheet as one object, the controls chosen by flags, and how it ends when it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from settings import Settings
from tests.cli.conftest import Opened, Run
from tests.fakes import FakeEngine
from tests.finetune import benchmarks
from ui.cli import main


@pytest.fixture
def bench(tmp_path: Path, opened: Opened) -> tuple[Path, Path]:
    """A benchmark file with its images, and an engine that sees them."""
    opened.engine = benchmarks.oracle()
    return benchmarks.bright(tmp_path)


def test_the_last_line_is_the_whole_sheet(run: Run, bench: tuple[Path, Path], tmp_path: Path, opened: Opened) -> None:
    ran = run("evaluate", "--benchmark", bench[0], "--image-root", bench[1], "--json")
    assert ran.code == 0, ran.err
    assert ran.json["kind"] == "interval-score-sheet"
    assert ran.json["conditions"] == ["real", "blind", "shuffled", "exchanged"]
    assert {row["name"] for row in ran.json["scores"]} >= {"all items"}
    assert ran.json["image_gain"]
    assert ran.json["benchmark"]["asked"] == 13
    written = json.loads(Path(ran.json["files"]["json"]).read_text())
    assert written == {key: value for key, value in ran.json.items() if key != "files"}
    assert Path(ran.json["files"]["html"]).is_relative_to(tmp_path / "data" / "evaluations")
    assert ran.err == ""
    assert opened.engine.closed


def test_a_person_reads_figures_and_where_the_page_is(run: Run, bench: tuple[Path, Path]) -> None:
    ran = run("evaluate", "--benchmark", bench[0], "--image-root", bench[1])
    assert ran.code == 0
    assert "100.0 %" in ran.out
    assert "the images were used" in ran.out
    assert "sheet.html" in ran.err


def test_blind_runs_without_images_and_beside_the_whole_sheet(run: Run, bench: tuple[Path, Path], tmp_path: Path) -> None:
    ran = run("evaluate", "--benchmark", bench[0], "--blind", "--out", tmp_path / "out", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["conditions"] == ["blind"]
    assert ran.json["benchmark"]["asked"] == 13
    assert Path(ran.json["files"]["json"]) == tmp_path / "out" / "sheet-blind.json"


def test_shuffled_alone_and_a_limit(run: Run, bench: tuple[Path, Path], tmp_path: Path) -> None:
    ran = run("evaluate", "--benchmark", bench[0], "--image-root", bench[1], "--shuffled", "--limit", 6, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["conditions"] == ["shuffled"]
    assert ran.json["benchmark"]["asked"] == 6
    assert Path(ran.json["files"]["json"]).name == "sheet-shuffled-6.json"


def test_copies_of_the_model_share_the_threads(run: Run, bench: tuple[Path, Path], opened: Opened) -> None:
    ran = run("evaluate", "--benchmark", bench[0], "--image-root", bench[1], "--workers", 2, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["benchmark"]["asked"] == 13
    assert len(opened.asked) == 3  # one to know the model, then two that share the threads
    assert opened.engine.closed


def test_two_image_roots(run: Run, bench: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in sorted(bench[1].glob("*-b.png")):
        path.rename(other / path.name)
    ran = run("evaluate", "--benchmark", bench[0], "--image-root", bench[1], "--image-root", other, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["left_out"]["items"] == 0


def test_missing_images_are_listed_and_the_rest_is_scored(run: Run, bench: tuple[Path, Path]) -> None:
    (bench[1] / "3-b.png").unlink()
    ran = run("evaluate", "--benchmark", bench[0], "--image-root", bench[1], "--json")
    assert ran.code == 0, ran.err
    assert ran.json["left_out"]["items"] == 1
    assert ran.json["left_out"]["missing"] == ["3-b.png"]
    assert ran.json["benchmark"]["asked"] == 12


def test_the_second_run_asks_nothing_and_says_the_same(run: Run, bench: tuple[Path, Path], opened: Opened) -> None:
    first = run("evaluate", "--benchmark", bench[0], "--image-root", bench[1], "--json")
    opened.engine = benchmarks.oracle()
    second = run("evaluate", "--benchmark", bench[0], "--image-root", bench[1], "--json")
    assert opened.engine.scored == []
    assert second.json == first.json


def test_the_model_and_the_engine_are_those_named(run: Run, bench: tuple[Path, Path], opened: Opened) -> None:
    run("evaluate", "--benchmark", bench[0], "--blind", "--model", "other", "--engine", "torch", "--json")
    assert opened.asked == [("other", "torch")]


# What cannot be scored


def refused(run: Run, *arguments: object) -> str:
    """The one sentence with which bad input is refused."""
    ran = run("evaluate", *arguments, "--json")
    assert ran.code == 2
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1
    return ran.err


@pytest.mark.parametrize("content", ["{not json", "[]", "{}", '[{"id": "a"}]', "[1]", "\0", '[{"id": "a", "source": "b", "images": "x"}]'])
def test_a_broken_file_is_refused_in_one_sentence(run: Run, tmp_path: Path, opened: Opened, content: str) -> None:
    file = tmp_path / benchmarks.NAME
    file.write_text(content)
    assert benchmarks.NAME in refused(run, "--benchmark", file, "--blind")
    assert opened.asked == []


def test_wrong_places_for_images_are_refused(run: Run, tmp_path: Path, opened: Opened) -> None:
    raw = benchmarks.item(7, ["a.png", "b.png"], "<image>Which?\nA: one\nB: two\n", "A: one")
    assert "item-7" in refused(run, "--benchmark", benchmarks.written(tmp_path / benchmarks.NAME, [raw]), "--blind")


def test_no_file_no_folder_and_no_images_are_refused(run: Run, bench: tuple[Path, Path], tmp_path: Path, opened: Opened) -> None:
    assert "--benchmark" in refused(run)
    assert "nowhere.json" in refused(run, "--benchmark", tmp_path / "nowhere.json", "--blind")
    assert "missing-folder" in refused(run, "--benchmark", bench[0], "--image-root", tmp_path / "missing-folder")
    assert "--blind" in refused(run, "--benchmark", bench[0])
    assert opened.asked == []


def test_a_folder_that_cannot_be_written_is_one_sentence(run: Run, bench: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    ran = run("evaluate", "--benchmark", bench[0], "--blind", "--out", tmp_path / "file", "--json")
    assert ran.code == 1
    assert ran.out == ""
    assert "--out" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_full_disk_keeps_what_was_answered(
    run: Run, bench: tuple[Path, Path], tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills in the middle of a line: the line is taken back, and the next run goes on behind the last whole one."""
    import os

    real = os.write
    room = [2500]

    def write(file: int, data: bytes) -> int:
        if not data.startswith(b'{"address"') and room[0] > 0:
            return real(file, data)
        taken = data[: max(0, room[0])]
        room[0] -= len(taken)
        if not taken:
            raise OSError(28, "No space left on device")
        return real(file, taken)

    with monkeypatch.context() as patched:
        patched.setattr("finetune.journal.os.write", write)
        ran = run("evaluate", "--benchmark", bench[0], "--blind", "--out", tmp_path / "out", "--json")
    assert ran.code == 1
    assert "No space left on device" in ran.err
    assert len(ran.err.splitlines()) == 1
    (journal,) = (tmp_path / "out").glob("*.jsonl")
    kept = [json.loads(line) for line in journal.read_text().splitlines()]
    assert 0 < len(kept) < 13
    opened.engine = benchmarks.oracle()
    assert run("evaluate", "--benchmark", bench[0], "--blind", "--out", tmp_path / "out", "--json").code == 0
    assert len(opened.engine.requests) == 13 - len(kept)


def test_ctrl_c_leaves_what_was_answered(run: Run, bench: tuple[Path, Path], opened: Opened, tmp_path: Path) -> None:
    def interrupt(request: object) -> str:
        if len(opened.engine.requests) > 5:
            raise KeyboardInterrupt
        return "A"

    opened.engine = FakeEngine(interrupt, scores={"A": -0.1})
    ran = run("evaluate", "--benchmark", bench[0], "--blind", "--out", tmp_path / "out", "--json")
    assert ran.code == 130
    assert opened.engine.closed
    (journal,) = (tmp_path / "out").glob("*.jsonl")
    assert len(journal.read_text().splitlines()) == 5


@pytest.mark.model
def test_the_bundled_model_is_scored(bundled: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Six questions on real pixels through the real engine: every control, shares that are shares, and a sheet."""
    root = tmp_path / "images"
    root.mkdir()
    random = np.random.default_rng(1)
    items = []
    for number in range(6):
        names = [f"{number}-{place}.png" for place in "ab"]
        for place, name in enumerate(names):
            pixels = random.integers(0, 60 + 60 * place + 20 * number, (96, 80 + 8 * place), np.uint8)
            Pillow.fromarray(pixels).save(root / name)
        items.append(benchmarks.closed(number, names, number % 3))
    file = benchmarks.written(tmp_path / "Med_MIM_benchmark_Held_in_Comparison.json", items)
    given = ["evaluate", "--benchmark", str(file), "--image-root", str(root), "--workers", "1", "--json"]
    code = main(["--data-dir", str(bundled.data_dir), *given])
    content = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert code == 0
    assert content["model"]["name"] == "bundled"
    assert {row["condition"] for row in content["scores"]} == {"real", "blind", "shuffled", "exchanged"}
    assert all(0 <= row["value"] <= 1 for row in content["scores"])
    encoded = {row["condition"]: row["images_encoded"] for row in content["timings"]}
    assert encoded["real"] == 12
    assert encoded["shuffled"] == encoded["exchanged"] == 0
    assert encoded["blind"] <= 2
