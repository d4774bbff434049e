"""What the page's tests put where the model would be: an engine whose inside a test exchanges while the app is served."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Event, Semaphore

from inference.engine import ModelCard, OnStage, Request, Scores, Timings, Token
from inference.select import Selection
from settings import Settings
from tests.fakes import CARD, FakeEngine


class Desk:
    """Passes everything on to `engine`, which a test may replace between questions."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.card: ModelCard = CARD

    @property
    def timings(self) -> Timings:
        return self.engine.timings

    def prompt(self, request: Request) -> str:
        return self.engine.prompt(request)

    def stream(self, request: Request, cancel: Event, on_stage: OnStage | None = None) -> Iterator[Token]:
        return self.engine.stream(request, cancel, on_stage)

    def score(self, request: Request, choices: Sequence[str], cancel: Event | None = None, *, whole: bool = True) -> Scores:
        return self.engine.score(request, choices, cancel, whole=whole)

    def close(self) -> None:
        self.engine.close()

    def factory(self, settings: Settings) -> Selection:
        """In the place of `inference.select.open_engine`."""
        return Selection(self, "A fake engine for tests.")

    def says(self, *answers: str, gate: Callable[[int], None] | None = None, dies_after: int | None = None) -> FakeEngine:
        """From now on answer with these, in turn."""
        self.engine = FakeEngine(answers, gate=gate, dies_after=dies_after)
        return self.engine


class Tap:
    """Lets tokens through one by one: `Desk.says(..., gate=tap)`; `open` lets all through."""

    def __init__(self) -> None:
        self._tokens = Semaphore(0)
        self._open = Event()
        self.reached = Semaphore(0)

    def __call__(self, position: int) -> None:
        self.reached.release()
        while not self._open.is_set() and not self._tokens.acquire(timeout=0.02):
            pass

    def let(self, count: int = 1) -> None:
        """Let `count` more tokens through."""
        self._tokens.release(count)

    def open(self) -> None:
        """Let everything through."""
        self._open.set()
