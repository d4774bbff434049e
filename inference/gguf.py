"""A GGUF model on llama.cpp, in a child process: the engine of every machine without a large GPU.

What it keeps between questions makes the second one fast: each image's embedding by hash, and the conversation's
key/value prefix. A follow-up about the same pair encodes nothing and reads only its own words.

    engine = GgufEngine(Path("~/.local/share/interval/models/bundled").expanduser())
    for token in engine.stream(Request(images, "What changed since the prior?"), Event()):
        print(token.text, end="")
"""

from __future__ import annotations

import codecs
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

import errors
from errors import Cancelled, EngineDied, EngineError, ModelNotLoaded
from inference import adapter as adapters
from inference import chat, manifest, pixels, wire
from inference.child import Child
from inference.engine import Asked, OnStage, Request, Scores, Stage, Timings, Token
from inference.hardware import physical_cores
from inference.manifest import Manifest
from inference.meter import Meter
from inference.order import ordered
from inference.turnstile import Turnstile
from inference.wire import Frame

LOOK = 0.03
"""Seconds between looks at the stop while the child works."""
PATIENCE = 2.0
"""Seconds a child has to acknowledge a stop before it is ended."""
CACHED_IMAGES = 64
_NONE = ("", "")
"""No adapter: neither a path nor a hash."""
SPARE_MEMORY = 8 << 30
"""Address space the child may use beyond four times its files, in bytes."""


@dataclass(frozen=True)
class Measured:
    """What a GGUF pair turned out to be: tokens an image becomes, and tokens of context it was trained with."""

    tokens_per_image: int
    trained_tokens: int


def measured(folder: Path, listed: Manifest) -> Measured:
    """Open a GGUF pair once, in a child process, and ask what it makes of an image and whether it knows its family's tokens.

    Raises `ModelNotLoaded` when it is damaged, no pair, or of another family; `EngineDied` when it breaks the parser.
    """
    child = Child("inference.worker", physical_cores())
    try:
        child.send(Frame(_load(folder, listed, 512, physical_cores())))
        ready = _next(child)
        black = np.zeros((listed.tile, listed.tile, 3), np.uint8)
        child.send(_frame({"op": "tokens", "id": 1}, [Request((pixels.image(black),), "?")], listed, pixels.Tiles(listed.tile)))
        _next(child)
        return Measured(int(ready.head["tokens_per_image"]), int(ready.head["trained"]))
    finally:
        child.end()


def _next(child: Child) -> Frame:
    """The child's next answer. Raises what it raised."""
    frame = child.receive(600.0)
    if frame is None:
        raise EngineError("the model did not load within ten minutes; free some memory and try again")
    if frame.head["kind"] == "error":
        raise _error(frame)
    return frame


def _load(folder: Path, listed: Manifest, context: int, threads: int) -> dict[str, Any]:
    """The operation that loads a pair."""
    text, mmproj = folder / listed.text, folder / listed.mmproj
    size = text.stat().st_size + mmproj.stat().st_size
    head = {"op": "load", "id": 0, "text": str(text), "mmproj": str(mmproj), "tile": listed.tile, "cached_images": CACHED_IMAGES}
    return head | {"context": context, "threads": threads, "memory": 4 * size + SPARE_MEMORY}


def _frame(head: dict[str, Any], requests: Sequence[Request], listed: Manifest, tiles: pixels.Tiles) -> Frame:
    """An operation about requests that show the same images, these as the tiles the model is shown."""
    images = [(image.sha256, tiles(image)) for image in requests[0].images]
    shown = [{"sha256": name, "height": tile.shape[0], "width": tile.shape[1]} for name, tile in images]
    packed = [wire.pack_segments(chat.segments(ordered(request, listed.image_order), listed.family)) for request in requests]
    return Frame({**head, "prompts": packed, "images": shown}, b"".join(tile.tobytes() for _, tile in images))


class GgufEngine:
    """Runs the GGUF pair of a model folder. The child starts loading at once; the first question waits for it.

    `threads` 0 takes one for each physical core; `adapter` is the folder of an adapter trained on this model. Raises
    `ModelNotLoaded` when the folder's files are missing or are not what its manifest lists.
    """

    def __init__(
        self, folder: Path, context_tokens: int = 4096, threads: int = 0, max_images: int = 8, adapter: Path | None = None
    ) -> None:
        self._folder = folder
        self._manifest = manifest.read(folder)
        chat.template(self._manifest.family)
        names = (self._manifest.text, self._manifest.mmproj)
        manifest.refuse_changed(folder, self._manifest, names)
        card = self._manifest.card("gguf", context_tokens, names)
        self._bare = self.card = replace(card, max_images=min(card.max_images, max_images))
        self._wanted = _NONE
        self._worn: tuple[str, str] | None = _NONE
        self._threads = threads or physical_cores()
        self._tiles = pixels.Tiles(self._manifest.tile)
        self._line = Turnstile()
        self._mine = threading.local()
        self._number = 0
        self._loaded = self._closed = False
        if adapter is not None:
            self.wear(adapter)
        self._child = self._start()

    def wear(self, adapter: Path | None) -> None:
        """Answer from the next question on with the adapter in that folder, None without any; nothing is loaded anew.

        Raises `ModelNotLoaded`, changing nothing, when it was trained on another model or llama.cpp cannot serve it.
        """
        wanted, card = _NONE, self._bare
        if adapter is not None:
            listed = adapters.checked(adapter, self._manifest)
            if adapters.GGUF not in listed.files:
                raise ModelNotLoaded(f"{adapter} has no {adapters.GGUF}, so llama.cpp cannot serve it; use @torch, or export it merged")
            wanted, card = (str(adapter / adapters.GGUF), listed.files[adapters.GGUF]), adapters.worn(self._bare, listed)
        ticket = self._line.enter()
        try:
            self._wanted, self.card = wanted, card
        finally:
            self._line.leave(ticket)

    @property
    def timings(self) -> Timings:
        """Timings of this thread's last request."""
        return getattr(self._mine, "timings", Timings())

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._child.pid

    def load(self, on_stage: OnStage | None = None) -> None:
        """Wait until the model is loaded. Raises `ModelNotLoaded`, `EngineDied`."""
        ticket = self._line.enter()
        try:
            self._ready(Event(), on_stage)
        finally:
            self._line.leave(ticket)

    def prompt(self, request: Request) -> str:
        """The whole prompt for the record; see `Engine.prompt`."""
        return chat.written(chat.segments(ordered(request, self.card.image_order), self._manifest.family))

    def stream(self, request: Request, cancel: Event, on_stage: OnStage | None = None) -> Iterator[Token]:
        """Yield tokens as they are made; see `Engine.stream`. Also raises `EngineDied`, `ModelNotLoaded`."""
        options = request.options
        tell = on_stage or _nobody
        head = {"op": "stream", "max_tokens": options.max_tokens, "temperature": options.temperature, "seed": options.seed}
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        meter, done = Meter(time.monotonic()), {}
        try:
            for frame in self._exchange(head, [request], cancel, tell, meter):
                done = frame.head
                for token, logprob, raw in done.get("said", ()):
                    if not meter.tokens:
                        meter.first_token_s = time.monotonic() - meter.started
                        tell(Stage("writing"))
                    yield Token(decoder.decode(bytes.fromhex(raw)), logprob, meter.tokens, token)
                    meter.tokens += 1
        finally:
            self._mine.timings = meter.timings(done)

    def score(self, request: Request, choices: Sequence[str], cancel: Event | None = None, *, whole: bool = True) -> Scores:
        """Log-probability of each choice; with `whole`, of the token that ends the answer behind it too."""
        return self.score_many(request, [(request.question, choices)], cancel, whole=whole)[0]

    def score_many(self, request: Request, asked: Asked, cancel: Event | None = None, *, whole: bool = True) -> tuple[Scores, ...]:
        """Several questions about the same images, each with its choices, in one reading; see `engine.scored`."""
        form = chat.template(self._manifest.family)
        led = [[form.lead + choice for choice in choices] for _, choices in asked]
        head = {"op": "score", "choices": led, "end": form.closing.name if whole else ""}
        requests = [replace(request, question=question) for question, _ in asked]
        meter = Meter(time.monotonic())
        found: tuple[Scores, ...] = ()
        for frame in self._exchange(head, requests, cancel or Event(), _nobody, meter):
            if frame.head["kind"] == "scores":
                rows = zip(frame.head["logprobs"], frame.head["lengths"], strict=True)
                found = tuple(Scores(tuple(logprobs), tuple(lengths)) for logprobs, lengths in rows)
            self._mine.timings = meter.timings(frame.head)
        return found

    def counts(self) -> bool:
        """Whether `token_ids` need not wait for the model to load; that it has loaded since it was asked last is noticed here."""
        ticket = self._line.enter_if_free() if not self._loaded else None
        if ticket is not None:
            try:
                if (frame := self._child.receive(0.0)) is not None:
                    self._accept(frame)
            except EngineError:
                return False  # the next question says why
            finally:
                self._line.leave(ticket)
        return self._loaded and self._child.alive

    def token_ids(self, request: Request) -> list[int]:
        """Token ids of the prompt as the model reads it; -1 for each image token."""
        meter = Meter(time.monotonic())
        frames = list(self._exchange({"op": "tokens"}, [request], Event(), _nobody, meter))
        return [int(token) for token in frames[-1].head["ids"]]

    def close(self) -> None:
        """End the child process."""
        self._closed = True
        self._child.end()

    def _start(self) -> Child:
        """A new child that begins to load; the files were checked by the caller."""
        self._loaded, self._worn = False, _NONE
        child = Child("inference.worker", self._threads)
        weakref.finalize(self, child.end)
        child.send(Frame(_load(self._folder, self._manifest, self.card.context_tokens, self._threads)))
        return child

    def _ready(self, cancel: Event, tell: OnStage | None) -> None:
        """Wait for the child, starting another if it has died since. Raises `ModelNotLoaded`, `Cancelled`, `EngineDied`."""
        if self._closed:
            raise EngineError("this engine was closed; open it again")
        if not self._child.alive:
            manifest.refuse_changed(self._folder, self._manifest, (self._manifest.text, self._manifest.mmproj))
            self._child.end()
            self._child = self._start()
        if self._loaded:
            return
        if tell is not None:
            tell(Stage("loading"))
        while not self._loaded:
            if cancel.is_set():
                raise Cancelled("the answer was stopped")
            frame = self._child.receive(LOOK)
            if frame is not None:
                self._accept(frame)

    def _accept(self, frame: Frame) -> None:
        """Take the child's answer to `load`."""
        if frame.head["kind"] != "ready":
            self._child.end()
            raise _error(frame)
        found, listed = frame.head["tokens_per_image"], self._manifest.tokens_per_image
        if found != listed:
            self._child.end()
            raise ModelNotLoaded(f"{self._folder} makes {found} tokens of an image and its manifest says {listed}; {manifest.REBUILD}")
        self._loaded = True

    def _exchange(self, head: dict[str, Any], requests: Sequence[Request], cancel: Event, tell: OnStage, meter: Meter) -> Iterator[Frame]:
        """Send one operation in turn and yield its frames; the last one ends it. Raises what the child raised."""
        ticket = self._line.enter(cancel, lambda: tell(Stage("waiting")))
        try:
            started = time.monotonic()
            waits = not self._loaded
            self._ready(cancel, tell)
            self._dress(cancel, tell)
            meter.load_s = time.monotonic() - started if waits else 0.0
            self._number += 1
            number = self._number
            self._child.send(_frame({**head, "id": number}, requests, self._manifest, self._tiles))
            yield from self._frames(number, cancel, tell)
        finally:
            self._line.leave(ticket)

    def _dress(self, cancel: Event, tell: OnStage) -> None:
        """Bring the child to the adapter that is wanted. Raises `ModelNotLoaded` when it cannot be put on."""
        if self._worn == self._wanted:
            return
        self._number += 1
        path, sha256 = self._wanted
        self._worn = None  # until it is known: a stop may come before the child has put it on, or after
        self._child.send(Frame({"op": "wear", "id": self._number, "adapter": path, "sha256": sha256}))
        list(self._frames(self._number, cancel, tell))
        self._worn = self._wanted

    def _frames(self, number: int, cancel: Event, tell: OnStage) -> Iterator[Frame]:
        """Frames of operation `number`, stages told on the way. However it is left, the child is idle or ended after it."""
        ended = False
        stopped_at = 0.0
        try:
            while not ended:
                if cancel.is_set() and not stopped_at:
                    stopped_at = self._stop(number)
                frame = self._receive(stopped_at)
                if frame is None:
                    continue
                kind = frame.head["kind"]
                ended = kind not in ("stage", "words")
                if kind == "error":
                    raise _error(frame)
                if kind == "stage":
                    tell(Stage(frame.head["name"], frame.head["done"], frame.head["total"]))
                elif not stopped_at:
                    yield frame
            if stopped_at:
                raise Cancelled("the answer was stopped")
        except EngineDied:
            ended = True
            raise
        finally:
            if not ended:
                self._drain(stopped_at or self._stop(number))

    def _stop(self, number: int) -> float:
        self._child.send(Frame({"op": "stop", "id": number}))
        return time.monotonic()

    def _receive(self, stopped_at: float) -> Frame | None:
        """The next frame. A child that does not stop in time is ended, and its end is the stop."""
        if stopped_at and time.monotonic() - stopped_at > PATIENCE:
            self._child.end()
            raise Cancelled("the answer was stopped")
        return self._child.receive(LOOK)

    def _drain(self, stopped_at: float) -> None:
        """Read what a stopped operation still says until it ends."""
        try:
            while (frame := self._receive(stopped_at)) is None or frame.head["kind"] in ("stage", "words"):
                pass
        except (Cancelled, EngineDied):
            return


def _nobody(_stage: Stage) -> None:
    return


def _error(frame: Frame) -> EngineError:
    """The child's error as the same error here; an unknown name becomes `EngineError`."""
    kind = getattr(errors, str(frame.head.get("error")), EngineError)
    known = isinstance(kind, type) and issubclass(kind, EngineError)
    return kind(str(frame.head.get("text"))) if known else EngineError(str(frame.head.get("text")))
