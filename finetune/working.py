"""The process that works on one run, started by `finetune.runs`: it gives way to everything else on the machine.

    python -m finetune.working ~/.local/share/interval/runs/mine

SIGTERM ends it behind a checkpoint. What goes wrong is one sentence in `state.json` and in the log.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from errors import IntervalError, TuneStopped
from finetune import runs
from inference.hardware import memory_free, nvidia_driver, physical_cores
from settings import Settings, load

NICE, SESSION = 19, 10
"""Niceness of the process behind others of its session, and of its session behind others: those keep nine tenths of a processor they
want whole, and a run on a machine that is always busy still gets on."""
PACKAGES = ("torch", "transformers", "peft", "accelerate", "trl")


class Halt:
    """Whether somebody asked the run to stop: it ends after the step at hand, or at once while no step is at hand."""

    def __init__(self) -> None:
        self._asked = self._stepping = False

    def __call__(self) -> bool:
        """For the training loop, which asks between steps."""
        self._stepping = True
        return self._asked

    def signalled(self, _number: int, _frame: FrameType | None) -> None:
        """On SIGTERM."""
        self._asked = True
        if not self._stepping:
            raise TuneStopped("stopped before the first step; start it again and it goes on from there")


def work(settings: Settings, name: str, halt: Halt) -> Path:
    """Carry the order out. Raises `TuneError`, `ModelNotLoaded`, `TuneStopped`."""
    place, order = runs.folder(settings, name), runs.ordered(settings, name)
    reckoned = runs.reckon(settings, order)
    runs.refuse_memory(reckoned.memory_mb, _memory())
    packages = {package: version(package) for package in PACKAGES}
    runs.note(place, pid=os.getpid(), steps=reckoned.steps, packages=packages, priority=os.nice(0))
    import torch

    from finetune import orders, preference, sft
    from finetune.versions import shelf

    torch.set_num_threads(physical_cores())
    found = shelf.read(settings.versions_dir, order.version)
    shelf.check(found)
    recipe = order.recipe.on(found.folder, name)
    start = orders.start_of(settings, order.start) if order.start else None
    run = sft.Run(recipe, place, orders.base_of(settings, order.base).folder, Path("/"), halt=halt, start=start)
    made = sft.tune(run, say=say) if order.recipe.method == "sft" else preference.tune(run, order.recipe, say)
    assert made is not None
    return made


def _memory() -> int:
    """Bytes free where the run will be."""
    if nvidia_driver():
        import torch

        if torch.cuda.is_available():
            return int(torch.cuda.mem_get_info()[0])
    return memory_free()


def give_way() -> None:
    """Step behind everything else on the machine. Linux shares processors among sessions before niceness counts (autogroup, sched(7)),
    and this process has a session of its own, whose share therefore has to shrink too."""
    os.nice(NICE)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(SESSION))


def say(line: str) -> None:
    """A line of the log, with the time."""
    print(f"{runs.now()} {line}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m finetune.working", description="Work on one run until it is done.")
    parser.add_argument("folder", type=Path, help="the run's folder")
    parser.add_argument("--data-dir", type=Path, help="Interval's data directory")
    given = parser.parse_args(arguments)
    give_way()
    halt = Halt()
    signal.signal(signal.SIGTERM, halt.signalled)
    settings, place = load(data_dir=given.data_dir), given.folder
    try:
        made = work(settings, place.name, halt)
    except TuneStopped as error:
        say(str(error))
        runs.note(place, state="stopped")
        return 0
    except BaseException as error:
        if not isinstance(error, IntervalError):
            traceback.print_exc()
        told = str(error) if isinstance(error, IntervalError) else f"the run broke off ({type(error).__name__}: {error}); its log has more"
        say(told)
        runs.note(place, state="failed", error=told.splitlines()[0])
        return 1
    say(f"finished: {made}")
    used = resource.getrusage(resource.RUSAGE_SELF)
    runs.note(place, state="finished", peak_mb=used.ru_maxrss // 1000, processor_s=round(used.ru_utime + used.ru_stime, 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
