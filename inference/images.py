"""From studies to the images of a question: frame -> display pipeline -> `Image` with role and relative time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.engine import Image, Relationship
from settings import Settings
from storage.studies.model import Frame, Series, Study, Window


@dataclass(frozen=True)
class Chosen:
    """Where one image of a question came from."""

    study: Study
    series: Series
    frame: Frame


@dataclass(frozen=True)
class LoadedImages:
    """Images of a question in declared order, how they relate, and what the reader should know."""

    images: tuple[Image, ...]
    chosen: tuple[Chosen, ...]
    relationship: Relationship
    reason: str
    warnings: tuple[str, ...] = ()


def frame_image(frame: Frame, role: str = "", when: str = "", window: Window | None = None) -> Image:
    """One frame through the display pipeline. Raises `StudyError`."""
    raise NotImplementedError


def load_images(paths: Sequence[Path], settings: Settings, roles: Sequence[str] = ()) -> LoadedImages:
    """One image for each path (a file, or a folder or archive with one series or study), in the order given.

    Of a volume the middle frame is taken. `roles` override what the headers say; give one for each path or none.
    Raises `QuestionError` (no path, too many, roles that do not match) and `StudyError` (nothing readable at a path).
    """
    raise NotImplementedError
