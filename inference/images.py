"""From a study's frame to an image of a question: frame -> display pipeline -> marks -> `Image` with role and relative time."""

from __future__ import annotations

from collections.abc import Sequence

from inference import pixels
from inference.engine import Image, Mark
from inference.marked import drawn
from storage import studies
from storage.studies.model import Frame, Window
from storage.views import AskedMark


def frame_image(frame: Frame, role: str = "", when: str = "", window: Window | None = None, marks: Sequence[AskedMark] = ()) -> Image:
    """One frame through the display pipeline, `marks` (in pixels of the frame) drawn into it. Raises `StudyError`."""
    image = pixels.image(studies.display(frame, window), role, when)
    height, width = image.pixels.shape[:2]
    return drawn(image, [Mark(one.label, one.kind, tuple(((x + 0.5) / width, (y + 0.5) / height) for x, y in one.points)) for one in marks])
