"""How one pair is read and told: the same line for `predict` on the command line and for a batch in the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

from errors import EngineError, IntervalError, ModelNotLoaded, StudyError
from inference.engine import Engine, Image, Request

if TYPE_CHECKING:
    from inference.pairfile import Films, PairRow

DIGITS = 6
"""Decimals of a probability."""


@dataclass(frozen=True)
class Line:
    """One pair's result: the JSON object, and why it could not be read."""

    content: dict[str, Any]
    error: IntervalError | None = None


@dataclass(frozen=True)
class Predicted:
    """What was read from a pair: finding -> class -> probability, the same of the disease as a whole, and what to know of the images."""

    progression: dict[str, dict[str, float]]
    overall: dict[str, float]
    warnings: tuple[str, ...] = ()


def lines(rows: Sequence[PairRow], films: Films, engine: Engine, *, both: bool) -> Iterator[Line]:
    """The result of each row, in order. Raises `ModelNotLoaded`; any other failure is its row's own."""
    for row in rows:
        try:
            found = read(row, films, engine, both=both)
            yield Line(content(row, found))
        except ModelNotLoaded:
            raise
        except (StudyError, EngineError) as error:
            yield Line(content(row, Predicted({}, {}, (f"the pair was not read: {error}",))), error)


def read(row: PairRow, films: Films, engine: Engine, *, both: bool, cancel: Event | None = None) -> Predicted:
    """Progression, overall and warnings of one row of a pair file. Raises `StudyError` and what the engine raises."""
    from inference.pairfile import between

    prior, current = films.pair(row)
    warnings = dict.fromkeys((*prior.remarks, *current.remarks, *between(prior, current)))
    return of_images((prior.image, current.image), engine, tuple(warnings), both=both, cancel=cancel)


def of_images(
    images: tuple[Image, Image], engine: Engine, warnings: tuple[str, ...] = (), *, both: bool = True, cancel: Event | None = None
) -> Predicted:
    """Progression and overall of prior and current. Raises what the engine raises."""
    from inference.reading import read_pair

    found = read_pair(engine, Request(images, ""), both=both, cancel=cancel)
    return Predicted({finding: rounded(shares) for finding, shares in found.progression.items()}, rounded(found.overall), warnings)


def content(row: PairRow, found: Predicted) -> dict[str, Any]:
    """The JSON object of a line."""
    return {
        **dict(zip(("prior_path", "current_path"), row.paths, strict=True)),
        "progression": found.progression,
        "overall": found.overall,
        "warnings": list(found.warnings),
    }


def rounded(shares: Mapping[str, float]) -> dict[str, float]:
    """Probabilities as they are printed."""
    return {name: round(share, DIGITS) for name, share in shares.items()}
