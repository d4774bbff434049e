"""From files to studies: frames are gathered by UID, series split where one geometry would be a lie, and put in order."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from storage.studies import geometry
from storage.studies.dicom import PROJECTION, Loaded
from storage.studies.model import Frame, Series, Study

_LATEST = datetime.max


@dataclass
class _Pile:
    """Files of one series while they are being gathered."""

    study: Study
    files: list[Loaded] = field(default_factory=list)


def group(files: Iterable[Loaded]) -> tuple[Study, ...]:
    """Studies ordered by patient and date, series by number, frames by place or instance number."""
    piles: dict[tuple[str, str, str], _Pile] = {}
    studies: dict[tuple[str, str], Study] = {}
    for loaded in files:
        key = (loaded.study.patient_id, loaded.study.uid)
        known = studies.setdefault(key, loaded.study)
        studies[key] = _merged(known, loaded.study)
        piles.setdefault((*key, loaded.series.uid), _Pile(loaded.study)).files.append(loaded)
    grown: dict[tuple[str, str], list[Series]] = {key: [] for key in studies}
    for (patient, uid, _), pile in piles.items():
        grown[patient, uid].extend(_split(pile.files))
    whole = (replace(study, series=tuple(sorted(grown[key], key=_series_order))) for key, study in studies.items())
    return tuple(sorted(whole, key=lambda study: (study.patient_id, study.acquired or _LATEST, study.uid)))


def _merged(first: Study, second: Study) -> Study:
    """Fill what the first file left empty; the earlier moment is the study's."""
    moments = [moment for moment in (first.acquired, second.acquired) if moment]
    return replace(
        first,
        acquired=min(moments) if moments else None,
        description=first.description or second.description,
        patient_sex=first.patient_sex or second.patient_sex,
        warnings=() if moments else first.warnings,
    )


def _series_order(series: Series) -> tuple[int, datetime, str]:
    return (series.number if series.number is not None else 1 << 30, series.acquired or _LATEST, series.uid)


def _geometry(loaded: Loaded) -> tuple[object, ...]:
    """What frames must share to be stacked: size, colour, direction; and for projections view and side."""
    frame = loaded.frames[0]
    direction = tuple(round(value, 2) + 0.0 for value in frame.orientation) if frame.orientation else ()
    view = (loaded.series.view, loaded.series.laterality) if loaded.series.modality in PROJECTION else ("", "")
    return (frame.rows, frame.columns, frame.samples, direction, loaded.series.modality, *view)


def _split(files: Sequence[Loaded]) -> list[Series]:
    """One series, or several where size, direction, modality or view differ. The largest part keeps the UID."""
    parts: dict[tuple[object, ...], list[Loaded]] = {}
    for loaded in files:
        parts.setdefault(_geometry(loaded), []).append(loaded)
    ordered = sorted(parts.items(), key=lambda part: (-len(part[1]), repr(part[0])))
    result = []
    for index, (key, members) in enumerate(ordered):
        series = _stack(members)
        if index:
            suffix = f".{zlib.crc32(repr(key).encode())}"
            series = replace(series, uid=series.uid[: 64 - len(suffix)] + suffix)
        if len(ordered) > 1:
            note = f"one of {len(ordered)} parts of a series whose images differ in size, direction or view"
            series = replace(series, warnings=(*series.warnings, note))
        result.append(series)
    return result


def _stack(files: Sequence[Loaded]) -> Series:
    """Order the frames of files that belong together, and say what is odd about the stack."""
    in_order = sorted(files, key=lambda loaded: loaded.order)
    frames, warnings = _unique(in_order)
    head = in_order[0].series
    warnings = [*dict.fromkeys(note for loaded in in_order for note in loaded.series.warnings), *warnings]
    if len(frames) > 1 and all(frame.location is not None for frame in frames):
        places = {frame.location for frame in frames}
        if len(places) == len(frames):
            frames = sorted(frames, key=lambda frame: frame.location or 0.0)
            missing = geometry.gaps(frames)
            if missing:
                warnings.append(f"{missing} slice{'s' if missing > 1 else ''} seem{'' if missing > 1 else 's'} to be missing")
        elif len(places) > 1:
            warnings.append("several images lie at the same place; they are in the order they were taken")
    laterality = head.laterality or next((loaded.series.laterality for loaded in in_order if loaded.series.laterality), "")
    return replace(head, frames=tuple(frames), laterality=laterality, warnings=tuple(warnings))


def _unique(files: Sequence[Loaded]) -> tuple[list[Frame], list[str]]:
    """All frames; of two files that claim the same SOP Instance UID both are kept and it is said."""
    seen: dict[str, str] = {}
    twice = 0
    frames: list[Frame] = []
    for loaded in files:
        digest = loaded.frames[0].source.sha256
        uid = loaded.frames[0].instance_uid
        if uid and seen.setdefault(uid, digest) != digest:
            twice += 1
        frames.extend(loaded.frames)
    return frames, [f"{twice} image{'s' if twice > 1 else ''} share their identifier with a different image"] if twice else []
