"""Runs as somebody starts, stops, kills and resumes them: real processes on a tiny model of the bundled model's family."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from errors import InputError, TuneError
from finetune import orders, runs
from finetune.orders import Order
from inference.engine import Engine
from inference.select import open_engine
from settings import Settings
from tests.finetune import shelved
from tests.inference import tiny

PATIENCE = 480
QUICK: dict[str, Any] = {"steps": 12, "batch": 2, "micro": 2, "rate": 0.005, "save_every": 4, "warmup": 0.0}


@pytest.fixture
def here(settings: Settings) -> Settings:
    """A data directory with the tiny model and a version."""
    tiny.build(settings.models_dir / "tiny")
    shelved.version(settings)
    return settings


def ordered(here: Settings, name: str = "mine", method: str = "sft", **changes: Any) -> runs.View:
    return runs.create(here, Order(name, "tiny", "v1", orders.recipe(method, precision="fp32", **{**QUICK, **changes}), "ana"))


def until(here: Settings, name: str, done: Callable[[runs.View], bool]) -> runs.View:
    """The run once `done` is true of it."""
    end = time.monotonic() + PATIENCE
    while not done(found := runs.view(here, name)):
        assert time.monotonic() < end, f"{found}\n{runs.log(here, name)}"
        time.sleep(0.02)
    return found


def ended(found: runs.View) -> bool:
    return found.state != "running"


@pytest.mark.parametrize("method", orders.shipped())
def test_a_shipped_recipe_is_valid_and_named_after_its_method(method: str) -> None:
    found = orders.recipe(method)
    assert found.method == found.name == method
    assert found.tuning.schedule(300).steps > 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "dpo", "kto"])
def test_a_run_learns_in_a_process_of_its_own_and_leaves_an_adapter_that_answers(here: Settings, method: str) -> None:
    seen = ordered(here, method=method)
    assert (seen.state, seen.order["version"], seen.order["by"]) == ("ready", "v1", "ana")
    assert seen.estimate["steps"] == 12
    assert runs.start(here, "mine") != os.getpid()
    found = until(here, "mine", ended)
    assert found.state == "finished", runs.log(here, "mine")
    assert found.step == found.steps == 12
    rows = runs.curve(here, "mine")
    assert rows[-1]["step"] == 12
    assert rows[-1]["rate"] > 0
    assert rows[-1]["samples_s"] > 0
    state = json.loads((here.runs_dir / "mine" / "state.json").read_text())
    assert state["packages"]["torch"]
    assert state["priority"] == 19
    assert "finished" in runs.log(here, "mine")
    said = [words(open_engine(here, name).engine) for name in ("tiny+none@gguf", "tiny+mine@gguf", "tiny+mine@torch")]
    assert said[0] != said[1] == said[2]
    with pytest.raises(InputError, match="run mine is finished"):
        runs.start(here, "mine")


BUSY = """
import os, sys, time
from finetune import working
if sys.argv[1] == "run":
    working.give_way()
print(flush=True)
sys.stdin.readline()
before, end = time.process_time(), time.monotonic() + 1
while time.monotonic() < end:
    pass
print(time.process_time() - before)
"""


def test_who_answers_has_the_processor_while_a_run_is_at_work() -> None:
    """A run of niceness 19 took half of the processor all the same: Linux shares it among sessions first, and a run has its own."""
    core = {min(os.sched_getaffinity(0))}

    def busy(kind: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", BUSY, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(runs.ROOT)}, preexec_fn=lambda: os.sched_setaffinity(0, core),
        )  # fmt: skip

    with busy("answers") as answering, busy("run") as training:
        both = answering, training
        for process in both:
            assert process.stdout is not None
            process.stdout.readline()
        for process in both:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        took = [float(process.stdout.read()) for process in both if process.stdout is not None]
    assert took[1] < 0.3 * took[0]


def words(engine: Engine) -> list[int]:
    from threading import Event

    try:
        return [token.id for token in engine.stream(tiny.pair("What changed in 1?", tokens=6), Event())]
    finally:
        engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_run_that_is_killed_anywhere_ends_where_an_undisturbed_one_does(here: Settings, method: str) -> None:
    """Killed three times, at points nobody chose; started again each time: the same last loss, and the same adapter."""
    longer = {"steps": 40, "save_every": 3}
    for name in ("whole", "killed"):
        ordered(here, name, method, **longer)
    runs.start(here, "whole")
    until(here, "whole", ended)
    place = here.runs_dir / "killed"

    def reached(least: int) -> Callable[[runs.View], bool]:
        return lambda found: _steps(place, method) >= least or ended(found)

    for least in (1, 10, 20):
        runs.start(here, "killed")
        until(here, "killed", reached(least))
        pid = json.loads((place / "state.json").read_text())["pid"]
        os.kill(pid, signal.SIGKILL)
        assert until(here, "killed", ended).state == "killed"
    runs.start(here, "killed")
    assert until(here, "killed", ended).state == "finished", runs.log(here, "killed")
    whole, killed = (runs.curve(here, name) for name in ("whole", "killed"))
    assert abs(whole[-1]["loss"] - killed[-1]["loss"]) < 1e-3
    ours, theirs = (load_file(runs.adapter(here, name) / "adapter_model.safetensors") for name in ("whole", "killed"))
    assert max(float((ours[key] - theirs[key]).abs().max()) for key in ours) < 1e-4


def _steps(place: Path, method: str) -> int:
    """Step of the newest checkpoint."""
    if method == "sft":
        path = place / "sft.json"
        return int(json.loads(path.read_text())["steps"]) if path.is_file() else 0
    return max((int(path.name.rpartition("-")[2]) for path in (place / "trl").glob("checkpoint-*")), default=0)


@pytest.mark.slow
def test_a_run_that_is_stopped_keeps_every_step_and_goes_on(here: Settings) -> None:
    ordered(here, steps=60, save_every=50)
    runs.start(here, "mine")
    with pytest.raises(InputError, match="at work already"):
        runs.start(here, "mine")
    until(here, "mine", lambda found: found.step >= 10 or ended(found))
    assert runs.view(here, "mine").eta_s is not None
    runs.stop(here, "mine")
    stopped = until(here, "mine", ended)
    assert stopped.state == "stopped"
    assert 10 <= stopped.step < 60
    with pytest.raises(InputError, match="is not at work"):
        runs.stop(here, "mine")
    runs.start(here, "mine")
    assert until(here, "mine", ended).state == "finished"
    assert [row["step"] for row in runs.curve(here, "mine")] == [10, 20, 30, 40, 50, 60]


@pytest.mark.slow
def test_what_goes_wrong_is_one_sentence(here: Settings) -> None:
    ordered(here)
    image = next((here.versions_dir / "images").iterdir())
    image.chmod(0o644)
    image.write_bytes(b"changed")
    runs.start(here, "mine")
    found = until(here, "mine", ended)
    assert found.state == "failed"
    assert found.error.endswith("take it from a backup, or build a new version")
    assert "\n" not in found.error


def test_an_order_that_cannot_be_carried_out_leaves_nothing(here: Settings) -> None:
    recipe = orders.recipe("sft")
    for order, sentence in (
        (Order("Mine", "tiny", "v1", recipe), "is no name of a run"),
        (Order("mine", "tiny", "v9", recipe), "there is no dataset version v9; known: v1"),
        (Order("mine", "nothing", "v1", recipe), "there is no model 'nothing'"),
    ):
        with pytest.raises(Exception, match=sentence):
            runs.create(here, order)
    assert not here.runs_dir.exists()
    ordered(here)
    with pytest.raises(InputError, match="is there already"):
        ordered(here)
    with pytest.raises(InputError, match="there is no run 'other'; known: mine"):
        runs.view(here, "other")


def test_an_estimate_says_what_it_is_reckoned_from(here: Settings) -> None:
    found = runs.reckon(here, Order("mine", "tiny", "v1", orders.recipe("sft")))
    assert found.basis == "the speed of a matrix product on this machine"
    assert (found.steps, found.examples) == (3, 6)
    assert found.seconds > 0
    assert found.tokens > 100


def test_a_run_too_large_for_the_memory_is_refused() -> None:
    with pytest.raises(TuneError, match="takes about 9000 MB of memory and 4000 MB are free"):
        runs.refuse_memory(9000, 4_000_000_000)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": "ppo"}, "method: 'ppo' is unknown; choose one of sft, dpo, kto"),
        ({"method": "kto", "micro": 1}, "set micro to 2 or more"),
        ({"beta": 0.0}, "must be above 0"),
        ({"colour": 1}, "there is no colour"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TuneError, match=sentence):
        orders.recipe("sft", **changes)
    with pytest.raises(TuneError, match="there is no recipe 'none'; choose one of dpo, kto, sft"):
        orders.recipe("none")
