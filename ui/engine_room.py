"""The one engine of a served app: opened in the background, lent to one question at a time, first come first served.

The page is served before the model is there; whoever asks meanwhile waits and is told what for.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from threading import Condition, Event, Thread
from typing import Literal

from errors import Cancelled, EngineError, IntervalError, ModelNotLoaded
from inference import promoted
from inference.engine import Engine, ModelCard, Wearer
from inference.parity import UNMEASURED
from inference.select import Selection, open_engine, worn
from settings import Settings

log = logging.getLogger(__name__)

EngineFactory = Callable[[Settings], Selection]
Waiting = Callable[[int], None]
Use = Callable[[Event, Waiting], AbstractContextManager[Engine]]
"""Lends an engine, as `EngineRoom.use` does."""
MAX_WAITING = 16
"""Questions that may wait at once; one more is refused with a sentence."""


@dataclass(frozen=True)
class EngineStatus:
    """What the page shows of the engine: `text` in a few words, `detail` in a sentence, `caution` what its card says of it.

    `parity` is, of llama.cpp, how often its answers are the full model's, or that it was not measured.
    """

    state: Literal["loading", "ready", "missing", "failed"]
    text: str
    detail: str = ""
    model: str = ""
    engine: str = ""
    waiting: int = 0
    context_tokens: int = 0
    max_images: int = 0
    caution: str = ""
    parity: str = ""


def agreement(card: ModelCard) -> str:
    """What is known of a processor's answers beside the full model's; nothing to say of other engines. An adapter was not measured."""
    if card.engine != "gguf":
        return ""
    return card.parity if card.parity and not card.adapter else UNMEASURED


class EngineRoom:
    """Keeps the engine; safe to share between threads."""

    def __init__(self, settings: Settings, factory: EngineFactory | None = None) -> None:
        self._settings = settings
        self._factory = factory or open_engine
        self._changed = Condition()
        self._queue: deque[object] = deque()
        self._selection: Selection | None = None
        self._error: IntervalError | None = None
        self._opening = False
        self._closed = False
        self._promoted = (0, 0)

    def start(self) -> None:
        """Begin opening the engine in the background; does nothing while it is opening or open."""
        with self._changed:
            if self._opening or self._selection is not None or self._closed:
                return
            self._opening, self._error = True, None
        Thread(target=self._open, name="engine-opener", daemon=True).start()

    def status(self) -> EngineStatus:
        """The engine's state now."""
        with self._changed:
            selection, error, waiting = self._selection, self._error, max(0, len(self._queue) - 1)
        if selection is not None:
            card = selection.engine.card
            known = (card.name, card.engine, waiting, card.context_tokens, card.max_images, card.summary, agreement(card))
            return EngineStatus("ready", "ready", selection.reason, *known)
        if error is None:
            return EngineStatus("loading", "loading the model", "Questions asked now are answered when the model is there.")
        if isinstance(error, ModelNotLoaded):
            return EngineStatus("missing", "no model", str(error))
        return EngineStatus("failed", "engine failed", str(error))

    @property
    def busy(self) -> bool:
        """Whether somebody has the engine, or waits for it."""
        with self._changed:
            return bool(self._queue)

    def glance(self) -> tuple[Engine, bool] | None:
        """The engine and whether nobody has it now; None while there is none. For what costs next to nothing and may be left out."""
        with self._changed:
            return (self._selection.engine, not self._queue) if self._selection is not None else None

    @contextmanager
    def use(self, cancel: Event, waiting: Waiting | None = None) -> Iterator[Engine]:
        """Lend the engine to the caller alone. `waiting(ahead)` is told how many are before it, -1 while the model loads.

        Raises `Cancelled` when `cancel` is set while waiting, `ModelNotLoaded` or `EngineError` when there is no engine.
        """
        ticket = object()
        with self._changed:
            if len(self._queue) > MAX_WAITING:
                raise EngineError(f"{MAX_WAITING} questions are waiting already; ask again when some are answered")
            self._queue.append(ticket)
        try:
            yield self._await_turn(ticket, cancel, waiting or (lambda ahead: None))
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def close(self) -> None:
        """Free the engine; whoever waits is told."""
        with self._changed:
            self._closed = True
            selection, self._selection = self._selection, None
            self._error = EngineError("the server is shutting down")
            self._changed.notify_all()
        if selection is not None:
            selection.engine.close()

    def _await_turn(self, ticket: object, cancel: Event, waiting: Waiting) -> Engine:
        told: int | None = None
        while True:
            with self._changed:
                if self._error is not None:
                    raise self._error
                ahead = self._queue.index(ticket)
                if self._selection is not None and ahead == 0:
                    selection = self._selection
                    break
                now = ahead if self._selection is not None else -1
                if now == told:
                    self._changed.wait(timeout=0.2)
            if cancel.is_set():
                raise Cancelled("the answer was stopped while it waited")
            if now != told:
                told = now
                waiting(now)
        self._follow(selection)
        return selection.engine

    def _follow(self, selection: Selection) -> None:
        """Have the engine wear what was promoted since it was last lent. Raises `ModelNotLoaded` when that adapter does not fit it."""
        now = promoted.mark(self._settings.adapters_dir)
        if selection.live and now != self._promoted and isinstance(selection.engine, Wearer):
            found = worn(self._settings, selection.live)
            selection.engine.wear(found.adapter)
            self._promoted = now
            with self._changed:
                if self._selection is selection:
                    self._selection = replace(selection, remark=found.remark)

    def _open(self) -> None:
        selection: Selection | None = None
        error: IntervalError | None = None
        try:
            self._promoted = promoted.mark(self._settings.adapters_dir)
            selection = self._factory(self._settings)
            log.info("engine: %s", selection.reason)
        except IntervalError as raised:
            log.warning("engine: %s", raised)
            error = raised
        except Exception:
            log.exception("opening the engine failed")
            error = EngineError("the engine could not be opened; the log has the cause")
        with self._changed:
            self._opening = False
            if self._closed:
                late = selection
            else:
                late, self._selection, self._error = None, selection, error
            self._changed.notify_all()
        if late is not None:
            late.engine.close()
