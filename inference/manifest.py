"""What a model folder says of itself, and the checks before any parser meets its files.

A model is a folder with `manifest.json`: name, family, files with their SHA-256, tile size. Parsers of model files
have a history of memory-safety bugs, so a file is opened by one only after its hash is the listed one; GGUF files
must also begin as GGUF.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from errors import ModelNotLoaded
from inference import families
from inference.engine import ModelCard
from inference.offsets import Offset
from inference.parity import Parity

MANIFEST = "manifest.json"
MAGIC = b"GGUF"
REBUILD = "copy the model again, or make it anew (bundled: `python app.py models build bundled`; another: `models remove` and `models add`)"


class Manifest(BaseModel):
    """The content of `manifest.json`; paths are relative to its folder."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    family: str
    files: Mapping[str, str]
    bytes: Mapping[str, int] = Field(default_factory=dict)
    revision: str = ""
    licence: str = "unknown"
    summary: str = ""
    text: str = "text-f16.gguf"
    mmproj: str = "mmproj-f16.gguf"
    hf: str = "hf"
    tile: int = Field(256, ge=16, le=4096)
    on_demand: tuple[str, ...] = ()
    """Listed files that `inference.weights` makes from the GGUF pair when transformers first needs them."""
    base: Mapping[str, str] = Field(default_factory=dict)
    """Of an adapter: SHA-256 of each weights file it was trained on."""
    tokens_per_image: int = Field(64, ge=1)
    context_tokens: int = Field(4096, ge=128)
    max_images: int = Field(8, ge=1)
    image_order: Literal["oldest-first", "current-first"] = "oldest-first"
    offsets: tuple[Offset, ...] = ()
    parity: Parity | None = None
    """Of the GGUF pair against the transformers weights; believed for the pair it names alone."""

    @property
    def engines(self) -> tuple[str, ...]:
        """Engines for which the manifest lists weights."""
        gguf = ("gguf",) if {self.text, self.mmproj} <= self.files.keys() else ()
        return gguf + (("torch",) if self.weights else ())

    @property
    def weights(self) -> tuple[str, ...]:
        """The listed files of the transformers folder."""
        return tuple(name for name in self.files if name.startswith(f"{self.hf}/"))

    @property
    def measured(self) -> Parity | None:
        """The parity, where it was measured on the GGUF pair that is listed here."""
        pair = [self.files.get(name, "") for name in (self.text, self.mmproj)]
        return self.parity if self.parity is not None and self.parity.sha256 == together(pair) else None

    def card(self, engine: str, context_tokens: int, names: Sequence[str]) -> ModelCard:
        """The model card for `engine`; its SHA-256 is of the listed hashes of `names`, the files that engine reads."""
        digest = together(self.files[name] for name in names)
        return ModelCard(
            name=self.name,
            family=self.family,
            revision=self.revision,
            sha256=digest,
            licence=self.licence,
            engine=engine,
            tokens_per_image=self.tokens_per_image,
            max_images=self.max_images,
            context_tokens=min(context_tokens, self.context_tokens),
            image_order=self.image_order,
            summary=self.summary,
            tile=self.tile,
            offsets=self.offsets,
            parity=self.measured.told if self.measured and engine == "gguf" else "",
        )


def together(hashes: Iterable[str]) -> str:
    """One SHA-256 for files of these hashes, in hex."""
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def read(folder: Path) -> Manifest:
    """The folder's manifest. Raises `ModelNotLoaded` when it is missing or says nothing usable."""
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise ModelNotLoaded(f"{path} does not exist, so nothing says what the files should be; {REBUILD}") from error
    except (OSError, ValueError, ValidationError) as error:
        raise ModelNotLoaded(f"{path} cannot be read as a model's manifest; {REBUILD}") from error
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in (*manifest.files, manifest.text, manifest.mmproj, manifest.hf)):
        raise ModelNotLoaded(f"{path} names files outside its own folder; {REBUILD}")
    return manifest


def digest(path: Path) -> str:
    """SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_changed(folder: Path, manifest: Manifest, names: Sequence[str]) -> None:
    """Compare size, GGUF magic and SHA-256 of `names` with the manifest. Raises `ModelNotLoaded` at the first that differs."""
    for name in names:
        path = folder / name
        if name not in manifest.files:
            raise ModelNotLoaded(f"{path} is not listed in {MANIFEST}, so it is not opened; {REBUILD}")
        if not path.is_file():
            raise ModelNotLoaded(f"{path} is missing; {REBUILD}")
        if name in manifest.bytes and path.stat().st_size != manifest.bytes[name]:
            raise ModelNotLoaded(
                f"{path} has {path.stat().st_size} bytes instead of {manifest.bytes[name]}, so it is not opened; {REBUILD}"
            )
        if path.suffix == ".gguf" and not is_gguf(path):
            raise ModelNotLoaded(f"{path} is not a GGUF file; {REBUILD}")
        if digest(path) != manifest.files[name]:
            raise ModelNotLoaded(f"{path} is not the file its manifest lists (SHA-256 differs), so it is not opened; {REBUILD}")


def refuse_unsound(path: Path) -> None:
    """Read the head of a safetensors file. Raises `ModelNotLoaded` when it is cut short, or something else under that name."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            if length > min(size, 100 << 20):
                raise ValueError
            head = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in head.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelNotLoaded(f"{path} is no safetensors file, whatever its name says, so it is not opened; copy it again") from error
    if 8 + length + max(ends, default=0) != size:
        raise ModelNotLoaded(f"{path} is cut short or has something behind its end, so it is not opened; copy it again")


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF does, whatever its name says."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


WORDS = (
    "config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
    "generation_config.json",
)
"""Files of a transformers folder besides the weights that are read; all are data, none is code."""
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
"""Endings of files that run code when they are read; never opened."""


def of_transformers(folder: Path, tile: int = 0) -> Manifest:
    """A manifest made for a plain transformers folder of a known family, hashing its files now; `tile` as `families.form` takes it.

    Raises `ModelNotLoaded` if it is no such folder, or its weights are only there as pickles.
    """
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise ModelNotLoaded(f"{folder} is an adapter and no whole model; merge it into the model it was trained on, then add that")
        raise ModelNotLoaded(f"{folder} is not a model: it has no {MANIFEST} and no config.json; give a model's folder or a GGUF file")
    form = families.form(folder, tile)
    kept = sorted(path.name for path in folder.glob("*.safetensors"))
    if not kept:
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
        why = f"only as {pickles[0]}, which runs code when it is opened" if pickles else "nowhere in it"
        raise ModelNotLoaded(f"{folder} has its weights {why}; Interval reads safetensors only, so convert them or copy those")
    for name in kept:
        refuse_unsound(folder / name)
    try:
        names = [name for name in (*WORDS, *kept) if (folder / name).is_file()]
        return Manifest(
            name=folder.name,
            family=form.family.name,
            files={f"{folder.name}/{name}": digest(folder / name) for name in names},
            bytes={f"{folder.name}/{name}": (folder / name).stat().st_size for name in names},
            hf=folder.name,
            tile=form.tile,
            tokens_per_image=form.tokens,
            context_tokens=max(128, form.context),
            max_images=form.family.max_images,
            image_order=form.family.order,
            summary=form.family.note,
        )
    except OSError as error:
        raise ModelNotLoaded(f"{folder} cannot be read ({error.strerror or error}); make it readable and try again") from error
