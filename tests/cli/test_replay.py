"""`replay`: a kept session's answers made again from what the store has of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import ModelNotLoaded
from inference.select import Selection
from tests.cli.conftest import Opened, Run

QUESTION = "What changed since the prior?"


def asked(run: Run, pair: tuple[Path, Path]) -> tuple[int, int]:
    found = run("ask", "--image", pair[0], "--image", pair[1], "--question", QUESTION, "--json").json
    return found["session_id"], found["answer_id"]


def test_the_same_request_is_made_again_and_the_answer_is_the_same(run: Run, pair: tuple[Path, Path], opened: Opened) -> None:
    session, answer = asked(run, pair)
    done = run("replay", session, "--json")
    assert done.code == 0, done.err
    assert (done.json["replayed"], done.json["same"], done.json["session_id"]) == (1, 1, session)
    assert done.json["answers"][0]["answer_id"] == answer
    first, again = opened.engine.requests
    assert [image.sha256 for image in first.images] == [image.sha256 for image in again.images]
    assert [(image.role, image.when) for image in first.images] == [(image.role, image.when) for image in again.images]
    assert (first.question, first.options, first.ability, first.history) == (again.question, again.options, again.ability, again.history)
    assert "1 of 1 answers are the same." in run("replay", session, "--answer", answer).out
    assert opened.engine.closed


def test_the_model_and_engine_that_made_an_answer_make_it_again(
    run: Run, pair: tuple[Path, Path], opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings' model was asked whoever had answered, so that the answers of any other were "not the same"."""
    session, _ = asked(run, pair)
    opened.asked.clear()
    assert run("replay", session).code == 0
    assert run("replay", session, "--model", "mine", "--engine", "gguf").code == 0
    assert opened.asked == [("fake+none", "fake"), ("mine", "gguf")], "an adapter that was promoted since is not put on"

    def gone(_settings: object, model: str | None = None, _engine: str | None = None) -> Selection:
        if model:
            raise ModelNotLoaded(f"there is no model {model!r} here")
        return Selection(opened.engine, "A fake engine answers, for a test.")

    monkeypatch.setattr("inference.select.open_engine", gone)
    done = run("replay", session)
    assert (done.code, "there is no model 'fake+none' here" in done.err) == (0, True)
    assert run("replay", session, "--model", "mine").code == 1


def test_an_answer_that_differs_is_told_and_ends_with_one(run: Run, pair: tuple[Path, Path], opened: Opened) -> None:
    session, answer = asked(run, pair)
    opened.engine = type(opened.engine)(["The opacity is stable."])
    done = run("replay", session, "--json")
    assert done.code == 1
    assert (done.json["same"], done.json["answers"][0]["token"]) == (0, 3)
    assert len(done.err.splitlines()) == 1
    assert f"answer {answer}: it differs from token 3 on" in done.err


def test_what_is_not_there_is_one_sentence(run: Run, pair: tuple[Path, Path], opened: Opened) -> None:
    assert "There is no database" in run("replay", 1).err
    session, _ = asked(run, pair)
    wrong = ((["99"], 1, "session 99"), ([str(session), "--answer", "99"], 2, "answer 99"), (["x"], 2, "valid integer"))
    for arguments, code, said in wrong:
        done = run("replay", *arguments)
        assert (done.code, len(done.err.splitlines())) == (code, 1)
        assert said in done.err
    assert len(opened.engine.requests) == 1
