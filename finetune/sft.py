"""Supervised fine-tuning of any family of `families.py` on questions about several images; the result is a PEFT adapter.

    python -m finetune.sft --recipe finetune/recipes/sft_bundled.yaml --model ~/models/bundled --run runs/mine
    accelerate launch --config_file finetune/accelerate/multi_gpu.yaml -m finetune.sft --recipe ... --model ... --run ...
    python -m finetune.sft ... --stage features     # one stage: check, features or train

Everything that can be refused is refused before the weights are read. Image tower and connector stay as they are; what they make
of an image is kept, so that each image is looked at once. A run that was killed goes on with the same command and ends where an
undisturbed one would. In the run's folder: `sft.pt` (checkpoint), `sft.json` (curve), `run.json` (what was started) and
`adapter/` with its manifest, which the transformers engine loads.
"""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from errors import TuneError
from finetune import adapters, examples, families, features, files, keeping, loop, preflight, recipe, terminal
from finetune.adapters import Base
from finetune.dataset import IGNORED
from finetune.encoding import Words
from finetune.examples import Source
from finetune.families import Form
from finetune.features import Batch, Store
from finetune.hands import Accelerated, Shares, leave
from finetune.loop import Work
from finetune.preflight import Checked
from finetune.recipe import Lora, Schedule

STAGES = ("check", "features", "train")
CACHES = ("off", "memory", "disk")
NAME = "sft"


@dataclass(frozen=True)
class Adapter(Lora):
    """LoRA on linear layers of the language model, never on tower or connector: what every server of adapters can run."""

    dropout: float = 0.0
    dora: bool = False
    """Weight-decomposed LoRA (Liu 2024), as Mantis trains."""
    linears: tuple[str, ...] = families.LINEARS

    def __post_init__(self) -> None:
        """Refuse scales that cannot be merged exactly and layers that are not linear ones of a language model."""
        super().__post_init__()
        strange = set(self.linears) - set(families.LINEARS)
        if strange or not self.linears:
            raise TuneError(f"linears: {', '.join(sorted(strange)) or 'none'}; it may name {', '.join(families.LINEARS)}")
        if not 0 <= self.dropout < 1:
            raise TuneError(f"dropout {self.dropout} is a share of 1; correct the recipe")


@dataclass(frozen=True)
class Tuning:
    """Length and rates."""

    rate: float = 1e-4
    epochs: float = 1.0
    """Times each example is read."""
    steps: int = 0
    """Optimiser steps; 0 takes them from `epochs`."""
    batch: int = 8
    """Examples an optimiser step, all processes together."""
    micro: int = 1
    """Examples a process reads at once."""
    warmup: float = 0.03
    """Share of the steps over which the rate rises."""
    decay: float = 0.0
    clip: float = 1.0
    save_every: int = 50

    def __post_init__(self) -> None:
        """Refuse a batch that micro-batches cannot fill, and no length at all."""
        if self.micro < 1 or self.batch % self.micro:
            raise TuneError(f"a batch of {self.batch} cannot be read {self.micro} at a time; correct micro")
        if self.steps < 0 or self.epochs <= 0 or not 0 <= self.warmup < 1:
            raise TuneError(f"steps {self.steps}, epochs {self.epochs} and warm-up {self.warmup} give no training; correct the recipe")

    def schedule(self, items: int) -> Schedule:
        """Steps and rates for that many examples."""
        steps = self.steps or math.ceil(self.epochs * items / self.batch)
        return Schedule(
            steps, self.batch, self.rate, min(math.ceil(self.warmup * steps), steps - 1), self.decay, self.clip, self.save_every
        )


@dataclass(frozen=True)
class SftRecipe:
    """One fine-tuning run, whatever the model."""

    name: str
    seed: int
    data: tuple[Source, ...]
    family: str = ""
    """Family the model must be of; `` takes any that is known."""
    revision: str = ""
    """SHA-256 of the base's files, or the revision its folder names; `` takes any and records it."""
    tile: int = 0
    """Side images are given as, pixels; 0 takes the family's own."""
    max_tokens: int = 0
    """Longest example, prompt and answer; 0 takes the model's context."""
    unusable: str = "refuse"
    """`refuse`, or `leave out` examples with missing images, no answer or too many tokens."""
    cache: str = "disk"
    """Where what the tower makes of each image is kept: `disk`, `memory`, or `off`."""
    precision: str = "bf16"
    """`bf16`, or `fp32`."""
    keep: float = 0.0
    """Weight by which replayed examples are to be answered as before; 0 learns their answers like any other."""
    checkpointing: bool = False
    """Forget activations and compute them again: less memory, a third slower."""
    adapter: Adapter = field(default_factory=Adapter)
    tuning: Tuning = field(default_factory=Tuning)

    def __post_init__(self) -> None:
        """Refuse words we do not know and a run without data."""
        if not self.data:
            raise TuneError("data: the recipe names no source; add one")
        for name, given, allowed in (
            ("cache", self.cache, CACHES),
            ("precision", self.precision, ("bf16", "fp32")),
            ("unusable", self.unusable, ("refuse", "leave out")),
            ("family", self.family, ("", *(family.name for family in families.FAMILIES))),
        ):
            if given not in allowed:
                raise TuneError(f"{name}: {given!r} is unknown; choose one of {', '.join(word for word in allowed if word)}")
        if self.keep < 0:
            raise TuneError(f"keep {self.keep} is a weight and not below 0; correct the recipe")


def load(path: Path) -> SftRecipe:
    """Read a recipe. Raises `TuneError` for a missing file, broken YAML, an unknown name or a contradiction."""
    found: SftRecipe = recipe.parse(SftRecipe, files.read_yaml(path), path.name)
    return found


class Learner(nn.Module):
    """A model of any family with its adapter; called with a `Batch` it gives that batch's share of the step's loss."""

    def __init__(self, net: Any, form: Form, keep: float = 0.0) -> None:
        super().__init__()
        self.net, self.form, self.keep = net, form, keep

    @property
    def model(self) -> Any:
        """The class under the adapter."""
        return self.net.get_base_model()

    @property
    def sight(self) -> list[nn.Module]:
        """Tower and connector."""
        language = self.form.family.language.split(".")[-1]
        return [part for name, part in self.model.model.named_children() if name != language]

    def states(self, batch: Batch) -> Tensor:
        """(answer tokens, width) of the language model where a label is, row by row."""
        known = batch.features
        if known is None:
            assert batch.tiles is not None
            known = dict(zip(batch.unique, features.seen(self.model, self.form, batch.tiles), strict=True))
        family = self.form.family
        inputs: dict[str, Any] = {"input_ids": batch.ids, "attention_mask": batch.mask}
        if family.types:
            inputs[family.types] = batch.images.long()
        if family.feed == "patches":
            inputs["image_grid_thw"] = features.grids(len(batch.keys), self.form).to(batch.ids.device)
        inputs["mm_encoder_outputs"] = features.given([known[key] for key in batch.keys], self.form)
        hidden = self.model.model(**inputs, use_cache=False).last_hidden_state
        picked: Tensor = hidden[batch.labels != IGNORED]
        return picked

    def logits(self, batch: Batch) -> Tensor:
        """(answer tokens, vocabulary); computed there and nowhere else."""
        head = self.model.get_output_embeddings()
        logits: Tensor = head(self.states(batch).to(head.weight.dtype))
        return logits

    def forward(self, batch: Batch) -> Tensor:
        """Summed cross-entropy of the answers' tokens, of replayed ones how far they are from before, times the batch's share."""
        labels, logits = batch.labels[batch.labels != IGNORED], self.logits(batch).float()
        if batch.replayed is None or batch.before is None or batch.places is None:
            return functional.cross_entropy(logits, labels, reduction="sum") * batch.share
        learned = functional.cross_entropy(logits[~batch.replayed], labels[~batch.replayed], reduction="sum")
        return (learned + self.keep * keeping.apart(logits[batch.replayed], batch.before, batch.places)) * batch.share


@dataclass(frozen=True)
class Run:
    """A recipe at work on a model, in a folder."""

    recipe: SftRecipe
    folder: Path
    model: Path
    data_root: Path
    workers: int = 0
    halt: Callable[[], bool] = loop.never
    """Asked after each step whether to stop there, with a checkpoint."""
    start: Path | None = None
    """Adapter whose numbers it starts from, of the recipe's shape and on the same base; None starts from the base alone."""


def learner(run: Run, form: Form) -> Learner:
    """The base with its adapter: fresh and seeded, or as `run.start` left it; everything else frozen.

    Raises `TuneError` when weights or adapter do not fit.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    dtype = torch.bfloat16 if run.recipe.precision == "bf16" else torch.float32
    try:
        net = AutoModelForImageTextToText.from_pretrained(form.folder, dtype=dtype, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise TuneError(f"{form.folder.name}: its weights cannot be read ({cause}); copy the model again") from error
    net.requires_grad_(False)
    given = run.recipe.adapter
    config = LoraConfig(
        r=given.rank,
        lora_alpha=given.alpha,
        lora_dropout=given.dropout,
        use_dora=given.dora,
        target_modules=form.targets,
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(run.recipe.seed)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # peft asks transformers by a name of old
        tuned = get_peft_model(net, config)
    if run.start is not None:
        adapters.bring(tuned, run.start)
    if run.recipe.checkpointing:
        tuned.enable_input_require_grads()
        tuned.gradient_checkpointing_enable({"use_reentrant": False})
    return Learner(tuned.train(), form, run.recipe.keep)


def tune(run: Run, stages: Sequence[str] = STAGES, say: Callable[[str], None] = print) -> Path | None:
    """Run `stages`; returns the adapter's folder once training is through. Raises `TuneError`, before any work where it can."""
    base = adapters.base_of(run.model)
    form = families.form(base.folder, run.recipe.tile, run.recipe.adapter.linears)
    preflight.refuse_other_base(run.recipe.family, run.recipe.revision, form, base)
    found = [examples.collect(source, run.data_root, run.recipe.seed + number * 1_000_000) for number, source in enumerate(run.recipe.data)]
    words = Words(form)
    checked = preflight.check(found, form, words, run.recipe.max_tokens, run.recipe.unusable == "leave out")
    hands = Accelerated(run.recipe.precision == "bf16", run.recipe.tuning.batch, run.recipe.tuning.micro)
    if hands.main:
        say(f"{form.family.name}, {checked.text}")
    started = adapters.started(run.recipe, base, form, found, checked, run.start)
    adapters.keep_or_refuse(run.folder, started, write=hands.main)
    if set(stages) <= {"check"}:
        return None
    torch.manual_seed(run.recipe.seed)
    model = learner(run, form)
    preflight.refuse_no_targets(model.net, form)
    kept = stored(run, form, base)
    if kept is not None:
        with hands.lent(model.sight):
            hands.in_turn(lambda: features.fill(kept, model.model, form, checked.pictures, say), shared=run.recipe.cache == "disk")
    if "train" not in stages:
        return None
    return trained(run, model, checked, words, kept, hands, started, say)


def stored(run: Run, form: Form, base: Base) -> Store | None:
    """The store the recipe asks for; on disk it is named by base, tile and precision, so that no other model's are taken."""
    if run.recipe.cache == "off":
        return None
    name = f"{base.sha256[:16]}-{form.tile}-{run.recipe.precision}"
    return Store(run.folder / "features" / name if run.recipe.cache == "disk" else None)


def trained(
    run: Run,
    model: Learner,
    checked: Checked,
    words: Words,
    kept: Store | None,
    hands: Accelerated,
    started: dict[str, Any],
    say: Callable[[str], None],
) -> Path:
    """Train to the end of the schedule and write the adapter."""
    tuning = run.recipe.tuning
    schedule = tuning.schedule(len(checked.examples))
    optimiser = torch.optim.AdamW(loop.trained(model).values(), lr=tuning.rate, weight_decay=tuning.decay, betas=(0.9, 0.98))
    for group in optimiser.param_groups:
        group["peak"] = tuning.rate
    wrapped, optimisers = hands.prepare(model, optimiser)

    def losses(batch: Any, _step: int) -> loop.Losses:
        return wrapped(batch), {}

    said = keeping.said(model, checked.examples, words, kept, hands, say) if run.recipe.keep else None
    data = Shares(checked.examples, words, model.form, kept, run.recipe.seed, tuning.batch, tuning.micro, hands.rank, hands.world, said)
    work = Work(NAME, model, optimisers, data, losses, schedule, hands=hands, halt=run.halt)
    loop.fit(work, run.folder, run.workers, say)
    whole = hands.state(wrapped)
    state = None if whole is None else {name.removeprefix("net."): value for name, value in whole.items()}
    return hands.alone(
        lambda: adapters.write(run.folder / "adapter", hands.bare(wrapped).net, started, work.curve, state, model.form.folder)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m finetune.sft", description="Fine-tune a multi-image model on questions and answers.")
    parser.add_argument("--recipe", type=Path, required=True, help="YAML recipe, such as finetune/recipes/sft_bundled.yaml")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model: a transformers folder, or one with manifest.json")
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="folder that the recipe's paths are below")
    parser.add_argument("--run", type=Path, required=True, help="folder of checkpoint, curve and adapter")
    parser.add_argument("--stage", choices=STAGES, action="append", help="only this stage; may be repeated; by default all")
    parser.add_argument("--workers", type=int, default=0, help="processes that read images ahead of training")
    given = parser.parse_args(arguments)

    def work() -> str:
        try:
            tune(Run(load(given.recipe), given.run, given.model, given.data_root, given.workers), given.stage or STAGES)
        finally:
            leave()
        return ""

    return terminal.run(work)


if __name__ == "__main__":
    sys.exit(main())
