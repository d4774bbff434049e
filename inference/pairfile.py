"""A CSV of prior and current images below one folder: its rows, and each path's image as a model is shown it.

The file needs the columns `prior_path` and `current_path`; further ones are kept for whoever asks. A path is relative to
the image root and may not leave it, by `..`, as an absolute path or through a link, because the file may come from anyone.

    rows = load(Path("pairs.csv"))
    films = Films(Path("images"), Budget())
    prior, current = films.pair(rows[0])
"""

from __future__ import annotations

import csv
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from errors import InputError, StudyUnreadable
from inference.engine import Image
from inference.images import frame_image
from storage import studies
from storage.studies import Budget, Frame, Series, Study, pixels

COLUMNS = ("prior_path", "current_path")
ROLES = ("prior", "current")
KEPT_FILMS = 16
"""Decoded images kept at a time: the current of one pair is often the prior of the next."""
MOST_NAMED = 12
"""Column names that a sentence lists."""


@dataclass(frozen=True)
class PairRow:
    """One line of the file: both paths as written, and every other column by name."""

    prior_path: str
    current_path: str
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> tuple[str, str]:
        """Prior and current, as written."""
        return self.prior_path, self.current_path


@dataclass(frozen=True)
class Film:
    """The image that stands for a path: the picture as displayed, where it came from, and what a reader should know of it."""

    image: Image
    study: Study
    series: Series
    remarks: tuple[str, ...] = ()


def load(path: Path) -> tuple[PairRow, ...]:
    """Rows of a pair file. Raises `InputError` for a file that is missing, not CSV, without the two columns or without a row."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            names = [name.strip() for name in reader.fieldnames or ()]
            _require(path, names)
            reader.fieldnames = names
            rows = tuple(_row(line) for line in reader)
    except OSError as error:
        raise InputError(f"{path}: the pair file cannot be read ({error.strerror}); check --pairs") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: this is not a CSV file in UTF-8 ({error}); save it as one") from error
    if not rows:
        raise InputError(f"{path}: the pair file has a header and no pair; add a line for each pair")
    return rows


def _row(line: Mapping[str, str | None]) -> PairRow:
    given = {name: value or "" for name, value in line.items() if isinstance(name, str) and (value is None or isinstance(value, str))}
    return PairRow(given.pop(COLUMNS[0]), given.pop(COLUMNS[1]), given)


def _require(path: Path, names: Sequence[str]) -> None:
    """Refuse a header without the two columns."""
    missing = [name for name in COLUMNS if name not in names]
    if not missing:
        return
    for mark, word in ((";", "semicolons"), ("\t", "tabs")):
        if any(mark in name for name in names):
            raise InputError(f"{path}: the columns are separated by {word}; save the file with commas")
    listed = ", ".join(names[:MOST_NAMED]) or "no column at all"
    raise InputError(
        f"{path}: there is no column {' and no column '.join(missing)}, the header names {listed[:400]}; name the two columns so"
    )


class Films:
    """Images below `root`, read through the studies' reader (DICOM, NIfTI, PNG, JPEG, TIFF; a file or the folder of a series)."""

    def __init__(self, root: Path, budget: Budget | None = None) -> None:
        if not root.is_dir():
            raise InputError(f"{root}: the image root is not a folder; check --image-root")
        self._root = root.resolve()
        self._budget = budget or Budget()
        pixels.use(self._budget)
        self._kept: OrderedDict[str, Film] = OrderedDict()

    def film(self, path: str) -> Film:
        """The image that stands for `path`: of several series the one with most frames, its middle frame. Raises `StudyError`."""
        if path not in self._kept:
            self._kept[path] = self._read(path)
        self._kept.move_to_end(path)
        while len(self._kept) > KEPT_FILMS:
            self._kept.popitem(last=False)
        return self._kept[path]

    def pair(self, row: PairRow) -> tuple[Film, Film]:
        """Prior and current of a row, announced as such. Raises `StudyError` naming the one that cannot be used."""
        prior, current = (self.film(path) for path in row.paths)
        return tuple(replace(film, image=replace(film.image, role=role)) for film, role in zip((prior, current), ROLES, strict=True))  # type: ignore[return-value]

    def _inside(self, path: str) -> Path:
        """The path below the root. Raises `StudyUnreadable` for one that is empty, impossible or leads out."""
        if not path.strip():
            raise StudyUnreadable("the line names no image; fill in both paths")
        try:
            place = (self._root / path).resolve()
            inside = place.is_relative_to(self._root)
        except (OSError, ValueError, RuntimeError) as error:
            raise StudyUnreadable("this is no path; correct the line", path[:200]) from error
        if not inside:
            raise StudyUnreadable("the path leaves the image root, so it was not opened; put the image below the root", path)
        return place

    def _read(self, path: str) -> Film:
        place = self._inside(path)
        reading = studies.read([place], self._budget, {place: path})
        found = [(study, series) for study in reading.studies for series in study.series if series.frames]
        if not found:
            reasons = [file.reason for file in reading.files if file.reason]
            raise StudyUnreadable(reasons[0] if reasons else "holds no image that can be read; give DICOM, NIfTI, PNG, JPEG or TIFF", path)
        study, series = max(found, key=lambda one: len(one[1].frames))
        middle = len(series.frames) // 2
        frame = series.frames[middle]
        return Film(frame_image(frame), study, series, _remarks(path, len(found), series, frame, middle))


def _remarks(path: str, series: int, best: Series, frame: Frame, middle: int) -> tuple[str, ...]:
    """How a path became one image. That a plain picture names no patient or date is known and not said of each."""
    said = []
    if series > 1:
        said.append(f"{path} holds {series} series and {best.description or best.modality} was taken; name the folder of one to choose")
    if len(best.frames) > 1:
        said.append(f"{path}: frame {middle + 1} of {len(best.frames)} was shown to the model")
    return (*said, *(() if frame.source.kind == "image" else (*best.warnings, *frame.warnings)))


def between(prior: Film, current: Film) -> tuple[str, ...]:
    """What speaks against comparing two images: another patient, the dates in the other order, another view or side."""
    same = prior.image.sha256 == current.image.sha256
    said = ("both paths show the same picture, so any change in the answer is invented",) if same else ()
    if all(film.series.frames[0].source.kind == "image" for film in (prior, current)):
        return said
    return (*said, *studies.relate((prior.study, prior.series), (current.study, current.series)).warnings)
