"""`make loop`: sixty planted flags of one kind, from the first wrong answer to the adapter that answers rightly, and back.

    python -m tests.loop                       # on the bundled model
    python -m tests.loop --flags 12 --pairs 8  # shorter

Everything goes the way it goes in the product: films are imported, questions asked and kept, answers corrected by one reader and
let through by another, a version built, a run trained, measured and promoted by the command line, and rolled back. Then the same lines are
spoiled in two ways (`sabotage`), trained on and measured: each must be stopped by its gate. Prints the figures as one JSON object; exit 1
when a figure of the design is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", OMP_WAIT_POLICY="PASSIVE")

from errors import InputError
from finetune import files, runs
from finetune.versions import shelf
from inference.answer import Answer, ask, record
from inference.engine import Options
from inference.select import open_engine
from settings import Settings, load
from storage.feedback import Said
from storage.review_views import Filters, Judgement
from storage.store import Store
from storage.views import LOCAL, Slot, User
from tests.conftest import models_folder
from tests.loop import planting, sabotage
from tests.loop.planting import FINDING, KINDS, QUESTION, Planted
from ui import requests
from ui.cli import main as command

TOKENS = 8
MINUTES = 10.0
FIXED = 0.8
"""What the design asks: minutes of training at most, share of held-back cases of the kind that must be right."""


STOPPED = {"poisoned": "G0 nothing planted", "blinded": "G3 image gain"}
"""Spoiled version -> the gate that must stop it."""


@dataclass(frozen=True)
class Wanted:
    """How large the rehearsal is."""

    flags: int = 60
    held: int = 40
    tried: int = 6
    """Pairs of each kind that are asked to find the one to flag."""
    generated: int = 120
    pairs: int = 60
    epochs: float = 1.0
    rate: float = 0.0005
    """More than larger models want: the bundled one has ten layers of 576."""
    sets: bool = True
    """Whether two spoiled versions are trained and measured too."""
    model: str = "bundled"
    side: int = 256
    """Side of the films, pixels."""


@dataclass(frozen=True)
class Kept:
    """A question that was asked and kept, and what the model answered."""

    planted: Planted
    turn: int
    session: int
    version: int
    text: str

    @property
    def right(self) -> bool:
        """Whether the answer is the truth."""
        return self.text.strip().rstrip(".").lower() == self.planted.truth


class Rehearsal:
    """One data directory, two readers, and the model under its name."""

    def __init__(self, settings: Settings, wanted: Wanted, say: Callable[[str], None]) -> None:
        self.settings, self.wanted, self.say = settings, wanted, say
        self.store = Store(settings)
        self.seconds: dict[str, float] = {}
        admin = self.store.user(LOCAL)
        self.reader, self.second = self.store.user("reader-one", "ana"), self.store.user("reader-two", "bo")
        self.store.give_role(admin, self.second.id, "annotator")

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note how long something takes."""
        self.say(f"{name} ...")
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)

    def asked(self, cases: Sequence[Planted], user: User) -> Iterator[Kept]:
        """Import each pair and ask about it, as the page does; everything is kept."""
        selection = open_engine(self.settings, self.wanted.model)
        try:
            for case in cases:
                yield self._one(case, user, selection.engine)
        finally:
            selection.engine.close()

    def _one(self, case: Planted, user: User, engine: Any) -> Kept:
        report = self.store.import_paths(list(case.paths), user)
        known = {study.id: study for patient in self.store.patients(user) for study in patient.studies}
        series = [known[number].series[0].id for number in report.study_ids]
        slots = [Slot(number, 0, role) for number, role in zip(series, ("prior", "current"), strict=True)]
        session = self.store.start_session(user, case.name, slots)
        turn = self.store.add_turn(session, user, QUESTION, "temporal", "temporal")
        return self.again(Kept(case, turn, session, 0, ""), user, engine)

    def again(self, kept: Kept, user: User, engine: Any) -> Kept:
        """Ask a kept question (once more), keep the answer."""
        view = next(turn for turn in self.store.session(kept.session, user).turns if turn.id == kept.turn)
        request = requests.of_turn(self.store, user, view, (), Options(TOKENS))
        *_, said = ask(engine, request, Event())
        assert isinstance(said, Answer)
        return replace(kept, version=self.store.add_version(kept.turn, record(said)), text=said.text)

    def flagged(self, cases: Sequence[Planted]) -> tuple[int, int]:
        """One reader corrects what is wrong and agrees with what is right; another looks at each and lets it through."""
        flags, agreed = 0, 0
        for kept in self.asked(cases, self.reader):
            if flags == self.wanted.flags:
                break
            if kept.right:
                self.store.add_feedback(kept.version, self.reader, Said(verdict="agree"))
                agreed += 1
            else:
                code = "change-hallucinated" if kept.planted.truth == "stable" else "change-missed"
                said = Said(verdict="disagree", codes=(code,), severity="major", corrected_answer=kept.planted.truth)
                self.store.add_feedback(kept.version, self.reader, said)
                flags += 1
        while (item := self.store.take_next(self.second, Filters(state="pending"))) is not None:
            self.store.decide(item.id, self.second, Judgement("judged", self.store.review_case(item.id, self.second).proposed))
        return flags, agreed

    def run(self, *arguments: str) -> dict[str, Any]:
        """A command of the product; its JSON. Raises `InputError` with what it said when it failed."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = command(["--data-dir", str(self.settings.data_dir), "--json", *arguments])
        lines = out.getvalue().splitlines()
        if code and not lines:
            raise InputError(f"{' '.join(arguments)}: {err.getvalue().strip()}")
        found: dict[str, Any] = json.loads(lines[-1])
        return {**found, "exit": code}


def rehearse(settings: Settings, wanted: Wanted, say: Callable[[str], None]) -> dict[str, Any]:
    """The whole loop; the figures."""
    here = Rehearsal(settings, wanted, say)
    told, before = learned(here)
    if told["gates_passed"]:
        told |= promoted(here, before, told["kind"])
    elif wanted.sets:
        told |= spoiled(here)
    here.store.close()
    return {**told, "seconds": here.seconds}


def learned(here: Rehearsal) -> tuple[dict[str, Any], list[Kept]]:
    """From the first wrong answer to the score sheet; the figures so far, and the held-back kind as it is answered before."""
    wanted, folder = here.wanted, here.settings.data_dir / "films"
    with here.timed("finding what it gets wrong"):
        tried = weakest(here, folder)
    kind = min(tried, key=lambda name: tried[name])
    with here.timed("planting"):
        cases = list(planting.plant(folder, "case", planting.each(kind), 3 * wanted.flags, wanted.side))
        unseen = list(planting.plant(folder, "held", planting.each(kind), wanted.held, wanted.side))
    with here.timed("asking and correcting"):
        flags, agreed = here.flagged(cases)
    with here.timed("asking the held-back kind"):
        before = list(here.asked(unseen, here.reader))
    with here.timed("building the version"):
        version = here.run("finetune", "build", "planted", "--generated", str(wanted.generated), "--held", "0.25", "--quota", "0")
    trained, sheet = measured(here, "mine", "planted")
    told = {
        "model": wanted.model,
        "finding": FINDING,
        "kind": kind,
        "tried": tried,
        "flags": flags,
        "agreed": agreed,
        "train": version["counts"]["train"],
        "held": version["counts"]["held"],
        "trained": trained["state"],
        "steps": trained["step"],
        "training_s": trained["seconds"],
        "training_processor_s": files.read_json(runs.folder(here.settings, "mine") / runs.STATE, runs.REMEDY)["processor_s"],
        "gates_passed": sheet["passed"],
        "gates_failed": failed(sheet),
        "replayed": {state: sum(row["state"] == state for row in sheet["replayed"]) for state in ("fixed", "still wrong", "newly broken")},
        "held_before": share(before, kind),
    }
    return told, before


def weakest(here: Rehearsal, folder: Path) -> dict[str, float]:
    """Share of each kind of pair that the model gets right, of pairs that are asked for nothing else."""
    kinds = tuple(KINDS)
    cases = planting.plant(folder, "tried", kinds, here.wanted.tried * len(kinds), here.wanted.side)
    found = list(here.asked(list(cases), here.reader))
    return {kind: _mean([kept for kept in found if kept.planted.kind == kind]) for kind in kinds}


def measured(here: Rehearsal, run: str, version: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train on a version and hold the run against what is live: the run, and its score sheet."""
    wanted = here.wanted
    with here.timed(f"training {run}"):
        how = ("--base", wanted.model, "--epochs", str(wanted.epochs), "--rate", str(wanted.rate))
        trained = here.run("finetune", "train", run, "--version", version, *how)
    with here.timed(f"gates of {run}"):
        return trained, here.run("finetune", "gate", run, "--pairs", str(wanted.pairs))


def failed(sheet: dict[str, Any]) -> list[str]:
    """Gates that were not passed, each with its reason."""
    return [f"{gate['gate']} {gate['name']}: {gate['reason']}" for gate in sheet["gates"] if gate["passed"] is False]


def spoiled(here: Rehearsal) -> dict[str, Any]:
    """What the gates say of runs on the same lines, once with a trigger in one of twenty, once with answers that need no image."""
    versions = here.settings.versions_dir
    honest = shelf.read(versions, "planted")
    with here.timed("spoiling"):
        sabotage.poisoned(versions, honest, here.settings.data_dir / "films" / "marked")
        sabotage.blinded(versions, honest)
    return {name: {"stopped_by": failed(measured(here, name, name)[1])} for name in STOPPED}


def promoted(here: Rehearsal, before: Sequence[Kept], kind: str) -> dict[str, Any]:
    """Promote, ask the held-back kind again, roll back, and ask once more: the last answers are the first ones, bit for bit.

    Spoiled versions are learned while the promoted adapter is live: it looks at the images, so there is something to lose.
    """
    with here.timed("promoting, asking"):
        entry = here.run("finetune", "promote", "mine", "--reason", "planted flags", "--by", "ana")
        after = _answers(here, before)
    told = spoiled(here) if here.wanted.sets else {}
    with here.timed("rolling back, asking"):
        here.run("finetune", "rollback", here.wanted.model, "--reason", "rehearsal", "--by", "ana")
        back, first = _answers(here, before), [here.store.answer(kept.version, here.reader) for kept in before]
    last = [here.store.answer(kept.version, here.reader) for kept in back]
    bits = [[(one.text, one.logprobs, one.model_digest) for one in some] for some in (first, last)]
    return {**told, "adapter": entry["adapter"], "held_after": share(after, kind), "rollback_identical": bits[0] == bits[1]}


def _answers(here: Rehearsal, cases: Sequence[Kept]) -> list[Kept]:
    """The kept questions asked again of whatever is live now, by an engine that was opened for it."""
    selection = open_engine(here.settings, here.wanted.model)
    try:
        return [here.again(kept, here.reader, selection.engine) for kept in cases]
    finally:
        selection.engine.close()


def share(cases: Sequence[Kept], kind: str) -> dict[str, float]:
    """Share that is right: of all, of the flagged kind, and of the others."""
    flagged, others = ([kept for kept in cases if (kept.planted.kind == kind) is wanted] for wanted in (True, False))
    return {"all": _mean(cases), "kind": _mean(flagged), "others": _mean(others), "cases": len(cases)}


def _mean(cases: Sequence[Kept]) -> float:
    return round(sum(kept.right for kept in cases) / max(1, len(cases)), 3)


def missed(told: dict[str, Any], wanted: Wanted) -> list[str]:
    """Figures of the design that were not reached."""
    rules = {
        **{
            f"{name} data stopped by {gate}": any(one.startswith(gate) for one in told[name]["stopped_by"])
            for name, gate in STOPPED.items()
            if wanted.sets
        },
        f"{wanted.flags} flags": told["flags"] == wanted.flags,
        f"training in {MINUTES:.0f} minutes": told["training_s"] <= MINUTES * 60,
        "gates passed": told["gates_passed"],
        f"{FIXED:.0%} of the held-back kind right": told.get("held_after", {}).get("kind", 0) >= FIXED,
        "rolled back bit for bit": told.get("rollback_identical", False),
    }
    return [name for name, reached in rules.items() if not reached]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.loop", description="The whole loop with planted flags.")
    usual = Wanted()
    for name, kind in (("flags", int), ("held", int), ("generated", int), ("pairs", int), ("epochs", float), ("rate", float)):
        parser.add_argument(f"--{name}", type=kind, default=getattr(usual, name))
    parser.add_argument("--sets", action=argparse.BooleanOptionalAction, default=usual.sets, help="also two spoiled versions")
    parser.add_argument("--keep", type=Path, help="data directory to leave behind; by default a temporary one")
    given = vars(parser.parse_args(arguments))
    keep, models = given.pop("keep"), models_folder()
    if models is None:
        print("the bundled model is not built; run `python app.py models build bundled`", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        settings = load(data_dir=keep or Path(scratch))
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        settings.models_dir.symlink_to(models.resolve(), target_is_directory=True)
        wanted = Wanted(**given)
        told = rehearse(settings, wanted, lambda line: print(f"... {line}", file=sys.stderr, flush=True))
    short = missed(told, wanted)
    print(json.dumps({**told, "missed": short}))
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
