"""The bundled model's card: what it is, what it learnt from, how it scores beside chance, in plain words, as JSON and as a page.

    python -m finetune.card --recipe finetune/recipes/bundled.yaml --run runs/bundled --reports docs/model

Everything on the page comes from the run's curves, the recipe and the reports of `finetune.measure`, `finetune.parity`,
`finetune.realpairs` and `evaluate`; its judgements are rules over their figures (`finetune.standing`). Nothing is typed in by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from errors import TuneError
from finetune import bundled, files, recipe, standing, terminal
from finetune.recipe import STAGES, Recipe
from inference.parity import Counted
from inference.prompts import FINDINGS

BASE = ("SmolLM2-135M-Instruct (Hugging Face), the language model", "Apache-2.0")
OURS = ("Interval's parametric chest phantom and painted lesions (this repository)", "Apache-2.0")
DATA: Mapping[str, tuple[str, str]] = {
    "cxr_kermany": ("Paediatric chest radiographs, Kermany et al. 2018", "CC BY 4.0"),
    "cxr_hannover": ("COVID-19 chest radiographs, Hannover Medical School (Winther et al. 2020)", "CC BY 3.0"),
    "cxr_nih": ("ChestX-ray14 samples, NIH Clinical Center (Wang et al. 2017)", "free use with attribution"),
}
"""Folders of films -> what they are, licence."""
SHEET = "interval-score-sheet"
REPOSITORY_MB, MERGED_MB, HOURS = 60, 180, 3.5
"""The design's limits: what the repository carries, what the merged model takes on disk, how long the recipe runs."""


def curves(run: Path) -> dict[str, Any]:
    """Steps, seconds and curve of every stage. Raises `TuneError` when a stage left none."""
    remedy = "train the stage first, or name the run's folder with --run"
    found = {stage: files.read_json(run / f"{stage}.json", remedy) for stage in STAGES}
    return {stage: {name: state[name] for name in ("steps", "seconds", "curve")} for stage, state in found.items()}


def reports(folder: Path, revision: str) -> dict[str, Any]:
    """The reports in `folder`. Raises `TuneError` when figures or parity are missing or any is of another revision."""
    figures = files.read_json(folder / "figures.json", "run `python -m finetune.measure --out` with this file")
    parity = files.read_json(folder / "parity.json", "run `python -m finetune.parity --out` with this file")
    for name, found in (("figures.json", figures), ("parity.json", parity)):
        if found["revision"] != revision:
            raise TuneError(f"{folder / name} is of revision {found['revision']}, the shipped parts are {revision}; measure again")
    real = folder / "real-pairs.json"
    return {
        "figures": figures,
        "parity": parity,
        "real_pairs": _real(files.read_json(real, "run `python -m finetune.realpairs` again"), figures["sha256"])
        if real.exists()
        else None,
        "sheets": list(_sheets(folder, revision)),
        "further": sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in (".html", ".png", ".svg")),
    }


def _real(report: Mapping[str, Any], sha256: str) -> dict[str, Any]:
    """What the card says of real pairs: their figures, not their readings."""
    if report["model"]["sha256"] != sha256:
        raise TuneError("real-pairs.json is of another model than figures.json; run `python -m finetune.realpairs` again")
    return {name: report[name] for name in ("notice", "trained", "pairs", "patients", "figures") if name in report}


def _sheets(folder: Path, revision: str) -> Iterator[dict[str, Any]]:
    """Score sheets of this revision below `folder`; of other models they are left out."""
    for path in sorted(folder.rglob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict) and found.get("kind") == SHEET and found["model"]["revision"] == revision:
            kept = {name: found[name] for name in ("benchmark", "scores", "baselines", "image_gain", "notes")}
            yield {**kept, "file": path.relative_to(folder).as_posix()}


def content(
    given: Recipe, parts: Mapping[str, Any], stages: Mapping[str, Any], measured: Mapping[str, Any], shipped: Mapping[str, Any]
) -> dict[str, Any]:
    """`card.json`: everything the page says, as data.

    `parts` is `parts.json`; `shipped` is what shipping measured: build seconds and bytes.
    """
    rows = measured["figures"]["figures"]
    parity = {name: value for name, value in measured["parity"].items() if name != "parted"}
    made: dict[str, Any] = files.plain(
        {
            "name": bundled.NAME,
            "revision": parts["revision"],
            "caution": standing.caution(rows),
            "base": parts["base"],
            "data": [{"what": what, "licence": licence} for what, licence in (BASE, OURS, *(DATA[name] for name in given.films))],
            "recipe": asdict(given),
            "stages": stages,
            "shipped": dict(shipped),
            "tokens_per_image": given.vision.tokens,
            "findings": list(FINDINGS),
            "figures": rows,
            "without_offsets": measured["figures"].get("without_offsets", []),
            "by_finding": measured["figures"]["by_finding"],
            "confusion": measured["figures"]["confusion"],
            "parity": parity,
            "real_pairs": measured["real_pairs"],
            "sheets": measured["sheets"],
            "further": measured["further"],
            "knows": standing.knows(rows),
            "missed": standing.missed(rows, parity),
        }
    )
    return made


def page(card: Mapping[str, Any]) -> str:
    """`card.md` from `card.json`."""
    return "\n".join(part.strip() + "\n" for part in (_head(card), _little(card), _scores(card), _beyond(card), _made(card)))


def _head(card: Mapping[str, Any]) -> str:
    given, base, vision = card["recipe"], card["base"], card["recipe"]["vision"]
    kept = f", {len(given['layers'])} of its layers" if given.get("layers") else ""
    return f"""
# The bundled model, {given["name"]} (revision {card["revision"]})

**For research and teaching. Not a medical device; nothing it says may guide care.**

A small vision-language model that reads two or more images in order: an image tower of {vision["layers"]} layers of width
{vision["hidden"]} trained from nothing, a linear connector, and {base["package"]} {base["version"]} (SmolLM2-135M-Instruct{kept}) with
low-rank adapters. One tile of {vision["tile"]} pixels an image, {card["tokens_per_image"]} image tokens. It exists so that every part of
Interval works on a machine without a GPU and without a network. It was trained for {_hours(card):.1f} hours on two CPU cores.
"""


def _hours(card: Mapping[str, Any]) -> float:
    return float(sum(stage["seconds"] for stage in card["stages"].values()) / 3600)


def _little(card: Mapping[str, Any]) -> str:
    pairs = sum(_pairs(card, stage) for stage in STAGES)
    known = "\n".join(f"- {sentence}" for sentence in card["knows"])
    missed = "\n".join(f"- {sentence}" for sentence in card["missed"]) or "- none"
    return f"""
## How little it knows
{card["caution"]}

It has seen {pairs:,} synthetic pairs of frontal chest radiographs{_ranked(card)} and nothing else: no CT, no MR, no mammogram, no
lateral view, no report, no change that a radiologist has read. Its lesions were painted. Fluent sentences hide how little that is.
It names only these findings: {", ".join(card["findings"])}.

On held-out generated pairs:

{known}

Targets of the design that it does not reach:

{missed}
"""


def _pairs(card: Mapping[str, Any], stage: str) -> int:
    return int(card["stages"][stage]["steps"] * card["recipe"][stage]["schedule"]["batch"])


def _ranked(card: Mapping[str, Any]) -> str:
    count = card["recipe"]["tower"].get("ranked", 0) * card["stages"]["tower"]["steps"]
    return f", {count:,} pairs of real films of which one is labelled more diseased," if count else ""


def _scores(card: Mapping[str, Any]) -> str:
    rows = card["figures"]
    told = _offsets(rows, card.get("without_offsets", ()))
    return f"""
## Scores
Measured on the GGUF files as built, by likelihood of the offered answers, on generator seeds and patients held out from training: on the
phantom, on real films with painted lesions, and on both together. In brackets the 95 % interval by bootstrap over patients.

{_table(rows)}

{told}A model that calls everything stable passes the rows of exchanged and identical films; read them beside the balanced accuracy.
{_confused(card["confusion"])}
{_by_finding(card["by_finding"])}
{_alike(card["parity"])}
"""


def _alike(parity: Mapping[str, Any]) -> str:
    greedy, images, logits = parity["greedy"], parity["images"], parity["logits"]
    low, high = Counted(asked=greedy["asked"], equal=greedy["equal"]).interval
    told = f"GGUF against torch: {greedy['equal']} of {greedy['asked']} greedy answers equal (95 % interval {low:.2f} to {high:.2f})"
    if not images or not logits:
        return f"{told}."
    alike = f"{100 * logits['top1_agreement']:.1f} % of {logits['places']} places, mean KL divergence {logits['kl_mean']:.4f}"
    seen = f"{100 * images['relative_difference_max']:.2f} % at most (least cosine of a token {images['cosine_min']:.4f})"
    margin = greedy["margin_where_they_part"]
    close = f" Where they part, torch's first choice was ahead of its second by {margin['median']:.2f} at the median." if margin else ""
    return f"{told}; the likeliest token is the same at {alike}; image embeddings differ by {seen}.{close}{_second(parity)}"


def _second(parity: Mapping[str, Any]) -> str:
    """What the second image bears on the answers, where it was measured."""
    second = parity.get("second_image")
    if not second:
        return ""
    gguf, torch = (Counted(asked=second["asked"], equal=second[side]["moved"]).bounded for side in ("gguf", "torch"))
    return (
        " Exchanging image 2 with image 1, or replacing it by that, moves the log-probability of the greedy answer by more than "
        f"rounding ({second['rounding']:.3f}) in {gguf} questions of the GGUF pair and {torch} of torch."
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    sources = [source for source in standing.ORDER if any(row["source"] == source for row in rows)]
    lines = [f"| what | {' | '.join(sources)} | chance | target |", "|---|" + "---|" * (len(sources) + 2)]
    for key in dict.fromkeys(row["key"] for row in rows):
        found = {row["source"]: row for row in rows if row["key"] == key}
        first = next(iter(found.values()))
        cells = [standing.figure(found[source]) if source in found and found[source]["value"] is not None else "-" for source in sources]
        target = f"{first['target']:.2f}" if first["target"] is not None else ""
        lines.append(f"| {first['what']} | {' | '.join(cells)} | {first['chance']:.2f} | {target} |")
    counts = [max((row["items"] for row in rows if row["source"] == source), default=0) for source in sources]
    patients = [max((row["units"] for row in rows if row["source"] == source), default=0) for source in sources]
    return "\n".join(
        [
            *lines,
            f"| largest number of items | {' | '.join(map(str, counts))} | | |",
            f"| patients | {' | '.join(map(str, patients))} | | |",
        ]
    )


def _offsets(rows: Sequence[Mapping[str, Any]], bare: Sequence[Mapping[str, Any]]) -> str:
    """What the model's offsets change, where it carries any."""
    both = [(standing.whole(rows, key), standing.whole(bare, key)) for key in dict.fromkeys(row["key"] for row in bare)]
    lines = [
        f"| {row['what']} | {standing.figure(row)} | {standing.figure(without)} |"
        for row, without in both
        if row and without and row["value"] != without["value"]
    ]
    if not lines:
        return ""
    told = (
        "The likelihoods are read with offsets: a number for each answer and a scale, fitted by `finetune.offsets` on other\n"
        "generated pairs and kept with the model. The same readings without them:"
    )
    return "\n".join([told, "", "| what | with offsets | without |", "|---|---|---|", *lines, "", ""])


def _confused(table: Mapping[str, Mapping[str, int]]) -> str:
    parts = []
    if not table:
        return ""
    for truth, called in table.items():
        listed = ", ".join(f"{count} {name}" for name, count in called.items() if count)
        parts.append(f"{sum(called.values())} pairs that are {truth} were called: {listed or 'nothing'}")
    return f"Read both ways, {'; '.join(parts)}.\n"


def _by_finding(rows: Sequence[Mapping[str, Any]]) -> str:
    kinds = {
        kind: {row["key"].removeprefix(f"{kind} "): row for row in rows if row["key"].startswith(f"{kind} ")}
        for kind in ("present", "side")
    }
    if not rows:
        return ""
    lines = ["By finding, all sources together:", "", "| finding | present | items | side | items |", "|---|---|---|---|---|"]
    for name in FINDINGS:
        cells = []
        for found in kinds.values():
            row = found.get(name)
            cells += [standing.figure(row), str(row["items"])] if row and row["value"] is not None else ["-", "0"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _beyond(card: Mapping[str, Any]) -> str:
    return f"""
## Real films and benchmarks
{_real_page(card["real_pairs"])}

{_sheet_page(card["sheets"])}

Not measured: agreement with radiologists on change, other modalities than chest radiographs.

{_further(card["further"])}
"""


def _real_page(real: Mapping[str, Any] | None) -> str:
    if not real:
        return "Real pairs of films: not measured."
    lines = "\n".join(f"- {figure['group']}: {figure['sentence']}" for figure in real["figures"] if figure.get("headline", True))
    return f"{real['pairs']} real pairs of {real['patients']} patients. {real['notice']} {real['trained']}\n\n{lines}"


def _further(names: Sequence[str]) -> str:
    return f"To look at, in `docs/model`: {', '.join(f'`{name}`' for name in names)}." if names else ""


def _sheet_page(sheets: Sequence[Mapping[str, Any]]) -> str:
    if not sheets:
        return "Med-MIM benchmark files: not measured."
    return "\n\n".join(_sheet(sheet) for sheet in sheets)


def _sheet(sheet: Mapping[str, Any]) -> str:
    lines = ["| what | condition | reading | value | chance | items |", "|---|---|---|---|---|---|"]
    for row in sheet["scores"]:
        if row["headline"] and row["value"] is not None:
            chance = f"{row['chance']:.2f}" if row["chance"] is not None else ""
            lines.append(f"| {row['name']} | {row['condition']} | {row['reading']} | {standing.figure(row)} | {chance} | {row['items']} |")
    for row in sheet["image_gain"]:
        if row["headline"] and row["value"] is not None:
            what = f"image gain: {row['name']}"
            lines.append(f"| {what} | real less {row['control']} | {row['reading']} | {standing.figure(row)} | 0.00 | {row['items']} |")
    notes = "\n".join(f"- {note}" for note in sheet["notes"])
    return f"{sheet['benchmark']['subset']} (whole sheet: `docs/model/{sheet['file']}`):\n\n" + "\n".join(lines) + f"\n\n{notes}"


def _made(card: Mapping[str, Any]) -> str:
    data = "\n".join(f"- {row['what']}: {row['licence']}" for row in card["data"])
    given = card["recipe"]
    made = f" {given['made']}" if given.get("made") else ""
    stages = "\n".join(
        f"| {name} | {card['stages'][name]['steps']:,} | {_pairs(card, name):,} | {card['stages'][name]['seconds'] / 60:.0f} |"
        for name in STAGES
    )
    return f"""
## Data and licences
{data}

No Med-MIM benchmark item and no VQA-RAD image was used. Patients were split before anything else; a tenth was never trained on.
No image of these sets is distributed with Interval.

## Recipe
| stage | steps | pairs | minutes |
|---|---|---|---|
{stages}

{_hours(card):.1f} hours in all (limit {HOURS}). The tower learns with heads of its own: which finding is there, how severe, on which
side, and change between two films as a difference with a learned dead zone. Then the connector alone, then connector and low-rank
adapters on questions of all four abilities, {given["joint"]["questions"]} to a pair. The layout in which stock llama.cpp servers send an
image (the tile twice) made up {100 * given["joint"]["sliced"]:.0f} % of the last stage's steps, so expect less there. The recipe with
every number is in `card.json`.{made}

## Size and building
{_size(card["shipped"])}
"""


def _size(shipped: Mapping[str, Any]) -> str:
    if not shipped:
        return "Set-up merges the trained parts with the base; the result is the same bytes on every machine."
    parts, merged = shipped["parts_bytes"] / 1e6, shipped["merged_bytes"] / 1e6
    return (
        f"The repository carries {parts:.0f} MB of trained parts (limit {REPOSITORY_MB}); set-up merges them with the base into "
        f"{merged:.0f} MB (limit {MERGED_MB}), in {shipped['build_seconds']:.0f} s on the machine that shipped it. The result is the same "
        "bytes on every machine."
    )


def write(card: Mapping[str, Any], folder: Path) -> None:
    """Write `card.json` and `card.md` beside the trained parts. Raises `TuneError` when they cannot be written."""
    files.write_json(folder / bundled.CARD_FILE, card)
    files.write_text(folder / "card.md", page(card))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m finetune.card", description="Write the bundled model's card from its run and its reports."
    )
    parser.add_argument("--recipe", type=Path, required=True, help="the run's recipe")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run's curves")
    parser.add_argument(
        "--reports", type=Path, default=Path("docs/model"), help="folder of figures.json, parity.json and the other reports"
    )
    parser.add_argument("--parts", type=Path, default=bundled.PARTS, help="folder of the trained parts, where the card goes")
    given = parser.parse_args(arguments)

    def work() -> str:
        parts = files.read_json(given.parts / bundled.PARTS_FILE, "ship the run first")
        shipped = given.run / "ship.json"
        told = files.read_json(shipped, "ship the run again") if shipped.exists() else {}
        card = content(recipe.load(given.recipe), parts, curves(given.run), reports(given.reports, parts["revision"]), told)
        write(card, given.parts)
        return str(card["caution"])

    return terminal.run(work)


if __name__ == "__main__":
    sys.exit(main())
