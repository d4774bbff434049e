"""From studies to the images of a question: frame -> display pipeline -> `Image` with role and relative time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from errors import QuestionError, StudyUnreadable, StudyUnsupported
from inference import pixels
from inference.engine import Image, Relationship
from settings import Settings
from storage import studies
from storage.studies.model import Frame, Reading, Series, Study, Window


@dataclass(frozen=True)
class Chosen:
    """Where one image of a question came from."""

    study: Study
    series: Series
    frame: Frame


@dataclass(frozen=True)
class LoadedImages:
    """Images of a question in declared order, how they relate, and what the reader should know.

    `blocking` is True when a person should confirm before asking: the images seem to be of different patients.
    """

    images: tuple[Image, ...]
    chosen: tuple[Chosen, ...]
    relationship: Relationship
    reason: str
    warnings: tuple[str, ...] = ()
    blocking: bool = False


def frame_image(frame: Frame, role: str = "", when: str = "", window: Window | None = None) -> Image:
    """One frame through the display pipeline. Raises `StudyError`."""
    return pixels.image(studies.display(frame, window), role, when)


def load_images(paths: Sequence[Path], settings: Settings, roles: Sequence[str] = ()) -> LoadedImages:
    """One image for each path (a file, or a folder or archive with one series or study), in the order given.

    Of a volume the middle frame is taken. `roles` override what the headers say; give one for each path or none.
    Raises `QuestionError` (no path, too many, roles that do not match) and `StudyError` (nothing readable at a path).
    """
    _refuse(paths, settings, roles)
    budget = studies.Budget.from_settings(settings)
    chosen: list[Chosen] = []
    warnings: list[str] = []
    for path in paths:
        one, notes = _choose(path, studies.read([path], budget))
        chosen.append(one)
        warnings += notes
    relation = studies.relate_many([(one.study, one.series) for one in chosen])
    used = tuple(roles) or relation.roles
    relationship: Relationship = "temporal" if {"prior", "current"} <= set(roles) else relation.relationship
    images = tuple(frame_image(one.frame, role, when) for one, role, when in zip(chosen, used, relation.whens, strict=True))
    said = (*warnings, *relation.warnings)
    return LoadedImages(images, tuple(chosen), relationship, relation.reason, said, relation.blocking)


def middle(series: Series) -> Frame:
    """The frame a series is shown by: the middle one."""
    return series.frames[len(series.frames) // 2]


def _refuse(paths: Sequence[Path], settings: Settings, roles: Sequence[str]) -> None:
    if not paths:
        raise QuestionError("no image was given; name at least one with --image")
    if len(paths) > settings.max_images:
        raise QuestionError(f"{len(paths)} images were given and at most {settings.max_images} can be asked about; leave some out")
    if roles and len(roles) != len(paths):
        raise QuestionError(f"{len(roles)} roles were given for {len(paths)} images; give one role for each image, or none")


def _choose(path: Path, reading: Reading) -> tuple[Chosen, list[str]]:
    """The series at a path with the most frames, the first of equals, and what else was there."""
    every = [(study, series) for study in reading.studies for series in study.series if series.frames]
    if not every:
        raise _why_not(path, reading)
    study, series = max(every, key=lambda item: len(item[1].frames))
    frame = middle(series)
    notes = [*reading.warnings]
    if len(every) > 1:
        notes.append(f"{path.name} holds {len(every)} series; {series.description or series.modality or 'one'} was taken")
    if len(series.frames) > 1:
        number = series.frames.index(frame) + 1
        notes.append(f"{path.name} holds {len(series.frames)} frames; frame {number} was taken")
    return Chosen(study, series, frame), [*notes, *frame.warnings]


def _why_not(path: Path, reading: Reading) -> StudyUnreadable | StudyUnsupported:
    """The error for a path without a picture: the reason of its first file that has one."""
    told = next((file for file in reading.files if file.reason), None)
    if told is None:
        return StudyUnreadable("no picture was found here; give a DICOM, NIfTI, PNG, JPEG or TIFF file or a folder of them", str(path))
    return (StudyUnsupported if told.outcome == "skipped" else StudyUnreadable)(told.reason, told.path)
