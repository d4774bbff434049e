"""The pixel pipeline, once: stored value -> modality units -> VOI -> MONOCHROME1 -> padding -> display.

The viewer and every model are fed from `display`; nothing else in the project turns stored values into grey.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storage.studies.model import Frame, Series, Window


def stored(frame: Frame) -> NDArray[np.generic]:
    """Values as the file stores them, (H, W) or (H, W, 3); palette indices stay indices. Raises `StudyError`."""
    raise NotImplementedError


def modality(frame: Frame) -> NDArray[np.float32] | NDArray[np.uint8]:
    """Values in the modality's units, (H, W) float32, or (H, W, 3) uint8 RGB for colour. Raises `StudyError`."""
    raise NotImplementedError


def display(frame: Frame, window: Window | None = None) -> NDArray[np.uint8]:
    """Pixels to look at, (H, W) or (H, W, 3) uint8; `window` None takes the file's own first. Raises `StudyError`."""
    raise NotImplementedError


def windows(item: Series | Frame) -> tuple[Window, ...]:
    """Windows worth offering: the file's own, then presets for the modality; the first is the one `display` uses."""
    raise NotImplementedError
