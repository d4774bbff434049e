"""Learning from preferences through trl: DPO with the chosen answer's likelihood beside it, and KTO, on any family that can be tuned.

Tokens are those of `finetune.encoding`, so what is preferred is what will be asked; images are looked at once (`finetune.features`).
The model is held to the one it starts from: an adapter that is trained on is copied by trl and stays as the reference. In the
run's folder: `trl/` (checkpoints), `<method>.json` (curve as `finetune.loop` writes it), `run.json`, `adapter/`.
"""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from errors import TuneError, TuneStopped
from finetune import adapters, examples, families, features, loop, preflight, sft
from finetune.encoding import Words
from finetune.examples import Example
from finetune.families import Form
from finetune.features import Store
from finetune.loop import CURVE_EVERY
from finetune.orders import RunRecipe
from finetune.recipe import Schedule

CHECKPOINTS = "trl"
Say = Callable[[str], None]
FIGURES = {
    "loss": "loss",
    "grad_norm": "norm",
    "rewards/accuracies": "accuracy",
    "rewards/margins": "margin",
    "rewards/chosen": "chosen",
    "rewards/rejected": "rejected",
    "kl": "kl",
}
"""trl's name of a figure -> the curve's."""


@dataclass(frozen=True)
class Collator:
    """Rows of token ids -> trl's batch: its own collator for text, what the tower made of the images, and the family's extras."""

    form: Form
    store: Store
    text: Any
    twice: bool
    """Whether the batch holds each row twice, chosen ones first (DPO)."""

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The batch of some rows."""
        rotated = [*rows[-1:], *rows[:-1]]
        if not self.twice:  # KTO's baseline: every prompt with another's answer
            rows = [{**row, "KL_completion_ids": other["completion_ids"]} for row, other in zip(rows, rotated, strict=True)]
        batch: dict[str, Any] = self.text(rows)
        keys = [key for row in rows for key in row["keys"]] * (2 if self.twice else 1)
        batch["mm_encoder_outputs"] = features.given([self.store.get(key) for key in keys], self.form)
        if types := self.form.family.types:
            batch |= {f"{kind}{types}": (batch[f"{kind}input_ids"] == self.form.image_id).long() for kind in self._kinds(batch)}
        if self.form.family.feed == "patches":
            batch["image_grid_thw"] = features.grids(len(keys), self.form)
        return batch

    def _kinds(self, batch: dict[str, Any]) -> list[str]:
        return [kind for kind in ("", "KL_") if f"{kind}input_ids" in batch]


def rows(given: Sequence[Example], words: Words, method: str) -> list[dict[str, Any]]:
    """What trl reads: prompt and answers as token ids, and the images' keys; for KTO each answer is a row of its own."""
    found: list[dict[str, Any]] = []
    for example in given:
        prompt, chosen = parts(example, words)
        _, rejected = parts(replace(example, answer=example.rejected), words)
        head = {"prompt_ids": prompt, "keys": [image.key for image in example.images]}
        if method == "dpo":
            found.append({**head, "chosen_ids": chosen, "rejected_ids": rejected})
        else:
            found += [{**head, "completion_ids": ids, "label": good} for ids, good in ((chosen, True), (rejected, False))]
    return found


def parts(example: Example, words: Words) -> tuple[list[int], list[int]]:
    """Token ids of prompt and answer, the answer's ending included."""
    encoded = words.encode(example)
    whole = [*encoded.ids.tolist(), int(encoded.labels[-1])]
    return whole[: len(whole) - encoded.answer_tokens], whole[len(whole) - encoded.answer_tokens :]


def tune(run: sft.Run, recipe: RunRecipe, say: Say = print) -> Path:
    """Train on the preferences of the run's data to the end of the schedule; returns the adapter's folder.

    Goes on behind the last checkpoint. Raises `TuneError`, before any work where it can, and `TuneStopped` when the run was halted.
    """
    base = adapters.base_of(run.model)
    form = families.form(base.folder, run.recipe.tile, run.recipe.adapter.linears)
    found = [examples.collect(source, run.data_root, run.recipe.seed) for source in run.recipe.data]
    if not all(example.rejected for source in found for example in source.examples):
        raise TuneError(f"{recipe.method} learns from preferences and these lines have no rejected answer; use sft, or build a new version")
    words = Words(form)
    checked = preflight.check(found, form, words, run.recipe.max_tokens, run.recipe.unusable == "leave out")
    preflight.check(
        [replace(source, examples=tuple(replace(one, answer=one.rejected) for one in checked.examples)) for source in found[:1]],
        form, words, run.recipe.max_tokens, leave_out=False,
    )  # fmt: skip
    say(f"{form.family.name}, {recipe.method} on {checked.text}")
    start = adapters.started(run.recipe, base, form, found, checked, run.start)
    start |= {"method": recipe.method, "beta": recipe.beta, "sft_weight": recipe.sft_weight}
    adapters.keep_or_refuse(run.folder, start)
    model = sft.learner(run, form)
    preflight.refuse_no_targets(model.net, form)
    store = sft.stored(run, form, base) or Store()
    features.fill(store, model.model, form, checked.pictures, say)
    return trained(run, recipe, model, rows(checked.examples, words, recipe.method), store, start, say)


def trained(
    run: sft.Run, recipe: RunRecipe, model: sft.Learner, data: list[dict[str, Any]], store: Store, start: dict[str, Any], say: Say
) -> Path:
    """Let trl train, and write the adapter."""
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
    from trl.trainer.dpo_trainer import DataCollatorForPreference
    from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

    disable_progress_bars()
    schedule, watch = recipe.tuning.schedule(len(data)), _Watch(run, recipe, say)
    dpo = recipe.method == "dpo"
    trainer: Any = DPOTrainer if dpo else KTOTrainer
    more: dict[str, Any] = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, recipe.sft_weight]} if dpo and recipe.sft_weight else {}
    kind: Any = type(trainer.__name__, (trainer,), {"_prepare_dataset": lambda _self, dataset, *_rest: dataset})
    known = tokenizer(model.form)
    text: Any = (DataCollatorForPreference if dpo else DataCollatorForUnpairedPreference)(pad_token_id=known.pad_token_id)
    with warnings.catch_warnings(action="ignore"):
        made = kind(
            model=model.net,
            args=(DPOConfig if dpo else KTOConfig)(**settings(run, recipe, schedule), **more),
            data_collator=Collator(model.form, store, text, dpo),
            train_dataset=Dataset.from_list(data),
            processing_class=known,
            callbacks=[watch.callback()],
        )
        made.remove_callback(PrinterCallback)
        last = _last(run.folder / CHECKPOINTS)
        watch.resume(last)
        run.halt()
        made.train(resume_from_checkpoint=str(last) if last else None)
    if watch.halted:
        raise TuneStopped(f"stopped after step {made.state.global_step} of {schedule.steps}; start it again and it goes on from there")
    if "ref" in model.net.peft_config:
        model.net.delete_adapter("ref")
    return adapters.write(run.folder / "adapter", model.net, start, watch.curve, model=model.form.folder)


def settings(run: sft.Run, recipe: RunRecipe, schedule: Schedule) -> dict[str, Any]:
    """What trl's configuration is given, as `finetune.loop` would do it: the same rates, batch and seed."""
    return {
        "output_dir": str(run.folder / CHECKPOINTS),
        "beta": recipe.beta,
        "max_steps": schedule.steps,
        "per_device_train_batch_size": recipe.tuning.micro,
        "gradient_accumulation_steps": schedule.batch // recipe.tuning.micro,
        "learning_rate": schedule.rate,
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr_rate": 0.05},
        "warmup_steps": schedule.warmup,
        "weight_decay": schedule.decay,
        "adam_beta2": 0.98,
        "max_grad_norm": schedule.clip,
        "save_strategy": "steps",
        "save_steps": schedule.save_every,
        "save_total_limit": 1,
        "logging_steps": CURVE_EVERY,
        "seed": recipe.seed,
        "bf16": recipe.precision == "bf16",
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": recipe.checkpointing,
        "max_length": None,
        "remove_unused_columns": False,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }


def tokenizer(form: Form) -> Any:
    """The folder's tokenizer as trl wants it, with a token to pad with."""
    from transformers import PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(tokenizer_file=str(form.folder / "tokenizer.json"))
    made.pad_token = made.pad_token or made.convert_ids_to_tokens(0)
    made.eos_token = made.eos_token or made.pad_token
    return made


def _last(folder: Path) -> Path | None:
    """The newest whole checkpoint; a half-written one is removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in reversed(found):
        if (path / "trainer_state.json").is_file():
            return path
        shutil.rmtree(path)
    return None


class _Watch:
    """Keeps the curve and hears a stop."""

    def __init__(self, run: sft.Run, recipe: RunRecipe, say: Say) -> None:
        self._run, self._method, self._say = run, recipe.method, say
        self.curve: list[dict[str, float]] = []
        self.halted = False
        self._started, self._before = time.monotonic(), 0.0

    def resume(self, last: Path | None) -> None:
        """Take the curve up as it was at the checkpoint."""
        path = self._run.folder / f"{self._method}.json"
        done = int(last.name.rpartition("-")[2]) if last else 0
        kept = json.loads(path.read_text(encoding="utf-8"))["curve"] if path.is_file() else []
        self.curve = [row for row in kept if row["step"] <= done]
        self._started, self._before = time.monotonic(), self.curve[-1]["seconds"] if self.curve else 0.0

    def callback(self) -> Any:
        """As transformers wants it."""
        from transformers import TrainerCallback

        watch = self

        class Callback(TrainerCallback):  # type: ignore[misc]
            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_rest: Any) -> None:
                watch.note(state.global_step, logs or {})

            def on_step_end(self, args: Any, state: Any, control: Any, **_rest: Any) -> None:
                control.should_log = control.should_log or state.global_step == state.max_steps
                if watch._run.halt() and state.global_step < state.max_steps:
                    watch.halted = control.should_save = control.should_training_stop = True

        return Callback()

    def note(self, step: int, logs: dict[str, Any]) -> None:
        """One row of the curve."""
        if "loss" not in logs:
            return
        seconds = round(self._before + time.monotonic() - self._started, 1)
        row = {"step": step, "seconds": seconds, **{ours: round(float(logs[name]), 4) for name, ours in FIGURES.items() if name in logs}}
        if not all(value == value for value in row.values()):
            raise TuneError(f"{self._method}: the loss of step {step} is not a number; lower the rate and order the run again")
        self.curve.append(row)
        text = json.dumps({"stage": self._method, "steps": step, "seconds": seconds, "curve": self.curve})
        loop.atomic(self._run.folder / f"{self._method}.json", lambda path: path.write_text(text + "\n", encoding="utf-8"))
        self._say(f"{self._method} " + " ".join(f"{name} {value:g}" for name, value in row.items()))
