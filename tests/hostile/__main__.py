"""Run every hostile case and print what became of it; the last line is JSON. Exit 1 when any case fails.

python -m tests.hostile [--mutants 1000]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from tests.hostile import mutants
from tests.hostile.cases import every, wrong
from tests.hostile.runner import Measured, measure


def _line(name: str, result: Measured, problem: str) -> None:
    mark = "FAIL" if problem else "ok"
    said = problem or next((reason for reason in result.reasons if reason), "")
    print(f"{mark:4} {name[:54]:54} {result.ending:8} {result.seconds * 1000:7.0f} ms {result.megabytes:6.0f} MB  {said[:110]}", flush=True)


def main() -> int:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=1000, help="files with flipped bytes per transfer syntax")
    arguments = parser.parse_args()
    failed: list[str] = []
    seconds, memory, endings = [], [], []
    with tempfile.TemporaryDirectory() as work:
        for number, case in enumerate(every(Path(os.environ.get("INTERVAL_TEST_DATA", "")))):
            folder = Path(work, str(number))
            folder.mkdir()
            result = measure(case.make(folder), case.unprivileged)
            problem = wrong(case, result)
            _line(case.name, result, problem)
            failed += [case.name] if problem else []
            seconds.append(result.seconds)
            memory.append(result.megabytes)
            endings.append(result.ending)
        figures = []
        for batch in mutants.batches(Path(work), arguments.mutants):
            problem = "; ".join(batch.crashes[:2]) or ("over 2 s" if batch.p99 > 2 else "")
            counts = f"{batch.pictures} pictures, {batch.errors} errors, p99 {batch.p99:.3f} s"
            print(f"{'FAIL' if problem else 'ok':4} {batch.name:54} {counts}  {problem}", flush=True)
            failed += [batch.name] if problem else []
            figures.append(batch)
    total = sum(batch.pictures + batch.errors + len(batch.crashes) for batch in figures)
    print(
        json.dumps(
            {
                "cases": len(seconds), "pictures": endings.count("picture"), "refused": endings.count("refused"),
                "skipped": endings.count("skipped"), "slowest_s": round(max(seconds), 3), "most_mb": round(max(memory), 1),
                "mutants": total, "mutant_crashes": sum(len(batch.crashes) for batch in figures),
                "mutant_p99_s": round(max(batch.p99 for batch in figures), 3), "failed": failed,
            }
        )
    )  # fmt: skip
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
