"""`db`: the store's schema, health and copies."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from errors import InputError, StoreError
from settings import Settings
from ui.cli.common import DataDir, Json, begin

app = typer.Typer(help="Upgrade, check or back up the database and the studies.")


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
    _require_store(settings)
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
    """Copy database and studies to a new folder, also while they are in use."""
    from storage.store import Store

    settings, out = begin(context, data_dir, as_json)
    _require_store(settings)
    with Store(settings) as store:
        written = store.backup(folder)
    out.say(f"Backed up to {written}.")
    out.result({"path": str(written)})


def _require_store(settings: Settings) -> None:
    """Refuse a data directory without a database, which opening would quietly make. Raises `InputError`."""
    file = settings.data_dir / "interval.db"
    if not settings.database_url and not file.is_file():
        raise InputError(f"There is no database at {file}; check --data-dir, or make one with `python app.py db upgrade`.")
