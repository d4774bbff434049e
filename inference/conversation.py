"""What the GGUF engine's child has read so far: the conversation's prefix, those of other images, and the images it has seen.

Runs inside the child process only (`inference.worker`). Keeping them is what makes a second question fast, and readers who take turns
not slower than one. None of it shows in an answer: what is kept was read as it would be read now, and is put aside and taken up again
bit for bit. So an answer's own words, which were read one by one, are not kept.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import EngineError
from inference.branches import Branches
from inference.chat import Control, Segment
from inference.context import Key, common_prefix, refuse_overfull
from inference.llama import Model, Tile
from inference.prompts import ImageSlot
from inference.sampling import pick

WORTH = 8
"""Tokens that must be spared for a conversation to be taken up again."""
ASIDE = 512 << 20
"""Bytes of conversations put aside, at most."""
CONVERSATIONS = 64
"""Conversations put aside, at most."""
ALONG = 48
"""Tokens of text behind the images that are read with each question rather than once for all."""


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


@dataclass(frozen=True)
class Aside:
    """A conversation that was put aside: what was read, and the keys and values of it."""

    kept: list[Key]
    state: Any


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
        self._spared: dict[str, int] = {}  # image -> by how many its positions are fewer than its tokens, where they are
        self._aside: OrderedDict[tuple[Key, ...], Aside] = OrderedDict()  # by what was read up to the last image, the oldest first

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
        """Forget all that was read; images keep their embeddings."""
        self._aside.clear()
        self._model.keep(0)
        self._kept = []

    def _prepare(self, sha256: str, pixels: NDArray[np.uint8]) -> Seen:
        if sha256 not in self._seen:
            tile = self._model.tile(pixels)
            self._seen[sha256] = Seen(tile)
            if tile.positions < tile.tokens:
                self._spared[sha256] = tile.tokens - tile.positions
        self._seen.move_to_end(sha256)
        return self._seen[sha256]

    def _position(self, keys: Sequence[Key]) -> int:
        """Position of what follows `keys`, which end behind a whole image or in text."""
        if not self._spared:
            return len(keys)
        return len(keys) - sum(self._spared.get(key[0], 0) for key in keys if isinstance(key, tuple) and not key[1])

    def read(self, parts: Sequence[Part], room: int, tell: Callable[[str, int, int], None], *, ahead: bool = True) -> Work:
        """Bring the conversation to the end of `parts`, reusing the longest prefix it has in common with one that was read.

        `room` is how many tokens must still fit behind; with `ahead`, log-probabilities after the last token are wanted. Raises
        `ContextFull` before any work, `Cancelled`.
        """
        keys = [key for part in parts for key in part.keys]
        refuse_overfull(len(keys), room, self._model.context_tokens)
        work = Work(prompt_tokens=len(keys), reused_tokens=self._taken_up(parts, keys if ahead else [*keys, -1]))
        self._kept = keys[: work.reused_tokens]
        self._model.keep(self._position(self._kept))
        self._encode(parts, work, tell)
        tell("reading", 0, 0)
        started = time.monotonic()
        self._feed(parts)
        work.prefill_s = time.monotonic() - started
        self._evict()
        return work

    def _taken_up(self, parts: Sequence[Part], keys: Sequence[Key]) -> int:
        """Go on with the conversation that has most in common with the prompt; this one is put aside where its images would be lost."""
        here = _reusable(parts, keys, self._kept)
        known = {name: common for name, aside in self._aside.items() if (common := _reusable(parts, keys, aside.kept)) >= here + WORTH}
        best = self._aside[max(known, key=lambda name: known[name])] if known else None
        if any(isinstance(key, tuple) for key in self._kept[here:]):
            self._put_aside()
        if best is None:
            return here
        self._model.restore(best.state)
        self._kept = list(best.kept)
        return max(known.values())

    def _put_aside(self) -> None:
        name = tuple(self._kept[: _behind(self._kept)])
        if name not in self._aside or self._aside[name].kept != self._kept:
            self._model.keep(self._position(self._kept))
            self._aside[name] = Aside(list(self._kept), self._model.state())
        self._aside.move_to_end(name)
        while len(self._aside) > CONVERSATIONS or sum(len(aside.state) for aside in self._aside.values()) > ASIDE:
            self._aside.popitem(last=False)

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
                    self._model.look(seen.tile, seen.embedding, self._position(self._kept))
                else:
                    self._model.read(part.ids[done:], self._position(self._kept), last=number == len(parts) - 1)
                self._kept += keys[done:]
            position += len(keys)

    def _evict(self) -> None:
        while len(self._seen) > self._most:
            _, oldest = self._seen.popitem(last=False)
            self._model.forget(oldest.tile)

    def write(self, most: int, temperature: float, seed: int, say: Callable[[int, float], None]) -> int:
        """Continue the conversation token by token until the model ends it or `most` tokens; returns their count."""
        random, start = np.random.default_rng(seed), self._position(self._kept)
        for count in range(most):
            token, logprob = self._model.likeliest() if temperature <= 0 else self._drawn(temperature, random)
            if self._model.ends(token):
                return count
            say(token, logprob)
            self._model.check()
            if count + 1 < most:
                self._model.read([token], start + count, last=True)
        return most

    def _drawn(self, temperature: float, random: np.random.Generator) -> tuple[int, float]:
        logprobs = self._model.logprobs()
        token = pick(logprobs, temperature, random)
        return token, float(logprobs[token])

    def follow(self, ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """(vocabulary,) log-probabilities before each of `ids`, which are read one by one as an answer would be written."""
        start = self._position(self._kept)
        for number, token in enumerate(ids):
            yield self._model.logprobs()
            if number + 1 < len(ids):
                self._model.read([token], start + number, last=True)

    def embedding(self, sha256: str) -> NDArray[np.float32]:
        """(tokens, width) of an image that was read."""
        found = self._seen[sha256].embedding
        assert found is not None
        return found

    def score(
        self, prompts: Sequence[Sequence[Part]], choices: Sequence[Sequence[Sequence[int]]], tell: Callable[[str, int, int], None]
    ) -> tuple[list[list[float]], Work]:
        """Log-probability of each prompt's choices (token ids, the ending included) as what follows it.

        What the prompts have in common up to their last image is read and kept; the rest and all choices are read side by side.
        """
        keys = [[key for part in prompt for key in part.keys] for prompt in prompts]
        cut = _cut(keys)
        room = min(self._model.batch, self._model.context_tokens - cut)
        groups: list[Branches] = []
        for one, listed in zip(keys, choices, strict=True):
            suffix = [key for key in one[cut:] if isinstance(key, int)]
            if len(suffix) < len(one) - cut:
                raise EngineError("questions that are scored together must show the same images; ask them one by one")
            for ids in listed:
                if not groups or not groups[-1].takes([*suffix, *ids], room):
                    groups.append(Branches())
                groups[-1].add([*suffix, *ids], len(suffix), self._model.batch)
        work = self.read(_first(prompts[0], cut), max((len(group.tokens) for group in groups), default=0), tell, ahead=False)
        start = self._position(keys[0][:cut])
        found = iter([total for group in groups for total in self._weighed(group, start)])
        return [[next(found) for _ in listed] for listed in choices], replace(work, prompt_tokens=max(map(len, keys)))

    def _weighed(self, group: Branches, start: int) -> list[float]:
        """Log-probability of each answer of the group, which stands at position `start`."""
        self._model.check()
        totals = [0.0] * group.count
        with self._model.branches(group.cells(start), group.branches):
            for place, due in group.due.items():
                row = self._model.logprobs(place)
                for number, token in due:
                    totals[number] += float(row[token])
        return totals


def _reusable(parts: Sequence[Part], keys: Sequence[Key], kept: Sequence[Key]) -> int:
    """Length of the prefix both have, never inside an image, and never so that one token alone is left to read of a text."""
    common = common_prefix(keys, kept)
    start = 0
    for part in parts:
        length = len(part.keys)
        if part.sha256 and start < common < start + length:
            return start
        if start < common == start + length - 1:
            return common - 1
        start += length
    return common


def _cut(prompts: Sequence[Sequence[Key]]) -> int:
    """Where prompts that are scored together are parted from what all have in common: behind the images, or behind a long text."""
    first = prompts[0]
    behind = _behind(first)
    shared = min(common_prefix(one, first if number else one) for number, one in enumerate(prompts))
    return behind if shared - behind <= ALONG else shared - 1


def _behind(keys: Sequence[Key]) -> int:
    """Where the last image ends."""
    return max((place + 1 for place, key in enumerate(keys) if isinstance(key, tuple)), default=0)


def _first(parts: Sequence[Part], tokens: int) -> list[Part]:
    """The parts of a prompt's first `tokens` tokens."""
    out: list[Part] = []
    for part in parts:
        if tokens <= 0:
            break
        out.append(part if part.sha256 else Part(part.ids[:tokens]))
        tokens -= len(part.keys)
    return out
