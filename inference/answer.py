"""The one path from a question to an answer: prompt -> stream -> progression scores -> confidence -> provenance.

The page, the command line and every later check call `ask`; nobody else talks to an engine.

    for item in ask(engine, Request(images, "What changed since the prior?"), Event(), progression=True):
        ...                      # Stage, Token, ..., and last the Answer
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from threading import Event
from typing import Literal

from errors import Cancelled, EngineDied, EngineError, IntervalError, QuestionError
from inference import guard
from inference.closed import SCORED, about_change, of_change, read
from inference.engine import Engine, ModelCard, Request, Stage, Timings, Token
from inference.offsets import digest
from inference.prompts import FINDINGS
from inference.reading import Progression, Shares
from inference.trust import Check, Trust, judged, kept
from storage import horizons
from storage.views import AnswerRecord

State = Literal["complete", "stopped", "incomplete"]

MAX_QUESTION = 8000
"""Longest question in characters; anything longer is a paste by mistake."""


@dataclass(frozen=True)
class Confidence:
    """How sure the model was of its own words, uncalibrated: no share of these answers is known to be right.

    `mean_probability` is the geometric mean over the answer's tokens, `least_probability` its weakest token. With
    progression scores, `entropy` (0 sure .. 1 even) and `margin` (first minus second class) are means over findings.
    """

    mean_probability: float | None = None
    least_probability: float | None = None
    entropy: float | None = None
    margin: float | None = None
    calibrated: bool = False


@dataclass(frozen=True)
class Answer:
    """An answer with everything needed to make it again. `error` is one sentence when `state` is `incomplete`.

    `progression` is finding -> class -> probability, `overall` the same for the extent of disease as a whole; both
    are shares of the model's likelihood among the offered words and their synonyms, averaged over orders of the options
    (`orders` has those of `overall`), uncalibrated, and empty when they were not asked for. `checks` (`inference.checks`) is
    empty when they were not asked for.
    """

    text: str
    state: State
    tokens: tuple[Token, ...]
    request: Request
    model: ModelCard
    timings: Timings
    prompt: str
    progression: Progression = field(default_factory=dict)
    overall: Mapping[str, float] = field(default_factory=dict)
    orders: tuple[Shares, ...] = ()
    checks: Mapping[str, Check] = field(default_factory=dict)
    confidence: Confidence = field(default_factory=Confidence)
    warnings: tuple[str, ...] = ()
    error: str = ""
    made: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def logprobs(self) -> tuple[float, ...]:
        """Natural log-probability of each token; nan where the engine offers none."""
        return tuple(token.logprob for token in self.tokens)

    @property
    def trust(self) -> Trust:
        """What the checks come to, in words."""
        return judged(self.checks)

    @property
    def image_hashes(self) -> tuple[str, ...]:
        """SHA-256 of each image's displayed pixels, in declared order."""
        return tuple(image.sha256 for image in self.request.images)

    @property
    def roles(self) -> tuple[str, ...]:
        """Role of each image, in declared order."""
        return tuple(image.role for image in self.request.images)


def validate(request: Request, max_images: int) -> None:
    """Refuse what cannot be asked. Raises `QuestionError` with one sentence."""
    if not request.images:
        raise QuestionError("no image was given; open a prior and a current image, then ask")
    if len(request.images) > max_images:
        raise QuestionError(f"{len(request.images)} images were given and this model reads at most {max_images}; leave some out")
    if not request.question.strip():
        raise QuestionError("the question is empty; type one or choose a suggestion")
    if len(request.question) > MAX_QUESTION:
        raise QuestionError(f"the question has {len(request.question)} characters and at most {MAX_QUESTION} are read; shorten it")


def scorable(request: Request) -> bool:
    """Whether the progression of findings can be asked of these images: a question about change over time, not ahead of it."""
    return about_change(request) and guard.comparable(request) and horizons.asked(request.question) is None


def ask(
    engine: Engine,
    request: Request,
    cancel: Event,
    *,
    progression: bool = False,
    findings: Sequence[str] = FINDINGS,
    warnings: Sequence[str] = (),
) -> Iterator[Stage | Token | Answer]:
    """Ask, and yield stages and tokens as they come; the last item is always the `Answer`.

    A stop, or the engine's death, ends in an `Answer` that keeps the words so far, if any (`stopped`, `incomplete`). With
    `progression`, temporal and comparison questions also score each of `findings`. `warnings` are carried into the
    answer. Raises `QuestionError` before anything is done, and what the engine raises before its first token
    (`ContextFull`, `ModelNotLoaded`). Closing the iterator sets `cancel`.
    """
    validate(request, engine.card.max_images)
    return _ask(engine, request, cancel, findings if progression else (), (*warnings, *_warnings(request)))


def _ask(
    engine: Engine, request: Request, cancel: Event, findings: Sequence[str], warnings: tuple[str, ...]
) -> Iterator[Stage | Token | Answer]:
    tokens: list[Token] = []
    ending = _Ending()
    try:
        for item in _pumped(engine, request, cancel):
            if isinstance(item, _Ending):
                ending = item
                break
            if isinstance(item, Token):
                tokens.append(item)
            yield item
        answer = _answer(engine, request, tokens, ending, warnings)
        if findings and answer.state == "complete" and scorable(request):
            answer = yield from _scored(engine, answer, findings, cancel)
        yield answer
    except GeneratorExit:
        cancel.set()
        raise


@dataclass(frozen=True)
class _Ending:
    """How a stream ended: by itself (`error` None) or by an error."""

    error: IntervalError | None = None
    timings: Timings = field(default_factory=Timings)


def _pumped(engine: Engine, request: Request, cancel: Event) -> Iterator[Stage | Token | _Ending]:
    """The engine's stream with its stages in between, from a thread of its own; any other exception is raised here."""
    items: queue.SimpleQueue[Stage | Token | _Ending | BaseException] = queue.SimpleQueue()

    started = time.monotonic()

    def pump() -> None:
        try:
            for token in engine.stream(request, cancel, items.put):
                items.put(token)
            items.put(_Ending(timings=engine.timings))
        except IntervalError as error:
            items.put(_Ending(error, replace(engine.timings, total_s=time.monotonic() - started)))
        except BaseException as error:
            items.put(error)

    threading.Thread(target=pump, name="answer", daemon=True).start()
    while True:
        item = items.get()
        if isinstance(item, BaseException):
            raise item
        yield item


def _answer(engine: Engine, request: Request, tokens: Sequence[Token], ending: _Ending, warnings: tuple[str, ...]) -> Answer:
    """The answer a stream left behind. Raises the stream's own error when nothing was said, nobody stopped it and the engine lives."""
    state: State = "complete"
    error = ""
    if isinstance(ending.error, Cancelled):
        state = "stopped"
    elif ending.error is not None:
        if not isinstance(ending.error, EngineDied) and (not tokens or not isinstance(ending.error, EngineError)):
            raise ending.error
        state, error = "incomplete", str(ending.error)
    elif not "".join(token.text for token in tokens).strip():
        warnings = (*warnings, "the model ended its answer without a word; ask again, in other words, or another model")
    elif len(tokens) >= request.options.max_tokens:
        warnings = (*warnings, f"the answer was cut at {len(tokens)} tokens; raise the longest answer in the settings to read on")
    return Answer(
        text="".join(token.text for token in tokens).strip(),
        state=state,
        tokens=tuple(tokens),
        request=request,
        model=engine.card,
        timings=replace(ending.timings, tokens=len(tokens)),
        prompt=engine.prompt(request),
        confidence=_confidence(tokens, {}),
        warnings=warnings,
        error=error,
    )


def _scored(engine: Engine, answer: Answer, findings: Sequence[str], cancel: Event) -> Generator[Stage, None, Answer]:
    """Add the progression of each finding and of the disease as a whole; what fails or is stopped here keeps the words."""
    scores: dict[str, Shares] = {}
    overall: Shares = {}
    orders: tuple[Shares, ...] = ()
    warnings = answer.warnings
    try:
        for number, finding in enumerate(findings, 1):
            yield Stage("scoring", number, len(findings))
            scores[finding] = read(engine, answer.request, of_change(len(answer.request.images), finding), cancel=cancel).shares
        whole = read(engine, answer.request, of_change(len(answer.request.images)), cancel=cancel)
        overall, orders = whole.shares, whole.orders
    except Cancelled:
        warnings = (*warnings, "the progression scores were stopped and are not complete")
    except EngineError as error:
        warnings = (*warnings, f"the progression scores are not complete: {error}")
    confidence = _confidence(answer.tokens, scores)
    return replace(answer, progression=scores, overall=overall, orders=orders, confidence=confidence, warnings=warnings)


def _confidence(tokens: Sequence[Token], progression: Progression) -> Confidence:
    return scored_confidence([token.logprob for token in tokens], progression)


def scored_confidence(tokens: Sequence[float], progression: Progression) -> Confidence:
    """Confidence from the log-probability of each token (one that is no number was not offered) and the progression's classes."""
    logprobs = [logprob for logprob in tokens if math.isfinite(logprob)]
    classes = [sorted(shares.values(), reverse=True) for shares in progression.values()]
    entropies = [-sum(p * math.log(p) for p in row if p > 0) / math.log(len(row)) for row in classes]
    return Confidence(
        mean_probability=math.exp(sum(logprobs) / len(logprobs)) if logprobs else None,
        least_probability=math.exp(min(logprobs)) if logprobs else None,
        entropy=sum(entropies) / len(entropies) if entropies else None,
        margin=sum(row[0] - row[1] for row in classes) / len(classes) if classes else None,
    )


def _warnings(request: Request) -> tuple[str, ...]:
    """What the images themselves say against the question."""
    out: list[str] = []
    if len(request.images) == 1 and request.ability in SCORED:
        out.append("only one image was given, so nothing can be compared")
    first: dict[str, int] = {}
    for number, image in enumerate(request.images, 1):
        if image.sha256 in first:
            out.append(f"images {first[image.sha256]} and {number} are the same picture, so any change in the answer is invented")
        first.setdefault(image.sha256, number)
    roles = [image.role for image in request.images]
    if request.relationship == "temporal" and "current" in roles and "prior" in roles and roles.index("current") < roles.index("prior"):
        out.append("the current image stands before the prior; the question is asked in this order")
    return tuple(out)


def as_json(answer: Answer, session_id: int | None = None) -> dict[str, object]:
    """The object that `ask --json` prints."""
    return {
        "answer": answer.text,
        "state": answer.state,
        "error": answer.error,
        "question": answer.request.question,
        "ability": answer.request.ability,
        "relationship": answer.request.relationship,
        "images": [{"sha256": i.sha256, "role": i.role, "when": i.when} for i in answer.request.images],
        "progression": {finding: dict(classes) for finding, classes in answer.progression.items()},
        "overall": dict(answer.overall),
        "checks": {name: check.as_json() for name, check in answer.checks.items()},
        "trust": answer.trust.as_json(),
        "forecast": _forecast(answer),
        "confidence": asdict(answer.confidence),
        "logprobs": [None if math.isnan(logprob) else logprob for logprob in answer.logprobs],
        "timings": asdict(answer.timings),
        "model": asdict(answer.model),
        "session_id": session_id,
        "warnings": list(answer.warnings),
        "provenance": {
            "model": answer.model.name,
            "model_sha256": answer.model.sha256,
            "adapter_sha256": answer.model.adapter,
            "revision": answer.model.revision,
            "engine": answer.model.engine,
            "offsets_sha256": digest(answer.model.offsets),
            "image_sha256": list(answer.image_hashes),
            "roles": list(answer.roles),
            "whens": [image.when for image in answer.request.images],
            "marks": [{"image": n, **asdict(mark)} for n, image in enumerate(answer.request.images, 1) for mark in image.marks],
            "prompt": answer.prompt,
            "clinical": dict(answer.request.clinical),
            "options": asdict(answer.request.options),
            "seed": answer.request.options.seed,
            "made": answer.made.isoformat(),
        },
    }


def _forecast(answer: Answer) -> dict[str, object] | None:
    """What an answer about what is to come says, with its mark; None for any other."""
    horizon = horizons.asked(answer.request.question)
    if horizon is None:
        return None
    decided = answer.checks.get("decided")
    return {"mark": horizons.MARK, "horizon": horizon.words, "days": horizon.days, "shares": dict(decided.seen) if decided else {}}


def record(answer: Answer) -> AnswerRecord:
    """The answer as the store keeps it; its `checks` also carry `confidence`, `overall` and `trust` with all their figures."""
    options = answer.request.options
    return AnswerRecord(
        text=answer.text,
        state=answer.state,
        model=answer.model.name,
        engine=answer.model.engine,
        model_digest=answer.model.sha256,
        adapter_digest=answer.model.adapter,
        image_hashes=answer.image_hashes,
        roles=answer.roles,
        whens=tuple(image.when for image in answer.request.images),
        prompt=answer.prompt,
        options={
            "max_tokens": options.max_tokens,
            "temperature": options.temperature,
            "tile": answer.model.tile,
            **({"offsets": digest(answer.model.offsets)} if answer.model.offsets else {}),
        },
        seed=options.seed,
        timings=asdict(answer.timings),
        checks={
            **{name: check.as_json() for name, check in answer.checks.items()},
            "trust": answer.trust.as_json(),
            "confidence": asdict(answer.confidence),
            "overall": dict(answer.overall),
        },
        progression=answer.progression,
        confidence=answer.confidence.mean_probability,
        tokens=tuple(token.text for token in answer.tokens),
        logprobs=answer.logprobs,
        warnings=(*answer.warnings, *((answer.error,) if answer.error else ())),
        created=answer.made,
    )


def settled(checks: Mapping[str, object], progression: Progression, logprobs: Sequence[float]) -> dict[str, object]:
    """What all checks that are kept with an answer come to, and its confidence: for whoever puts more to those made before."""
    return {"trust": judged(kept(checks)).as_json(), "confidence": asdict(scored_confidence(logprobs, progression))}
