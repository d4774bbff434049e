"""`predict`: the change of every pair of a CSV, one JSON line each, in order.

Each line is `prior_path` and `current_path` as given, `progression` (finding -> class -> probability), `overall`
(probabilities of worse, stable and improved) and `warnings`. A pair that cannot be read keeps its line, with both empty
and a warning that says why. With `--json` the last line also carries `summary`, so there is still one line a pair.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from errors import IntervalError
from inference.engine import Engine
from inference.offsets import digest
from ui.cli.common import DataDir, Json, Output, begin
from ui.predicting import lines

if TYPE_CHECKING:
    from inference.pairfile import Films, PairRow


def predict(
    context: typer.Context,
    pairs: Annotated[Path, typer.Option(metavar="FILE", help="CSV with the columns prior_path and current_path; others are ignored.")],
    image_root: Annotated[Path, typer.Option(metavar="DIR", help="Folder that the paths are relative to.")],
    model: Annotated[str | None, typer.Option(help="Model that answers, name or path; @gguf or @torch forces the engine.")] = None,
    one_way: Annotated[
        bool, typer.Option("--one-way", help="Read each pair in the given order alone: half the time, and order may count.")
    ] = False,
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Predict the change of each pair of a CSV, one JSON line a pair; exit 2 when none could be read."""
    from inference.pairfile import Films, load
    from inference.select import open_engine
    from storage.studies import Budget

    settings, out = begin(context, data_dir, as_json)
    rows = load(pairs)
    films = Films(image_root, Budget.from_settings(settings))
    selection = open_engine(settings, model)
    try:
        failed = printed(rows, films, selection.engine, out, both=not one_way)
    finally:
        selection.engine.close()
    if len(failed) == len(rows):
        raise failed[0]


def printed(rows: Sequence[PairRow], films: Films, engine: Engine, out: Output, *, both: bool) -> list[IntervalError]:
    """Print a line for each row as soon as it is known and sum up; what went wrong with the failed ones."""
    started = time.monotonic()
    failed: list[IntervalError] = []
    for number, line in enumerate(lines(rows, films, engine, both=both), 1):
        failed += [line.error] if line.error else []
        if number == len(rows):
            summary = summed_up(len(rows), len(failed), engine, time.monotonic() - started, both=both)
            line.content.update({"summary": summary} if out.as_json else {})
            out.note(
                f"{len(rows)} pairs, {len(failed)} of them not read, in {summary['seconds']} s ({summary['seconds_a_pair']} s a pair, "
                f"{summary['reading']}) by {engine.card.name}."
            )
        print(json.dumps(line.content, ensure_ascii=False, allow_nan=False), flush=True)
    return failed


def summed_up(pairs: int, failed: int, engine: Engine, seconds: float, *, both: bool) -> dict[str, Any]:
    """The run in one object: counts, what read the pairs and how, and the time it took."""
    return {
        "pairs": pairs,
        "failed": failed,
        "model": engine.card.name,
        "model_sha256": engine.card.sha256,
        "adapter_sha256": engine.card.adapter,
        "offsets_sha256": digest(engine.card.offsets),
        "engine": engine.card.engine,
        "reading": "both ways" if both else "one way",
        "seconds": round(seconds, 1),
        "seconds_a_pair": round(seconds / pairs, 2),
    }
