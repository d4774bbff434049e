"""From a study's frame to an image of a question: frame -> display pipeline -> `Image` with role and relative time."""

from __future__ import annotations

from inference import pixels
from inference.engine import Image
from storage import studies
from storage.studies.model import Frame, Window


def frame_image(frame: Frame, role: str = "", when: str = "", window: Window | None = None) -> Image:
    """One frame through the display pipeline. Raises `StudyError`."""
    return pixels.image(studies.display(frame, window), role, when)
