"""Small studies as values, and the way into a store past the reader, for tests that are not about reading files."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from storage import importing
from storage.store import Store
from storage.studies.model import FileOutcome, Frame, Reading, Series, Source, Study, Window
from storage.views import AnswerRecord, ImportReport, User

_numbers = itertools.count(1)


def files(folder: Path) -> Iterator[Source]:
    """New files with different bytes, as many as are asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in _numbers:
        body = f"pixels {number}".encode()
        path = folder / f"{number}.dcm"
        path.write_bytes(body)
        yield Source(path, "dicom", hashlib.sha256(body).hexdigest())


def frame(source: Source, index: int = 0, location: float | None = None, **more: object) -> Frame:
    """A calibrated 4 x 6 frame with everything set that a CT slice has."""
    values: dict[str, object] = {
        "rows": 4,
        "columns": 6,
        "units": "HU",
        "spacing": (0.1 + 0.2, 1 / 3),
        "position": (-120.5, -98.25, location or 0.0),
        "orientation": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        "location": location,
        "windows": (Window(40.0, 400.0, "soft tissue"), Window(-600.0, 1500.0, function="SIGMOID")),
        "instance_uid": f"2.25.{source.sha256[:8]}",
        "frame_of_reference": "2.25.77",
        "warnings": ("the window is 0 wide",),
    }
    return Frame(source, index, **(values | more))  # type: ignore[arg-type]


def series(frames: tuple[Frame, ...], uid: str = "2.25.10", **more: object) -> Series:
    """A CT series."""
    values: dict[str, object] = {"modality": "CT", "number": 2, "description": "Thorax 1.0", "plane": "axial", "body_part": "CHEST"}
    return Series(uid, frames=frames, **(values | more))  # type: ignore[arg-type]


def study(
    *of: Series, uid: str = "2.25.1", patient: str = "P-0001", acquired: datetime | None = datetime(2021, 5, 4, 10, 30), **more: object
) -> Study:
    """A study of one patient."""
    values: dict[str, object] = {"patient_sex": "F", "patient_birth_year": 1950, "description": "Thorax", "warnings": ("no time",)}
    return Study(uid, patient, acquired=acquired, series=of, **(values | more))  # type: ignore[arg-type]


def reading(*studies: Study) -> Reading:
    """What the reader would say of these studies' files."""
    sources = {one.source.path: one.source for item in studies for group in item.series for one in group.frames}
    return Reading(studies, tuple(FileOutcome(str(path), "imported", sha256=source.sha256) for path, source in sources.items()))


def put(store: Store, user: User, *studies: Study, shared: bool = False) -> ImportReport:
    """Keep studies that are values already."""
    read = reading(*studies)
    with store._content.workspace() as workspace:
        sources = [one.source for item in read.studies for group in item.series for one in group.frames]
        failed = store._content.keep(sources, workspace)
        return importing.keep(store._database, store._content, read, failed, user, shared)


def record(text: str = "The effusion is larger.", **more: object) -> AnswerRecord:
    """An answer with every field set."""
    values: dict[str, object] = {
        "state": "complete",
        "model": "bundled",
        "engine": "gguf",
        "model_digest": "m" * 64,
        "image_hashes": ("b" * 64, "a" * 64),
        "roles": ("prior", "current"),
        "whens": ("", "14 days later"),
        "prompt": "<image> <image> What changed?",
        "adapter_digest": "d" * 64,
        "options": {"max_tokens": 160, "temperature": 0.0},
        "seed": 2**40,
        "timings": {"first_token_s": 0.71, "tokens": 3},
        "checks": {"coherent": True, "swap": {"worse": 0.25}},
        "progression": {"effusion": {"worse": 0.6, "stable": 0.3, "improved": 0.1}, "consolidation": {"new": 1.0}},
        "confidence": 0.61,
        "tokens": ("The", " effusion", " is"),
        "logprobs": (-0.1, -2.25, float("-inf")),
        "warnings": ("different views",),
    }
    return AnswerRecord(text, **(values | more))  # type: ignore[arg-type]
