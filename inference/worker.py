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
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import errors
from errors import EngineError, IntervalError
from inference import wire
from inference.conversation import Conversation, Part
from inference.llama import Model
from inference.wire import Frame

Send = Callable[[Frame], None]

FRAME = 0.033
"""Seconds between two frames of words at least: nobody reads faster, and each wakes a process that takes a processor from this one."""


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
        if head["op"] == "wear":
            self._model.wear(head["adapter"], head["sha256"])
            self._conversation.forget()
            return Frame({"kind": "worn"})
        images = _images(head["images"], frame.tail)
        parts = [self._conversation.parts(wire.unpack_segments(packed), images) for packed in head["prompts"]]
        if head["op"] == "tokens":
            return Frame({"kind": "tokens", "ids": [-1 if isinstance(key, tuple) else key for part in parts[0] for key in part.keys]})
        if head["op"] == "stream":
            return self._stream(head, parts[0])
        if head["op"] == "score":
            return self._score(head, parts)
        raise EngineError(f"the engine does not know the operation {head['op']!r}")

    def _load(self, head: dict[str, Any]) -> Frame:
        _limit_memory(int(head["memory"]))
        self._model = Model(head["text"], head["mmproj"], head["context"], head["threads"])
        self._conversation = Conversation(self._model, head["cached_images"])
        tokens = self._model.tile(np.zeros((head["tile"], head["tile"], 3), np.uint8)).tokens
        sizes = {"context": self._model.context_tokens, "trained": self._model.trained_tokens, "tokens_per_image": tokens}
        return Frame({"kind": "ready", **sizes})

    def _tell(self, name: str, done: int, total: int) -> None:
        self._send(Frame({"kind": "stage", "name": name, "done": done, "total": total}))

    def _stream(self, head: dict[str, Any], parts: list[Part]) -> Frame:
        assert self._model is not None
        assert self._conversation is not None
        model = self._model
        work = self._conversation.read(parts, head["max_tokens"], self._tell)
        said: list[tuple[int, float]] = []
        sent = 0.0

        def spelled() -> list[tuple[int, float, str]]:
            return [(token, logprob, model.piece(token).hex()) for token, logprob in said]

        def say(token: int, logprob: float) -> None:
            nonlocal sent
            said.append((token, logprob))
            if time.monotonic() - sent >= FRAME:
                self._send(Frame({"kind": "words", "said": spelled()}))
                said.clear()
                sent = time.monotonic()

        count = self._conversation.write(head["max_tokens"], head["temperature"], head["seed"], say)
        return Frame({"kind": "done", "said": spelled(), "tokens": count, **vars(work)})

    def _score(self, head: dict[str, Any], prompts: list[list[Part]]) -> Frame:
        assert self._model is not None
        assert self._conversation is not None
        end = [self._model.control(head["end"])] if head["end"] else []
        choices = [[[*self._model.encode(choice), *end] for choice in listed] for listed in head["choices"]]
        totals, work = self._conversation.score(prompts, choices, self._tell)
        lengths = [[len(ids) for ids in listed] for listed in choices]
        return Frame({"kind": "scores", "logprobs": totals, "lengths": lengths, **vars(work)})


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
