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
    method: str = "sft",
    **more: Any,
) -> Path:
    """A run called `name` on version v1 of the model `tiny`."""
    folder = settings.runs_dir / name
    folder.mkdir(parents=True)
    order = {
        "name": name,
        "base": "tiny",
        "version": "v1",
        "recipe": {**RECIPE, "method": method},
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
    advance(folder, step, method)
    if sheet is not None:
        (folder / "gates.json").write_text(json.dumps(sheet))
    return folder


def adapter(settings: Settings, name: str) -> Path:
    """As if the run had left an adapter: its folder."""
    folder = settings.runs_dir / name / "adapter"
    files.write_json(folder / "manifest.json", {})
    return folder


def advance(folder: Path, step: int, method: str = "sft") -> None:
    """Curve and log of the run in that folder after so many steps."""
    rows = [
        {"step": done, "seconds": done * 4.2, "loss": round(0.4 + 2.2 * math.exp(-done / 35) + 0.05 * math.sin(done), 4), "norm": 1.1}
        for done in range(10, step + 1, 10)
    ]
    if method != "sft":
        rows = [{**row, "accuracy": round(1 - 0.5 * math.exp(-row["step"] / 35), 3), "margin": row["step"] / 50} for row in rows]
    lines = [f"{method} step {row['step']:g} seconds {row['seconds']:g} loss {row['loss']:g} norm 1.1" for row in rows]
    files.write_text(folder / f"{method}.json", json.dumps({"stage": method, "steps": step, "seconds": step * 4.2, "curve": rows}))
    files.write_text(folder / "log.txt", "\n".join(["idefics3, 960 examples, longest 231 tokens", *lines]) + "\n")


def sheet(run: str, *, failed: str = "") -> dict[str, Any]:
    """A score sheet in which the gate `failed` was not passed."""
    gates = [
        gate("G1", "target gain", 0.31, 0.78, "right answers on held-back corrections", failed),
        gate("G2", "no loss: comparison", 0.64, 0.63, "probability of the right answer", failed),
        gate("G3", "image gain", 0.22, 0.05 if failed == "G3" else 0.23, "what the images add to the right answer", failed),
        gate("G4", "order", 0.91, 0.93, "exchanged images invert the answer", failed),
        {**gate("G8", "engines agree", None, None, "share of likeliest answers that both engines share", failed), "passed": None},
    ]
    replayed = [
        told(12, "fixed", "Is the effusion progressing?", "stable", "worse", "worse"),
        told(14, "fixed", "What changed since the prior?", "Nothing.", "The opacity is larger.", "The opacity is larger."),
        told(15, "still wrong", "Which side is the nodule on?", "left", "left", "right"),
    ]
    return {
        "run": run, "base": "tiny", "version": "v1", "version_sha256": "v", "incumbent": "", "adapter_sha256": "1a2b3c4d", "engine": "gguf",
        "made": "2026-11-22T09:20:00+00:00", "passed": not failed, "cases": {"target": 40, "flag": 60, "ability": 240, "anchor": 60},
        "gates": gates, "replayed": replayed,
    }  # fmt: skip


def told(number: int, state: str, question: str, before: str, after: str, gold: str) -> dict[str, Any]:
    """A flag that was asked again."""
    return {"feedback": number, "state": state, "held": False, "question": question, "before": before, "after": after, "gold": gold}


def gate(name: str, words: str, before: float | None, after: float | None, what: str, failed: str) -> dict[str, Any]:
    """One gate of a sheet with three cases behind it."""
    apart = None if before is None or after is None else after - before
    case = {"question": "How has the edema changed?", "truth": "worse", "before": "stable", "after": "worse", "images": []}
    items = [{**case, "key": f"k{number}", "patient": f"patient {number}", "item": ""} for number in range(3)] if before is not None else []
    around = {"low": None if apart is None else apart - 0.04, "high": None if apart is None else apart + 0.04, "bound": -0.02}
    reason = "only gguf runs this model here" if apart is None else f"{100 * apart:+.1f} points, allowed -2.0 points"
    return {
        "gate": name, "name": words, "what": what, "passed": name != failed, "reason": reason, "before": before, "after": after,
        "difference": apart, **around, "units": 40, "cases": 60, "required": True, "items": items,
    }  # fmt: skip


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
