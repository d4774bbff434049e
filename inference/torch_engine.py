"""A model of any family of `inference.families` through transformers, on CUDA in bfloat16 or on the CPU in float32.

Prompts, tiles and tokens of the bundled model's family are those of the GGUF engine, so their greedy answers can be compared word
for word. It has its own small decoding loop, because a reader sees each token with its log-probability and can stop between two
layers. Torch and transformers are imported with the first model, never with this module.

    engine = TorchEngine(Path("~/.local/share/interval/models/bundled").expanduser())
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from errors import Cancelled, EngineError, ModelNotLoaded
from inference import adapter as adapters
from inference import chat, families, manifest, pixels, weights
from inference.context import refuse_overfull
from inference.engine import Image, OnStage, Request, Scores, Stage, Timings, Token
from inference.hardware import physical_cores
from inference.manifest import Manifest
from inference.order import ordered
from inference.sampling import pick
from inference.torch_model import Device, TorchModel
from inference.turnstile import Turnstile
from inference.words import Words

LOOK = 0.03
"""Seconds between looks at the stop while the weights are read."""


class _Loading(threading.Thread):
    """Reads the weights aside, so that a reader who has waited long enough can go; `stages` is what it has done so far, in order."""

    def __init__(self, work: Callable[[OnStage], TorchModel]) -> None:
        super().__init__(name="loading", daemon=True)
        self._work = work
        self.stages: list[Stage] = []
        self.model: TorchModel | None = None
        self.error: BaseException | None = None
        self.done = Event()

    def run(self) -> None:
        """Load, and keep the model or the error."""
        try:
            self.model = self._work(self.stages.append)
        except BaseException as error:
            self.error = error
        finally:
            self.done.set()


class TorchEngine:
    """Runs the transformers folder of a model folder. The weights are read with the first question.

    `threads` 0 takes one for each physical core. `listed` is the manifest where the folder has none of its own. `adapter` is the
    folder of a PEFT adapter trained on these weights. Raises `ModelNotLoaded` when files are missing or are not what a manifest lists.
    """

    def __init__(
        self,
        folder: Path,
        context_tokens: int = 4096,
        threads: int = 0,
        max_images: int = 8,
        device: Device = "cpu",
        listed: Manifest | None = None,
        adapter: Path | None = None,
        four_bit: bool = False,
    ) -> None:
        self._folder, self._device, self._four_bit = folder, device, four_bit
        self._manifest = listed or manifest.read(folder)
        if self._manifest.family not in families.NAMES:
            raise ModelNotLoaded(f"{folder} is of the family {self._manifest.family!r}, which is none of {families.known()}")
        if not any(name.endswith(".safetensors") for name in self._manifest.weights):
            raise ModelNotLoaded(f"{folder} lists no safetensors weights for transformers; use the GGUF engine or export the model again")
        absent = self._manifest.on_demand if weights.missing(folder, self._manifest) else ()
        manifest.refuse_changed(folder, self._manifest, [name for name in self._manifest.weights if name not in absent])
        card = self._manifest.card("torch", context_tokens, self._manifest.weights)
        self._bare = self.card = replace(card, max_images=min(card.max_images, max_images))
        self._adapter: Path | None = None
        self._threads = threads or physical_cores()
        self._line = Turnstile()
        self._mine = threading.local()
        self._words: Words | None = None
        self._model: TorchModel | None = None
        self._loading: _Loading | None = None
        self._closed = False
        if adapter is not None:
            self.wear(adapter)

    def wear(self, adapter: Path | None) -> None:
        """Answer from the next question on with the adapter in that folder, None without any; the weights are read again for it.

        Raises `ModelNotLoaded`, changing nothing, when it was trained on another model. Taking a merged adapter out of the weights
        would leave their last bits changed, reading them does not.
        """
        card = adapters.worn(self._bare, adapters.checked(adapter, self._manifest)) if adapter is not None else self._bare
        ticket = self._line.enter()
        try:
            if self._loading is not None:
                self._loading.join()
            self._model, self._loading = None, None
            self._adapter, self.card = adapter, card
        finally:
            self._line.leave(ticket)

    @property
    def timings(self) -> Timings:
        """Timings of this thread's last request."""
        return getattr(self._mine, "timings", Timings())

    def load(self, on_stage: OnStage | None = None) -> None:
        """Read the weights now. Raises `ModelNotLoaded`."""
        ticket = self._line.enter()
        try:
            self._ready(on_stage or _nobody)
        finally:
            self._line.leave(ticket)

    def prompt(self, request: Request) -> str:
        """The whole prompt for the record; see `Engine.prompt`. Raises `ModelNotLoaded` when the folder has no template for it."""
        return chat.written(self._asked(request)[0])

    def stream(self, request: Request, cancel: Event, on_stage: OnStage | None = None) -> Iterator[Token]:
        """Yield tokens as they are made; see `Engine.stream`. Also raises `ModelNotLoaded`."""
        tell = on_stage or _nobody
        started = time.monotonic()
        ticket = self._line.enter(cancel, lambda: tell(Stage("waiting")))
        work = Timings()
        try:
            model, work = self._begin(request, request.options.max_tokens, cancel, tell)
            for token in self._write(model, request, cancel):
                if token.position == 0:
                    tell(Stage("writing"))
                    work = replace(work, first_token_s=time.monotonic() - started)
                work = replace(work, tokens=token.position + 1)
                yield token
        finally:
            self._mine.timings = replace(work, total_s=time.monotonic() - started)
            self._line.leave(ticket)

    def score(self, request: Request, choices: Sequence[str], cancel: Event | None = None, *, whole: bool = True) -> Scores:
        """Log-probability of each choice; with `whole`, of the token that ends the answer behind it too."""
        cancel = cancel or Event()
        started = time.monotonic()
        ticket = self._line.enter(cancel)
        try:
            model, work = self._begin(request, 0, cancel, _nobody)
            ids = [self._answer(request, choice, whole) for choice in choices]
            longest = max(map(len, ids), default=0)
            refuse_overfull(work.prompt_tokens, longest, self.card.context_tokens)
            totals = model.score(ids)
            self._mine.timings = replace(work, total_s=time.monotonic() - started)
            return Scores(tuple(totals), tuple(map(len, ids)))
        finally:
            self._line.leave(ticket)

    def relevance(self, request: Request, answer: str, cancel: Event | None = None) -> tuple[NDArray[np.float32], ...]:
        """Where the images bear on the words `answer`: one map for each image in declared order; see `inference.relevance`.

        Raises `Cancelled`, `ContextFull`, `ModelNotLoaded`.
        """
        from inference.relevance import patched

        cancel = cancel or Event()
        ticket = self._line.enter(cancel)
        try:
            model = self._ready(_nobody, cancel)
            model.cancel = cancel
            keys, ids = model.keys(self._asked(request)[0], request.images), self._answer(request, answer, True)
            refuse_overfull(len(keys), len(ids), self.card.context_tokens)
            tiles = {image.sha256: pixels.tile(image.pixels, self._manifest.tile) for image in request.images}
            found = model.relevance(keys, tiles, ids)
            return patched([found[image.sha256] for image in request.images], model.form.patch)
        finally:
            self._line.leave(ticket)

    def counts(self) -> bool:
        """Whether `token_ids` need not wait for the weights to be read."""
        loading = self._loading
        return self._model is not None or (loading is not None and loading.done.is_set())

    def token_ids(self, request: Request) -> list[int]:
        """Token ids of the prompt as the model reads it; -1 for each image token."""
        ticket = self._line.enter()
        try:
            model = self._ready(_nobody)
            keys = model.keys(self._asked(request)[0], request.images)
            return [-1 if isinstance(key, tuple) else key for key in keys]
        finally:
            self._line.leave(ticket)

    def close(self) -> None:
        """Free the weights."""
        self._closed, self._model, self._loading = True, None, None

    def _ready(self, tell: OnStage, cancel: Event | None = None) -> TorchModel:
        """The model, once it is loaded. A stop leaves the loading to go on for the next question."""
        if self._closed:
            raise EngineError("this engine was closed; open it again")
        if self._model is not None:
            return self._model
        if self._loading is None:
            self._loading = _Loading(self._load)
            self._loading.start()
        loading, told, done = self._loading, 0, False
        while not done:
            done = loading.done.wait(LOOK)
            for stage in loading.stages[told:]:
                tell(stage)
                told += 1
            if not done and cancel is not None and cancel.is_set():
                raise Cancelled("the answer was stopped")
        self._loading = None
        if loading.model is None:
            assert loading.error is not None
            raise loading.error
        self._model = loading.model
        return self._model

    def _load(self, tell: OnStage) -> TorchModel:
        if weights.missing(self._folder, self._manifest):
            tell(Stage("making"))
            weights.made(self._folder, self._manifest)
        tell(Stage("loading"))
        return TorchModel(self._read(), self._device, self._threads, self._adapter, self._four_bit)

    def _read(self) -> Words:
        """Tokenizer and template of the folder, whose configuration must be what the manifest says."""
        if self._words is None:
            listed = self._manifest
            form = families.form(self._folder / listed.hf, listed.tile)
            if form.family.name != listed.family:
                raise ModelNotLoaded(
                    f"{self._folder} is a {form.family.name} model and its manifest says {listed.family}; {manifest.REBUILD}"
                )
            if form.tokens != listed.tokens_per_image:
                said = f"{self._folder} makes {form.tokens} tokens of an image and its manifest says {listed.tokens_per_image}"
                raise ModelNotLoaded(f"{said}; {manifest.REBUILD}")
            self._words = Words(form)
        return self._words

    def _asked(self, request: Request, answer: str = "") -> tuple[Sequence[chat.Segment], Sequence[chat.Segment]]:
        """The prompt in the family's words and order of images, and `answer` with what ends it."""
        return self._read().asked(ordered(request, self.card.image_order), answer)

    def _answer(self, request: Request, answer: str, whole: bool) -> list[int]:
        """Token ids of an answer as the template writes it, what ends it included if it is the `whole` answer."""
        parts = self._asked(request, answer)[1]
        return self._read().ids(parts if whole else parts[:-1])

    def _closing(self, request: Request) -> str:
        last = self._asked(request)[1][-1]
        assert isinstance(last, chat.Control)
        return last.name

    def _begin(self, request: Request, room: int, cancel: Event, tell: OnStage) -> tuple[TorchModel, Timings]:
        """Load, encode and read the prompt: the model with the prompt behind it, and what it cost so far."""
        started = time.monotonic()
        waits = self._model is None
        model = self._ready(tell, cancel)
        load_s = time.monotonic() - started if waits else 0.0
        keys = model.keys(self._asked(request)[0], request.images)
        refuse_overfull(len(keys), room, self.card.context_tokens)
        model.cancel = cancel
        started = time.monotonic()
        encoded = self._encode(model, request.images, cancel, tell)
        encode_s = time.monotonic() - started if encoded else 0.0
        tell(Stage("reading"))
        started = time.monotonic()
        reused = model.read(keys)
        prefill_s = time.monotonic() - started
        work = Timings(load_s, encode_s, prefill_s, prompt_tokens=len(keys), reused_tokens=reused, images_encoded=encoded)
        return model, work

    def _encode(self, model: TorchModel, images: Sequence[Image], cancel: Event, tell: OnStage) -> int:
        """Encode the images that are not in the cache; returns how many."""
        encoded = 0
        for number, image in enumerate(images, 1):
            if model.knows(image.sha256):
                continue
            if cancel.is_set():
                raise Cancelled("the answer was stopped")
            tell(Stage("encoding", number, len(images)))
            model.embed(image.sha256, pixels.tile(image.pixels, self._manifest.tile))
            encoded += 1
        return encoded

    def _write(self, model: TorchModel, request: Request, cancel: Event) -> Iterator[Token]:
        options = request.options
        ends = model.endings(self._closing(request))
        random = np.random.default_rng(options.seed)
        say = model.speaker()
        for position in range(options.max_tokens):
            if cancel.is_set():
                raise Cancelled("the answer was stopped")
            chosen = pick(model.after, options.temperature, random)
            if chosen in ends:
                return
            yield Token(say(chosen), float(model.after[chosen]), position, chosen)
            if position + 1 < options.max_tokens:
                model.extend([chosen])


def _nobody(_stage: Stage) -> None:
    return
