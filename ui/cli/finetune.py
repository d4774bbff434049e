"""`finetune`: dataset versions, the runs trained on them, their gates, and which adapter is live."""

from __future__ import annotations

import typer

from ui.cli import tuning, versions

app = typer.Typer(help="Dataset versions, runs, gates and the live adapter.", no_args_is_help=True)
app.command("build")(versions.build)
app.command("list")(versions.list_versions)
app.command("export")(versions.export)
app.command("import")(versions.take_in)
app.command("train")(tuning.train)
app.command("runs")(tuning.list_runs)
app.command("stop")(tuning.stop)
app.command("gate")(tuning.gate)
app.command("promote")(tuning.promote)
app.command("rollback")(tuning.rollback)
app.command("merge")(tuning.merge)
