"""Does the GGUF pair as shipped say what the same numbers say in torch? Image embeddings, log-probabilities and greedy answers.

    python -m finetune.parity --model bundled --pairs 30 --data-root ../data --out docs/model/parity.json

Of each held-out pair one question of every ability is asked. Torch writes its greedy answer; llama.cpp then reads that answer
token by token, as it would write it, so its own answer is the same exactly when its likeliest token is torch's at every place.
Where the two part, the report says how close the call was.

Each question is asked twice more, with the two images exchanged and with image 1 in place of image 2, roles and times staying where
they are: how far that moves the log-probability of the same answer, on either side, is what the second image bears on it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import settings
from errors import TuneError
from finetune import files, heldout, terminal, uncertainty
from finetune.heldout import Held
from finetune.synthesis import questions
from inference import chat, families, manifest, pixels, select, weights
from inference.engine import ABILITIES, Ability, Request
from inference.hardware import physical_cores
from inference.manifest import Manifest
from inference.torch_model import TorchModel
from inference.words import Words

LONGEST = 48
"""Tokens of an answer that are compared."""
SHOWN = 20
"""Answers that part, at most, that the report prints in full."""

Floats = NDArray[np.float64]
Say = Callable[[str], None]
Compared = tuple[str, str, tuple[bool, ...], tuple[float, ...], float]
"""`Answer` from `torch` to `margin`."""


@dataclass(frozen=True)
class Picture:
    """One image's embedding on both sides: smallest cosine of a token, and the norm of the difference over torch's norm."""

    cosine: float
    relative: float


@dataclass(frozen=True)
class Weighed:
    """Log-probability of torch's greedy answer on one side: with the images as given, exchanged, and image 1 in both places."""

    given: float
    exchanged: float
    replaced: float

    @property
    def moved(self) -> float:
        """How far the second image moves it, in nats: the larger of both."""
        return max(abs(self.exchanged - self.given), abs(self.replaced - self.given))


@dataclass(frozen=True)
class Answer:
    """One question on both sides.

    `divergence` is the KL divergence from torch at each place of torch's answer and `agreed` whether the likeliest token is
    the same there; `margin` is how far torch's first choice lay ahead of its second, in probability, where they part (else nan).
    """

    source: str
    patient: str
    ability: Ability
    question: str
    torch: str
    gguf: str
    agreed: tuple[bool, ...]
    divergence: tuple[float, ...]
    margin: float
    full: Weighed
    """Of torch."""
    processor: Weighed
    """Of llama.cpp."""

    @property
    def equal(self) -> bool:
        """The same greedy answer."""
        return all(self.agreed)


class Sides:
    """The model in both forms, in this process."""

    def __init__(self, folder: Path, listed: Manifest, threads: int = 0) -> None:
        from inference.conversation import Conversation
        from inference.llama import Model

        threads = threads or physical_cores()
        text, mmproj = str(folder / listed.text), str(folder / listed.mmproj)
        manifest.refuse_changed(folder, listed, (listed.text, listed.mmproj))
        weights.made(folder, listed)
        manifest.refuse_changed(folder, listed, listed.weights)
        self.listed = listed
        self.torch = TorchModel(Words(families.form(folder / listed.hf, listed.tile)), "cpu", threads)
        self.model = Model(text, mmproj, min(4096, listed.context_tokens), threads)
        self.gguf = Conversation(self.model, 64)
        self.pictures: dict[str, Picture] = {}
        template = chat.template(listed.family)
        self.ends = self.torch.endings(template.closing.name)

    def ask(self, request: Request) -> tuple[list[int], Compared]:
        """Torch's answer as token ids, and beside llama.cpp's. Raises `TuneError` if the two sides read other tokens."""
        self._read(request)
        self._look(request)
        rows = list(self._written())
        return [token for token, _ in rows], self._compared(rows)

    def weigh(self, requests: Sequence[Request], answers: Sequence[Sequence[int]]) -> Iterator[tuple[Weighed, Weighed]]:
        """What image 2 bears on each question's answer (token ids), in torch and in llama.cpp; all show the same two images."""
        first, second = requests[0].images
        found = []
        for shown in ((first, second), (second, first), (first, first)):  # all questions of one order: its images are read once
            images = tuple(replace(told, pixels=one.pixels, sha256=one.sha256) for told, one in zip((first, second), shown, strict=True))
            found.append([self._weighed(replace(request, images=images), ids) for request, ids in zip(requests, answers, strict=True)])
        for orders in zip(*found, strict=True):
            full, processor = zip(*orders, strict=True)
            yield Weighed(*full), Weighed(*processor)

    def _weighed(self, request: Request, ids: Sequence[int]) -> tuple[float, float]:
        self._read(request)
        followed = sum(float(row[token]) for row, token in zip(self.gguf.follow(ids), ids, strict=True))
        return self.torch.score([ids])[0], followed

    def _read(self, request: Request) -> None:
        """Bring both sides to the end of the prompt."""
        segments = chat.request_segments(request, self.listed.family)
        tiles = [pixels.tile(image.pixels, self.listed.tile) for image in request.images]
        keys = self.torch.keys(segments, request.images)
        parts = self.gguf.parts(segments, [(image.sha256, tile) for image, tile in zip(request.images, tiles, strict=True)])
        if keys != [key for part in parts for key in part.keys]:
            raise TuneError(
                f"{request.question!r} has other tokens in llama.cpp than in torch; the tokenizers differ, export the model again"
            )
        for image, tile in zip(request.images, tiles, strict=True):
            if not self.torch.knows(image.sha256):
                self.torch.embed(image.sha256, tile)
        self.torch.read(keys)
        self.gguf.read(parts, LONGEST, lambda _name, _done, _total: None)

    def _look(self, request: Request) -> None:
        for image in request.images:
            if image.sha256 not in self.pictures:
                self.pictures[image.sha256] = picture(self.torch.embedding(image.sha256), self.gguf.embedding(image.sha256))

    def _written(self) -> Iterator[tuple[int, Floats]]:
        """Torch's greedy answer: each token with the log-probabilities it was chosen from, the ending included."""
        for position in range(LONGEST):
            chosen = int(self.torch.after.argmax())
            yield chosen, self.torch.after
            if chosen in self.ends:
                return
            if position + 1 < LONGEST:
                self.torch.extend([chosen])

    def _compared(self, rows: Sequence[tuple[int, Floats]]) -> Compared:
        ids = [token for token, _ in rows]
        agreed, divergence, others = [], [], []
        for (token, wanted), found in zip(rows, self.gguf.follow(ids), strict=True):
            others.append(int(found.argmax()))
            agreed.append(others[-1] == token)
            divergence.append(float((np.exp(wanted) * (wanted - found)).sum()))
        parted = agreed.index(False) if not all(agreed) else len(ids)
        margin = float(np.diff(np.sort(np.exp(rows[parted][1]))[-2:])[0]) if parted < len(ids) else float("nan")
        return self._text(ids), self._text([*ids[:parted], *others[parted : parted + 1]]), tuple(agreed), tuple(divergence), margin

    def _text(self, ids: Sequence[int]) -> str:
        say = self.torch.speaker()
        return "".join(say(token) for token in ids if token not in self.ends)


def picture(wanted: NDArray[np.float32], found: NDArray[np.float32]) -> Picture:
    """How alike two embeddings (tokens, width) of one image are."""
    cosines = (wanted * found).sum(1) / (np.linalg.norm(wanted, axis=1) * np.linalg.norm(found, axis=1))
    return Picture(float(cosines.min()), float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted)))


def asked(test: Held) -> list[tuple[Ability, Request]]:
    """One question of each ability about a pair, drawn by its seed, all with the same images so that they share a prefix."""
    rng = np.random.default_rng([test.pair.seed, 0x9A2])
    drawn = [item for _ in range(4) for item in questions.items(test.pair, rng) if item.images == (0, 1)]
    chosen = {item.ability: item for item in drawn}
    if not chosen:
        return []
    view = next(iter(chosen.values()))
    same = [replace(chosen[ability], roles=view.roles, whens=view.whens) for ability in ABILITIES if ability in chosen]
    films = (test.pair.prior, test.pair.current)
    images = tuple(pixels.image(film, *told) for film, *told in zip(films, view.roles, view.whens, strict=True))
    return [(item.ability, Request(images, item.question, item.ability, item.relationship)) for item in same]


def compare(sides: Sides, tests: Sequence[Held], say: Say = lambda _line: None) -> list[Answer]:
    """Ask both sides about every pair."""
    answers: list[Answer] = []
    started = time.monotonic()
    for number, test in enumerate(tests, 1):
        if not (items := asked(test)):
            continue
        requests = [request for _, request in items]
        told = [sides.ask(request) for request in requests]
        weighed = sides.weigh(requests, [ids for ids, _ in told])
        for (ability, request), (_, found), (full, processor) in zip(items, told, weighed, strict=True):
            answers.append(Answer(test.source, test.pair.patient, ability, request.question, *found, full, processor))
        if number in (3, 10) or number % 20 == 0:
            each = (time.monotonic() - started) / number
            equal = sum(answer.equal for answer in answers)
            say(
                f"{number} of {len(tests)} pairs, {equal} of {len(answers)} answers equal, about {each * (len(tests) - number):.0f} s to go"
            )
    return answers


def report(named: Manifest, pictures: Sequence[Picture], answers: Sequence[Answer], seconds: float) -> dict[str, Any]:
    """`parity.json`: what was compared, how alike it is, and every answer that parts up to `SHOWN`. Raises `TuneError` without answers."""
    if not answers:
        raise TuneError("no question could be asked of these pairs; give more with --pairs")
    agreed = [same for answer in answers for same in answer.agreed]
    divergence = [value for answer in answers for value in answer.divergence]
    parted = [answer for answer in answers if not answer.equal]
    margins = [answer.margin for answer in parted]
    return {
        "model": named.name,
        "revision": named.revision,
        "packages": {name: version(name) for name in ("llama-cpp-python", "torch", "transformers")},
        "images": {
            "count": len(pictures),
            "cosine_min": min(found.cosine for found in pictures),
            "relative_difference_mean": float(np.mean([found.relative for found in pictures])),
            "relative_difference_max": max(found.relative for found in pictures),
        },
        "logits": {
            "places": len(agreed),
            "kl_mean": float(np.mean(divergence)),
            "kl_max": max(divergence),
            "top1_agreement": float(np.mean(agreed)),
        },
        "greedy": _share(answers)
        | {
            "by_ability": {ability: _share([a for a in answers if a.ability == ability]) for ability in ABILITIES},
            "by_source": {source: _share([a for a in answers if a.source == source]) for source in sorted({a.source for a in answers})},
            "margin_where_they_part": {"median": float(np.median(margins)), "max": max(margins)} if margins else {},
        },
        "second_image": second_image(answers),
        "parted": [
            {**{key: value for key, value in asdict(answer).items() if key not in ("agreed", "divergence", "patient")}}
            for answer in parted[:SHOWN]
        ],
        "longest_answer_tokens": LONGEST,
        "seconds": round(seconds, 1),
    }


def second_image(answers: Sequence[Answer]) -> dict[str, Any]:
    """In how many questions exchanging or replacing image 2 moves the greedy answer by more than rounding, on either side.

    `rounding` is measured too, in nats: the most by which the two sides differ on the same answer and images.
    """
    rounding = max(abs(answer.full.given - answer.processor.given) for answer in answers)
    sides = {"gguf": [answer.processor for answer in answers], "torch": [answer.full for answer in answers]}
    return {"asked": len(answers), "rounding": rounding} | {
        side: {
            "moved": sum(one.moved > rounding for one in weighed),
            "by_exchange": sum(abs(one.exchanged - one.given) > rounding for one in weighed),
            "by_replacement": sum(abs(one.replaced - one.given) > rounding for one in weighed),
            "median": float(np.median([one.moved for one in weighed])),
        }
        for side, weighed in sides.items()
    }


def _share(answers: Sequence[Answer]) -> dict[str, Any]:
    """Equal answers of those asked, with the interval by patient."""
    values = [float(answer.equal) for answer in answers]
    low, high = uncertainty.bootstrap(values, [answer.patient for answer in answers]) if answers else (float("nan"), float("nan"))
    share = float(np.mean(values)) if values else None
    return {"asked": len(values), "equal": int(sum(values)), "share": share, "low": _known(low), "high": _known(high)}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def measure(model: str, pairs: int, data_root: Path | None, data_dir: Path | None = None, say: Say = lambda _line: None) -> dict[str, Any]:
    """The whole report of `model`: `pairs` pairs of each source. Raises `ModelNotLoaded`, `TuneError`."""
    named = select.resolve(settings.load(data_dir=data_dir), model)
    has = named.manifest.engines
    if set(has) != {"gguf", "torch"}:
        raise TuneError(f"{model} has files for {', '.join(has) or 'no engine'} alone; parity needs a GGUF pair and transformers weights")
    started = time.monotonic()
    tests = heldout.draw(pairs, named.manifest.tile, data_root)
    say(f"comparing {named.manifest.name} {named.manifest.revision} on {len(tests)} held-out pairs, {len(ABILITIES)} questions each")
    sides = Sides(named.folder, named.manifest)
    answers = compare(sides, tests, say)
    return report(named.manifest, list(sides.pictures.values()), answers, time.monotonic() - started)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m finetune.parity", description="Compare a model's GGUF pair with its torch weights.")
    parser.add_argument("--model", default="bundled", help="name or folder of a model that has both")
    parser.add_argument("--pairs", type=int, default=15, help="held-out pairs of each source; four questions each")
    parser.add_argument("--data-root", type=Path, help="folder of the folders of real films; without it the phantom alone is asked about")
    parser.add_argument("--data-dir", type=Path, help="where the model is; by default Interval's own data directory")
    parser.add_argument("--out", type=Path, required=True, help="file of the report, such as docs/model/parity.json")
    given = parser.parse_args(arguments)

    def work() -> str:
        found = measure(given.model, given.pairs, given.data_root, given.data_dir, terminal.say)
        files.write_json(given.out, found)
        greedy = found["greedy"]
        return f"{greedy['equal']} of {greedy['asked']} greedy answers equal; KL {found['logits']['kl_mean']:.5f}; {given.out}"

    return terminal.run(work)


if __name__ == "__main__":
    sys.exit(main())
