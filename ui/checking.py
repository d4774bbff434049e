"""Trust checks of a kept answer, made after it was shown: in the background, given way to every question, stopped by leaving.

Each call of the engine queues by itself, so that another reader's question waits for one call and not for all of them. What was
made when the reader stops is kept with the answer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Event

from errors import Cancelled, EngineError, InputError, IntervalError, ModelChanged
from inference.answer import scorable, settled
from inference.checks import USUAL, Name, examined
from inference.closed import Reading, of_change, read
from inference.engine import Engine, ModelCard, OnStage, Request, Scores, Stage, Timings, Token
from storage.views import AnswerRecord
from ui import requests
from ui.asking import Asked, Payload, Run
from ui.context import Context
from ui.engine_room import Use, Waiting

log = logging.getLogger(__name__)


class Lent:
    """An engine that `use` lends, queued for at every call; each raises `ModelChanged` once it is not the one of the first loan."""

    def __init__(self, use: Use, cancel: Event, waiting: Waiting) -> None:
        self._use, self._cancel, self._waiting = use, cancel, waiting
        with use(cancel, waiting) as engine:
            self.card: ModelCard = engine.card

    @contextmanager
    def _lend(self) -> Iterator[Engine]:
        with self._use(self._cancel, self._waiting) as engine:
            if (engine.card.name, *engine.card.weights) != (self.card.name, *self.card.weights):
                raise ModelChanged("another adapter was promoted meanwhile, and figures of two models are not mixed; begin again")
            yield engine

    @property
    def timings(self) -> Timings:
        """Timings are not followed here."""
        return Timings()

    def stream(self, request: Request, cancel: Event, on_stage: OnStage | None = None) -> Iterator[Token]:
        """As the engine's own, which is held until the stream ends."""
        with self._lend() as engine:
            yield from engine.stream(request, cancel, on_stage)

    def score(self, request: Request, choices: Sequence[str], cancel: Event | None = None, *, whole: bool = True) -> Scores:
        """As the engine's own."""
        with self._lend() as engine:
            return engine.score(request, choices, cancel, whole=whole)

    def prompt(self, request: Request) -> str:
        """As the engine's own."""
        with self._lend() as engine:
            return engine.prompt(request)

    def close(self) -> None:
        """The engine is the app's; nothing is closed here."""


class Checking(Run):
    """Scores the progression of a kept answer and makes its checks; events as of an answer, last the version with them."""

    def __init__(self, here: Context, asked: Asked, version_id: int, record: AnswerRecord, use: Use, names: Sequence[Name] = ()) -> None:
        super().__init__(here, asked)
        self._use = use
        self._version_id, self._record = version_id, record
        self._names = tuple(names) or USUAL

    def first(self) -> Payload:
        """The event that begins the stream."""
        return {"type": "checking", "run": self.asked.run, "version_id": self._version_id}

    def work(self) -> None:
        """Make them all, and keep what was made however it ends."""
        store, user = self.here.store, self.asked.user
        request = requests.of_record(store, user, self.asked.history, self.asked.turn, self._record)
        known, progression = self._record.progression, dict[str, Mapping[str, float]]()
        made: dict[str, object] = {}
        whole = Reading({})
        try:
            engine = Lent(self._use, self.cancel, self.waiting)
            self._own(engine.card)
            findings = requests.findings(store, user, self.asked.turn)
            if scorable(request) and findings and not (set(known) >= set(findings) and self._record.checks.get("overall")):
                for number, finding in enumerate(findings, 1):
                    if finding not in known:
                        self.tell(Stage("scoring", number, len(findings)))
                        progression[finding] = read(engine, request, of_change(len(request.images), finding), cancel=self.cancel).shares
                whole = read(engine, request, of_change(len(request.images)), cancel=self.cancel)
                made["overall"] = whole.shares
            for found in examined(engine, request, self._record.text, self.cancel, self._names, whole if whole.orders else None):
                if isinstance(found, Stage):
                    self.tell(found)
                else:
                    made[found[0]] = found[1].as_json()
        except Cancelled:
            pass
        except EngineError as error:
            self.emit({"type": "error", "error": f"The checks are not complete: {error}."})
        except IntervalError:
            raise
        except Exception:
            log.exception("the checks of answer %d failed", self._version_id)
            self.emit({"type": "error", "error": "The checks are not complete: they failed inside the server, and the log has the cause."})
        store.add_checks(self._version_id, user, made, progression, partial(settled, logprobs=self._record.logprobs))
        self.emit({"type": "checked", "version": self.version(self._version_id)})

    def _own(self, card: ModelCard) -> None:
        """Refuse to have one model's answer checked by another, whose likelihoods say nothing of it. Raises `InputError`."""
        gave = self._record
        same = card.sha256 == gave.model_digest and (gave.model_digest or card.name == gave.model)  # a server tells no digest
        if same and card.weights[1:] == (gave.adapter_digest, gave.offsets_digest):
            return
        which = "another adapter" if card.adapter != gave.adapter_digest else "other offsets"
        which = which if same else gave.model
        raise InputError(f"this answer is of {which}, and only the model that gave it can check it; ask again to have one of {card.name}")
