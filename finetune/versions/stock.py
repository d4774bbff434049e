"""The images of all versions, each once, named by the SHA-256 of its file and never changed."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from errors import StudyError, TuneError
from finetune import pictures
from finetune.versions.drafts import Draft, Look
from finetune.versions.leakage import pixels_of
from finetune.versions.lines import IMAGES, Line, Shown
from finetune.versions.shelf import READ_ONLY
from inference import manifest


@dataclass(frozen=True)
class Stock:
    """Keeps images below the folder of all versions."""

    versions: Path

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.versions / IMAGES

    def line(self, draft: Draft) -> Line:
        """The draft with its images kept. Raises `StudyError` for one that cannot be read, `TuneError` on a full disk."""
        return replace(draft.line, images=tuple(self.keep(look) for look in draft.looks))

    def keep(self, look: Look) -> Shown:
        """Bring in a copy of one image."""
        assert look.path is not None
        if trouble := pictures.trouble(look.path):
            raise StudyError(trouble)
        if not (pixels := pixels_of(look.path)):
            raise StudyError("it cannot be read", look.name)
        digest, suffix = manifest.digest(look.path), look.path.suffix.lower()
        self._bring(look.path, self.folder / f"{digest}{suffix}")
        return Shown(digest, pixels, suffix, look.name, look.role, look.when)

    def bring(self, path: Path, sha256: str, suffix: str) -> bool:
        """Bring in a file that is known by its hash; whether it is that file. Raises `TuneError` on a full disk."""
        if not path.is_file() or manifest.digest(path) != sha256:
            return False
        self._bring(path, self.folder / f"{sha256}{suffix}")
        return True

    def _bring(self, path: Path, place: Path) -> None:
        if place.is_file():
            return
        part = place.with_name(f".{place.name}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            shutil.copyfile(path, part)
            part.chmod(READ_ONLY)
            part.replace(place)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise TuneError(f"{place}: the image cannot be kept ({error.strerror}); make room and build the version again") from error
