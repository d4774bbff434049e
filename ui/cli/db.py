"""`db`: the store's schema, health and copies."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from errors import InputError, StoreError
from ui.cli.common import DataDir, Json, begin, require_store


class Kind(StrEnum):
    """What can be erased."""

    STUDY = "study"
    SESSION = "session"


app = typer.Typer(help="Upgrade, check, back up, restore or erase from the database and the studies.")


@app.command("upgrade")
def upgrade(context: typer.Context, as_json: Json = False, data_dir: DataDir = None) -> None:
    """Bring the database to this version's schema; it is backed up first."""
    from storage.store import upgrade as migrate

    settings, out = begin(context, data_dir, as_json)
    before, after = migrate(settings)
    out.say(f"The database is at {after}." if before == after else f"The database went from {before or 'nothing'} to {after}.")
    out.result({"before": before, "after": after, "data_dir": str(settings.data_dir)})


@app.command("check")
def check(context: typer.Context, as_json: Json = False, data_dir: DataDir = None) -> None:
    """Verify the database, its references, the audit chain and every kept file; exit 1 when something is wrong."""
    from storage.store import Store

    settings, out = begin(context, data_dir, as_json)
    require_store(settings)
    with Store(settings) as store:
        report = store.check()
    counts = ", ".join(f"{count} {table}" for table, count in report.counts.items() if count)
    out.say(f"Schema {report.schema}; {report.files} files, {report.bytes / 1e6:.1f} MB; {counts or 'no rows yet'}.")
    for line in (*report.notes, *report.problems):
        out.say(line)
    out.result({"ok": report.ok, **asdict(report)})
    if not report.ok:
        raise StoreError(f"The store has {len(report.problems)} problems, the first: {report.problems[0]}")
    out.say("Everything is in order.")


@app.command("backup")
def backup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder for the copy.")],
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Copy database, studies, dataset versions, runs and adapters to a new folder, also while they are in use."""
    from storage.store import Store

    settings, out = begin(context, data_dir, as_json)
    require_store(settings)
    with Store(settings) as store:
        written = store.backup(folder)
    out.say(f"Backed up to {written}.")
    out.result({"path": str(written)})


@app.command("restore")
def restore(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder that `db backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Also when the store holds studies, cases or adapters; they are put into backups/ first.")
    ] = False,
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Put a backup in the place of the store, every file checked first; also while the store is served."""
    from finetune import runs
    from storage.store import Store
    from storage.store import restore as put_back

    settings, out = begin(context, data_dir, as_json)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; name the one that `db backup` wrote.")
    if busy := ", ".join(run.name for run in runs.running(settings)):
        raise InputError(f"Run {busy} is at work; stop it with `python app.py finetune stop`, then restore.")
    done = put_back(settings, folder, replace=replace)
    with Store(settings) as store:
        report = store.check()
    out.say(f"Restored {done.backup}: {done.files} images brought back, {report.files} in all.")
    if done.kept:
        out.say(f"What was there is in {done.kept}.")
    out.result({"ok": report.ok, **asdict(done), "problems": list(report.problems)})
    if not report.ok:
        raise StoreError(f"The restored store has {len(report.problems)} problems, the first: {report.problems[0]}")


@app.command("list")
def list_all(context: typer.Context, as_json: Json = False, data_dir: DataDir = None) -> None:
    """List every reader's studies and cases with their numbers."""
    from storage.store import Store

    settings, out = begin(context, data_dir, as_json)
    require_store(settings)
    with Store(settings) as store:
        found = store.inventory()
    for one in found:
        out.say(f"{one.kind:8} {one.id:6} {one.day or 'no date':10} {one.name}")
    out.say(f"{sum(one.kind == 'study' for one in found)} studies, {sum(one.kind == 'session' for one in found)} cases.")
    kinds = {"studies": "study", "sessions": "session"}
    out.result(
        {name: [{"id": one.id, "name": one.name, "day": one.day} for one in found if one.kind == kind] for name, kind in kinds.items()}
    )


@app.command("delete")
def delete(
    context: typer.Context,
    kind: Annotated[Kind, typer.Argument(help="What to erase.")],
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="Its number, as `db list` shows it.", min=1)],
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Erase a study with its files, or a case with its questions, answers and feedback, for good; backups keep theirs."""
    from storage.store import Store
    from storage.views import LOCAL

    settings, out = begin(context, data_dir, as_json)
    require_store(settings)
    with Store(settings) as store:
        reader = store.user(LOCAL)
        done = store.delete_study(number, reader) if kind is Kind.STUDY else store.delete_session(number, reader)
    out.say(
        f"Erased {kind.value} {number}"
        + (f": {done.removed} of its {done.files} files; the rest are also another study's." if done.files else ".")
    )
    if done.cases:
        out.say(f"Cases that showed it keep their words: {', '.join(map(str, done.cases))}.")
    out.say("Backups made before still hold it.")
    out.result({"kind": kind.value, "id": number, "files": done.files, "removed": done.removed, "cases": list(done.cases)})


@app.command("export")
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New JSON file.")],
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Write every case to one JSON file: questions, answers, feedback and marks; images by their hashes, no reader's name."""
    from storage.store import Store
    from storage.views import LOCAL

    settings, out = begin(context, data_dir, as_json)
    require_store(settings)
    with Store(settings) as store:
        count = store.export(file, store.user(LOCAL))
    out.say(f"Wrote {count} cases to {file}. Answers were written by a model; for research and teaching only.")
    out.result({"path": str(file), "cases": count})


@app.command("import")
def take_in(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File that `db export` wrote.")],
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Add the cases of an export whose images are here; everybody on this machine sees them."""
    from storage.store import Store
    from storage.views import LOCAL

    settings, out = begin(context, data_dir, as_json)
    require_store(settings)
    with Store(settings) as store:
        done = store.take_in(file, store.user(LOCAL))
    out.say(f"Took in {len(done.added)} cases; {done.doubled} were here already.")
    if done.lost:
        out.say(f"{done.lost} cases were left out: import their images first with `python app.py import`.")
    out.result({"added": list(done.added), "doubled": done.doubled, "lost": done.lost})
