"""Weights, tokenizer, image cache and one conversation through transformers: the tensor side of `torch_engine`."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from errors import Cancelled, ModelNotLoaded
from inference import chat
from inference.context import Key, common_prefix
from inference.engine import RGB, Image

CACHED_IMAGES = 64

Device = Literal["cpu", "cuda"]


class TorchModel:
    """Weights, tokenizer, image cache and one conversation. `after` are the log-probabilities behind its last token."""

    def __init__(self, folder: Path, device: Device, threads: int, adapter: Path | None = None) -> None:
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
        if adapter:
            self._net = _merged(self._net, adapter)
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

    def embedding(self, sha256: str) -> NDArray[np.float32]:
        """(tokens, width) of an image that was embedded."""
        found: NDArray[np.float32] = self._features[sha256].float().cpu().numpy()
        return found

    # Reading

    def read(self, keys: Sequence[Key]) -> int:
        """Bring the conversation to the end of `keys`; returns how many of them it already held."""
        common = common_prefix(keys, self._kept)
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


def _merged(net: Any, adapter: Path) -> Any:
    """The network with a PEFT adapter in its weights, which costs nothing when it answers. Raises `ModelNotLoaded`."""
    from peft import PeftModel

    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # peft asks transformers by a name of old
            return PeftModel.from_pretrained(net, adapter, local_files_only=True).merge_and_unload()
    except Exception as error:
        raise ModelNotLoaded(f"{adapter} cannot be put on its base ({_first_line(error)}); train it again") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
