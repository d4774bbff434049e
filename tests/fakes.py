"""An engine with the real interface and no weights, for every test that is not about models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from threading import Event

from errors import Cancelled, EngineDied
from inference import chat
from inference.engine import ModelCard, OnStage, Request, Scores, Stage, Timings, Token

CARD = ModelCard(
    name="fake",
    family="idefics3",
    revision="1",
    sha256="0" * 64,
    licence="Apache-2.0",
    engine="fake",
    tokens_per_image=64,
    max_images=8,
    context_tokens=4096,
    summary="Says what a test told it to say.",
)


class FakeEngine:
    """Answers with `answers` in turn (the last one again and again) and remembers what it was asked.

    `gate`, if given, is waited for before every token, so that a test holds the stream where it wants it;
    `dies_after` raises `EngineDied` once after that many tokens; `scores` maps a choice to its log-probability, or makes
    that mapping from what is asked.
    """

    def __init__(
        self,
        answers: Sequence[str] | Callable[[Request], str] = ("The opacity is worse.",),
        *,
        card: ModelCard = CARD,
        gate: Callable[[int], None] | None = None,
        dies_after: int | None = None,
        scores: Mapping[str, float] | Callable[[Request], Mapping[str, float]] | None = None,
        logprob: float = -0.1,
    ) -> None:
        self.card = card
        self.timings = Timings()
        self.requests: list[Request] = []
        self.scored: list[tuple[Request, tuple[str, ...]]] = []
        self.closed = False
        self._answers = answers
        self._gate = gate
        self._dies_after = dies_after
        self._scores = scores or {}
        self._logprob = logprob

    def prompt(self, request: Request) -> str:
        """As the bundled model's family writes it."""
        return chat.written(chat.request_segments(request))

    def stream(self, request: Request, cancel: Event, on_stage: OnStage | None = None) -> Iterator[Token]:
        """Yield the answer word by word, after an encoding stage for each image."""
        self.requests.append(request)
        tell = on_stage or (lambda stage: None)
        for number in range(len(request.images)):
            tell(Stage("encoding", number + 1, len(request.images)))
        tell(Stage("reading"))
        self.timings = Timings(prompt_tokens=64 * len(request.images), images_encoded=len(request.images))
        for position, word in enumerate(self._words(request)):
            if self._gate is not None:
                self._gate(position)
            if cancel.is_set():
                raise Cancelled("the answer was stopped")
            if self._dies_after == position:
                self._dies_after = None
                raise EngineDied("the engine's process ended (signal 9); it is started again with the next question")
            if position == 0:
                tell(Stage("writing"))
            yield Token(text=word, logprob=self._logprob, position=position, id=position)
            self.timings = replace(self.timings, tokens=position + 1)

    def score(self, request: Request, choices: Sequence[str], cancel: Event | None = None, *, whole: bool = True) -> Scores:
        """Log-probabilities from `scores`; a choice without one gets -9."""
        self.scored.append((request, tuple(choices)))
        if cancel is not None and cancel.is_set():
            raise Cancelled("the answer was stopped")
        scores = self._scores(request) if callable(self._scores) else self._scores
        return Scores(tuple(scores.get(choice, -9.0) for choice in choices), tuple(len(choice.split()) for choice in choices))

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def _words(self, request: Request) -> list[str]:
        answers = self._answers
        words = (answers(request) if callable(answers) else answers[min(len(self.requests), len(answers)) - 1]).split(" ")
        return [word if number == 0 else f" {word}" for number, word in enumerate(words)]
