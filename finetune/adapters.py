"""The two ends of a fine-tuning run: the base it starts from, named by its hashes, and the adapter it leaves, with its manifest.

`adapter/` holds `adapter_config.json` and `adapter_model.safetensors` as PEFT writes them, and `manifest.json`: what they are,
their SHA-256, the base's weights they belong to, and the recipe, data, seed and curve they came from. Without its base's hashes
an adapter is not loaded.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from errors import TuneError
from finetune import examples, loop, lora_gguf
from inference import manifest, weights
from inference.adapter import FILES
from inference.manifest import MANIFEST

if TYPE_CHECKING:
    from finetune.examples import Collected
    from finetune.families import Form
    from finetune.preflight import Checked

RUN = "run.json"
DOWNLOADED = Path(".cache") / "huggingface" / "download" / "config.json.metadata"
"""Where a download from a hub notes the commit, in its first line."""


@dataclass(frozen=True)
class Base:
    """A model to start from: its transformers `folder`, what it is called, and SHA-256 of its configuration and weights.

    `revision` is what the folder says of itself, `sha256` of all `files` together; `weights` are those of them that hold weights.
    """

    name: str
    folder: Path
    revision: str
    licence: str
    files: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """One digest for all files, in the order of their names."""
        return hashlib.sha256("".join(self.files[name] for name in sorted(self.files)).encode()).hexdigest()

    @property
    def weights(self) -> dict[str, str]:
        """SHA-256 of each file of weights."""
        return {name: digest for name, digest in self.files.items() if name.endswith(".safetensors")}


def base_of(folder: Path) -> Base:
    """Hash the base in `folder`: a transformers folder, or a model folder with a manifest.

    Raises `TuneError` when there are no weights as safetensors, `ModelNotLoaded` when they are not what a manifest lists.
    """
    inner, name, revision, licence = folder, folder.name, "", "unknown"
    if (folder / MANIFEST).is_file():
        listed = manifest.read(folder)
        weights.made(folder, listed)
        manifest.refuse_changed(folder, listed, listed.weights)
        inner, name, revision, licence = folder / listed.hf, listed.name, listed.revision, listed.licence
    names = [*("config.json", "tokenizer.json"), *sorted(path.name for path in inner.glob("*.safetensors"))]
    if not (inner / "config.json").is_file() or len(names) < 3:
        raise TuneError(f"{folder}: no config.json with weights as safetensors is there; give the folder of a transformers model")
    files = {name: manifest.digest(inner / name) for name in names if (inner / name).is_file()}
    return Base(name, inner, revision or _commit(inner), licence, files)


def _commit(folder: Path) -> str:
    """Commit a folder was downloaded at, `` when it does not say."""
    if folder.parent.name == "snapshots":
        return folder.name
    noted = folder / DOWNLOADED
    return noted.read_text(encoding="utf-8").split("\n", 1)[0].strip() if noted.is_file() else ""


def started(recipe: Any, base: Base, form: Form, found: Sequence[Collected], checked: Checked, start: Path | None = None) -> dict[str, Any]:
    """What a run is: recipe, base, adapter it goes on from, and data by their hashes. Two runs that start alike go the same way."""
    return {
        "name": recipe.name,
        "family": form.family.name,
        "model": {"name": base.name, "revision": base.revision, "sha256": base.sha256, "licence": base.licence, "note": form.family.note},
        "tile": form.tile,
        "tokens_per_image": form.tokens,
        "seed": recipe.seed,
        "recipe": asdict(recipe),
        "data": [dict(examples.summary(source)) for source in found],
        "examples": len(checked.examples),
        "left_out": checked.left_out,
        "base": base.weights,
        **({"start": {"name": start.name, "sha256": manifest.digest(start / FILES[1])}} if start else {}),
    }


def shape_of(folder: Path) -> dict[str, Any]:
    """Rank, alpha and the rest of a recipe's `adapter`, as the adapter in `folder` was trained. Raises `TuneError`."""
    try:
        config = json.loads((folder / FILES[0]).read_text(encoding="utf-8"))
        return {"rank": config["r"], "alpha": config["lora_alpha"], "dropout": config["lora_dropout"], "dora": config["use_dora"]}
    except (OSError, ValueError, KeyError) as error:
        raise TuneError(f"{folder}: the adapter cannot be read ({error}); take it from a backup, or start from the model alone") from error


def bring(net: Any, folder: Path) -> None:
    """Put the numbers of the adapter in `folder` on `net`, which wears one of the same shape. Raises `TuneError`."""
    from peft.utils import set_peft_model_state_dict

    try:
        values = load_file(folder / FILES[1])
        done = set_peft_model_state_dict(net, values)
    except (OSError, RuntimeError, SafetensorError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise TuneError(f"{folder.name} cannot be learned on from ({cause}); start from the model alone") from error
    left = [name for name in done.missing_keys if "lora_" in name]
    if left or done.unexpected_keys:
        raise TuneError(f"{folder.name} is on other layers than the recipe's; start from the model alone")


def keep_or_refuse(folder: Path, start: Mapping[str, Any], write: bool = True) -> None:
    """Note in the run's folder what was started. Raises `TuneError` when another run was started there."""
    text = json.dumps(start, indent=2, sort_keys=True) + "\n"
    path = folder / RUN
    if path.is_file():
        if path.read_text(encoding="utf-8") != text:
            raise TuneError(f"{folder}: a run with another recipe, model or data was started here; give another folder to --run")
    elif write:
        loop.atomic(path, lambda part: part.write_text(text, encoding="utf-8"))


def write(
    folder: Path,
    net: Any,
    start: Mapping[str, Any],
    curve: Sequence[Mapping[str, float]],
    state: Mapping[str, Any] | None = None,
    model: Path | None = None,
) -> Path:
    """Write the adapter of `net` into `folder`, whole or not at all; its numbers from `state` where they lie scattered.

    With `model`, the transformers folder of its base, llama.cpp's form stands beside PEFT's where llama.cpp can serve it. Raises
    `TuneError` on a full disk.
    """
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    net.peft_config["default"].base_model_name_or_path = start["model"]["name"]
    try:
        net.save_pretrained(part, safe_serialization=True, save_embedding_layers=False, state_dict=state)
        (part / "README.md").unlink(missing_ok=True)
        if model is not None and lora_gguf.possible(start["family"], net.peft_config["default"]):
            lora_gguf.write(part, model)
        files = sorted(path.name for path in part.iterdir())
        content = {
            **start,
            "kind": "adapter",
            "files": {name: manifest.digest(part / name) for name in files},
            "bytes": {name: (part / name).stat().st_size for name in files},
            "curve": list(curve),
        }
        (part / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
    except Exception as error:
        shutil.rmtree(part, ignore_errors=True)
        cause = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise TuneError(f"{folder}: the adapter cannot be written ({cause}); free some disk and run the command again") from error
    return folder
