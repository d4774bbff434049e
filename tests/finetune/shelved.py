"""Dataset versions of a few lines on tiny pictures, written as `finetune build` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finetune.versions import shelf
from finetune.versions.drafts import Look
from finetune.versions.lines import Line
from finetune.versions.stock import Stock
from settings import Settings
from tests.finetune import tiny_families

ANSWERS = ("worse", "improved", "stable")


def line(stock: Stock, paths: list[Path], number: int, **changes: Any) -> Line:
    """A corrected line about a pair, prior first."""
    shown = tuple(stock.keep(Look(path, path.name, role)) for path, role in zip(paths, ("prior", "current"), strict=False))
    told: dict[str, Any] = {
        "question": f"What changed in {number}?",
        "answer": ANSWERS[number % 3],
        "ability": "temporal",
        "relationship": "temporal",
        "source": "feedback",
        "kind": "corrected",
        "item": str(number + 1),
        "patient": f"p{number}",
    }
    return Line(shown, **{**told, **changes})


def version(settings: Settings, name: str = "v1", count: int = 6, held: int = 2) -> shelf.Version:
    """`count` lines to learn, `held` lines held back, and a preference for each line to learn."""
    paths = tiny_families.pictures(settings.data_dir / "pictures")
    stock = Stock(settings.versions_dir)
    made = [line(stock, [paths[number % 4], paths[(number + 1) % 4]], number) for number in range(count + held)]
    prefer = [
        line(stock, [paths[number % 4], paths[(number + 1) % 4]], number, rejected=ANSWERS[(number + 1) % 3], codes=("other",))
        for number in range(count)
    ]
    return shelf.write(settings.versions_dir, name, shelf.Contents(tuple(made[:count]), tuple(made[count:]), tuple(prefer)), {})
