"""The bundled model's card: what it is, what it learnt from, how it scores beside chance, in plain words, as JSON and as a page.

    python -m finetune.card --recipe finetune/recipes/first_cut.yaml --run runs/first_cut --data-root ../data

Every figure on the page comes from `card.json`, which this command measures on the built model; nothing is typed in by hand.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from PIL import Image as Pillow

import settings
from errors import IntervalError
from finetune import bundled, dataset, loop, measure, recipe
from finetune.measure import Figure, Film
from finetune.recipe import STAGES, Recipe
from finetune.synthesis.films import split_of
from finetune.train import WATCHED
from inference.engine import Engine, Options, Request
from inference.prompts import FINDINGS, TEMPLATES
from inference.select import open_engine

DATA = (
    ("SmolLM2-135M-Instruct (Hugging Face), the language model", "Apache-2.0"),
    ("Interval's parametric chest phantom and painted lesions (this repository)", "Apache-2.0"),
    ("Paediatric chest radiographs, Kermany et al. 2018", "CC BY 4.0"),
    ("COVID-19 chest radiographs, Hannover Medical School (Winther et al. 2020)", "CC BY 3.0"),
    ("ChestX-ray14 samples, NIH Clinical Center (Wang et al. 2017)", "free use with attribution"),
)


@dataclass(frozen=True)
class Budget:
    """How many items each measurement takes."""

    pairs: int = 48
    identical: int = 24
    greedy: int = 24


def greedy(engine: Engine, asked: Request) -> str:
    """The greedy answer of at most 24 tokens."""
    limited = Request(asked.images, asked.question, asked.ability, asked.relationship, asked.history, Options(max_tokens=24))
    return "".join(token.text for token in engine.stream(limited, Event()))


def fixed_questions(tests: Sequence[Any], count: int) -> list[Request]:
    """`count` questions of all four abilities about held-out pairs."""
    asked: list[tuple[str, Any]] = [(question, ability) for ability, questions in TEMPLATES.items() for question in questions]
    rows = [(tests[number % len(tests)], asked[number % len(asked)]) for number in range(count)]
    return [measure.request(pair.prior, pair.current, question, ability) for pair, (question, ability) in rows]


def real_pairs(data_root: Path) -> Iterator[tuple[Film, Film]]:
    """Real prior and current radiographs (H, W) uint8 of patients that training never saw."""
    with (data_root / "pairs_cxr.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            if split_of(line["patient"]) == "dev":
                yield _film(data_root / line["prior_path"]), _film(data_root / line["current_path"])


def _film(path: Path) -> Film:
    with Pillow.open(path) as opened:
        return np.asarray(opened.convert("L"), dtype=np.uint8)


def real(engine: Engine, data_root: Path) -> list[Figure]:
    """What real pairs without a change label can tell: exchanged films invert, identical films are stable."""
    turned, same = [], []
    for prior, current in real_pairs(data_root):
        ahead, _ = measure.overall(engine, prior, current)
        turned.append(measure.overall(engine, current, prior)[0] == measure.INVERSE[ahead])
        same.append(measure.overall(engine, prior, prior)[0] == "stable")
    if not turned:
        return []
    return [
        Figure("real pairs: prior and current exchanged, the answer inverts", float(np.mean(turned)), 1 / 3, len(turned)),
        Figure("real films twice: called stable", float(np.mean(same)), 1 / 3, len(same)),
    ]


def scores(gguf: Engine, torch: Engine, source: dataset.Sources, size: int, data_root: Path | None, budget: Budget) -> list[Figure]:
    """All figures of the card, on the GGUF as shipped."""
    tests = list(measure.held_out(source, size, "pair", budget.pairs))
    figures = [*measure.change(gguf, tests), measure.brightness(tests)]
    figures += [measure.identical(gguf, tests[: budget.identical]), measure.which(gguf, tests), measure.present(gguf, tests, FINDINGS)]
    figures += [measure.image_use(gguf, tests[: budget.identical]), *(real(gguf, data_root) if data_root else [])]
    return [*figures, measure.agreement(gguf, torch, fixed_questions(tests, budget.greedy), greedy)]


def content(given: Recipe, run: Path, figures: Sequence[Figure], built_s: float) -> dict[str, Any]:
    """`card.json`: everything the page says, as data."""
    stages = {}
    for stage in STAGES:
        state = json.loads((run / f"{stage}.json").read_text(encoding="utf-8"))
        stages[stage] = {"steps": state["steps"], "seconds": state["seconds"], "curve": state["curve"]}
    parts = json.loads((bundled.PARTS / bundled.PARTS_FILE).read_text(encoding="utf-8"))
    return {
        "name": bundled.NAME,
        "revision": parts["revision"],
        "base": parts["base"],
        "data": [{"what": what, "licence": licence} for what, licence in DATA],
        "recipe": asdict(given),
        "stages": stages,
        "build_seconds": round(built_s, 1),
        "figures": [{**asdict(figure), "value": round(figure.value, 3), "chance": round(figure.chance, 3)} for figure in figures],
    }


def _rows(card: dict[str, Any]) -> str:
    lines = ["| what | value | chance | items |", "|---|---|---|---|"]
    lines += [f"| {row['what']} | {row['value']:.2f} | {row['chance']:.2f} | {row['items']} |" for row in card["figures"]]
    return "\n".join(lines)


def page(card: dict[str, Any]) -> str:
    """`card.md` from `card.json`."""
    given, parts = card["recipe"], card["base"]
    minutes = {name: stage["seconds"] / 60 for name, stage in card["stages"].items()}
    pairs = {name: stage["steps"] * given[name]["schedule"]["batch"] for name, stage in card["stages"].items()}
    stages = "\n".join(f"| {name} | {card['stages'][name]['steps']} | {pairs[name]} | {minutes[name]:.0f} |" for name in STAGES)
    seen = next(row for row in reversed(card["stages"]["tower"]["curve"]) if "present_auc" in row)
    data = "\n".join(f"- {row['what']}: {row['licence']}" for row in card["data"])
    return f"""# The bundled model, {given["name"]} (revision {card["revision"]})

**For research and teaching. Not a medical device; nothing it says may guide care.**

A small vision-language model that reads two or more images in order: an image tower of {given["vision"]["layers"]} layers trained from
nothing, a linear connector, and {parts["package"]} {parts["version"]} (SmolLM2-135M-Instruct) with low-rank adapters. One tile of
{given["vision"]["tile"]} pixels an image, 64 image tokens. It exists so that every part of Interval works on a machine without a GPU
and without a network; it is a first cut, trained for {sum(minutes.values()):.0f} minutes on two CPU cores.

## How little it knows
It has seen some thousand synthetic pairs of frontal chest radiographs and nothing else: no CT, no MR, no mammogram, no lateral
view, no report. Its lesions were painted. On real disease its answers are close to guesses, and fluent sentences hide that.
The tower by itself, read by the heads that trained it on {WATCHED} held-out pairs, tells worse, stable and improved with a
balanced accuracy of {seen["change"]:.2f} (chance 0.33), a finding's presence with an area under the curve of
{seen["present_auc"]:.2f} and its side in {100 * seen["side"]:.0f} %. How much of that the language model has learnt to say is in the
table below, and it is little: its words are often the likeliest phrase rather than a reading.
It names only these findings: {", ".join(FINDINGS)}. Compare its figures with the chance column before believing any answer.

## Scores
Measured on the GGUF files as built, by likelihood of the offered words, on generator seeds and patients held out from training.
Small samples: a figure on 48 items is uncertain by about 0.14 either way.

{_rows(card)}

A model that calls everything stable passes the rows of exchanged and identical films; read them beside the balanced accuracy.

Not measured yet: agreement with radiologists on real change, any Med-MIM benchmark file, other modalities. Where GGUF and torch
differ, the eight-bit text model rounds a close call the other way.

## Data and licences
{data}

No Med-MIM benchmark item and no VQA-RAD image was used. Patients were split before anything else; a tenth was never trained on.
No image of these sets is distributed with Interval.

## Recipe
| stage | steps | pairs | minutes |
|---|---|---|---|
{stages}

The tower learns with heads of its own: presence and severity of each finding and side from every image token, and change between
two films as a difference with a learned dead zone. Then the connector alone, then connector and low-rank adapters on questions of
all four abilities, {given["joint"]["questions"]} to a pair. The layout in which stock llama.cpp servers send an image (the tile twice)
made up {100 * given["joint"]["sliced"]:.0f} % of the last stage's steps, so expect less there. The whole recipe is
`finetune/recipes/{given["name"].replace("-", "_")}.yaml`.

## Building
Set-up merges the trained parts with the base in about {card["build_seconds"]:.0f} s; the result is the same bytes on every machine.
"""


def make(run: Path, given: Recipe, data_root: Path | None, data_dir: Path | None, budget: Budget) -> dict[str, Any]:
    """Build the model, measure it, write `card.json` and `card.md` beside the trained parts; returns the content."""
    chosen = settings.load(data_dir=data_dir)
    started = time.monotonic()
    bundled.build(chosen)
    built_s = time.monotonic() - started
    gguf, torch = (open_engine(chosen, bundled.NAME, engine).engine for engine in ("gguf", "torch"))
    try:
        figures = scores(gguf, torch, dataset.sources(given, data_root, "dev"), given.vision.tile, data_root, budget)
    finally:
        gguf.close()
        torch.close()
    card = content(given, run, figures, built_s)
    write(card)
    return card


def write(card: dict[str, Any]) -> None:
    """Write `card.json` and `card.md` beside the trained parts."""
    text = json.dumps(card, indent=1) + "\n"
    loop.atomic(bundled.PARTS / "card.json", lambda path: path.write_text(text, encoding="utf-8"))
    loop.atomic(bundled.PARTS / "card.md", lambda path: path.write_text(page(card), encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m finetune.card", description="Measure the bundled model and write its card.")
    parser.add_argument("--recipe", type=Path, required=True, help="the run's recipe")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run's curves")
    parser.add_argument("--data-root", type=Path, help="folder of the data folders that the recipe names")
    parser.add_argument("--data-dir", type=Path, help="where the model is built; by default Interval's own data directory")
    parser.add_argument("--pairs", type=int, default=48, help="held-out pairs to ask about")
    given = parser.parse_args(arguments)
    try:
        card = make(given.run, recipe.load(given.recipe), given.data_root, given.data_dir, Budget(pairs=given.pairs))
    except IntervalError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(card["figures"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
