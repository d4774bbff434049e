"""What was trained is what answers: the training model, the built transformers folder and the exported GGUF agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune import base, bundled, dataset, export, heldout, language, parity, ship, vision
from finetune.export import Quant
from finetune.synthesis.questions import Item
from inference import manifest, pixels
from inference.engine import Engine, Request
from inference.gguf import GgufEngine
from inference.images import frame_image
from inference.torch_engine import TorchEngine
from settings import load
from storage import studies
from tests.conftest import ROOT
from tests.finetune import tiny

CHOICES = tuple("abcdefghijklmnopqrstuvwxyzABCDEFGHIJ")
QUESTION = "Which image shows more disease?"
LEAST_EQUAL = 0.8
"""Share of greedy answers that the shipped weights must give alike, on few questions."""


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


def test_the_report_finds_two_forms_of_the_same_numbers_alike(built: Path) -> None:
    """In F32 only the keys and values are rounded, which tips no more than a tie of random weights now and then."""
    sides = parity.Sides(built, manifest.read(built), threads=1)
    held = [heldout.Held("phantom", tiny.pair(seed)) for seed in range(2)]
    answers = parity.compare(sides, held)
    found = parity.report(sides.listed, list(sides.pictures.values()), answers, 1.0)
    assert {answer.ability for answer in answers} >= {"temporal", "comparison"}
    assert found["greedy"]["asked"] == len(answers) > 4
    assert all(answer.margin < 1e-3 for answer in answers if not answer.equal)
    assert found["logits"]["top1_agreement"] > 0.97
    assert found["logits"]["kl_max"] < 1e-3
    assert found["images"]["count"] == 4
    assert found["images"]["cosine_min"] > 0.999


def test_the_report_counts_where_the_second_image_bears_on_the_answer(built: Path) -> None:
    """Of two films both sides see it moved and by as much; where one film stands in both places nothing moves, and is not counted."""
    sides = parity.Sides(built, manifest.read(built), threads=1)
    pair = tiny.pair(0)
    answers = parity.compare(sides, [heldout.Held("phantom", pair)])
    twice = parity.compare(sides, [heldout.Held("phantom", replace(pair, current=pair.prior))])
    for answer in answers:
        assert answer.processor.moved == pytest.approx(answer.full.moved, rel=0.1, abs=1e-3)
    found, none = parity.second_image(answers), parity.second_image([*answers[:1], *twice])
    assert [found[side]["moved"] for side in ("gguf", "torch")] == [len(answers)] * 2, found
    assert [none[side]["moved"] for side in ("gguf", "torch")] == [1, 1], none


def test_the_report_finds_a_text_model_that_differs(built: Path, tmp_path: Path) -> None:
    """A report that could only praise would be worth nothing: weights moved by a tenth part ways, and are shown where."""
    for path in built.rglob("*"):
        if path.is_file():
            (tmp_path / path.relative_to(built)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path.relative_to(built)).write_bytes(path.read_bytes())
    tensors, draw = export.stored(built / bundled.WEIGHTS), np.random.default_rng(0)

    def moved(name: str) -> Any:
        values = tensors(name).astype(np.float32)
        return values + draw.normal(0, 0.3 * values.std(), values.shape).astype(np.float32)

    export.text_gguf(tmp_path / export.TEXT_FILE, tiny.shape(), tiny.vocabulary(), moved, Quant.F32)
    bundled.write_manifest(tmp_path, tiny.shape(), "tiny", "2", "Random weights, for tests.")
    sides = parity.Sides(tmp_path, manifest.read(tmp_path), threads=1)
    answers = parity.compare(sides, [heldout.Held("phantom", tiny.pair(0))])
    found = parity.report(sides.listed, list(sides.pictures.values()), answers, 1.0)
    assert found["greedy"]["equal"] < found["greedy"]["asked"]
    assert found["logits"]["kl_mean"] > 1e-3
    assert found["parted"][0]["torch"] != found["parted"][0]["gguf"]
    assert found["parted"][0]["margin"] >= 0


@pytest.mark.model
@pytest.mark.slow
def test_the_shipped_pair_answers_as_torch_does(bundled_models: Path) -> None:
    """The weights as shipped, on held-out questions of all abilities; `docs/model/parity.json` has more of them."""
    folder = bundled_models / "bundled"
    listed = manifest.read(folder)
    sides = parity.Sides(folder, listed)
    answers = parity.compare(sides, heldout.draw(6, listed.tile, None))
    found = parity.report(listed, list(sides.pictures.values()), answers, 1.0)
    assert found["images"]["cosine_min"] > 0.99
    assert found["logits"]["top1_agreement"] > 0.96
    assert found["greedy"]["share"] >= LEAST_EQUAL


@pytest.mark.model
@pytest.mark.parametrize("case", ["pneumonia-worse", "effusion-improved", "oedema-course", "ct-nodule-growth"])
def test_the_second_image_bears_on_the_processors_answer_as_it_does_on_the_full_models(bundled_models: Path, case: str) -> None:
    """On every demo case: exchanging the images, or the first in place of the second, moves the shares of both engines, and by the same."""
    folders = sorted(path for path in (ROOT / "assets" / "demo" / case).iterdir() if path.is_dir())
    series = [studies.read([folder]).studies[0].series[0] for folder in (folders[0], folders[-1])]
    films = [frame_image(one.frames[len(one.frames) // 2]) for one in series]
    choices = ("worse", "stable", "improved")
    moved: dict[str, list[float]] = {}
    for kind in (GgufEngine, TorchEngine):
        engine = kind(bundled_models / "bundled", 2048, threads=1)
        try:
            shares = []
            for first, second in (films, reversed(films), (films[0], films[0])):
                images = (replace(first, role="prior"), replace(second, role="current"))
                logprobs = np.array(engine.score(Request(images, "Overall, is the disease worse, stable or improved?"), choices).logprobs)
                shares.append(np.exp(logprobs) / np.exp(logprobs).sum())
            moved[engine.card.engine] = [float(np.abs(other - shares[0]).max()) for other in shares[1:]]
        finally:
            engine.close()
    assert min(moved["gguf"]) > 0.05, moved
    assert moved["gguf"] == pytest.approx(moved["torch"], abs=0.005), moved
