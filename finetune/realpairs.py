"""What can be measured of a model on real prior/current films that carry no label of change, and what cannot.

    python -m finetune.realpairs --pairs ../data/pairs_cxr.csv --image-root ../data --model bundled --out docs/model/real-pairs.json

Nobody has read these pairs for change, so no figure here is an accuracy of change. Measured are: whether the answer inverts when
the two films are exchanged; whether one film twice is called stable; and how the direction of the reading goes with what the
record says of the patient on those days (left intensive care or stayed, CRP, pO2, LDH), which follows the lungs loosely at best.
Beside them, with a label of their own: a normal film against one with pneumonia. Each direction stands beside the plainest
reader there is, the difference of mean brightness of the lungs, and every interval is over patients.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from errors import InputError, StudyError
from finetune import files, score, terminal, uncertainty
from finetune.synthesis import films, lungs
from inference.engine import RGB, Engine, Request
from inference.pairfile import Film, Films, PairRow, load
from inference.prompts import OVERALL, OVERALL_QUESTION
from inference.reading import INVERSE, Shares, exchanged, shares, showing, symmetrised, top
from inference.select import open_engine
from settings import load as load_settings

NOTICE = (
    "There is no change label in this set: exchange and identical-pair figures test the model against itself, and the records' trends "
    "are surrogates that follow the lungs loosely (oxygen pressure also follows the ventilator, CRP any inflammation)."
)
TRAINED = (
    "Films of patients outside the development split are backgrounds, and their intensive-care state a weak label, in training: "
    "of their figures only the development patients' are of patients the model never saw."
)
BASELINES = ("brightness of the fitted lungs", "brightness of a box")
BOX = (0.15, 0.75, 0.10, 0.90)
"""Top, bottom, left and right of the box, shares of the film's height and width."""
GROUPS = ("all patients", "development patients")
HEADLINES = frozenset(
    {
        "exchange inverts, one way",
        "exchange inverts, both ways",
        "identical called stable, one way",
        "identical called stable, both ways",
        "still in intensive care against released from it, both ways",
        f"still in intensive care against released from it, {BASELINES[0]}",
        "still in intensive care against released from it, both ways less brightness",
    }
)
CROSS = 60
"""Pairs of a normal film and one with pneumonia, each read in both orders."""


@dataclass(frozen=True)
class Reading:
    """One pair as read: overall shares as given, with the films exchanged, and of the current film twice; differences of brightness."""

    row: PairRow
    patient: str
    ahead: Shares
    back: Shares
    same: Shares
    brightness: Mapping[str, float]

    @property
    def mean(self) -> Shares:
        """The reading both ways."""
        return symmetrised(self.ahead, self.back)


@dataclass(frozen=True)
class Figure:
    """One measurement with its 95 % interval over patients (NaN where there are too few), and the sentence that says it.

    `headline` marks those that a page with little room shows.
    """

    name: str
    group: str
    value: float
    low: float
    high: float
    chance: float
    units: int
    items: int
    sentence: str
    headline: bool = False


def direction(found: Shares) -> float:
    """Probability of worse less that of improved, -1..1."""
    return found["worse"] - found["improved"]


# Reading


def brightness(pixels: RGB) -> dict[str, float]:
    """Mean brightness of the lungs less that of the film's lit part, 0..1, where a template finds them and in a fixed box."""
    film = pixels[:, :, 0]
    low, high = np.percentile(film[film > 3] if (film > 3).any() else film, (0.5, 99.8))
    grey = np.clip((film - low) / max(float(high - low), 1.0), 0, 1)
    whole = float(grey[film > 3].mean()) if (film > 3).any() else 0.0
    mask = np.maximum(*lungs.fit(film).masks(*film.shape)) > 0.5
    height, width = film.shape
    top_, bottom, left, right = (round(share * side) for share, side in zip(BOX, (height, height, width, width), strict=True))
    inside = float(grey[mask].mean()) if mask.any() else whole
    return dict(zip(BASELINES, (inside - whole, float(grey[top_:bottom, left:right].mean()) - whole), strict=True))


def read(engine: Engine, row: PairRow, prior: Film, current: Film, lit: Callable[[Film], Mapping[str, float]]) -> Reading:
    """Read one pair three times: as given, exchanged, and the current film in both places."""
    request = Request((prior.image, current.image), "")
    twice = Request((showing(prior.image, current.image), current.image), "")
    ahead, back, same = (shares(engine, asked, OVERALL_QUESTION, OVERALL) for asked in (request, exchanged(request), twice))
    before, after = lit(prior), lit(current)
    patient = row.fields.get("patient") or f"{row.prior_path} {row.current_path}"
    return Reading(row, patient, ahead, back, same, {name: after[name] - before[name] for name in BASELINES})


def readings(engine: Engine, rows: Sequence[PairRow], source: Films, say: Callable[[str], None]) -> tuple[list[Reading], list[str]]:
    """Every pair's reading, and a sentence for each pair that cannot be read. Raises `InputError` when none can."""
    known: dict[str, Mapping[str, float]] = {}

    def lit(film: Film) -> Mapping[str, float]:
        if film.image.sha256 not in known:
            known[film.image.sha256] = brightness(film.image.pixels)
        return known[film.image.sha256]

    done: list[Reading] = []
    left_out: list[str] = []
    started = time.monotonic()
    for number, row in enumerate(rows, 1):
        try:
            done.append(read(engine, row, *source.pair(row), lit))
        except StudyError as error:
            left_out.append(str(error))
        if number in (1, 5) or number % 20 == 0 or number == len(rows):
            pace = (time.monotonic() - started) / number
            say(f"pair {number} of {len(rows)}, {pace:.1f} s each, about {pace * (len(rows) - number):.0f} s left")
    if not done:
        raise InputError(f"none of the {len(rows)} pairs can be read, the first because {left_out[0]}")
    return done, left_out


# Intervals


def share(name: str, group: str, right: Sequence[bool], clusters: Sequence[str], chance: float, words: str) -> Figure:
    """A share of pairs; `words` is its sentence's end."""
    value = float(np.mean(right)) if right else float("nan")
    low, high = uncertainty.bootstrap([float(one) for one in right], clusters)
    told = f"{_percent(value, low, high)} of {len(right)} pairs ({len(set(clusters))} patients): {words}."
    return Figure(name, group, value, low, high, chance, len(set(clusters)), len(right), told)


def area(name: str, group: str, scores: Sequence[float], truths: Sequence[float], clusters: Sequence[str], words: str) -> Figure:
    """An area under the curve; `words` say of what against what."""
    value = score.auc(scores, truths)
    low, high = score.auc_interval(scores, truths, clusters)
    worse = int(sum(truths))
    told = f"AUC {_number(value, low, high)} for {words}, {worse} against {len(truths) - worse} pairs of {len(set(clusters))} patients."
    return Figure(name, group, value, low, high, 0.5, len(set(clusters)), len(scores), told)


def ahead_of(
    name: str, group: str, first: Sequence[float], second: Sequence[float], truths: Sequence[float], clusters: Sequence[str]
) -> Figure:
    """Difference of two areas on the same pairs, the same patients drawn for both."""
    value = score.auc(first, truths) - score.auc(second, truths)
    low, high = uncertainty.interval(score.auc_draws(first, truths, clusters) - score.auc_draws(second, truths, clusters))
    verdict = "above" if low > 0 else "below" if high < 0 else "not shown to differ from"
    told = f"The reading's AUC is {verdict} that of {BASELINES[0]}: difference {_number(value, low, high)}."
    return Figure(name, group, value, low, high, 0.0, len(set(clusters)), len(first), told)


def _number(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return "not measurable"
    return f"{value:.2f} [{low:.2f}, {high:.2f}]" if not np.isnan(low) else f"{value:.2f} (one patient or class, no interval)"


def _percent(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return "none"
    return f"{100 * value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]" if not np.isnan(low) else f"{100 * value:.0f} %"


# Figures


def of_itself(group: str, done: Sequence[Reading]) -> Iterator[Figure]:
    """Exchange coherence and identical pairs, of the reading as given and of the reading both ways."""
    patients = [one.patient for one in done]
    raw = [top(one.back) == INVERSE.get(top(one.ahead)) for one in done]
    stable = np.mean([top(one.ahead) == top(one.back) == "stable" for one in done]) if done else float("nan")
    yield share("exchange inverts, one way", group, raw, patients, 1 / 3,
                f"exchanging prior and current inverts the answer as given, {100 * stable:.0f} % by being stable both times")  # fmt: skip
    turned = [direction(one.ahead) * direction(one.back) < 0 for one in done]
    yield share("exchange turns the direction, one way", group, turned, patients, 0.5,
                "exchanging turns the sign of worse less improved")  # fmt: skip
    both = [top(one.mean) != "" and top(symmetrised(one.back, one.ahead)) == INVERSE[top(one.mean)] for one in done]
    yield share("exchange inverts, both ways", group, both, patients, 1 / 3,
                "exchanging inverts the answer read both ways, which holds by construction")  # fmt: skip
    yield share("identical called stable, one way", group, [top(one.same) == "stable" for one in done], patients, 1 / 3,
                "the current film shown twice is called stable")  # fmt: skip
    calm = [top(symmetrised(one.same, one.same)) == "stable" for one in done]
    yield share("identical called stable, both ways", group, calm, patients, 1 / 3,
                "the current film shown twice is called stable, read both ways")  # fmt: skip


def _value(name: str, notes: str) -> float | None:
    found = re.search(rf"(?<![\w-]){re.escape(name)} (\d+(?:\.\d+)?)", notes)
    return float(found[1]) if found else None


def _trend(name: str, least: float, share_: float, sign: int) -> Callable[[str, str], float | None]:
    """Worse (1) or improved (0) by a laboratory value that moved by `least` and by `share_` of itself; None otherwise."""

    def label(before: str, after: str) -> float | None:
        old, new = _value(name, before), _value(name, after)
        if old is None or new is None or abs(new - old) < max(least, share_ * old):
            return None
        return float((new - old) * sign > 0)

    return label


def _released(before: str, after: str) -> float | None:
    """Of patients in intensive care at the prior: 0 when released before the current film, 1 when still there."""
    if "in ICU at time of exam" not in before:
        return None
    return 0.0 if "released from ICU" in after else 1.0 if "in ICU at time of exam" in after else None


SURROGATES: Mapping[str, Callable[[str, str], float | None]] = {
    "still in intensive care against released from it": _released,
    "CRP risen against fallen": _trend("CRP", 10, 0.2, 1),
    "pO2 fallen against risen": _trend("pO2", 10, 0.1, -1),
    "LDH risen against fallen": _trend("LDH", 20, 0.1, 1),
}
"""What the record says of a pair: 1 for the worse course, 0 for the better, None where it says neither."""


def against_records(group: str, done: Sequence[Reading]) -> Iterator[Figure]:
    """Direction of the reading against each surrogate, beside the baselines on the same pairs."""
    for name, label in SURROGATES.items():
        labelled = [(one, label(one.row.fields.get("notes_prior", ""), one.row.fields.get("notes_current", ""))) for one in done]
        known = [(one, truth) for one, truth in labelled if truth is not None]
        truths = [truth for _, truth in known]
        if len(set(truths)) > 1:
            yield from _compared(name, group, [one for one, _ in known], truths)


def _compared(name: str, group: str, known: Sequence[Reading], truths: Sequence[float]) -> Iterator[Figure]:
    patients = [one.patient for one in known]
    columns = {
        "one way": [direction(one.ahead) for one in known],
        "both ways": [direction(one.mean) for one in known],
        **{base: [one.brightness[base] for one in known] for base in BASELINES},
    }
    for way, values in columns.items():
        yield area(f"{name}, {way}", group, values, truths, patients, f"{name} by {'the reading ' if 'way' in way else ''}{way}")
    yield ahead_of(f"{name}, both ways less brightness", group, columns["both ways"], columns[BASELINES[0]], truths, patients)


def across(engine: Engine, root: Path, count: int, say: Callable[[str], None]) -> list[Figure]:
    """A normal film and one with pneumonia of two development patients, in both orders: does the reading call the ill one worse?

    The label is each film's own; that two children are compared is no interval change, so this tests seeing alone.
    """
    known = [film for film in films.films(root) if films.split_of(film.patient) == "dev"]
    well, ill = ([film for film in known if film.label == label] for label in (0, 1))
    if not well or not ill:
        return []
    rng = np.random.default_rng(0xC0)
    chosen = [(well[int(rng.integers(len(well)))], ill[int(index)]) for index in rng.permutation(len(ill))[:count]]
    source = Films(root)
    done: list[Reading] = []
    for number, (first, second) in enumerate(chosen, 1):
        normal, pneumonia = (film.path.relative_to(root).as_posix() for film in (first, second))
        row = PairRow(normal, pneumonia, {"patient": second.patient})
        done.append(read(engine, row, *source.pair(row), lambda film: brightness(film.image.pixels)))
        if number % 20 == 0 or number == len(chosen):
            say(f"normal against pneumonia: pair {number} of {len(chosen)}")
    return [replace(figure, headline=BASELINES[1] not in figure.name) for figure in _in_both_orders(done)]


def _in_both_orders(done: Sequence[Reading]) -> Iterator[Figure]:
    """Each pair once as well-ill (worse) and once as ill-well (improved)."""
    name, group = "pneumonia after normal against normal after pneumonia", GROUPS[1]
    truths, patients = [1.0] * len(done) + [0.0] * len(done), [one.patient for one in done] * 2
    columns = {
        "one way": [direction(one.ahead) for one in done] + [direction(one.back) for one in done],
        "both ways": [direction(one.mean) for one in done] + [-direction(one.mean) for one in done],
        **{base: [one.brightness[base] for one in done] + [-one.brightness[base] for one in done] for base in BASELINES},
    }
    for way, values in columns.items():
        yield area(f"{name}, {way}", group, values, truths, patients, f"{name} by {'the reading ' if 'way' in way else ''}{way}")
    yield ahead_of(f"{name}, both ways less brightness", group, columns["both ways"], columns[BASELINES[0]], truths, patients)


def figures(done: Sequence[Reading]) -> list[Figure]:
    """Every figure of the pairs, of all patients and of the development patients alone."""
    chosen = {GROUPS[0]: list(done), GROUPS[1]: [one for one in done if films.split_of(one.patient) == "dev"]}
    found = [figure for group, some in chosen.items() if some for figure in (*of_itself(group, some), *against_records(group, some))]
    return [replace(figure, headline=figure.name in HEADLINES) for figure in found]


def content(engine: Engine, pairs: str, done: Sequence[Reading], left_out: Sequence[str], cross: Sequence[Figure], seconds: float) -> Any:
    """The file's object: what it is, the figures, and every reading they are made of."""
    card = engine.card
    rows = [
        {"prior_path": one.row.prior_path, "current_path": one.row.current_path, "patient": one.patient, "ahead": dict(one.ahead),
         "back": dict(one.back), "same": dict(one.same), "brightness": dict(one.brightness)}
        for one in done
    ]  # fmt: skip
    return {
        "notice": NOTICE,
        "trained": TRAINED,
        "pairs_file": pairs,
        "model": {"name": card.name, "sha256": card.sha256, "engine": card.engine, "tokens_per_image": card.tokens_per_image},
        "pairs": len(done),
        "patients": len({one.patient for one in done}),
        "left_out": list(left_out),
        "seconds_a_pair": seconds / max(1, len(done)),
        "figures": [asdict(figure) for figure in (*figures(done), *cross)],
        "readings": rows,
    }


def measure(engine: Engine, pairs: Path, image_root: Path, kermany: Path | None, say: Callable[[str], None], cross: int = CROSS) -> Any:
    """Read everything and make the file's object. Raises `InputError`, `TuneError` and what the engine raises."""
    rows, source = load(pairs), Films(image_root)
    started = time.monotonic()
    done, left_out = readings(engine, rows, source, say)
    seconds = time.monotonic() - started
    crossed = across(engine, kermany, cross, say) if kermany is not None else []
    return content(engine, pairs.name, done, left_out, crossed, seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m finetune.realpairs", description="Measure a model on real pairs without a change label."
    )
    parser.add_argument("--pairs", type=Path, required=True, help="CSV with prior_path, current_path, patient, notes_prior, notes_current")
    parser.add_argument("--image-root", type=Path, required=True, help="folder that the paths are relative to")
    parser.add_argument("--kermany", type=Path, help="folder cxr_kermany; by default the one below the image root, if there is one")
    parser.add_argument("--model", help="model to measure, name or path; @gguf or @torch forces the engine")
    parser.add_argument("--data-dir", type=Path, help="where models are kept")
    parser.add_argument("--cross", type=int, default=CROSS, help="pairs of a normal film and one with pneumonia")
    parser.add_argument("--out", type=Path, default=Path("docs/model/real-pairs.json"), help="file to write")
    given = parser.parse_args(arguments)
    beside = given.image_root / "cxr_kermany"
    kermany = given.kermany or (beside if beside.is_dir() else None)

    def work() -> str:
        engine = open_engine(load_settings(data_dir=given.data_dir), given.model).engine
        try:
            found = measure(engine, given.pairs, given.image_root, kermany, terminal.say, given.cross)
        finally:
            engine.close()
        files.write_json(given.out, found)
        return "\n".join([NOTICE, TRAINED, *(f"{figure['group']}: {figure['sentence']}" for figure in found["figures"])])

    return terminal.run(work)


if __name__ == "__main__":
    sys.exit(main())
