"""One question on its way: a thread runs the engine, the reader's connection listens, and the answer is kept whatever happens.

The engine writes events into an asyncio queue the moment they come. A reader who presses Stop, or whose connection
goes away, sets `cancel`; the engine stops within one token and the words so far are kept as a stopped version.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Literal

from fastapi import Request as Connection
from fastapi.encoders import jsonable_encoder

from errors import Cancelled, IntervalError
from inference import answer
from inference.engine import Options, Stage, Token
from storage.views import SessionView, TurnView, User, VersionView
from ui import requests
from ui.context import Context

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


class Run:
    """Answers one question in a thread of its own and hands its events to one listener."""

    def __init__(self, here: Context, asked: Asked) -> None:
        self._here, self._asked = here, asked
        self._cancel = Event()
        self._queue: asyncio.Queue[Payload | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    async def events(self, connection: Connection) -> AsyncIterator[bytes]:
        """Server-sent events until the answer is kept; a listener that goes away cancels the engine."""
        asked = self._asked
        self._here.runs[asked.run] = (asked.user.id, self._cancel)
        Thread(target=self._work, name=f"answer-{asked.turn.id}", daemon=True).start()
        try:
            yield _event({"type": "turn", "run": asked.run, "session_id": asked.session_id, "title": asked.title, "turn": asked.turn})
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
            self._cancel.set()
            self._here.runs.pop(asked.run, None)

    def _emit(self, payload: Payload | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._queue.put_nowait, payload)

    def _work(self) -> None:
        try:
            self._answer()
        except Cancelled:
            self._emit({"type": "stopped"})
        except IntervalError as error:
            self._emit({"type": "error", "error": _sentence(str(error))})
        except Exception:
            log.exception("answering turn %d failed", self._asked.turn.id)
            self._emit({"type": "error", "error": "The answer failed inside the server; the log has the cause, and the question is kept."})
        finally:
            self._emit(None)

    def _answer(self) -> None:
        here, turn = self._here, self._asked.turn
        history, told = requests.remembered(self._asked.history, turn)
        request = requests.of_turn(here.store, self._asked.user, turn, history, options(turn, here.settings.max_answer_tokens))
        with here.engine.use(self._cancel, self._waiting) as engine:
            for item in answer.ask(engine, request, self._cancel, warnings=told):
                match item:
                    case Stage():
                        self._emit({"type": "stage", "name": item.name, "text": item.text})
                    case Token():
                        self._emit({"type": "token", "text": item.text})
                    case answer.Answer():
                        self._keep(item)

    def _waiting(self, ahead: int) -> None:
        name: Literal["loading", "waiting"] = "loading" if ahead < 0 else "waiting"
        text = Stage(name).text if ahead <= 0 else f"waiting for the engine, {ahead} before you"
        self._emit({"type": "stage", "name": name, "text": text})

    def _keep(self, done: answer.Answer) -> None:
        version_id = self._here.store.add_version(self._asked.turn.id, answer.record(done))
        kept = find(self._here, self._asked.user, self._asked.session_id, self._asked.turn.id)
        versions: tuple[VersionView, ...] = kept.turn.versions if kept else ()
        version = next(version for version in versions if version.id == version_id)
        self._emit({"type": "answer", "version": version, "error": _sentence(done.error)})


def _event(payload: Payload) -> bytes:
    return f"data: {json.dumps(jsonable_encoder(payload), ensure_ascii=False)}\n\n".encode()


def _sentence(text: str) -> str:
    """First letter large, a full stop at the end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith((".", "?", "!")) else ".")
