"""`evaluate`: the score sheet of a model on one Med-MIM file, beside what it would score without looking."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from errors import InputError, TuneError
from ui.cli.common import DataDir, Json, begin

if TYPE_CHECKING:
    from finetune.evaluate import Condition
    from finetune.medmim import Benchmark


def evaluate(
    context: typer.Context,
    benchmark: Annotated[Path | None, typer.Option(metavar="FILE", help="A Med-MIM file, JSON.")] = None,
    image_root: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Folder of the file's images; as often as there are folders.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model that is scored, name or path; @gguf or @torch forces the engine.")] = None,
    engine: Annotated[Literal["auto", "gguf", "torch"] | None, typer.Option(help="What runs the model.")] = None,
    blind: Annotated[bool, typer.Option("--blind", help="Only with grey in place of every image; needs no image.")] = False,
    shuffled: Annotated[bool, typer.Option("--shuffled", help="Only with another patient's images.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Ask N items, spread over the file.", show_default="all")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Copies of the model that share the work.", show_default="as many as fit")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of answers and sheet.", show_default="in the data folder")] = None,
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Score a model on a benchmark file, with the controls beside each figure; a run that was stopped goes on."""
    settings, output = begin(context, data_dir, as_json)
    file = read(benchmark, image_root or ())
    from finetune import crew, sheet
    from finetune.evaluate import evaluate as run
    from finetune.evaluate import folder_name, selected

    conditions = wanted(blind, shuffled)
    selected(file, conditions, limit)
    with crew.opened(settings, model, engine, workers) as some, bar() as progress:
        folder = out or settings.data_dir / "evaluations" / folder_name(file, some.card)
        done = run(some, file, folder, conditions, limit, progress)
    content = sheet.content(done)
    files = sheet.write(content, folder, sheet.stem(done))
    for line in sheet.lines(content):
        output.say(line)
    output.note(f"{some.reason} The sheet is {files['html']}.")
    output.result({**content, "files": files})


def wanted(blind: bool, shuffled: bool) -> tuple[Condition, ...]:
    """The conditions asked for: all without either flag."""
    from finetune.evaluate import CONDITIONS

    flagged: tuple[Condition, ...] = (*(("blind",) if blind else ()), *(("shuffled",) if shuffled else ()))
    return flagged or CONDITIONS


def read(benchmark: Path | None, roots: Sequence[Path]) -> Benchmark:
    """The benchmark file. Raises `InputError` with what is wrong with it."""
    from finetune import medmim

    if benchmark is None:
        raise InputError("No benchmark was given: add --benchmark FILE, a Med-MIM file.")
    try:
        return medmim.load(benchmark, list(roots))
    except TuneError as error:
        raise InputError(str(error)) from error


@contextmanager
def bar() -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on standard error, where a person looks at it; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    with typer.progressbar(length=1, label="evaluating", file=sys.stderr, show_pos=True) as shown:

        def progress(done: int, total: int) -> None:
            shown.length = total
            shown.update(done - shown.pos)

        yield progress
