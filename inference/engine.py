"""One question, whatever runs it: the values that go into an engine and come out, and the protocol.

An engine knows tensors and tokens; it does not know studies, sessions or the screen. `gguf.GgufEngine`,
`torch_engine.TorchEngine` and the tests' fake all satisfy `Engine`, and nothing else in the project
tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from inference.offsets import Offset, digest

Ability = Literal["temporal", "comparison", "reasoning", "coreference"]
Relationship = Literal["temporal", "views", "sides", "unrelated"]
ABILITIES: tuple[Ability, ...] = ("temporal", "comparison", "reasoning", "coreference")
RELATIONSHIPS: tuple[Relationship, ...] = ("temporal", "views", "sides", "unrelated")

RGB = NDArray[np.uint8]


@dataclass(frozen=True)
class Mark:
    """A lettered mark: `kind` is `point`, `arrow` (tip first), `box` or `free`; `points` are (across, down), 0 to 1 of the image."""

    label: str
    kind: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Image:
    """One image of a question, in declared order.

    `pixels` is (H, W, 3) uint8, the display pipeline's output before the model's own resize; `role` is
    `prior`, `current`, `time 1`.., a view such as `CC`, `left`, `right`, or ``; `when` is relative time in
    words ("14 days earlier") or ``; `sha256` names the pixels; `marks` are drawn into them already (`inference.marked`).
    """

    pixels: RGB
    sha256: str
    role: str = ""
    when: str = ""
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Turn:
    """A question of this session and the answer it got."""

    question: str
    answer: str


@dataclass(frozen=True)
class Options:
    """Generation options. Greedy by default; `seed` counts only when `temperature` > 0."""

    max_tokens: int = 160
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Request:
    """Ordered images, the conversation so far, and the question now; `clinical` is what is told beside the images, (label, text)."""

    images: tuple[Image, ...]
    question: str
    ability: Ability = "temporal"
    relationship: Relationship = "temporal"
    history: tuple[Turn, ...] = ()
    options: Options = field(default_factory=Options)
    clinical: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Token:
    """One generated token: its text (may be empty inside a multi-byte character), log-probability, position from 0."""

    text: str
    logprob: float
    position: int
    id: int = -1


@dataclass(frozen=True)
class Stage:
    """What the engine is doing; `done` of `total` counts images for `encoding`, findings for `scoring`, checks for `checking`."""

    name: Literal["waiting", "making", "loading", "encoding", "reading", "writing", "scoring", "checking"]
    done: int = 0
    total: int = 0

    @property
    def text(self) -> str:
        """The stage in words for the screen."""
        if self.name == "encoding":
            return f"encoding image {self.done} of {self.total}"
        if self.name == "scoring":
            return f"scoring finding {self.done} of {self.total}"
        if self.name == "checking":
            return f"making check {self.done} of {self.total}"
        words = {
            "waiting": "waiting for the engine",
            "making": "writing the model's transformers weights from its GGUF pair, once",
            "loading": "loading the model",
            "reading": "reading the question",
        }
        return words.get(self.name, "writing")


@dataclass(frozen=True)
class Scores:
    """Total log-probability and token count of each choice, in the order asked."""

    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Timings:
    """Seconds of the last request; `encode_s` counts only images that were not cached."""

    load_s: float = 0.0
    encode_s: float = 0.0
    prefill_s: float = 0.0
    first_token_s: float = 0.0
    total_s: float = 0.0
    tokens: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    images_encoded: int = 0


@dataclass(frozen=True)
class ModelCard:
    """What is known about a model. `image_order` says in which order the family wants time points."""

    name: str
    family: str
    revision: str
    sha256: str
    licence: str
    engine: str
    tokens_per_image: int
    max_images: int
    context_tokens: int
    image_order: Literal["oldest-first", "current-first"] = "oldest-first"
    summary: str = ""
    tile: int = 0
    """Side in pixels of the square each image is given as; 0 when the model does not say."""
    adapter: str = ""
    """SHA-256 of the adapter's numbers, `` without one."""
    offsets: tuple[Offset, ...] = ()
    """What is added to its likelihoods of listed answers; an adapter is read with those of the model it is on."""
    parity: str = ""
    """How often the GGUF pair answers as the full weights do, in a sentence; `` where that was not measured on these very weights."""

    @property
    def by_beginning(self) -> bool:
        """Whether choices are weighed by how an answer begins, because a server's protocol scores no given words."""
        return self.engine == "remote"

    @property
    def weights(self) -> tuple[str, str, str]:
        """What its likelihoods come from: SHA-256 of the model, of its adapter and of its offsets, `` for what there is not."""
        return self.sha256, self.adapter, digest(self.offsets)


OnStage = Callable[[Stage], None]


class Engine(Protocol):
    """What runs a model."""

    card: ModelCard

    @property
    def timings(self) -> Timings:
        """Timings of the calling thread's last request."""
        ...

    def prompt(self, request: Request) -> str:
        """The whole prompt as the model reads it, for the record: controls by name, `[image 1]` for an image."""
        ...

    def stream(self, request: Request, cancel: Event, on_stage: OnStage | None = None) -> Iterator[Token]:
        """Yield tokens as they are made. Raises `Cancelled` soon after `cancel` is set, `ContextFull` before any work."""
        ...

    def score(self, request: Request, choices: Sequence[str], cancel: Event | None = None, *, whole: bool = True) -> Scores:
        """Log-probability of each choice as the whole answer to the request; without `whole`, as its beginning."""
        ...

    def close(self) -> None:
        """Free the model; the engine is not used again."""
        ...


Asked = Sequence[tuple[str, Sequence[str]]]
"""Questions, each with the choices whose log-probability is wanted."""


@runtime_checkable
class Together(Protocol):
    """An engine that reads several questions about the same images in one go."""

    def score_many(self, request: Request, asked: Asked, cancel: Event | None = None, *, whole: bool = True) -> tuple[Scores, ...]:
        """As `scored`."""
        ...


def scored(engine: Engine, request: Request, asked: Asked, cancel: Event | None = None, *, whole: bool = True) -> tuple[Scores, ...]:
    """`Engine.score` of each of `asked`, its question in place of the request's own; in one go where the engine can."""
    if isinstance(engine, Together):
        return engine.score_many(request, asked, cancel, whole=whole)
    return tuple(engine.score(replace(request, question=question), choices, cancel, whole=whole) for question, choices in asked)


@runtime_checkable
class Wearer(Protocol):
    """An engine whose adapter can be changed while it runs."""

    def wear(self, adapter: Path | None) -> None:
        """Answer from the next question on with the adapter in that folder, None without any. Raises `ModelNotLoaded`."""
        ...
