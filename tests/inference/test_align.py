"""Registration against transforms that are known, in 2-D and 3-D; cancelled within a step; levels matched in mm."""

from __future__ import annotations

from threading import Event

import numpy as np
import pytest

from errors import Cancelled
from inference import align, level, scene
from storage.studies import Series, linking, read
from tests.pairs import Known, grid_points, known_pair
from tests.volumes import ct_series

SIDE = 192


def error_of(known: Known, found: align.Alignment) -> float:
    """Median distance, in pixels, between where points were laid and where they are."""
    points, middle = grid_points(SIDE), (SIDE - 1) / 2
    laid = np.array([found.transform.TransformPoint((column - middle, row - middle)) for row, column in points])[:, ::-1] + middle
    return float(np.median(np.linalg.norm(laid - known.of(points), axis=1)))


def test_known_transforms_are_found_within_three_tenths_of_a_pixel() -> None:
    """Different exposure, noise in both and a new opacity in one; `make bench` measures twenty larger pairs against elastix."""
    errors = []
    for seed in range(3):
        known = known_pair(seed, SIDE)
        found = align.register(align.flat(known.current), align.flat(known.prior), "similarity")
        errors.append(error_of(known, found))
        assert found.better
        assert found.after.correlation > max(0.95, found.before.correlation)
        assert found.motion.scale == pytest.approx(np.sqrt(np.linalg.det(known.matrix)), abs=0.005)
    assert np.median(errors) <= 0.3, errors


@pytest.mark.parametrize("kind", ["rigid", "affine", "bspline"])
def test_every_kind_lays_a_turned_picture_back(kind: align.AlignKind) -> None:
    known = known_pair(5, SIDE, scaled=False)
    found = align.register(align.flat(known.current), align.flat(known.prior), kind)
    assert error_of(known, found) < (1.0 if kind == "bspline" else 0.4)
    assert found.kind == kind


def test_cancelled_registration_stops_and_says_so() -> None:
    known, cancel, told = known_pair(1, SIDE), Event(), []

    def tell(done: float, words: str) -> None:
        told.append(done)
        if words.startswith("rigid"):
            cancel.set()

    with pytest.raises(Cancelled, match="the images are as they were"):
        align.register(align.flat(known.current), align.flat(known.prior), "rigid", cancel, tell)
    assert 0 < max(told) < 0.9


def test_progress_only_rises_to_the_end() -> None:
    known, told = known_pair(2, 96, scaled=False), []
    align.register(align.flat(known.current), align.flat(known.prior), "rigid", progress=lambda done, words: told.append(done))
    assert told == sorted(told)
    assert told[-1] > 0.9


def test_pictures_of_nothing_are_measured_not_crashed_on() -> None:
    empty = align.flat(np.zeros((64, 64), dtype=np.float32))
    found = align.register(empty, empty, "rigid")
    assert not found.better
    assert found.after.correlation == 0.0


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Series, Series]:
    """Two CT series of one body in different frames of reference, thickness and direction; the second lies 14, -9, 330 mm away."""
    folder = tmp_path_factory.mktemp("ct")
    prior = ct_series(folder / "prior")
    current = ct_series(folder / "current", slices=44, thickness=3.0, first=-62, shift=(14, -9, 330), head_first=False, date="20240301")
    return tuple(read(paths).studies[0].series[0] for paths in (prior, current))  # type: ignore[return-value]


def test_level_is_matched_within_half_a_slice_and_says_how_sure(studies: tuple[Series, Series]) -> None:
    prior, current = studies
    found = level.coarse(prior, current, Event())
    moved = np.asarray(found.transform.TransformPoint((0.0, 0.0, 20.0))) - (0, 0, 20)
    assert moved == pytest.approx((14, -9, 330), abs=1.5)
    for number in (4, 12, 18):
        proposed = level.match(prior, number, current, lambda: found)
        assert proposed.frame is not None
        wanted = (prior.frames[number].position or (0, 0, 0))[2] + 330
        assert abs((current.frames[proposed.frame].position or (0, 0, 0))[2] - wanted) <= 2.5
        assert (proposed.method, proposed.sure) == ("registration", "high")


def test_registered_slice_shows_the_prior_where_the_current_is(studies: tuple[Series, Series]) -> None:
    prior, current = studies
    grids = scene.grids(current, prior)
    assert grids is not None
    found = level.coarse(current, prior, Event())
    form, laid = scene.laid_slice(prior, grids[1], grids[0], 20, found.transform)
    here = scene.brightness(current.frames[20])
    there = np.isfinite(laid)
    assert form.dtype == "int16"
    assert there.mean() > 0.8
    assert np.corrcoef(here[there], laid[there])[0, 1] > 0.95
    away = linking.Grid(grids[0].shape, grids[0].spacing, (0, 0, 9000), grids[0].direction)
    far = scene.laid_slice(prior, grids[1], away, 20, found.transform)
    assert not np.isfinite(far[1]).any()


def test_shared_frame_of_reference_and_refusals_need_no_registration(studies: tuple[Series, Series]) -> None:
    prior, _ = studies
    same = level.match(prior, 5, prior)
    assert (same.frame, same.method, same.sure, same.offset_mm) == (5, "patient coordinates", "high", 0.0)
    sagittal = Series("s", "CT", frames=tuple(one for one in prior.frames[:1]), body_part="HEAD")
    refused = level.match(prior, 5, sagittal)
    assert refused.frame is None
    assert "different parts" in refused.reason
