"""From an example to the tokens a family of models is trained on: the prompt as it will be asked, and where the answer begins.

Text that people wrote is only ever plain text here too. The family's chat template is rendered with place-holders for every
text and image, cut at them, and only then are the texts put in; so a `<image>` in a question is read as those characters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import TuneError
from finetune import families
from finetune.dataset import IGNORED
from finetune.examples import Example
from finetune.families import Form
from inference import chat
from inference.chat import Control, Segment
from inference.prompts import ImageSlot, Message, messages

PLACE = "\ue000{}\ue001"
PLACES = re.compile("\ue000(\\d+)\ue001")
PIRATE = "pirate"
"""A published template of Mantis has the model speak as one; such words never reach a reader's model."""

Conversation = list[dict[str, Any]]


@dataclass(frozen=True)
class Encoded:
    """`ids` (L,) int64 of prompt and answer without the last token; `labels` (L,) the answer's token at the place before it, else
    IGNORED; `images` (L,) bool, where an image's tokens stand."""

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    images: NDArray[np.bool_]

    @property
    def answer_tokens(self) -> int:
        """How many tokens are learnt."""
        return int((self.labels != IGNORED).sum())


class Words:
    """Tokenizer and chat template of a model folder. Raises `TuneError` when the folder lacks either."""

    def __init__(self, form: Form) -> None:
        from transformers import AutoTokenizer

        self.form = form
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(form.folder, local_files_only=True, trust_remote_code=False)
            self._fast: Any = self._tokenizer.backend_tokenizer
        except Exception as error:
            raise TuneError(
                f"{form.folder.name}: its tokenizer cannot be read ({_line(error)}); copy tokenizer.json beside the weights"
            ) from error
        opens = self._tokenizer("").input_ids
        self._fast.encode_special_tokens = True
        bos = self._tokenizer.bos_token_id
        self._bos = [bos] if bos is not None and opens[:1] == [bos] else []
        self._template = "" if form.family.templates else families.chat_template(form, self._tokenizer)
        special = sorted((token.content for token in self._tokenizer.added_tokens_decoder.values()), key=len, reverse=True)
        self._controls = re.compile("|".join(map(re.escape, special)) or r"(?!)")

    def encode(self, example: Example) -> Encoded:
        """Tokens of an example. Raises `TuneError` when the template cannot hold it."""
        prompt, answer = self.segments(example)
        head, tail = self.ids(prompt), self.ids(answer)
        if self._bos and head[:1] != self._bos:
            head = [*self._bos, *head]
        ids = np.array([*head, *tail], dtype=np.int64)
        labels = np.full(len(ids) - 1, IGNORED, dtype=np.int64)
        labels[len(head) - 1 :] = tail
        return Encoded(ids[:-1], labels, ids[:-1] == self.form.image_id)

    def segments(self, example: Example) -> tuple[Sequence[Segment], Sequence[Segment]]:
        """The prompt up to where the answer begins, and the answer with the control token that ends it."""
        asked = messages(example.request())
        if self.form.family.templates:
            closing = chat.template(self.form.family.templates).closing
            return chat.segments(asked, self.form.family.templates), (example.answer, closing)
        return self._rendered((*asked, Message("assistant", (example.answer,))))

    def ids(self, parts: Sequence[Segment]) -> list[int]:
        """Token ids of segments."""
        image = [self.form.image_id] * self.form.tokens
        return chat.token_ids(parts, lambda text: self._fast.encode(text, add_special_tokens=False).ids, self._control, image)

    def _control(self, name: str) -> int:
        found: int | None = self._fast.token_to_id(name)
        if found is None:
            raise TuneError(
                f"{self.form.folder.name}: its vocabulary has no {name}, so it is not what its family says; copy the model again"
            )
        return found

    def _rendered(self, asked: Sequence[Message]) -> tuple[Sequence[Segment], Sequence[Segment]]:
        texts: list[str] = []
        conversation: Conversation = []
        for message in asked:
            content: list[dict[str, str]] = []
            for part in message.parts:
                if isinstance(part, ImageSlot):
                    content.append({"type": "image"})
                else:
                    content.append({"type": "text", "text": PLACE.format(len(texts))})
                    texts.append(part)
            conversation.append({"role": message.role, "content": content})
        prompt, whole = self._render(conversation[:-1], True), self._render(conversation, False)
        if not whole.startswith(prompt) or PIRATE in whole.lower():
            cause = "speaks as a pirate" if PIRATE in whole.lower() else "opens an answer otherwise than it asks for one"
            raise TuneError(f"{self.form.folder.name}: its chat template {cause}; correct chat_template.jinja")
        head = self._parts(prompt, texts)
        return chat.joined(head), chat.joined(self._ended(self._parts(whole[len(prompt) :], texts)))

    def _render(self, conversation: Conversation, reply: bool) -> str:
        try:
            text: str = self._tokenizer.apply_chat_template(
                conversation, chat_template=self._template, tokenize=False, add_generation_prompt=reply
            )
        except Exception as error:
            raise TuneError(
                f"{self.form.folder.name}: its chat template cannot be used ({_line(error)}); correct chat_template.jinja"
            ) from error
        return text

    def _parts(self, rendered: str, texts: Sequence[str]) -> list[Segment]:
        """Cut a rendered template at its place-holders, image markers and control tokens."""
        family, out, number = self.form.family, list[Segment](), 0
        for index, piece in enumerate(PLACES.split(rendered)):
            if index % 2:
                out.append(texts[int(piece)])
                continue
            for literal in re.split(f"({re.escape(family.marker)})", piece):
                if literal != family.marker:
                    out += self._literal(literal)
                    continue
                around = [edge.format(number=number + 1) for edge in (family.before, family.after)]
                out += [*self._literal(around[0]), ImageSlot(number), *self._literal(around[1])]
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


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
