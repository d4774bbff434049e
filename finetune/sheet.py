"""The score sheet of one evaluation: every figure with its interval, its chance and its units, and the controls beside it.

Nothing is pooled that should not be: closed and open questions stand apart, each subset has the measures of the protocol, and
a subset whose image gain may be nothing is labelled so. `content` is what `evaluate --json` prints and `sheet.json` holds;
`finetune.page` draws it.

    content = sheet.content(evaluate(engine, benchmark, folder))
    sheet.write(content, folder)
"""

from __future__ import annotations

import json
import math
import os
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import TuneError
from finetune import classes, page, protocol, uncertainty
from finetune.classes import Reader
from finetune.evaluate import CONDITIONS, LETTER_TOKENS, OPEN_TOKENS, PROTOCOL, SEED, Condition, Evaluation, Told
from finetune.medmim import Item
from finetune.protocol import Measure

UNUSED = "no evidence that the images were used"
WORSE = "the answers are better without the images"
BINS = 10
LISTED = 50
"""Items left out, and missing images, that are named one by one; the rest are counted."""

Predicted = Mapping[str, str | None]
Values = NDArray[np.float64]


def content(done: Evaluation) -> dict[str, Any]:
    """The whole sheet as plain data; a figure that does not exist is None. Raises nothing that the evaluation did not."""
    closed = [item for item in done.asked if item.closed]
    told = {(condition, reading): letters(closed, done.answers[condition], reading) for condition, reading in _readings(done)}
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
            for measure in protocol.headline(_of(closed, predicted), predicted)
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
    plain: dict[str, Any] = _plain(sheet)
    return plain


def _readings(done: Evaluation) -> list[tuple[Condition, str]]:
    """Every reading that was made: by likelihood under each condition, by generation where words were asked for."""
    made: list[tuple[Condition, str]] = []
    for condition in done.conditions:
        closed = [told for item in done.asked if item.closed and (told := done.answers[condition].get(item.key))]
        made += [(condition, "likelihood")] if closed else []
        made += [(condition, "generation")] if any(told.text is not None for told in closed) else []
    return made


def letters(items: Sequence[Item], answers: Mapping[str, Told], reading: str) -> dict[str, str | None]:
    """Item key -> letter of the file's own order; None for an answer that is no option, or that could not be given."""
    out: dict[str, str | None] = {}
    for item in items:
        told = answers.get(item.key)
        if told is None:
            continue
        if reading == "generation":
            out[item.key] = protocol.accept(told.text, item.options) if told.text is not None else None
        else:
            out[item.key] = item.options[_largest(told.mean)][0] if told.shares else None
    return out


def _largest(shares: Sequence[float]) -> int:
    return max(range(len(shares)), key=lambda place: shares[place])


def _of(items: Sequence[Item], predicted: Predicted) -> list[Item]:
    return [item for item in items if item.key in predicted]


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
    """Items that were not scored, and images that no folder holds: counted, and the first of them named."""
    return {
        "items": len(done.left_out),
        "missing_images": len(done.benchmark.missing),
        "first_items": [{"id": one.item.id, "source": one.item.source, "reason": one.reason} for one in done.left_out[:LISTED]],
        "first_missing": list(done.benchmark.missing[:LISTED]),
    }


# Controls


def image_gain(items: Sequence[Item], told: Mapping[tuple[Condition, str], Predicted]) -> list[dict[str, Any]]:
    """Paired differences of the real images against each control, each with its verdict in words."""
    rows = []
    for condition, reading in told:
        if condition not in ("blind", "shuffled") or ("real", reading) not in told:
            continue
        real, control = told["real", reading], told[condition, reading]
        both = [item for item in items if item.key in real and item.key in control]
        for measure in protocol.gain(both, real, control):
            rows.append({"control": condition, "reading": reading, **asdict(measure), **verdict(measure)})
    return rows


def verdict(gain: Measure) -> dict[str, Any]:
    """Whether a gain's interval lies above 0, and the sentence for one that does not."""
    if gain.low > 0:
        return {"evidence": True, "verdict": "the images were used"}
    return {"evidence": False, "verdict": WORSE if gain.high < 0 else UNUSED}


def controls(done: Evaluation, closed: Sequence[Item], told: Mapping[tuple[Condition, str], Predicted]) -> list[dict[str, Any]]:
    """Rates that are no scores: flips under reordered options, invalid words, answers moved by an exchanged order of images."""
    rows: list[tuple[str, Measure]] = []
    for condition in done.conditions:
        answers = done.answers[condition]
        read = [item for item in closed if item.key in answers and answers[item.key].shares]
        if read and condition != "exchanged":
            flips = [flipped(item, answers[item.key]) for item in read]
            rows.append((condition, rate("the answer changes with the order of the options", read, flips)))
        words = told.get((condition, "generation"))
        if words:
            spoken = _of(closed, words)
            rows.append((condition, rate("the words are no option (invalid)", spoken, [words[item.key] is None for item in spoken])))
    rows += [("exchanged", measure) for measure in exchange(done, closed, told)]
    return [{"condition": condition, **asdict(measure)} for condition, measure in rows]


def flipped(item: Item, told: Told) -> bool:
    """Whether the orders of the options do not all lead to the same text."""
    return len({classes.norm(item.options[_largest(order)][1]) for order in told.shares}) > 1


def exchange(done: Evaluation, closed: Sequence[Item], told: Mapping[tuple[Condition, str], Predicted]) -> list[Measure]:
    """What the exchanged order of the images does to the answers that it was asked about."""
    real, turned = told.get(("real", "likelihood")), told.get(("exchanged", "likelihood"))
    if not real or not turned:
        return []
    both = [item for item in closed if real.get(item.key) and turned.get(item.key)]
    if not both:
        return []
    moved = [_said(item, real[item.key]) != _said(item, turned[item.key]) for item in both]
    before, after = (done.answers[condition] for condition in ("real", "exchanged"))
    shift = [0.5 * float(np.abs(np.subtract(before[item.key].mean, after[item.key].mean)).sum()) for item in both]
    rows = [
        rate("the answer changes with the order of the images", both, moved),
        rate("probability moved by the order of the images", both, shift, "total variation, 0 (blind to order) to 1"),
    ]
    directed = [item for item in both if classes.strict_change(item) and _direction(item, real[item.key])]
    if directed:
        turns = [_direction(item, turned[item.key]) == OPPOSITE[_direction(item, real[item.key])] for item in directed]
        rows.append(rate("the answer inverts with the order of the images", directed, turns, "improving and worsening, stable and stable"))
    return rows


OPPOSITE = {"improving": "worsening", "worsening": "improving", "stable": "stable"}


def _said(item: Item, letter: str | None) -> str:
    return next((classes.norm(text) for known, text in item.options if known == letter), "")


def _direction(item: Item, letter: str | None) -> str:
    """`improving`, `stable` or `worsening` where the option says so, else ``."""
    return classes.read_change(item, next((text for known, text in item.options if known == letter), ""))


def rate(name: str, items: Sequence[Item], values: Sequence[float], note: str = "") -> Measure:
    """A mean over items with its cluster interval."""
    found = np.asarray(values, dtype=np.float64)
    clusters = [item.cluster for item in items]
    low, high = protocol.bootstrap(found, clusters)
    return Measure(name, float(found.mean()), low, high, math.nan, len(set(clusters)), len(found), note, "rate")


# Skill


def skill(items: Sequence[Item], told: Mapping[tuple[Condition, str], Predicted]) -> list[dict[str, Any]]:
    """Each figure by likelihood above the best that needs no image, the same model's blind answers among it."""
    real = told.get(("real", "likelihood"))
    return [asdict(one) for one in protocol.skills(items, real, told.get(("blind", "likelihood")))] if real else []


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


# Reliability and confusion


def reliability(done: Evaluation, closed: Sequence[Item]) -> dict[str, Any] | None:
    """Expected calibration error in ten bins of equal mass, and the bins: how sure the model was, how often it was right."""
    condition = done.conditions[0]
    answers = done.answers[condition]
    items = [item for item in closed if item.key in answers and answers[item.key].shares]
    if len(items) < BINS:
        return None
    told = letters(items, answers, "likelihood")
    sure = np.array([max(answers[item.key].mean) for item in items])
    right = np.array([protocol.correct(item, told[item.key]) for item in items], dtype=float)
    clusters = [item.cluster for item in items]
    low, high = error_interval(sure, right, clusters)
    bins = [
        _bin(sure[place], right[place], [clusters[i] for i in place]) for place in np.array_split(np.argsort(sure, kind="stable"), BINS)
    ]
    value = float(expected_error(sure, right, np.ones((1, len(items))))[0])
    return {"condition": condition, "ece": value, "low": low, "high": high, "items": len(items), "bins": bins}


def _bin(sure: Values, right: Values, clusters: Sequence[str]) -> dict[str, Any]:
    low, high = protocol.bootstrap(right, clusters)
    return {"items": len(sure), "confidence": float(sure.mean()), "accuracy": float(right.mean()), "low": low, "high": high}


def expected_error(sure: Values, right: Values, weights: Values) -> Values:
    """ECE of confidences and hits (n,), the items weighted by each row of `weights` (draws, n): (draws,), nan without weight."""
    order = np.argsort(sure, kind="stable")
    gap = (sure - right)[order]
    out = np.full(len(weights), math.nan)
    for draw, row in enumerate(weights[:, order]):
        if total := row.sum():
            bins = np.minimum((np.cumsum(row) - row / 2) * BINS / total, BINS - 1).astype(int)
            out[draw] = np.abs(np.bincount(bins, row * gap, BINS)).sum() / total
    return out


def error_interval(sure: Values, right: Values, clusters: Sequence[str]) -> tuple[float, float]:
    """95 % cluster interval of the ECE. A resampled ECE is too large on average (its gaps cannot cancel): the draws are moved back."""
    names, place = np.unique(np.asarray(clusters), return_inverse=True)
    if len(names) < 2:
        return math.nan, math.nan
    draws = expected_error(sure, right, uncertainty.drawn(len(names))[:, place])
    value = expected_error(sure, right, np.ones((1, len(sure))))[0]
    low, high = uncertainty.interval(draws - np.nanmean(draws) + value)
    return max(low, 0.0), high


def confusion(closed: Sequence[Item], told: Mapping[tuple[Condition, str], Predicted]) -> list[dict[str, Any]]:
    """Truth against answer by likelihood, by meaning where the options have one, by place where they have none."""
    condition = next((condition for condition, reading in told if reading == "likelihood"), None)
    if condition is None:
        return []
    predicted = told[condition, "likelihood"]
    tables = []
    for name, chosen, read in MEANINGS:
        items = [item for item in closed if item.key in predicted and chosen(item)]
        if items:
            tables.append({"name": name, "condition": condition, **_table(items, predicted, read)})
    return tables


def _table(items: Sequence[Item], predicted: Predicted, read: Reader) -> dict[str, Any]:
    """Counts of (truth, answer) with the classes in order of how often they are the truth; `none` is an answer without a class."""
    pairs = Counter((_class(item, item.letter, read), _class(item, predicted[item.key], read)) for item in items)
    truths = Counter(truth for truth, _ in pairs.elements())
    rows = sorted(truths) if all(len(name) == 1 for name in truths) else [name for name, _ in truths.most_common()]
    columns = [*rows, *sorted({answer for _, answer in pairs} - {*rows, "none"}), *(["none"] if any(a == "none" for _, a in pairs) else [])]
    return {"rows": rows, "columns": columns, "counts": [[pairs[row, column] for column in columns] for row in rows]}


def _class(item: Item, letter: str | None, read: Reader) -> str:
    text = next((text for known, text in item.options if known == letter), None)
    return "none" if letter is None or text is None else (read(item, text) or "other")


def _letter(item: Item, text: str) -> str:
    return next(letter for letter, known in item.options if known == text)


def _of_source(file: str, start: str = "") -> Callable[[Item], bool]:
    return lambda item: item.file.removeprefix("train_") == file and item.source.startswith(start)


MEANINGS: tuple[tuple[str, Callable[[Item], bool], Reader], ...] = (
    ("tumour follow-up (LUMIERE)", _of_source("temporal", "LUMIERE"), classes.reader(classes.TUMOUR)),
    ("one year ahead (EMBED)", _of_source("temporal", "EMBED"), classes.reader(classes.FORECAST)),
    (
        "progression (MS-CXR-T, strict)",
        lambda item: _of_source("comparison", "MS")(item) and classes.strict_change(item),
        classes.read_change,
    ),
    ("resection (LUMIERE)", _of_source("comparison", "LUMIERE"), classes.reader(classes.RESECTION)),
    ("BI-RADS category (EMBED)", _of_source("reasoning"), classes.birads({})),
    ("which image", _of_source("coreference"), classes.read_place),
    ("option's letter", lambda item: item.file in ("odir", "rad", "composed"), _letter),
)
"""Name of a matrix, the items it is about, and what is read from an option's text."""


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
    against = [row for row in sheet["image_gain"] if row["control"] == "blind" and row["reading"] == "likelihood" and row["headline"]]
    said += [f"{row['name']}: {row['verdict']}." for row in against if not row["evidence"]]
    if refused := sheet["refused"]:
        said.append(f"{refused['answers']} questions did not fit the model and count as wrong ({refused['first']}).")
    return said


def _refused(done: Evaluation) -> dict[str, Any] | None:
    reasons = [told.refused for rows in done.answers.values() for told in rows.values() if told.refused]
    return {"answers": len(reasons), "first": reasons[0]} if reasons else None


def _plain(value: Any) -> Any:
    """Plain data for JSON: no NaN or infinity, no numpy, floats to six places."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float | np.floating):
        return round(float(value), 6) if math.isfinite(value) else None
    return value


# Writing


def stem(done: Evaluation) -> str:
    """Name of the sheet's files without ending: ``sheet``, ``sheet-blind``, ``sheet-blind-20``."""
    parts = ["sheet", *(() if done.conditions == CONDITIONS else done.conditions)]
    return "-".join([*parts, *([str(done.limit)] if done.limit is not None else [])])


def write(sheet: Mapping[str, Any], folder: Path, name: str = "sheet") -> dict[str, str]:
    """Write `<name>.json` and `<name>.html`, each whole or not at all; their paths. Raises `TuneError`."""
    texts = {"json": json.dumps(sheet, ensure_ascii=False, allow_nan=False, indent=1) + "\n", "html": page.html(sheet)}
    files = {}
    for kind, text in texts.items():
        target = folder / f"{name}.{kind}"
        _replace(target, text.encode("utf-8", errors="replace"))
        files[kind] = str(target)
    return files


def _replace(target: Path, data: bytes) -> None:
    """Write a file beside its target and move it there. Raises `TuneError` with nothing left behind."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)
        beside.replace(target)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise TuneError(f"{target} cannot be written ({error.strerror}); make room or choose another folder with --out") from error


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
