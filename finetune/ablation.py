"""What each ability's questions are worth: the joint stage trained without each of them in turn, every ability scored.

    python -m finetune.ablation --recipe finetune/recipes/bundled.yaml --run runs/bundled --data-root ../data --steps 300 --out docs/model

All variants start from the same finished earlier stages of `--run`, take the same number of steps over the same pairs with the same
seed, and answer the same held-out questions by likelihood: the true answer among answers that are true of other pairs, or
among the lettered options. Each variant trains in a folder of its own below the run and goes on after a kill. Writes
`ablation.json` and `ablation.md`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from errors import TuneError
from finetune import dataset, files, language, recipe, terminal, train, uncertainty
from finetune.dataset import ABILITIES, IGNORED
from finetune.heldout import FIRST
from finetune.layout import END
from finetune.recipe import STAGES
from finetune.synthesis import questions
from finetune.synthesis.pairs import Pair
from inference.engine import Ability

Say = Callable[[str], None]
ALL = "all abilities"
EARLIER = STAGES[:-1]
MOST = 4
"""Answers offered of each question, the true one among them."""
ASKED = 6
"""Questions about each pair, all of the same images."""
SHORT = frozenset(dataset.CLOSED) - {"progressing"}
"""Kinds whose answers are of a few words; their whole probability is compared, that of longer answers by the mean of a token."""
SCORED = SHORT | {"describe", "both", "explains", "diagnosis"}


@dataclass(frozen=True)
class Question:
    """One question with the answers offered; the first is true."""

    pair: int
    patient: str
    item: questions.Item
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """How often one variant is right about one ability, 95 % intervals over patients, and the difference from training with all."""

    variant: str
    ability: Ability
    trained: bool
    value: float
    low: float
    high: float
    chance: float
    difference: float
    difference_low: float
    difference_high: float
    questions: int
    patients: int


def variants() -> dict[str, tuple[Ability, ...]]:
    """Name -> abilities whose questions are trained."""
    return {ALL: ABILITIES} | {f"without {name}": tuple(other for other in ABILITIES if other != name) for name in ABILITIES}


# Training


def variant(run: train.Run, name: str, abilities: Sequence[Ability], steps: int) -> train.Run:
    """The run of one variant: a folder of its own with the earlier stages' checkpoints, the joint stage shortened and restricted.

    Raises `TuneError` when an earlier stage is not finished.
    """
    for stage in EARLIER:
        train.before(stage, run)
    joint = run.recipe.joint
    schedule = replace(joint.schedule, steps=steps, warmup=min(joint.schedule.warmup, max(0, steps // 5)))
    changed = replace(run.recipe, joint=replace(joint, abilities=tuple(abilities), schedule=schedule))
    folder = run.folder / "ablation" / f"{name.replace(' ', '-')}-{steps}"
    folder.mkdir(parents=True, exist_ok=True)
    for stage in EARLIER:
        _shared(run.folder / f"{stage}.pt", folder / f"{stage}.pt")
    return replace(run, recipe=changed, folder=folder)


def _shared(source: Path, target: Path) -> None:
    """One checkpoint for all variants: a link, or a copy where links are not to be had."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


# Questions


def options(question: str) -> tuple[str, ...]:
    """The lettered lines of a question, as they are answered: ``A: worse``."""
    return tuple(re.findall(r"^[A-H]: .+$", question, flags=re.MULTILINE))


def ask(pairs: Sequence[Pair], seed: int = 0) -> list[Question]:
    """Held-out questions of every ability with their offered answers; one that would have a single answer is left out."""
    found: list[tuple[int, questions.Item]] = []
    for number, pair in enumerate(pairs):
        drawn = np.random.default_rng([seed, pair.seed, 0xAB1])
        for ability in ABILITIES:
            found += [(number, item) for item in dataset.choose(pair, ASKED, drawn, (ability,)) if item.kind in SCORED]
    bank: dict[tuple[str, str], dict[str, None]] = {}
    for _, item in found:
        bank.setdefault((item.ability, item.kind), {})[item.answer] = None
    asked = []
    for index, (number, item) in enumerate(found):
        choices = _choices(item, tuple(bank[item.ability, item.kind]), np.random.default_rng([seed, index, 0xAB2]))
        if len(choices) > 1:
            asked.append(Question(number, pairs[number].patient, item, choices))
    return asked


def _choices(item: questions.Item, others: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
    """The true answer first, then at most `MOST` - 1 others."""
    offered = options(item.question) if item.kind == "letters" else others
    wrong = [answer for answer in offered if answer != item.answer]
    return (item.answer, *(wrong[int(index)] for index in rng.permutation(len(wrong))[: MOST - 1]))


# Scoring


@torch.no_grad()
def answered(model: language.Reader, known: train.Words, pair: Pair, asked: Sequence[Question]) -> list[bool]:
    """Whether the true answer is the likeliest, for questions about the same images of one pair, read in one row."""
    shape = known.shape.vision
    items = [replace(question.item, answer=choice) for question in asked for choice in question.choices]
    pack = language.pack([dataset.row(pair, items, known.vocabulary, shape.tokens, shape.tile)])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = model.answers(pack)
    words = model.text.embed_tokens.weight[: known.shape.base_tokens]
    labels = pack.labels[pack.labels != IGNORED]
    logits = states.float() @ words.float().T  # in bfloat16 answers of one token would tie
    logprobs = torch.log_softmax(logits, -1).gather(1, labels[:, None])[:, 0]
    ends = torch.nonzero(labels == known.vocabulary.control(END))[:, 0]
    lengths = torch.diff(ends, prepend=torch.tensor([-1])).tolist()
    parts = iter(torch.split(logprobs, lengths))
    right = []
    for question in asked:
        rows = [next(parts) for _ in question.choices]
        worth = [float(row.sum() if question.item.kind in SHORT else row.mean()) for row in rows]
        right.append(worth.index(max(worth)) == 0)
    return right


def scores(model: language.Reader, known: train.Words, pairs: Sequence[Pair], asked: Sequence[Question]) -> list[bool]:
    """Whether each question is answered rightly, in order; the questions of one view of a pair are read together."""
    model.eval()
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, question in enumerate(asked):
        item = question.item
        groups.setdefault((question.pair, item.images, item.roles, item.whens), []).append(index)
    right = [False] * len(asked)
    for indices in groups.values():
        found = answered(model, known, pairs[asked[indices[0]].pair], [asked[index] for index in indices])
        for index, good in zip(indices, found, strict=True):
            right[index] = good
    return right


def table(asked: Sequence[Question], right: Mapping[str, Sequence[bool]]) -> list[Score]:
    """One score for each variant and ability; `right` by variant, in the order of `asked`."""
    made = []
    for name, trained in variants().items():
        for ability in ABILITIES:
            chosen = [index for index, question in enumerate(asked) if question.item.ability == ability]
            if not chosen:
                continue
            own, base = ([float(right[which][index]) for index in chosen] for which in (name, ALL))
            patients = [asked[index].patient for index in chosen]
            less = uncertainty.paired(own, base, patients)
            low, high = uncertainty.bootstrap(own, patients)
            chance = float(np.mean([1 / len(asked[index].choices) for index in chosen]))
            value, known = float(np.mean(own)), ability in trained
            made.append(Score(name, ability, known, value, low, high, chance, *less, len(chosen), len(set(patients))))
    return made


def markdown(rows: Sequence[Score], steps: int) -> str:
    """The table for people: variants down, abilities across, the difference from training with all below each figure."""
    by = {(row.variant, row.ability): row for row in rows}
    shown = [ability for ability in ABILITIES if (ALL, ability) in by]
    lines = [
        "# Ablation of abilities",
        "",
        f"The joint stage of {steps} steps with the questions of all abilities, and without those of each in turn; earlier stages, pairs "
        "and seed are the same. Figures: share of held-out questions answered rightly by likelihood [95 % interval over patients]; in "
        "italics the difference from all abilities on the same questions, bold where its interval leaves out nought.",
        "",
        "| trained | " + " | ".join(shown) + " |",
        "|---|" + "---|" * len(shown),
    ]
    for name in variants():
        lines.append("| " + " | ".join([name, *(_cell(by[name, ability]) for ability in shown)]) + " |")
    chances = " | ".join(f"{by[ALL, ability].chance:.2f}" for ability in shown)
    counts = " | ".join(f"{by[ALL, ability].questions} ({by[ALL, ability].patients})" for ability in shown)
    return "\n".join([*lines, f"| chance | {chances} |", f"| questions (patients) | {counts} |"]) + "\n"


def _cell(row: Score) -> str:
    figure = f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]"
    if row.variant == ALL:
        return figure
    mark = "**" if row.difference_low > 0 or row.difference_high < 0 else ""
    return f"{figure}<br>*{mark}{row.difference:+.2f} [{row.difference_low:+.2f}, {row.difference_high:+.2f}]{mark}*"


def ablate(run: train.Run, steps: int, count: int, out: Path, say: Say) -> list[Score]:
    """Train and score every variant, and write both files. Raises `TuneError` before any work when something is missing."""
    if steps < 1 or count < 2:
        raise TuneError(f"{steps} steps and {count} pairs cannot be compared; give at least 1 step and 2 pairs")
    runs = {name: variant(run, name, abilities, steps) for name, abilities in variants().items()}
    if run.threads:
        torch.set_num_threads(run.threads)
    pairs = [run.dev.pair(FIRST + number, run.recipe.vision.tile, 1.0) for number in range(count)]
    asked = ask(pairs, run.recipe.seed)
    say(f"{len(asked)} held-out questions of {count} pairs, {len(runs)} variants of {steps} steps")
    right: dict[str, list[bool]] = {}
    for name, own in runs.items():
        say(f"training with {name}" if name == ALL else f"training {name}")
        train.read(own, STAGES[-1])
        right[name] = scores(*train.reader(own, STAGES), pairs, asked)
        say(f"{name}: {np.mean(right[name]):.3f} of all questions right")
    rows = table(asked, right)
    made = {"recipe": run.recipe.name, "steps": steps, "pairs": count, "questions": len(asked), "scores": [asdict(row) for row in rows]}
    files.write_json(out / "ablation.json", made)
    files.write_text(out / "ablation.md", markdown(rows, steps))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m finetune.ablation", description="Train without each ability in turn and score all of them."
    )
    parser.add_argument("--recipe", type=Path, required=True, help="YAML recipe of the run")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run whose tower and connector stages are finished")
    parser.add_argument("--data-root", type=Path, help="folder of the data folders that the recipe names")
    parser.add_argument("--steps", type=int, default=300, help="steps of the joint stage, the same for every variant")
    parser.add_argument("--pairs", type=int, default=60, help="held-out pairs that are asked about")
    parser.add_argument("--workers", type=int, default=1, help="processes that make pairs ahead of training")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of the training step")
    parser.add_argument("--out", type=Path, default=Path("docs/model"), help="folder for ablation.json and ablation.md")
    given = parser.parse_args(arguments)

    def work() -> str:
        run = train.Run(recipe.load(given.recipe), given.run, given.data_root, given.workers, given.threads)
        return markdown(ablate(run, given.steps, given.pairs, given.out, terminal.say), given.steps)

    return terminal.run(work)


if __name__ == "__main__":
    sys.exit(main())
