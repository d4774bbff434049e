"""The same model through transformers, on CUDA in bfloat16 or on the CPU in float32.

Prompts, tiles and tokens are those of the GGUF engine, so their greedy answers can be compared word for word. It has its
own small decoding loop, because a reader sees each token with its log-probability and can stop between two layers.
Torch and transformers are imported with the first model, never with this module.

    engine = TorchEngine(Path("~/.local/share/interval/models/bundled").expanduser())
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from errors import Cancelled, ContextFull, EngineError, ModelNotLoaded
from inference import chat, manifest, pixels
from inference.engine import RGB, Image, OnStage, Request, Scores, Stage, Timings, Token
from inference.hardware import physical_cores
from inference.manifest import Manifest
from inference.sampling import pick
from inference.turnstile import Turnstile

CACHED_IMAGES = 64
ENDINGS = ("<|endoftext|>", "<end_of_utterance>")
"""Tokens that end an answer besides the template's own, as llama.cpp has them too."""

Device = Literal["cpu", "cuda"]
Key = int | tuple[str, int]


class TorchEngine:
    """Runs the transformers folder of a model folder. The weights are read with the first question.

    `threads` 0 takes one for each physical core. `listed` is the manifest where the folder has none of its own. Raises
    `ModelNotLoaded` when files are missing or are not what the manifest lists.
    """

    def __init__(
        self,
        folder: Path,
        context_tokens: int = 4096,
        threads: int = 0,
        max_images: int = 8,
        device: Device = "cpu",
        listed: Manifest | None = None,
    ) -> None:
        self._folder, self._device = folder, device
        self._manifest = listed or manifest.read(folder)
        self._template = chat.template(self._manifest.family)
        if not any(name.endswith(".safetensors") for name in self._manifest.weights):
            raise ModelNotLoaded(f"{folder} lists no safetensors weights for transformers; use the GGUF engine or export the model again")
        manifest.refuse_changed(folder, self._manifest, self._manifest.weights)
        card = self._manifest.card("torch", context_tokens, self._manifest.weights)
        self.card = replace(card, max_images=min(card.max_images, max_images))
        self._threads = threads or physical_cores()
        self._line = Turnstile()
        self._mine = threading.local()
        self._model: _Model | None = None
        self._closed = False

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

    def stream(self, request: Request, cancel: Event, on_stage: OnStage | None = None) -> Iterator[Token]:
        """Yield tokens as they are made; see `Engine.stream`. Also raises `ModelNotLoaded`."""
        tell = on_stage or _nobody
        started = time.monotonic()
        ticket = self._line.enter(cancel, lambda: tell(Stage("waiting")))
        try:
            model, work = self._begin(request, request.options.max_tokens, cancel, tell)
            for token in self._write(model, request, cancel):
                if token.position == 0:
                    tell(Stage("writing"))
                    work = replace(work, first_token_s=time.monotonic() - started)
                work = replace(work, tokens=token.position + 1)
                yield token
            self._mine.timings = replace(work, total_s=time.monotonic() - started)
        finally:
            self._line.leave(ticket)

    def score(self, request: Request, choices: Sequence[str], cancel: Event | None = None) -> Scores:
        """Log-probability of each choice, with the token that ends the answer, as the whole answer."""
        cancel = cancel or Event()
        started = time.monotonic()
        ticket = self._line.enter(cancel)
        try:
            model, work = self._begin(request, 0, cancel, _nobody)
            ids = [[*model.encode(choice), model.control(self._template.closing.name)] for choice in choices]
            longest = max(map(len, ids), default=0)
            self._refuse_overfull(work.prompt_tokens, longest)
            totals = model.score(ids)
            self._mine.timings = replace(work, total_s=time.monotonic() - started)
            return Scores(tuple(totals), tuple(map(len, ids)))
        finally:
            self._line.leave(ticket)

    def token_ids(self, request: Request) -> list[int]:
        """Token ids of the prompt as the model reads it; -1 for each image token."""
        ticket = self._line.enter()
        try:
            model = self._ready(_nobody)
            keys = model.keys(chat.request_segments(request, self._manifest.family), request.images, self._manifest.tokens_per_image)
            return [-1 if isinstance(key, tuple) else key for key in keys]
        finally:
            self._line.leave(ticket)

    def close(self) -> None:
        """Free the weights."""
        self._closed, self._model = True, None

    def _ready(self, tell: OnStage) -> _Model:
        if self._closed:
            raise EngineError("this engine was closed; open it again")
        if self._model is None:
            tell(Stage("loading"))
            self._model = _Model(self._folder / self._manifest.hf, self._device, self._threads)
        return self._model

    def _begin(self, request: Request, room: int, cancel: Event, tell: OnStage) -> tuple[_Model, Timings]:
        """Load, encode and read the prompt: the model with the prompt behind it, and what it cost so far."""
        started = time.monotonic()
        waits = self._model is None
        model = self._ready(tell)
        load_s = time.monotonic() - started if waits else 0.0
        parts = chat.request_segments(request, self._manifest.family)
        keys = model.keys(parts, request.images, self._manifest.tokens_per_image)
        self._refuse_overfull(len(keys), room)
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

    def _refuse_overfull(self, tokens: int, room: int) -> None:
        whole = self.card.context_tokens
        if tokens + room > whole:
            raise ContextFull(
                f"the question with its images takes {tokens} tokens and the answer may take {room}, but the model holds {whole}; "
                "use fewer images, a shorter question or a new session"
            )

    def _encode(self, model: _Model, images: Sequence[Image], cancel: Event, tell: OnStage) -> int:
        """Encode the images that are not in the cache; returns how many."""
        encoded = 0
        for number, image in enumerate(images, 1):
            if model.knows(image.sha256):
                continue
            if cancel.is_set():
                raise Cancelled("the answer was stopped")
            tell(Stage("encoding", number, len(images)))
            found = model.embed(image.sha256, pixels.tile(image.pixels, self._manifest.tile))
            if found != self._manifest.tokens_per_image:
                listed = self._manifest.tokens_per_image
                raise ModelNotLoaded(f"{self._folder} makes {found} tokens of an image and its manifest says {listed}; {manifest.REBUILD}")
            encoded += 1
        return encoded

    def _write(self, model: _Model, request: Request, cancel: Event) -> Iterator[Token]:
        options = request.options
        ends = model.endings((self._template.closing.name, *ENDINGS))
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


class _Model:
    """Weights, tokenizer, image cache and one conversation. `after` are the log-probabilities behind its last token."""

    def __init__(self, folder: Path, device: Device, threads: int) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import torch
        from tokenizers import Tokenizer
        from transformers import DynamicCache, Idefics3ForConditionalGeneration
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        self._torch: Any = torch
        self._device = device
        if device == "cpu":
            torch.set_num_threads(threads)
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._tokenizer.encode_special_tokens = True
            self._net: Any = Idefics3ForConditionalGeneration.from_pretrained(
                folder,
                dtype=torch.bfloat16 if device == "cuda" else torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
            )
        except Exception as error:
            raise ModelNotLoaded(f"{folder} cannot be loaded ({_first_line(error)}); build or copy the model again") from error
        self._net.eval().requires_grad_(False).to(device)
        self._cache: Any = DynamicCache(config=self._net.config.text_config)
        self._features: OrderedDict[str, Any] = OrderedDict()
        self._kept: list[Key] = []
        self.cancel: Event | None = None
        self.after: NDArray[np.float64] = np.zeros(0)
        for layer in (*self._net.model.text_model.layers, *self._net.model.vision_model.encoder.layers):
            layer.register_forward_pre_hook(self._check)

    def _check(self, _module: object, _inputs: object) -> None:
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled("the answer was stopped")

    # Words

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text; what looks like a control token stays text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def control(self, name: str) -> int:
        """Id of one control token. Raises `ModelNotLoaded` when the vocabulary has none of that name."""
        found: int | None = self._tokenizer.token_to_id(name)
        if found is None:
            raise ModelNotLoaded(f"the model's vocabulary has no token {name}; it is of another family than its manifest says")
        return found

    def endings(self, names: Sequence[str]) -> frozenset[int]:
        """Ids of those of `names` that the vocabulary has."""
        return frozenset(found for name in names if (found := self._tokenizer.token_to_id(name)) is not None)

    def speaker(self) -> Any:
        """A function from the next token id to its text, empty inside a character of several tokens."""
        from tokenizers.decoders import DecodeStream

        stream = DecodeStream(skip_special_tokens=True)
        return lambda token: stream.step(self._tokenizer, token) or ""

    def keys(self, parts: Sequence[chat.Segment], images: Sequence[Image], tokens_per_image: int) -> list[Key]:
        """The prompt as one key for each token: an id, or (image hash, index)."""
        out: list[Key] = []
        for part in parts:
            if isinstance(part, chat.Control):
                out.append(self.control(part.name))
            elif isinstance(part, str):
                out += self.encode(part)
            else:
                out += [(images[part.index].sha256, i) for i in range(tokens_per_image)]
        return out

    # Images

    def knows(self, sha256: str) -> bool:
        """Whether the image's embedding is cached; knowing it keeps it."""
        if sha256 in self._features:
            self._features.move_to_end(sha256)
        return sha256 in self._features

    def embed(self, sha256: str, tile: RGB) -> int:
        """Run the image tower on one (size, size, 3) tile and cache the result; returns its count of tokens."""
        torch = self._torch
        values = torch.from_numpy(tile).to(self._device).permute(2, 0, 1)[None, None].float() / 127.5 - 1
        with torch.inference_mode():
            found = self._net.model.get_image_features(values).pooler_output
        self._features[sha256] = found[0]
        while len(self._features) > CACHED_IMAGES:
            self._features.popitem(last=False)
        return len(found[0])

    # Reading

    def read(self, keys: Sequence[Key]) -> int:
        """Bring the conversation to the end of `keys`; returns how many of them it already held."""
        common = 0
        while common < min(len(keys) - 1, len(self._kept)) and keys[common] == self._kept[common]:
            common += 1
        self._crop(common)
        self.extend(keys[common:])
        return common

    def extend(self, keys: Sequence[Key]) -> None:
        """Feed `keys` and keep the log-probabilities after the last one."""
        self.after = self._feed(keys, 1)[0]
        self._kept += keys

    def score(self, choices: Sequence[Sequence[int]]) -> list[float]:
        """Log-probability of each choice (token ids, the ending included) after the conversation as it stands."""
        here, totals = len(self._kept), []
        for ids in choices:
            rows = [self.after, *(self._feed(ids[:-1], len(ids) - 1) if len(ids) > 1 else ())]
            totals.append(float(sum(row[token] for row, token in zip(rows, ids, strict=True))))
            self._crop(here)
        return totals

    def _feed(self, keys: Sequence[Key], rows: int) -> NDArray[np.float64]:
        """Run the language model over `keys`: (rows, vocabulary) log-probabilities behind the last `rows` of them."""
        torch = self._torch
        with torch.inference_mode():
            states = self._net.model.text_model(inputs_embeds=self._embeddings(keys), past_key_values=self._cache, use_cache=True)
            logits = self._net.lm_head(states.last_hidden_state[0, -rows:]).double()
            logprobs: NDArray[np.float64] = torch.log_softmax(logits, -1).cpu().numpy()
        return logprobs

    def _embeddings(self, keys: Sequence[Key]) -> Any:
        """(1, len(keys), width) of token embeddings and image features."""
        torch = self._torch
        ids = torch.tensor([0 if isinstance(key, tuple) else key for key in keys], device=self._device)
        out = self._net.get_input_embeddings()(ids)
        for i, key in enumerate(keys):
            if isinstance(key, tuple):
                out[i] = self._features[key[0]][key[1]].to(out.dtype)
        return out[None]

    def _crop(self, tokens: int) -> None:
        """Forget the conversation after `tokens`; layers that a stop left longer than others are cut to the same length."""
        for layer in self._cache.layers:
            extra = layer.get_seq_length() - tokens
            if extra > 0:
                layer.crop(-extra)
        del self._kept[tokens:]


def _nobody(_stage: Stage) -> None:
    return


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
