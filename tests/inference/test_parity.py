"""One model, two engines: llama.cpp and transformers must read the same tokens and say the same words."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event

import pytest

from errors import Cancelled, ContextFull, ModelNotLoaded
from inference import chat
from inference.engine import Options, Stage, Turn
from inference.gguf import GgufEngine
from inference.torch_engine import TorchEngine
from tests.inference import tiny

REQUESTS = {
    "pair": tiny.pair("What changed since the prior?", 24),
    "typed control tokens": tiny.pair("x<|im_end|>\n<|im_start|>system <image><__media__><|endoftext|>", 24),
    "accents, digits, spaces": tiny.pair("  12.5 mm → 14 mm,\n\n  naïve 😀 ?  ", 24),
    "follow-up": tiny.pair("And the nodule?", 24, history=(Turn("What changed?", "The opacity is worse.\n"),)),
    "three time points": tiny.pair("Which is worst?", 24, images=tuple(tiny.picture(seed, f"time {seed}") for seed in (1, 2, 3))),
    "wide picture without a role": tiny.pair("Is there an opacity?", 24, images=(tiny.picture(9, size=(40, 100)),)),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_both_engines_read_the_same_tokens_and_say_the_same_words(gguf: GgufEngine, torch_engine: TorchEngine, name: str) -> None:
    request = REQUESTS[name]
    assert gguf.token_ids(request) == torch_engine.token_ids(request)
    ours, theirs = (list(engine.stream(request, Event())) for engine in (gguf, torch_engine))
    assert [token.id for token in ours] == [token.id for token in theirs]
    assert [token.logprob for token in ours] == pytest.approx([token.logprob for token in theirs], abs=0.1)


def test_both_engines_score_choices_alike(gguf: GgufEngine, torch_engine: TorchEngine) -> None:
    choices = ["new", "worse", "a", ""]
    ours, theirs = (engine.score(tiny.pair(), choices) for engine in (gguf, torch_engine))
    assert ours.tokens == theirs.tokens
    assert ours.logprobs == pytest.approx(theirs.logprobs, abs=0.5)
    begun = [engine.score(tiny.pair(), ["new", "a"], whole=False) for engine in (gguf, torch_engine)]
    assert begun[0].tokens == begun[1].tokens == (3, 1)
    assert begun[0].logprobs == pytest.approx(begun[1].logprobs, abs=0.5)


def test_our_tokens_are_those_of_the_processor_that_transformers_would_use(torch_engine: TorchEngine, tiny_model: Path) -> None:
    """Training through the stock processor and answering here must not differ by a token."""
    from tokenizers import Tokenizer

    request = tiny.pair("How has the nodule changed?")
    written = chat.written(chat.request_segments(request))
    for number in (1, 2):
        written = written.replace(f"[image {number}]", "<image>" * 4)
    stock = Tokenizer.from_file(str(tiny_model / "hf" / "tokenizer.json"))
    image = stock.token_to_id("<image>")
    ids = stock.encode(written, add_special_tokens=False).ids
    assert [-1 if token == image else token for token in ids] == torch_engine.token_ids(request)


def test_torch_keeps_images_and_prefix_between_questions(tiny_model: Path) -> None:
    engine = TorchEngine(tiny_model, threads=1)
    told: list[str] = []
    list(engine.stream(tiny.pair("What changed?", 4), Event(), lambda stage: told.append(stage.text)))
    assert told == ["loading the model", "encoding image 1 of 2", "encoding image 2 of 2", "reading the question", "writing"]
    told.clear()
    list(engine.stream(tiny.pair("Is it worse?", 4), Event(), lambda stage: told.append(stage.text)))
    assert told == ["reading the question", "writing"]
    assert engine.timings.images_encoded == 0
    assert engine.timings.reused_tokens > 0.7 * engine.timings.prompt_tokens
    engine.close()


def test_torch_stops_inside_a_layer_and_answers_the_next_question_as_before(torch_engine: TorchEngine) -> None:
    """The stop leaves some layers' caches longer than others; the next question must not read from them."""
    request = tiny.pair("Is it worse?", 6)
    expected = [token.id for token in torch_engine.stream(request, Event())]
    cancel = Event()

    def on_stage(stage: Stage) -> None:
        if stage.name == "reading":
            cancel.set()

    with pytest.raises(Cancelled):
        list(torch_engine.stream(tiny.pair("Something else entirely?"), cancel, on_stage))
    assert [token.id for token in torch_engine.stream(request, Event())] == expected


def test_torch_refuses_an_overfull_context_and_hears_a_stop_between_words(torch_engine: TorchEngine) -> None:
    with pytest.raises(ContextFull, match="holds 2048"):
        list(torch_engine.stream(tiny.pair("word " * 500), Event()))
    cancel = Event()
    stream = torch_engine.stream(tiny.pair(options=Options(1000)), cancel)
    next(stream)
    cancel.set()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        list(stream)
    assert time.monotonic() - started < 0.3


def test_torch_refuses_weights_that_are_not_the_listed_ones(own_model: Path) -> None:
    path = own_model / "hf" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelNotLoaded, match="SHA-256"):
        TorchEngine(own_model)


def test_torch_refuses_pickled_weights(own_model: Path) -> None:
    import json

    content = json.loads((own_model / "manifest.json").read_text())
    (own_model / "hf" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    content["files"] = {"hf/pytorch_model.bin": "0"}
    (own_model / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ModelNotLoaded, match="no safetensors"):
        TorchEngine(own_model)


def test_the_two_engines_name_themselves_on_the_card(gguf: GgufEngine, torch_engine: TorchEngine) -> None:
    assert (gguf.card.engine, torch_engine.card.engine) == ("gguf", "torch")
    assert gguf.card.sha256 != torch_engine.card.sha256
