"""Ask a model every question of a benchmark file, with its images, without them, with another's, and in the other order.

Closed questions are read twice: by likelihood (the shares of the option letters at the answer's first token, averaged over all
cyclic orders of the options) and by generation (greedy words under the strict rule of `protocol.accept`). Open ones are
generated. What the answers mean is another matter (`finetune.sheet`); here they are only asked for and kept.

    python app.py evaluate --benchmark Med_MIM_benchmark_Held_out_RAD.json --image-root vqa_rad/images
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Literal

import numpy as np

from errors import ContextFull, EngineDied, QuestionError, StudyError
from finetune import medmim, pictures
from finetune.journal import Journal
from finetune.medmim import Benchmark, Item
from finetune.pictures import Shape
from inference.engine import Engine, Image, ModelCard, Options, Request

Condition = Literal["real", "blind", "shuffled", "exchanged"]
CONDITIONS: tuple[Condition, ...] = ("real", "blind", "shuffled", "exchanged")
PROTOCOL = "1"
"""Changed when what is asked, or how it is read, changes: answers of another protocol are not mixed with these."""
SEED = 20250124
LETTER_TOKENS = 16
OPEN_TOKENS = 64
GENERATED: tuple[Condition, ...] = ("real", "blind")
"""Conditions in which closed questions are also answered in words."""
ORDERED = ("temporal", "comparison")
"""Subsets whose answers should depend on the order of the images."""
DECIDED = re.compile(r"\W*[A-Za-z]\s*[.:;,)\]*]")
"""Beginning of an answer behind which no word can change the letter that the strict rule reads."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """One item under one condition: the images shown (None: grey of that shape), and the address of the answer in the journal."""

    item: Item
    condition: Condition
    paths: tuple[Path, ...]
    shapes: tuple[Shape, ...]
    address: str


@dataclass(frozen=True)
class Told:
    """What a model said to one item under one condition.

    `shares` is for each cyclic order of the options the probability of each option, in the file's order of options (empty for
    an open question); `text` the greedy words, None where they were not asked for; `refused` why the model could not read it,
    which counts as a wrong answer; `broken` why its images could not be shown, which leaves the item out. `seconds` is the time
    it took and `encoded` the images that had to be encoded for it.
    """

    shares: tuple[tuple[float, ...], ...] = ()
    text: str | None = None
    refused: str = ""
    broken: str = ""
    seconds: float = 0.0
    encoded: int = 0

    @property
    def mean(self) -> tuple[float, ...]:
        """Probability of each option, averaged over the orders; empty without any."""
        return tuple(sum(column) / len(self.shares) for column in zip(*self.shares, strict=True))


@dataclass(frozen=True)
class LeftOut:
    """An item that was not asked, and why, in words."""

    item: Item
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """Every answer of a run: condition -> item key -> `Told`, and what was not asked. `asked` are the items in file order."""

    benchmark: Benchmark
    card: ModelCard
    conditions: tuple[Condition, ...]
    asked: tuple[Item, ...]
    left_out: tuple[LeftOut, ...]
    answers: Mapping[Condition, Mapping[str, Told]]
    limit: int | None = None
    seconds: float = 0.0
    resumed: int = 0


def folder_name(benchmark: Benchmark, card: ModelCard) -> str:
    """Name of the folder that keeps a model's answers to a file: the same file, model and protocol give the same name."""
    parts = (PROTOCOL, benchmark.sha256, card.name, card.engine, card.revision, card.sha256)
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def evaluate(
    engine: Engine,
    benchmark: Benchmark,
    folder: Path,
    conditions: Sequence[Condition] = CONDITIONS,
    limit: int | None = None,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Ask the items of a benchmark under each condition; answers are kept in `folder` and not asked for again.

    Items whose images are missing are left out, except that a run of `blind` alone needs no image. `limit` takes that many items
    spread evenly over the file. Raises `QuestionError` when nothing can be asked, `TuneError`, `EngineError`.
    """
    chosen = tuple(condition for condition in CONDITIONS if condition in conditions)
    asked, left_out = selected(benchmark, chosen, limit)
    work = jobs(asked, chosen)
    started, resumed = time.monotonic(), 0
    answers: dict[Condition, dict[str, Told]] = {condition: {} for condition in chosen}
    with Journal(folder / f"answers-{folder_name(benchmark, engine.card)}.jsonl") as journal:
        for number, job in enumerate(work, 1):
            told = recalled(journal.rows.get(job.address), job)
            resumed += told is not None
            if told is None:
                told = answered(engine, job)
                if not told.broken:
                    journal.add(job.address, {"id": job.item.id, "condition": job.condition, **asdict(told)})
            answers[job.condition][job.item.key] = told
            if on_progress is not None:
                on_progress(number, len(work))
    broken = [LeftOut(item, told.broken) for item in asked if (told := _broken(item, answers)) is not None]
    whole = tuple(item for item in asked if item.key not in {one.item.key for one in broken})
    kept = {condition: {item.key: rows[item.key] for item in whole if item.key in rows} for condition, rows in answers.items()}
    seconds = time.monotonic() - started
    return Evaluation(benchmark, engine.card, chosen, whole, (*left_out, *broken), kept, limit, seconds, resumed)


def _broken(item: Item, answers: Mapping[Condition, Mapping[str, Told]]) -> Told | None:
    """The answer that tells of a broken image of the item, if there is one."""
    return next((rows[item.key] for rows in answers.values() if item.key in rows and rows[item.key].broken), None)


# What is asked


def selected(benchmark: Benchmark, conditions: Sequence[Condition], limit: int | None) -> tuple[tuple[Item, ...], tuple[LeftOut, ...]]:
    """The items to ask, in file order, and those left out. Raises `QuestionError` when none is left."""
    left_out = () if tuple(conditions) == ("blind",) else tuple(_unreadable(benchmark))
    gone = {one.item.key for one in left_out}
    able = [item for item in benchmark.items if item.key not in gone]
    if not able:
        raise QuestionError(
            f"none of the {len(benchmark.items)} items has its images ({left_out[0].reason}); "
            "name their folder with --image-root, or ask without images with --blind"
        )
    count = len(able) if limit is None else min(limit, len(able))
    return tuple(able[place * len(able) // count] for place in range(count)), left_out


def _unreadable(benchmark: Benchmark) -> list[LeftOut]:
    """Items of which an image is missing or cannot be opened."""
    out = []
    for item in benchmark.items:
        for name, path in zip(item.images, item.paths, strict=True):
            reason = f"{name} is missing" if path is None else pictures.trouble(path)
            if reason:
                out.append(LeftOut(item, reason))
                break
    return out


def jobs(items: Sequence[Item], conditions: Sequence[Condition]) -> list[Job]:
    """Every item under every condition that fits it, in an order that encodes each image as seldom as can be.

    All that is asked about one tuple of images stands together, whosever question it is, so that an engine reads the images once;
    the grey ones stand together by shape.
    """
    donors = strangers(items) if "shuffled" in conditions else {}
    found = [job for item in items for condition in conditions if (job := _job(item, condition, donors)) is not None]
    return sorted(found, key=_together)


def _together(job: Job) -> tuple[object, ...]:
    paths = tuple(str(path) for path in (job.paths[::-1] if job.condition == "exchanged" else job.paths))
    return job.condition == "blind", job.shapes, paths, CONDITIONS.index(job.condition), job.item.key


def _job(item: Item, condition: Condition, donors: Mapping[str, Item]) -> Job | None:
    """The item under the condition, None when it does not apply to it."""
    paths = tuple(path for path in item.paths if path is not None)
    if condition == "blind":
        shapes = tuple(pictures.proportions(path) for path in item.paths)
        return Job(item, condition, (), shapes, _address(item, condition, [f"{height}x{width}" for height, width in shapes]))
    if condition == "exchanged":
        if not item.closed or item.file.removeprefix("train_") not in ORDERED or len(paths) < 2 or len(set(paths)) == 1:
            return None
        paths = paths[::-1]
    if condition == "shuffled":
        if item.key not in donors:
            return None
        paths = tuple(path for path in donors[item.key].paths if path is not None)
    return Job(item, condition, paths, (), _address(item, condition, [pictures.mark(path) for path in paths]))


def _address(item: Item, condition: Condition, shown: Sequence[str]) -> str:
    """Name of an answer: the item, the condition, and the files that were shown; a file that changed is asked about again."""
    return hashlib.sha256(json.dumps([PROTOCOL, item.key, condition, *shown]).encode()).hexdigest()[:32]


def strangers(items: Sequence[Item], seed: int = SEED) -> dict[str, Item]:
    """For each item another patient's, with as many images, of the same kind, and none in common; a seeded permutation.

    Kind is the source's first word (`LUMIERE`, `EMBED`, `MS`, `VQA`), so that a wrong image is not an absurd one. An item for
    which the permutation finds nobody is left out.
    """
    random = np.random.default_rng(seed)
    groups: dict[tuple[str, int], list[Item]] = {}
    for item in items:
        groups.setdefault((item.source.split("_")[0], len(item.images)), []).append(item)
    out: dict[str, Item] = {}
    for group in groups.values():
        given = [group[place] for place in random.permutation(len(group))]
        _settle(group, given)
        out.update({item.key: donor for item, donor in zip(group, given, strict=True) if _strange(item, donor)})
    return out


def _settle(group: Sequence[Item], given: list[Item]) -> None:
    """Exchange donors in place until no item has one it knows, as far as that can be done."""
    for place, item in enumerate(group):
        if _strange(item, given[place]):
            continue
        for other in range(len(group)):
            if _strange(item, given[other]) and _strange(group[other], given[place]):
                given[place], given[other] = given[other], given[place]
                break


def _strange(item: Item, donor: Item) -> bool:
    return item.patient != donor.patient and item.cluster != donor.cluster and not set(item.images) & set(donor.images)


# Asking


def answered(engine: Engine, job: Job) -> Told:
    """Ask one job; an engine that died is asked once more. A question that does not fit the model is refused, not raised."""
    try:
        return _asked(engine, job)
    except EngineDied:
        return _asked(engine, job)


def _asked(engine: Engine, job: Job) -> Told:
    started = time.monotonic()
    try:
        images = shown(job)
    except StudyError as error:
        return Told(broken=str(error))
    if len(images) > engine.card.max_images:
        return Told(refused=f"{len(images)} images, and the model reads at most {engine.card.max_images}")
    meter = _Meter(engine)
    try:
        shares = tuple(_letters(meter, job.item, order, images) for order in _orders(job.item))
        text = _words(meter, job.item, images) if job.condition in GENERATED or not job.item.closed else None
    except ContextFull as error:
        return Told(refused=str(error), seconds=time.monotonic() - started)
    return Told(shares[1:] + shares[:1], text, "", "", round(time.monotonic() - started, 4), meter.encoded)


def shown(job: Job) -> tuple[Image, ...]:
    """The images of a job as the engine is given them."""
    if job.condition == "blind":
        return tuple(pictures.grey(shape) for shape in job.shapes)
    return tuple(pictures.picture(path) for path in job.paths)


class _Meter:
    """An engine with the count of images it encoded."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.encoded = 0

    def count(self) -> None:
        self.encoded += self.engine.timings.images_encoded


def _orders(item: Item) -> Sequence[Sequence[int]]:
    """The cyclic orders with the file's own last: the generated answer goes on from its prompt."""
    turns = medmim.rotations(item) if item.closed else ()
    return (*turns[1:], *turns[:1])


def _request(item: Item, images: tuple[Image, ...], order: Sequence[int] | None = None) -> Request:
    return Request(images, medmim.question(item, order), item.ability)


def _letters(meter: _Meter, item: Item, order: Sequence[int], images: tuple[Image, ...]) -> tuple[float, ...]:
    """Shares of the options, in the file's order, from the letters' likelihoods at the answer's first token."""
    letters = [letter for letter, _ in item.options]
    logprobs = meter.engine.score(_request(item, images, order), letters, whole=False).logprobs
    meter.count()
    largest = max(logprobs)
    weights = [math.exp(logprob - largest) for logprob in logprobs]
    by_place = dict(zip(order, weights, strict=True))
    return tuple(by_place[place] / sum(weights) for place in range(len(letters)))


def _words(meter: _Meter, item: Item, images: tuple[Image, ...]) -> str:
    """The greedy answer, of a closed question no further than its letter."""
    options = Options(max_tokens=LETTER_TOKENS if item.closed else OPEN_TOKENS)
    text = ""
    tokens = meter.engine.stream(replace(_request(item, images), options=options), Event())
    for token in tokens:
        text += token.text
        if item.closed and DECIDED.match(text):
            break
    if isinstance(tokens, Generator):
        tokens.close()  # lets the engine stop what it would still write
    meter.count()
    return text.strip()


def recalled(row: Mapping[str, Any] | None, job: Job) -> Told | None:
    """An answer from its row in the journal; None when there is none, or none that fits the item."""
    try:
        shares = tuple(tuple(float(share) for share in order) for order in row["shares"])  # type: ignore[index]
        told = Told(shares, row["text"], str(row["refused"]), "", float(row["seconds"]), int(row["encoded"]))  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return None
    count = len(job.item.options) if job.item.closed else 0
    fits = bool(told.refused) or (len(shares) == count and all(len(order) == count for order in shares))
    return told if fits and (told.text is None or isinstance(told.text, str)) else None
