"""Putting a model on this machine and taking it off: from the catalogue's source, a folder, or a GGUF pair.

Whatever the way, the model ends as a folder with a manifest of hashes, and no file is taken that runs code when it is read.
A download that was cut goes on where it stopped; a folder appears under its name only when it is whole.

    add(settings, "smolvlm2-500m", Wishes(accepted=True), print)
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from errors import InputError, ModelNotLoaded
from inference import catalogue, chat, families, fetching, manifest
from inference.catalogue import Listed
from inference.fetching import Hub, Listing
from inference.manifest import MANIFEST, Manifest
from settings import Settings

NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
TILES = {"idefics3": 512, "smolvlm": 512, "gemma3": 896, "qwen2.5-vl": 448, "qwen3-vl": 448}
"""Side in pixels of the one square that a family's models read an image as: their published one, for Qwen-VL, which takes any, ours."""
Tell = Callable[[str, float], None]
"""Told what is being done and which part of it is done, 0 to 1."""


@dataclass(frozen=True)
class Wishes:
    """How a model is added: under which `name` and `licence`, a GGUF pair of which `family` shown tiles of which side, and whether its
    terms were `accepted`."""

    name: str = ""
    family: str = ""
    tile: int = 0
    licence: str = ""
    accepted: bool = False


def add(settings: Settings, what: str, wishes: Wishes, tell: Tell) -> Path:
    """Add the catalogue's model `what`, or the folder or GGUF file at that path; returns the model's folder.

    Raises `InputError` for a licence that was not accepted or a name that is taken, `ModelNotLoaded` for what cannot be used.
    """
    known = {entry.name: entry for entry in catalogue.listed()}
    path = Path(what).expanduser()
    if what in known and not path.exists():
        return _downloaded(settings, known[what], wishes, tell)
    if not path.exists():
        raise ModelNotLoaded(f"{what} is neither a model of `python app.py models list` nor a folder or file here; check its name")
    return _taken(settings, path.absolute(), wishes, tell)


def remove(settings: Settings, name: str) -> int:
    """Delete a model's folder; returns how many bytes it held. Raises `ModelNotLoaded` for an unknown name."""
    folder = settings.models_dir / name
    if Path(name).name != name or not NAME.fullmatch(name) or not folder.is_dir():
        raise ModelNotLoaded(f"there is no model {name!r} in {settings.models_dir}; choose one of `python app.py models list`")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    gone = settings.models_dir / f".removing-{name}"
    shutil.rmtree(gone, ignore_errors=True)
    if folder.is_symlink():
        folder.unlink()
        return 0
    folder.rename(gone)
    shutil.rmtree(gone)
    return size


def refuse_unaccepted(entry: Listed, accepted: bool) -> None:
    """Raises `InputError` when a model whose terms bind its user is added without a word that they were accepted."""
    if entry.terms and not accepted:
        raise InputError(f"{entry.name} is under {entry.licence}: {entry.terms}; read it at {entry.source}, then add --accept-licence")


def _downloaded(settings: Settings, entry: Listed, wishes: Wishes, tell: Tell) -> Path:
    if not entry.released:
        raise ModelNotLoaded(
            f"the authors of {entry.name} have not released its weights yet ({entry.source}); when you have them, add them by their path"
        )
    if not entry.repository:
        raise ModelNotLoaded(f"{entry.name} is not downloaded but made here; run `{entry.get}`")
    refuse_unaccepted(entry, wishes.accepted)
    name = _free(settings, wishes.name or entry.name)
    hub = Hub(settings.hub_url or catalogue.hub(), settings.hub_token)
    commit, listed = fetching.listing(hub, entry.repository, entry.revision)
    wanted = _wanted(entry, listed)
    folder = settings.models_dir / f".adding-{name}"
    inner = folder if "gguf" in entry.engines else folder / "hf"
    total = sum(one.size for one in wanted)
    _room(settings, total - sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()), entry.name)
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        tell(f"downloading {entry.name}", done / max(total, 1))

    for one in wanted:
        target = inner / one.name
        if target.is_file() and target.stat().st_size == one.size:
            count(one.size)
        else:
            fetching.fetch(hub, entry.repository, commit, one, target, count)
    tell("hashing the files", 0.0)
    made = _described(folder, entry, [one.name for one in wanted]) if inner == folder else manifest.of_transformers(inner)
    made = made.model_copy(update={"name": name, "licence": entry.licence, "revision": commit, "summary": entry.summary})
    return _placed(settings, folder, made)


def _wanted(entry: Listed, listed: Sequence[Listing]) -> list[Listing]:
    """The files of a repository that are needed. Raises `ModelNotLoaded` when they are not all there."""
    at_root = [one for one in listed if "/" not in one.name]
    if "gguf" in entry.engines:
        return [_one(entry, at_root, pattern) for pattern in (entry.text, entry.mmproj)]
    weights = [one for one in at_root if one.name.endswith(".safetensors")]
    weights = [one for one in weights if one.name.startswith("model")] or weights
    if not weights:
        raise ModelNotLoaded(f"{entry.repository} has no safetensors weights at {entry.revision}; Interval reads no others")
    return [*weights, *(one for one in at_root if one.name in manifest.WORDS)]


def _one(entry: Listed, listed: Sequence[Listing], pattern: str) -> Listing:
    found = [one for one in listed if fnmatch(one.name.lower(), pattern.lower())]
    if len(found) != 1:
        raise ModelNotLoaded(
            f"{entry.repository} has {len(found)} files like {pattern} at {entry.revision}; download the pair and add it by path"
        )
    return found[0]


def _described(folder: Path, entry: Listed, names: Sequence[str]) -> Manifest:
    """The manifest of a downloaded GGUF pair."""
    return _of_gguf(folder, (names[0], names[1]), entry.family, entry.tile)


def _taken(settings: Settings, path: Path, wishes: Wishes, tell: Tell) -> Path:
    """Add what lies at a path: a model folder, a transformers folder, or a GGUF text model with its projector beside it."""
    if path.suffix in manifest.PICKLES:
        raise ModelNotLoaded(f"{path} is a pickle, which runs code when it is opened; convert it to safetensors or GGUF and add that")
    if path.is_file() and not (path.suffix == ".gguf" and manifest.is_gguf(path)):
        though = ", whatever its name says" if path.suffix == ".gguf" else ""
        raise ModelNotLoaded(f"{path} is no GGUF file{though}; give a model's folder, or a GGUF text model with its projector beside it")
    name = _free(settings, wishes.name or _called(path))
    folder = settings.models_dir / f".adding-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        if path.is_file():
            made = _gguf_taken(path, folder, wishes, tell)
        elif (path / MANIFEST).is_file():
            made = manifest.read(path)
            names = [file for file in made.files if file not in made.on_demand or (path / file).is_file()]
            manifest.refuse_changed(path, made, names)
            _copied(path, folder, [*names, MANIFEST], tell)
        else:
            found = manifest.of_transformers(path)
            _copied(path, folder / "hf", [Path(file).name for file in found.files], tell)
            made = manifest.of_transformers(folder / "hf")
        made = made.model_copy(update={"name": name, "licence": wishes.licence or made.licence})
        return _placed(settings, folder, made)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _gguf_taken(path: Path, folder: Path, wishes: Wishes, tell: Tell) -> Manifest:
    if not wishes.family:
        raise InputError(f"{path} does not say how its family writes a chat; add --family with one of {', '.join(sorted(chat.TEMPLATES))}")
    if "mmproj" in path.name.lower():
        raise ModelNotLoaded(f"{path} is an image projector; give the text model, with the projector beside it")
    beside = sorted(other for other in path.parent.glob("*.gguf") if "mmproj" in other.name.lower())
    if len(beside) != 1:
        raise ModelNotLoaded(
            f"beside {path} there {'are' if len(beside) > 1 else 'is'} {len(beside) or 'no'} image projector{'s' * (len(beside) > 1)} "
            "(a GGUF file with mmproj in its name); give the text model, with one beside it"
        )
    _copied(path.parent, folder, [path.name, beside[0].name], tell)
    return _of_gguf(folder, (path.name, beside[0].name), wishes.family, wishes.tile)


def _of_gguf(folder: Path, names: tuple[str, str], family: str, tile: int) -> Manifest:
    """A manifest for a GGUF pair: opened once, in the child process, to count the tokens of an image."""
    from inference.gguf import measured

    chat.template(family)
    made = Manifest(
        name=folder.name,
        family=family,
        text=names[0],
        mmproj=names[1],
        tile=tile or TILES[family],
        files={name: manifest.digest(folder / name) for name in names},
        bytes={name: (folder / name).stat().st_size for name in names},
        image_order=next(row.order for row in families.FAMILIES if row.name == family),
    )
    manifest.refuse_changed(folder, made, names)
    found = measured(folder, made)
    return made.model_copy(update={"tokens_per_image": found.tokens_per_image, "context_tokens": max(128, found.trained_tokens)})


def _copied(source: Path, target: Path, names: Sequence[str], tell: Tell) -> None:
    """Bring files over, as links to the same bytes where the file system can; a symbolic link is followed."""
    total = sum((source / name).stat().st_size for name in names)
    done = 0
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        real = (source / name).resolve()
        try:
            os.link(real, target / name)
        except OSError:
            shutil.copyfile(real, target / name)
        done += real.stat().st_size
        tell("copying the files", done / max(total, 1))


def _placed(settings: Settings, folder: Path, made: Manifest) -> Path:
    """Write the manifest and give the folder its name."""
    (folder / MANIFEST).write_text(made.model_dump_json(indent=2) + "\n", encoding="utf-8")
    target = settings.models_dir / made.name
    folder.rename(target)
    return target


def _free(settings: Settings, name: str) -> str:
    """The name, if it is one and nothing has it."""
    if not NAME.fullmatch(name):
        raise InputError(f"{name!r} cannot be a model's name; give one of small letters, digits, dots and dashes with --name")
    if (settings.models_dir / name).exists():
        raise InputError(f"there is a model {name} already; remove it first, or give another name with --name")
    settings.models_dir.mkdir(parents=True, exist_ok=True)
    return name


def _called(path: Path) -> str:
    """A name for what lies at a path."""
    return re.sub(r"[^a-z0-9.-]+", "-", (path.stem if path.is_file() else path.name).lower()).strip(".-")[:64]


def _room(settings: Settings, needed: int, name: str) -> None:
    free = shutil.disk_usage(settings.models_dir).free
    if needed > free:
        raise ModelNotLoaded(f"{name} needs {needed / 1e9:.1f} GB and {settings.models_dir} has {free / 1e9:.1f} GB free; free some disk")
