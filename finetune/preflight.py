"""What is looked at before a fine-tuning run reads any weights: images, answers, lengths, the base, the layers to adapt."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from errors import TuneError
from finetune.adapters import Base
from finetune.encoding import Words
from finetune.examples import Collected, Example, Picture
from finetune.families import Form


@dataclass(frozen=True)
class Checked:
    """The examples that can be trained on, in order; `left_out` counts the others by cause, `longest` is in tokens."""

    examples: tuple[Example, ...]
    left_out: dict[str, int]
    longest: int

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Every image of every example."""
        return tuple(image for example in self.examples for image in example.images)

    @property
    def text(self) -> str:
        """One line for the screen."""
        gone = ", ".join(f"{count} left out: {cause}" for cause, count in self.left_out.items())
        return f"{len(self.examples)} examples, longest {self.longest} tokens" + (f"; {gone}" if gone else "")


def check(found: Sequence[Collected], form: Form, words: Words, max_tokens: int, leave_out: bool) -> Checked:
    """Look at every example. Raises `TuneError` naming the first that cannot be used, unless they are to be left out."""
    room = min(max_tokens or form.context, form.context)
    kept: list[Example] = []
    causes: Counter[str] = Counter()
    longest, first = 0, ""
    for example in (example for source in found for example in source.examples):
        cause, detail, length = fault(example, form, words, room)
        if cause:
            causes[cause] += 1
            first = first or f"{example.name}: {detail or cause}"
        else:
            kept.append(example)
            longest = max(longest, length)
    if causes and not leave_out:
        more = f" and {causes.total() - 1} more" if causes.total() > 1 else ""
        raise TuneError(f"{first}{more}; correct the data, or set `unusable: leave out` in the recipe")
    if not kept:
        raise TuneError(f"no example can be used ({first or 'the sources are empty'}); correct the data")
    return Checked(tuple(kept), dict(causes), longest)


def fault(example: Example, form: Form, words: Words, room: int) -> tuple[str, str, int]:
    """Kind of fault, the same with details, and the example's length in tokens; empty where there is none."""
    if not example.answer.strip() or not example.question.strip():
        return "no question or no answer", "", 0
    if not example.images or len(example.images) > form.family.max_images:
        return "too many images", f"it has {len(example.images)} images and {form.family.name} takes 1 to {form.family.max_images}", 0
    trouble = next((text for image in example.images if (text := image.trouble())), "")
    if trouble:
        return "an image that cannot be read", trouble, 0
    length = len(words.encode(example).ids)
    if length > room:
        images = len(example.images) * form.tokens
        return "too long", f"it takes {length} tokens ({images} of them images) and there is room for {room}", 0
    return "", "", length


def refuse_other_base(family: str, revision: str, form: Form, base: Base) -> None:
    """Raises `TuneError` when the model is not the one the recipe pins."""
    if family and form.family.name != family:
        raise TuneError(f"{form.folder.name}: the recipe is for {family} and this is {form.family.name}; give the model it was written for")
    if revision and revision not in (base.sha256, base.revision):
        raise TuneError(
            f"{form.folder.name}: the recipe pins revision {revision[:16]} and this is {(base.revision or base.sha256)[:16]}; "
            "give that revision, or change the recipe"
        )


def refuse_no_targets(net: Any, form: Form) -> None:
    """Raises `TuneError` unless adapters sit in the language model, and nowhere else."""
    names = [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    inside = re.compile(rf".*{re.escape(form.family.language)}\.layers\..*lora_")
    outside = next((name for name in names if not inside.match(name)), "")
    if not names or outside:
        raise TuneError(
            f"{form.folder.name}: {outside or 'no layer'} would be trained where the language model's should; correct `linears`"
        )
