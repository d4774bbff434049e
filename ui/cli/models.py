"""`models`: what can answer on this machine, whether its files are whole; adding, removing, and building the bundled one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from errors import InputError, ModelNotLoaded
from ui.cli.common import DataDir, Json, Output, begin

app = typer.Typer(help="List, add, remove, verify or build models.")


@app.command("list")
def list_models(context: typer.Context, as_json: Json = False, data_dir: DataDir = None) -> None:
    """List the models of this machine and of the catalogue."""
    from inference.catalogue import models

    settings, out = begin(context, data_dir, as_json)
    found = models(settings)
    for entry in found:
        chosen = "*" if entry.name == settings.model else " "
        out.say(f"{chosen} {entry.name:20} {entry.state:8} {entry.family:13} {', '.join(entry.engines):12} {entry.note or entry.summary}")
    rows = [
        {
            "name": entry.name,
            "path": str(entry.path),
            "family": entry.family,
            "engines": list(entry.engines),
            "state": entry.state,
            "licence": entry.licence,
            "revision": entry.revision,
            "summary": entry.summary,
            "note": entry.note,
            "parity": entry.parity.model_dump() if entry.parity else None,
            **_known(entry.listed),
        }
        for entry in found
    ]
    out.result({"models": rows, "default": settings.model})


def _known(listed: Any) -> dict[str, object]:
    """What the catalogue knows of a model; nothing of one of the reader's own."""
    if listed is None:
        return {}
    names = ("terms", "source", "released", "size_gb", "hardware", "tokens_per_image", "tile", "context_tokens", "image_order")
    kept = listed.model_dump(mode="json")
    return {name: kept[name] for name in names} | {"scores": kept["scores"]}


@app.command("add")
def add(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="NAME-OR-PATH", help="Model of the catalogue, or a folder or GGUF file.")],
    name: Annotated[str, typer.Option(help="Name it is kept under; the catalogue's or the folder's by default.")] = "",
    family: Annotated[str, typer.Option(help="Family of a GGUF file: idefics3, smolvlm or gemma3.")] = "",
    tile: Annotated[int, typer.Option(min=0, max=4096, help="Side in pixels a GGUF file's images are given as; 0: its family's.")] = 0,
    licence: Annotated[str, typer.Option(help="Licence to note of a model added by its path.")] = "",
    accept_licence: Annotated[bool, typer.Option("--accept-licence", help="You read and accept the terms that are shown.")] = False,
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Download a model of the catalogue, or take a local folder or GGUF file; goes on where a cut download stopped."""
    from inference import adding, catalogue

    settings, out = begin(context, data_dir, as_json)
    if (known := next((entry for entry in catalogue.listed() if entry.name == what), None)) is not None and known.released:
        out.note(f"{known.name}: {known.licence}{'; ' + known.terms if known.terms else ''}. {known.source}")
    folder = adding.add(settings, what, adding.Wishes(name, family, tile, licence, accept_licence), _percent(out))
    out.say(f"The model is in {folder}; ask with `--model {folder.name}`.")
    out.result({"name": folder.name, "path": str(folder)})


@app.command("remove")
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Model to remove.")],
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Delete a model's files from this machine; what it answered is kept."""
    from inference import adding

    settings, out = begin(context, data_dir, as_json)
    size = adding.remove(settings, name)
    out.say(f"Model {name} is removed; {size / 1e6:.0f} MB are free again.")
    out.result({"name": name, "bytes": size})


@app.command("verify")
def verify(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Model to verify.")] = "bundled",
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Hash every file of a model against its manifest; exit 1 when one differs."""
    from inference.catalogue import verify as verified

    settings, out = begin(context, data_dir, as_json)
    report = verified(settings, name)
    for file in report.files:
        out.say(f"{file.outcome:9} {file.name}")
    out.result({"name": report.name, "ok": report.ok, "files": [{"name": file.name, "outcome": file.outcome} for file in report.files]})
    if not report.ok:
        wrong = [f"{file.name} ({file.outcome})" for file in report.files if file.outcome not in ("ok", "on demand")]
        listed = ", ".join(wrong) or "no file is listed"
        raise ModelNotLoaded(f"Model {name} is not whole: {listed}; build or add it again.")


@app.command("build")
def build(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="bundled", help="Model to build; only the bundled one is built here.")] = "bundled",
    hf: Annotated[
        bool, typer.Option("--hf", help="Write the transformers weights (about 300 MB) now rather than when they are first needed.")
    ] = False,
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Merge the bundled model's trained parts with their base; done once, in under a minute."""
    settings, out = begin(context, data_dir, as_json)
    if name != "bundled":
        raise InputError(f"Model {name} cannot be built here, only `bundled` can; put other models into {settings.models_dir}.")
    from finetune.bundled import build as merge

    folder = merge(settings, progress_on(out), hf=hf)
    out.say(f"The bundled model is in {folder}.")
    out.result({"name": name, "path": str(folder)})


def _percent(out: Output) -> Callable[[str, float], None]:
    """A progress callback that says each stage, and how far it is every two seconds and at each tenth."""
    last: tuple[str, int, float] = ("", -1, 0.0)

    def tell(words: str, share: float) -> None:
        nonlocal last
        tenth, now = int(share * 10), time.monotonic()
        if words != last[0] or (tenth != last[1] and now - last[2] > 2) or share >= 1 > last[1] / 10:
            out.note(f"... {words} {share:.0%}")
            last = (words, tenth, now)

    return tell


def progress_on(out: Output) -> Callable[[str, float], None]:
    """A progress callback that says each new stage once."""
    said: list[str] = []

    def progress(words: str, _fraction: float) -> None:
        if words not in said:
            said.append(words)
            out.note(f"... {words}")

    return progress
