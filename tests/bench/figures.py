"""What a figure is, and how a run of them is shown: a table for people, then one line of JSON."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measured value, its unit, and the bound it is held against; `how` says what exactly was measured."""

    name: str
    value: float
    unit: str
    bound: float
    how: str

    @property
    def reached(self) -> bool:
        """Whether the value is within its bound."""
        return self.value <= self.bound


def median(measure: Callable[[], float], times: int) -> float:
    """Median of `times` measurements."""
    return statistics.median(measure() for _ in range(times))


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def machine() -> str:
    """The processor, its cores in use and the Python, in a few words."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    )
    return f"{names[0] if names else platform.machine()}, {len(names) or 1} cores, Python {platform.python_version()}"


def revision(root: Path) -> str:
    """Short name of the commit that was measured; `` outside git."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def table(figures: Sequence[Figure]) -> str:
    """Figures as a Markdown table, so that it can go into a document as it is."""
    rows = ["| figure | measured | bound | | how |", "|---|---|---|---|---|"]
    for one in figures:
        verdict = "reached" if one.reached else "**missed**"
        rows.append(f"| {one.name} | {one.value:.3g} {one.unit} | <= {one.bound:.3g} {one.unit} | {verdict} | {one.how} |")
    return "\n".join(rows)


def line(figures: Sequence[Figure], about: dict[str, str]) -> str:
    """The whole run as one line of JSON."""
    rows = [{**asdict(one), "value": round(one.value, 4), "reached": one.reached} for one in figures]
    return json.dumps({**about, "figures": rows})
