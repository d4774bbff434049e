"""The engine's child process: it alone touches model files and llama.cpp, behind two pipes and resource limits.

A model file that breaks its parser, or a bug in a kernel, ends this process and nothing else. Started by
`inference.gguf` as `python -m inference.worker`; speaks `inference.wire` on standard input and output.
"""

from __future__ import annotations

import ctypes
import os
import queue
import resource
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import errors
from errors import ContextFull, EngineError, IntervalError
from inference import wire
from inference.chat import Control, Segment
from inference.llama import BRANCHES, Model, Tile
from inference.prompts import ImageSlot
from inference.sampling import pick
from inference.wire import Frame

Key = int | tuple[str, int]
"""One cell of the conversation: a token id, or (image hash, index within the image)."""
Send = Callable[[Frame], None]


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
        self._refuse_overfull(len(keys), room)
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

    def _refuse_overfull(self, tokens: int, room: int) -> None:
        whole = self._model.context_tokens
        if tokens + room > whole:
            raise ContextFull(
                f"the question with its images takes {tokens} tokens and the answer may take {room}, but the model holds {whole}; "
                "use fewer images, a shorter question or a new session"
            )

    def _reusable(self, parts: Sequence[Part], keys: Sequence[Key]) -> int:
        """Length of the common prefix, at least one token short of the prompt and never inside an image."""
        common = 0
        while common < min(len(keys) - 1, len(self._kept)) and keys[common] == self._kept[common]:
            common += 1
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

    def score(self, choices: Sequence[Sequence[int]]) -> list[float]:
        """Log-probability of each choice (token ids, the ending included) after the conversation as it stands."""
        first = self._model.logprobs()
        totals: list[float] = []
        for group in _groups(choices, self._model.batch, BRANCHES - 1):
            self._refuse_overfull(len(self._kept), sum(len(ids) for ids in group))
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


class Worker:
    """Answers frames one after the other; a second thread listens for stops and for the parent's end."""

    def __init__(self, source: int, send: Send) -> None:
        self._source = source
        self._send = send
        self._frames: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._now = self._stopped = 0
        self._model: Model | None = None
        self._conversation: Conversation | None = None

    def run(self) -> None:
        """Work until the parent closes the pipe."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            frame = self._frames.get()
            with self._lock:
                self._now = int(frame.head.get("id", 0))
                if self._model is not None:
                    (self._model.stop if self._now <= self._stopped else self._model.go)()
            try:
                self._send(self._handle(frame))
            except IntervalError as error:
                self._send(Frame({"kind": "error", "error": type(error).__name__, "text": str(error)}))
            except Exception as error:
                text = f"the engine failed at this question ({type(error).__name__}: {error}); ask again"
                self._send(Frame({"kind": "error", "error": "EngineError", "text": text}))

    def _listen(self) -> None:
        reader = wire.Reader()
        while data := os.read(self._source, 1 << 16):
            reader.feed(data)
            while frame := reader.next():
                if frame.head["op"] == "stop":
                    self._stop(int(frame.head["id"]))
                else:
                    self._frames.put(frame)
        os._exit(0)

    def _stop(self, number: int) -> None:
        with self._lock:
            self._stopped = max(self._stopped, number)
            if self._now == number and self._model is not None:
                self._model.stop()

    def _handle(self, frame: Frame) -> Frame:
        head = frame.head
        if head["op"] == "load":
            return self._load(head)
        if self._conversation is None or self._model is None:
            raise errors.ModelNotLoaded("the engine was asked before a model was loaded")
        parts = self._conversation.parts(wire.unpack_segments(head["segments"]), _images(head["images"], frame.tail))
        if head["op"] == "tokens":
            return Frame({"kind": "tokens", "ids": [-1 if isinstance(key, tuple) else key for part in parts for key in part.keys]})
        if head["op"] == "stream":
            return self._stream(head, parts)
        if head["op"] == "score":
            return self._score(head, parts)
        raise EngineError(f"the engine does not know the operation {head['op']!r}")

    def _load(self, head: dict[str, Any]) -> Frame:
        _limit_memory(int(head["memory"]))
        self._model = Model(head["text"], head["mmproj"], head["context"], head["threads"])
        self._conversation = Conversation(self._model, head["cached_images"])
        tokens = self._model.tile(np.zeros((head["tile"], head["tile"], 3), np.uint8)).tokens
        return Frame({"kind": "ready", "context": self._model.context_tokens, "tokens_per_image": tokens})

    def _tell(self, name: str, done: int, total: int) -> None:
        self._send(Frame({"kind": "stage", "name": name, "done": done, "total": total}))

    def _stream(self, head: dict[str, Any], parts: list[Part]) -> Frame:
        assert self._model is not None
        assert self._conversation is not None
        model = self._model
        work = self._conversation.read(parts, head["max_tokens"], self._tell)

        def say(token: int, logprob: float) -> None:
            self._send(Frame({"kind": "token", "id": token, "logprob": logprob, "hex": model.piece(token).hex()}))

        count = self._conversation.write(head["max_tokens"], head["temperature"], head["seed"], say)
        return Frame({"kind": "done", "tokens": count, **vars(work)})

    def _score(self, head: dict[str, Any], parts: list[Part]) -> Frame:
        assert self._model is not None
        assert self._conversation is not None
        end = self._model.control(head["end"])
        choices = [[*self._model.encode(choice), end] for choice in head["choices"]]
        work = self._conversation.read(parts, 0, self._tell)
        totals = self._conversation.score(choices)
        return Frame({"kind": "scores", "logprobs": totals, "lengths": [len(ids) for ids in choices], **vars(work)})


def _images(listed: Sequence[dict[str, Any]], tail: bytes) -> list[tuple[str, NDArray[np.uint8]]]:
    """(sha256, (H, W, 3) pixels) of the images whose bytes follow each other in `tail`."""
    out: list[tuple[str, NDArray[np.uint8]]] = []
    start = 0
    for image in listed:
        size = image["height"] * image["width"] * 3
        pixels = np.frombuffer(tail, np.uint8, size, start).reshape(image["height"], image["width"], 3)
        out.append((image["sha256"], np.ascontiguousarray(pixels)))
        start += size
    return out


def _limit_memory(size: int) -> None:
    """Cap this process's address space in bytes."""
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _confine() -> None:
    """No core dumps, no files written, few descriptors, no new privileges: what a broken parser could reach for."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS


def main() -> None:
    """Take over standard input and output for frames; whatever a library prints goes to standard error."""
    target = os.dup(1)
    os.dup2(2, 1)
    _confine()
    lock = threading.Lock()

    def send(frame: Frame) -> None:
        with lock:
            try:
                wire.write(target, frame)
            except wire.Closed:
                os._exit(0)

    Worker(0, send).run()


if __name__ == "__main__":
    main()
