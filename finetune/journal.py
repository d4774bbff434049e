"""Answers kept as they are given, one JSON object a line, so that a run that was killed goes on where it stopped.

What was interrupted in the middle of a line is dropped when the file is opened again; a full disk leaves whole lines behind.

    with Journal(folder / "answers.jsonl") as journal:
        row = journal.rows.get(address) or journal.add(address, ask())
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from errors import TuneError

Row = dict[str, Any]


class Journal:
    """An append-only file of rows by address. One process at a time writes to it. Raises `TuneError`, one sentence."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise TuneError(f"{path} cannot be written ({error.strerror}); choose another folder with --out") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.rows = self._read()
        except BlockingIOError as error:
            os.close(self._file)
            raise TuneError(f"{path.parent} is being written by another run; wait for it, or give another folder with --out") from error
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def add(self, address: str, row: Mapping[str, Any]) -> Row:
        """Append one row and return it as it will be read back. Raises `TuneError` on a full disk, with nothing half-written."""
        line = json.dumps({"address": address, **row}).encode() + b"\n"
        end = os.fstat(self._file).st_size
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            os.ftruncate(self._file, end)
            raise TuneError(
                f"{self._path} cannot be written ({error.strerror}); make room and run the same command again, it goes on from here"
            ) from error
        self.rows[address] = dict(row)
        return self.rows[address]

    def close(self) -> None:
        """Bring the rows to the disk and let other runs in."""
        try:
            os.fsync(self._file)
        finally:
            os.close(self._file)

    def _read(self) -> dict[str, Row]:
        """Every whole row; what follows the last line's end is cut off, a line that is no row is asked for again."""
        raw = self._path.read_bytes()
        whole = raw.rfind(b"\n") + 1
        if whole < len(raw):
            os.ftruncate(self._file, whole)
        rows: dict[str, Row] = {}
        for line in raw[:whole].splitlines():
            try:
                row = json.loads(line)
                rows[str(row.pop("address"))] = row
            except (ValueError, KeyError, AttributeError, TypeError):
                continue
        return rows
