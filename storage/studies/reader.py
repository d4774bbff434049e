"""From paths to studies: every file, folder, archive and DICOMDIR of an upload becomes frames or one clear sentence."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from errors import StudyError, StudyUnreadable
from storage.studies import dicom, dicomdir, dicomfile, grouping, images, nifti, pixels
from storage.studies.archive import Unpacker
from storage.studies.boundary import quiet, typed
from storage.studies.budget import Budget
from storage.studies.decoders import NATIVE, choose
from storage.studies.deidentify import Deidentifier
from storage.studies.dicom import Loaded
from storage.studies.dicomfile import NoPicture
from storage.studies.model import FileOutcome, Kind, Outcome, Reading, Source

Progress = Callable[[int, int], None]
_JUNK = (".ds_store", "thumbs.db", "desktop.ini", ".gitkeep", "autorun.inf")
_DICOM_NAMES = (".dcm", ".dicom", ".ima", ".dic")
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OTHERS = {
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"%PDF": "a PDF",
    b"RIFF": "a WebP, AVI or WAV",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
}
_CHECK_SECONDS = 20.0
_WORKERS = min(4, os.cpu_count() or 1)


def read(
    paths: Sequence[Path],
    budget: Budget | None = None,
    names: Mapping[Path, str] | None = None,
    *,
    deidentifier: Deidentifier | None = None,
    workspace: Path | None = None,
    progress: Progress | None = None,
) -> Reading:
    """Read DICOM, NIfTI, PNG, JPEG and TIFF files, folders, zip archives and DICOMDIRs into studies.

    Never raises for a bad file: it is `refused` or `skipped` with one sentence in `Reading.files` and the rest
    goes on. `names` maps a path to what the user calls it. With a `deidentifier`, each accepted file is rewritten
    without identity into its folder and the frames' sources are those new files. `workspace` is where archives
    are unpacked (default: a temporary folder that lives as long as the process). `progress(done, total)`.
    """
    return _Reader(budget or Budget(), names or {}, deidentifier, workspace, progress).run([Path(path) for path in paths])


@dataclass(frozen=True)
class _Result:
    """What became of one file: its frames, or why there are none. `inner` is the archive or DICOMDIR to open next."""

    name: str
    outcome: Outcome = "imported"
    reason: str = ""
    digest: str = ""
    loaded: Loaded | None = None
    inner: Callable[[], None] | None = None


class _Reader:
    """State of one upload. Files are prepared by a few threads; what they gave is gathered here in the order of the files."""

    def __init__(
        self,
        budget: Budget,
        names: Mapping[Path, str],
        deidentifier: Deidentifier | None,
        workspace: Path | None,
        progress: Progress | None,
    ) -> None:
        self.budget, self.names, self.deidentifier, self.progress = budget, names, deidentifier, progress
        self._workspace = workspace
        self.loaded: list[Loaded] = []
        self.outcomes: list[FileOutcome] = []
        self.seen: dict[str, str] = {}
        self.total = 0
        self.checking = _CHECK_SECONDS

    def run(self, paths: list[Path]) -> Reading:
        queue: list[tuple[Path, str, bool]] = []
        for path in paths:
            name = self.names.get(path, str(path))
            if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where nothing may be seen
                queue.extend(self._folder(path, name))
            else:
                queue.append((path, name, True))
        self.total = len(queue)
        quiet()
        with ThreadPoolExecutor(_WORKERS) as pool:
            for result in pool.map(lambda job: self._prepare(*job), queue):
                self._settle(result)
        studies = grouping.group(self.loaded)
        return Reading(studies, tuple(self.outcomes), tuple(dict.fromkeys(note for study in studies for note in study.warnings)))

    def _folder(self, folder: Path, name: str) -> Iterator[tuple[Path, str, bool]]:
        """Regular files under a folder in the order of their names; links to folders and out of it are skipped, and it is said."""
        root = folder.resolve()
        count = 0

        def closed(error: OSError) -> None:
            shown = str(Path(name, Path(error.filename or folder).relative_to(folder)))
            self._note(shown, "refused", f"is a folder that cannot be opened ({error.strerror}); change its permissions and try again")

        for where, folders, files in os.walk(folder, onerror=closed):
            folders.sort()
            for link in (path for inner in folders if (path := Path(where, inner)).is_symlink()):
                self._note(str(Path(name, link.relative_to(folder))), "skipped", "is a link to a folder; it was not followed")
            for file in sorted(files):
                path = Path(where, file)
                shown = str(Path(name, path.relative_to(folder)))
                count += 1
                if count > self.budget.entries:
                    self._note(
                        shown, "refused", f"comes after {self.budget.entries:,} other files of its folder; raise max_archive_entries"
                    )
                    return
                if path.is_symlink() and not path.resolve().is_relative_to(root):
                    self._note(shown, "skipped", "is a link that leads out of the folder; it was not followed")
                    continue
                yield path, shown, False

    def _note(self, name: str, outcome: Outcome, reason: str = "", digest: str = "") -> None:
        self.outcomes.append(FileOutcome(name, outcome, reason, digest))
        if self.progress is not None:
            self.progress(len(self.outcomes), max(self.total, len(self.outcomes)))

    def _prepare(self, path: Path, name: str, asked: bool, unpacked: bool = False) -> _Result:
        """Read one file; whatever happens, there is a result. Changes nothing that other threads see."""
        if path.name.lower() in _JUNK or path.name.startswith("._"):
            return _Result(name, "skipped", "is a file of the operating system, not an image")
        try:
            with typed(name):
                return self._read(path, name, asked, unpacked)
        except NoPicture as error:
            return _Result(name, "skipped", error.reason)
        except StudyError as error:
            return _Result(name, "refused", error.reason)

    def _settle(self, result: _Result) -> None:
        """Take a result into the reading."""
        if result.inner is not None:
            self._open(result.name, result.inner)
        elif result.loaded is None:
            self._note(result.name, result.outcome, result.reason, result.digest)
        elif result.digest in self.seen:
            self._note(result.name, "duplicate", f"holds the same image as {self.seen[result.digest]}", result.digest)
        else:
            self.seen[result.digest] = result.name
            self.loaded.append(result.loaded)
            self._note(result.name, "imported", "; ".join(result.loaded.frames[0].warnings), result.digest)

    def _open(self, name: str, inner: Callable[[], None]) -> None:
        try:
            with typed(name):
                inner()
        except NoPicture as error:
            self._note(name, "skipped", error.reason)
        except StudyError as error:
            self._note(name, "refused", error.reason)

    def _read(self, path: Path, name: str, asked: bool, unpacked: bool) -> _Result:
        if not stat.S_ISREG(path.stat().st_mode):
            raise StudyUnreadable("is not a regular file; give a file or a folder")
        with path.open("rb") as file:
            head = file.read(544)
        if not head:
            raise StudyUnreadable("is empty; export or copy it again")
        if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            return _Result(name, inner=lambda: self._archive(path, name, unpacked))
        if head[128:132] != b"DICM" and (kind := self._plain_kind(path, head, asked)):
            return self._picture(path, kind, name)
        if dicomdir.is_dicomdir(path, head):
            return _Result(name, inner=lambda: self._dicomdir(path, name, asked))
        return self._dicom(path, name)

    def _plain_kind(self, path: Path, head: bytes, asked: bool) -> Kind | None:
        """`image` or `nifti`, None when only DICOM is left to try. Raises for formats that are none of ours."""
        if head.startswith(_PICTURES):
            if path.suffix.lower() in _DICOM_NAMES:
                raise StudyUnreadable("is named as DICOM but is a plain picture; give it its own name or export it as DICOM")
            return "image"
        if nifti.is_nifti(head) or (head[:2] == b"\x1f\x8b" and nifti.is_nifti(nifti.head_of(path))):
            return "nifti"
        other = next(
            (words for magic, words in _OTHERS.items() if head.startswith(magic)), "a gzip file" if head[:2] == b"\x1f\x8b" else ""
        )
        if other:
            raise NoPicture(f"is {other}, which is not read here; export it as DICOM, NIfTI, PNG, JPEG or TIFF")
        if not asked and path.suffix.lower() not in _DICOM_NAMES and _is_text(head):
            raise NoPicture("is a text file, not an image; it was left out")
        return None

    def _archive(self, path: Path, name: str, unpacked: bool) -> None:
        if unpacked:
            raise StudyUnreadable("is an archive inside an archive, which is not opened; unpack it first")
        folder = Path(tempfile.mkdtemp(dir=self._work()))
        found = 0
        for inside, target in Unpacker(path, folder, self.budget).entries():
            found += 1
            shown = f"{name}/{inside}"
            if isinstance(target, StudyError):
                self._note(shown, "refused", target.reason)
                continue
            self._settle(self._prepare(target, shown, False, unpacked=True))
            if self.deidentifier is not None:
                target.unlink(missing_ok=True)
        if not found:
            raise StudyUnreadable("is an archive without files; make it again")

    def _work(self) -> Path:
        if self._workspace is None:
            self._workspace = Path(tempfile.mkdtemp(prefix="interval-"))
            atexit.register(shutil.rmtree, self._workspace, ignore_errors=True)
        self._workspace.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._workspace

    def _dicomdir(self, path: Path, name: str, asked: bool) -> None:
        """A DICOMDIR given by itself names its files; inside a folder the files are read anyway."""
        if not asked:
            raise NoPicture("is a directory of files (DICOMDIR); the files themselves were read")
        escaped = 0
        entries = dicomdir.entries(path, self.budget)
        self.total += len(entries)
        for entry in entries:
            if entry.path is None:
                escaped += 1
                self._note(f"{name}: {entry.name}", "refused", "is a path that leaves the folder of the DICOMDIR; it was not opened")
            else:
                self._settle(self._prepare(entry.path, str(Path(name).parent / entry.name), False))
        raise NoPicture(
            f"is a directory of {len(entries):,} files (DICOMDIR); {'the files it names were read' if entries else 'it names none'}"
        )

    def _digest(self, path: Path) -> str:
        """SHA-256 of a file that is kept as it is; '' when it will be rewritten and get a hash of its own."""
        self.budget.check_bytes(path.stat().st_size)
        if self.deidentifier is not None:
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _dicom(self, path: Path, name: str) -> _Result:
        digest = self._digest(path)
        opened = dicomfile.open_header(path, self.budget)
        dicomfile.refuse_non_images(opened)
        shape = dicomfile.pixel_format(opened, self.budget)
        choose(opened.layout.syntax)
        first = self._try_pixels(opened, shape)
        source = Source(path, "dicom", digest)
        if self.deidentifier is not None:
            opened, source = self.deidentifier.dicom(opened)
        dicomfile.remember(source.sha256, opened)
        if first is not None:
            pixels.remember(source.sha256, first)
        return _Result(name, digest=source.sha256, loaded=dicom.describe(opened, shape, source))

    def _try_pixels(self, opened: dicomfile.Header, shape: dicomfile.PixelFormat) -> NDArray[np.generic] | None:
        """Decode the first frame of a compressed file now, so that damage is told on import (first 20 s of an upload)."""
        if opened.layout.syntax in NATIVE or self.checking <= 0:
            return None
        started = time.monotonic()
        array = pixels.check(opened, shape)
        self.checking -= time.monotonic() - started
        return array

    def _picture(self, path: Path, kind: Kind, name: str) -> _Result:
        source = Source(path, kind, self._digest(path))
        shown = Path(name).name.removesuffix(".gz").rsplit(".", 1)[0]
        if self.deidentifier is not None:
            source, shown = self.deidentifier.picture(source, shown)
        describe = nifti.describe if kind == "nifti" else images.describe
        study, series = describe(source.path, source, self.budget, shown)
        return _Result(name, digest=source.sha256, loaded=Loaded(study, series, series.frames))


def _is_text(head: bytes) -> bool:
    return b"\0" not in head and sum(byte < 9 or 13 < byte < 32 for byte in head) == 0
