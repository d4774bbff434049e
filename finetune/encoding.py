"""From an example to the tokens a family of models is trained on: the prompt as it will be asked, and where the answer begins.

The prompt is cut from the family's chat template by `inference.words`, so text that people wrote is only ever plain text here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune.dataset import IGNORED
from finetune.examples import Example
from finetune.families import Form, refused
from inference import words
from inference.chat import Segment
from inference.prompts import messages


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


class Words(words.Words):
    """Tokenizer and chat template of a model folder. Raises `TuneError` when the folder lacks either."""

    def __init__(self, form: Form) -> None:
        with refused():
            super().__init__(form)

    def encode(self, example: Example) -> Encoded:
        """Tokens of an example. Raises `TuneError` when the template cannot hold it."""
        prompt, answer = self.segments(example)
        with refused():
            head, tail = self.opened(self.ids(prompt)), self.ids(answer)
        ids = np.array([*head, *tail], dtype=np.int64)
        labels = np.full(len(ids) - 1, IGNORED, dtype=np.int64)
        labels[len(head) - 1 :] = tail
        return Encoded(ids[:-1], labels, ids[:-1] == self.form.image_id)

    def segments(self, example: Example) -> tuple[Sequence[Segment], Sequence[Segment]]:
        """The prompt up to where the answer begins, and the answer with the control token that ends it. Raises `TuneError`."""
        with refused():
            return self.asked(messages(example.request()), example.answer)
