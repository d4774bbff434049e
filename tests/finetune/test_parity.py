"""What was trained is what answers: the training model, the built transformers folder and the exported GGUF agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune import base, bundled, dataset, export, language, ship, vision
from finetune.export import Quant
from finetune.synthesis.questions import Item
from inference import pixels
from inference.engine import Engine, Request
from inference.gguf import GgufEngine
from inference.torch_engine import TorchEngine
from settings import load
from tests.finetune import tiny

CHOICES = tuple("abcdefghijklmnopqrstuvwxyzABCDEFGHIJ")
QUESTION = "Which image shows more disease?"


def asked(seed: int, words: str = QUESTION) -> Request:
    pair = tiny.pair(seed)
    return Request((pixels.image(pair.prior, "prior"), pixels.image(pair.current, "current")), words)


@pytest.fixture(scope="module")
def trained() -> language.Reader:
    """A tiny training model whose LoRA and rows are not nothing."""
    torch.manual_seed(0)
    text = language.text_model(tiny.TinyBase(), tiny.shape(), torch.float32)  # type: ignore[arg-type]
    model = language.Reader(text, vision.Sight(tiny.VISION), tiny.shape(), tiny.recipe().lora)
    model.aim(dataset.stack([tiny.pair(seed) for seed in range(2)]).flatten(0, 1), tiny.words().encode)
    model.train_only(("connector", "lora"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    return model.eval()


@pytest.fixture(scope="module")
def built(trained: language.Reader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its parts, shipped and built; then the GGUF pair again in F32, so that rounding hides nothing."""
    folder = tmp_path_factory.mktemp("built")
    tower, words = language.tower_parts(trained.sight, trained.connector), language.language_parts(trained)
    ship.write(folder / "parts", tiny.recipe(), tower, words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "wheel", lambda: folder)
        patch.setattr(base, "opened", opened)
        made = bundled.build(load(data_dir=folder), parts=folder / "parts", hf=True)
    tensors = export.stored(made / bundled.WEIGHTS)
    export.text_gguf(made / export.TEXT_FILE, tiny.shape(), tiny.vocabulary(), tensors, Quant.F32)
    export.mmproj_gguf(made / export.MMPROJ_FILE, tiny.shape(), tensors, Quant.F32)
    bundled.write_manifest(made, tiny.shape(), "tiny", "1", "Random weights, for tests.")
    return made


@contextmanager
def opened(_path: Path) -> Iterator[tiny.TinyBase]:
    """The tiny base in the place of the wheel's."""
    yield tiny.TinyBase()


def distribution(engine: Engine, request: Request) -> np.ndarray[Any, np.dtype[np.float64]]:
    logprobs = np.array(engine.score(request, CHOICES).logprobs)
    odds = np.exp(logprobs - logprobs.max())
    shares: np.ndarray[Any, np.dtype[np.float64]] = odds / odds.sum()
    return shares


def test_gguf_and_torch_give_the_same_probabilities(built: Path) -> None:
    gguf, other = GgufEngine(built, 512, threads=1), TorchEngine(built, 512, threads=1)
    try:
        for seed in range(3):
            p, q = (distribution(engine, asked(seed)) for engine in (other, gguf))
            assert float((p * np.log(p / q)).sum()) < 1e-3
            assert gguf.token_ids(asked(seed)) == other.token_ids(asked(seed))
    finally:
        gguf.close()
        other.close()


def test_the_trained_model_and_the_built_one_score_an_answer_alike(built: Path, trained: language.Reader) -> None:
    """Prompt, layout, merge and tower order are shared by training and answering, or training would be for nothing."""
    pair, answer = tiny.pair(4), "The second image."
    item = Item((0, 1), ("prior", "current"), ("", ""), QUESTION, answer, "coreference", "temporal", "which")
    batch = language.pack([dataset.row(pair, [item], tiny.words(), tiny.VISION.tokens, 64)])
    with torch.no_grad():
        table = trained.text.embed_tokens.weight.clone()
        table[tiny.shape().base_tokens :][: len(trained.rows)] = trained.rows
        logprobs = torch.log_softmax(trained.answers(batch) @ table.T, -1)
    labels = batch.labels[batch.labels != dataset.IGNORED]
    ours = float(logprobs.gather(1, labels[:, None]).sum())
    engine = TorchEngine(built, 512, threads=1)
    try:
        score = engine.score(asked(4), [answer])
        assert score.logprobs[0] == pytest.approx(ours, abs=0.02 * len(labels))
    finally:
        engine.close()


def test_another_second_image_changes_the_probabilities(built: Path) -> None:
    engine = TorchEngine(built, 512, threads=1)
    try:
        first, exchanged = asked(0), asked(0)
        exchanged = Request(tuple(reversed(first.images)), first.question)
        assert np.abs(distribution(engine, first) - distribution(engine, exchanged)).max() > 1e-4
    finally:
        engine.close()
