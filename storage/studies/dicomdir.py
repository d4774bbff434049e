"""DICOMDIR: the files a medium's directory names, never one outside its own folder (CVE-2026-32711 in others)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from errors import StudyTooLarge
from storage.studies.budget import Budget
from storage.studies.dicomfile import open_header

_CLASS = b"1.2.840.10008.1.3.10"


@dataclass(frozen=True)
class Entry:
    """One file a DICOMDIR names; `path` is None when it would leave the folder."""

    name: str
    path: Path | None


def is_dicomdir(path: Path, head: bytes) -> bool:
    """Whether the file is a media directory, by its SOP class or by its name."""
    return _CLASS in head[132:544] or (path.name.upper() == "DICOMDIR" and head[128:132] == b"DICM")


def entries(path: Path, budget: Budget) -> tuple[Entry, ...]:
    """Files named by the directory records, in their order. Raises `StudyError`."""
    dataset = open_header(path, budget).dataset
    root = path.parent.resolve()
    found = []
    for record in dataset.get("DirectoryRecordSequence") or ():
        value = record.get("ReferencedFileID")
        if not value:
            continue
        parts = [value] if isinstance(value, str) else [str(part) for part in value]
        name = "/".join(parts)
        target = root.joinpath(*parts)
        safe = all(part not in ("", ".", "..") and "\0" not in part for part in parts) and target.resolve().is_relative_to(root)
        found.append(Entry(name, target if safe else None))
        if len(found) > budget.entries:
            raise StudyTooLarge(f"names more than {budget.entries:,} files; raise max_archive_entries")
    return tuple(found)
