"""What is ordered before a run starts: which model learns from which dataset version by which recipe, and what it will take.

A recipe (`finetune/recipes/run_*.yaml`, or a file of one's own) says how and never on what; the version says on what and never how.

    order = Order("mine", "bundled", "v3", recipe("sft", epochs=2.0), "ana")
    estimate(settings, order).seconds
"""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from errors import InputError, TuneError
from finetune import examples, families, files
from finetune import recipe as recipes
from finetune.adapters import shape_of
from finetune.examples import Example, Source
from finetune.sft import CACHES, Adapter, SftRecipe, Tuning
from finetune.versions import shelf
from inference import adapter as adapters
from inference import promoted, select
from inference.select import Named
from settings import Settings

SHIPPED = Path(__file__).resolve().parent / "recipes"
METHODS = ("sft", "dpo", "kto")
LIVE = "live"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
SAMPLED = 64
"""Examples whose length is looked at for an estimate."""
EFFORT = 5
"""Operations a weight and token cost: two forward, two for the gradient of what flows through, some for attention and adapters."""
SHARE = 0.35
"""Part of a matrix product's speed that a training step reaches."""


@dataclass(frozen=True)
class RunRecipe:
    """How a run learns. SFT reads `train.jsonl` of a version, DPO and KTO its `preferences.jsonl`."""

    name: str
    method: str = "sft"
    seed: int = 7
    cache: str = "disk"
    """Where what the tower makes of each image is kept: `disk`, `memory`, or `off`."""
    precision: str = "bf16"
    keep: float = 0.0
    """SFT: weight by which replayed examples are to be answered as before; 0 learns their answers like any other."""
    checkpointing: bool = False
    beta: float = 0.1
    """DPO, KTO: how strongly the tuned model is held to the one it starts from."""
    sft_weight: float = 0.2
    """DPO: weight of the chosen answer's own likelihood beside the preference (MPO, Wang 2024)."""
    adapter: Adapter = field(default_factory=Adapter)
    tuning: Tuning = field(default_factory=Tuning)

    def __post_init__(self) -> None:
        """Refuse methods and words we do not know."""
        for name, given, allowed in (
            ("method", self.method, METHODS),
            ("cache", self.cache, CACHES),
            ("precision", self.precision, ("bf16", "fp32")),
        ):
            if given not in allowed:
                raise TuneError(f"{name}: {given!r} is unknown; choose one of {', '.join(allowed)}")
        if self.beta <= 0 or self.sft_weight < 0:
            raise TuneError(f"beta {self.beta} must be above 0 and sft_weight {self.sft_weight} not below; correct the recipe")
        if self.method == "kto" and self.tuning.micro < 2:
            raise TuneError("KTO compares the examples that are read together; set micro to 2 or more")

    def on(self, version: Path, name: str) -> SftRecipe:
        """The whole recipe of a run called `name` on the version in that folder."""
        file = shelf.TRAIN if self.method == "sft" else shelf.PREFERENCES
        data = (Source("examples", str(version / file)),)
        return SftRecipe(
            name, self.seed, data, cache=self.cache, precision=self.precision, keep=self.keep, checkpointing=self.checkpointing,
            adapter=self.adapter, tuning=self.tuning,
        )  # fmt: skip


@dataclass(frozen=True)
class Order:
    """One run as ordered by `by`; `version_sha256` and `created` are filled in when it is kept.

    `start` is the adapter it goes on from: `live` takes the one that answers when it is ordered, `none` (kept as ``) the model alone.
    """

    name: str
    base: str
    version: str
    recipe: RunRecipe
    by: str = ""
    start: str = LIVE
    version_sha256: str = ""
    created: str = ""


@dataclass(frozen=True)
class Estimate:
    """What a run will take, about; `basis` says what that was reckoned from."""

    seconds: float
    memory_mb: int
    steps: int
    examples: int
    tokens: int
    basis: str


def shipped() -> tuple[str, ...]:
    """Names of the recipes that come with Interval."""
    return tuple(sorted(path.stem.removeprefix("run_") for path in SHIPPED.glob("run_*.yaml")))


def recipe(name: str, **changes: Any) -> RunRecipe:
    """A shipped recipe by its name, or one from a file; `changes` go to its `tuning`, or to the recipe itself. Raises `TuneError`."""
    path = SHIPPED / f"run_{name}.yaml"
    if name not in shipped():
        path = Path(name)
        if not path.is_file():
            raise TuneError(f"there is no recipe {name!r}; choose one of {', '.join(shipped())}, or give a YAML file")
    content = files.read_yaml(path)
    if not isinstance(content, dict):
        raise TuneError(f"{path}: settings are needed; give a YAML file as {SHIPPED / 'run_sft.yaml'}")
    tuning = {key: value for key, value in changes.items() if key in Tuning.__dataclass_fields__}
    rest = {key: value for key, value in changes.items() if key not in tuning}
    content = {**content, **rest, "tuning": {**(content.get("tuning") or {}), **tuning}}
    found: RunRecipe = recipes.parse(RunRecipe, content, path.name)
    return found


def parsed(content: dict[str, Any]) -> Order:
    """An order as it was kept. Raises `TuneError`."""
    order: Order = recipes.parse(Order, {"start": "", **listed(content)}, "order.json")
    return order


def listed(value: Any) -> Any:
    """JSON's form of an order: tuples are lists there."""
    if isinstance(value, dict):
        return {name: listed(entry) for name, entry in value.items()}
    return [listed(entry) for entry in value] if isinstance(value, tuple | list) else value


def refuse_unfit(settings: Settings, order: Order) -> Order:
    """The order with its version's hash, the adapter it goes on from and that one's shape.

    Raises `InputError`, `TuneError` or `ModelNotLoaded` when it cannot be carried out.
    """
    if not NAME.fullmatch(order.name):
        raise InputError(f"{order.name!r} is no name of a run; use small letters, digits, dots and dashes")
    named = base_of(settings, order.base)
    version = shelf.read(settings.versions_dir, order.version)
    file = shelf.TRAIN if order.recipe.method == "sft" else shelf.PREFERENCES
    if not (version.folder / file).stat().st_size:
        what = "examples" if file == shelf.TRAIN else "preferences"
        raise InputError(
            f"version {order.version} has no {what}, which {order.recipe.method} learns from; choose another method or version"
        )
    form(named)
    live = promoted.live(settings.adapters_dir, order.base)
    start = (live.adapter if live else "") if order.start == LIVE else "" if order.start == promoted.NONE else order.start
    recipe = order.recipe
    if start:
        folder = start_of(settings, start)
        adapters.checked(folder, named.manifest)
        recipe = replace(recipe, adapter=replace(recipe.adapter, **shape_of(folder)))
    return replace(order, version_sha256=version.sha256, start=start, recipe=recipe)


def start_of(settings: Settings, name: str) -> Path:
    """Folder of a promoted adapter. Raises `InputError` for a name that is none."""
    folder = settings.adapters_dir / name
    if Path(name).name != name or not folder.is_dir():
        raise InputError(f"{name!r} was never promoted, so nothing can go on from it; give `{LIVE}` or `{promoted.NONE}`")
    return folder


def base_of(settings: Settings, base: str) -> Named:
    """The model a run starts from. Raises `ModelNotLoaded`, `TuneError` for one without weights for transformers."""
    named = select.resolve(settings, base)
    if "torch" not in named.manifest.engines:
        raise TuneError(f"{base} has no transformers weights, and a GGUF pair alone cannot learn; add the model's transformers folder")
    return named


def form(named: Named) -> families.Form:
    """What training must know of the model. Raises `TuneError`."""
    return families.form(named.folder / named.manifest.hf)


def estimate(settings: Settings, order: Order, done: tuple[tuple[float, int], ...] = ()) -> Estimate:
    """About how long a run takes and how much memory; `done` are (seconds, samples) of earlier runs of its kind. Raises `TuneError`."""
    from finetune.encoding import Words

    named = base_of(settings, order.base)
    version = shelf.read(settings.versions_dir, order.version)
    learnt, shape = order.recipe.on(version.folder, order.name), form(named)
    found = examples.collect(learnt.data[0], Path("/"), 0).examples
    words = Words(shape)
    lengths = [len(words.encode(one).ids) for one in islice(_spread(found), SAMPLED)]
    schedule = order.recipe.tuning.schedule(max(1, len(found)))
    samples, tokens = schedule.steps * schedule.batch, float(np.mean(lengths or [1]))
    weights = _bytes(named)
    if done:
        each, basis = done[-1][0] / done[-1][1], "an earlier run on this machine"
    else:
        each, basis = EFFORT * weights / 2 * tokens / (SHARE * _speed()), "the speed of a matrix product on this machine"
    many = 2 if order.recipe.method == "dpo" else 1
    kept = 2 if order.recipe.precision == "bf16" else 4
    activations = order.recipe.tuning.micro * many * max(lengths or [1]) * 6000 * 4 * 12
    memory = int((weights / 2 * kept + activations + 1.2e9) / 1e6)
    return Estimate(samples * each * many, memory, schedule.steps, len(found), int(tokens), basis)


def _spread(found: tuple[Example, ...]) -> tuple[Example, ...]:
    return found[:: max(1, len(found) // SAMPLED)]


def _bytes(named: Named) -> int:
    """Of the weights in 16 bits; a GGUF pair in 8 bits is half of that."""
    there = [path for name in named.manifest.weights if (path := named.folder / name).is_file() and path.suffix == ".safetensors"]
    if there:
        return sum(path.stat().st_size for path in there)
    return 2 * sum((named.folder / name).stat().st_size for name in (named.manifest.text, named.manifest.mmproj))


def _speed() -> float:
    """Operations a second of a matrix product in float32, measured for a twentieth of a second."""
    left = np.ones((512, 512), np.float32)
    started, count = time.perf_counter(), 0
    while (seconds := time.perf_counter() - started) < 0.05 or not count:
        left @ left
        count += 1
    return count * 2 * 512**3 / seconds


def as_json(order: Order) -> dict[str, Any]:
    """The order for `order.json`."""
    content: dict[str, Any] = listed(asdict(order))
    return content
