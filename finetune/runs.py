"""Training runs: folders under the data directory, each worked on by one process of low priority that outlives who started it.

    create(settings, Order("mine", "bundled", "v3", orders.recipe("sft"), "ana"))
    start(settings, "mine")          # also goes on after a stop or a kill
    view(settings, "mine").state     # ready, running, stopped, killed, failed, finished

`runs/<name>/` holds `order.json` (what was ordered), `run.json` (what started: recipe, base and data by their hashes), `state.json`,
`<method>.json` (curve), `<method>.pt` (checkpoint), `log.txt`, `adapter/`, and once it was measured `gates.json` and `gates.html`.
The process holds a lock on `lock` for as long as it lives, so that a killed run is known from a running one.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import InputError, TuneError
from finetune import files
from inference import promoted
from settings import Settings

if TYPE_CHECKING:
    from finetune.orders import Estimate, Order

ROOT = Path(__file__).resolve().parents[1]
ORDER, STATE, LOG, LOCK, ADAPTER, GATES = "order.json", "state.json", "log.txt", "lock", "adapter", "gates.json"
REMEDY = "take the run from a backup, or order it again under another name"
LOOKS = 20
KEPT = 1 << 20
"""Bytes of a log that are looked at from its end."""


@dataclass(frozen=True)
class View:
    """A run as it stands.

    `state` is `ready`, `running`, `stopped` (by somebody), `killed`, `failed` (with `error`) or `finished`; `order` is the content of
    `order.json`; `gated` is `passed`, `failed` or `` when it was not measured; `eta_s` is None where nothing can be said yet.
    """

    name: str
    state: str
    order: Mapping[str, Any]
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    eta_s: float | None = None
    error: str = ""
    started: str = ""
    updated: str = ""
    estimate: Mapping[str, Any] = field(default_factory=dict)
    gated: str = ""
    live: bool = False

    @property
    def method(self) -> str:
        """`sft`, `dpo` or `kto`."""
        return str(self.order["recipe"]["method"])


def now() -> str:
    """This moment, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def folder(settings: Settings, name: str) -> Path:
    """Folder of a run. Raises `InputError` when there is none of that name."""
    place = settings.runs_dir / name
    if Path(name).name != name or not (place / ORDER).is_file():
        known = ", ".join(sorted(path.parent.name for path in settings.runs_dir.glob(f"*/{ORDER}"))) or "none"
        raise InputError(f"there is no run {name!r}; known: {known}")
    return place


def create(settings: Settings, order: Order) -> View:
    """Keep an order under its name. Raises `InputError` when the name is taken or the order cannot be carried out."""
    from finetune import orders

    place = settings.runs_dir / order.name
    fit = replace(orders.refuse_unfit(settings, order), created=now())
    if place.exists():
        raise InputError(f"a run {order.name!r} is there already; choose another name, or start that one")
    part = place.with_name(f".{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    reckoned = reckon(settings, fit)
    files.write_json(part / STATE, {"state": "ready", "estimate": asdict(reckoned), "steps": reckoned.steps, "updated": now()})
    files.write_text(part / ORDER, json.dumps(orders.as_json(fit), indent=1) + "\n")
    part.rename(place)
    return view(settings, order.name)


def reckon(settings: Settings, order: Order) -> Estimate:
    """`orders.estimate` from the finished runs of the same model and method, where there are some."""
    from finetune import orders

    done = [
        (run.seconds, run.step * int(run.order["recipe"]["tuning"]["batch"]))
        for run in every(settings)
        if run.state == "finished" and run.order["base"] == order.base and run.method == order.recipe.method and run.seconds and run.step
    ]
    return orders.estimate(settings, order, tuple(done))


def ordered(settings: Settings, name: str) -> Order:
    """What was ordered. Raises `InputError`, `TuneError`."""
    from finetune import orders

    return orders.parsed(files.read_json(folder(settings, name) / ORDER, REMEDY))


def start(settings: Settings, name: str) -> int:
    """Start a run, or go on with it, in a process of its own; returns its number. Raises `InputError` when it is done or at work."""
    place = folder(settings, name)
    if view(settings, name).state == "finished":
        raise InputError(f"run {name} is finished; order another one to train again")
    held = os.open(place / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _locked(held)
        note(place, state="running", error="", started=now())
        with (place / LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "finetune.working", str(place), "--data-dir", str(settings.data_dir)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=place, start_new_session=True, pass_fds=(held,),
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_WAIT_POLICY": "PASSIVE"},
            )  # fmt: skip
        _children[process.pid] = process
        note(place, pid=process.pid)
        return process.pid
    except BlockingIOError as error:
        raise InputError(f"run {name} is at work already") from error
    finally:
        os.close(held)


_children: dict[int, subprocess.Popen[bytes]] = {}
"""Processes this one started, so that those which ended leave the system's table."""


def stop(settings: Settings, name: str) -> None:
    """Ask a run to write a checkpoint and end; it goes on with `start`. Raises `InputError` when it is not at work."""
    place = folder(settings, name)
    if view(settings, name).state != "running":
        raise InputError(f"run {name} is not at work")
    with suppress(ProcessLookupError):
        os.kill(int(_state(place)["pid"]), signal.SIGTERM)


def note(place: Path, **changes: Any) -> None:
    """Write changes into `state.json`."""
    files.write_json(place / STATE, {**_state(place), **changes, "updated": now()})


def view(settings: Settings, name: str) -> View:
    """A run as it stands. Raises `InputError`, `TuneError`."""
    place = folder(settings, name)
    order, state = files.read_json(place / ORDER, REMEDY), _state(place)
    curve = _curve(place, order["recipe"]["method"])
    said = "running" if at_work(place) else "killed" if state["state"] == "running" else state["state"]
    step, steps, seconds = int(curve.get("steps", 0)), int(state.get("steps", 0)), float(curve.get("seconds", 0.0))
    left = (steps - step) * seconds / step if step and said == "running" else None
    gates = files.read_json(place / GATES, REMEDY) if (place / GATES).is_file() else None
    live = promoted.live(settings.adapters_dir, order["base"])
    return View(
        name, said, order, step, steps, seconds, left, str(state.get("error", "")), str(state.get("started", "")), str(state["updated"]),
        state.get("estimate", {}), "" if gates is None else "passed" if gates["passed"] else "failed", bool(live and live.run == name),
    )  # fmt: skip


def every(settings: Settings) -> tuple[View, ...]:
    """All runs, oldest first."""
    found = [view(settings, path.parent.name) for path in settings.runs_dir.glob(f"*/{ORDER}") if not path.parent.name.startswith(".")]
    return tuple(sorted(found, key=lambda run: (str(run.order["created"]), run.name)))


def at_work(place: Path) -> bool:
    """Whether a process works on the run in that folder."""
    for pid, process in list(_children.items()):
        if process.poll() is not None:
            del _children[pid]
    try:
        held = os.open(place / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(held)


def _locked(held: int) -> None:
    """Take the lock; whoever only looks at it lets it go at once. Raises `BlockingIOError` when a process works on the run."""
    for _ in range(LOOKS - 1):
        with suppress(BlockingIOError):
            return fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(0.01)
    return fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


def curve(settings: Settings, name: str) -> list[dict[str, float]]:
    """Rows of the curve, each with `rate` (learning rate) and `samples_s` (samples a second since the row before)."""
    from finetune import loop

    place, order = folder(settings, name), ordered(settings, name)
    schedule = order.recipe.tuning.schedule(max(1, int(_state(place).get("estimate", {}).get("examples", 1))))
    rows, before = [], (0.0, 0.0)
    for row in _curve(place, order.recipe.method).get("curve", []):
        step, seconds = float(row["step"]), float(row["seconds"])
        speed = (step - before[0]) * schedule.batch / max(1e-9, seconds - before[1])
        rows.append({**row, "rate": schedule.rate * loop.rate(schedule, int(step) - 1), "samples_s": round(speed, 3)})
        before = (step, seconds)
    return rows


def log(settings: Settings, name: str, lines: int = 200) -> str:
    """The last lines of a run's log."""
    path = folder(settings, name) / LOG
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - KEPT))
        return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])


def adapter(settings: Settings, name: str) -> Path:
    """Folder of the adapter a finished run left. Raises `InputError` without one."""
    place = folder(settings, name) / ADAPTER
    if not (place / "manifest.json").is_file():
        raise InputError(f"run {name} has left no adapter yet ({view(settings, name).state}); let it finish first")
    return place


def _state(place: Path) -> dict[str, Any]:
    return files.read_json(place / STATE, REMEDY)


def _curve(place: Path, method: str) -> dict[str, Any]:
    path = place / f"{method}.json"
    return files.read_json(path, REMEDY) if path.is_file() else {}


def running(settings: Settings) -> tuple[View, ...]:
    """Runs at work."""
    return tuple(run for run in every(settings) if run.state == "running")


def refuse_memory(wanted_mb: int, free: int) -> None:
    """Raises `TuneError` when a run would take more memory than is free, in bytes, and so end the programs beside it."""
    if wanted_mb * 1_000_000 > free:
        raise TuneError(
            f"the run takes about {wanted_mb} MB of memory and {free // 1_000_000} MB are free; lower micro, or end something else first"
        )
