"""One question, two models: both answers are kept as versions of the question, and a reader's preference between them is feedback.

Blind means that the order is drawn, that the words come only when both answers are whole (their pace would tell), and that no event
names a model: the page asks for the names once the reader has judged.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from inference import answer
from inference.engine import Options, Stage, Token
from ui import requests
from ui.asking import Asked, Payload, Run
from ui.context import Context
from ui.rivals import Rivals


class Duel(Run):
    """Asks the first, then the second; a stop keeps what was said so far."""

    def __init__(self, here: Context, asked: Asked, rivals: Rivals, models: tuple[str, str], *, blind: bool) -> None:
        super().__init__(here, asked)
        self._rivals, self._blind = rivals, blind
        self._models = models[::-1] if blind and secrets.randbelow(2) else models

    def first(self) -> Payload:
        """The event that begins the stream."""
        asked = self.asked
        told: Payload = {"type": "turn", "run": asked.run, "session_id": asked.session_id, "title": asked.title}
        return {**told, "turn": asked.turn.id, "forecast": asked.turn.forecast}

    def work(self) -> None:
        """Both answers, each kept when it is whole, stopped or cut off."""
        held: list[Payload] = []
        try:
            for side, model in enumerate(self._models):
                told = self._answered(side, model)
                if self._blind:
                    held.append(told)
                else:
                    self.emit(told)
                if told["state"] == "stopped":
                    break
        finally:
            for told in held:
                self.emit(told)
        self.emit({"type": "done"})

    def _answered(self, side: int, model: str) -> Payload:
        here, turn = self.here, self.asked.turn
        request = requests.of_turn(here.store, self.asked.user, turn, (), Options(here.settings.max_answer_tokens))
        self.emit({"type": "side", "side": side})
        told: Payload = {}
        with self._rivals.use(model, self.cancel, self.waiting) as engine:
            history, warnings = self.remembered()
            request = replace(request, history=history)
            for item in answer.ask(engine, request, self.cancel, warnings=warnings):  # to its end: leaving it would stop the second answer
                match item:
                    case Stage():
                        self.tell(item)
                    case Token() if not self._blind:
                        self.emit({"type": "token", "side": side, "text": item.text})
                    case answer.Answer():
                        version = here.store.add_version(turn.id, answer.record(item))
                        told = {"type": "answer", "side": side, "version_id": version}
                        told |= {"text": item.text, "state": item.state, "error": item.error}
        return told
