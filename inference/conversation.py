"""What the GGUF engine's child has read so far: the conversation's prefix, and the images it has seen.

Runs inside the child process only (`inference.worker`). Keeping both is what makes a second question fast.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from errors import ContextFull
from inference.chat import Control, Segment
from inference.context import Key, common_prefix, refuse_overfull
from inference.llama import BRANCHES, Model, Tile
from inference.prompts import ImageSlot
from inference.sampling import pick


@dataclass(frozen=True)
class Part:
    """A run of the prompt: token ids, or one image (`sha256` set)."""

    ids: tuple[int, ...] = ()
    sha256: str = ""
    tokens: int = 0

    @property
    def keys(self) -> list[Key]:
        """What the conversation holds for it, one for each token."""
        return [(self.sha256, i) for i in range(self.tokens)] if self.sha256 else list(self.ids)


@dataclass
class Seen:
    """An image in the cache: its tile, and its embedding once it was encoded."""

    tile: Tile
    embedding: NDArray[np.float32] | None = None


@dataclass
class Work:
    """What one request cost."""

    encode_s: float = 0.0
    prefill_s: float = 0.0
    images_encoded: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0


class Conversation:
    """The model with what it has read so far, and the images it has seen, at most `images` of them."""

    def __init__(self, model: Model, images: int) -> None:
        self._model = model
        self._most = images
        self._seen: OrderedDict[str, Seen] = OrderedDict()
        self._kept: list[Key] = []

    def parts(self, segments: Sequence[Segment], images: Sequence[tuple[str, NDArray[np.uint8]]]) -> list[Part]:
        """Tokenise a prompt; `images` are (sha256, pixels) and are prepared if they are new."""
        out: list[Part] = []
        for segment in segments:
            if isinstance(segment, ImageSlot):
                sha256, pixels = images[segment.index]
                out.append(Part(sha256=sha256, tokens=self._prepare(sha256, pixels).tile.tokens))
                continue
            ids = (self._model.control(segment.name),) if isinstance(segment, Control) else tuple(self._model.encode(segment))
            out = [*out[:-1], Part(out[-1].ids + ids)] if out and out[-1].ids else [*out, Part(ids)]
        return out

    def forget(self) -> None:
        """Forget what was read; images keep their embeddings."""
        self._model.keep(0)
        self._kept = []

    def _prepare(self, sha256: str, pixels: NDArray[np.uint8]) -> Seen:
        if sha256 not in self._seen:
            self._seen[sha256] = Seen(self._model.tile(pixels))
        self._seen.move_to_end(sha256)
        return self._seen[sha256]

    def read(self, parts: Sequence[Part], room: int, tell: Callable[[str, int, int], None]) -> Work:
        """Bring the conversation to the end of `parts`, reusing the longest prefix it has in common with the last one.

        `room` is how many tokens must still fit behind. Raises `ContextFull` before any work, `Cancelled`.
        """
        keys = [key for part in parts for key in part.keys]
        refuse_overfull(len(keys), room, self._model.context_tokens)
        work = Work(prompt_tokens=len(keys), reused_tokens=self._reusable(parts, keys))
        self._model.keep(work.reused_tokens)
        self._kept = keys[: work.reused_tokens]
        self._encode(parts, work, tell)
        tell("reading", 0, 0)
        started = time.monotonic()
        self._feed(parts)
        work.prefill_s = time.monotonic() - started
        self._evict()
        return work

    def _reusable(self, parts: Sequence[Part], keys: Sequence[Key]) -> int:
        """Length of the common prefix, at least one token short of the prompt and never inside an image."""
        common = common_prefix(keys, self._kept)
        start = 0
        for part in parts:
            length = len(part.keys)
            if part.sha256 and start < common < start + length:
                return start
            start += length
        return common

    def _encode(self, parts: Sequence[Part], work: Work, tell: Callable[[str, int, int], None]) -> None:
        """Encode the images that are neither in the conversation nor in the cache."""
        images = [part.sha256 for part in parts if part.sha256]
        position = 0
        started = time.monotonic()
        for part in parts:
            position += len(part.keys)
            if not part.sha256 or position <= len(self._kept):
                continue
            seen = self._seen[part.sha256]
            if seen.embedding is None:
                self._model.check()
                tell("encoding", images.index(part.sha256) + 1, len(images))
                seen.embedding = self._model.embed(seen.tile)
                work.images_encoded += 1
        work.encode_s = time.monotonic() - started if work.images_encoded else 0.0

    def _feed(self, parts: Sequence[Part]) -> None:
        position = 0
        for number, part in enumerate(parts):
            keys = part.keys
            done = max(0, min(len(self._kept) - position, len(keys)))
            if done < len(keys):
                self._model.check()
                if part.sha256:
                    seen = self._seen[part.sha256]
                    assert seen.embedding is not None
                    self._model.look(seen.tile, seen.embedding, position)
                else:
                    self._model.read(part.ids[done:], position + done, last=number == len(parts) - 1)
                self._kept += keys[done:]
            position += len(keys)

    def _evict(self) -> None:
        while len(self._seen) > self._most:
            _, oldest = self._seen.popitem(last=False)
            self._model.forget(oldest.tile)

    def write(self, most: int, temperature: float, seed: int, say: Callable[[int, float], None]) -> int:
        """Continue the conversation token by token until the model ends it or `most` tokens; returns their count."""
        random = np.random.default_rng(seed)
        for count in range(most):
            logprobs = self._model.logprobs()
            token = pick(logprobs, temperature, random)
            if self._model.ends(token):
                return count
            say(token, float(logprobs[token]))
            self._model.check()
            if count + 1 < most:
                self._model.read([token], len(self._kept), last=True)
                self._kept.append(token)
        return most

    def follow(self, ids: Sequence[int]) -> Iterator[NDArray[np.float64]]:
        """(vocabulary,) log-probabilities before each of `ids`, which are read one by one as an answer would be written."""
        for number, token in enumerate(ids):
            yield self._model.logprobs()
            if number + 1 < len(ids):
                self._model.read([token], len(self._kept), last=True)
                self._kept.append(token)

    def embedding(self, sha256: str) -> NDArray[np.float32]:
        """(tokens, width) of an image that was read."""
        found = self._seen[sha256].embedding
        assert found is not None
        return found

    def score(self, choices: Sequence[Sequence[int]]) -> list[float]:
        """Log-probability of each choice (token ids, the ending included) after the conversation as it stands."""
        first = self._model.logprobs()
        totals: list[float] = []
        for group in _groups(choices, self._model.batch, BRANCHES - 1):
            refuse_overfull(len(self._kept), sum(len(ids) for ids in group), self._model.context_tokens)
            self._model.check()
            fed = [ids[:-1] for ids in group]
            with self._model.branches(len(group)):
                if any(fed):
                    self._model.read_branches(fed, len(self._kept))
                totals += self._sums(first, group)
        return totals

    def _sums(self, first: NDArray[np.float64], group: Sequence[Sequence[int]]) -> list[float]:
        row = 0
        totals = []
        for ids in group:
            total = float(first[ids[0]])
            for following in ids[1:]:
                total += float(self._model.logprobs(row)[following])
                row += 1
            totals.append(total)
        return totals


def _groups(choices: Sequence[Sequence[int]], tokens: int, most: int) -> list[list[Sequence[int]]]:
    """Split choices so that each group fits one batch of `tokens` and `most` branches."""
    groups: list[list[Sequence[int]]] = []
    for ids in choices:
        if len(ids) > tokens:
            raise ContextFull(f"a choice of {len(ids)} tokens is longer than the {tokens} that can be scored; shorten it")
        if groups and len(groups[-1]) < most and sum(map(len, groups[-1])) + len(ids) <= tokens:
            groups[-1].append(ids)
        else:
            groups.append([ids])
    return groups
