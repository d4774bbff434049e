"""Learning: samples a second of a LoRA run beside trl's SFTTrainer on the same model, tokens, batches, rates and precision.

trl is given the very tokens and pixels in the very order; it looks at every image in every step, as it comes. Its losses and ours
must be the same, or the two would not be doing the same work.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from finetune import adapters, examples, families, features, loop, preference, recipe, sft
from finetune.dataset import IGNORED
from finetune.encoding import Words
from finetune.examples import Example
from finetune.families import Form
from finetune.hands import Shares
from inference.hardware import physical_cores
from inference.seeing import scaled
from tests.bench.figures import Figure

STEPS, BATCH = 30, 4
RECIPE: dict[str, Any] = {
    "name": "bench",
    "seed": 3,
    "data": [{"kind": "generator", "pairs": 15, "questions": 4, "phantom": 1.0}],
    "cache": "off",
    "precision": "fp32",
    "adapter": {"rank": 16, "alpha": 32},
    "tuning": {"rate": 0.0003, "steps": STEPS, "batch": BATCH, "micro": BATCH, "warmup": 0.0, "save_every": 1000},
}


def learning(models: Path) -> list[Figure]:
    """Seconds a sample, ours over trl's: without and with kept image features."""
    torch.set_num_threads(physical_cores())
    with tempfile.TemporaryDirectory() as scratch:
        made: sft.SftRecipe = recipe.parse(sft.SftRecipe, RECIPE, "bench")
        run = sft.Run(made, Path(scratch), models / "bundled", Path(scratch))
        theirs, losses = _trl(run)
        runs = {cache: _ours(replace(run, recipe=replace(made, cache=cache), folder=Path(scratch) / cache)) for cache in ("off", "memory")}
    apart = max(abs(one - two) for seconds, curve in runs.values() for one, two in zip(curve, losses, strict=True))
    how = f"{STEPS} steps of {BATCH} on the bundled model, float32, against trl's SFTTrainer in the same process"
    return [
        Figure("time of a training sample over trl's", runs["off"][0] / theirs, "x", 1.0, how),
        Figure("the same with kept image features", runs["memory"][0] / theirs, "x", 0.5, how),
        Figure("largest difference of the losses", apart, "", 1e-3, "means over ten steps, all three runs"),
    ]


def _ours(run: sft.Run) -> tuple[float, list[float]]:
    sft.tune(run, say=lambda _line: None)
    state = loop.checkpoint(run.folder, sft.NAME)
    assert state is not None
    return float(state["seconds"]), [row["loss"] for row in state["curve"]]


def _trl(run: sft.Run) -> tuple[float, list[float]]:
    """Seconds and losses of trl's trainer on the same batches."""
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    base = adapters.base_of(run.model)
    form = families.form(base.folder)
    found = examples.collect(run.recipe.data[0], run.data_root, run.recipe.seed).examples
    words, order = Words(form), Shares(found, Words(form), form, None, run.recipe.seed, BATCH, BATCH).over(range(STEPS))
    drawn = [found[place] for step in range(STEPS) for place in order.order(step)]
    model = sft.learner(run, form)
    losses: list[float] = []
    seconds: list[float] = []

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_args: Any, **_rest: Any) -> None:
            seconds.append(time.monotonic())

        def on_train_end(self, *_args: Any, **_rest: Any) -> None:
            seconds.append(time.monotonic())

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_rest: Any) -> None:
            if logs and "loss" in logs:
                losses.append(float(logs["loss"]))

    class InOrder(SFTTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, *_args: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def _prepare_dataset(self, dataset: Any, *_args: Any, **_rest: Any) -> Any:
            return dataset

    given = {
        "output_dir": str(run.folder / "trl"), "max_steps": STEPS, "per_device_train_batch_size": BATCH, "learning_rate": 0.0003,
        "lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.05}, "warmup_steps": 0, "adam_beta2": 0.98,
        "weight_decay": 0.0, "max_grad_norm": 1.0, "logging_steps": loop.CURVE_EVERY, "save_strategy": "no", "bf16": False, "use_cpu": True,
        "gradient_checkpointing": False, "max_length": None, "remove_unused_columns": False, "report_to": "none", "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }  # fmt: skip
    with warnings.catch_warnings(action="ignore"):
        trainer = InOrder(
            model=model.net, args=SFTConfig(**given), data_collator=lambda rows: _batch(rows, drawn, words, form),
            train_dataset=Dataset.from_list([{"place": place} for place in range(len(drawn))]),
            processing_class=preference.tokenizer(form), callbacks=[Watch()],
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return seconds[1] - seconds[0], losses


def _batch(rows: Sequence[dict[str, int]], drawn: Sequence[Example], words: Words, form: Form) -> dict[str, Any]:
    """Tokens, labels as transformers shifts them, and pixels for the tower."""
    given = [(drawn[row["place"]], words.encode(drawn[row["place"]])) for row in rows]
    batch = features.collate(given, form, 1.0)
    assert batch.tiles is not None
    last = torch.tensor([int(encoded.labels[-1]) for _, encoded in given])
    ids = torch.nn.functional.pad(batch.ids, (0, 1))
    labels = torch.nn.functional.pad(batch.labels, (1, 0), value=IGNORED)
    mask = torch.nn.functional.pad(batch.mask, (0, 1))
    for row, (_, encoded) in enumerate(given):
        ids[row, len(encoded.ids)] = last[row]
        mask[row, len(encoded.ids)] = 1
    shown = [[batch.tiles[batch.unique.index(image.key)] for image in example.images] for example, _ in given]
    values = torch.zeros((len(given), max(map(len, shown)), 3, form.tile, form.tile))  # the class leaves out images of zeros
    for row, tiles in enumerate(shown):
        values[row, : len(tiles)] = scaled(torch.stack(tiles), form)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "pixel_values": values}
