"""What training reads: generated pairs as films and truth for the tower, and as questions and answers for the language model.

A step's data depend on the recipe's seed and the step's number alone, so a run that was stopped goes on with the same data.
Pairs are made by a worker process ahead of the training step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from finetune.base import cache_dir
from finetune.layout import AROUND, END, GLOBAL, IMAGE, ROW
from finetune.recipe import Recipe
from finetune.synthesis import films, pairs, phantom, questions
from finetune.synthesis.pairs import Pair
from finetune.synthesis.truth import WEIGHTS, Truth
from finetune.vision import EXTENT_SCALE, Targets, places
from inference import chat, pixels
from inference.engine import Ability, Image, Request
from inference.prompts import FINDINGS, messages

HELD_OUT = 50_000_000
"""Seeds from here on are never trained on."""
PATIENTS = 80
"""Phantom patients of a run; each is rendered once."""
DIRECTION = {"worse": 1, "new": 1, "stable": 0, "improved": -1, "resolved": -1}
CLOSED = ("overall", "overall-open", "progression", "progressing", "which", "present", "side", "position", "moved", "letters")
"""Kinds of question with a short answer."""
ABILITIES: tuple[Ability, ...] = ("temporal", "comparison", "reasoning", "coreference")
IGNORED = -100


@dataclass(frozen=True)
class Sources:
    """Where pairs come from: the phantom for `phantom` of them, real films for the rest."""

    synthetic: phantom.PhantomSource
    real: films.FilmSource | None
    phantom: float

    def pair(self, seed: int, size: int, strength: float, cells: int = 0) -> Pair:
        """Pair number `seed`, size x size, with maps of `cells` a side."""
        synthetic = self.real is None or np.random.default_rng([seed, 77]).random() < self.phantom
        source: pairs.Source = self.synthetic if synthetic or self.real is None else self.real
        return pairs.generate(seed, source, size, strength=strength, cells=cells)

    def ranked(self, seed: int, size: int, strength: float) -> NDArray[np.uint8] | None:
        """Two real films (2, size, size) of which the second is labelled more diseased; None without real films."""
        return None if self.real is None else np.stack(pairs.ranked(seed, self.real, size, strength))


def sources(recipe: Recipe, data_root: Path | None, split: str = "train") -> Sources:
    """Sources of a recipe, patients of `split` alone. `TuneError` when a folder of films is not there."""
    real = None
    if recipe.phantom < 1:
        roots = tuple((data_root or Path("data")) / name for name in recipe.films)
        real = films.FilmSource(roots, cache_dir().parent / "films", split)
    return Sources(phantom.PhantomSource(split, PATIENTS if split == "train" else PATIENTS // 4), real, recipe.phantom)


def _sided(truth: Truth) -> NDArray[np.float32]:
    """(F, 2): severity on the right and on the left; what has no side counts half on each."""
    out = np.zeros((len(FINDINGS), 2), dtype=np.float32)
    for finding in truth.findings:
        share = {"right": (1.0, 0.0), "left": (0.0, 1.0), "bilateral": (0.75, 0.75)}.get(finding.side, (0.5, 0.5))
        out[FINDINGS.index(finding.name)] = np.multiply(share, finding.severity)
    return out


def _change(pair: Pair) -> NDArray[np.int64]:
    """(F + 1,): direction of each finding and of the extent; 9 where it must not be judged."""
    out = np.full(len(FINDINGS) + 1, 9, dtype=np.int64)
    if pair.kind not in ("pair", "identical"):
        return out
    if all(pair.clean) or pair.kind == "identical":
        out[:-1] = 0
    for name, change in pair.changes.items():
        out[FINDINGS.index(name)] = DIRECTION[change] if change != "stable" or WEIGHTS.get(name, 1.0) else 9  # a device may move
    out[-1] = DIRECTION[pair.overall]
    return out


def targets(batch: Sequence[Pair]) -> Targets:
    """Truth of B pairs for the tower's heads."""
    ends = [(pair.prior_truth, pair.current_truth) for pair in batch]
    sided = np.stack([[_sided(truth) for truth in both] for both in ends])
    present = (sided.sum(-1) > 0).astype(np.float32)
    clean = np.array([pair.clean for pair in batch], dtype=np.float32)
    known = np.maximum(present, clean[:, :, None])
    extent = np.array([[truth.extent / EXTENT_SCALE for truth in both] for both in ends], dtype=np.float32)
    change = np.stack([_change(pair) for pair in batch])
    maps = None if batch[0].maps is None else torch.from_numpy(np.stack([pair.maps for pair in batch if pair.maps is not None]))
    seen = [torch.from_numpy(values) for values in (present, known, sided, extent, clean, change)]
    return Targets(seen[0], seen[1], seen[2], seen[3], seen[4], seen[5], maps)


def stack(batch: Sequence[Pair]) -> torch.Tensor:
    """(B, 2, H, W) uint8."""
    return torch.from_numpy(np.stack([(pair.prior, pair.current) for pair in batch]))


class Steps(Dataset[Any]):
    """One item a training step: a batch of pairs, turned into what the stage reads by `form` in the worker."""

    def __init__(
        self,
        source: Sources,
        first: int,
        count: int,
        size: int,
        strength: Callable[[int], float],
        form: Callable[..., Any],
        cells: int = 0,
    ) -> None:
        self.source, self.first, self.count, self.size, self.strength, self.form = source, first, count, size, strength, form
        self.cells = cells
        self.steps = range(0)

    def over(self, steps: range) -> Steps:
        """The same data, for these steps."""
        self.steps = steps
        return self

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Any:
        step = self.steps[index]
        seeds = range(self.first + step * self.count, self.first + (step + 1) * self.count)
        batch = [self.source.pair(seed, self.size, self.strength(step), self.cells) for seed in seeds]
        return self.form(batch, step)


def loader(data: Dataset[Any], workers: int = 1) -> DataLoader[Any]:
    """Steps in order, made ahead by a worker process (in this one with `workers` 0)."""
    more: dict[str, Any] = {"prefetch_factor": 8, "multiprocessing_context": "fork"} if workers else {}
    return DataLoader(data, batch_size=None, shuffle=False, num_workers=workers, **more)


@dataclass(frozen=True)
class Vocabulary:
    """What packing needs of a tokenizer: plain text to ids, special tokens off, and control tokens by name."""

    encode: Callable[[str], list[int]]
    control: Callable[[str], int]


def vocabulary(tokenizer: Any) -> Vocabulary:
    """From a `tokenizers.Tokenizer` with `encode_special_tokens` set, so that typed markers stay text."""
    tokenizer.encode_special_tokens = True

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    return Vocabulary(encode, tokenizer.token_to_id)


@dataclass(frozen=True)
class Row:
    """Several questions about the same images, each of which reads the images and itself alone.

    `ids` (L,) tokens, `labels` (L,) the answer's tokens at the place before each, else IGNORED; `branch` (L,) 0 for the shared
    images, then 1.. for each question; `position` (L,) as if the question stood alone; `named` (L,) which finding the words of a
    question that end here name, else -1; `place` (L,) of an image's token which finding it tells of, plus their number for each image
    before, else -1; `films` (n, H, W) in token order; `truth` (F + 1, 7) what is true of each finding and of all disease, see `_truth`.
    """

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    branch: NDArray[np.int64]
    position: NDArray[np.int64]
    named: NDArray[np.int64]
    place: NDArray[np.int64]
    films: NDArray[np.uint8]
    truth: NDArray[np.float32]


def sliced_ids(ids: list[int], words: Vocabulary, tokens: int) -> list[int]:
    """Prompt ids in the layout of stock llama.cpp: before each overview the same tile as ``<row_1_col_1>``."""
    around, overview, row, image = (words.control(name) for name in (AROUND, GLOBAL, ROW, IMAGE))
    extra = [around, row, *[image] * tokens, *words.encode("\n\n")]
    out: list[int] = []
    for index, token in enumerate(ids):
        if token == around and ids[index + 1 : index + 2] == [overview]:
            out += extra
        out.append(token)
    return out


def prompt_ids(request: Request, words: Vocabulary, tokens: int) -> list[int]:
    """Ids of a whole prompt, single-tile layout."""
    image = [words.control(IMAGE)] * tokens
    return chat.token_ids(chat.segments(messages(request)), words.encode, words.control, image)


def _request(pair: Pair, item: questions.Item, size: int) -> Request:
    ends = (pair.prior, pair.current)
    tiles = [pixels.tile(pixels.rgb(ends[index]), size) for index in item.images]
    images = tuple(Image(tile, "", role, when) for tile, role, when in zip(tiles, item.roles, item.whens, strict=True))
    return Request(images, item.question, item.ability, item.relationship)


def row(pair: Pair, asked: Sequence[questions.Item], words: Vocabulary, tokens: int, size: int, sliced: bool = False) -> Row:
    """Pack questions with the same images, roles and times into one `Row`."""
    requests = [_request(pair, item, size) for item in asked]
    prompts = [prompt_ids(request, words, tokens) for request in requests]
    if sliced:
        prompts = [sliced_ids(prompt, words, tokens) for prompt in prompts]
    around = words.control(AROUND)
    shared = len(prompts[0]) - prompts[0][::-1].index(around) + 1
    ids, labels, branch, position = list(prompts[0][:shared]), [IGNORED] * shared, [0] * shared, list(range(shared))
    for number, (prompt, item) in enumerate(zip(prompts, asked, strict=True), 1):
        answer = [*words.encode(item.answer), words.control(END)]
        tail = [*prompt[shared:], *answer]
        ids += tail[:-1]
        labels += [IGNORED] * (len(tail) - len(answer) - 1) + answer
        branch += [number] * (len(tail) - 1)
        position += range(shared, shared + len(tail) - 1)
    shown = np.stack([image.pixels[:, :, 0] for image in requests[0].images])
    shows = 2 if sliced else 1
    every = np.array(ids, dtype=np.int64)
    named, place = _named(ids, shared, words), _placed(every == words.control(IMAGE), tokens, shows)
    columns = [np.array(values, dtype=np.int64) for values in (labels, branch, position, named)]
    return Row(every, columns[0], columns[1], columns[2], columns[3], place, np.repeat(shown, shows, axis=0), _truth(pair, asked[0].images))


def _truth(pair: Pair, images: Sequence[int]) -> NDArray[np.float32]:
    """(F + 1, 7) of `images` of a pair in the order shown: whether each finding is in the first and in the second, whether it lies more
    on the right of the first and of the second, its severity in both, and -1, 0 or 1 for its change from the first to the second; the
    last row is all disease, with a change alone. Not a number where it must not be judged."""
    true = targets([pair])
    out = np.full((len(FINDINGS) + 1, 7), np.nan, dtype=np.float32)
    for number, end in enumerate(images[:2]):
        known, sided = true.known[0, end].numpy() > 0, true.sided[0, end].numpy()
        apart = sided[:, 0] - sided[:, 1]
        out[:-1, number] = np.where(known, true.present[0, end].numpy(), np.nan)
        out[:-1, 2 + number] = np.where(known & (np.abs(apart) > 0.05), apart > 0, np.nan)
        out[:-1, 4 + number] = np.where(known, sided.sum(-1), np.nan)
    if len(images) > 1:
        change = true.change[0].numpy()
        out[:, 6] = np.where(change == 9, np.nan, change * (images[1] - images[0]))
    return out


def _placed(image: NDArray[np.bool_], tokens: int, shows: int) -> NDArray[np.int64]:
    """`Row.place` from where image tokens stand, of images of so many `tokens` shown so many times."""
    count = np.cumsum(image) - 1
    own = places(tokens).numpy()[count % tokens]
    found: NDArray[np.int64] = np.where(image, own + len(FINDINGS) * (count // (tokens * shows)), -1)
    return found


def _named(ids: list[int], shared: int, words: Vocabulary) -> list[int]:
    """For each token the finding whose name ends there, -1 for none and for the `shared` tokens."""
    out = [-1] * len(ids)
    for number, name in enumerate(FINDINGS):
        spelt = words.encode(f" {name}")
        for start in range(shared, len(ids) - len(spelt) + 1):
            if ids[start] == spelt[0] and ids[start : start + len(spelt)] == spelt:
                out[start + len(spelt) - 1] = number
    return out


def choose(
    pair: Pair, count: int, rng: np.random.Generator, abilities: Sequence[str] = ABILITIES, rounds: int = 2, lists: int = 0, looks: int = 0
) -> list[questions.Item]:
    """At most `count` questions of `abilities` about `pair`, made to share images, order, roles and times so that they pack into one
    row: short answers first, whose few words all hang on the images, then one in free text, then at most `lists` that name several
    findings and `looks` whether and where one finding is in one image. `rounds` draws of questions are mixed."""
    drawn = (item for _ in range(rounds) for item in questions.items(pair, rng))
    every = list({(item.images, item.question): item for item in drawn if item.ability in abilities}.values())
    if not every:
        return []
    view = every[int(rng.integers(len(every)))]
    alike = [item for item in every if item.images == view.images and item.relationship == view.relationship]
    mixed = [alike[int(index)] for index in rng.permutation(len(alike))]
    short = [item for item in mixed if item.kind in CLOSED]
    long = [item for item in mixed if item.kind not in CLOSED]
    kept = short[: max(1, count - 1)]
    named = questions.lists(pair, view, rng) if lists and len(view.images) > 1 else []
    listed = [item for item in named if item.ability in abilities][:lists]
    looked = [item for item in questions.looks(pair, view, rng, looks) if item.ability in abilities]
    return [replace(item, roles=view.roles, whens=view.whens) for item in [*[*kept, *long][:count], *listed, *looked]]
