"""How well a model reads held-out pairs, each figure with its interval, what chance gives and what mean brightness gives.

    python -m finetune.measure --model bundled --pairs 150 --data-root ../data --out docs/model/figures.json

Closed questions are read by likelihood: of the offered answers the likeliest counts, with the offsets that the model carries
(`inference.offsets`); what the same readings come to without them stands beside. Pairs come from generator seeds and patients
that training never saw, phantom and painted on real films. Questions about the same images follow each other, so that an engine
reads the images once; every pair's readings are kept in a journal, and the same command goes on after a stop. What is made
of the readings is in `finetune.outcomes`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import settings
from finetune import crew, files, heldout, outcomes, terminal
from finetune.crew import Crew
from finetune.heldout import Held
from finetune.journal import Journal
from finetune.outcomes import Asked, Reading
from finetune.synthesis import pairs, wording
from finetune.synthesis.pairs import Pair
from finetune.synthesis.truth import DEVICE, Truth
from inference import pixels
from inference.engine import Engine, ModelCard, Request
from inference.prompts import FINDINGS, OVERALL, OVERALL_QUESTION, PROGRESSION, TEMPLATES, progression_question
from inference.reading import likelihoods

Film = NDArray[np.uint8]
"""(H, W)."""
VERSION = "2"
"""Of the questions; readings of another version are asked again."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Closed:
    """A question and the place of the true one among `outcomes.ANSWERS` of its `kind`; `finding` is what it is about."""

    kind: str
    question: str
    truth: int
    finding: str = ""

    @property
    def choices(self) -> tuple[str, ...]:
        """The answers offered."""
        return outcomes.ANSWERS[self.kind]


def request(prior: Film, current: Film) -> Request:
    """Two films (H, W) uint8, prior first, without a question."""
    return Request((pixels.image(prior, "prior"), pixels.image(current, "current")), "")


def alone(current: Film) -> Request:
    """The current film without its prior."""
    return Request((pixels.image(current),), "")


def closed(pair: Pair) -> list[Closed]:
    """Questions about one pair: which image, presence in one of them, side; about as often one answer true as the other.

    And how each finding changed, with one that neither film shows.
    """
    rng = np.random.default_rng([pair.seed, 0x9A3])
    return [*_which_more(pair), *_which_shows(pair, rng), *_present(pair, rng), *_side(pair, rng), *_changes(pair, rng)]


def _which_more(pair: Pair) -> list[Closed]:
    if pair.overall not in ("worse", "improved"):
        return []
    return [Closed("more", TEMPLATES["coreference"][0], int(pair.overall == "worse"))]


def _which_shows(pair: Pair, rng: np.random.Generator) -> list[Closed]:
    """Which image shows a finding that only one of them has, where the film without it is known to be free of it."""
    only = {"new": 1, "resolved": 0}
    names = [name for name, change in pair.changes.items() if change in only]
    if not names or not all(pair.clean):
        return []
    name = names[int(rng.integers(len(names)))]
    asked = wording.DEVICE_ASKS[0] if name == DEVICE else wording.LARGER_ASKS[2].format(name=name)
    return [Closed("shows", asked, only[pair.changes[name]], name)]


def _present(pair: Pair, rng: np.random.Generator) -> list[Closed]:
    """One finding that is there and one that is not, both drawn by how often findings are painted."""
    end = int(rng.integers(2))
    truth = (pair.prior_truth, pair.current_truth)[end]
    here = [finding.name for finding in truth.findings]
    gone = [name for name in FINDINGS if name not in here]
    if not pair.clean[end] or not here or not gone:
        return []
    asked = [(_drawn(here, rng), 0), (_drawn(gone, rng), 1)]
    where = f"the {('first', 'second')[end]} image"
    return [Closed("present", wording.PRESENT_ASKS[0].format(name=wording.article(name), where=where), no, name) for name, no in asked]


def _drawn(names: Sequence[str], rng: np.random.Generator) -> str:
    weights = np.array([pairs.FREQUENCY.get(name, 0.08) for name in names])
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def _side(pair: Pair, rng: np.random.Generator) -> list[Closed]:
    end = int(rng.integers(2))
    truth: Truth = (pair.prior_truth, pair.current_truth)[end]
    sided = [finding for finding in truth.findings if finding.side in ("right", "left")]
    if not sided:
        return []
    finding = sided[int(rng.integers(len(sided)))]
    question = wording.SIDE_ASKS[0].format(name=finding.name, where=f"the {('first', 'second')[end]} image")
    return [Closed("side", question, int(finding.side == "left"), finding.name)]


def _changes(pair: Pair, rng: np.random.Generator) -> list[Closed]:
    absent = [name for name in FINDINGS if name not in pair.changes] if all(pair.clean) else []
    known = [*pair.changes.items(), *([(_drawn(absent, rng), "stable")] if absent else [])]
    return [Closed("progression", progression_question(name), PROGRESSION.index(change), name) for name, change in known]


def read(engine: Engine, held: Held, other: Film) -> Reading:
    """Everything asked about one pair, without offsets, what is about the same images in one go. `other` is another patient's film."""
    pair = held.pair
    asked, change = closed(pair), (OVERALL_QUESTION, OVERALL)

    def overall(prior: Film, current: Film) -> tuple[float, ...]:
        return tuple(likelihoods(engine, request(prior, current), [change])[0].values())

    ahead, *answers = likelihoods(engine, request(pair.prior, pair.current), [change, *((one.question, one.choices) for one in asked)])
    back, same = overall(pair.current, pair.prior), overall(pair.current, pair.current)
    replaced = overall(pair.prior, other)
    (cannot,) = likelihoods(engine, alone(pair.current), [(OVERALL_QUESTION, (wording.CANNOT_SINGLE, *OVERALL))])
    return Reading(
        source=held.source,
        patient=pair.patient,
        truth=pair.overall,
        ahead=tuple(ahead.values()),
        back=back,
        same=same,
        replaced=replaced,
        cannot=cannot[wording.CANNOT_SINGLE],
        brightness=_middle(pair.current) - _middle(pair.prior),
        asked=tuple(Asked(one.kind, one.finding, one.truth, tuple(odds.values())) for one, odds in zip(asked, answers, strict=True)),
    )


def _middle(film: Film) -> float:
    """Mean brightness of the middle of a film less that of its lit part: the plainest comparator there is."""
    height, width = film.shape
    middle = film[height // 5 : 4 * height // 5, width // 8 : 7 * width // 8]
    return float(middle.mean() - film[film > 0].mean()) if (film > 0).any() else 0.0


def readings(engine: Engine | Crew, held: Sequence[Held], kept: Path, say: Say = lambda _line: None) -> list[Reading]:
    """Readings of every pair, those in the journal `kept` taken from there. Raises what the engine raises."""
    some = crew.of(engine)
    started = time.monotonic()
    others = [_stranger(held, number) for number in range(len(held))]
    addresses = [_address(some.card, one, other) for one, other in zip(held, others, strict=True)]
    with Journal(kept) as journal:
        new = [number for number, address in enumerate(addresses) if address not in journal.rows]
        asked = some.each(new, lambda one, number: read(one, held[number], others[number]))
        for done, (number, found) in enumerate(asked, 1):
            journal.add(addresses[number], asdict(found))
            if done in (3, 10) or done % 25 == 0:
                left = (time.monotonic() - started) / done * (len(new) - done)
                say(f"{len(held) - len(new) + done} of {len(held)} pairs, about {left:.0f} s to go")
        return [outcomes.recalled(journal.rows[address]) for address in addresses]


def _stranger(held: Sequence[Held], number: int) -> Film:
    """The current film of the next pair that is of another patient and from the same source."""
    one = held[number]
    for step in range(1, len(held)):
        other = held[(number + step) % len(held)]
        if other.source == one.source and other.pair.patient != one.pair.patient:
            return other.pair.current
    return one.pair.current


def _address(card: ModelCard, held: Held, other: Film) -> str:
    pair = held.pair
    digest = hashlib.sha256("|".join((VERSION, card.sha256, held.source, pair.patient, str(pair.seed))).encode())
    for film in (pair.prior, pair.current, other):
        digest.update(film.tobytes())
    return digest.hexdigest()[:32]


def report(card: ModelCard, found: Sequence[Reading], seconds: float) -> dict[str, Any]:
    """`figures.json`: readings as the product gives them, with the model's offsets; `without_offsets` has the likelihoods as they are."""
    product = outcomes.weighed(found, card.offsets)
    return {
        "model": card.name,
        "revision": card.revision,
        "engine": card.engine,
        "sha256": card.sha256,
        "pairs": {source: sum(one.source == source for one in found) for source in sorted({one.source for one in found})},
        "offsets": [asdict(offset) for offset in card.offsets],
        "figures": [asdict(figure) for figure in outcomes.figures(product)],
        "without_offsets": [asdict(figure) for figure in outcomes.figures(found)] if card.offsets else [],
        "by_finding": [asdict(figure) for figure in outcomes.by_finding(product)],
        "confusion": outcomes.confusion(product),
        "seconds": round(seconds, 1),
    }


def measure(model: str, count: int, data_root: Path | None, data_dir: Path | None = None, say: Say = lambda _line: None) -> dict[str, Any]:
    """Measure `model` on `count` pairs of each source. Raises `ModelNotLoaded`, `TuneError`."""
    here = settings.load(data_dir=data_dir)
    started = time.monotonic()
    with crew.opened(here, model) as some:
        held = heldout.draw(count, some.card.tile or 256, data_root)
        say(f"reading {len(held)} held-out pairs, about a dozen questions each, with {some.card.name} {some.card.revision}")
        found = readings(some, held, here.data_dir / "measured" / f"{some.card.sha256[:12]}.jsonl", say)
    return report(some.card, found, time.monotonic() - started)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m finetune.measure", description="Measure a model on held-out generated pairs.")
    parser.add_argument("--model", default="bundled", help="name or folder of the model; @gguf or @torch forces the engine")
    parser.add_argument("--pairs", type=int, default=150, help="held-out pairs of each source")
    parser.add_argument("--data-root", type=Path, help="folder of the folders of real films; without it the phantom alone is asked about")
    parser.add_argument("--data-dir", type=Path, help="where the model is; by default Interval's own data directory")
    parser.add_argument("--out", type=Path, required=True, help="file of the figures, such as docs/model/figures.json")
    given = parser.parse_args(arguments)

    def work() -> str:
        found = measure(given.model, given.pairs, given.data_root, given.data_dir, terminal.say)
        files.write_json(given.out, found)
        told = json.dumps({"out": str(given.out), "seconds": found["seconds"]})
        return "\n".join([*map(outcomes.line, found["figures"]), told])

    return terminal.run(work)


if __name__ == "__main__":
    sys.exit(main())
