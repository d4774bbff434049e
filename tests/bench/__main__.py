"""`make bench`: the figures of docs/benchmarks.md, measured here and now.

    python -m tests.bench                # all
    python -m tests.bench warm import    # some

Prints a table for people and ends with one line of JSON; writes nothing. Exit 1 when a bound is missed, so that a
change that slows something down is seen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", GOMP_SPINCOUNT="1000")

from tests.bench import (
    answering,
    decoding,
    generating,
    importing,
    learning,
    peers,
    reading,
    registering,
    reviewing,
    scrolling,
    serving,
    viewing,
)
from tests.bench.figures import Figure, line, machine, revision, table
from tests.conftest import models_folder

ROOT = Path(__file__).resolve().parents[2]


def measures(models: Path) -> dict[str, Callable[[], list[Figure]]]:
    """Every measure by the name it is asked for."""
    return {
        "warm": lambda: answering.warm(models),
        "cold": lambda: answering.cold(models),
        "stock": lambda: peers.stock(models),
        "tokens": lambda: peers.decoding(models),
        "checks": lambda: reading.checks(models),
        "readers": lambda: reading.readers(models),
        "page": lambda: reading.page(models),
        "growth": lambda: reading.growth(models),
        "import": importing.pair_import,
        "decode": decoding.regret,
        "pictures": viewing.first_pictures,
        "slice": viewing.first_slice,
        "scroll": scrolling.scrolling,
        "pair-memory": viewing.pair_memory,
        "register": registering.registration,
        "generate": generating.pace,
        "learning": lambda: learning.learning(models),
        "queue": reviewing.queue_page,
        "feedback": reviewing.durable_feedback,
        "memory": lambda: serving.idle_memory(models),
        "start": serving.second_start,
    }


def main() -> int:
    """Measure what is named, or everything."""
    models = models_folder()
    if models is None:
        print("interval: there is no built model to measure; run `make bench`, which builds one.", file=sys.stderr)
        return 1
    known = measures(models.resolve())
    wanted = sys.argv[1:] or list(known)
    if unknown := [name for name in wanted if name not in known]:
        print(f"interval: there is no measure called {unknown[0]}; there are {', '.join(known)}.", file=sys.stderr)
        return 2
    before = f"{os.getloadavg()[0]:.1f}"
    figures: list[Figure] = []
    for name in wanted:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        figures += known[name]()
    about = {"machine": machine(), "revision": revision(ROOT), "date": datetime.now(UTC).strftime("%Y-%m-%d"), "load": before}
    print(f"{about['machine']}; {about['revision']}; {about['date']}; load {before} before\n")
    print(table(figures), line(figures, about), sep="\n\n")
    return int(not all(one.reached for one in figures))


if __name__ == "__main__":
    raise SystemExit(main())
