"""Families that llama.cpp runs besides the bundled one, against transformers on the same numbers.

Of Qwen-VL an image takes fewer positions than tokens (M-RoPE), and everything that is kept must know it; Gemma 3 reads an image's tokens
in both directions, and is shown the current image first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from inference import manifest
from inference.engine import Engine, Request
from inference.gguf import GgufEngine
from inference.torch_engine import TorchEngine
from tests.inference import converted, tiny

CHOICES = ("worse", "stable", "improved")
PAIR = tiny.pair("What changed?", 6)
EXCHANGED = tiny.pair("What changed?", 6, images=tuple(reversed(PAIR.images)))
AGAIN = tiny.pair("Is it worse?", 6)
COURSE = tiny.pair("What changed?", 6, images=(*PAIR.images, tiny.picture(3, "current")))


@pytest.fixture(scope="module", params=sorted(converted.TILES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gemma 3; Qwen2.5-VL, whose tower looks in windows; Qwen3-VL, whose tower speaks to deeper layers too."""
    return converted.build(tmp_path_factory.mktemp("converted") / "model", request.param)


@pytest.fixture(scope="module")
def gguf(folder: Path) -> Iterator[GgufEngine]:
    engine = GgufEngine(folder, 1024, 1)
    yield engine
    engine.close()


def spoken(engine: Engine, request: Request) -> list[tuple[int, float]]:
    return [(token.id, token.logprob) for token in engine.stream(request, Event())]


def test_llama_cpp_says_what_the_class_itself_says_at_the_positions_it_was_trained_with(gguf: GgufEngine, folder: Path) -> None:
    """Were an image of Qwen-VL to take as many positions as tokens, every word would be another one."""
    torch_engine = TorchEngine(folder, 1024, 1, listed=manifest.of_transformers(folder / "hf", converted.TILES[gguf.card.family]))
    for request in (PAIR, EXCHANGED, AGAIN, COURSE, PAIR):
        assert gguf.token_ids(request) == torch_engine.token_ids(request)
        ours, theirs = spoken(gguf, request), spoken(torch_engine, request)
        assert [token for token, _ in ours] == [token for token, _ in theirs]
        assert [value for _, value in ours] == pytest.approx([value for _, value in theirs], abs=2e-3)
        assert gguf.score(request, CHOICES).logprobs == pytest.approx(torch_engine.score(request, CHOICES).logprobs, abs=1e-2)
    torch_engine.close()


def test_an_image_takes_its_tokens_and_exchanging_two_changes_what_is_said(gguf: GgufEngine) -> None:
    assert gguf.token_ids(PAIR).count(-1) == 2 * gguf.card.tokens_per_image
    assert spoken(gguf, PAIR) != spoken(gguf, EXCHANGED)


def test_what_was_kept_put_aside_or_scored_in_between_changes_no_bit(gguf: GgufEngine, folder: Path) -> None:
    """A follow-up reads its own words alone, another case comes in between: each answer is that of an engine asked nothing else."""
    expected, scores = {}, {}
    for name, request in {"pair": PAIR, "again": AGAIN, "course": COURSE}.items():
        fresh = GgufEngine(folder, 1024, 1)
        expected[name], scores[name] = spoken(fresh, request), fresh.score(request, CHOICES)
        fresh.close()
    assert spoken(gguf, PAIR) == expected["pair"]
    assert spoken(gguf, AGAIN) == expected["again"]
    assert gguf.timings.images_encoded == 0
    assert gguf.timings.reused_tokens > 2 * gguf.card.tokens_per_image
    assert gguf.score(PAIR, CHOICES) == scores["pair"]
    assert spoken(gguf, COURSE) == expected["course"]
    assert spoken(gguf, EXCHANGED) != expected["pair"]
    assert spoken(gguf, PAIR) == expected["pair"]
    assert gguf.score(COURSE, CHOICES) == scores["course"]
    assert gguf.score(AGAIN, CHOICES) == scores["again"]
