"""One engine for everybody: opened in the background, lent in order, given back whatever happens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from errors import Cancelled, EngineError, ModelNotLoaded
from inference import promoted
from inference.parity import UNMEASURED
from inference.select import Selection, Worn
from settings import Settings
from tests.fakes import CARD, FakeEngine
from ui import engine_room
from ui.engine_room import MAX_WAITING, EngineRoom, agreement


def opened(settings: Settings, engine: FakeEngine | None = None) -> EngineRoom:
    room = EngineRoom(settings, lambda _: Selection(engine or FakeEngine(), "why"))
    room.start()
    return room


def test_question_waits_while_the_model_loads_and_is_told(settings: Settings) -> None:
    loaded, told, got = Event(), [], Event()
    room = EngineRoom(settings, lambda _: Selection(FakeEngine(), "why") if loaded.wait(30) else pytest.fail("never loaded"))
    room.start()
    assert room.status().state == "loading"

    def ask() -> None:
        with room.use(Event(), told.append):
            got.set()

    thread = Thread(target=ask)
    thread.start()
    loaded.set()
    assert got.wait(10)
    thread.join()
    assert told[0] == -1
    assert room.status().state == "ready"
    room.close()


def test_engine_is_lent_to_one_at_a_time_in_order(settings: Settings) -> None:
    room, order, first_in, let_go = opened(settings), [], Event(), Event()
    ahead: list[int] = []
    queued = Event()

    def hold() -> None:
        with room.use(Event()):
            first_in.set()
            let_go.wait(10)
            order.append("first")

    def wait(number: int) -> None:
        ahead.append(number)
        queued.set()

    def follow() -> None:
        with room.use(Event(), wait):
            order.append("second")

    threads = [Thread(target=hold), Thread(target=follow)]
    threads[0].start()
    assert first_in.wait(10)
    threads[1].start()
    assert queued.wait(10)
    let_go.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second"]
    assert ahead == [1]
    room.close()


def test_waiting_question_can_be_stopped(settings: Settings) -> None:
    room, cancel = opened(settings), Event()
    with room.use(Event()), pytest.raises(Cancelled), room.use(cancel, lambda ahead: cancel.set()):
        pytest.fail("was lent twice")
    with room.use(Event()):
        pass
    room.close()


def test_too_many_waiting_are_refused_with_a_sentence(settings: Settings) -> None:
    room, stop = opened(settings), Event()
    queued = [Event() for _ in range(MAX_WAITING)]
    threads = []

    def wait(mark: Event) -> None:
        with pytest.raises(Cancelled), room.use(stop, lambda ahead: mark.set()):
            pass

    with room.use(Event()):
        for mark in queued:
            threads.append(Thread(target=wait, args=(mark,)))
            threads[-1].start()
            assert mark.wait(10)
        with pytest.raises(EngineError, match="waiting already"), room.use(Event()):
            pass
        stop.set()
        for thread in threads:
            thread.join(10)
    room.close()


def test_missing_model_is_said_and_tried_again(settings: Settings) -> None:
    there, tried = Event(), Event()

    def factory(_: Settings) -> Selection:
        tried.set()
        if not there.is_set():
            raise ModelNotLoaded("the model is not built")
        return Selection(FakeEngine(), "why")

    room = EngineRoom(settings, factory)
    room.start()
    with pytest.raises(ModelNotLoaded), room.use(Event()):
        pass
    assert (room.status().state, room.status().detail) == ("missing", "the model is not built")
    there.set()
    room.start()
    with room.use(Event()):
        assert room.status().state == "ready"
    room.close()


def test_closing_frees_the_engine(settings: Settings) -> None:
    engine = FakeEngine()
    room = opened(settings, engine)
    with room.use(Event()):
        pass
    room.close()
    assert engine.closed
    with pytest.raises(EngineError), room.use(Event()):
        pass


class Dressed(FakeEngine):
    """A fake that notes which adapters it was told to wear."""

    worn: list[Path | None]

    def wear(self, adapter: Path | None) -> None:
        self.worn.append(adapter)


def test_what_was_promoted_is_worn_with_the_next_question(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Dressed()
    engine.worn = []
    now = [Path("first")]
    monkeypatch.setattr(engine_room, "worn", lambda _settings, live: Worn(now[0], f"{live} wears {now[0]}."))
    room = EngineRoom(settings, lambda _: Selection(engine, "why", "m"))
    room.start()
    for line in ("", "promoted", "", "rolled back"):
        if line:
            settings.adapters_dir.mkdir(parents=True, exist_ok=True)
            with (settings.adapters_dir / promoted.HISTORY).open("a") as file:
                file.write(line)
            now[0] = Path(line)
        with room.use(Event()):
            pass
    assert engine.worn == [Path("promoted"), Path("rolled back")]
    assert room.status().detail == "why m wears rolled back."
    room.close()


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"engine": "gguf", "parity": "29 of 30."}, "29 of 30."),
        ({"engine": "gguf", "parity": "29 of 30.", "adapter": "1" * 64}, UNMEASURED),
        ({"engine": "gguf"}, UNMEASURED),
        ({"engine": "torch"}, ""),
    ],
)
def test_a_processor_says_how_often_it_answers_as_the_full_model_and_with_an_adapter_that_nobody_measured_it(
    card: dict[str, str], said: str
) -> None:
    assert agreement(replace(CARD, **card)) == said
