"""Which models this machine has: the catalogue shipped with Interval and the folders under the models directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from settings import Settings


@dataclass(frozen=True)
class ModelEntry:
    """One model. `state` is `ready`, `missing` (not built yet) or `damaged`; `note` says what to do about it."""

    name: str
    path: Path
    family: str
    engines: tuple[str, ...]
    state: Literal["ready", "missing", "damaged"]
    licence: str = ""
    revision: str = ""
    summary: str = ""
    note: str = ""


@dataclass(frozen=True)
class FileCheck:
    """One file of a model against its manifest: `ok`, `missing`, `changed` (hash differs) or `unlisted`."""

    name: str
    outcome: Literal["ok", "missing", "changed", "unlisted"]


@dataclass(frozen=True)
class Verification:
    """What `verify` found; `ok` when every listed file is there and unchanged."""

    name: str
    files: tuple[FileCheck, ...]

    @property
    def ok(self) -> bool:
        """No file is missing, changed or unlisted."""
        return bool(self.files) and all(file.outcome == "ok" for file in self.files)


def models(settings: Settings) -> tuple[ModelEntry, ...]:
    """Catalogue models and local folders, `bundled` first. Fast: sizes are compared, hashes are not."""
    raise NotImplementedError


def verify(settings: Settings, name: str) -> Verification:
    """Hash every file of a model against its manifest. Raises `ModelNotLoaded` for an unknown name."""
    raise NotImplementedError
