"""The training loop every stage shares: rate schedule, gradient clipping, a curve on disk, checkpoints that survive a kill.

A stage gives a `Work`: its model's trained parameters, its optimisers, its data and a function from a batch to a loss.
`fit` runs it to the end or goes on where a checkpoint stopped. A loss that is not a number ends the run with the last good
checkpoint untouched.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from errors import TuneError, TuneStopped
from finetune.dataset import loader
from finetune.recipe import Schedule

Losses = tuple[Tensor, Mapping[str, float]]
CURVE_EVERY = 10


def never() -> bool:
    """Do not stop."""
    return False


class Data(Protocol):
    """What a stage reads: for a range of steps, one item each."""

    def over(self, steps: range) -> Dataset[Any]:
        """The same data, for these steps."""
        ...


class Hands:
    """How one process takes a step and keeps a stage; `sft` puts accelerate's way in its place."""

    main = True
    """Whether this process writes and speaks."""

    def gradients(self, work: Work, batch: Any, step: int) -> dict[str, float]:
        """Leave the gradients of a step behind; returns the losses by name."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, parts = work.losses(batch, step)
        refuse_no_number(work, loss, step)
        loss.backward()  # type: ignore[no-untyped-call]
        return {"loss": float(loss.detach()), **parts}

    def clip(self, work: Work) -> float:
        """Hold the gradients to the schedule's norm; returns what it was."""
        return float(nn.utils.clip_grad_norm_(trained(work.module).values(), work.schedule.clip))

    def save(self, work: Work, folder: Path, step: int) -> None:
        """Checkpoint and curve after `step` steps."""
        save(work, folder, step)

    def resume(self, work: Work, folder: Path) -> int:
        """Load the stage's own checkpoint, if any; returns how many steps are done."""
        return resume(work, folder)


@dataclass
class Work:
    """One stage in progress. `module` holds what is trained and saved; `losses(batch, step)` gives loss and named parts."""

    name: str
    module: nn.Module
    optimisers: Sequence[torch.optim.Optimizer]
    data: Data
    losses: Callable[[Any, int], Losses]
    schedule: Schedule
    watch: Callable[[int], Mapping[str, float]] | None = None
    watch_every: int = 100
    curve: list[dict[str, float]] = field(default_factory=list)
    recent: list[dict[str, float]] = field(default_factory=list)
    """Steps that are not in the curve yet."""
    seconds: float = 0.0
    hands: Hands = field(default_factory=Hands)
    halt: Callable[[], bool] = never
    """Asked before the first step and after each whether to stop there."""


def rate(schedule: Schedule, step: int) -> float:
    """Share of the highest rate at `step`: linear warm-up, then a cosine down to a twentieth."""
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))


def trained(module: nn.Module) -> dict[str, Tensor]:
    """Names and values of what is trained in `module`."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there. Raises `TuneError` when it cannot be written."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        part.replace(path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise TuneError(f"{path}: it cannot be written ({error}); free some disk and start the stage again, it goes on") from error


def save(work: Work, folder: Path, step: int) -> None:
    """Checkpoint and curve of `work` after `step` steps."""
    state = {
        "step": step,
        "module": {name: value.detach() for name, value in trained(work.module).items()},
        "optimisers": [optimiser.state_dict() for optimiser in work.optimisers],
        "curve": work.curve,
        "recent": work.recent,
        "seconds": work.seconds,
    }
    atomic(folder / f"{work.name}.pt", lambda path: torch.save(state, path))
    write_curve(work, folder, step)


def write_curve(work: Work, folder: Path, step: int) -> None:
    """`<stage>.json`: the curve up to `step`."""
    text = json.dumps({"stage": work.name, "steps": step, "seconds": round(work.seconds, 1), "curve": work.curve})
    atomic(folder / f"{work.name}.json", lambda path: path.write_text(text + "\n", encoding="utf-8"))


def checkpoint(folder: Path, name: str) -> dict[str, Any] | None:
    """Checkpoint of stage `name`, or None. Raises `TuneError` when it is damaged."""
    path = folder / f"{name}.pt"
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TuneError(f"{path}: the checkpoint is damaged ({type(error).__name__}); delete it and start the stage again") from error
    return state


def restore(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Put saved parameters back. Raises `TuneError` when they are of another recipe."""
    own = dict(module.named_parameters())
    for name, value in values.items():
        if name not in own or own[name].shape != value.shape:
            raise TuneError(f"{name}: the checkpoint was made by another recipe; start the run in another folder")
        own[name].data.copy_(value)


def resume(work: Work, folder: Path) -> int:
    """Load the stage's own checkpoint, if any; returns how many steps are done."""
    state = checkpoint(folder, work.name)
    if state is None:
        return 0
    restore(work.module, state["module"])
    for optimiser, saved in zip(work.optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    work.curve, work.recent, work.seconds = state["curve"], state.get("recent", []), state["seconds"]
    return int(state["step"])


def step_once(work: Work, batch: Any, step: int) -> dict[str, float]:
    """One optimiser step; returns the losses by name. Raises `TuneError` when the loss is not a number."""
    for optimiser in work.optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * rate(work.schedule, step)
    torch.manual_seed(step)
    losses = work.hands.gradients(work, batch, step)
    norm = work.hands.clip(work)
    if not math.isfinite(norm):
        raise TuneError(f"{work.name}: the gradient of step {step} is not a number; lower the rate and go on from the last checkpoint")
    for optimiser in work.optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return {**losses, "norm": norm}


def refuse_no_number(work: Work, loss: Tensor, step: int) -> None:
    """Raises `TuneError` when the loss of `step` is not finite; the last checkpoint is left as it is."""
    if not torch.isfinite(loss):
        raise TuneError(f"{work.name}: the loss of step {step} is not a number; lower the rate and go on from the last checkpoint")


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(sum(row[name] for row in rows) / len(rows), 4) for name in rows[0]}


def fit(work: Work, folder: Path, workers: int = 1, say: Callable[[str], None] = print) -> None:
    """Run `work` to the end of its schedule, from its checkpoint if there is one. Raises `TuneStopped` after a checkpoint when halted."""
    first = work.hands.resume(work, folder)
    work.halt()
    say = say if work.hands.main else _nobody
    started, before = time.monotonic(), work.seconds
    steps = range(first, work.schedule.steps)
    for step, batch in zip(steps, loader(work.data.over(steps), workers), strict=True):
        work.recent.append(step_once(work, batch, step))
        work.seconds = before + time.monotonic() - started
        done = step + 1
        if done % CURVE_EVERY == 0 or done == work.schedule.steps:
            work.curve.append({"step": done, "seconds": round(work.seconds, 1), **_mean(work.recent)})
            say(f"{work.name} " + " ".join(f"{name} {value:g}" for name, value in work.curve[-1].items()))
            work.recent = []
            if work.hands.main:
                write_curve(work, folder, done)
        if work.watch and (done % work.watch_every == 0 or done == work.schedule.steps):
            seen = {name: round(value, 4) for name, value in work.watch(done).items()}
            work.curve.append({"step": done, "seconds": round(work.seconds, 1), **seen})
            say(f"{work.name} watch " + " ".join(f"{name} {value:g}" for name, value in work.curve[-1].items()))
        if done % work.schedule.save_every == 0 or done == work.schedule.steps:
            work.hands.save(work, folder, done)
        if done < work.schedule.steps and work.halt():
            work.hands.save(work, folder, done)
            raise TuneStopped(f"stopped after step {done} of {work.schedule.steps}; start it again and it goes on from there")


def _nobody(_line: str) -> None:
    return
