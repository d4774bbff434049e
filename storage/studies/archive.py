"""Zip archives opened as if they were hostile: nothing is written under a name of theirs, nothing beyond the budget.

Entries are unpacked one at a time under numbers of ours, so a name like `../../etc/passwd` has nowhere to go; it
is refused all the same, because a sound exporter never writes one.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from errors import StudyError, StudyTooLarge, StudyUnreadable
from storage.studies.budget import Budget

_CHUNK = 1 << 20
_RATIO, _RATIO_FROM = 200, 64 << 20
_END, _ENTRY = b"PK\x05\x06", b"PK\x01\x02"
_END64, _LOCATOR64 = b"PK\x06\x06", b"PK\x06\x07"


def _refuse_crowds(path: Path, budget: Budget) -> None:
    """Count entries by walking the central directory, before zipfile builds an object for each."""
    with path.open("rb") as file:
        file.seek(0, 2)
        size = file.tell()
        file.seek(max(0, size - 66_000))
        tail = file.read()
        at = tail.rfind(_END)
        if at < 0 or len(tail) < at + 22:
            raise StudyUnreadable("is a broken or truncated zip archive; make it again")
        (length,), end = struct.unpack_from("<L", tail, at + 12), size - len(tail) + at
        if at >= 76 and tail[at - 20 : at - 16] == _LOCATOR64 and tail[at - 76 : at - 72] == _END64:  # what zipfile goes by if there
            (length,), end = struct.unpack_from("<Q", tail, at - 36), end - 76
        file.seek(max(0, end - length))
        directory = file.read(min(length, 1 << 26))
    at, count = 0, 0
    while directory[at : at + 4] == _ENTRY and at + 46 <= len(directory):
        at += 46 + sum(struct.unpack_from("<3H", directory, at + 28))
        count += 1
        if count > budget.entries:
            raise StudyTooLarge(f"holds more than {budget.entries:,} files; raise max_archive_entries or import it in parts")


class Unpacker:
    """One archive; `entries` yields each file inside as (its name, the unpacked path or the error that keeps it out)."""

    def __init__(self, path: Path, folder: Path, budget: Budget) -> None:
        self._path, self._folder, self._budget = path, folder, budget
        self._total = 0

    def entries(self) -> Iterator[tuple[str, Path | StudyError]]:
        """Unpack one entry at a time. Raises `StudyError` when the archive as a whole is refused."""
        self._budget.check_bytes(self._path.stat().st_size)
        _refuse_crowds(self._path, self._budget)
        with zipfile.ZipFile(self._path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            if len(infos) > self._budget.entries:
                raise StudyTooLarge(f"holds {len(infos):,} files, over the limit of {self._budget.entries:,}; raise max_archive_entries")
            for number, info in enumerate(infos):
                try:
                    yield info.filename, self._one(archive, info, number)
                except StudyError as error:
                    yield info.filename, error
                    if isinstance(error, StudyTooLarge) and self._total > self._budget.inflated:
                        return
                except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
                    yield info.filename, StudyUnreadable(f"cannot be unpacked ({type(error).__name__}); make the archive again")

    def _one(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, number: int) -> Path:
        name = info.filename
        if name.startswith(("/", "\\")) or "\\" in name or ":" in name[:3] or ".." in PurePosixPath(name).parts:
            raise StudyUnreadable("has a path that leaves the archive; nothing of it was written")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise StudyUnreadable("is a link inside the archive; links are not followed")
        if info.flag_bits & 1:
            raise StudyUnreadable("is encrypted; unpack the archive with its password first")
        target = self._folder / f"{number:06d}{PurePosixPath(name).suffix[:12] if name.isascii() else ''}"
        packed, written = max(info.compress_size, 1), 0
        try:
            with archive.open(info) as source, target.open("wb") as out:
                while chunk := source.read(_CHUNK):
                    written += len(chunk)
                    self._total += len(chunk)
                    self._check(written, packed)
                    out.write(chunk)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return target

    def _check(self, written: int, packed: int) -> None:
        self._budget.check_bytes(written)
        if self._total > self._budget.inflated:
            raise StudyTooLarge(f"unpacks to more than {self._budget.inflated >> 20:,} MB; raise max_upload_mb or import it in parts")
        if written > _RATIO_FROM and written > _RATIO * packed:
            raise StudyTooLarge(f"unpacks to more than {_RATIO} times its size, which no real image does; it was refused")
