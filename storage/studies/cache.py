"""A small bounded memory of recent values, shared by threads."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Cache(Generic[T]):
    """Keeps the most recently used values whose costs add up to at most `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._values: OrderedDict[str, tuple[T, int]] = OrderedDict()
        self._cost = 0
        self._lock = Lock()

    def get(self, key: str) -> T | None:
        """The value under `key`, now the most recent; None when it is not there."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: str, value: T, cost: int) -> None:
        """Keep `value`; the least recently used go. A value dearer than the whole limit is not kept."""
        with self._lock:
            if key in self._values:
                self._cost -= self._values.pop(key)[1]
            if cost > self.limit:
                return
            self._values[key] = (value, cost)
            self._cost += cost
            while self._cost > self.limit:
                self._cost -= self._values.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self._cost = 0
