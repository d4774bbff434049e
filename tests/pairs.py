"""Synthetic prior and current with a transform that is known: what registration is held against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Known:
    """A pair of radiographs: `prior` shows at matrix @ p + offset (row, column) what `current` shows at p."""

    current: Array
    prior: Array
    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]

    def of(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where (N, 2) points (row, column) of the current lie in the prior."""
        return points @ self.matrix.T + self.offset


def chest(side: int, seed: int) -> Array:
    """(side, side) float32 0..1: lungs, heart, ribs, spine and vessels of one patient; smooth enough to be resampled truly."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    wide, high = 0.3 + 0.04 * rng.random(), 0.6 + 0.1 * rng.random()
    field = 0.75 * np.ones_like(x)
    for centre in (-0.4, 0.4):
        lung = np.exp(-((((x - centre) / wide) ** 2 + (y / high) ** 2) ** 2))
        field -= 0.5 * lung
        for rib in np.linspace(-0.7, 0.7, 9):
            arc = y - rib - 0.35 * (np.abs(x) - 0.4) ** 2 + 0.02 * rng.standard_normal()
            field += 0.08 * np.exp(-((arc / 0.025) ** 2)) * lung
        for _ in range(25):
            angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.4)
            across = (x - centre * 0.5) * np.sin(angle) - y * np.cos(angle)
            along = (x - centre * 0.5) * np.cos(angle) + y * np.sin(angle)
            field += 0.06 * np.exp(-((across / 0.012) ** 2) - ((along - length) / 0.2) ** 2) * lung
    field += 0.25 * np.exp(-(((x - 0.08) / 0.22) ** 2 + ((y - 0.35) / 0.3) ** 2)) + 0.1 * np.exp(-((x / 0.06) ** 2))
    return ndimage.gaussian_filter(field, 1.0).astype(np.float32)


def known_pair(seed: int, side: int = 512, *, scaled: bool = True) -> Known:
    """A chest and the same one turned up to 6 degrees, shifted up to 8 % and scaled up to 5 %, darker, noisy, with a new opacity."""
    rng = np.random.default_rng(1000 + seed)
    angle = np.deg2rad(rng.uniform(-6, 6))
    size = rng.uniform(0.95, 1.05) if scaled else 1.0
    matrix = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.full(2, (side - 1) / 2)
    offset = centre - matrix @ centre + rng.uniform(-0.08, 0.08, 2) * side
    body = chest(side, seed)
    inverse = np.linalg.inv(matrix)
    prior = ndimage.affine_transform(body, inverse, -inverse @ offset, order=3, mode="nearest")
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    opacity = 0.2 * np.exp(-(((x + 0.4) / 0.12) ** 2 + ((y - 0.35) / 0.15) ** 2))
    current = body + opacity.astype(np.float32) + rng.normal(0, 0.02, body.shape)
    faded = np.clip(prior, 0, None) ** 1.2 * 0.9 + 0.05 + rng.normal(0, 0.02, body.shape)
    return Known(current.astype(np.float32), faded.astype(np.float32), matrix, offset)


def grid_points(side: int) -> NDArray[np.float64]:
    """(81, 2) points (row, column) over the middle 70 % of a picture, where an error is measured."""
    line = np.linspace(0.15, 0.85, 9) * (side - 1)
    return np.array([(row, column) for row in line for column in line])
