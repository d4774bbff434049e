"""Which engine runs a model, chosen once, with the reason in a sentence; a setting or the model's name overrides it.

How a model is named (`--model`, `INTERVAL_MODEL`), with an optional engine after an `@`:

    bundled               the catalogue's model of that name, engine chosen by what the machine has
    bundled@torch         the same model through transformers
    bundled@gguf          the same model through llama.cpp
    /models/mine          a folder with manifest.json (GGUF pair, `hf/`, or both), or a transformers folder
    /models/text.gguf     a GGUF text model whose manifest.json and image projector lie beside it
    lingshu@remote        the model of that name on the server of INTERVAL_ENGINE_URL
    bundled+/runs/mine    a model with the adapter in that folder on it
    bundled+mine          the same with the adapter of that run, or a promoted one by its id
    bundled+none          the model alone; `bundled` wears the adapter that was promoted last
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from errors import ModelNotLoaded
from inference import adapter as adapters
from inference import catalogue, manifest, promoted, weights
from inference.engine import Engine
from inference.hardware import nvidia_driver, physical_cores
from inference.manifest import MANIFEST, Manifest
from settings import Settings

Choice = Literal["auto", "gguf", "torch"]
CHOICES: tuple[Choice, ...] = ("auto", "gguf", "torch")
REMOTE = "remote"
HEADROOM = 1 << 30
"""GPU memory left free beside the weights for activations and the key/value cache, in bytes."""


@dataclass(frozen=True)
class Selection:
    """An engine and one sentence why it was chosen.

    `live` is the name of the model whose promotions it follows, `` for none, and `remark` what is to be said of the adapter it wears.
    """

    engine: Engine
    why: str
    live: str = ""
    remark: str = ""

    @property
    def reason(self) -> str:
        """All of it, for people."""
        return f"{self.why} {self.remark}".rstrip()


@dataclass(frozen=True)
class Graphics:
    """Whether the model fits a CUDA device, and why, as the middle of a sentence."""

    fits: bool
    why: str


@dataclass(frozen=True)
class Named:
    """A model as it was asked for: its folder, its manifest, the engine its name demands (`auto`: none), an adapter's folder.

    `live` is the name under which adapters are promoted for it, `` where its name pins one or pins none.
    """

    folder: Path
    manifest: Manifest
    wanted: Choice
    adapter: Path | None = None
    live: str = ""


@dataclass(frozen=True)
class Worn:
    """Folder of the adapter a model wears, None for none, and what is to be said of it."""

    adapter: Path | None = None
    remark: str = ""


def open_engine(settings: Settings, model: str | None = None, engine: str | None = None) -> Selection:
    """Open `model` (default: the setting) on the engine it asks for (`gguf`, `torch`, `remote`, `auto`; default: the setting).

    An engine in the model's name wins over `engine`, and that over the setting; a server that the settings name wins over this
    machine unless a model was asked for. A GGUF model loads in the background and the first question waits for it.
    Raises `ModelNotLoaded` when the model is unknown, incomplete or damaged, or its server is not there.
    """
    if (served := _served(settings, model, engine or settings.engine)) is not None:
        return _open_remote(settings, served)
    named = resolve(settings, model or settings.model)
    live = worn(settings, named.live) if named.live else Worn()
    adapter = named.adapter or live.adapter
    wanted = named.wanted if named.wanted != "auto" else _choice(engine or settings.engine)
    kind, device, reason = choose(named, wanted, settings.threads, four_bit=settings.four_bit)
    if kind == "gguf":
        from inference.gguf import GgufEngine

        made = GgufEngine(named.folder, settings.context_tokens, settings.threads, settings.max_images, adapter)
        return Selection(made, reason, named.live, live.remark)
    from inference.torch_engine import TorchEngine

    sizes = (settings.context_tokens, settings.threads, settings.max_images)
    opened = TorchEngine(named.folder, *sizes, device, named.manifest, adapter, settings.four_bit)
    return Selection(opened, reason, named.live, live.remark)


def worn(settings: Settings, live: str) -> Worn:
    """The adapter that is live for the model of that name. Raises `ModelNotLoaded` when its files are damaged.

    A model whose own weights were replaced since answers alone, and says so: an adapter on other weights would be fluent and wrong.
    """
    entry = promoted.live(settings.adapters_dir, live)
    if entry is None:
        return Worn()
    folder = settings.adapters_dir / entry.adapter
    reason = adapters.misfit(manifest.read(folder), manifest.read(catalogue.folder_of(settings, live)), f"The adapter {entry.adapter}")
    return Worn(None, f"{reason}; the model answers alone.") if reason else Worn(folder, f"It wears the adapter {entry.adapter}.")


def _served(settings: Settings, model: str | None, engine: str) -> str | None:
    """Name of the model to ask a server for (`` for its first); None when this machine answers."""
    name, at, own = (model or "").rpartition("@")
    if at and own == REMOTE:
        return name
    if engine == REMOTE and not (at and own in CHOICES):
        return model or settings.engine_model
    return settings.engine_model if engine == "auto" and not model and settings.engine_url else None


def _open_remote(settings: Settings, model: str) -> Selection:
    from inference.http_lines import Server
    from inference.remote import RemoteEngine

    if not settings.engine_url:
        raise ModelNotLoaded("no model server is known; set INTERVAL_ENGINE_URL to its address, as http://127.0.0.1:8000/v1")
    server = Server(settings.engine_url, settings.engine_key, settings.engine_patience_s)
    opened = RemoteEngine(server, model, settings.context_tokens, settings.max_images)
    return Selection(opened, f"The model {opened.card.name} runs on the server {server.host}, because INTERVAL_ENGINE_URL names it.")


def resolve(settings: Settings, model: str) -> Named:
    """What a model's name means. Raises `ModelNotLoaded` for an unknown name, folder or engine."""
    name, at, engine = model.rpartition("@")
    if not at or engine not in CHOICES:
        name, engine = model, "auto"
    wanted = _choice(engine)
    base, adapter = _adapted(settings, name)
    if base != name:
        found = replace(resolve(settings, base), wanted=wanted, adapter=adapter, live="")
        return replace(found, wanted="torch") if adapter and wanted == "auto" and not (adapter / adapters.GGUF).is_file() else found
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        return _of_gguf(path.absolute(), wanted)
    if path.is_dir() and (path.is_absolute() or "/" in name):
        return _of_folder(path.absolute(), wanted)
    if path.is_absolute() or "/" in name:
        raise ModelNotLoaded(f"{path} does not exist; give a model's folder, a GGUF file, or a name from `python app.py models list`")
    folder = catalogue.folder_of(settings, name)
    return Named(folder, manifest.read(folder), wanted, live=name)


def _adapted(settings: Settings, name: str) -> tuple[str, Path | None]:
    """A model's name and the folder of the adapter behind its `+`, None for `none`; a folder may have a `+` of its own."""
    for place, letter in enumerate(name):
        if letter != "+":
            continue
        behind = name[place + 1 :]
        if behind == promoted.NONE:
            return name[:place], None
        places = [Path(behind).expanduser().absolute()]
        if behind and Path(behind).name == behind:
            places = [settings.adapters_dir / behind, settings.runs_dir / behind / "adapter", *places]
        folder = next((folder for folder in places if (folder / adapters.FILES[0]).is_file()), None)
        if folder is not None:
            return name[:place], folder
    return name, None


def choose(
    named: Named, wanted: Choice, threads: int = 0, *, four_bit: bool = False
) -> tuple[Literal["gguf", "torch"], Literal["cpu", "cuda"], str]:
    """Engine, device and the reason. Raises `ModelNotLoaded` when the model has no files for what is wanted."""
    has = named.manifest.engines
    if not has:
        raise ModelNotLoaded(f"{named.folder} lists neither a GGUF pair nor transformers weights; {manifest.REBUILD}")
    if wanted != "auto" and wanted not in has:
        raise ModelNotLoaded(f"{named.manifest.name} has no files for the {wanted} engine; it has them for {', '.join(has)}")
    cpu = f"{threads or physical_cores()} CPU threads"
    if wanted == "gguf":
        return "gguf", "cpu", f"The model runs through llama.cpp on {cpu}, because that was asked for."
    shrunk = (3,) if four_bit else ()  # the tower and the heads stay in 16 bits
    seen = graphics(named, *shrunk) if "torch" in has else Graphics(False, "the model has no weights for transformers")
    if seen.fits:
        return "torch", "cuda", f"The model runs through transformers on CUDA, because {seen.why}."
    if wanted == "torch":
        return "torch", "cpu", f"The model runs through transformers on {cpu}, because that was asked for and {seen.why}."
    if "gguf" in has:
        return "gguf", "cpu", f"The model runs through llama.cpp on {cpu}, because {seen.why}."
    return "torch", "cpu", f"The model runs through transformers on {cpu}, because it has no GGUF files and {seen.why}."


def graphics(named: Named, shrunk: int = 1) -> Graphics:
    """Whether CUDA is there and the weights, `shrunk` so many times from bfloat16, fit its free memory.

    Imports torch only beside an NVIDIA driver.
    """
    if not nvidia_driver():
        return Graphics(False, "no NVIDIA driver is loaded")
    if importlib.util.find_spec("torch") is None:
        return Graphics(False, "torch is not installed")
    import torch

    if not torch.cuda.is_available():
        return Graphics(False, "this build of torch has no CUDA")
    free, _ = torch.cuda.mem_get_info()
    needs = _size(named) // shrunk + HEADROOM
    device = f"{torch.cuda.get_device_name()} has {free / 1e9:.1f} GB free and the model takes {needs / 1e9:.1f} GB"
    return Graphics(free >= needs, device)


def _size(named: Named) -> int:
    """Bytes of the transformers weights; of those not made yet, what twice the GGUF pair comes to."""
    listed = named.manifest
    there = [named.folder / name for name in listed.weights if (named.folder / name).is_file()]
    pair = (listed.text, listed.mmproj) if weights.missing(named.folder, listed) else ()
    return sum(path.stat().st_size for path in there) + 2 * sum((named.folder / name).stat().st_size for name in pair)


def _of_folder(folder: Path, wanted: Choice) -> Named:
    if (folder / MANIFEST).is_file():
        return Named(folder, manifest.read(folder), wanted)
    return Named(folder.parent, manifest.of_transformers(folder), wanted)


def _of_gguf(path: Path, wanted: Choice) -> Named:
    if not path.is_file():
        raise ModelNotLoaded(f"{path} does not exist; give a model's folder, a GGUF file, or a name from `python app.py models list`")
    if not (path.parent / MANIFEST).is_file():
        raise ModelNotLoaded(f"{path} has no {MANIFEST} beside it; add it with `python app.py models add {path} --family FAMILY`")
    content = manifest.read(path.parent)
    if path.name not in (content.text, content.mmproj):
        raise ModelNotLoaded(
            f"{path} is not the model its {MANIFEST} describes ({content.text}); name that file, or write a manifest for this one"
        )
    return Named(path.parent, content, "gguf" if wanted == "auto" else wanted)


def _choice(engine: str) -> Choice:
    if engine not in CHOICES:
        raise ModelNotLoaded(f"there is no engine {engine!r}; choose one of {', '.join((*CHOICES, REMOTE))}")
    return engine
