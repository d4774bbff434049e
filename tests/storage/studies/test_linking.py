"""Slices that belong together in mm, whatever thickness, direction and spacing; crossing planes and other body parts are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.studies import Series, read
from storage.studies.linking import grid, linked, nearest, planes
from tests.volumes import ct_series


def series(folder: Path, **how: object) -> Series:
    return read(ct_series(folder, **how)).studies[0].series[0]  # type: ignore[arg-type]


@pytest.fixture
def prior(tmp_path: Path) -> Series:
    return series(tmp_path / "prior", side=8, spacing=20)


def test_link_by_anchor_finds_the_slice_within_half_a_slice(prior: Series, tmp_path: Path) -> None:
    """Other thickness, other direction, other spacing, another frame of reference: -155 mm here is 175 mm there."""
    moved = {"slices": 57, "thickness": 2.5, "first": -69, "shift": (5, -3, 330), "head_first": False}
    current = series(tmp_path / "b", side=10, spacing=16, date="20240301", **moved)
    fit = planes(prior, current)
    assert (fit.compatible, fit.same_frame) == (True, False)
    levels = [(frame.position or (0, 0, 0))[2] - 330 for frame in current.frames]
    start = (10, min(range(57), key=lambda n: abs(levels[n] - (-10.0))))
    for number, frame in enumerate(prior.frames):
        found = linked(prior, current, start, number)
        assert found is not None
        level = (frame.position or (0, 0, 0))[2]
        if min(levels) <= level <= max(levels):
            assert abs(levels[found[0]] - level) <= 1.25 + abs(levels[start[1]] + 10.0)


def test_shared_frame_of_reference_needs_no_anchor(prior: Series) -> None:
    assert nearest(prior, prior.frames[7]) == (7, 0.0)
    assert planes(prior, prior).same_frame


def test_crossing_planes_other_parts_and_missing_geometry_are_refused_with_a_reason(prior: Series, tmp_path: Path) -> None:
    coronal = series(tmp_path / "c", side=8, more={"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, date="20240301")
    head = series(tmp_path / "h", side=8, more={"BodyPartExamined": "HEAD"}, date="20240302")
    bare = series(tmp_path / "n", side=8, more={"ImageOrientationPatient": None}, date="20240303")
    for other, words in ((coronal, "90 degrees"), (head, "different parts"), (bare, "no planes")):
        fit = planes(prior, other)
        assert not fit.compatible
        assert words in fit.reason
        assert linked(prior, other, (0, 0), 3) is None


def test_stack_is_a_volume_only_when_its_slices_are_even(prior: Series, tmp_path: Path) -> None:
    found = grid(prior)
    assert found is not None
    assert (found.shape, found.spacing) == ((24, 8, 8), (20, 20, 6))
    paths = ct_series(tmp_path / "gap", side=8, date="20240301")
    paths[10].unlink()
    assert grid(read([path for path in paths if path.exists()]).studies[0].series[0]) is None
    assert grid(read(paths[:3]).studies[0].series[0]) is None
