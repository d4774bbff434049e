"""What is added to a model's likelihoods of listed answers, fitted on generated pairs that measuring never uses.

    python -m finetune.offsets --data-root ../data --out assets/bundled/offsets.json
    python app.py models build bundled            # carries them into the built model

For each kind of closed question a number an answer, and two scales, minimise the class-balanced log-loss; answers that exchanging the
images turns into each other share theirs (`inference.offsets`). Which of the three is taken (nothing, numbers alone, numbers and
scales) is decided by patients left out of the fit, and told. The pairs have seeds of their own; phantom patients are others than
training's and measuring's, real films are of training's patients, none of whom is measured on.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

import settings
from finetune import bundled, crew, files, heldout, measure, score, terminal
from finetune.crew import Crew
from finetune.heldout import Held
from finetune.journal import Journal
from finetune.measure import Closed
from finetune.synthesis import pairs
from inference.engine import Engine, ModelCard, Request
from inference.offsets import LEAST as LEAST_SHARE
from inference.offsets import Offset, plain, weighed
from inference.prompts import OVERALL, OVERALL_QUESTION
from inference.reading import INVERSE, exchanged, likelihoods

VERSION = "1"
"""Of the questions; readings of another version are asked again."""
FIRST = 52_000_000
"""First seed: neither training's nor those of `heldout`."""
FOLDS = 5
LEAST = 24
"""Answers of a kind below which nothing is fitted."""
RIDGE = 0.0005
KINDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "overall": (("stable",), ("worse", "improved")),
    "progression": (("stable",), ("worse", "improved"), ("new", "resolved"), ("uncertain",)),
    "which": (("the first image", "the second image"),),
    "present": (("no",), ("yes",)),
    "side": (("left",), ("right",)),
}
"""Kind -> answers, opposites together; nothing is added to the first group, nor to what is never right in these pairs (uncertain)."""
DEAF = 0.1
"""Scales below which hardly anything of the likelihoods would be left: such a kind is not read, and stays as it is."""
ASKED = {"more": "which", "shows": "which"}
"""Kinds of `measure` that are one kind here."""
MOST_SCALE, MOST_ADDED = 60.0, 20.0
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """One closed answer read by likelihood: `odds` of `answers`, the place of the right one, and whose films it is about."""

    kind: str
    patient: str
    answers: tuple[str, ...]
    odds: tuple[float, ...]
    truth: int


@dataclass(frozen=True)
class Fit:
    """What was fitted for one kind. `balanced` accuracy and `loss` are of patients left out: as it is, with numbers, with scales too."""

    offset: Offset | None
    kind: str
    items: int
    patients: int
    balanced: tuple[float, float, float]
    loss: tuple[float, float, float]


# Asking


def drawn(count: int, size: int, data_root: Path | None) -> list[Held]:
    """`count` pairs of each source, one patient's two acquisitions each."""
    sources = heldout.sources(count, data_root, heldout.FITTED).items()
    return [Held(name, pairs.generate(seed, source, size, "pair")) for name, source in sources for seed in range(FIRST, FIRST + count)]


def read(engine: Engine, held: Held) -> list[Example]:
    """Every closed question about one pair, without offsets; the overall change in both orders of the films."""
    pair, given = held.pair, measure.request(held.pair.prior, held.pair.current)
    back = Closed("overall", OVERALL_QUESTION, OVERALL.index(INVERSE[pair.overall]))
    return [*_examples(engine, given, pair.patient, questions(held)), *_examples(engine, exchanged(given), pair.patient, [back])]


def _examples(engine: Engine, given: Request, patient: str, asked: Sequence[Closed]) -> list[Example]:
    found = likelihoods(engine, given, [(one.question, one.choices) for one in asked])
    return [
        Example(ASKED.get(one.kind, one.kind), patient, one.choices, tuple(odds.values()), one.truth)
        for one, odds in zip(asked, found, strict=True)
    ]


def questions(held: Held) -> list[Closed]:
    """The closed questions about a pair in its given order."""
    return [Closed("overall", OVERALL_QUESTION, OVERALL.index(held.pair.overall)), *measure.closed(held.pair)]


def examples(engine: Engine | Crew, held: Sequence[Held], kept: Path, say: Callable[[str], None]) -> list[Example]:
    """The examples of every pair, those in the journal `kept` taken from there. Raises what the engine raises."""
    some = crew.of(engine)
    started = time.monotonic()
    addresses = [_address(some.card, one) for one in held]
    with Journal(kept) as journal:
        new = [number for number, address in enumerate(addresses) if address not in journal.rows]
        for done, (number, made) in enumerate(some.each(new, lambda one, number: read(one, held[number])), 1):
            journal.add(addresses[number], {"examples": [asdict(example) for example in made]})
            if done in (3, 10) or done % 25 == 0:
                left = (time.monotonic() - started) / done * (len(new) - done)
                say(f"{len(held) - len(new) + done} of {len(held)} pairs, about {left:.0f} s to go")
        rows = [row for address in addresses for row in journal.rows[address]["examples"]]
    return [Example(**{**row, "answers": tuple(row["answers"]), "odds": tuple(row["odds"])}) for row in rows]


def _address(card: ModelCard, one: Held) -> str:
    digest = hashlib.sha256("|".join((VERSION, card.sha256, one.source, one.pair.kind, str(one.pair.seed))).encode())
    for film in (one.pair.prior, one.pair.current):
        digest.update(film.tobytes())
    return digest.hexdigest()[:32]


# Fitting


def fit(kind: str, some: Sequence[Example]) -> Fit:
    """The offset of one kind, None where what is left out of the fit is read no better with it."""
    patients = [one.patient for one in some]
    if len(some) < LEAST or len(set(patients)) < FOLDS:
        return Fit(None, kind, len(some), len(set(patients)), (float("nan"),) * 3, (float("nan"),) * 3)
    folds = np.array([int(hashlib.sha256(patient.encode()).hexdigest()[:8], 16) % FOLDS for patient in patients])
    told = []
    for scaled in (None, False, True):
        left_out = [_tried(kind, some, folds == fold, scaled) for fold in range(FOLDS)]
        rows = [row for part in left_out for row in part]
        told.append((score.balanced([guess for guess, _, _ in rows], [truth for _, truth, _ in rows]), _balanced_loss(rows)))
    (balanced, loss) = (tuple(column) for column in zip(*told, strict=True))
    best = min(range(3), key=lambda number: loss[number])
    offset = _fitted(kind, some, scaled=best == 2) if best and balanced[best] >= balanced[0] else None
    if offset is not None and max(offset.level, offset.contrast) < DEAF:
        offset = None
    return Fit(offset, kind, len(some), len(set(patients)), balanced, loss)


Row = tuple[int, int, float]
"""Places of the likeliest answer and of the right one, and the right one's log-loss."""


def _tried(kind: str, some: Sequence[Example], out: NDArray[np.bool_], scaled: bool | None) -> list[Row]:
    """The left-out examples read with what the others fit (`scaled` None: as they are)."""
    kept = [one for one, left in zip(some, out, strict=True) if not left]
    offsets = () if scaled is None or not kept else (_fitted(kind, kept, scaled=scaled),)
    rows = []
    for one in (one for one, left in zip(some, out, strict=True) if left):
        found = list(weighed(dict(zip(one.answers, one.odds, strict=True)), offsets).values())
        rows.append((int(np.argmax(found)), one.truth, -float(np.log(max(found[one.truth], 1e-12)))))
    return rows


def _balanced_loss(rows: Sequence[Row]) -> float:
    return float(np.mean([np.mean([loss for _, truth, loss in rows if truth == place]) for place in {truth for _, truth, _ in rows}]))


def _fitted(kind: str, some: Sequence[Example], *, scaled: bool) -> Offset:
    """The numbers (and scales) of the least class-balanced log-loss, drawn a little to nothing; a group that was never right gets none."""
    groups = KINDS[kind]
    answers = [answer for group in groups for answer in group]
    group_of = np.array([number for number, group in enumerate(groups) for _ in group])
    mean = np.array([[float(a == b) / len(groups[a]) for b in group_of] for a in group_of])
    logs, truths = _table(answers, some)
    level = logs @ mean
    weights = 1 / np.bincount(truths, minlength=len(answers))[truths]
    weights /= weights.sum()

    ridge = np.array([RIDGE / 10, RIDGE / 10, *[RIDGE] * (len(groups) - 1)])

    def loss(values: Values) -> float:
        moved = values[0] * level + values[1] * (logs - level) + np.concatenate([[0.0], values[2:]])[group_of]
        return float(weights @ (np.logaddexp.reduce(moved, axis=1) - moved[np.arange(len(truths)), truths]) + values @ (ridge * values))

    seen = {int(group_of[truth]) for truth in truths}
    scale = (0.0, MOST_SCALE) if scaled else (1.0, 1.0)
    bounds = [scale, scale, *((-MOST_ADDED, MOST_ADDED) if group in seen else (0.0, 0.0) for group in range(1, len(groups)))]
    found = minimize(loss, [1.0, 1.0, *[0.0] * (len(groups) - 1)], method="L-BFGS-B", bounds=bounds).x
    told = [round(float(one), 4) for one in found]
    return Offset(kind, groups, (0.0, *told[2:]), told[0], told[1])


def _table(answers: Sequence[str], some: Sequence[Example]) -> tuple[Values, NDArray[np.int_]]:
    """Log-odds (n, answers) in the order of `answers`, and the place of the right one (n,)."""
    places = [[list(map(plain, one.answers)).index(answer) for answer in answers] for one in some]
    logs = np.log(np.maximum([np.array(one.odds)[place] for one, place in zip(some, places, strict=True)], LEAST_SHARE))
    return logs, np.array([place.index(one.truth) for one, place in zip(some, places, strict=True)])


def report(card: ModelCard, held: Sequence[Held], found: Sequence[Fit], seconds: float) -> dict[str, Any]:
    """`offsets.json`."""
    return {
        "model": card.name,
        "revision": card.revision,
        "sha256": card.sha256,
        "engine": card.engine,
        "pairs": {source: sum(one.source == source for one in held) for source in sorted({one.source for one in held})},
        "first_seed": FIRST,
        "offsets": [asdict(one.offset) for one in found if one.offset is not None],
        "left_out": [{name: value for name, value in asdict(one).items() if name != "offset"} for one in found],
        "seconds": round(seconds, 1),
    }


def lines(found: Sequence[Fit]) -> Iterator[str]:
    """Each kind for a terminal."""
    for one in found:
        if np.isnan(one.loss[0]):
            yield f"{one.kind:11} {one.items} answers of {one.patients} patients are too few to fit on"
            continue
        was, numbers, scales = (f"{value:.2f}" for value in one.balanced)
        yield (
            f"{one.kind:11} {one.items} answers of {one.patients} patients; balanced accuracy of patients left out: as it is {was}, "
            f"with numbers {numbers}, with scales too {scales}; taken: {_told(one.offset)}"
        )


def _told(offset: Offset | None) -> str:
    if offset is None:
        return "nothing"
    added = ", ".join(f"{'/'.join(group)} {value:+.2f}" for group, value in zip(offset.groups, offset.added, strict=True))
    return f"level {offset.level:g}, contrast {offset.contrast:g}, {added}"


def run(model: str, count: int, data_root: Path | None, data_dir: Path | None, out: Path, say: Callable[[str], None]) -> list[Fit]:
    """Read, fit and write. Raises `ModelNotLoaded`, `TuneError`."""
    here = settings.load(data_dir=data_dir)
    started = time.monotonic()
    with crew.opened(here, model) as some:
        held = drawn(count, some.card.tile or 256, data_root)
        say(f"reading {len(held)} pairs, about eight questions each, with {some.card.name} {some.card.revision}")
        asked = examples(some, held, here.data_dir / "measured" / f"offsets-{some.card.sha256[:12]}.jsonl", say)
    found = [fit(kind, [one for one in asked if one.kind == kind]) for kind in KINDS]
    files.write_json(out, report(some.card, held, found, time.monotonic() - started))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m finetune.offsets", description="Fit what is added to a model's likelihoods.")
    parser.add_argument("--model", default="bundled+none", help="name or folder of the model; @gguf or @torch forces the engine")
    parser.add_argument("--pairs", type=int, default=100, help="pairs of each source")
    parser.add_argument("--data-root", type=Path, help="folder of the folders of real films; without it the phantom alone is asked about")
    parser.add_argument("--data-dir", type=Path, help="where the model is; by default Interval's own data directory")
    parser.add_argument("--out", type=Path, default=bundled.PARTS / bundled.OFFSETS_FILE, help="file of the offsets")
    given = parser.parse_args(arguments)
    return terminal.run(lambda: "\n".join(lines(run(given.model, given.pairs, given.data_root, given.data_dir, given.out, terminal.say))))


if __name__ == "__main__":
    sys.exit(main())
