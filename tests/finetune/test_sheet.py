"""The score sheet: known engines get the figures they deserve, and the page shows them to a reader safely."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import TuneError
from finetune import calibration, medmim, page, sheet
from finetune.evaluate import evaluate
from tests.fakes import CARD, FakeEngine
from tests.finetune import benchmarks


def scored(tmp_path: Path, engine: FakeEngine, count: int = 30, name: str = benchmarks.NAME) -> dict[str, Any]:
    file, root = benchmarks.bright(tmp_path, count, name)
    return sheet.content(evaluate(engine, medmim.load(file, root), tmp_path / "out"))


def score(content: dict[str, Any], condition: str, reading: str = "likelihood", name: str = "all items") -> dict[str, Any]:
    (found,) = [row for row in content["scores"] if row["condition"] == condition and row["reading"] == reading and row["name"] == name]
    return dict(found)


def control(content: dict[str, Any], condition: str, words: str) -> dict[str, Any]:
    (found,) = [row for row in content["controls"] if row["condition"] == condition and words in row["name"]]
    return dict(found)


def test_who_sees_is_right_and_gains_by_the_images(tmp_path: Path) -> None:
    content = scored(tmp_path, benchmarks.oracle())
    assert score(content, "real")["value"] == 1.0
    assert score(content, "real", "generation")["value"] == 1.0
    assert score(content, "real")["chance"] == pytest.approx(1 / 3, abs=1e-6)
    blind, shuffled = score(content, "blind")["value"], score(content, "shuffled")["value"]
    assert blind < 0.5
    assert shuffled < 0.7
    gain = next(row for row in content["image_gain"] if row["control"] == "blind" and row["reading"] == "likelihood")
    assert gain["value"] == pytest.approx(1 - blind, abs=1e-5)
    assert gain["low"] > 0
    assert gain["verdict"] == "the images were used"
    assert control(content, "real", "order of the options")["value"] == 0.0
    skill = next(row for row in content["skill"] if row["name"] == "all items")
    assert skill["skill"] == 1.0
    assert not any("no evidence" in note for note in content["notes"])


def test_who_never_looks_is_told_so(tmp_path: Path) -> None:
    content = scored(tmp_path, benchmarks.blind())
    gains = [row for row in content["image_gain"] if row["name"] == "all items"]
    assert {row["value"] for row in gains} == {0.0}
    assert {row["verdict"] for row in gains if row["control"] == "blind"} == {"no evidence that the images were used"}
    assert {row["verdict"] for row in gains if row["control"] == "shuffled"} == {"another patient's images do as well"}
    assert "all items: no evidence that the images were used." in content["notes"]
    assert "no evidence that the images were used" in page.html(content)
    assert score(content, "real")["value"] == score(content, "blind")["value"] == pytest.approx(1 / 3, abs=1e-5)
    assert next(row for row in content["skill"] if row["name"] == "all items")["skill"] <= 0.0


def test_who_says_a_letter_flips_with_the_order_of_the_options(tmp_path: Path) -> None:
    """Averaged over all orders, a letter's habit is no answer: every option gets the same share."""
    content = scored(tmp_path, benchmarks.stubborn())
    assert control(content, "real", "order of the options")["value"] == 1.0
    done = evaluate(FakeEngine(), medmim.load(tmp_path / benchmarks.NAME, tmp_path / "images"), tmp_path / "other", ["real"])
    assert done.answers["real"]
    bins = content["reliability"]["bins"]
    assert all(one["confidence"] == pytest.approx(1 / 3, abs=0.02) for one in bins)


def test_words_that_are_no_option_are_wrong_and_counted(tmp_path: Path) -> None:
    content = scored(tmp_path, FakeEngine(["I cannot say."], scores=lambda request: {"A": -0.1}))
    assert score(content, "real", "generation")["value"] == 0.0
    assert control(content, "real", "no option")["value"] == 1.0


def test_the_exchanged_order_of_images_is_measured(tmp_path: Path) -> None:
    """A third of the questions have an answer that turns with the order; the oracle's answers move for these."""
    content = scored(tmp_path, benchmarks.oracle(), name="Med_MIM_benchmark_Held_in_Comparison.json")
    moved = control(content, "exchanged", "the answer changes with the order of the images")
    assert moved["value"] == pytest.approx(1 / 3, abs=0.01)
    assert control(content, "exchanged", "probability moved")["value"] > 0.2


def test_an_answer_that_inverts_with_the_images_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    images = [benchmarks.film(tmp_path / "images" / f"{n}.png", 40 + 10 * n) for n in range(12)]
    words = ("The oedema is improving.", "The oedema is stable.", "The oedema is worsening.")
    options = "\n".join(f"{letter}: {text}" for letter, text in zip("ABC", words, strict=True))
    items = [
        benchmarks.item(n, images[n : n + 2], f"<image><image>How is it?\n{options}\n", f"C: {words[2]}", "MS_CXR_T_vqa_edema")
        for n in range(11)
    ]
    file = benchmarks.written(tmp_path / "Med_MIM_benchmark_Held_in_Comparison.json", items)

    def direction(request: Any, offered: Any) -> str:
        brighter = request.images[1].pixels.mean() - request.images[0].pixels.mean()
        wanted = words[1] if brighter == 0 else words[2] if brighter > 0 else words[0]
        return next(letter for letter, text in offered.items() if text == wanted)

    for engine, expected in ((benchmarks.choosing(direction), 1.0), (benchmarks.choosing(lambda request, offered: last(offered)), 0.0)):
        folder = tmp_path / f"out-{expected}"
        content = sheet.content(evaluate(engine, medmim.load(file, tmp_path / "images"), folder, ["real", "exchanged"]))
        assert control(content, "exchanged", "inverts")["value"] == expected
    (table,) = content["confusion"]
    assert table["rows"] == ["worsening"]
    assert table["counts"][0][table["columns"].index("worsening")] == 11


def last(offered: dict[str, str]) -> str:
    return next(letter for letter, text in offered.items() if "worsening" in text)


def test_the_sheet_of_a_resumed_run_is_the_same(tmp_path: Path) -> None:
    first = scored(tmp_path, benchmarks.oracle(), 12)
    again = scored_again(tmp_path)
    assert again == first


def scored_again(tmp_path: Path) -> dict[str, Any]:
    engine = benchmarks.oracle()
    content = sheet.content(evaluate(engine, medmim.load(tmp_path / benchmarks.NAME, tmp_path / "images"), tmp_path / "out"))
    assert engine.scored == []
    return content


def test_the_blind_sheet_says_what_it_is(tmp_path: Path) -> None:
    file, _ = benchmarks.bright(tmp_path)
    done = evaluate(benchmarks.oracle(), medmim.load(file), tmp_path / "out", ["blind"])
    content = sheet.content(done)
    assert content["image_gain"] == content["skill"] == []
    assert any("without looking" in note for note in content["notes"])
    assert sheet.stem(done) == "sheet-blind"
    assert "Reliability" in page.html(content)


def test_what_was_left_out_is_listed_and_counted(tmp_path: Path) -> None:
    file, root = benchmarks.bright(tmp_path)
    (root / "3-b.png").unlink()
    content = sheet.content(evaluate(benchmarks.oracle(), medmim.load(file, root), tmp_path / "out"))
    assert content["left_out"]["items"] == 1
    assert content["left_out"]["missing_images"] == 1
    assert content["left_out"]["listed"][0]["reason"] == "3-b.png is missing"
    assert "3-b.png is missing" in page.html(content)


# The calibration error


def test_calibration_error_by_hand() -> None:
    """Twenty answers, half of them right, all said with 0.9: the error is 0.4; said with 0.5 it is 0."""
    right = np.array([1.0, 0.0] * 10)
    even = np.ones((1, 20))
    assert calibration.expected_error(np.full(20, 0.9), right, even)[0] == pytest.approx(0.4)
    assert calibration.expected_error(np.full(20, 0.5), right, even)[0] == pytest.approx(0.0)
    low, high = calibration.error_interval(np.full(20, 0.9), right, [str(n // 2) for n in range(20)])
    assert 0.3 < low <= 0.4 <= high < 0.5
    assert math.isnan(calibration.error_interval(np.full(20, 0.9), right, ["one"] * 20)[0])


def test_an_item_counts_as_often_as_it_is_drawn() -> None:
    """A draw that has one item twice is the calibration error of the file with that item twice."""
    random = np.random.default_rng(3)
    sure, right = random.uniform(0.3, 1, 40), random.integers(0, 2, 40).astype(float)
    weights = np.repeat([[2.0, 1.0]], 20, axis=0).reshape(1, 40)
    twice = np.repeat(np.arange(40), weights[0].astype(int))
    assert calibration.expected_error(sure, right, weights)[0] == pytest.approx(
        calibration.expected_error(sure[twice], right[twice], np.ones((1, 60)))[0], abs=0.02
    )


# The files


class Reader(HTMLParser):
    """Collects elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}"


def test_text_of_a_file_is_text_on_the_page(tmp_path: Path) -> None:
    """Ids, options, image names and the model's own name may hold anything; none of it becomes markup."""
    file, root = benchmarks.bright(tmp_path)
    items = json.loads(file.read_text())
    items[0]["id"] = items[1]["source"] = HOSTILE
    items[0]["images"][0] = f"{HOSTILE.replace('/', '')}.png"
    file.write_text(json.dumps(items))
    engine = FakeEngine(["A"], scores={"A": -0.1}, card=replace(CARD, name=HOSTILE, revision=HOSTILE))
    content = sheet.content(evaluate(engine, medmim.load(file, root), tmp_path / "out"))
    text = page.html(content)
    assert "&lt;script&gt;alert(1)" in text
    assert "{{7*7}}" in text
    reader = Reader()
    reader.feed(text)
    assert not {"script", "img", "iframe", "object", "link"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name.startswith("on") or name in ("src", "href")]


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    text = page.html(scored(tmp_path, benchmarks.oracle(), 12))
    assert not re.search(r"https?://|url\(|@import|src=|href=", text)
    assert "default-src 'none'" in text
    assert text.count("<svg") > 10
    assert "nan" not in re.sub(r"<[^>]+>", "", text).lower().split()


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    content = scored(tmp_path, benchmarks.oracle(), 12)
    files = sheet.write(content, tmp_path / "made" / "here")
    assert json.loads(Path(files["json"]).read_text()) == content
    assert Path(files["html"]).read_text().rstrip().endswith("</html>")
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    with pytest.raises(TuneError, match="cannot be written"):
        sheet.write(content, blocked)


def test_a_full_disk_leaves_no_half_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = scored(tmp_path, benchmarks.oracle(), 12)
    sheet.write(content, tmp_path / "out")
    before = (tmp_path / "out" / "sheet.json").read_text()

    def full(self: Path, text: str, encoding: str) -> int:
        with self.open("w", encoding=encoding) as file:
            file.write(text[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(TuneError, match="No space left"):
        sheet.write({**content, "notes": ["another"]}, tmp_path / "out")
    assert (tmp_path / "out" / "sheet.json").read_text() == before
    assert sorted(path.name for path in (tmp_path / "out").glob("*sheet*")) == ["sheet.html", "sheet.json"]
