"""`models`: what can answer on this machine, whether its files are whole, and building the bundled one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from errors import InputError, ModelNotLoaded
from ui.cli.common import DataDir, Json, Output, begin

app = typer.Typer(help="List, verify or build models.")


@app.command("list")
def list_models(context: typer.Context, as_json: Json = False, data_dir: DataDir = None) -> None:
    """List the models of this machine and of the catalogue."""
    from inference.catalogue import models

    settings, out = begin(context, data_dir, as_json)
    found = models(settings)
    for entry in found:
        chosen = "*" if entry.name == settings.model else " "
        out.say(f"{chosen} {entry.name:16} {entry.state:8} {entry.family:12} {', '.join(entry.engines):12} {entry.note or entry.summary}")
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
        }
        for entry in found
    ]
    out.result({"models": rows, "default": settings.model})


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


def progress_on(out: Output) -> Callable[[str, float], None]:
    """A progress callback that says each new stage once."""
    said: list[str] = []

    def progress(words: str, _fraction: float) -> None:
        if words not in said:
            said.append(words)
            out.note(f"... {words}")

    return progress
