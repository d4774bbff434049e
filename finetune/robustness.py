"""How a model's reading of change holds when films get worse: a curve for each degradation over five severities.

    python -m finetune.robustness --model bundled --data-root ../data --out docs/model      # robustness.json, robustness.svg

Held-out pairs of the generator (the phantom; with `--data-root` also pairs painted on real films) are degraded at both ends, each end
by a draw of its own, and read both ways, as `predict` reads: the balanced accuracy of worse, stable and improved, and how often one
film degraded twice is still called stable. Where the prior goes missing there is less and less to compare; what counts there is how
often the model says that it cannot tell instead of inventing a change. Every reading is kept in a journal, so a run that was stopped
goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from finetune import crew, files, heldout, terminal, uncertainty
from finetune.crew import Crew
from finetune.curves import Curve, Panel, panels
from finetune.degrade import AMOUNTS, DEGRADATIONS, MISSING, SEVERITIES, UNITS, Film, degrade
from finetune.heldout import Held
from finetune.journal import Journal
from finetune.synthesis import wording
from inference import pixels
from inference.engine import Engine, ModelCard, Request
from inference.offsets import digest
from inference.prompts import OVERALL, OVERALL_QUESTION, TEMPLATES
from inference.reading import both_ways, shares, top
from settings import load

Say = Callable[[str], None]
VERSION = "2"
"""Of degradations and questions; readings of another version are asked again."""
TOGETHER = 4
"""Readings that one of several engines takes at a time, so that what stands beside each other shares its films."""
ABSENT = 6
"""Severity of a missing prior that was never there: one image is shown."""
CANNOT = (wording.CANNOT_SINGLE, wording.CANNOT_UNRELATED)
SENTENCES = (*(f"The disease is {change}." for change in OVERALL), *CANNOT)
"""What a question that may be refused is answered with."""
CHANGE, IDENTICAL, TELLS, INVENTS = (
    "change, balanced accuracy",
    "one film twice called stable",
    "says it cannot tell",
    "says worse or improved",
)
CHANCE = {CHANGE: 1 / 3, IDENTICAL: 1 / 3, TELLS: 2 / 5, INVENTS: 2 / 5}


@dataclass(frozen=True)
class Condition:
    """A degradation and its severity, 0 for films as they are; `ABSENT` of a missing prior shows the current film alone."""

    kind: str
    severity: int


@dataclass(frozen=True)
class Asked:
    """One reading to make: of pair `pair`, under `condition`, for `measure`."""

    condition: Condition
    measure: str
    pair: int


@dataclass(frozen=True)
class Point:
    """One point of a curve with its 95 % interval over patients; `amount` in the degradation's unit."""

    degradation: str
    severity: int
    amount: float
    measure: str
    value: float
    low: float
    high: float
    chance: float
    pairs: int
    patients: int


def plan(count: int) -> list[Asked]:
    """Every reading of `count` pairs. Both questions of a missing prior are asked together, so that its images are read once."""
    clean = Condition("", 0)
    asked = [Asked(clean, measure, pair) for pair in range(count) for measure in (CHANGE, IDENTICAL, TELLS)]
    for kind in DEGRADATIONS:
        measures = (TELLS,) if kind == MISSING else (CHANGE, IDENTICAL)
        for severity in (*SEVERITIES, *((ABSENT,) if kind == MISSING else ())):
            asked += [Asked(Condition(kind, severity), measure, pair) for pair in range(count) for measure in measures]
    return asked


def shown(held: Held, asked: Asked) -> tuple[Film, ...]:
    """The films of one reading, prior first; one alone where the prior is absent."""
    pair, condition = held.pair, asked.condition
    twice = asked.measure == IDENTICAL
    ends = (pair.current, pair.current) if twice else (pair.prior, pair.current)
    if not condition.severity:
        return ends
    if condition.kind == MISSING:
        prior, current = ends
        return (current,) if condition.severity == ABSENT else (degrade(MISSING, prior, condition.severity, _draw(held, asked, 0)), current)
    return tuple(degrade(condition.kind, film, condition.severity, _draw(held, asked, end)) for end, film in enumerate(ends))


def _draw(held: Held, asked: Asked, end: int) -> np.random.Generator:
    """Draws of one film: the same at every severity and for both measures, its own at each end."""
    return np.random.default_rng([held.pair.seed, DEGRADATIONS.index(asked.condition.kind), end])


def request(seen: Sequence[Film]) -> Request:
    """Films as a question's images; a film without a prior has no role."""
    roles = ("prior", "current") if len(seen) == 2 else ("",)
    return Request(tuple(pixels.image(film, role) for film, role in zip(seen, roles, strict=True)), "")


def read(engine: Engine, asked: Asked, given: Request) -> str:
    """The likeliest answer of one reading: a class of `OVERALL`, or for a prior that may be missing one of `SENTENCES`; `` for a tie."""
    if asked.measure == TELLS:
        return top(shares(engine, given, TEMPLATES["temporal"][1], SENTENCES))
    return top(both_ways(engine, given, OVERALL_QUESTION, OVERALL).mean)


def readings(engine: Engine | Crew, held: Sequence[Held], kept: Path, say: Say) -> dict[Asked, str]:
    """Every reading of the plan, those in the journal `kept` taken from there. Raises what the engine raises."""
    some, asked = crew.of(engine), plan(len(held))
    started = time.monotonic()
    pairs = [hashlib.sha256(one.pair.prior.tobytes() + one.pair.current.tobytes()).hexdigest() for one in held]
    addresses = {one: _address(some.card, pairs[one.pair], one) for one in asked}
    with Journal(kept) as journal:
        new = [one for one in asked if addresses[one] not in journal.rows]
        made = some.each(new, lambda engine, one: read(engine, one, request(shown(held[one.pair], one))), TOGETHER)
        for done, (one, answer) in enumerate(made, 1):
            journal.add(addresses[one], {"answer": answer})
            if done in (5, 30) or done % 200 == 0:
                pace = (time.monotonic() - started) / done
                left = pace * (len(new) - done) / 60
                say(f"{len(asked) - len(new) + done} of {len(asked)} readings, {pace:.2f} s each, about {left:.0f} min to go")
        return {one: str(journal.rows[addresses[one]]["answer"]) for one in asked}


def _address(card: ModelCard, pair: str, asked: Asked) -> str:
    parts = (VERSION, card.sha256, digest(card.offsets), pair, asked.condition.kind, asked.condition.severity, asked.measure)
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:32]


# Curves


def right(measure: str, truth: str, answer: str) -> bool:
    """Whether an answer counts for a measure."""
    if measure == TELLS:
        return answer in CANNOT
    if measure == INVENTS:
        return answer in (SENTENCES[0], SENTENCES[2])
    return answer == ("stable" if measure == IDENTICAL else truth)


def point(held: Sequence[Held], found: dict[Asked, str], condition: Condition, measure: str) -> Point:
    """One point; change is the mean of the recalls of its classes."""
    asked = TELLS if measure == INVENTS else measure
    answers = [found[Asked(condition, asked, number)] for number in range(len(held))]
    truths = [one.pair.overall for one in held]
    patients = [one.pair.patient for one in held]
    values = [float(right(measure, truth, answer)) for truth, answer in zip(truths, answers, strict=True)]
    groups = truths if measure == CHANGE else None
    value = float(uncertainty.estimate(uncertainty.tally(values, patients, groups))[0])
    low, high = uncertainty.bootstrap(values, patients, groups)
    amounts = AMOUNTS.get(condition.kind, ())
    amount = amounts[condition.severity - 1] if 0 < condition.severity <= len(amounts) else float(condition.severity == ABSENT)
    return Point(condition.kind, condition.severity, amount, measure, value, low, high, CHANCE[measure], len(held), len(set(patients)))


def points(held: Sequence[Held], found: dict[Asked, str]) -> Iterator[Point]:
    """Every point, each curve beginning with the films as they are."""
    for kind in DEGRADATIONS:
        for measure in (TELLS, INVENTS) if kind == MISSING else (CHANGE, IDENTICAL):
            yield replace(point(held, found, Condition("", 0), measure), degradation=kind)
            for severity in (*SEVERITIES, *((ABSENT,) if kind == MISSING else ())):
                yield point(held, found, Condition(kind, severity), measure)


def sentences(drawn: Sequence[Point]) -> list[str]:
    """What the curves say, one sentence each."""
    said = []
    for kind in DEGRADATIONS:
        of_kind = [one for one in drawn if one.degradation == kind]
        for measure in dict.fromkeys(one.measure for one in of_kind):
            first, *rest = (one for one in of_kind if one.measure == measure)
            last = next(one for one in rest if one.severity == 5)
            said.append(
                f"{kind}, {measure}: {_words(first)} on films as they are, {_words(last)} at severity 5 (chance {first.chance:.2f})."
            )
            said += [f"{kind}, {measure}: {_words(one)} with one image alone." for one in rest if one.severity == ABSENT]
    return said


def _words(one: Point) -> str:
    return f"{one.value:.2f}" + ("" if np.isnan(one.low) else f" [{one.low:.2f}, {one.high:.2f}]")


def drawing(drawn: Sequence[Point], title: str, note: str) -> str:
    """The curves as an SVG."""
    plots = []
    for kind in DEGRADATIONS:
        of_kind = [one for one in drawn if one.degradation == kind]
        curves = []
        for measure in dict.fromkeys(one.measure for one in of_kind):
            row = [one for one in of_kind if one.measure == measure]
            values, lows, highs = ([getattr(one, name) for one in row] for name in ("value", "low", "high"))
            curves.append(Curve(measure, values, lows, highs, (CHANGE, IDENTICAL, TELLS, INVENTS).index(measure)))
        steps = [one.severity for one in of_kind if one.measure == curves[0].name]
        ticks = ["as is" if step == 0 else "none" if step == ABSENT else str(step) for step in steps]
        scale = f"severity ({UNITS[kind]}: {AMOUNTS[kind][0]:g} to {AMOUNTS[kind][-1]:g})"
        plots.append(Panel(kind, ticks, curves, float("nan") if kind == MISSING else 1 / 3, scale))
    return panels(title, plots, note)


def report(card: ModelCard, held: Sequence[Held], found: dict[Asked, str], seconds: float) -> dict[str, Any]:
    """`robustness.json`."""
    drawn = list(points(held, found))
    sources = {source: sum(one.source == source for one in held) for source in sorted({one.source for one in held})}
    return {
        "model": {"name": card.name, "revision": card.revision, "sha256": card.sha256, "engine": card.engine},
        "pairs": sources,
        "readings": len(found),
        "seconds": seconds,
        "points": [asdict(one) for one in drawn],
        "sentences": sentences(drawn),
    }


def measure(model: str | None, count: int, data_root: Path | None, data_dir: Path | None, out: Path, say: Say) -> dict[str, Any]:
    """Read everything and write both files. Raises `ModelNotLoaded`, `TuneError`."""
    here = load(data_dir=data_dir)
    started = time.monotonic()
    with crew.opened(here, model) as some:
        card = some.card
        held = heldout.draw(count, card.tile or 256, data_root)
        say(f"{len(plan(len(held)))} readings of {len(held)} held-out pairs with {card.name}; the first tell how long it takes")
        found = readings(some, held, here.data_dir / "measured" / f"robustness-{card.sha256[:12]}.jsonl", say)
    made = report(card, held, found, time.monotonic() - started)
    drawn = [Point(**one) for one in made["points"]]
    note = f"{card.name} {card.revision}, {len(held)} held-out pairs; band: 95 % over patients, dashed: chance"
    files.write_json(out / "robustness.json", made)
    files.write_text(out / "robustness.svg", drawing(drawn, "How reading change holds when films get worse", note))
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m finetune.robustness", description="Measure how reading change holds on degraded films."
    )
    parser.add_argument("--model", help="model to measure, name or path; @gguf or @torch forces the engine")
    parser.add_argument("--pairs", type=int, default=20, help="held-out pairs of each source")
    parser.add_argument("--data-root", type=Path, help="folder of the folders of real films; without it the phantom alone is read")
    parser.add_argument("--data-dir", type=Path, help="where the model is; by default Interval's own data directory")
    parser.add_argument("--out", type=Path, default=Path("docs/model"), help="folder for robustness.json and robustness.svg")
    given = parser.parse_args(arguments)

    def work() -> str:
        return "\n".join(measure(given.model, given.pairs, given.data_root, given.data_dir, given.out, terminal.say)["sentences"])

    return terminal.run(work)


if __name__ == "__main__":
    sys.exit(main())
