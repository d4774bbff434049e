"""The one path from a question to an answer: what is refused, what is kept, what is said about it."""

from __future__ import annotations

import gc
import json
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from threading import Event

import pytest

from errors import ContextFull, QuestionError
from inference import prompts
from inference.answer import MAX_QUESTION, Answer, as_json, ask, record
from inference.engine import Engine, OnStage, Options, Request, Stage, Token
from tests.fakes import CARD, FakeEngine
from tests.inference import tiny


def asked(engine: Engine, request: Request, cancel: Event | None = None, **options: object) -> tuple[list[Stage | Token], Answer]:
    """Everything `ask` yields before the answer, and the answer."""
    *before, last = ask(engine, request, cancel or Event(), **options)  # type: ignore[arg-type]
    assert isinstance(last, Answer)
    assert not any(isinstance(item, Answer) for item in before)
    return [item for item in before if not isinstance(item, Answer)], last


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (tiny.pair(images=()), "no image was given"),
        (tiny.pair(images=tuple(tiny.picture(seed) for seed in range(9))), "9 images were given .* at most 8"),
        (tiny.pair(""), "question is empty"),
        (tiny.pair(" \n\t "), "question is empty"),
        (tiny.pair("x" * 100_000), f"100000 characters and at most {MAX_QUESTION}"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_the_engine_hears_of_it(request_: Request, said: str) -> None:
    engine = FakeEngine()
    with pytest.raises(QuestionError, match=said):
        ask(engine, request_, Event())
    assert engine.requests == []


def test_stages_and_words_arrive_one_by_one_and_the_answer_comes_last() -> None:
    engine = FakeEngine(["The opacity is worse."])
    before, answer = asked(engine, tiny.pair())
    assert [item.text for item in before] == [
        "encoding image 1 of 2",
        "encoding image 2 of 2",
        "reading the question",
        "writing",
        "The",
        " opacity",
        " is",
        " worse.",
    ]
    assert (answer.text, answer.state, answer.error) == ("The opacity is worse.", "complete", "")
    assert answer.confidence.mean_probability == pytest.approx(math.exp(-0.1))
    assert answer.confidence.calibrated is False


def test_a_stage_is_shown_while_the_engine_still_works_on_it() -> None:
    """Stages are for the time before the first word; they must not wait for it."""
    go = Event()
    engine = FakeEngine(gate=lambda position: None if go.wait(10) else pytest.fail("never let go"))
    items = ask(engine, tiny.pair(), Event())
    assert isinstance(next(items), Stage)
    go.set()
    assert isinstance(list(items)[-1], Answer)


def test_a_stopped_answer_keeps_its_words() -> None:
    cancel = Event()
    engine = FakeEngine(["The opacity is worse."], gate=lambda position: cancel.set() if position == 2 else None)
    _, answer = asked(engine, tiny.pair(), cancel, progression=True)
    assert (answer.text, answer.state) == ("The opacity", "stopped")
    assert len(answer.tokens) == 2
    assert engine.scored == []


def test_an_engine_that_dies_leaves_an_incomplete_answer_and_the_next_one_is_whole() -> None:
    engine = FakeEngine(["The opacity is worse."], dies_after=2)
    _, answer = asked(engine, tiny.pair())
    assert (answer.text, answer.state) == ("The opacity", "incomplete")
    assert "signal 9" in answer.error
    assert "signal 9" in " ".join(record(answer).warnings)
    assert asked(engine, tiny.pair())[1].state == "complete"


def test_an_engine_that_dies_before_a_word_leaves_an_incomplete_answer_too() -> None:
    """The question is kept with the reason it has no words, not lost."""
    _, answer = asked(FakeEngine(dies_after=0), tiny.pair())
    assert (answer.text, answer.state) == ("", "incomplete")
    assert "signal 9" in answer.error


def test_an_answer_without_a_word_says_so() -> None:
    """A server that ended its stream at once left an empty, complete answer that nobody was told anything of."""
    _, answer = asked(FakeEngine([" "]), tiny.pair())
    assert (answer.text, answer.state) == ("", "complete")
    assert "without a word" in " ".join(record(answer).warnings)


@pytest.mark.parametrize("engine", [FakeEngine(["one two three"], dies_after=2), FakeEngine(dies_after=0)])
def test_an_answer_that_was_cut_short_still_says_what_it_cost(engine: FakeEngine) -> None:
    timings = record(asked(engine, tiny.pair())[1]).timings
    assert timings["images_encoded"] == 2
    assert timings["total_s"] > 0


class Full(FakeEngine):
    def stream(self, request: Request, cancel: Event, on_stage: OnStage | None = None) -> Iterator[Token]:
        raise ContextFull("too long")


class Broken(FakeEngine):
    def stream(self, request: Request, cancel: Event, on_stage: OnStage | None = None) -> Iterator[Token]:
        raise ZeroDivisionError("a bug")


@pytest.mark.parametrize(("engine", "error"), [(Full(), ContextFull), (Broken(), ZeroDivisionError)])
def test_errors_of_the_engine_reach_the_caller(engine: FakeEngine, error: type[Exception]) -> None:
    with pytest.raises(error):
        asked(engine, tiny.pair())


def test_who_walks_away_stops_the_engine() -> None:
    cancel, reached = Event(), Event()
    engine = FakeEngine([" ".join(["word"] * 50)], gate=lambda position: reached.set() if position == 2 else None)
    items = ask(engine, tiny.pair(), cancel)
    while not isinstance(next(items), Token):
        pass
    del items
    gc.collect()
    assert cancel.is_set()
    for thread in [thread for thread in threading.enumerate() if thread.name == "answer"]:
        thread.join(10)
        assert not thread.is_alive()


def test_progression_is_scored_for_each_finding_and_sums_to_one() -> None:
    engine = FakeEngine(scores={"worse": -1.0, "stable": -2.0})
    before, answer = asked(engine, tiny.pair(), progression=True, findings=("nodule", "pleural effusion"))
    assert list(answer.progression) == ["nodule", "pleural effusion"]
    for classes in answer.progression.values():
        assert tuple(classes) == prompts.PROGRESSION
        assert sum(classes.values()) == pytest.approx(1)
        assert max(classes, key=lambda name: classes[name]) == "worse"
    assert tuple(answer.overall) == ("worse", "stable", "improved")
    assert 0 < (answer.confidence.entropy or 0) < 1
    assert answer.confidence.margin == pytest.approx(answer.progression["nodule"]["worse"] - answer.progression["nodule"]["stable"])
    assert before[-1] == Stage("scoring", 2, 2)
    assert [request.question for request, _ in engine.scored][::2] == [
        prompts.progression_question("nodule"),
        prompts.progression_question("pleural effusion"),
        prompts.OVERALL_QUESTION,
    ]
    assert "improved, stable or worse" in engine.scored[-1][0].question
    assert len(answer.orders) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"ability": "reasoning", "question": "What is the diagnosis?"},
        {"ability": "coreference", "question": "Which image shows more disease?"},
        {"images": (tiny.picture(1),)},
        {"relationship": "sides"},
    ],
)
def test_progression_is_left_out_where_it_means_nothing(fields: dict[str, object]) -> None:
    engine = FakeEngine()
    assert asked(engine, tiny.pair(**fields), progression=True)[1].progression == {}
    assert engine.scored == []


def test_a_stop_while_scoring_keeps_the_words_and_says_what_is_missing() -> None:
    cancel = Event()
    kept: list[Stage | Token | Answer] = []
    for item in ask(FakeEngine(), tiny.pair(), cancel, progression=True, findings=("nodule", "atelectasis")):
        kept.append(item)
        if item == Stage("scoring", 2, 2):
            cancel.set()
    answer = kept[-1]
    assert isinstance(answer, Answer)
    assert (answer.state, list(answer.progression)) == ("complete", ["nodule"])
    assert any("scores were stopped" in warning for warning in answer.warnings)


def test_the_same_picture_twice_one_picture_alone_and_exchanged_order_are_remarked() -> None:
    same = (tiny.picture(1, "prior"), tiny.picture(1, "current"))
    assert "images 1 and 2 are the same picture" in asked(FakeEngine(), tiny.pair(images=same))[1].warnings[0]
    assert "only one image" in asked(FakeEngine(), tiny.pair(images=same[:1]))[1].warnings[0]
    exchanged = tuple(reversed(tiny.pair().images))
    assert "current image stands before the prior" in asked(FakeEngine(), tiny.pair(images=exchanged))[1].warnings[0]
    assert asked(FakeEngine(), tiny.pair(), warnings=("two patients",))[1].warnings == ("two patients",)


def test_an_engine_without_log_probabilities_is_answered_and_printed() -> None:
    """A remote server may offer none; nan is no JSON."""
    answer = asked(FakeEngine(["Worse."], logprob=math.nan), tiny.pair())[1]
    assert answer.confidence.mean_probability is None
    assert json.loads(json.dumps(as_json(answer), allow_nan=False))["logprobs"] == [None]


def test_an_answer_cut_at_the_longest_length_says_so() -> None:
    _, answer = asked(FakeEngine(["one two three"]), tiny.pair(options=Options(max_tokens=3)))
    assert "cut at 3 tokens" in answer.warnings[0]


def test_json_and_record_carry_the_whole_provenance() -> None:
    request = replace(tiny.pair(), options=Options(max_tokens=40, seed=7))
    answer = asked(FakeEngine(["Worse."], scores={"worse": -0.5}), request, progression=True)[1]
    shown = json.loads(json.dumps(as_json(answer, session_id=3)))
    contract = {"answer", "progression", "checks", "confidence", "timings", "model", "session_id", "warnings", "provenance", "trust"}
    assert contract <= shown.keys()
    assert {"load_s", "encode_s", "prefill_s", "first_token_s", "total_s", "tokens"} <= shown["timings"].keys()
    assert (shown["answer"], shown["session_id"], shown["timings"]["tokens"]) == ("Worse.", 3, 1)
    assert shown["trust"]["state"] == "unchecked"
    made = shown["provenance"]
    assert (made["image_sha256"], made["model_sha256"], made["seed"]) == ([i.sha256 for i in request.images], CARD.sha256, 7)
    assert made["prompt"] == answer.prompt
    assert (made["adapter_sha256"], made["whens"], made["marks"]) == ("", ["", "14 days later"], [])
    kept = record(answer)
    assert kept.image_hashes == tuple(image.sha256 for image in request.images)
    assert kept.checks["overall"] == answer.overall != {}
    assert kept.checks["confidence"] == shown["confidence"]
    assert {"entropy", "margin", "least_probability"} <= shown["confidence"].keys()
    assert (kept.roles, kept.whens) == (("prior", "current"), ("", "14 days later"))
    assert (kept.model_digest, kept.seed, kept.tokens, kept.logprobs) == (CARD.sha256, 7, ("Worse.",), (-0.1,))
    assert "Image 2 (current, 14 days later): " in kept.prompt
    assert "[image 2]" in kept.prompt
