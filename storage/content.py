"""Imported files, named by what is in them: `content/ab/abcdef..`, so that the same bytes are kept once.

A file is complete or absent: it is written beside its place, flushed to the disk, and renamed. Only this user can
read it. Nothing is ever changed in place, so a backup may copy while people work.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from storage.database import private_folder
from storage.studies.model import Source

_CHUNK = 1 << 20
_STALE_SECONDS = 24 * 3600
_WRITERS = 8


class ContentStore:
    """The files under `root`. Several threads and processes may add at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        """Where the file with this hash is, or would be."""
        return self.root / sha256[:2] / sha256

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """A private folder on the same disk for files on their way in; gone at the end, and what a killed process left too."""
        private_folder(self.root)
        self._sweep()
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=self.root, ignore_cleanup_errors=True) as name:
            yield Path(name)

    def keep(self, sources: Sequence[Source], workspace: Path) -> dict[str, str]:
        """Bring the files in; hash -> why not, for those that could not be kept. On the disk when this returns.

        Files inside `workspace` are moved, others are copied and their hash is checked on the way.
        """
        distinct = {source.sha256: source for source in sources}
        with ThreadPoolExecutor(_WRITERS) as pool:
            reasons = pool.map(lambda source: self._keep_one(source, workspace), distinct.values())
            failed = {sha256: reason for sha256, reason in zip(distinct, reasons, strict=True) if reason}
            folders = {self.path(sha256).parent for sha256 in distinct if sha256 not in failed} | {self.root}
            list(pool.map(flush, folders))
        return failed

    def intact(self, sha256: str) -> str:
        """An empty string when the file is there with the right bytes, else what is wrong."""
        path = self.path(sha256)
        try:
            return "" if digest(path) == sha256 else "has other bytes than when it was imported"
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read ({os.strerror(error.errno or 0)})"

    def hashes(self) -> Iterator[tuple[str, int]]:
        """Hash and size in bytes of every file kept."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            for entry in sorted(os.scandir(folder), key=lambda item: item.name):
                yield entry.name, entry.stat().st_size

    def copy_out(self, sha256: str, target: Path) -> str:
        """Copy a kept file to the new file `target`, on the disk when this returns; the hash of what was copied. Raises `OSError`."""
        found = copied(self.path(sha256), target)
        target.chmod(0o600)
        flush(target)
        return found

    def bring(self, origin: Path, sha256: str) -> None:
        """Copy a file that has this hash in, on the disk when this returns. Raises `OSError`."""
        target = self.path(sha256)
        private_folder(target.parent)
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=self.root, ignore_cleanup_errors=True) as name:
            staged = Path(name) / sha256
            if copied(origin, staged) != sha256:
                raise OSError(errno.EIO, "the file changed while it was copied")
            staged.chmod(0o600)
            flush(staged)
            staged.replace(target)
        flush(target.parent)

    def remove(self, sha256: str) -> bool:
        """Remove a file; whether it was there."""
        try:
            self.path(sha256).unlink()
        except FileNotFoundError:
            return False
        return True

    def _keep_one(self, source: Source, workspace: Path) -> str:
        """Bring one file in; an empty string, or why it could not be kept."""
        target = self.path(source.sha256)
        try:
            if target.exists() and not self.intact(source.sha256):
                return ""
            private_folder(target.parent)
            staged = source.path
            if not staged.is_relative_to(workspace):
                staged = workspace / f"copy-{source.sha256}"
                if copied(source.path, staged) != source.sha256:
                    return "changed while it was being imported; import it again"
            staged.chmod(0o600)
            flush(staged)
            staged.replace(target)
        except OSError as error:
            return (
                f"could not be kept: {os.strerror(error.errno or 0).lower()}; free space or check the data directory, then import it again"
            )
        return ""

    def _sweep(self) -> None:
        """Remove what processes that were killed long ago left on the way in."""
        for folder in self.root.glob(".incoming-*"):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copied(origin: Path, target: Path) -> str:
    """Copy and hash in one pass over the bytes; the hash."""
    hashing = hashlib.sha256()
    with origin.open("rb") as reader, target.open("xb") as writer:
        while chunk := reader.read(_CHUNK):
            hashing.update(chunk)
            writer.write(chunk)
    return hashing.hexdigest()


def flush(path: Path) -> None:
    """Put a file's bytes, or a folder's names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
