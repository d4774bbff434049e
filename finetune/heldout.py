"""Pairs that training never saw, to measure with: other generator seeds, other phantom patients, films of other real patients.

tests(150, 256, Path("../data"))     # 150 phantom pairs, then 150 painted onto real films of the development patients
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from errors import TuneError
from finetune.base import cache_dir
from finetune.synthesis import films, pairs, phantom
from finetune.synthesis.pairs import Pair, Source

FIRST = 51_000_000
"""First seed: a million above those that training never draws (`dataset.HELD_OUT`), whose first are looked at while it runs."""
PHANTOM, PAINTED = "phantom", "painted"
PATIENTS = 120
"""Phantom patients at most, none of them one of training's."""
FITTED = ("offsets", "train")
"""Where offsets are fitted: phantom patients of their own, real films of training's patients."""


@dataclass(frozen=True)
class Held:
    """One held-out pair and where its films come from: `phantom` or `painted` on real films."""

    source: str
    pair: Pair


def sources(count: int, data_root: Path | None, splits: tuple[str, str] = ("dev", "dev")) -> dict[str, Source]:
    """Sources by name, phantom and real films each of its split; `painted` only with a `data_root` that has folders of films.

    Raises `TuneError` when it has none.
    """
    found: dict[str, Source] = {PHANTOM: phantom.PhantomSource(splits[0], max(2, min(PATIENTS, count)))}
    if data_root:
        roots = tuple(data_root / name for name in films.READERS if (data_root / name).is_dir())
        if not roots:
            raise TuneError(f"{data_root} has none of {', '.join(films.READERS)}; give the folder that holds them, or leave it out")
        found[PAINTED] = films.FilmSource(roots, cache_dir().parent / "films", splits[1])
    return found


def draw(count: int, size: int, data_root: Path | None, strength: float = 1.0) -> list[Held]:
    """`count` pairs (size, size) of each source, one patient's two acquisitions each. Raises `TuneError` for a `count` below 2."""
    if count < 2:
        raise TuneError(f"{count} pairs are too few to measure with; give at least 2")
    return [Held(name, pair) for name, source in sources(count, data_root).items() for pair in _pairs(source, count, size, strength)]


def _pairs(source: Source, count: int, size: int, strength: float) -> Iterator[Pair]:
    for seed in range(FIRST, FIRST + count):
        yield pairs.generate(seed, source, size, "pair", strength)
