"""The benchmark's own arithmetic and its two forms of output; the measuring itself is `make bench`."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - the name its own documents use
from pydicom.uid import JPEGLSLossless

from settings import load
from storage.store import Store
from storage.studies import linking, read, stored
from tests.bench import scrolling
from tests.bench.answering import QUESTION, timed
from tests.bench.decoding import SYNTAXES, file_of, peers
from tests.bench.figures import Figure, line, table
from tests.bench.importing import bare, ours
from tests.bench.registering import error_of
from tests.bench.subjects import radiograph, small_pair
from tests.fakes import FakeEngine
from tests.pairs import known_pair


def test_a_missed_bound_is_seen_in_both_forms() -> None:
    figures = [Figure("warm", 2.4, "s", 2.5, "so"), Figure("cold", 15.1, "s", 15.0, "so")]
    assert "| warm | 2.4 s | <= 2.5 s | reached |" in table(figures)
    assert "**missed**" in table(figures).splitlines()[-1]
    assert [one["reached"] for one in json.loads(line(figures, {"machine": "m"}))["figures"]] == [True, False]


def test_every_token_is_timed() -> None:
    from inference.engine import Request

    found = timed(FakeEngine(["one two three"]), Request(small_pair(0), QUESTION))
    assert found.tokens == 3
    assert found.whole(1) == found.first
    assert found.whole(40) >= found.first


def test_pairs_differ_so_that_nothing_about_them_is_kept() -> None:
    names = {image.sha256 for seed in range(3) for image in small_pair(seed)}
    assert len(names) == 6


def test_what_is_imported_is_a_ten_megabyte_radiograph(tmp_path: Path) -> None:
    plain = radiograph(tmp_path / "plain.dcm", 1, "20210504")
    assert 10e6 < plain.stat().st_size < 10.5e6
    packed = radiograph(tmp_path / "packed.dcm", 1, "20210504", JPEGLSLossless)
    assert (pydicom.dcmread(packed).pixel_array == pydicom.dcmread(plain).pixel_array).all()
    assert packed.stat().st_size < plain.stat().st_size


def test_both_sides_of_the_import_ratio_do_their_work(tmp_path: Path) -> None:
    paths = [radiograph(tmp_path / f"{seed}.dcm", seed, f"2021050{seed}") for seed in (4, 5)]
    bare(paths)
    with Store(load(data_dir=tmp_path / "data")) as store:
        ours(paths, store)


def test_linked_scrolling_is_the_medians_of_both_sides_and_its_exams_are_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = scrolling.figure("WebGL", [0.03, 0.02, 0.5], [0.02, 0.02, 0.9])
    assert (one.value, one.bound, one.reached) == (1.5, 1.2, False)
    monkeypatch.setattr(scrolling, "SLICES", 3)
    monkeypatch.setattr(scrolling, "SIDE", 16)
    first, second = (study.series[0] for study in read(scrolling.exams(tmp_path)).studies)
    assert [len(series.frames) for series in (first, second)] == [3, 3]
    fit = linking.planes(first, second)
    assert (fit.compatible, fit.same_frame) == (True, True)


def test_error_of_the_true_transform_is_nothing_and_of_none_is_large() -> None:
    known = known_pair(0, 64)
    true = sitk.AffineTransform(2)
    middle = (known.current.shape[0] - 1) / 2
    true.SetMatrix(known.matrix[::-1, ::-1].ravel().tolist())
    true.SetTranslation((known.of([[middle, middle]])[0][::-1] - middle).tolist())
    assert error_of(known, true) < 1e-6
    assert error_of(known, sitk.AffineTransform(2)) > 1


def test_every_syntax_of_the_decoder_measure_holds_the_same_film(tmp_path: Path) -> None:
    films = {}
    for name, syntax in SYNTAXES.items():
        path = file_of(tmp_path / f"{name}.dcm", syntax, 40, 48)
        films[name] = read([path]).studies[0].series[0].frames[0]
        assert (name == "JPEG lossless") or peers(path, syntax), name
    plain = stored(films["uncompressed"])
    for name, frame in films.items():
        difference = abs(stored(frame).astype(int) - (plain >> 4 if name == "JPEG baseline" else plain))
        assert difference.max() <= (40 if name == "JPEG baseline" else 0), name
