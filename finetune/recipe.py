"""A training recipe: every number of a run in one frozen value, read from YAML, contradictions refused before work starts.

recipe = recipe.load(Path("finetune/recipes/bundled.yaml"))
recipe.tower.steps
"""

from __future__ import annotations

import types
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from errors import TuneError
from finetune.layout import VisionShape
from inference.engine import Ability

STAGES = ("tower", "connector", "joint")


@dataclass(frozen=True)
class Schedule:
    """Length, batch and rates of one stage."""

    steps: int
    """Optimiser steps."""
    batch: int
    """Pairs a step."""
    rate: float
    """Highest learning rate, reached after `warmup` and falling to a twentieth along a cosine."""
    warmup: int = 50
    """Steps over which the rate rises from nothing."""
    decay: float = 0.02
    """Weight decay of matrices."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    save_every: int = 100
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        """Refuse lengths and rates that cannot train."""
        if self.steps < 1 or self.batch < 1 or self.save_every < 1:
            raise TuneError(
                f"steps {self.steps}, batch {self.batch} and save_every {self.save_every} must be at least 1; correct the recipe"
            )
        if not 0 < self.rate <= 0.1:
            raise TuneError(f"learning rate {self.rate} is not in 0..0.1; correct the recipe")
        if not 0 <= self.warmup < self.steps:
            raise TuneError(f"warm-up of {self.warmup} steps does not fit into {self.steps} steps; shorten it")


@dataclass(frozen=True)
class TowerStage:
    """Stage 1: the image tower learns to see, with heads of its own."""

    schedule: Schedule
    coarse_until: float = 0.0
    """Share of the stage, at its start, that reads blocks of patches instead of patches, four times as fast."""
    strength: tuple[float, float] = (0.3, 1.0)
    """Acquisition differences at the start and at the end of the stage, 0 none to 2 strong."""
    ranked: int = 0
    """Pairs of real films a step, added to the batch, of which the second is labelled more diseased."""

    def __post_init__(self) -> None:
        """Refuse a share outside 0..1 and negative strengths."""
        if not 0 <= self.coarse_until <= 1:
            raise TuneError(f"coarse_until {self.coarse_until} is a share of 1; correct the recipe")
        if len(self.strength) != 2 or min(self.strength) < 0:
            raise TuneError(f"strength {self.strength} must be two numbers from 0 up, at the start and at the end; correct the recipe")


@dataclass(frozen=True)
class LanguageStage:
    """Stages 2 and 3: the language model learns to read the tower's tokens."""

    schedule: Schedule
    train: tuple[str, ...]
    """What is trained: `connector`, `lora`."""
    questions: int = 5
    """Questions asked of each pair, each read alone after the same images."""
    lists: int = 0
    """Questions besides, each naming several findings at once."""
    looks: int = 0
    """Questions besides, each whether or where one finding is in one image."""
    exchanged: bool = False
    """Whether each pair is also asked about with prior and current exchanged, in the same step."""
    gaze: float = 0.0
    """Weight of teaching a few heads where to look; 0 leaves them to themselves."""
    heard: float = 0.0
    """Weight of teaching the inner layers what will be asked; 0 leaves them to themselves."""
    muon: bool = False
    """Whether LoRA is trained with Muon (Jordan 2024) rather than AdamW."""
    sliced: float = 0.1
    """Share of steps in the layout of stock llama.cpp servers, where each image comes twice."""
    strength: float = 1.0
    """Acquisition differences, 0 none to 2 strong."""
    abilities: tuple[str, ...] = ("temporal", "comparison", "reasoning", "coreference")
    """Abilities whose questions are asked."""

    def __post_init__(self) -> None:
        """Refuse parts and abilities we do not have and stages that train nothing."""
        strange = set(self.abilities) - set(get_args(Ability))
        if strange or not self.abilities:
            raise TuneError(f"abilities: {', '.join(strange) or 'none'}; it may name {', '.join(get_args(Ability))}")
        unknown = set(self.train) - {"connector", "lora"}
        if unknown or not self.train:
            raise TuneError(f"train: {', '.join(self.train) or 'nothing'}; it may name connector, lora")
        if not 0 <= self.sliced <= 1:
            raise TuneError(f"sliced {self.sliced} is a share of 1; correct the recipe")


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters of every linear layer of the language model."""

    rank: int = 16
    alpha: int = 32

    def __post_init__(self) -> None:
        """Refuse a scale that the exact merge cannot take."""
        scale = self.alpha / max(self.rank, 1)
        if self.rank < 1 or scale not in (0.5, 1.0, 2.0, 4.0):
            raise TuneError(
                f"LoRA alpha {self.alpha} over rank {self.rank} must be 0.5, 1, 2 or 4, so that merging is exact; correct the recipe"
            )


@dataclass(frozen=True)
class Recipe:
    """One run from nothing to trained parts."""

    name: str
    seed: int
    phantom: float
    """Share of pairs made from the parametric phantom; the rest are painted on real films."""
    films: tuple[str, ...]
    """Data folders of real films to paint on, below the data root."""
    tower: TowerStage
    connector: LanguageStage
    joint: LanguageStage
    layers: tuple[int, ...] = ()
    """Layers of the base language model that are kept, in order; all of them when none is named."""
    lora: Lora = field(default_factory=Lora)
    vision: VisionShape = field(default_factory=VisionShape)
    made: str = ""
    """Where a run came about otherwise than in one go of this recipe: a sentence for the model's card."""

    def __post_init__(self) -> None:
        """Refuse contradictions between parts."""
        if not 0 <= self.phantom <= 1:
            raise TuneError(f"phantom {self.phantom} is a share of 1; correct the recipe")
        if self.phantom < 1 and not self.films:
            raise TuneError("the recipe paints on real films but names no folder of films; add `films` or set phantom to 1")
        if "lora" in self.connector.train:
            raise TuneError("the connector stage trains the connector alone, its recipe asks for lora; move it to joint")
        if list(self.layers) != sorted(set(self.layers)):
            raise TuneError(f"layers {', '.join(map(str, self.layers))}: name each kept layer once, in order; correct the recipe")
        if self.vision.grid % self.vision.shuffle:
            raise TuneError(f"{self.vision.grid} patches a side cannot be shuffled by {self.vision.shuffle}; change tile, patch or shuffle")


def parse(kind: Any, value: Any, where: str) -> Any:
    """YAML value -> dataclass, tuple or scalar of type `kind`. Raises `TuneError` naming the place `where` it does not fit."""
    if is_dataclass(kind) and isinstance(kind, type):
        return _record(kind, value, where)
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise TuneError(f"{where}: a list is needed, not {value!r}")
        return tuple(parse(get_args(kind)[0], entry, where) for entry in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, types.UnionType) or not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TuneError(f"{where}: {value!r} is not a {kind.__name__}; correct the recipe")
    return value


def _record(kind: type[Any], value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise TuneError(f"{where}: settings are needed, not {value!r}; correct the recipe")
    hints, known = get_type_hints(kind), {entry.name for entry in fields(kind)}
    for name in value:
        if name not in known:
            raise TuneError(f"{where}: there is no {name}; known are {', '.join(sorted(known))}")
    try:
        return kind(**{name: parse(hints[name], entry, f"{where}.{name}") for name, entry in value.items()})
    except TypeError as error:
        raise TuneError(f"{where}: {str(error).split('__init__() ')[-1]}; complete the recipe") from error


def load(path: Path) -> Recipe:
    """Read a recipe. Raises `TuneError` for a missing file, broken YAML, an unknown name or a contradiction."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise TuneError(f"{path}: the recipe cannot be read ({str(error).splitlines()[0]}); give a YAML file") from error
    recipe: Recipe = parse(Recipe, content, path.name)
    return recipe
