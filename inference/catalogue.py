"""Which models this machine has: the catalogue shipped with Interval and the folders under the models directory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from errors import ModelNotLoaded
from inference import manifest
from inference.manifest import MANIFEST, Manifest
from inference.parity import Parity
from settings import Settings

CATALOGUE = Path(__file__).resolve().parents[1] / "assets" / "models.yaml"


class Score(BaseModel):
    """A published score of a model: what was measured, the figure as it was published, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measure: str
    value: str
    source: str


class Listed(BaseModel):
    """One entry of the shipped catalogue; `get` is the command that puts the model on this machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    family: str
    engines: tuple[str, ...]
    licence: str
    terms: str = ""
    """What the licence asks of its user; where it says something, adding the model takes an explicit yes."""
    summary: str
    source: str = Field(pattern=r"^(https://|Interval$)")
    repository: str = ""
    """`owner/name` on the hub; empty where there is nothing to download."""
    revision: str = "main"
    """Branch or commit; the commit behind it is pinned in the model's manifest when it is added."""
    released: bool = True
    size_gb: float = Field(gt=0)
    """Size of the files, about."""
    hardware: str
    tokens_per_image: int = Field(ge=1)
    tile: int = Field(ge=16)
    """Side in pixels of the square an image is given as."""
    context_tokens: int = Field(ge=128)
    image_order: Literal["oldest-first", "current-first"] = "oldest-first"
    text: str = ""
    mmproj: str = ""
    """Of a GGUF pair: the two files as patterns of their names."""
    scores: tuple[Score, ...] = ()
    get: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Listed:
        if self.released and not self.repository and not self.get:
            raise ValueError(f"{self.name} says neither where it is downloaded from nor how it is made")
        if ("gguf" in self.engines and bool(self.repository)) != bool(self.text and self.mmproj):
            raise ValueError(f"{self.name}: a GGUF pair that is downloaded names its two files, and nothing else does")
        return self

    @property
    def command(self) -> str:
        """The command that puts it on this machine; empty while its weights are not released."""
        return self.get or (f"python app.py models add {self.name}" if self.released else "")

    @property
    def note(self) -> str:
        """What to do to have it."""
        return f"run `{self.command}`" if self.command else f"not released by its authors yet ({self.source}); then add it by its path"


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
    listed: Listed | None = None
    parity: Parity | None = None


@dataclass(frozen=True)
class FileCheck:
    """One file of a model against its manifest.

    `ok`, `missing`, `changed` (hash differs), `unlisted` weights, or `on demand`: not there, made when it is needed.
    """

    name: str
    outcome: Literal["ok", "missing", "changed", "unlisted", "on demand"]


@dataclass(frozen=True)
class Verification:
    """What `verify` found; `ok` when every listed file is there and unchanged, and no weights lie beside them."""

    name: str
    files: tuple[FileCheck, ...]

    @property
    def ok(self) -> bool:
        """No file is missing, changed or unlisted."""
        return bool(self.files) and all(file.outcome in ("ok", "on demand") for file in self.files)


@cache
def _content() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    return found


@cache
def listed() -> tuple[Listed, ...]:
    """The shipped catalogue."""
    return tuple(Listed.model_validate(entry) for entry in _content()["models"])


def hub() -> str:
    """Address of the hub that the catalogue's models are downloaded from."""
    return str(_content()["hub"])


def models(settings: Settings) -> tuple[ModelEntry, ...]:
    """Catalogue models first, then local folders by name. Fast: sizes are compared, hashes are not."""
    known = {entry.name: entry for entry in listed()}
    local = sorted(path.parent.name for path in settings.models_dir.glob(f"*/{MANIFEST}") if not path.parent.name.startswith("."))
    names = [*known, *(name for name in local if name not in known)]
    return tuple(_entry(settings.models_dir / name, known.get(name)) for name in names)


def verify(settings: Settings, name: str) -> Verification:
    """Hash every file of a model against its manifest. Raises `ModelNotLoaded` for an unknown or absent model."""
    folder = folder_of(settings, name)
    content = manifest.read(folder)
    listed_files = content.files.items()
    checks = [FileCheck(file, _outcome(folder / file, sha256, file in content.on_demand)) for file, sha256 in listed_files]
    unlisted = sorted(set(_weights(folder)) - content.files.keys())
    return Verification(name, (*checks, *(FileCheck(file, "unlisted") for file in unlisted)))


def folder_of(settings: Settings, name: str) -> Path:
    """Folder of a model by name. Raises `ModelNotLoaded` with what to do about a missing one."""
    folder = settings.models_dir / name
    if Path(name).name == name and (folder / MANIFEST).is_file():
        return folder
    known = {entry.name: entry for entry in listed()}
    if name in known:
        raise ModelNotLoaded(f"model {name} is not on this machine yet; {known[name].note}")
    raise ModelNotLoaded(
        f"there is no model {name!r} here; choose one of `python app.py models list`, or give the path of a model's folder"
    )


def _entry(folder: Path, known: Listed | None) -> ModelEntry:
    if known and not (folder / MANIFEST).is_file():
        return ModelEntry(
            known.name, folder, known.family, known.engines, "missing", known.licence, known.revision, known.summary, known.note, known
        )
    try:
        content = manifest.read(folder)
    except ModelNotLoaded as error:
        family, engines = (known.family, known.engines) if known else ("", ())
        return ModelEntry(folder.name, folder, family, engines, "damaged", note=str(error))
    broken = next(_broken(folder, content), "")
    return ModelEntry(
        name=folder.name,
        path=folder,
        family=content.family,
        engines=content.engines,
        state="damaged" if broken else "ready",
        licence=content.licence,
        revision=content.revision,
        summary=content.summary or (known.summary if known else ""),
        note=f"{broken} is missing or has another size; {manifest.REBUILD}" if broken else "",
        listed=known,
        parity=content.measured,
    )


def _broken(folder: Path, content: Manifest) -> Iterator[str]:
    for name in content.files:
        path = folder / name
        if name in content.on_demand and not path.exists():
            continue
        if not path.is_file() or path.stat().st_size != content.bytes.get(name, path.stat().st_size):
            yield name


def _outcome(path: Path, sha256: str, on_demand: bool) -> Literal["ok", "missing", "changed", "on demand"]:
    if not path.is_file():
        return "on demand" if on_demand else "missing"
    return "ok" if manifest.digest(path) == sha256 else "changed"


def _weights(folder: Path) -> Iterator[str]:
    """Every file below a model's folder that a model parser might be pointed at."""
    for path in folder.rglob("*"):
        if path.suffix in {".gguf", ".safetensors", ".bin", ".pt", ".pth", ".pkl"}:
            yield path.relative_to(folder).as_posix()
