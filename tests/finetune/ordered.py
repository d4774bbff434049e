"""Runs as they lie on disk, without training: an order, a state, a curve, a log, and a score sheet."""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finetune import files
from settings import Settings

RECIPE: dict[str, Any] = {
    "name": "sft", "method": "sft", "seed": 7, "cache": "disk", "precision": "bf16", "checkpointing": False, "beta": 0.1, "sft_weight": 0.2,
    "adapter": {"rank": 16, "alpha": 32, "dropout": 0.0, "dora": False, "linears": ["q_proj", "v_proj"]},
    "tuning": {"rate": 0.0002, "epochs": 1.0, "steps": 0, "batch": 8, "micro": 4, "warmup": 0.05, "decay": 0.0, "clip": 1.0,
               "save_every": 50},
}  # fmt: skip


def run(
    settings: Settings,
    name: str,
    state: str = "finished",
    step: int = 120,
    steps: int = 120,
    sheet: dict[str, Any] | None = None,
    **more: Any,
) -> Path:
    """A run called `name` on version v1 of the model `tiny`."""
    folder = settings.runs_dir / name
    folder.mkdir(parents=True)
    order = {
        "name": name,
        "base": "tiny",
        "version": "v1",
        "recipe": RECIPE,
        "by": "ana",
        "version_sha256": "v",
        "created": f"2026-11-2{len(list(settings.runs_dir.iterdir()))}T09:00:00+00:00",
    }
    estimate = {
        "seconds": 540.0,
        "memory_mb": 2100,
        "steps": steps,
        "examples": steps * 8,
        "tokens": 210,
        "basis": "an earlier run on this machine",
    }
    told = {
        "state": state,
        "pid": 0,
        "steps": steps,
        "estimate": estimate,
        "started": "2026-11-22T09:00:00+00:00",
        "updated": "2026-11-22T09:08:00+00:00",
    }
    (folder / "order.json").write_text(json.dumps(order))
    (folder / "state.json").write_text(json.dumps({**told, **more}))
    advance(folder, step)
    if sheet is not None:
        (folder / "gates.json").write_text(json.dumps(sheet))
    return folder


def advance(folder: Path, step: int) -> None:
    """Curve and log of the run in that folder after so many steps."""
    rows = [
        {"step": done, "seconds": done * 4.2, "loss": round(0.4 + 2.2 * math.exp(-done / 35) + 0.05 * math.sin(done), 4), "norm": 1.1}
        for done in range(10, step + 1, 10)
    ]
    lines = [f"sft step {row['step']:g} seconds {row['seconds']:g} loss {row['loss']:g} norm 1.1" for row in rows]
    files.write_text(folder / "sft.json", json.dumps({"stage": "sft", "steps": step, "seconds": step * 4.2, "curve": rows}))
    files.write_text(folder / "log.txt", "\n".join(["idefics3, 960 examples, longest 231 tokens", *lines]) + "\n")


def sheet(run: str, *, failed: str = "") -> dict[str, Any]:
    """A score sheet in which the gate `failed` was not passed."""
    gates = [
        gate("G1", "Target gain", 0.31, 0.78, "right answers on held-back corrections", failed),
        gate("G2", "Abilities hold", 0.64, 0.63, "no ability lost more than 2 points", failed),
        gate("G3", "Image gain", 0.22, 0.05 if failed == "G3" else 0.23, "what the images add must not fall", failed),
        gate("G4", "Order coherence", 0.91, 0.93, "exchanged images invert the answer", failed),
        {**gate("G8", "Engine parity", None, None, "asked of the quantised model too", failed), "passed": None},
    ]
    replayed = [
        {
            "feedback": 12,
            "state": "fixed",
            "question": "Is the effusion progressing?",
            "before": "stable",
            "after": "worse",
            "gold": "worse",
        },
        {
            "feedback": 14,
            "state": "fixed",
            "question": "What changed since the prior?",
            "before": "Nothing.",
            "after": "The opacity is larger.",
            "gold": "The opacity is larger.",
        },
        {
            "feedback": 15,
            "state": "still wrong",
            "question": "Which side is the nodule on?",
            "before": "left",
            "after": "left",
            "gold": "right",
        },
    ]
    return {
        "run": run,
        "incumbent": "",
        "candidate": f"{run}-1a2b3c4d",
        "adapter_sha256": "1a2b3c4d",
        "passed": not failed,
        "gates": gates,
        "replayed": replayed,
    }


def gate(name: str, words: str, before: float | None, after: float | None, what: str, failed: str) -> dict[str, Any]:
    apart = None if before is None or after is None else after - before
    items = [{"item": f"pair {number}", "before": before, "after": after} for number in range(3)] if before is not None else []
    told = {
        "difference": apart,
        "low": None if apart is None else apart - 0.04,
        "high": None if apart is None else apart + 0.04,
        "bound": -0.02,
    }
    return {
        "gate": name,
        "name": words,
        "what": what,
        "before": before,
        "after": after,
        **told,
        "passed": name != failed,
        "reason": what,
        "items": items,
    }


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """As if a process worked on the run in that folder: its lock is held."""
    held = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(held)


def wait(folder: Path) -> None:
    """Until no process works on the run in that folder any more."""
    with (folder / "lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
