"""`replay`: make a session's answers again, and say whether they are the same to the last token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from errors import EngineError, InputError, ModelNotLoaded
from inference.engine import Engine
from inference.promoted import NONE
from settings import Settings
from ui.cli.common import DataDir, Json, Output, begin

if TYPE_CHECKING:
    from inference.select import Selection
    from storage.store import Store
    from storage.views import User


def replay(
    context: typer.Context,
    session: Annotated[int, typer.Argument(metavar="ID", help="Number of the session, as `ask` prints it.")],
    answer: Annotated[int | None, typer.Option(metavar="ID", help="Only this answer of it (`answer_id`).", show_default="all")] = None,
    model: Annotated[str | None, typer.Option(help="Model to answer instead, name or path; @gguf or @torch forces the engine.")] = None,
    engine: Annotated[Literal["auto", "gguf", "torch", "remote"] | None, typer.Option(help="What runs the model instead.")] = None,
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Make a kept session's answers again, by the model and engine that made them; exit 1 when one differs."""
    from storage.store import Store
    from storage.views import LOCAL

    settings, out = begin(context, data_dir, as_json)
    if not settings.database_url and not (settings.data_dir / "interval.db").is_file():
        raise InputError(f"There is no database in {settings.data_dir}; check --data-dir, or ask a question first.")
    with Store(settings) as store:
        reader = store.user(LOCAL)
        numbers = chosen(store, reader, session, answer)
        rows: list[dict[str, Any]] = []
        for maker, made in makers(store, reader, numbers, model, engine).items():
            selection = opened(settings, maker, out)
            try:
                rows += replayed(store, reader, session, made, selection.engine)
            finally:
                selection.engine.close()
            card = selection.engine.card
    for row in rows:
        why = f" ({'; '.join(row['reasons'])})" if row["reasons"] else ""
        verdict = "the same" if row["same"] else "not the same" if row["token"] < 0 else f"differs from token {row['token']} on"
        out.say(f"answer {row['answer_id']}: {verdict}{why}")
    same = sum(row["same"] for row in rows)
    out.say(f"{same} of {len(rows)} answers are the same.")
    found = {"session_id": session, "replayed": len(rows), "same": same, "model": card.name, "engine": card.engine, "answers": rows}
    out.result(found)
    if same < len(rows):
        first = next(row for row in rows if not row["same"])
        said = "; ".join(first["reasons"]) or f"it differs from token {max(0, first['token'])} on"
        raise EngineError(f"{len(rows) - same} of {len(rows)} answers are not the same; answer {first['answer_id']}: {said}.")


def chosen(store: Store, reader: User, session: int, answer: int | None) -> list[int]:
    """Ids of the whole answers to make again. Raises `InputError` when there is none, `StoreError` without the session."""
    turns = store.session(session, reader).turns
    numbers = [version.id for turn in turns for version in turn.versions if version.state == "complete"]
    if answer is not None:
        numbers = [number for number in numbers if number == answer]
    if not numbers:
        which = f"answer {answer}" if answer is not None else "a whole answer"
        raise InputError(f"Session {session} does not have {which}; its sessions and answers are in the JSON of `ask`.")
    return numbers


Maker = tuple[str | None, str | None, bool]
"""A model, an engine, and whether somebody asked for them; None means the settings'."""


def makers(store: Store, reader: User, numbers: list[int], model: str | None, engine: str | None) -> dict[Maker, list[int]]:
    """Who is to make which answers: the model and engine that were asked for, else those that made them."""
    if model or engine:
        return {(model, engine, True): numbers}
    made: dict[Maker, list[int]] = {}
    for number in numbers:
        record = store.answer(number, reader)
        alone = not record.adapter_digest and record.engine != "remote"  # what was promoted since is not put on
        made.setdefault((f"{record.model}+{NONE}" if alone else record.model, record.engine, False), []).append(number)
    return made


def opened(settings: Settings, maker: Maker, out: Output) -> Selection:
    """The engine of a maker; where the one that made an answer is not here any more, the settings', and a remark."""
    from inference.select import open_engine

    model, engine, wanted = maker
    try:
        return open_engine(settings, model, engine)
    except ModelNotLoaded as error:
        if wanted:
            raise
        out.note(f"note: {model} on {engine} cannot be asked ({error}); the settings' model answers.")
        return open_engine(settings)


def replayed(store: Store, reader: User, session: int, numbers: list[int], engine: Engine) -> Iterator[dict[str, Any]]:
    """Each answer made again, oldest first."""
    from threading import Event

    from inference.answer import Answer, ask
    from inference.replay import compared
    from ui.requests import of_record

    turns = store.session(session, reader).turns
    for place, turn in enumerate(turns):
        for version in turn.versions:
            if version.id not in numbers:
                continue
            record = store.answer(version.id, reader)
            request = of_record(store, reader, turns[:place], turn, record)
            *_, now = ask(engine, request, Event())
            assert isinstance(now, Answer)
            yield {"answer_id": version.id, "question": turn.question, **asdict(compared(record, now))}
