"""A table of labelled single images as records: image, patient, what it shows, what it does not, on which side, how much.

Columns are known by name, as the public tables write them (case, spaces, `_` and a trailing `[...]` do not matter):

image     `image`, `path`, `image_id`, `Image Index`; a path below the image folder, or its last part
patient   `patient`, `patient_id`, `person_id`, `Patient ID`; where empty it is read from the image's name, else the image is its own
label     `label`, `labels`, `finding`, `findings`, `Finding Labels`: names apart by `|` or `;`; `NORMAL`, `No Finding`, `none` or
          nothing mean none. What a row does not name is absent, so this column must be exhaustive
a finding any other column whose cells are all yes/no, present/absent, 1/0, -1, unknown or empty; -1, unknown and empty say nothing
F side, F severity   beside a finding F: right, left or bilateral; a number from 0 to 1, or mild, moderate, severe

    read(Path("cxr_kermany/labels.csv"), Path("cxr_kermany/images"))
"""

from __future__ import annotations

import csv
import gzip
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from errors import TuneError
from finetune import lookup

IMAGE = ("image", "path", "image_id", "image_index")
PATIENT = ("patient", "patient_id", "person_id")
LABEL = ("label", "labels", "finding", "findings", "finding_labels")
NONE = frozenset({"", "normal", "no finding", "none"})
PRESENT = frozenset({"present", "yes", "1", "1.0", "true"})
ABSENT = frozenset({"absent", "no", "0", "0.0", "false"})
UNKNOWN = frozenset({"", "-1", "-1.0", "unknown", "uncertain"})
SIDES = frozenset({"right", "left", "bilateral"})
GRADES = {"mild": 0.2, "small": 0.2, "moderate": 0.5, "severe": 0.8, "large": 0.8}
NAMES = {
    "pneumonia bacteria": "bacterial pneumonia",
    "pneumonia virus": "viral pneumonia",
    "effusion": "pleural effusion",
    "nodule or mass": "nodule or mass",
}
"""What a table writes, in lower case without underscores -> what a radiologist says."""
IMPLIES = {"bacterial pneumonia": "pneumonia", "viral pneumonia": "pneumonia"}
NAMED_PATIENT = r"person\d+|(?:NORMAL2-)?IM-\d+|\b\d{8}(?=_)"
"""How a patient is read from an image's name: Kermany's and ChestX-ray14's forms."""


@dataclass(frozen=True)
class Record:
    """One image. `image` is its path below the image folder; findings in neither set are not known of it."""

    image: str
    patient: str
    present: frozenset[str]
    absent: frozenset[str]
    side: Mapping[str, str] = field(default_factory=dict)
    severity: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Columns:
    """Which column of the table is what; `findings` is column -> finding."""

    image: str
    patient: str | None
    label: str | None
    findings: Mapping[str, str]
    sides: Mapping[str, str]
    severities: Mapping[str, str]


def read(table: Path, image_root: Path, patient: str | None = None) -> tuple[Record, ...]:
    """Records of the images that are below `image_root`, in the table's order.

    `patient` is a regular expression that reads the patient from the image's name and goes before the patient column.
    Raises `TuneError` when the table cannot be read, has no image or no label column, or none of its images is there.
    """
    rows = _rows(table)
    columns = _columns(table, rows)
    pattern = _pattern(patient)
    files = _files([row[columns.image] for row in rows], image_root)
    rows = [row for row in rows if row[columns.image] in files]
    if not rows:
        raise TuneError(f"{table.name}: none of its images is below {image_root}; give the folder that holds them")
    every = {name for row in rows for name in _named(row, columns)}
    return tuple(_record(row, files[row[columns.image]], columns, every, patient is not None, pattern) for row in rows)


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        with gzip.open(table, "rt", newline="") if table.suffix == ".gz" else table.open(newline="") as file:
            rows = [{key: value or "" for key, value in row.items() if key is not None} for row in csv.DictReader(file)]
    except (OSError, ValueError, EOFError, csv.Error) as error:
        cause = getattr(error, "strerror", None) or error
        raise TuneError(f"{table}: the table of labels cannot be read ({cause}); give a CSV file, gzipped or not") from error
    if not rows:
        raise TuneError(f"{table.name}: the table of labels has no rows; give a CSV file with one row for each image")
    return rows


def _pattern(patient: str | None) -> re.Pattern[str]:
    try:
        return re.compile(patient or NAMED_PATIENT)
    except re.error as error:
        raise TuneError(f"{patient}: this is no regular expression ({error}); correct how patients are named") from error


def plain(column: str) -> str:
    """A column's name as it is compared: ``Patient ID`` -> ``patient_id``."""
    return re.sub(r"[\s_]+", "_", column.partition("[")[0].strip().lower())


def finding(name: str) -> str:
    """A label in words: ``PNEUMONIA_VIRUS`` -> ``viral pneumonia``."""
    words = re.sub(r"[\s_]+", " ", name.strip().lower())
    return NAMES.get(words, words)


def _columns(table: Path, rows: Sequence[Mapping[str, str]]) -> _Columns:
    heads = {plain(head): head for head in rows[0] if head}
    image, patient, label = (next((heads[name] for name in names if name in heads), None) for names in (IMAGE, PATIENT, LABEL))
    if image is None:
        raise TuneError(f"{table.name}: no column names the image (it has {', '.join(heads.values())}); name one `image`")
    known = {column for column in (image, patient, label) if column}
    words = PRESENT | ABSENT | UNKNOWN
    binary = [column for column in heads.values() if column not in known and _binary(rows, column, words)]
    found = {column: finding(column) for column in binary}
    if label is None and not found:
        raise TuneError(f"{table.name}: no column tells what an image shows (it has {', '.join(heads.values())}); name one `label`")
    return _Columns(image, patient, label, found, _beside(found, heads, "side"), _beside(found, heads, "severity"))


def _beside(found: Iterable[str], heads: Mapping[str, str], what: str) -> dict[str, str]:
    """Column of a finding -> the column of its side or severity, where there is one."""
    return {column: heads[name] for column in found if (name := f"{plain(column)}_{what}") in heads}


def _binary(rows: Sequence[Mapping[str, str]], column: str, words: frozenset[str]) -> bool:
    """Whether a column speaks of a finding: only known words, and present or absent at least once."""
    spoken = False
    for row in rows:
        cell = row.get(column, "").strip().lower()
        if cell not in words:
            return False
        spoken = spoken or cell not in UNKNOWN
    return spoken


def _files(names: Sequence[str], root: Path) -> dict[str, str]:
    """Name in the table -> path below `root`. A file named like the image with a dash and more is taken where it is the only one."""
    files = [Path(folder, file) for folder, _, some in os.walk(root) for file in some]
    there = {path.name for path in files}
    safe = [name for name in dict.fromkeys(names) if name and lookup.safe(name)]
    here = [name for name in safe if name.rpartition("/")[2] in there]
    found = {name: path.relative_to(root).as_posix() for name, path in lookup.find(here, [root]).items()}
    taken, longer = set(found.values()), dict[str, list[str]]()
    for path in files:
        relative = path.relative_to(root).as_posix()
        if "-" in path.name and relative not in taken:
            longer.setdefault(path.name.partition("-")[0] + path.suffix, []).append(relative)
    return found | {name: longer[name][0] for name in safe if name not in found and len(longer.get(name, ())) == 1}


def _named(row: Mapping[str, str], columns: _Columns) -> set[str]:
    """Findings that the label column of a row names, with what they imply."""
    if columns.label is None:
        return set()
    names = {finding(name) for name in re.split(r"[|;]", row[columns.label])} - NONE
    return names | {IMPLIES[name] for name in names if name in IMPLIES}


def _record(row: Mapping[str, str], image: str, columns: _Columns, every: Iterable[str], by_name: bool, pattern: re.Pattern[str]) -> Record:
    present = _named(row, columns)
    absent = set(every) - present
    for column, name in columns.findings.items():
        cell = row[column].strip().lower()
        present, absent = present - {name}, absent - {name}
        if cell not in UNKNOWN:
            (present if cell in PRESENT else absent).add(name)
    sides = {columns.findings[column]: row[other].strip().lower() for column, other in columns.sides.items()}
    degrees = {columns.findings[column]: _degree(row[other]) for column, other in columns.severities.items()}
    return Record(
        image,
        _patient(row, columns, by_name, pattern),
        frozenset(present),
        frozenset(absent),
        {name: side for name, side in sides.items() if name in present and side in SIDES},
        {name: degree for name, degree in degrees.items() if name in present and degree is not None},
    )


def _degree(cell: str) -> float | None:
    """A severity in numbers, None where the cell has none."""
    word = cell.strip().lower()
    try:
        value = GRADES[word] if word in GRADES else float(word)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _patient(row: Mapping[str, str], columns: _Columns, by_name: bool, pattern: re.Pattern[str]) -> str:
    """Whose image a row is; `by_name` reads the image's name first."""
    name = Path(row[columns.image]).name
    named = pattern.search(name)
    written = row[columns.patient].strip() if columns.patient else ""
    first, second = (named[0] if named else "", written) if by_name else (written, named[0] if named else "")
    return first or second or Path(name).stem
