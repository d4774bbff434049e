"""The GGUF engine against llama-cpp-python on the same two files: its stock chat handler, and a bare loop over its low-level calls."""

from __future__ import annotations

import base64
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from PIL import Image as Pillow

from inference import manifest
from inference.engine import Engine, Image, Options, Request
from inference.hardware import physical_cores
from inference.llama import quiet
from inference.pixels import tile
from inference.select import open_engine
from settings import load
from tests.bench.answering import AGAIN, QUESTION
from tests.bench.figures import Figure
from tests.bench.subjects import small_pair

PAIRS = 5
ANSWERS, CUT = 50, 10
"""Answers that are timed token by token, and their tokens: the bundled model says little more."""
CONTEXT = 4096


@contextmanager
def engine_of(models: Path) -> Iterator[Engine]:
    """The bundled model through the GGUF engine, closed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "models").symlink_to(models, target_is_directory=True)
        engine = open_engine(load(data_dir=folder), "bundled+none@gguf").engine
        try:
            yield engine
        finally:
            engine.close()


def stock(models: Path) -> list[Figure]:
    """A second question about the same two images: seconds to the first token, ours over the stock handler's."""
    ours: list[float] = []
    encoded: list[float] = []
    with engine_of(models) as engine:
        for seed in range(PAIRS + 1):
            images = small_pair(100 + seed)
            found: list[int] = []
            for question in (QUESTION, AGAIN, "Is the heart larger?"):
                began = time.perf_counter()
                stamps = [
                    time.perf_counter() - began for _ in engine.stream(Request(images, question, options=Options(max_tokens=8)), Event())
                ]
                found.append(engine.timings.images_encoded)
                if question == AGAIN:
                    ours.append(stamps[0])
            encoded.append(sum(found) / len(images))
    theirs = _stock_seconds(models)
    mine, other = statistics.median(ours[1:]), statistics.median(theirs[1:])
    how = f"{1000 * mine:.0f} ms over {1000 * other:.0f} ms of its MTMDChatHandler, same files, threads and images; median of {PAIRS} pairs"
    return [
        Figure("second question on a pair, first token, over llama-cpp-python", mine / other, "x", 0.1, how),
        Figure("times an image is encoded in a session", max(encoded), "x", 1.0, f"three questions about each of {PAIRS + 1} pairs"),
    ]


def decoding(models: Path) -> list[Figure]:
    """Seconds a token while an answer is written, ours over a bare llama.cpp loop behind the same prompt."""
    ours, bare, tokens, prompt = [], [], 0, 0
    with engine_of(models) as engine, _bare(models) as loop:
        images = small_pair(200)
        for _ in range(ANSWERS + 1):  # in turn, each against the next: the pace of a shared machine drifts by a fifth within a run
            stamps = list(timed_tokens(engine, images))
            tokens, prompt = len(stamps), engine.timings.prompt_tokens
            ours.append(_pace(stamps))
            bare.append(_pace(list(loop(prompt, tokens))))
    ours, bare = ours[1:], bare[1:]
    mine, other = statistics.median(ours), statistics.median(bare)
    how = f"{1000 * mine:.2f} ms over {1000 * other:.2f} ms; {tokens} tokens behind a prompt of {prompt}, greedy, {ANSWERS} ratios; "
    ratio = statistics.median(one / two for one, two in zip(ours, bare, strict=True))
    return [Figure("a token of an answer, over a bare llama.cpp loop", ratio, "x", 1 / 0.95, how + "the bound is 0.95 of its pace")]


def timed_tokens(engine: Engine, images: Sequence[Image]) -> Iterator[float]:
    """When each token of an answer came that is cut before its end: the token that ends it is a step which no stamp would show."""
    for _ in engine.stream(Request(tuple(images), "Describe both images.", options=Options(CUT)), Event()):
        yield time.perf_counter()


def _stock_seconds(models: Path) -> list[float]:
    """Seconds to the first token of the second question about each pair, by the package's own handler."""
    from llama_cpp import Llama
    from llama_cpp.llama_chat_format import MTMDChatHandler

    quiet()
    folder = models / "bundled"
    listed = manifest.read(folder)
    handler = MTMDChatHandler(clip_model_path=str(folder / listed.mmproj), verbose=False, use_gpu=False)
    threads = physical_cores()
    model = Llama(str(folder / listed.text), chat_handler=handler, n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False)
    found: list[float] = []
    try:
        for seed in range(PAIRS + 1):
            images = [_url(tile(image.pixels, listed.tile)) for image in small_pair(100 + seed)]
            first = _chat(images, [QUESTION])
            answer = "".join(_spoken(model, first))
            started = time.perf_counter()
            stream = _spoken(model, [*first, {"role": "assistant", "content": answer or "No."}, {"role": "user", "content": AGAIN}])
            next(stream, "")
            found.append(time.perf_counter() - started)
            stream.close()
    finally:
        model.close()
    return found


def _chat(images: Sequence[str], questions: Sequence[str]) -> list[dict[str, Any]]:
    shown = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    return [{"role": "user", "content": [*shown, {"type": "text", "text": questions[0]}]}]


def _spoken(model: Any, messages: list[dict[str, Any]]) -> Any:
    for part in model.create_chat_completion(messages, stream=True, temperature=0.0, max_tokens=8):
        text = part["choices"][0]["delta"].get("content")
        if text:
            yield text


def _url(pixels: Any) -> str:
    out = io.BytesIO()
    Pillow.fromarray(pixels).save(out, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def _pace(stamps: Sequence[float]) -> float:
    """Seconds a token."""
    return (stamps[-1] - stamps[0]) / (len(stamps) - 1)


@contextmanager
def _bare(models: Path) -> Iterator[Callable[[int, int], Iterator[float]]]:
    """`llama_decode` and the largest logit, nothing else: when each of some tokens came, behind a prompt of so many that is read first.

    Flash attention is off as in the engine, where an answer could not be made again bit for bit with it; threads wait the same way.
    """
    import llama_cpp as llama

    quiet()
    folder = models / "bundled"
    listed = manifest.read(folder)
    params = llama.llama_model_default_params()
    params.n_gpu_layers, params.use_extra_bufts = 0, False
    model = llama.llama_model_load_from_file(os.fsencode(folder / listed.text), params)
    how = llama.llama_context_default_params()
    how.n_ctx, how.n_threads, how.n_threads_batch, how.no_perf = CONTEXT, physical_cores(), physical_cores(), True
    how.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context = llama.llama_init_from_model(model, how)
    vocabulary = llama.llama_n_vocab(llama.llama_model_get_vocab(model))

    def loop(prompt: int, tokens: int) -> Iterator[float]:
        llama.llama_memory_seq_rm(llama.llama_get_memory(context), 0, 0, -1)
        llama.llama_decode(context, llama.llama_batch_get_one((llama.llama_token * prompt)(*([100] * prompt)), prompt))
        chosen = 100
        for _ in range(tokens):
            llama.llama_decode(context, llama.llama_batch_get_one((llama.llama_token * 1)(chosen), 1))
            chosen = int(np.ctypeslib.as_array(llama.llama_get_logits(context), (vocabulary,)).argmax())
            yield time.perf_counter()

    try:
        yield loop
    finally:
        llama.llama_free(context)
        llama.llama_model_free(model)
