"""The benchmark's own arithmetic and its two forms of output; the measuring itself is `make bench`."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
from pydicom.uid import JPEGLSLossless

from settings import load
from storage.store import Store
from tests.bench.answering import QUESTION, timed
from tests.bench.figures import Figure, line, table
from tests.bench.importing import bare, ours
from tests.bench.subjects import radiograph, small_pair
from tests.fakes import FakeEngine


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
