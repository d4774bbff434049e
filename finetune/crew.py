"""Copies of one model that share a long piece of work: small models gain more from a process for each core than from threads.

    with crew.opened(settings, "bundled") as some:
        for pair, found in some.each(pairs, lambda engine, pair: read(engine, pair)):
            ...                                     # as they come

What is answered hangs on the question alone, not on who answers it, so one engine and several give the same to the bit.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

from inference import select
from inference.engine import Engine, ModelCard
from inference.hardware import memory_free, physical_cores
from settings import Settings

HEADROOM = 1 << 30
"""Memory in bytes that a copy of a model takes beside twice its files, at most."""
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Crew:
    """Engines of one model, one at least; `reason` is why it runs where it runs."""

    engines: tuple[Engine, ...]
    reason: str = ""

    @property
    def card(self) -> ModelCard:
        """The model's."""
        return self.engines[0].card

    def each(self, work: Sequence[T], ask: Callable[[Engine, T], R], together: int = 1) -> Iterator[tuple[T, R]]:
        """Every piece of work with what `ask` made of it, as they come; `together` neighbours go to one engine at a time.

        Raises what `ask` raises, once the others have finished the piece they are at.
        """
        if len(self.engines) == 1:
            yield from ((one, ask(self.engines[0], one)) for one in work)
            return
        free: queue.SimpleQueue[Engine] = queue.SimpleQueue()
        for engine in self.engines:
            free.put(engine)
        stopped = Event()

        def asked(some: Sequence[T]) -> list[tuple[T, R]]:
            engine = free.get()
            try:
                return [(one, ask(engine, one)) for one in some if not stopped.is_set()]
            finally:
                free.put(engine)

        with ThreadPoolExecutor(len(self.engines), "crew") as pool:
            parts = [pool.submit(asked, work[first : first + together]) for first in range(0, len(work), together)]
            try:
                for part in as_completed(parts):
                    yield from part.result()
            finally:
                stopped.set()
                pool.shutdown(cancel_futures=True)


def of(engine: Engine | Crew) -> Crew:
    """A crew of one, or the crew itself."""
    return engine if isinstance(engine, Crew) else Crew((engine,))


@contextmanager
def opened(settings: Settings, model: str | None = None, engine: str | None = None, copies: int | None = None) -> Iterator[Crew]:
    """`copies` of a model that share the settings' threads; by default as many as cores and free memory are good for, 1 unless it is GGUF.

    Raises what `inference.select.open_engine` raises.
    """
    selection = select.open_engine(settings, model, engine)
    engines = [selection.engine]
    try:
        count = copies or _fitting(settings, model, selection.engine)
        if count > 1:
            engines.pop().close()
            shared = settings.model_copy(update={"threads": max(1, (settings.threads or physical_cores()) // count)})
            while len(engines) < count:
                engines.append(select.open_engine(shared, model, engine).engine)
        yield Crew(tuple(engines), selection.reason)
    finally:
        for one in engines:
            one.close()


def _fitting(settings: Settings, model: str | None, engine: Engine) -> int:
    if engine.card.engine != "gguf":
        return 1
    named = select.resolve(settings, model or settings.model)
    size = sum((named.folder / name).stat().st_size for name in (named.manifest.text, named.manifest.mmproj))
    return max(1, min(settings.threads or physical_cores(), memory_free() // (2 * size + HEADROOM)))
