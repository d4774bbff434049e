"""`users`: who reads here, and what they may do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ui.cli.common import DataDir, Json, begin, require_store

app = typer.Typer(help="List readers, and give them roles: reader, annotator, adjudicator, educator, admin.")


@app.command("list")
def list_all(context: typer.Context, as_json: Json = False, data_dir: DataDir = None) -> None:
    """List everybody who ever opened the page, with their role and what they said."""
    from storage.store import Store

    settings, out = begin(context, data_dir, as_json)
    require_store(settings)
    with Store(settings) as store:
        found = store.members()
    for one in found:
        said = f"{one.statements} statements, {one.reviews} reviews"
        out.say(f"{one.id:4} {one.role:12} {one.created:%Y-%m-%d}  {said:28} {one.name or 'no name'}")
    out.result({"users": [asdict(one) for one in found]})


@app.command("role")
def role(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="The reader, as `users list` and their own page show it.", min=1)],
    given: Annotated[str, typer.Argument(metavar="ROLE", help="reader, annotator, adjudicator, educator or admin.")],
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Give a reader another role; a page that is open knows it with its next request."""
    from storage.store import Store
    from storage.views import LOCAL

    settings, out = begin(context, data_dir, as_json)
    require_store(settings)
    with Store(settings) as store:
        done = store.give_role(store.user(LOCAL), number, given)
    out.say(f"Reader {number}{f' ({done.name})' if done.name else ''} is {done.role} now.")
    out.result({"id": done.id, "name": done.name, "role": done.role})
