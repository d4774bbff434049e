"""From messages to what a tokenizer is given: control tokens by name, plain text, and places for images.

Text that people typed is only ever plain text here: a `Control` is a value of its own that this file alone makes,
and a tokenizer is asked for it by name, while every `str` is tokenised with special tokens off. So `<|im_end|>` or
`<image>` in a question is read as those characters. Training and both engines build their token ids from `segments`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from errors import ModelNotLoaded
from inference.engine import Request
from inference.prompts import ImageSlot, Message, messages


@dataclass(frozen=True)
class Control:
    """One token of the chat template, named as the vocabulary spells it."""

    name: str


Segment = Control | ImageSlot | str


@dataclass(frozen=True)
class Template:
    """How one model family writes a chat: what opens and closes a message, and what stands around an image.

    `start` stands once before everything; `roles` are the words behind `opening`, `lead` stands between them and an answer; with
    `merged` the system's text opens the first message instead of having one of its own.
    """

    closing: Control
    opening: tuple[Control, ...]
    before_image: tuple[Segment, ...]
    after_image: tuple[Segment, ...]
    start: tuple[Control, ...] = ()
    roles: Mapping[str, str] = field(default_factory=lambda: {role: f"{role}\n" for role in ("system", "user", "assistant")})
    lead: str = ""
    merged: bool = False


_AROUND = Control("<fake_token_around_image>")
_GLOBAL = Control("<global-img>")
_QWEN = Template(
    opening=(Control("<|im_start|>"),),
    closing=Control("<|im_end|>"),
    before_image=(Control("<|vision_start|>"),),
    after_image=(Control("<|vision_end|>"),),
)

TEMPLATES: Mapping[str, Template] = {
    "idefics3": Template(
        opening=(Control("<|im_start|>"),),
        closing=Control("<|im_end|>"),
        before_image=(_AROUND, _GLOBAL),
        after_image=(_AROUND,),
    ),
    "smolvlm": Template(
        start=(Control("<|im_start|>"),),
        opening=(),
        roles={"system": "System: ", "user": "User: ", "assistant": "Assistant:"},
        lead=" ",
        closing=Control("<end_of_utterance>"),
        before_image=(_AROUND, _GLOBAL),
        after_image=(_AROUND,),
    ),
    "gemma3": Template(
        start=(Control("<bos>"),),
        opening=(Control("<start_of_turn>"),),
        roles={"user": "user\n", "assistant": "model\n"},
        closing=Control("<end_of_turn>"),
        before_image=("\n\n", Control("<start_of_image>")),
        after_image=(Control("<end_of_image>"), "\n\n"),
        merged=True,
    ),
    "qwen2.5-vl": _QWEN,
    "qwen3-vl": _QWEN,
}
"""Families whose prompt is written here: those the GGUF engine runs, which has no template of a folder to cut."""


def template(family: str) -> Template:
    """The family's template. Raises `ModelNotLoaded` for a family Interval has no template for."""
    try:
        return TEMPLATES[family]
    except KeyError:
        known = ", ".join(sorted(TEMPLATES))
        raise ModelNotLoaded(f"models of the family {family!r} have no chat template here; use one of: {known}") from None


def segments(chat: Sequence[Message], family: str = "idefics3", *, reply: bool = True) -> tuple[Segment, ...]:
    """The chat in the family's template; with `reply` it ends where the assistant's answer begins.

    Neighbouring pieces of text are joined, so that a tokenizer meets them whole, as it does in training.
    """
    form = template(family)
    out: list[Segment] = [*form.start]
    system = ""
    for message in chat:
        if form.merged and message.role == "system":
            system = "".join(str(part) for part in message.parts) + "\n\n"
            continue
        out += [*form.opening, form.roles[message.role], form.lead if message.role == "assistant" else system]
        for part in message.parts:
            out += [*form.before_image, part, *form.after_image] if isinstance(part, ImageSlot) else [part]
        out += [form.closing, "\n"]
        system = ""
    return joined([*out, *form.opening, form.roles["assistant"]] if reply else out)


def request_segments(request: Request, family: str = "idefics3") -> tuple[Segment, ...]:
    """`segments` of a request's whole chat, ready for the answer."""
    return segments(messages(request), family)


def token_ids(
    parts: Sequence[Segment],
    encode: Callable[[str], Sequence[int]],
    control: Callable[[str], int],
    image: Sequence[int],
) -> list[int]:
    """Token ids of `parts`: `encode` tokenises plain text with special tokens off, `image` stands for each image."""
    ids: list[int] = []
    for part in parts:
        if isinstance(part, Control):
            ids.append(control(part.name))
        elif isinstance(part, ImageSlot):
            ids.extend(image)
        else:
            ids.extend(encode(part))
    return ids


def written(parts: Sequence[Segment]) -> str:
    """The prompt as kept with an answer: controls by name, `[image 1]` for an image. For reading, never parsed."""
    return "".join(p.name if isinstance(p, Control) else f"[image {p.index + 1}]" if isinstance(p, ImageSlot) else p for p in parts)


def joined(parts: Sequence[Segment]) -> tuple[Segment, ...]:
    """The same with neighbouring pieces of text made one, and empty ones dropped."""
    out: list[Segment] = []
    for part in parts:
        if isinstance(part, str) and out and isinstance(out[-1], str):
            out[-1] += part
        elif part != "":
            out.append(part)
    return tuple(out)
