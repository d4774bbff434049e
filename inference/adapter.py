"""An adapter on its base: the checks before any parser meets its files.

An adapter is a folder with `manifest.json` as a model is, PEFT's two files, and under `base` the SHA-256 of the weights it was
trained on. On other weights it would answer, fluently and wrongly, so it is refused there.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path, PurePosixPath

from errors import ModelNotLoaded
from inference import manifest
from inference.engine import ModelCard
from inference.manifest import MANIFEST, Manifest

FILES = ("adapter_config.json", "adapter_model.safetensors")
GGUF = "adapter.gguf"
"""The same numbers for llama.cpp, beside PEFT's files."""


def checked(folder: Path, base: Manifest) -> Manifest:
    """The adapter's manifest. Raises `ModelNotLoaded` when files are missing or changed, or it belongs to another model."""
    if not (folder / MANIFEST).is_file():
        if any((folder / f"adapter_model{ending}").is_file() for ending in manifest.PICKLES) and not (folder / FILES[1]).is_file():
            raise ModelNotLoaded(f"{folder} has its adapter only as a pickle, which runs code when it is opened; save it as {FILES[1]}")
        raise ModelNotLoaded(
            f"{folder} has no {MANIFEST}, so nothing says what base it was trained on; give the folder a training run left"
        )
    listed = manifest.read(folder)
    if not set(FILES) <= listed.files.keys():
        raise ModelNotLoaded(f"{folder} is no adapter: its manifest lists no {' and '.join(FILES)}; give the folder a training run left")
    manifest.refuse_changed(folder, listed, tuple(listed.files))
    if reason := misfit(listed, base, str(folder)):
        raise ModelNotLoaded(reason)
    return listed


def misfit(listed: Manifest, base: Manifest, name: str) -> str:
    """Why the adapter called `name` does not belong on this base; `` when it does."""
    weights = {PurePosixPath(name).name: digest for name, digest in base.files.items() if name in base.weights}
    own = {name: digest for name, digest in weights.items() if name.endswith(".safetensors")}
    if dict(listed.base) != own:
        return f"{name} was trained on other weights than {base.name}'s; use it with its own base, or train it again"
    if (listed.tile, listed.tokens_per_image) != (base.tile, base.tokens_per_image):
        return f"{name} was trained on images of {listed.tile} pixels and {base.name} is shown {base.tile}; train it again without a tile"
    return ""


def together(base: str, adapter: Manifest) -> str:
    """SHA-256 that names a base of SHA-256 `base` with this adapter on it."""
    return hashlib.sha256("".join((base, *(adapter.files[name] for name in FILES))).encode()).hexdigest()


def worn(card: ModelCard, adapter: Manifest) -> ModelCard:
    """The card of a base with this adapter on it."""
    return replace(card, name=f"{card.name}+{adapter.name}", sha256=together(card.sha256, adapter), adapter=adapter.files[FILES[1]])
