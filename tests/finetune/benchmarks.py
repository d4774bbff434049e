"""A small benchmark file in the published schema with images of its own, and engines whose answers are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from inference.engine import Request
from inference.probes import GREY
from tests.fakes import FakeEngine

NAME = "Med_MIM_benchmark_Held_out_RAD.json"
TEXTS = ("Only the first image is bright.", "Both images are bright.", "Neither image is bright at all.")
Raw = dict[str, object]


def closed(number: int, images: Sequence[str], gold: int, stem: str = "Which statement holds?", source: str = "VQA_RAD") -> Raw:
    """A closed question with three options; `gold` is the place of the right one."""
    options = "\n".join(f"{'ABC'[place]}: {text}" for place, text in enumerate(TEXTS))
    question = f"{'<image>' * len(images)}{stem}\n{options}\n"
    return item(number, images, question, f"{'ABC'[gold]}: {TEXTS[gold]}", source)


def item(number: int, images: Sequence[str], question: str, answer: str, source: str = "VQA_RAD") -> Raw:
    """One element of the list."""
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"id": f"item-{number}", "images": list(images), "conversation": turns, "source": source}


def film(path: Path, brightness: int, size: tuple[int, int] = (40, 32)) -> str:
    """An even grey PNG of (height, width); its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.full(size, brightness, np.uint8)).save(path)
    return path.name


def written(path: Path, items: Sequence[Raw]) -> Path:
    """The items as a file."""
    path.write_text(json.dumps(items), encoding="utf-8")
    return path


def bright(folder: Path, count: int = 12, name: str = NAME) -> tuple[Path, Path]:
    """(file, image folder): `count` closed questions whose answer is seen in the brightness of two images, and one open one.

    Truth depends on the images alone: 0 first bright and second dark, 1 both bright, 2 both dark.
    """
    root = folder / "images"
    items = []
    for number in range(count):
        truth = number % 3
        first, second = (220 if truth < 2 else 20 + number, 200 - number if truth == 1 else 10 + number)
        images = [film(root / f"{number}-a.png", first), film(root / f"{number}-b.png", second, (40, 32 + number % 2))]
        items.append(closed(number, images, truth))
    words = "The first image is brighter."
    items.append(item(count, [film(root / "o-a.png", 230), film(root / "o-b.png", 15)], "<image><image>Which is brighter?", words))
    return written(folder / name, items), root


def seen(request: Request) -> str:
    """The right option's text by looking at the images; `` when they are grey."""
    first, second = (int(image.pixels.mean()) for image in request.images)
    if first == second == GREY:
        return ""
    return TEXTS[2 if first < 128 else 1 if second > 128 else 0]


def letters(request: Request) -> dict[str, str]:
    """Text of each option offered, by letter."""
    lines = (line.partition(": ") for line in request.question.splitlines())
    return {letter: text for letter, mark, text in lines if mark and len(letter) == 1}


def choosing(choose: Callable[[Request, Mapping[str, str]], str]) -> FakeEngine:
    """An engine that is nearly sure of the letter that `choose` makes of the request and its options, and answers with it."""

    def score(request: Request) -> dict[str, float]:
        offered = letters(request)
        chosen = choose(request, offered)
        return {letter: -0.1 if letter == chosen else -4.0 - place / 100 for place, letter in enumerate(offered)}

    return FakeEngine(lambda request: f"{choose(request, letters(request))}: it is so" if letters(request) else "The first.", scores=score)


def oracle() -> FakeEngine:
    """Looks at the images and is right; says A where there is nothing to see."""
    return choosing(lambda request, offered: next((letter for letter, text in offered.items() if text == seen(request)), "A"))


def blind() -> FakeEngine:
    """Chooses the same text whatever is shown."""
    return choosing(lambda request, offered: next(letter for letter, text in offered.items() if text == TEXTS[0]))


def stubborn() -> FakeEngine:
    """Always says A."""
    return choosing(lambda request, offered: "A")
