"""Registration on pairs with known transforms: how far off, and how long beside elastix with its default parameters.

itk-elastix (Apache-2.0) brings 1.6 GB of ITK, so it is not among the packages of a test environment. Where it is
installed (`pip install itk-elastix`) both are timed pair by pair; without it the error alone is measured.
"""

from __future__ import annotations

import importlib
import importlib.util
import statistics
import sys
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name its own documents use

from inference import align
from tests.bench.figures import Figure, seconds
from tests.pairs import Known, grid_points, known_pair

PAIRS, TIMED, SIDE = 20, 3, 512


def error_of(known: Known, transform: sitk.Transform) -> float:
    """Median distance, in pixels, over the middle of the picture."""
    side = known.current.shape[0]
    points, middle = grid_points(side), (side - 1) / 2
    laid = np.array([transform.TransformPoint((column - middle, row - middle)) for row, column in points])[:, ::-1] + middle
    return float(np.median(np.linalg.norm(laid - known.of(points), axis=1)))


def ours(known: Known) -> align.Alignment:
    """What the workstation does with a pair of radiographs."""
    return align.register(align.flat(known.current), align.flat(known.prior), "similarity")


def elastix(known: Known) -> None:
    """The peer: elastix with no parameters given (translation, affine and B-spline, 256 iterations at each of four levels)."""
    itk: Any = importlib.import_module("itk")
    itk.elastix_registration_method(itk.image_from_array(known.current), itk.image_from_array(known.prior), log_to_console=False)


def registration(pairs: int = PAIRS, timed: int = TIMED) -> list[Figure]:
    """Error over all pairs; time over the first few, ours and elastix one after the other in one process."""
    known = [known_pair(seed, SIDE) for seed in range(pairs)]
    errors = [error_of(one, ours(one).transform) for one in known]
    how = f"{pairs} synthetic pairs of {SIDE} x {SIDE} with exposure, noise and a new opacity; worst {max(errors):.2f} px"
    figures = [Figure("registration, median error", statistics.median(errors), "px", 0.3, how)]
    if importlib.util.find_spec("itk") is None:
        print("registration: itk-elastix is not installed, so its time is not compared", file=sys.stderr)
        return figures
    elastix(known_pair(pairs, 128))
    ratios = [seconds(lambda one=one: ours(one)) / seconds(lambda one=one: elastix(one)) for one in known[:timed]]
    words = f"similarity beside elastix's default parameters, interleaved; median of {timed} pairs"
    return [*figures, Figure("registration, time over itk-elastix", statistics.median(ratios), "x", 0.7, words)]
