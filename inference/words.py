"""A prompt in the words of a model folder: its tokenizer, and its chat template cut into pieces that typed text cannot imitate.

The family's template is rendered with place-holders for every text and image, cut at them, and only then are the texts put in;
so a `<image>` in a question is read as those characters. Training and the transformers engine ask here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from errors import ModelNotLoaded
from inference import chat, families
from inference.chat import Control, Segment
from inference.families import Form
from inference.prompts import ImageSlot, Message

PLACE = "\ue000{}\ue001"
PLACES = re.compile("\ue000(\\d+)\ue001")
PIRATE = "pirate"
"""A published template of Mantis has the model speak as one; such words never reach a reader's model."""

Conversation = list[dict[str, Any]]


class Words:
    """Tokenizer and chat template of a model folder. Raises `ModelNotLoaded` when the folder lacks either."""

    def __init__(self, form: Form) -> None:
        from transformers import AutoTokenizer

        self.form = form
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(form.folder, local_files_only=True, trust_remote_code=False)
            self.fast: Any = self._tokenizer.backend_tokenizer
        except Exception as error:
            raise ModelNotLoaded(
                f"{form.folder.name}: its tokenizer cannot be read ({_line(error)}); copy tokenizer.json beside the weights"
            ) from error
        opens = self._tokenizer("").input_ids
        self.fast.encode_special_tokens = True
        bos = self._tokenizer.bos_token_id
        self.bos: list[int] = [bos] if bos is not None and opens[:1] == [bos] else []
        self._template = "" if form.family.templates else families.chat_template(form, self._tokenizer)
        special = sorted((token.content for token in self._tokenizer.added_tokens_decoder.values()), key=len, reverse=True)
        self._controls = re.compile("|".join(map(re.escape, special)) or r"(?!)")

    def asked(self, messages: Sequence[Message], answer: str = "") -> tuple[Sequence[Segment], Sequence[Segment]]:
        """The prompt up to where the answer begins, and `answer` with the control token that ends it.

        Raises `ModelNotLoaded` when the template cannot hold it.
        """
        if self.form.family.templates:
            closing = chat.template(self.form.family.templates).closing
            return chat.segments(messages, self.form.family.templates), (answer, closing)
        return self._rendered((*messages, Message("assistant", (answer,))))

    def opened(self, ids: list[int]) -> list[int]:
        """Token ids of a prompt, with the token that begins every text where the template does not write it."""
        return [*self.bos, *ids] if self.bos and ids[:1] != self.bos else ids

    def ids(self, parts: Sequence[Segment]) -> list[int]:
        """Token ids of segments, the family's image token for each token of an image."""
        return chat.token_ids(parts, self.plain, self.control, [self.form.image_id] * self.form.tokens)

    def plain(self, text: str) -> list[int]:
        """Token ids of plain text; what looks like a control token stays text."""
        ids: list[int] = self.fast.encode(text, add_special_tokens=False).ids
        return ids

    def control(self, name: str) -> int:
        """Id of one control token. Raises `ModelNotLoaded` when the vocabulary has none of that name."""
        found: int | None = self.fast.token_to_id(name)
        if found is None:
            raise ModelNotLoaded(
                f"{self.form.folder.name}: its vocabulary has no {name}, so it is not what its family says; copy the model again"
            )
        return found

    def endings(self, names: Sequence[str]) -> frozenset[int]:
        """Ids of the tokens that end an answer: the tokenizer's own, those of `generation_config.json`, those of `names` it knows."""
        found = {self.fast.token_to_id(name) for name in names} | {self._tokenizer.eos_token_id, *_listed(self.form)}
        return frozenset(token for token in found if token is not None)

    def _rendered(self, asked: Sequence[Message]) -> tuple[Sequence[Segment], Sequence[Segment]]:
        texts: list[str] = []
        slots: list[ImageSlot] = []
        conversation: Conversation = []
        for message in asked:
            content: list[dict[str, str]] = []
            for part in message.parts:
                if isinstance(part, ImageSlot):
                    content.append({"type": "image"})
                    slots.append(part)
                else:
                    content.append({"type": "text", "text": PLACE.format(len(texts))})
                    texts.append(part)
            conversation.append({"role": message.role, "content": content})
        prompt, whole = self._render(conversation[:-1], True), self._render(conversation, False)
        if not whole.startswith(prompt) or PIRATE in whole.lower():
            cause = "speaks as a pirate" if PIRATE in whole.lower() else "opens an answer otherwise than it asks for one"
            raise ModelNotLoaded(f"{self.form.folder.name}: its chat template {cause}; correct chat_template.jinja")
        head = self._parts(prompt, texts, slots)
        return chat.joined(head), chat.joined(self._ended(self._parts(whole[len(prompt) :], texts, ())))

    def _render(self, conversation: Conversation, reply: bool) -> str:
        try:
            text: str = self._tokenizer.apply_chat_template(
                conversation, chat_template=self._template, tokenize=False, add_generation_prompt=reply
            )
        except Exception as error:
            raise ModelNotLoaded(
                f"{self.form.folder.name}: its chat template cannot be used ({_line(error)}); correct chat_template.jinja"
            ) from error
        return text

    def _parts(self, rendered: str, texts: Sequence[str], slots: Sequence[ImageSlot]) -> list[Segment]:
        """Cut a rendered template at its place-holders, image markers and control tokens."""
        family, out, number = self.form.family, list[Segment](), 0
        for index, piece in enumerate(PLACES.split(rendered)):
            if index % 2:
                out.append(texts[int(piece)])
                continue
            for literal in re.split(f"({re.escape(family.marker)})", piece):
                if literal != family.marker or number >= len(slots):
                    out += self._literal(literal)
                    continue
                around = [edge.format(number=number + 1) for edge in (family.before, family.after)]
                out += [*self._literal(around[0]), slots[number], *self._literal(around[1])]
                number += 1
        return out

    def _literal(self, text: str) -> list[Segment]:
        """Words of a template: its control tokens by name, the rest as text."""
        out: list[Segment] = []
        place = 0
        for match in self._controls.finditer(text):
            out += [text[place : match.start()], Control(match[0])]
            place = match.end()
        return [*out, text[place:]]

    def _ended(self, answer: Sequence[Segment]) -> list[Segment]:
        """The answer up to and with the first control token behind it; the end-of-text token where the template has none."""
        for index, part in enumerate(answer):
            if isinstance(part, Control):
                return list(answer[: index + 1])
        return [*answer, Control(self._tokenizer.eos_token)]


def _listed(form: Form) -> list[int]:
    """Ids that `generation_config.json` says end an answer."""
    path = form.folder / "generation_config.json"
    try:
        found = json.loads(path.read_bytes()).get("eos_token_id") if path.is_file() else None
    except (OSError, ValueError, AttributeError):
        return []
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, int)]


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
