"""One question on its way: a thread runs the engine, the reader's connection listens, and the answer is kept whatever happens.

The engine writes events into an asyncio queue the moment they come. A reader who presses Stop, or whose connection
goes away, sets `cancel`; the engine stops within one token and the words so far are kept as a stopped version.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from threading import Event, Thread
from typing import Literal

from fastapi import Request as Connection
from fastapi.encoders import jsonable_encoder

from errors import Cancelled, IntervalError
from inference import answer, burned
from inference.engine import Options, Stage, Token, Turn
from storage.importing import synthetic
from storage.views import SessionView, TurnView, User, VersionView
from ui import pace, requests
from ui.context import Context
from ui.engine_room import Use

log = logging.getLogger(__name__)

SAMPLED = 0.7
"""Temperature of an answer that is made again; the first is greedy."""

Payload = dict[str, object]
Emit = Callable[[Payload], None]


@dataclass(frozen=True)
class Asked:
    """A stored question, ready to be answered. `again` is how many answers it has."""

    session_id: int
    title: str
    turn: TurnView
    history: tuple[TurnView, ...]
    user: User
    run: str = field(default_factory=lambda: secrets.token_urlsafe(16))


def find(here: Context, user: User, session_id: int, turn_id: int) -> Asked | None:
    """A stored turn with the turns before it, or None."""
    session: SessionView = here.store.session(session_id, user)
    for number, turn in enumerate(session.turns):
        if turn.id == turn_id:
            return Asked(session.id, session.title, turn, session.turns[:number], user)
    return None


def options(turn: TurnView, max_tokens: int) -> Options:
    """Greedy until there is a complete answer, then sampled with a seed of its own, so that another answer can differ."""
    complete = sum(version.state == "complete" for version in turn.versions)
    return Options(max_tokens, SAMPLED, len(turn.versions)) if complete else Options(max_tokens)


class Run(ABC):
    """Work for one question in a thread of its own, its events handed to one listener."""

    def __init__(self, here: Context, asked: Asked) -> None:
        self.here, self.asked = here, asked
        self.cancel = Event()
        self._queue: asyncio.Queue[Payload | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    @abstractmethod
    def first(self) -> Payload:
        """The event that begins the stream."""

    @abstractmethod
    def work(self) -> None:
        """What the thread does; raises `Cancelled` when it was stopped with nothing to keep."""

    async def events(self, connection: Connection) -> AsyncIterator[bytes]:
        """Server-sent events until the work is done and kept; a listener that goes away cancels it."""
        asked = self.asked
        self.here.runs[asked.run] = (asked.user.id, self.cancel)
        Thread(target=self._work, name=f"answer-{asked.turn.id}", daemon=True).start()
        try:
            yield _event(self.first())
            while not await connection.is_disconnected():
                try:
                    payload = await asyncio.wait_for(self._queue.get(), 0.5)
                except TimeoutError:
                    yield b": waiting\n\n"
                    continue
                if payload is None:
                    return
                yield _event(payload)
        finally:
            self.cancel.set()
            self.here.runs.pop(asked.run, None)

    def emit(self, payload: Payload | None) -> None:
        """Hand an event to the listener; None is the end."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._queue.put_nowait, payload)

    def tell(self, stage: Stage, left: float | None = None) -> None:
        """Hand on what the engine is doing, and the seconds it still takes where they are known."""
        self.emit({"type": "stage", "name": stage.name, "text": stage.text, "left": left})

    def waiting(self, ahead: int) -> None:
        """Hand on how many are before this one; -1 while the model loads."""
        name: Literal["loading", "waiting"] = "loading" if ahead < 0 else "waiting"
        text = Stage(name).text if ahead <= 0 else f"waiting for the engine, {ahead} before you"
        self.emit({"type": "stage", "name": name, "text": text})

    def remembered(self) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
        """As `requests.remembered`, now: an earlier question may have been answered while this one waited for the engine."""
        now = find(self.here, self.asked.user, self.asked.session_id, self.asked.turn.id)
        return requests.remembered(now.history if now else (), self.asked.turn)

    def version(self, version_id: int) -> VersionView:
        """A version of this turn as it is kept now."""
        kept = find(self.here, self.asked.user, self.asked.session_id, self.asked.turn.id)
        return next(version for version in (kept.turn.versions if kept else ()) if version.id == version_id)

    def _work(self) -> None:
        try:
            self.work()
        except Cancelled:
            self.emit({"type": "stopped"})
        except IntervalError as error:
            self.emit({"type": "error", "error": _sentence(str(error))})
        except Exception:
            log.exception("answering turn %d failed", self.asked.turn.id)
            self.emit({"type": "error", "error": "The answer failed inside the server; the log has the cause, and the question is kept."})
        finally:
            self.emit(None)


class Answering(Run):
    """Answers the question with the engine that `use` lends, and keeps the answer whatever happens."""

    def __init__(self, here: Context, asked: Asked, use: Use) -> None:
        super().__init__(here, asked)
        self._use = use

    def first(self) -> Payload:
        """The event that begins the stream."""
        asked = self.asked
        return {"type": "turn", "run": asked.run, "session_id": asked.session_id, "title": asked.title, "turn": asked.turn}

    def work(self) -> None:
        """Ask, hand on words as they come, keep the answer."""
        here, turn = self.here, self.asked.turn
        request = requests.of_turn(here.store, self.asked.user, turn, (), options(turn, here.settings.max_answer_tokens))
        with self._use(self.cancel, self.waiting) as engine:
            history, told = self.remembered()
            request = replace(request, history=history)
            model = engine.card.sha256, engine.card.engine
            for item in answer.ask(engine, request, self.cancel, warnings=told):
                match item:
                    case Stage():
                        self.tell(item, pace.left(here.paces.get(model), item))
                    case Token():
                        self.emit({"type": "token", "text": item.text})
                    case answer.Answer():
                        item = replace(item, warnings=(*item.warnings, *burned.told(request.images, self._printed())))
                        version_id = here.store.add_version(turn.id, answer.record(item))
                        if item.state == "complete":
                            here.paces[model] = pace.after(here.paces.get(model), item.timings)
                        self.emit({"type": "answer", "version": self.version(version_id), "error": _sentence(item.error)})

    def _printed(self) -> list[bool]:
        """Images that say on themselves that they are synthetic."""
        shown = self.here.store.several([slot.series_id for slot in self.asked.turn.slots], self.asked.user)
        return [synthetic(study) for study, _ in shown]


def _event(payload: Payload) -> bytes:
    return f"data: {json.dumps(jsonable_encoder(payload), ensure_ascii=False)}\n\n".encode(errors="replace")


def _sentence(text: str) -> str:
    """First letter large, a full stop at the end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith((".", "?", "!")) else ".")
