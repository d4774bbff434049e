"""llama.cpp through llama-cpp-python's low-level functions: only what answering needs, only inside the child process.

The package's own chat handlers re-encode every image at each call, tokenise typed text with control tokens on, and
cannot be stopped; this thin layer does none of that. Four facts of the library shape it:

- `use_extra_bufts` is always off: with it, native builds die at the first decode on AMX machines (ggml-org/llama.cpp#20824).
- For an image of one tile, libmtmd emits `<row_1_col_1>` and the overview; transformers emits the overview alone.
  We place images ourselves and take the last chunk, so both engines read the same tokens.
- Flash attention is off: with it a token's numbers hang on how its prompt was cut into batches (0.4 in log-probability on an
  8-bit model). Without it any cut gives the same bits, as long as no batch is of one token, which another kernel multiplies.
- Cells of the cache are summed in their order, so the same numbers need the same cells: a conversation that was put aside
  comes back into those it came from, and never lies beside another one.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import llama_cpp as llama
import llama_cpp.mtmd_cpp as mtmd
import numpy as np
from numpy.typing import NDArray

from errors import Cancelled, EngineError, ModelNotLoaded

ERROR_LEVEL = 4
ADAPTERS = 4
"""Adapters kept in memory at once."""
MOST = 40.0
"""Size of a largest logit whose exponential, added up over a vocabulary, a float32 holds as well as one that was taken off before."""
BRANCHES = 64
"""Sequences a context can hold at once: the conversation and the answers being scored."""

_lines: list[str] = []


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _data: object) -> None:
    if level == ERROR_LEVEL:
        _lines.append(text.decode(errors="replace").strip())
        del _lines[:-20]


def quiet() -> None:
    """Send all three logs of the libraries to a short memory of error lines; nothing reaches the terminal."""
    for set_log in (llama.llama_log_set, mtmd.mtmd_log_set, mtmd.mtmd_helper_log_set):
        set_log(_log, ctypes.c_void_p(0))


def last_words() -> str:
    """The libraries' own last error lines, for the end of a sentence."""
    return "; ".join(line for line in _lines[-2:] if line)


@dataclass(frozen=True)
class Tile:
    """One image as libmtmd prepared it (a chunk pointer that lives as long as the process), its tokens and the positions they take.

    With M-RoPE (Qwen-VL) these are fewer: an image is as long as its longer side, and its tokens stand at rows and columns.
    """

    chunk: Any
    tokens: int
    positions: int


class Cell(NamedTuple):
    """A token to read: its position, the sequences it belongs to, and whether log-probabilities after it are wanted."""

    token: int
    position: int
    sequences: tuple[int, ...]
    wanted: bool


class Model:
    """A text model, its image projector and one context of `context_tokens`. Raises `ModelNotLoaded` from the constructor."""

    def __init__(self, text: str, mmproj: str, context_tokens: int, threads: int, batch: int = 512) -> None:
        quiet()
        llama.llama_backend_init()
        self._stop = ctypes.create_string_buffer(2)
        self._keep = [_abort(), _eval_callback(self._stop)]
        self._model = _loaded(llama.llama_model_load_from_file(text.encode(), _model_params()), text)
        self._context = _loaded(llama.llama_init_from_model(self._model, self._context_params(context_tokens, threads, batch)), text)
        self._projector = _loaded(mtmd.mtmd_init_from_file(mmproj.encode(), self._model, self._projector_params(threads)), mmproj)
        if not mtmd.mtmd_support_vision(self._projector):
            raise ModelNotLoaded(f"{mmproj} does not encode images; use the projector made for this model")
        self._vocabulary = llama.llama_model_get_vocab(self._model)
        self._memory = llama.llama_get_memory(self._context)
        self._adapters: dict[str, Any] = {}
        self._tokens = llama.llama_vocab_n_tokens(self._vocabulary)
        self._width = llama.llama_model_n_embd_inp(self._model)
        self._batch = llama.llama_batch_init(batch, 0, BRANCHES)
        self._ones = np.ones(self._tokens, np.float32)
        self._view: tuple[int, NDArray[np.float32]] | None = None
        self.batch = batch
        self.context_tokens = int(llama.llama_n_ctx(self._context))
        self.trained_tokens = int(llama.llama_model_n_ctx_train(self._model))

    # Adapters

    def wear(self, path: str, sha256: str) -> None:
        """Put the adapter in the file `path` of that hash on the model, `` takes it off; what was read before is not valid any more.

        Raises `ModelNotLoaded` when it is no adapter of this model.
        """
        if path and sha256 not in self._adapters:
            made = _loaded(llama.llama_adapter_lora_init(self._model, path.encode()), path)
            while len(self._adapters) >= ADAPTERS:
                llama.llama_set_adapters_lora(self._context, None, 0, None)
                llama.llama_adapter_lora_free(self._adapters.pop(next(iter(self._adapters))))
            self._adapters[sha256] = made
        worn = [self._adapters[sha256]] if path else []
        pointers = (llama.llama_adapter_lora_p_ctypes * len(worn))(*worn)
        if llama.llama_set_adapters_lora(self._context, pointers, len(worn), (ctypes.c_float * len(worn))(*[1.0] * len(worn))):
            raise ModelNotLoaded(f"{path} cannot be put on the model ({last_words() or 'no reason given'}); train it again")

    # Stopping

    def stop(self) -> None:
        """Stop what is being computed; may be called from another thread."""
        self._stop[0] = b"\x01"

    def go(self) -> None:
        """Forget an earlier `stop`."""
        self._stop[0] = b"\x00"

    def check(self) -> None:
        """Raises `Cancelled` after `stop`."""
        if self._stop[0] != b"\x00":
            raise Cancelled("the answer was stopped")

    # Words

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text; what looks like a control token stays text."""
        return self._tokenize(text, special=False)

    def control(self, name: str) -> int:
        """Id of one control token. Raises `ModelNotLoaded` when the vocabulary has none of that name."""
        ids = self._tokenize(name, special=True)
        if len(ids) != 1:
            raise ModelNotLoaded(f"the model's vocabulary has no token {name}; it is of another family than its manifest says")
        return ids[0]

    def piece(self, token: int) -> bytes:
        """Bytes of one token; a part of a character, or nothing for a control token."""
        buffer = ctypes.create_string_buffer(256)
        length = llama.llama_token_to_piece(self._vocabulary, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(0, length)]

    def ends(self, token: int) -> bool:
        """Whether the token ends an answer."""
        return bool(llama.llama_vocab_is_eog(self._vocabulary, token))

    def _tokenize(self, text: str, *, special: bool) -> list[int]:
        raw = text.encode()
        ids = (llama.llama_token * (len(raw) + 8))()
        count = llama.llama_tokenize(self._vocabulary, raw, len(raw), ids, len(ids), False, special)
        if count < 0:
            raise EngineError("the text cannot be tokenised")
        return list(ids[:count])

    # Images

    def tile(self, pixels: NDArray[np.uint8]) -> Tile:
        """Prepare (H, W, 3) uint8 for encoding; its last chunk only (see the module's docstring)."""
        height, width = pixels.shape[:2]
        bitmap = mtmd.mtmd_bitmap_init(width, height, pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)))
        chunks = mtmd.mtmd_input_chunks_init()
        try:
            marker = mtmd.mtmd_default_marker()
            text = mtmd.mtmd_input_text(text=marker, text_len=len(marker), add_special=False, parse_special=True)
            bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
            if mtmd.mtmd_tokenize(self._projector, chunks, ctypes.byref(text), bitmaps, 1) != 0:
                raise EngineError(f"the image cannot be prepared for the model ({last_words()})")
            every = (mtmd.mtmd_input_chunks_get(chunks, i) for i in range(mtmd.mtmd_input_chunks_size(chunks)))
            last = [c for c in every if mtmd.mtmd_input_chunk_get_type(c) == mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE][-1]
            tokens, positions = int(mtmd.mtmd_input_chunk_get_n_tokens(last)), int(mtmd.mtmd_input_chunk_get_n_pos(last))
            return Tile(mtmd.mtmd_input_chunk_copy(last), tokens, positions)
        finally:
            mtmd.mtmd_input_chunks_free(chunks)
            mtmd.mtmd_bitmap_free(bitmap)

    def embed(self, tile: Tile) -> NDArray[np.float32]:
        """Run the image tower: (tokens, width) float32. Raises `Cancelled` between groups of operations."""
        failed = mtmd.mtmd_encode_chunk(self._projector, tile.chunk)
        self.check()
        if failed:
            raise EngineError(f"the image cannot be encoded ({last_words()})")
        raw = mtmd.mtmd_get_output_embd(self._projector)
        return np.ctypeslib.as_array(raw, (tile.tokens * self._width,)).reshape(tile.tokens, self._width).copy()

    def forget(self, tile: Tile) -> None:
        """Free a tile's memory."""
        mtmd.mtmd_input_chunk_free(tile.chunk)

    # Reading

    def read(self, ids: Sequence[int], position: int, *, last: bool) -> None:
        """Feed tokens to the conversation at `position`; with `last`, log-probabilities after the final one are wanted."""
        most = self.batch - (len(ids) % self.batch == 1)
        for start in range(0, len(ids), most):
            part = ids[start : start + most]
            final = start + len(part) == len(ids)
            self._decode([Cell(token, position + start + i, (0,), last and final and i == len(part) - 1) for i, token in enumerate(part)])

    def look(self, tile: Tile, embedding: NDArray[np.float32], position: int) -> None:
        """Feed one encoded image to the conversation at `position`."""
        after = llama.llama_pos(0)
        values = embedding.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        callback = mtmd.mtmd_helper_post_decode_callback(0)
        status = mtmd.mtmd_helper_decode_image_chunk(
            self._projector, self._context, tile.chunk, values, position, 0, self.batch, ctypes.byref(after), callback, None
        )
        self.check()
        if status:
            raise EngineError(f"the model cannot read the image (code {status}; {last_words()})")

    def logprobs(self, row: int = -1) -> NDArray[np.float32]:
        """(vocabulary,) natural log-probabilities at output `row` of the last decode."""
        logits = self._logits(row)
        logprobs: NDArray[np.float32] = logits - logits.max()
        logprobs -= np.log(np.exp(logprobs).sum())
        return logprobs

    def likeliest(self) -> tuple[int, float]:
        """The likeliest token after the last decode, and its log-probability as `logprobs` has it; uses the library's numbers up.

        Written over where they lie, they cost half of what new arrays out of cold memory do, and each pass over them that is spared counts:
        the largest is taken off first only where a float32 could not hold the sum, and a product with ones adds up faster than a sum.
        """
        logits = self._logits(-1)
        token = int(logits.argmax())
        most = float(logits[token])
        if abs(most) > MOST:
            logits -= most
            most = 0.0
        np.exp(logits, out=logits)
        return token, most - math.log(logits.dot(self._ones))

    def _logits(self, row: int) -> NDArray[np.float32]:
        """(vocabulary,) the library's numbers where they lie: mostly where they did before, and a view costs more than their sum."""
        place = llama.llama_get_logits_ith(self._context, row)
        address = ctypes.addressof(place.contents)
        if self._view is None or self._view[0] != address:
            self._view = address, np.ctypeslib.as_array(place, (self._tokens,))
        return self._view[1]

    def keep(self, position: int) -> None:
        """Forget the conversation from `position` on."""
        llama.llama_memory_seq_rm(self._memory, 0, position, -1)

    def state(self) -> Any:
        """The conversation's keys and values as bytes, to be put aside."""
        size = llama.llama_state_seq_get_size(self._context, 0)
        state = (ctypes.c_uint8 * size)()
        if llama.llama_state_seq_get_data(self._context, state, size, 0) != size:
            raise EngineError("the conversation cannot be put aside")
        return state

    def restore(self, state: Any) -> None:
        """Go on with the conversation of that `state` instead of this one, in the very cells it came from."""
        self.keep(0)
        if not llama.llama_state_seq_set_data(self._context, state, len(state), 0):
            raise EngineError(f"the conversation cannot be taken up again ({last_words()})")

    @contextlib.contextmanager
    def branches(self, cells: Sequence[Cell], count: int) -> Iterator[None]:
        """Read `cells`, in which `count` sequences (1..) continue the conversation side by side; they are forgotten afterwards."""
        try:
            for number in range(1, count + 1):
                llama.llama_memory_seq_cp(self._memory, 0, number, -1, -1)
            self._decode(cells)
            yield
        finally:
            for number in range(1, count + 1):
                llama.llama_memory_seq_rm(self._memory, number, -1, -1)

    def _decode(self, cells: Sequence[Cell]) -> None:
        """Read one batch."""
        batch = self._batch
        batch.n_tokens = len(cells)
        for i, cell in enumerate(cells):
            batch.token[i], batch.pos[i], batch.logits[i] = cell.token, cell.position, cell.wanted
            batch.n_seq_id[i] = len(cell.sequences)
            for place, sequence in enumerate(cell.sequences):
                batch.seq_id[i][place] = sequence
        status = llama.llama_decode(self._context, batch)
        self.check()
        if status:
            raise EngineError(f"the model cannot read the text (code {status}; {last_words()})")

    # Parameters

    def _context_params(self, context_tokens: int, threads: int, batch: int) -> Any:
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = context_tokens, batch, batch
        params.n_seq_max, params.kv_unified = BRANCHES, True
        params.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.n_threads = params.n_threads_batch = threads
        params.abort_callback, params.abort_callback_data = self._keep[0], ctypes.addressof(self._stop)
        params.no_perf = True
        return params

    def _projector_params(self, threads: int) -> Any:
        params = mtmd.mtmd_context_params_default()
        params.use_gpu, params.n_threads = False, threads
        params.print_timings, params.warmup = False, False
        params.cb_eval = self._keep[1]
        return params


def _model_params() -> Any:
    params = llama.llama_model_default_params()
    params.n_gpu_layers, params.use_extra_bufts, params.check_tensors = 0, False, False
    return params


def _abort() -> Any:
    """The C library's `strlen` as the abort callback: of the stop flag's two bytes it is 0 (go on) or 1 (stop).

    It is asked before every graph node, 500 times a token; a Python function there costs 2 to 7 % of the decoding speed.
    """
    return ctypes.cast(ctypes.CDLL(None).strlen, llama.ggml_abort_callback)


def _eval_callback(stop: Any) -> Any:
    """Lets the image tower's graph run in groups of operations and stops it between two of them.

    The library asks for every node whether the caller wants to see it (`ask`), runs up to it, and goes on when the
    second call returns True.
    """
    count = 0

    def callback(_tensor: object, ask: bool, _data: object) -> bool:
        nonlocal count
        count += 1
        return count % 16 == 0 if ask else bool(stop[0] == b"\x00")

    return llama.llama_cpp.ggml_backend_sched_eval_callback(callback)


def _loaded(pointer: Any, path: str) -> Any:
    if not pointer:
        raise ModelNotLoaded(f"{path} cannot be loaded ({last_words() or 'no reason given'}); build or copy the model again")
    return pointer
