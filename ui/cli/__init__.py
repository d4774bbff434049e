"""The command line: one function per command, each a thin call into the rooms below.

    python app.py                                            # serve
    python app.py ask --image prior.dcm --image current.dcm --question "What changed since the prior?"
    python app.py import ~/studies --json

Every command takes `--json`, which makes the last line of standard output one JSON object, and `--data-dir`. Errors are one
sentence on standard error; exit 2 means what was given cannot be used, 1 that something failed, 130 that it was stopped.
Heavy libraries are imported inside the functions that need them, so that a question is not kept waiting for the page's.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from errors import IntervalError
from ui.cli import ask, db, evaluate, finetune, models, predict, replay, serve, studies, users
from ui.cli.common import DATA_DIR_HELP, Given

DOC = """Interval answers one question of every follow-up: what changed since the prior?

For research and teaching, not a medical device. Every setting is also an environment variable (README, Configuration)."""

app = typer.Typer(name="app.py", help=DOC, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.command("serve")(serve.serve)
app.command("ask")(ask.ask)
app.command("import")(studies.import_studies)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("replay")(replay.replay)
app.add_typer(models.app, name="models")
app.add_typer(db.app, name="db")
app.add_typer(users.app, name="users")
app.add_typer(finetune.app, name="finetune")

STOPPED = 130
COMMANDS = ("serve", "ask", "import", "evaluate", "predict", "replay", "models", "db", "users", "finetune")


@app.callback()
def _globals(
    context: typer.Context,
    data_dir: Path | None = typer.Option(None, "--data-dir", help=DATA_DIR_HELP, show_default="~/.local/share/interval"),  # noqa: B008
    json: bool = typer.Option(False, "--json", help="Make the last line of standard output one JSON object."),
) -> None:
    context.obj = Given(data_dir, json)


def with_default(arguments: Sequence[str]) -> list[str]:
    """The arguments with `serve` put in where no command is named, so that `python app.py --port 8000` serves."""
    index = 0
    while index < len(arguments):
        word = arguments[index]
        if word in (*COMMANDS, "--help") or not word.startswith("-"):
            return list(arguments)
        if word != "--json" and not word.startswith("--data-dir"):
            break
        index += 2 if word == "--data-dir" else 1
    return [*arguments[:index], "serve", *arguments[index:]]


def complain(sentence: str) -> None:
    """One line on standard error."""
    print(" ".join(sentence.split()), file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code; nothing below ends in a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = app(with_default(given), prog_name="app.py", standalone_mode=False)
        if result == STOPPED:  # typer turns Ctrl-C into this code
            complain("Stopped.")
        return result if isinstance(result, int) else 0
    except IntervalError as error:
        complain(str(error))
        return error.exit_code
    except typer.TyperException as error:
        complain(f"{error.format_message()} (python app.py --help lists what there is)")
        return 2
    except (KeyboardInterrupt, typer.Abort):
        complain("Stopped.")
        return STOPPED
    except BrokenPipeError:
        sys.stdout = None  # the reader of our output has gone; there is nobody to tell
        return 1
    except Exception as error:
        logging.getLogger("interval").debug("unexpected", exc_info=True)
        detail = str(error) or "no detail"
        complain(f"Unexpected {type(error).__name__}: {detail}; INTERVAL_LOG_LEVEL=debug shows where, please report it.")
        return 1
