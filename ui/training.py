"""What the page and the command line do alike when a model learns: what reviewers let through, what can learn, and by which recipes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from errors import EngineError, InputError, TuneError
from finetune import runs
from finetune.versions import shelf
from inference.catalogue import folder_of, models
from inference.engine import Image
from settings import Settings
from storage.reviewed import Reviewed
from storage.store import Store
from storage.views import LOCAL
from ui import requests

if TYPE_CHECKING:
    from finetune.versions.checks import Room
    from finetune.versions.drafts import Drafted

ROOT = Path(__file__).resolve().parent.parent
GATE_LOG = "gate.log"
MEASURE = ("finetune", "gate")
"""The command that measures a run, whose name goes behind it."""
POLITE = 10
"""How far measuring stands behind answering: its niceness."""
LISTED = ("left_out_lines", "missing_images")
"""What a manifest lists one by one; a page is told how many there are."""


def corrections(store: Store) -> Callable[[Path], Drafted] | None:
    """What reviewers let through, ready to be drafted; None when there is nothing yet."""
    from finetune.versions.corrections import gather

    accepted, user = store.accepted(), store.user(LOCAL)

    def render(item: Reviewed) -> Sequence[Image]:
        drawn = [[mark for mark in item.marks if mark.image == number] for number in range(len(item.images))]
        return [requests.image(store, user, image.slot, marks) for image, marks in zip(item.images, drawn, strict=True)]

    return (lambda folder: gather(accepted, render, folder)) if accepted else None


def room_of(settings: Settings, model: str = "") -> tuple[Room | None, str]:
    """What items must fit into, and a remark when that is not known. Raises `EngineError`, `TuneError` for a model that was named."""
    from finetune.versions import checks

    given = model or settings.model
    try:
        return checks.room(Path(given) if Path(given).is_dir() else folder_of(settings, given)), ""
    except (EngineError, TuneError) as error:
        if model:
            raise
        return None, f"Lengths are not checked: {error}."


def bases(settings: Settings) -> list[str]:
    """Models of this machine that can learn: those with transformers weights."""
    return [entry.name for entry in models(settings) if entry.state == "ready" and "torch" in entry.engines]


@lru_cache(maxsize=1)
def recipes() -> tuple[Mapping[str, Any], ...]:
    """The shipped recipes, `sft` first: name, method, and what people want to know before they choose."""
    from finetune import orders

    found = [(name, orders.recipe(name)) for name in orders.shipped()]
    return tuple(
        {
            "name": name,
            "method": one.method,
            "epochs": one.tuning.epochs,
            "rate": one.tuning.rate,
            "batch": one.tuning.batch,
            "rank": one.adapter.rank,
        }
        for name, one in sorted(found, key=lambda pair: (pair[1].method != "sft", pair[0]))
    )


def manifest(version: shelf.Version) -> dict[str, Any]:
    """A version's manifest, lists of names as their lengths."""
    return {name: len(value) if name in LISTED else value for name, value in version.manifest.items()}


@dataclass
class Measuring:
    """Gates at work, each in a process of its own of low priority, so that answering goes on."""

    _at_work: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def start(self, settings: Settings, name: str) -> None:
        """Measure a finished run. Raises `InputError` when it is at it already."""
        runs.adapter(settings, name)
        with self._lock:
            if self.running(name):
                raise InputError(f"run {name} is being measured already")
            command = [sys.executable, str(ROOT / "app.py"), "--data-dir", str(settings.data_dir), *MEASURE, name]
            with (runs.folder(settings, name) / GATE_LOG).open("wb") as log:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
            os.setpriority(os.PRIO_PROCESS, process.pid, POLITE)
            self._at_work[name] = process

    def stop(self, name: str) -> None:
        """End the measuring of a run; what was asked is kept, and asked no more when it is measured again. Raises `InputError`."""
        with self._lock:
            if not self.running(name):
                raise InputError(f"run {name} is not being measured")
            self._at_work[name].terminate()
            self._at_work[name].wait()

    def running(self, name: str) -> bool:
        """Whether a run is being measured."""
        process = self._at_work.get(name)
        return process is not None and process.poll() is None

    def said(self, settings: Settings, name: str) -> str:
        """The last line that measuring wrote, `` before the first."""
        path = runs.folder(settings, name) / GATE_LOG
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        return lines[-1] if lines else ""

    def close(self) -> None:
        """End what is at work."""
        for process in self._at_work.values():
            process.terminate()
            process.wait()
