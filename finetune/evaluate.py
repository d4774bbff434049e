"""Ask a model every question of a benchmark file, with its images, without them, with another's, and in the other order.

Closed questions are read twice: by likelihood (the shares of the option letters at the answer's first token, averaged over all
cyclic orders of the options) and by generation (greedy words under the strict rule of `protocol.accept`). Open ones are
generated. How one is asked is in `finetune.answering`; what the answers mean is another matter (`finetune.sheet`); here they are
chosen, handed out to one engine or several of the same model, and kept.

    python app.py evaluate --benchmark Med_MIM_benchmark_Held_out_RAD.json --image-root vqa_rad/images
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from errors import QuestionError
from finetune import crew, pictures
from finetune.answering import CONDITIONS, LETTER_TOKENS, OPEN_TOKENS, Condition, Job, Told, answered, recalled
from finetune.crew import Crew
from finetune.journal import Journal
from finetune.medmim import Benchmark, Item
from inference.engine import Engine, ModelCard

__all__ = [
    "CONDITIONS",
    "LETTER_TOKENS",
    "OPEN_TOKENS",
    "PROTOCOL",
    "SEED",
    "Condition",
    "Evaluation",
    "Told",
    "evaluate",
    "jobs",
    "selected",
]

PROTOCOL = "1"
"""Changed when what is asked, or how it is read, changes: answers of another protocol are not mixed with these."""
SEED = 20250124
ORDERED = ("temporal", "comparison")
"""Subsets whose answers should depend on the order of the images."""

TOGETHER = 16
"""Jobs that one of several engines takes at a time."""
Progress = Callable[[int, int], None]


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
    engine: Engine | Crew,
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
    some = crew.of(engine)
    chosen = tuple(condition for condition in CONDITIONS if condition in conditions)
    asked, left_out = selected(benchmark, chosen, limit)
    work = jobs(asked, chosen)
    started = time.monotonic()
    answers: dict[Condition, dict[str, Told]] = {condition: {} for condition in chosen}
    with Journal(folder / f"answers-{folder_name(benchmark, some.card)}.jsonl") as journal:
        known = [(job, told) for job in work if (told := recalled(journal.rows.get(job.address), job)) is not None]
        resumed = len(known)
        there = {job.address for job, _ in known}
        fresh = some.each([job for job in work if job.address not in there], answered, TOGETHER)
        for number, (job, told) in enumerate(chain(known, fresh), 1):
            if number > resumed and not told.broken:
                journal.add(job.address, {"id": job.item.id, "condition": job.condition, **asdict(told)})
            answers[job.condition][job.item.key] = told
            if on_progress is not None:
                on_progress(number, len(work))
    broken = [LeftOut(item, told.broken) for item in asked if (told := _broken(item, answers)) is not None]
    whole = tuple(item for item in asked if item.key not in {one.item.key for one in broken})
    kept = {condition: {item.key: rows[item.key] for item in whole if item.key in rows} for condition, rows in answers.items()}
    seconds = time.monotonic() - started
    return Evaluation(benchmark, some.card, chosen, whole, (*left_out, *broken), kept, limit, seconds, resumed)


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
