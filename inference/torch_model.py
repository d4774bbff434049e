"""Weights, words, image cache and one conversation through transformers, of any family: the tensor side of `torch_engine`.

The language model is run by itself on embeddings, so that an image's features stand where its tokens are without any image token
in the vocabulary, and a conversation's prefix is kept. What a family wants beyond that is here too: Gemma 3 lets the tokens of an
image see each other, Qwen-VL counts an image's tokens in two directions, Qwen3-VL adds deeper features to the first layers.
"""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from errors import Cancelled, ModelNotLoaded
from inference import families, hardware, originals
from inference.chat import Control, Segment
from inference.context import Key, common_prefix
from inference.engine import RGB, Image
from inference.families import Form
from inference.words import Words

CACHED_IMAGES = 64
ENDINGS = ("<|endoftext|>", "<end_of_utterance>", "<|eot_id|>", "<end_of_turn>", "<|im_end|>")
"""Tokens that end an answer besides the template's own, as llama.cpp has them too."""

SPARE = 1 << 30
"""Bytes of memory left free beside weights in float32."""

Device = Literal["cpu", "cuda"]


class TorchModel:
    """Weights, words, image cache and one conversation. `after` are the log-probabilities behind its last token.

    Raises `ModelNotLoaded` when the folder's files are not those of the family that its configuration names.
    """

    def __init__(self, words: Words, device: Device, threads: int, adapter: Path | None = None, four_bit: bool = False) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import torch
        from transformers import DynamicCache
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        self._torch: Any = torch
        self._device = device
        self.form = form = words.form
        self._words = words
        if device == "cpu":
            torch.set_num_threads(threads)
        self._net: Any = _loaded(form, device, four_bit)
        if adapter:
            self._net = _merged(self._net, adapter)
        self._net.eval().requires_grad_(False)
        if not four_bit:
            self._net.to(device)
        self._language: Any = self._net.get_submodule(form.family.language)
        self._cache: Any = DynamicCache()  # without a configuration: layers that forget could not be cut
        self._features: OrderedDict[str, tuple[Any, ...]] = OrderedDict()
        self._kept: list[Key] = []
        self._places: list[int] = []
        self.cancel: Event | None = None
        self.after: NDArray[np.float64] = np.zeros(0)
        for name, module in self._net.named_modules():
            if name.rpartition(".")[2] in ("layers", "blocks", "layer") and isinstance(module, torch.nn.ModuleList):
                for layer in module:
                    layer.register_forward_pre_hook(self._check)

    def _check(self, _module: object, _inputs: object) -> None:
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled("the answer was stopped")

    # Words

    def endings(self, closing: str) -> frozenset[int]:
        """Ids of the tokens that end an answer, `closing` of the template among them."""
        return self._words.endings((closing, *ENDINGS))

    def speaker(self) -> Callable[[int], str]:
        """A function from the next token id to its text, empty inside a character of several tokens."""
        from tokenizers.decoders import DecodeStream

        stream = DecodeStream(skip_special_tokens=True)
        return lambda token: stream.step(self._words.fast, token) or ""

    def keys(self, parts: Sequence[Segment], images: Sequence[Image]) -> list[Key]:
        """The prompt as one key for each token: an id, or (image hash, index)."""
        out: list[Key] = []
        for part in parts:
            if isinstance(part, Control):
                out.append(self._words.control(part.name))
            elif isinstance(part, str):
                out += self._words.plain(part)
            else:
                out += [(images[part.index].sha256, i) for i in range(self.form.tokens)]
        bos = self._words.bos
        return [*bos, *out] if bos and out[:1] != bos else out

    # Images

    def knows(self, sha256: str) -> bool:
        """Whether the image's embedding is cached; knowing it keeps it."""
        if sha256 in self._features:
            self._features.move_to_end(sha256)
        return sha256 in self._features

    def embed(self, sha256: str, tile: RGB) -> None:
        """Run the image tower on one (size, size, 3) tile and cache the result. Raises `ModelNotLoaded`, `Cancelled`."""
        from inference import seeing

        self._features[sha256] = seeing.seen(self._net, self.form, self._torch.from_numpy(tile)[None])[0]
        while len(self._features) > CACHED_IMAGES:
            self._features.popitem(last=False)

    def embedding(self, sha256: str) -> NDArray[np.float32]:
        """(tokens, width) of an image that was embedded."""
        found: NDArray[np.float32] = self._features[sha256][0].float().cpu().numpy()
        return found

    # Reading

    def read(self, keys: Sequence[Key]) -> int:
        """Bring the conversation to the end of `keys`; returns how many of them it already held."""
        common = common_prefix(keys, self._kept)
        if self._mutual:  # the tokens of an image see each other, so it is read whole
            while common and isinstance(key := keys[common], tuple) and key[1]:
                common -= 1
        self._crop(common)
        self.extend(keys[common:])
        return common

    def extend(self, keys: Sequence[Key]) -> None:
        """Feed `keys` and keep the log-probabilities after the last one."""
        self.after = self._feed(keys, 1)[0]
        self._places += [following for _, following in self._positions(keys)]
        self._kept += keys

    def score(self, choices: Sequence[Sequence[int]]) -> list[float]:
        """Log-probability of each choice (token ids, the ending included) after the conversation as it stands."""
        here, totals = len(self._kept), []
        for ids in choices:
            rows = [self.after, *(self._feed(ids[:-1], len(ids) - 1) if len(ids) > 1 else ())]
            totals.append(float(sum(row[token] for row, token in zip(rows, ids, strict=True))))
            self._crop(here)
        return totals

    def relevance(self, keys: Sequence[Key], tiles: Mapping[str, RGB], ids: Sequence[int]) -> dict[str, NDArray[np.float32]]:
        """Input times gradient of the log-probability of `ids` after `keys`, of each image by its hash: (tile, tile), signed.

        The input is an image's scaled pixels, so the grey that the family takes for nothing counts nothing. Forgets the conversation.
        """
        from inference import seeing

        torch = self._torch
        before, every = self._features, [*keys, *ids]
        self._crop(0)
        try:
            with torch.enable_grad():
                device = next(self._net.parameters()).device
                values = {
                    name: seeing.scaled(torch.from_numpy(tile)[None].to(device), self.form).requires_grad_() for name, tile in tiles.items()
                }
                self._features = OrderedDict((name, seeing.features(self._net, self.form, value)[0]) for name, value in values.items())
                embeddings = self._embeddings(every)
                states = self._language(inputs_embeds=embeddings, use_cache=False, **self._given(every, embeddings))
                head = self._net.get_output_embeddings()
                logprobs = torch.log_softmax(head(states.last_hidden_state[0, len(keys) - 1 : -1]).float(), -1)
                total = logprobs.gather(-1, torch.tensor(list(ids), device=device)[:, None]).sum()
                slopes = torch.autograd.grad(total, list(values.values()))
        finally:
            self._features = before
            self._crop(0)
        pairs = zip(values.items(), slopes, strict=True)
        return {name: (value.detach() * slope)[0].sum(0).float().cpu().numpy() for (name, value), slope in pairs}

    @property
    def _mutual(self) -> bool:
        return self.form.family.types == "token_type_ids"

    def _feed(self, keys: Sequence[Key], rows: int) -> NDArray[np.float64]:
        """Run the language model over `keys`: (rows, vocabulary) log-probabilities behind the last `rows` of them."""
        torch = self._torch
        with torch.inference_mode():
            embeddings = self._embeddings(keys)
            given = self._given(keys, embeddings)
            states = self._language(inputs_embeds=embeddings, past_key_values=self._cache, use_cache=True, **given)
            head = self._net.get_output_embeddings()
            logits = head(states.last_hidden_state[0, -rows:]).double()
            logprobs: NDArray[np.float64] = torch.log_softmax(logits, -1).cpu().numpy()
        return logprobs

    def _embeddings(self, keys: Sequence[Key]) -> Any:
        """(1, len(keys), width) of token embeddings and image features."""
        torch = self._torch
        ids = torch.tensor([0 if isinstance(key, tuple) else key for key in keys], device=self._device)
        out = self._net.get_input_embeddings()(ids)
        for i, key in enumerate(keys):
            if isinstance(key, tuple):
                out[i] = self._features[key[0]][0][key[1]].to(out.dtype)
        return out[None]

    def _given(self, keys: Sequence[Key], embeddings: Any) -> dict[str, Any]:
        """What the family's language model wants besides embeddings: positions, masks, deeper features."""
        torch = self._torch
        shown = [key for key in keys if isinstance(key, tuple)]
        if self.form.family.types == "mm_token_type_ids":
            places = torch.tensor([place for place, _ in self._positions(keys)], device=self._device)
            given: dict[str, Any] = {"position_ids": places.T[:, None, :]}
            depth = len(self._features[shown[0][0]]) - 1 if shown else 0
            if depth:
                given["visual_pos_masks"] = torch.tensor([[isinstance(key, tuple) for key in keys]], device=self._device)
                given["deepstack_visual_embeds"] = [
                    torch.stack([self._features[sha256][1 + level][index] for sha256, index in shown]).to(embeddings.dtype)
                    for level in range(depth)
                ]
            return given
        return {"attention_mask": self._masks(keys, embeddings.dtype)} if self._mutual and shown else {}

    def _positions(self, keys: Sequence[Key]) -> Iterator[tuple[tuple[int, int, int], int]]:
        """Qwen-VL's place of each key in time, row and column, and where the next one begins (arXiv 2409.12191, M-RoPE)."""
        side = self.form.tile // self.form.patch // self.form.merge
        place = self._places[-1] if self._places else 0
        for key in keys:
            if isinstance(key, tuple):
                at = (place, place + key[1] // side, place + key[1] % side)
                place += side if key[1] + 1 == self.form.tokens else 0
            else:
                at = (place, place, place)
                place += 1
            yield at, place

    def _masks(self, keys: Sequence[Key], dtype: Any) -> dict[str, Any]:
        """Gemma 3's masks (1, 1, keys, all): a token sees what stands before it, an image's tokens see each other."""
        torch = self._torch
        every = [*self._kept, *keys]
        image = np.full(len(every), -1)
        number = -1
        for i, key in enumerate(every):
            if isinstance(key, tuple):
                number += key[1] == 0
                image[i] = number
        asks, sees = np.arange(len(self._kept), len(every))[:, None], np.arange(len(every))[None]
        whole = (sees <= asks) | ((image[asks] == image[sees]) & (image[asks] >= 0))
        near = whole & (sees > asks - self._language.config.sliding_window)
        least = torch.finfo(dtype).min

        def mask(seen: NDArray[np.bool_]) -> Any:
            return torch.zeros(seen.shape, dtype=dtype).masked_fill(torch.from_numpy(~seen), least)[None, None].to(self._device)

        return {"full_attention": mask(whole), "sliding_attention": mask(near)}

    def _crop(self, tokens: int) -> None:
        """Forget the conversation after `tokens`; layers that a stop left longer than others are cut to the same length."""
        for layer in self._cache.layers:
            extra = layer.get_seq_length() - tokens
            if extra > 0:
                layer.crop(-extra)
        del self._kept[tokens:], self._places[tokens:]


def _loaded(form: Form, device: Device, four_bit: bool) -> Any:
    """The network of the folder. Raises `ModelNotLoaded` when its files lack weights of the family, or hold those of another."""
    import torch
    from transformers import AutoModelForImageTextToText

    own = str(families.config_of(form.folder).get("model_type", "")) in families.ORIGINAL
    more: dict[str, Any] = {"key_mapping": originals.KEYS} if own else {}
    if four_bit:
        more["quantization_config"] = _four_bits()
        more["device_map"] = {"": 0}
    try:
        net, found = AutoModelForImageTextToText.from_pretrained(
            form.folder,
            config=families.full(form.folder),
            dtype=torch.bfloat16 if device == "cuda" or not _roomy(form.folder) else torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **more,
        )
    except Exception as error:
        raise ModelNotLoaded(f"{form.folder} cannot be loaded ({_first_line(error)}); build or copy the model again") from error
    wanting = sorted(found["missing_keys"]) + sorted(str(key) for key in found["mismatched_keys"])
    if wanting:
        count = f"{wanting[0]} and {len(wanting) - 1} more" if len(wanting) > 1 else wanting[0]
        raise ModelNotLoaded(f"{form.folder} lacks weights of a {form.family.name} model ({count}); copy the whole model again")
    return net


def _roomy(folder: Path) -> bool:
    """Whether memory holds the weights in float32, which a CPU is faster and more exact in; files hold them in 16 bits mostly."""
    return 2 * sum(path.stat().st_size for path in folder.glob("*.safetensors")) + SPARE <= hardware.memory_free()


def _four_bits() -> Any:
    """NF4 for the language model, bfloat16 for the rest. Raises `ModelNotLoaded` where bitsandbytes is not installed."""
    import importlib.util

    import torch
    from transformers import BitsAndBytesConfig

    if importlib.util.find_spec("bitsandbytes") is None or not torch.cuda.is_available():
        raise ModelNotLoaded("weights in 4 bits need CUDA and the package bitsandbytes; install it, or unset INTERVAL_FOUR_BIT")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=["vision_tower", "vision_model", "visual", "multi_modal_projector", "connector", "lm_head"],
    )


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
