"""Measures on real pairs: known readers get known figures, notes become the right surrogates, intervals are over patients."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from finetune import realpairs
from finetune.realpairs import GROUPS, SURROGATES, Figure, Reading
from finetune.synthesis import films
from inference.engine import Engine
from inference.pairfile import Films, PairRow, load
from inference.select import Selection
from settings import Settings
from tests.fakes import FakeEngine
from tests.readers import always_stable, coherent, order_blind

ICU, OUT = "in ICU at time of exam", "released from ICU 2 d before exam"


@pytest.fixture(autouse=True)
def brightness_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitting lungs takes a quarter of a second a film; only the test of it does so."""
    if "fitted" not in request.node.name:
        monkeypatch.setattr(realpairs, "brightness", lambda pixels: dict.fromkeys(realpairs.BASELINES, float(pixels.mean())))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Twelve pairs of six patients on disk: half grow brighter and stay in intensive care, half grow darker and leave it."""
    draw, lines = np.random.default_rng(0), ["patient,prior_path,current_path,notes_prior,notes_current"]
    for number in range(12):
        worse = number % 2 == 0
        for name, level in (("prior", 90), ("current", 110 if worse else 70)):
            film = np.clip(draw.normal(level, 6, (48, 40)), 10, 245).astype(np.uint8)
            Pillow.fromarray(film).save(tmp_path / f"{name}{number}.png")
        after = f"{ICU}; CRP 90.0 mg/l" if worse else f"{OUT}; CRP 10.0 mg/l"
        lines.append(f"hannover-{number // 2},prior{number}.png,current{number}.png,{ICU}; CRP 40.0 mg/l,{after}")
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def measured(engine: Engine, pairs: Path) -> dict[str, Figure]:
    done, left_out = realpairs.readings(engine, load(pairs), Films(pairs.parent), lambda _words: None)
    assert left_out == []
    return {figure.name: figure for figure in realpairs.figures(done) if figure.group == GROUPS[0]}


def test_a_coherent_reader_is_coherent_and_follows_the_records(pairs: Path) -> None:
    found = measured(coherent(), pairs)
    for name in ("exchange inverts, one way", "exchange inverts, both ways", "exchange turns the direction, one way"):
        assert found[name].value == 1, name
    assert found["identical called stable, one way"].value == 1
    assert found["still in intensive care against released from it, both ways"].value == 1
    assert found["CRP risen against fallen, one way"].value == 1
    assert found["exchange inverts, one way"].units == 6


def test_a_reader_blind_to_order_fails_exchange_and_gets_no_help_from_reading_both_ways(pairs: Path) -> None:
    """Reading both ways makes coherence out of a preference, never out of blindness: a tie is no answer that inverts."""
    found = measured(order_blind(), pairs)
    assert found["exchange inverts, one way"].value == 0
    assert found["exchange inverts, both ways"].value == 0
    assert found["identical called stable, one way"].value == 1
    assert found["still in intensive care against released from it, both ways"].value == 0.5


def test_a_reader_that_always_says_stable_is_shown_for_what_it_is(pairs: Path) -> None:
    """It scores 100 % of exchange and of identical pairs, so the sentence says how much of that is stable both times."""
    found = measured(always_stable(), pairs)
    assert found["exchange inverts, one way"].value == 1
    assert "100 % by being stable both times" in found["exchange inverts, one way"].sentence
    assert found["exchange turns the direction, one way"].value == 0
    assert found["CRP risen against fallen, one way"].value == 0.5


def test_what_a_small_page_shows_is_there_under_its_name(pairs: Path) -> None:
    """A figure that was renamed must not drop out of the model card."""
    assert {name for name, figure in measured(coherent(), pairs).items() if figure.headline} == realpairs.HEADLINES


def test_brightness_is_measured_on_the_same_pairs_and_the_difference_is_paired(pairs: Path) -> None:
    found = measured(order_blind(), pairs)
    base = found["CRP risen against fallen, brightness of a box"]
    assert base.items == found["CRP risen against fallen, one way"].items == 12
    less = found["CRP risen against fallen, both ways less brightness"]
    assert base.value == 1
    assert less.value == pytest.approx(found["CRP risen against fallen, both ways"].value - base.value)
    assert less.high < 0
    assert "is below that of brightness" in less.sentence


def test_brightness_of_fitted_lungs_and_of_the_box_rises_with_a_bright_lung_and_not_with_exposure() -> None:
    rows, columns = np.mgrid[0:96, 0:96]
    film = np.full((96, 96), 170, dtype=np.uint8)
    for centre in (30, 66):
        film[((columns - centre) / 14) ** 2 + ((rows - 48) / 32) ** 2 < 1] = 60
    ill = film.copy()
    ill[((columns - 66) / 14) ** 2 + ((rows - 60) / 14) ** 2 < 1] = 150
    before, after, darker = (realpairs.brightness(np.repeat(one[:, :, None], 3, 2)) for one in (film, ill, film // 2))
    assert all(after[name] > before[name] + 0.01 for name in realpairs.BASELINES)
    assert all(abs(darker[name] - before[name]) < 0.01 for name in realpairs.BASELINES)


@pytest.mark.parametrize(
    ("name", "before", "after", "truth"),
    [
        ("still in intensive care against released from it", ICU, OUT, 0),
        ("still in intensive care against released from it", ICU, ICU, 1),
        ("still in intensive care against released from it", OUT, ICU, None),
        ("still in intensive care against released from it", "", "", None),
        ("CRP risen against fallen", "CRP 40.0 mg/l", "CRP 100.0 mg/l", 1),
        ("CRP risen against fallen", "CRP 40.0 mg/l", "CRP 5.0 mg/l", 0),
        ("CRP risen against fallen", "CRP 40.0 mg/l", "CRP 45.0 mg/l", None),
        ("CRP risen against fallen", "CRP 40.0 mg/l", "", None),
        ("CRP risen against fallen", "CRP inf mg/l", "CRP 45.0 mg/l", None),
        ("pO2 fallen against risen", "pO2 90.0; pCO2 40.0", "pO2 60.0; pCO2 90.0", 1),
        ("pO2 fallen against risen", "pO2 60.0; pCO2 40.0", "pO2 90.0; pCO2 40.0", 0),
        ("LDH risen against fallen", "LDH 300.0 U/l", "LDH 200.0 U/l", 0),
    ],
)
def test_what_the_record_says_of_a_pair(name: str, before: str, after: str, truth: float | None) -> None:
    assert SURROGATES[name](before, after) == truth


def test_one_patient_gives_a_figure_without_an_interval() -> None:
    one = realpairs.area("a", "b", [0.1, 0.9, 0.4], [0, 1, 0], ["p"] * 3, "this against that")
    assert one.value == 1
    assert np.isnan(one.low)
    assert "1.00 (one patient or class, no interval)" in one.sentence


def test_a_patient_of_the_development_split_is_counted_apart(pairs: Path) -> None:
    dev = next(f"hannover-{number}" for number in range(1000) if films.split_of(f"hannover-{number}") == "dev")
    shares = {"worse": 0.7, "stable": 0.2, "improved": 0.1}
    done = [
        Reading(PairRow("a", "b"), patient, shares, shares, shares, dict.fromkeys(realpairs.BASELINES, 0.0)) for patient in (dev, "other")
    ]
    found = [figure for figure in realpairs.figures(done) if figure.name == "identical called stable, one way"]
    assert [(figure.group, figure.units) for figure in found] == [(GROUPS[0], 2), (GROUPS[1], 1)]


def test_normal_against_pneumonia_uses_development_patients_and_both_orders(tmp_path: Path) -> None:
    root, draw = tmp_path / "cxr_kermany", np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    for number in range(60):
        for name, level in ((f"IM-{number:04d}-0001.jpeg", 80), (f"person{number}_bacteria_1.jpeg", 120)):
            Pillow.fromarray(np.clip(draw.normal(level, 5, (40, 40)), 10, 240).astype(np.uint8)).save(root / "images" / name)
    engine = coherent()
    found = {figure.name: figure for figure in realpairs.across(engine, root, 4, lambda _words: None)}
    one = found["pneumonia after normal against normal after pneumonia, one way"]
    assert one.value == 1
    assert one.items == 2 * one.units
    assert one.units <= 4


def test_the_command_writes_figures_and_says_there_is_no_label(
    pairs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(realpairs, "open_engine", lambda _settings, _model: Selection(coherent(), "a fake"))
    monkeypatch.setattr(realpairs, "load_settings", lambda **_given: Settings(data_dir=tmp_path / "data"))
    with pairs.open("a") as file:
        file.write("hannover-9,missing.png,current1.png,,\n")
    out = tmp_path / "out" / "real-pairs.json"
    assert realpairs.main(["--pairs", str(pairs), "--image-root", str(tmp_path), "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    assert "no change label" in written["notice"]
    assert (written["pairs"], written["patients"], len(written["readings"])) == (12, 6, 12)
    assert written["left_out"][0].startswith("missing.png: is not there")
    assert str(tmp_path) not in out.read_text()
    assert "There is no change label in this set" in capsys.readouterr().out


def test_no_pair_that_can_be_read_is_one_sentence_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(realpairs, "open_engine", lambda _settings, _model: Selection(FakeEngine(), "a fake"))
    (tmp_path / "pairs.csv").write_text("prior_path,current_path\na.png,b.png\n")
    out = tmp_path / "real-pairs.json"
    code = realpairs.main(["--pairs", str(tmp_path / "pairs.csv"), "--image-root", str(tmp_path), "--out", str(out)])
    assert code == 2
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("...")]
    assert said == ["none of the 1 pairs can be read, the first because a.png: is not there; check the path"]
    assert not out.exists()
