"""The score sheet of one evaluation: every figure with its interval, its chance and its units, and the controls beside it.

Nothing is pooled that should not be: closed and open questions stand apart, each subset has the measures of the protocol, and
a subset whose image gain may be nothing is labelled so. `content` is what `evaluate --json` prints and `sheet.json` holds;
`finetune.page` draws it.

    content = sheet.content(evaluate(engine, benchmark, folder))
    sheet.write(content, folder)
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from finetune import files, page, protocol
from finetune.calibration import reliability
from finetune.confusion import confusion
from finetune.controls import controls, image_gain, skill
from finetune.evaluate import CONDITIONS, LETTER_TOKENS, OPEN_TOKENS, PROTOCOL, SEED, Evaluation
from finetune.readings import answered, readings


def content(done: Evaluation) -> dict[str, Any]:
    """The whole sheet as plain data; a figure that does not exist is None. Raises nothing that the evaluation did not."""
    closed = [item for item in done.asked if item.closed]
    told = readings(done)
    sheet: dict[str, Any] = {
        "kind": "interval-score-sheet",
        "protocol": PROTOCOL,
        "benchmark": _benchmark(done),
        "model": asdict(done.card),
        "conditions": list(done.conditions),
        "options": _options(done),
        "scores": [
            {"condition": condition, "reading": reading, **asdict(measure)}
            for (condition, reading), predicted in told.items()
            for measure in protocol.headline(answered(closed, predicted), predicted)
        ],
        "baselines": [asdict(measure) for measure in protocol.baselines(closed)] if closed else [],
        "image_gain": image_gain(closed, told),
        "skill": skill(closed, told),
        "controls": controls(done, closed, told),
        "open": _open(done),
        "reliability": reliability(done, closed),
        "confusion": confusion(closed, told),
        "timings": _timings(done),
        "left_out": _left_out(done),
        "refused": _refused(done),
    }
    sheet["notes"] = notes(sheet)
    plain: dict[str, Any] = files.plain(sheet)
    return plain


# What was asked


def _benchmark(done: Evaluation) -> dict[str, Any]:
    benchmark, asked = done.benchmark, done.asked
    return {
        "subset": benchmark.name,
        "sha256": benchmark.sha256,
        "published": benchmark.frozen,
        "items": len(benchmark.items),
        "asked": len(asked),
        "closed": sum(item.closed for item in asked),
        "open": sum(not item.closed for item in asked),
        "images": len({image for item in asked for image in item.images}),
        "units": len({item.cluster for item in asked}),
        "limit": done.limit,
    }


def _options(done: Evaluation) -> dict[str, Any]:
    return {
        "likelihood": "share of each option letter at the answer's first token, mean over all cyclic orders of the options",
        "generation": f"greedy, at most {LETTER_TOKENS} tokens ({OPEN_TOKENS} for an open question), strict acceptance, invalid is wrong",
        "intervals": f"95 %, cluster bootstrap, {protocol.DRAWS} draws",
        "shuffled_seed": SEED,
    }


def _left_out(done: Evaluation) -> dict[str, Any]:
    """Items that were not scored, and images that no folder holds, counted and named."""
    return {
        "items": len(done.left_out),
        "missing_images": len(done.benchmark.missing),
        "listed": [{"id": one.item.id, "source": one.item.source, "reason": one.reason} for one in done.left_out],
        "missing": list(done.benchmark.missing) if done.left_out else [],
    }


# Open questions


def _open(done: Evaluation) -> list[dict[str, Any]]:
    items = [item for item in done.asked if not item.closed]
    rows = []
    for condition in done.conditions:
        texts = {item.key: told.text for item in items if (told := done.answers[condition].get(item.key)) and told.text is not None}
        if texts:
            asked = [item for item in items if item.key in texts]
            rows += [{"condition": condition, **asdict(measure)} for measure in protocol.open_scores(asked, texts)]
    return rows


# The rest


def _timings(done: Evaluation) -> list[dict[str, Any]]:
    """Seconds and encoded images of each condition, as they were when its answers were given."""
    rows = []
    for condition in done.conditions:
        told = list(done.answers[condition].values())
        if told:
            seconds = [one.seconds for one in told]
            encoded = sum(one.encoded for one in told)
            rows.append({"condition": condition, "items": len(told), "seconds": sum(seconds), "median_s": statistics.median(seconds)})
            rows[-1]["images_encoded"] = encoded
    return rows


def notes(sheet: Mapping[str, Any]) -> list[str]:
    """What a reader must know before any figure, in sentences."""
    benchmark, said = sheet["benchmark"], []
    if not benchmark["published"]:
        said.append("The file is not one of the six published benchmark files, so its figures compare with nobody's.")
    if benchmark["limit"] is not None and benchmark["asked"] < benchmark["items"]:
        said.append(f"Only {benchmark['asked']} of {benchmark['items']} items were asked, spread evenly over the file.")
    if "real" not in sheet["conditions"]:
        said.append("The model was not shown the items' own images: these figures are what can be had without looking at them.")
    said += _unproven(sheet["image_gain"])
    if refused := sheet["refused"]:
        said.append(f"{refused['answers']} questions did not fit the model and count as wrong ({refused['first']}).")
    return said


def _unproven(gains: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each headline figure what its image gain does not show; the weaker claim first, and only where the stronger holds."""
    rows = {(row["name"], row["control"]): row for row in gains if row["reading"] == "likelihood" and row["headline"]}
    said = []
    for (name, control), row in rows.items():
        blind = rows.get((name, "blind"), row)
        if not row["evidence"] and (control == "blind" or blind["evidence"]):
            said.append(f"{name}: {row['verdict']}.")
    return said


def _refused(done: Evaluation) -> dict[str, Any] | None:
    reasons = [told.refused for rows in done.answers.values() for told in rows.values() if told.refused]
    return {"answers": len(reasons), "first": reasons[0]} if reasons else None


# Writing


def stem(done: Evaluation) -> str:
    """Name of the sheet's files without ending: ``sheet``, ``sheet-blind``, ``sheet-blind-20``."""
    parts = ["sheet", *(() if done.conditions == CONDITIONS else done.conditions)]
    return "-".join([*parts, *([str(done.limit)] if done.limit is not None else [])])


def write(sheet: Mapping[str, Any], folder: Path, name: str = "sheet") -> dict[str, str]:
    """Write `<name>.json` and `<name>.html`, each whole or not at all; their paths. Raises `TuneError`."""
    texts = {"json": json.dumps(sheet, ensure_ascii=False, allow_nan=False, indent=1) + "\n", "html": page.html(sheet)}
    written = {}
    for kind, text in texts.items():
        target = folder / f"{name}.{kind}"
        files.write_text(target, text.encode(errors="replace").decode())
        written[kind] = str(target)
    return written


def lines(sheet: Mapping[str, Any]) -> list[str]:
    """The sheet's main figures for a terminal."""
    width = max((len(row["name"]) for row in (*sheet["scores"], *sheet["image_gain"], *sheet["controls"], *sheet["open"])), default=0)
    out = [f"{page.title(sheet['benchmark']['subset'])}, {sheet['model']['name']}: {sheet['benchmark']['asked']} items", ""]
    for row in sheet["scores"]:
        out.append(f"{row['name']:{width}}  {row['condition']:9} {row['reading']:10}  {_figure(row)}, chance {page.percent(row['chance'])}")
    for row in sheet["image_gain"]:
        if row["reading"] == "likelihood":
            out.append(f"{row['name']:{width}}  real less {row['control']:9}   {_figure(row)}: {row['verdict']}")
    for row in (*sheet["controls"], *sheet["open"]):
        out.append(f"{row['name']:{width}}  {row['condition']:20}  {_figure(row)}")
    return [*out, "", *sheet["notes"]]


def _figure(row: Mapping[str, Any]) -> str:
    return f"{page.percent(row['value']):>7} ({page.span(row)}), {row['units']} units"
