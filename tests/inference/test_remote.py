"""The engine on another server: what is sent, what comes back, and every way in which a server can let a reader down."""

from __future__ import annotations

import base64
import io
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from errors import Cancelled, ContextFull, EngineError, ModelNotLoaded, SettingsError
from inference import answer, checks, pixels, remote
from inference.answer import Answer, ask
from inference.closed import of_finding, read
from inference.engine import Token, Turn
from inference.http_lines import Server
from inference.remote import TILE, RemoteEngine
from inference.select import open_engine
from settings import load
from tests.bench.serving import free_port, wait_for
from tests.inference import tiny
from tests.inference.served import Handler, Say, event, serving, spoken


def said(*words: str, **more: Any) -> Say:
    return lambda handler, _: handler.raw(spoken(*words, **more))


def test_words_come_with_their_log_probability_and_the_images_as_png_data_urls_of_the_very_tile() -> None:
    request = tiny.pair("What changed?", 9)
    with serving(said("It ", "is ", "worse.")) as desk:
        engine = RemoteEngine(desk.at())
        told: list[str] = []
        tokens = list(engine.stream(request, Event(), lambda stage: told.append(stage.text)))
        assert [(token.text, token.logprob, token.position) for token in tokens] == [
            ("It ", -0.25, 0),
            ("is ", -0.25, 1),
            ("worse.", -0.25, 2),
        ]
        assert told == ["reading the question", "writing"]
        assert (engine.timings.tokens, engine.timings.prompt_tokens) == (3, 321)
        assert (engine.card.name, engine.card.engine, engine.card.context_tokens) == ("tiny", "remote", 2048)
        assert desk.paths == ["/v1/models", "/v1/chat/completions"]
        assert desk.keys == ["Bearer s3cret"]
        body = desk.bodies[0]
        assert (body["model"], body["max_tokens"], body["temperature"], body["stream"]) == ("tiny", 9, 0.0, True)
        parts = body["messages"][1]["content"]
        assert [part["type"] for part in parts] == ["text", "image_url", "text", "text", "image_url", "text", "text"]
        assert parts[3]["text"] == "Image 2 (current, 14 days later): "
        for part, image in zip((parts[1], parts[4]), request.images, strict=True):
            head, _, data = part["image_url"]["url"].partition(",")
            assert head == "data:image/png;base64"
            shown = np.asarray(Pillow.open(io.BytesIO(base64.b64decode(data))))
            assert np.array_equal(shown, pixels.tile(image.pixels, TILE))


def test_earlier_turns_travel_with_the_question() -> None:
    with serving(said("Yes.")) as desk:
        list(RemoteEngine(desk.at()).stream(tiny.pair("Sure?", history=(Turn("Is it worse?", "It is."),)), Event()))
        assert [message["role"] for message in desk.bodies[0]["messages"]] == ["system", "user", "assistant", "user"]
        assert desk.bodies[0]["messages"][3]["content"] == "Sure?"


def test_a_server_without_log_probabilities_is_asked_once_for_them_and_answers_all_the_same() -> None:
    def say(handler: Handler, body: dict[str, Any]) -> None:
        if "logprobs" in body:
            handler.json(400, {"error": {"message": "logprobs is not supported for models created with logits_all=False"}})
        else:
            handler.raw(spoken("Worse.", logprob=None))

    with serving(say) as desk:
        engine = RemoteEngine(desk.at())
        for _ in range(2):
            tokens = list(engine.stream(tiny.pair(), Event()))
            assert [token.text for token in tokens] == ["Worse."]
            assert math.isnan(tokens[0].logprob)
        assert ["logprobs" in body for body in desk.bodies] == [True, False, False]


@pytest.mark.parametrize(
    "typed", ["<|im_end|>", "<|im_start|>system", "<image>", "<__media__>", "<start_of_turn>", "[INST]", "[/INST]", "</s>", "<<SYS>>"]
)
def test_what_could_be_a_control_token_is_sent_as_something_that_is_none(typed: str) -> None:
    with serving(said("No.")) as desk:
        engine = RemoteEngine(desk.at())
        list(engine.stream(tiny.pair(f"a {typed} b"), Event()))
        question = desk.bodies[0]["messages"][1]["content"][-1]["text"]
        assert typed not in question
        assert question.replace(" ", "") == f"a{typed}b"
        assert question in engine.prompt(tiny.pair(f"a {typed} b"))


@pytest.mark.parametrize("text", ["a nodule of < 3 mm and > 2 mm", "[see above]", "5 < 6 > 4", "x<y", "PSA [ng/ml] 4"])
def test_ordinary_text_is_sent_as_it_was_typed(text: str) -> None:
    assert remote.plain(text) == text


def choice(*named: tuple[str, float]) -> Say:
    first = {"token": named[0][0], "logprob": named[0][1], "top_logprobs": [{"token": word, "logprob": value} for word, value in named]}
    content = {"choices": [{"message": {"content": named[0][0]}, "logprobs": {"content": [first]}, "finish_reason": "length"}]}
    return lambda handler, _: handler.json(200, content)


def weighing(*named: tuple[str, float]) -> Say:
    """Says "It is worse." in words, and names the likeliest first tokens where they are asked for."""

    def say(handler: Handler, body: dict[str, Any]) -> None:
        (said("It is ", "worse.") if body["stream"] else choice(*named))(handler, body)

    return say


def test_choices_are_weighed_by_the_first_tokens_the_server_names() -> None:
    with serving(choice((" worse", -0.5), ("stab", -1.5), ("Worse", -3.0), ("the", -4.0))) as desk:
        scores = RemoteEngine(desk.at()).score(tiny.pair(), ["worse", "stable", "improved"])
        assert scores.logprobs == pytest.approx((math.log(math.exp(-0.5) + math.exp(-3.0)), -1.5, -4.0))
        assert desk.bodies[0]["max_tokens"] == 1


def test_a_choice_that_a_server_calls_impossible_is_weighed_as_such() -> None:
    """vLLM and OpenAI send -9999 for a token that cannot come; its probability is 0 in any float."""
    with serving(choice(("worse", 0.0), ("stable", -9999.0), ("im", -9999.0), ("Im", -9999.0))) as desk:
        scores = RemoteEngine(desk.at()).score(tiny.pair(), ["worse", "stable", "improved"])
        assert scores.logprobs == pytest.approx((0.0, -9999.0, -9999.0 + math.log(2)))


def test_choices_that_begin_alike_or_a_server_that_names_none_are_a_sentence() -> None:
    with serving(choice(("un", -0.5), ("stable", -1.5))) as desk, pytest.raises(EngineError, match="begin alike"):
        RemoteEngine(desk.at()).score(tiny.pair(), ["uncertain", "unchanged"])
    content = {"choices": [{"message": {"content": "worse"}, "finish_reason": "length"}]}
    with serving(lambda handler, _: handler.json(200, content)) as desk, pytest.raises(EngineError, match="offers no log-probabilities"):
        RemoteEngine(desk.at()).score(tiny.pair(), ["worse", "stable"])


def half(handler: Handler, _: object) -> None:
    handler.raw(event("It ") + event("is "))


def short(handler: Handler, _: object) -> None:
    handler.raw(event("It "), **{"Content-Length": "9000"})


def html(handler: Handler, _: object) -> None:
    handler.raw(b"<html>\nWelcome to nginx!\n</html>", kind="text/html")


def shapeless(handler: Handler, _: object) -> None:
    handler.raw(b'data: {"choices": [{"text": "no delta"}]}\n\ndata: [DONE]\n\n')


def endless(handler: Handler, _: object) -> None:
    handler.raw(b"data: " + b"x" * (2 << 20))


def binary(handler: Handler, _: object) -> None:
    handler.raw(bytes(range(256)) * 4)


def moved(handler: Handler, _: object) -> None:
    handler.raw(b"", 302, Location="http://192.0.2.1/v1/chat/completions")


def broken(handler: Handler, _: object) -> None:
    handler.json(500, {"error": {"message": "CUDA out of memory\nTraceback (most recent call last)"}})


def failing(handler: Handler, _: object) -> None:
    handler.raw(event("It ") + b'data: {"error": {"message": "the model crashed"}}\n\n')


def listing(handler: Handler, _: object) -> None:
    handler.raw(event("It ") + b'data: {"choices": [{"delta": {"content": [1, 2]}}]}\n\n')


def deep(handler: Handler, _: object) -> None:
    handler.raw(event("It ") + b"data: " + b"[" * 100_000 + b"\n\n")


def vast(handler: Handler, _: object) -> None:
    token = b'{"token": "is", "logprob": 1%s}' % (b"0" * 400)
    handler.raw(event("It ") + b'data: {"choices": [{"delta": {"content": "is"}, "logprobs": {"content": [%s]}}]}\n\n' % token)


def worded(handler: Handler, _: object) -> None:
    handler.raw(event("It ") + b'data: {"error": "the model crashed"}\n\n')


@pytest.mark.parametrize(
    ("say", "words", "sentence"),
    [
        (listing, 1, "answered something else"),
        (deep, 1, "answered something else"),
        (vast, 1, "answered something else"),
        (worded, 1, "the model crashed"),
        (half, 2, "broke off in the middle of its answer"),
        (short, 1, "broke off in the middle of its answer"),
        (html, 0, "answered something else than an OpenAI-compatible server does (it begins '<html>')"),
        (shapeless, 0, "answered something else"),
        (endless, 0, "answered something else"),
        (binary, 0, "answered something else"),
        (moved, 0, "HTTP 302"),
        (broken, 0, "HTTP 500: CUDA out of memory Traceback"),
        (failing, 1, "the model crashed"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_server_that_breaks_off_or_talks_nonsense_is_one_sentence_and_the_next_question_is_answered(
    say: Say, words: int, sentence: str
) -> None:
    with serving(say) as desk:
        engine = RemoteEngine(desk.at())
        heard: list[Token] = []
        with pytest.raises(EngineError) as raised:
            heard.extend(engine.stream(tiny.pair(), Event()))
        assert len(heard) == words
        assert sentence in str(raised.value)
        assert "\n" not in str(raised.value)
        desk.say = said("Better.")
        assert [token.text for token in engine.stream(tiny.pair(), Event())] == ["Better."]


def test_what_a_server_need_not_say_spoils_no_answer() -> None:
    """`"error": null`, a usage beyond all numbers, half a surrogate pair and a log-probability above nought once ended the answer."""
    odd = {
        "error": None,
        "usage": {"prompt_tokens": float("inf")},
        "choices": [{"delta": {"content": "It is \ud83d"}, "logprobs": {"content": [{"token": "It is \ud83d", "logprob": 1e308}]}}],
    }
    with serving(lambda handler, _: handler.raw(b"data: " + json.dumps(odd).encode() + b"\n\n" + event(" worse.", "stop"))) as desk:
        *_, found = ask(RemoteEngine(desk.at()), tiny.pair(), Event())
    assert isinstance(found, Answer)
    assert (found.text, found.state) == ("It is ? worse.", "complete")
    assert found.confidence.mean_probability == 1.0


def test_a_context_that_is_too_small_is_the_error_it_is_everywhere() -> None:
    reason = {"error": {"message": "This model's maximum context length is 2048 tokens, you asked for 3000"}}
    with serving(lambda handler, _: handler.json(400, reason)) as desk, pytest.raises(ContextFull, match="use fewer images"):
        list(RemoteEngine(desk.at()).stream(tiny.pair(), Event()))


def test_a_silent_server_is_waited_for_as_long_as_was_set() -> None:
    free = threading.Event()
    with serving(lambda handler, _: free.wait(30) or None) as desk:
        engine = RemoteEngine(desk.at(patience=0.3))
        with pytest.raises(EngineError, match=r"said nothing for 0.3 s"):
            list(engine.stream(tiny.pair(), Event()))
        free.set()


@pytest.mark.parametrize("first", [b"", event("It ")], ids=["before the first word", "between two words"])
def test_a_stop_is_heard_at_once_and_the_server_is_hung_up_on(first: bytes) -> None:
    """A fifth of a second is promised, the best of five is held to it; that the server notices is the proof that the line was cut."""
    stops: list[tuple[Event, list[float], Event]] = []

    def say(handler: Handler, _: object) -> None:
        cancel, stopped, cut = stops[-1]
        handler.raw(first)
        handler.connection.settimeout(60)
        stopped.append(time.monotonic())
        cancel.set()
        if handler.connection.recv(1) == b"":
            cut.set()

    waited: list[float] = []
    with serving(say) as desk:
        engine = RemoteEngine(desk.at(patience=60))
        for _ in range(5):
            stops.append((Event(), [], Event()))
            cancel, stopped, cut = stops[-1]
            with pytest.raises(Cancelled):
                list(engine.stream(tiny.pair(), cancel))
            waited.append(time.monotonic() - stopped[0])
            assert cut.wait(60)
    assert min(waited) < 0.2


def test_a_server_that_is_not_there_or_lists_nothing_is_a_sentence() -> None:
    port = free_port()
    with pytest.raises(ModelNotLoaded, match=rf"127.0.0.1:{port} cannot be reached .*; start it, or unset INTERVAL_ENGINE_URL"):
        RemoteEngine(Server(f"http://127.0.0.1:{port}/v1"))
    with serving(said("x")) as desk:
        with pytest.raises(ModelNotLoaded, match="has no model 'other'; choose one of those it lists: tiny"):
            RemoteEngine(desk.at(), "other")
        desk.listed = {"data": "none"}
        with pytest.raises(ModelNotLoaded, match="lists no models"):
            RemoteEngine(desk.at())


def test_a_closed_engine_says_so() -> None:
    with serving(said("x")) as desk:
        engine = RemoteEngine(desk.at())
        engine.close()
        with pytest.raises(EngineError, match="closed"):
            list(engine.stream(tiny.pair(), Event()))


@pytest.mark.parametrize(
    ("url", "hosts", "sentence"),
    [
        ("http://gpu.example.org/v1", "", "images may not be sent to gpu.example.org; add it to INTERVAL_ENGINE_HOSTS"),
        ("http://gpu.example.org.evil.net/v1", "gpu.example.org", "may not be sent to gpu.example.org.evil.net"),
        ("http://gpu.example.org@evil.net/v1", "gpu.example.org", "may not be sent to evil.net"),
        ("file:///etc/passwd", "", "is no address"),
        ("localhost:8000", "", "is no address"),
        ("http://127.0.0.1:99999/v1", "", "is no address"),
        ("http://[::1/v1", "", "is no address"),
    ],
)
def test_images_go_to_no_host_that_was_not_named(url: str, hosts: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(engine_url=url, engine_hosts=hosts)
    assert sentence in str(raised.value)
    assert str(raised.value).startswith("INTERVAL_ENGINE_URL: ")


def test_a_named_host_and_loopback_are_allowed_and_the_key_is_never_shown() -> None:
    assert load(engine_url="https://gpu.example.org:8443/v1", engine_hosts="a.example.org, gpu.example.org").engine_url
    assert "s3cret" not in repr(load(engine_url="http://[::1]:8000/v1", engine_key="s3cret"))


def test_the_settings_choose_the_server_and_a_named_model_wins(tmp_path: Path, tiny_model: Path) -> None:
    with serving(said("x")) as desk:
        settings = load(data_dir=tmp_path, engine_url=desk.url)
        selection = open_engine(settings)
        assert type(selection.engine) is RemoteEngine
        assert "runs on the server 127.0.0.1:" in selection.reason
        assert open_engine(settings, "tiny@remote").engine.card.name == "tiny"
        local = open_engine(settings, str(tiny_model))
        local.engine.close()
        assert local.engine.card.engine == "gguf"
    with pytest.raises(ModelNotLoaded, match="set INTERVAL_ENGINE_URL"):
        open_engine(load(data_dir=tmp_path), engine="remote")


@pytest.fixture(scope="module")
def llama_server(bundled_models: Path) -> Iterator[str]:
    """llama-cpp-python's own server with the bundled model, in a process of its own; its address."""
    from inference import manifest

    folder = bundled_models / "bundled"
    listed = manifest.read(folder)
    port = free_port()
    command = [sys.executable, "-m", "llama_cpp.server", "--host", "127.0.0.1", "--port", str(port), "--model_alias", "bundled"]
    command += ["--model", str(folder / listed.text), "--clip_model_path", str(folder / listed.mmproj), "--chat_format", "mtmd"]
    command += ["--n_ctx", "4096", "--n_gpu_layers", "0", "--logits_all", "true", "--n_threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/v1/models", process)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


@pytest.mark.model
@pytest.mark.slow
def test_a_real_server_with_the_bundled_model_answers_about_two_images(llama_server: str) -> None:
    engine = RemoteEngine(Server(llama_server, patience=120), "bundled")
    request = tiny.pair("Is the disease worse, stable or improved since the prior study?", 12)
    tokens = list(engine.stream(request, Event()))
    assert 1 <= len(tokens) <= 12
    assert "".join(token.text for token in tokens).strip()
    again = list(engine.stream(request, Event()))
    assert [token.text for token in again] == [token.text for token in tokens]
    stream = engine.stream(tiny.pair("Describe both images.", 200), cancel := Event())
    next(stream)
    cancel.set()
    with pytest.raises(Cancelled):
        list(stream)
    assert list(engine.stream(request, Event()))


@pytest.mark.model
@pytest.mark.slow
def test_an_answer_of_a_real_server_is_scored_and_checked_like_any_other(llama_server: str) -> None:
    engine = RemoteEngine(Server(llama_server, patience=120), "bundled")
    request = tiny.pair("Is the disease worse, stable or improved since the prior study?", 12)
    given = answer.ask(engine, request, Event(), progression=True, findings=("nodule",))
    *_, found = checks.checked(engine, given, Event())
    assert isinstance(found, answer.Answer)
    for shares in (found.progression["nodule"], found.overall):
        assert sum(shares.values()) == pytest.approx(1)
    assert [name for name in checks.USUAL if found.checks[name].verdict == "not made"] == []
    assert found.trust.state != "unchecked"


def test_synonyms_and_classes_that_begin_alike_are_weighed_all_the_same() -> None:
    """No finding was ever scored on a server: "new" and "newly appeared" begin alike, and so do "the first" and "the second image"."""
    with serving(weighing(("worse", -0.5), ("new", -1.0), ("un", -3.0), ("A", -1.0), ("B", -0.5))) as desk:
        engine = RemoteEngine(desk.at())
        shares = read(engine, tiny.pair(), of_finding("nodule")).shares
        assert max(shares, key=shares.__getitem__) == "worse"
        which = tiny.pair("Which image shows more disease?", ability="coreference")
        given = answer.ask(engine, which, Event())
        *_, found = checks.checked(engine, given, Event())
        assert isinstance(found, answer.Answer)
        assert found.checks["exchange"].verdict != "not made"
        assert set(found.checks["exchange"].seen) == {"the first image", "the second image", "both the same"}
        assert "A: the first image\nB: the second image" in found.checks["exchange"].question


def test_an_open_answer_of_a_server_is_not_accused_by_its_first_word() -> None:
    """Its likelihood there is that of its first token, which is as likely without the images."""
    with serving(weighing(("The", -0.1))) as desk:
        engine = RemoteEngine(desk.at())
        *_, found = checks.checked(engine, answer.ask(engine, tiny.pair("What is it?", ability="reasoning"), Event()), Event())
    assert isinstance(found, answer.Answer)
    assert (found.checks["no_image"].verdict, found.trust.state) == ("not made", "unchecked")


def test_an_answer_of_a_server_without_log_probabilities_is_whole_and_says_what_it_lacks() -> None:
    """No figure is invented where the server gives none: no confidence, no progression, and a sentence why."""
    with serving(unweighed) as desk:
        *_, found = answer.ask(RemoteEngine(desk.at()), tiny.pair("What changed?"), Event(), progression=True)
    assert isinstance(found, answer.Answer)
    assert (found.text, found.state, found.model.engine) == ("It is worse.", "complete", "remote")
    assert found.confidence.mean_probability is None
    assert dict(found.progression) == {}
    assert any("offers no log-probabilities" in warning for warning in found.warnings)
    json.dumps(answer.as_json(found), allow_nan=False)
    assert answer.record(found).prompt.count("[image ") == 2


def unweighed(handler: Handler, body: dict[str, Any]) -> None:
    if "logprobs" in body and body["stream"]:
        handler.json(400, {"error": {"message": "logprobs is not supported"}})
    elif body["stream"]:
        handler.raw(spoken("It is ", "worse.", logprob=None))
    else:
        handler.json(200, {"choices": [{"message": {"content": "worse"}, "finish_reason": "length"}]})
