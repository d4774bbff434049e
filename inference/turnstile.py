"""One engine, several readers: they pass one at a time, in the order they came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from threading import Event

from errors import Cancelled

LOOK = 0.05
"""Seconds between looks at a waiting reader's stop."""


class Turnstile:
    """A first-come-first-served lock that any thread may release and a stop may leave.

    Unlike `threading.Lock` it is fair, and unlike `RLock` it does not belong to a thread: a web server runs one
    generator's steps on several.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._line: deque[object] = deque()

    def enter(self, cancel: Event | None = None, on_wait: Callable[[], None] | None = None) -> object:
        """Wait for one's turn and return the ticket to leave with. Raises `Cancelled` when `cancel` is set meanwhile."""
        ticket = object()
        with self._changed:
            self._line.append(ticket)
            waits = self._line[0] is not ticket
        if waits and on_wait is not None:
            on_wait()
        with self._changed:
            while self._line[0] is not ticket:
                if cancel is not None and cancel.is_set():
                    self._line.remove(ticket)
                    raise Cancelled("the question was withdrawn while it waited for the engine")
                self._changed.wait(LOOK)
        return ticket

    def enter_if_free(self) -> object | None:
        """The ticket when nobody is inside or waits, else None at once."""
        with self._changed:
            if self._line:
                return None
            ticket = object()
            self._line.append(ticket)
            return ticket

    def leave(self, ticket: object) -> None:
        """Let the next one in; leaving twice does nothing."""
        with self._changed:
            if ticket in self._line:
                self._line.remove(ticket)
            self._changed.notify_all()
