"""What the commands share: the options every one takes, reading the settings, and how a result leaves the process."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from errors import InputError
from settings import Settings, load

DATA_DIR_HELP = "Where studies, sessions and models are kept."

DataDir = Annotated[Path | None, typer.Option("--data-dir", help=DATA_DIR_HELP, show_default="~/.local/share/interval")]
Json = Annotated[bool, typer.Option("--json", help="Make the last line of standard output one JSON object.")]

LIBRARIES = ("alembic", "httpx", "asyncio", "PIL", "python_multipart")
"""What these libraries say below a warning is of no use to whoever runs Interval."""


@dataclass(frozen=True)
class Given:
    """Options named before the command."""

    data_dir: Path | None = None
    json: bool = False


@dataclass(frozen=True)
class Output:
    """Where a command's result goes: words for people, or one JSON object as the last line."""

    as_json: bool

    def say(self, text: str, end: str = "\n") -> None:
        """A line for people; silent with `--json`."""
        if not self.as_json:
            print(text, end=end, flush=True)

    def note(self, text: str) -> None:
        """A remark beside the result, on standard error; silent with `--json`, whose object carries the warnings."""
        if not self.as_json:
            print(text, file=sys.stderr, flush=True)

    def result(self, value: Mapping[str, object]) -> None:
        """The JSON object, with `--json` only."""
        if self.as_json:
            print(json.dumps(value, ensure_ascii=False, allow_nan=False, default=str), flush=True)


def log_to_stderr(level: str) -> None:
    """Log from `level` up. Commands that end are quiet below `error`: standard error is for their one sentence."""
    chosen = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=chosen, format="%(levelname)s %(name)s: %(message)s", force=True)
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(chosen if chosen <= logging.DEBUG else max(chosen, logging.WARNING))
    logging.captureWarnings(True)


def begin(context: typer.Context, data_dir: Path | None, as_json: bool, **overrides: object) -> tuple[Settings, Output]:
    """Settings in force and the output to use; options after the command win over those before it."""
    given = context.find_object(Given) or Given()
    settings = load(data_dir=data_dir or given.data_dir, **overrides)
    log_to_stderr("debug" if settings.log_level == "debug" else "error")
    with suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    return settings, Output(as_json or given.json)


def require_store(settings: Settings) -> None:
    """Refuse a data directory without a database, which opening would quietly make. Raises `InputError`."""
    file = settings.data_dir / "interval.db"
    if not settings.database_url and not file.is_file():
        raise InputError(f"There is no database at {file}; check --data-dir, or make one with `python app.py db upgrade`.")
