"""Fine-tuning on one processor or many: each process takes its part of every step, and the parts add up to the same step.

`Shares` gives a process its examples of a step in an order that depends on seed and step alone; `Accelerated` takes the step
through accelerate, so that one GPU, several, FSDP2 and DeepSpeed are a matter of the file given to `accelerate launch`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import GradientAccumulationPlugin, broadcast_object_list
from torch import Tensor, nn
from torch.utils.data import Dataset

from errors import TuneError
from finetune import features, loop
from finetune.encoding import Words
from finetune.examples import Example
from finetune.families import Form
from finetune.features import Batch, Said, Store
from finetune.loop import Hands, Work

SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED)
T = TypeVar("T")


class Shares(Dataset[Any]):
    """One item a step: the micro-batches of this process."""

    def __init__(
        self,
        examples: Sequence[Example],
        words: Words,
        form: Form,
        kept: Store | None,
        seed: int,
        batch: int,
        micro: int,
        rank: int = 0,
        world: int = 1,
        said: Mapping[str, Said] | None = None,
    ) -> None:
        self._examples, self._words, self._form, self._kept, self._said = examples, words, form, kept, said
        self._seed, self._batch, self._micro, self._rank, self._world = seed, batch, micro, rank, world
        self._steps = range(0)

    def over(self, steps: range) -> Shares:
        """The same data, for these steps."""
        self._steps = steps
        return self

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, index: int) -> list[Batch]:
        drawn = [self._examples[place] for place in self.order(self._steps[index])]
        rows = [(example, self._words.encode(example)) for example in drawn]
        share = 1 / sum(encoded.answer_tokens for _, encoded in rows)
        mine = rows[self._rank :: self._world]
        starts = range(0, len(mine), self._micro)
        return [features.collate(mine[start : start + self._micro], self._form, share, self._kept, self._said) for start in starts]

    def order(self, step: int) -> list[int]:
        """Places of the examples of a step: every epoch is its own permutation, and a step may span two."""
        count, places = len(self._examples), range(step * self._batch, (step + 1) * self._batch)
        return [int(np.random.default_rng([self._seed, place // count]).permutation(count)[place % count]) for place in places]


class Accelerated(Hands):
    """Steps through accelerate: gradient accumulation, mixed precision and checkpoints, on whatever it was launched for."""

    def __init__(self, bf16: bool, batch: int, micro: int) -> None:
        turns = GradientAccumulationPlugin(num_steps=1, sync_with_dataloader=False)
        self._help = Accelerator(gradient_accumulation_plugin=turns, cpu=not torch.cuda.is_available())
        self._bf16 = bf16
        self.rank, self.world = self._help.process_index, self._help.num_processes
        if batch % (micro * self.world):
            raise TuneError(
                f"a batch of {batch} cannot be shared by {self.world} processes reading {micro} at a time; correct batch or micro"
            )
        self._turns = batch // (micro * self.world)
        self._help.gradient_accumulation_steps = self._turns
        if self._help.distributed_type == DistributedType.DEEPSPEED:
            self._help.state.deepspeed_plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = micro
        self.main = self._help.is_main_process
        self.device: torch.device = self._help.device
        self._module: nn.Module | None = None

    @contextmanager
    def lent(self, parts: Sequence[nn.Module]) -> Iterator[None]:
        """Modules on this process's device for a while."""
        for part in parts:
            part.to(self.device)
        yield
        for part in parts:
            part.to("cpu")

    def autocast(self) -> torch.autocast:
        """The precision in which the model is asked."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16)

    def prepare(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[Any, list[Any]]:
        """The module to call and the optimiser to step."""
        self._module, wrapped = self._help.prepare(module, optimiser)
        return self._module, [wrapped]

    def bare(self, module: Any) -> Any:
        """The module without accelerate's wrapping."""
        return self._help.unwrap_model(module)

    def gradients(self, work: Work, batch: Any, step: int) -> dict[str, float]:
        """Every micro-batch in turn; gradients meet between processes with the last one."""
        torch.manual_seed(step * self.world + self.rank)
        whole = torch.zeros((), device=self.device)
        for part in batch:
            with self._help.accumulate(self._module), self.autocast():
                loss, _ = work.losses(moved(part, self.device), step)
                self._refuse(work, loss, step)
                self._help.backward(loss * self._turns * self.world)
            whole += loss.detach()
        total: Any = self._help.reduce(whole, "sum")
        return {"loss": float(total)}

    def clip(self, work: Work) -> float:
        """Hold the gradients to the schedule's norm; returns what it was."""
        assert self._module is not None
        norm = self._help.clip_grad_norm_(self._module.parameters(), work.schedule.clip)
        return 0.0 if norm is None else float(norm)

    def save(self, work: Work, folder: Path, step: int) -> None:
        """One checkpoint for all; of a model cut in pieces, a folder with each process's."""
        if self._help.distributed_type in SHARDED:
            self._save_pieces(work, folder, step)
        elif self.main:
            loop.save(work, folder, step)
        self._help.wait_for_everyone()

    def resume(self, work: Work, folder: Path) -> int:
        """Load the stage's own checkpoint, if any; returns how many steps are done."""
        if self._help.distributed_type not in SHARDED:
            return loop.resume(work, folder)
        state = loop.checkpoint(folder, work.name)
        if state is None:
            return 0
        self._help.load_state(str(folder / state["pieces"]))
        work.curve, work.recent, work.seconds = state["curve"], state["recent"], state["seconds"]
        return int(state["step"])

    def state(self, module: Any) -> dict[str, Tensor] | None:
        """All parameters of a model that was cut in pieces, put together again; None where it is whole. All processes take part."""
        return self._help.get_state_dict(module) if self._help.distributed_type in SHARDED else None

    def alone(self, task: Callable[[], T]) -> T:
        """Do it in the main process while the others wait; every process gets the result."""
        done: list[Any] = [task() if self.main else None]
        found: T = broadcast_object_list(done)[0]
        return found

    def in_turn(self, task: Callable[[], object], shared: bool) -> None:
        """Do it in every process; where the result is `shared` by a disk, once and before the others."""
        if shared:
            with self._help.main_process_first():
                task()
        else:
            task()

    def _refuse(self, work: Work, loss: Tensor, step: int) -> None:
        """No number in one process stops them all."""
        bad: Any = self._help.reduce((~torch.isfinite(loss.detach())).float(), "sum")
        if float(bad):
            loop.refuse_no_number(work, torch.tensor(float("nan")), step)

    def _save_pieces(self, work: Work, folder: Path, step: int) -> None:
        """A folder for the step, then the small file that names it, then the older folder goes."""
        pieces = f"{work.name}-{step}"
        try:
            self._help.save_state(str(folder / pieces))
        except (OSError, RuntimeError) as error:
            raise TuneError(f"{folder}: the checkpoint cannot be written ({error}); free some disk and start again, it goes on") from error
        if self.main:
            state = {"step": step, "pieces": pieces, "curve": work.curve, "recent": work.recent, "seconds": work.seconds}
            loop.atomic(folder / f"{work.name}.pt", lambda path: torch.save(state, path))
            loop.write_curve(work, folder, step)
            for older in folder.glob(f"{work.name}-*"):
                if older.name != pieces:
                    shutil.rmtree(older)


def leave() -> None:
    """Take this process out of its group, if it is in one; the last thing a command does.

    A group that lives until Python shuts down can end a finished run with SIGABRT: its threads still hold tensors
    (pytorch/pytorch#179291).
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def moved(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on `device`."""
    changes: dict[str, Any] = {
        entry.name: value.to(device) for entry in fields(batch) if isinstance(value := getattr(batch, entry.name), Tensor)
    }
    if batch.features is not None:
        changes["features"] = {key: tuple(layer.to(device) for layer in feature) for key, feature in batch.features.items()}
    return replace(batch, **changes)
