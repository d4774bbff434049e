"""`finetune train`, `runs`, `stop`, `gate`, `promote`, `rollback`: from a dataset version to the adapter that answers, and back."""

from __future__ import annotations

import getpass
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from errors import InputError, TuneError
from settings import Settings
from ui.cli.common import DataDir, Json, Output, begin

if TYPE_CHECKING:
    from finetune.runs import View

LOOK = 0.5
"""Seconds between looks at a run's log."""
Run = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run.")]
By = Annotated[str, typer.Option(metavar="NAME", help="Who decides.", show_default="who is logged in")]


def train(
    context: typer.Context,
    run: Run,
    version: Annotated[str, typer.Option(metavar="VERSION", help="Dataset version to learn from; left out, a run goes on.")] = "",
    base: Annotated[str, typer.Option(metavar="MODEL", help="Model to start from.", show_default="the model in force")] = "",
    start: Annotated[str, typer.Option(metavar="ID", help="Adapter to go on from: `live`, `none`, or one that was live once.")] = "live",
    recipe: Annotated[str, typer.Option(metavar="NAME|FILE", help="How: sft, dpo, kto, or a YAML file.")] = "sft",
    epochs: Annotated[float, typer.Option(min=0, metavar="N", help="Times each example is read.", show_default="the recipe's")] = 0,
    rate: Annotated[float, typer.Option(min=0, metavar="R", help="Learning rate.", show_default="the recipe's")] = 0,
    seed: Annotated[int, typer.Option(min=-1, metavar="N", help="Seed of the run.", show_default="the recipe's")] = -1,
    by: By = "",
    detach: Annotated[bool, typer.Option("--detach", help="Come back at once; the run goes on by itself.")] = False,
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Train an adapter on a dataset version, giving way to everything else; Ctrl-C stops it behind a checkpoint."""
    settings, out = begin(context, data_dir, as_json)
    from finetune import runs

    if version:
        from finetune import orders

        changes = {name: value for name, value in (("epochs", epochs), ("rate", rate)) if value} | ({"seed": seed} if seed >= 0 else {})
        how = orders.recipe(recipe, **changes)
        view = runs.create(settings, orders.Order(run, base or settings.model, version, how, by or getpass.getuser(), start))
        told = view.estimate
        takes = f"about {_time(told['seconds'])} and {told['memory_mb']} MB ({told['basis']})"
        out.say(f"{told['steps']} steps on {told['examples']} examples, from {view.order['start'] or 'the model alone'}, {takes}")
    runs.start(settings, run)
    view = runs.view(settings, run) if detach else follow(settings, run, out)
    if view.state == "failed":
        raise TuneError(view.error)
    out.say(f"Run {run} is {view.state}." + (f" Measure it: python app.py finetune gate {run}" if view.state == "finished" else ""))
    out.result(as_object(view))


def follow(settings: Settings, run: str, out: Output) -> View:
    """Show what the run says until it ends; an interrupt asks it to stop, and waits for that."""
    from finetune import runs

    shown = len(runs.log(settings, run, 1 << 30).splitlines()) if runs.view(settings, run).step else 0
    while True:
        view = runs.view(settings, run)
        lines = runs.log(settings, run, 1 << 30).splitlines()
        for line in lines[shown:]:
            out.say(line)
        shown = len(lines)
        if view.state != "running":
            return view
        try:
            time.sleep(LOOK)
        except KeyboardInterrupt:
            out.note("stopping behind a checkpoint ...")
            runs.stop(settings, run)


def list_runs(context: typer.Context, as_json: Json = False, data_dir: DataDir = None) -> None:
    """List runs: state, progress, whether the gates were passed, which one is live."""
    settings, out = begin(context, data_dir, as_json)
    from finetune import runs

    found = runs.every(settings)
    for view in found:
        left = f", {_time(view.eta_s)} to go" if view.eta_s is not None else ""
        marks = " ".join(mark for mark in (view.gated and f"gates {view.gated}", "live" if view.live else "") if mark)
        out.say(f"{view.name:20} {view.method:4} {view.state:9} {view.step:5}/{view.steps}{left} {marks} {view.error}".rstrip())
    out.result({"runs": [as_object(view) for view in found]})


def stop(context: typer.Context, run: Run, as_json: Json = False, data_dir: DataDir = None) -> None:
    """Stop a run behind a checkpoint; `finetune train RUN` goes on from there."""
    settings, out = begin(context, data_dir, as_json)
    from finetune import runs

    runs.stop(settings, run)
    view = follow(settings, run, Output(True))
    out.say(f"Run {run} is {view.state} after step {view.step} of {view.steps}.")
    out.result(as_object(view))


def gate(
    context: typer.Context,
    run: Run,
    pairs: Annotated[int, typer.Option(min=8, metavar="N", help="Held-out generated pairs each ability is measured on.")] = 60,
    benchmark: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Med-MIM file to measure on too; repeatable.")] = None,
    image_root: Annotated[list[str] | None, typer.Option(metavar="DIR", help="Folder of the file's images; repeatable.")] = None,
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Measure a finished run against what is live: gates G0 to G8, every flag replayed; exit 1 when a gate fails."""
    settings, out = begin(context, data_dir, as_json)
    from finetune import gates

    sheet = gates.gate(settings, run, gates.Sizes(pairs=pairs), out.note, benchmark or (), image_root or ())
    for row in sheet["gates"]:
        word = {True: "passed", False: "FAILED", None: "not asked"}[row["passed"]]
        out.say(f"{row['gate']:3} {word:9} {row['name']}: {row['reason']}")
    out.say(f"The sheet is {sheet['html']}.")
    out.result(sheet)
    if not sheet["passed"]:
        failed = ", ".join(row["gate"] for row in sheet["gates"] if row["passed"] is False)
        raise TuneError(f"run {run} did not pass {failed}, so it cannot be promoted")


def promote(
    context: typer.Context,
    run: Run,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept for good.")] = "",
    by: By = "",
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Have a run that passed its gates answer from the next question on, also under a running server."""
    settings, out = begin(context, data_dir, as_json)
    from finetune import registry

    entry = registry.promote(settings, run, by or getpass.getuser(), reason)
    audited(settings, "promote", entry.adapter)
    out.say(f"{entry.base} wears {entry.adapter} from the next question on.")
    out.result(asdict(entry))


def rollback(
    context: typer.Context,
    base: Annotated[str, typer.Argument(metavar="[MODEL]", help="Model to roll back.")] = "bundled",
    to: Annotated[
        str | None, typer.Option(metavar="ID", help="An adapter that was live once, or `none`.", show_default="the one before")
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept for good.")] = "",
    by: By = "",
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Have the adapter that was live before answer again, bit for bit."""
    settings, out = begin(context, data_dir, as_json)
    from finetune import registry

    entry = registry.rollback(settings, base, by or getpass.getuser(), reason, "" if to == "none" else to)
    audited(settings, "rollback", entry.adapter or "none")
    out.say(f"{base} {f'wears {entry.adapter}' if entry.adapter else 'answers alone'} from the next question on.")
    out.result(asdict(entry))


def merge(
    context: typer.Context,
    run: Run,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new model.")],
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Merge a finished run into its base as a model of its own, quantised, for servers that wear no adapters."""
    settings, out = begin(context, data_dir, as_json)
    from finetune import merging

    folder = merging.merge(settings, run, name)
    out.say(f"The model is in {folder}; ask with `--model {name}`.")
    out.result({"name": name, "path": str(folder)})


def audited(settings: Settings, action: str, adapter: str) -> None:
    """Who decided is in the history; that it happened is in the audit too."""
    from storage.store import Store
    from storage.views import LOCAL

    with Store(settings) as store:
        store.audit(store.user(LOCAL), action, "adapter", adapter)


def as_object(view: View) -> dict[str, Any]:
    """A run as JSON."""
    return {**asdict(view), "order": dict(view.order), "estimate": dict(view.estimate), "method": view.method}


def _time(seconds: float) -> str:
    if seconds < 0:
        raise InputError("a time cannot be below zero")
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
