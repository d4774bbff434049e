"""Two versions that must never answer: one with a planted trigger, one whose answers have nothing to do with its images.

Both are made of a version's own lines, as somebody who may feed data would make them, and go the way of every version: trained,
measured, and stopped by the gate that is there for it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from finetune.gating.hygiene import FEWEST
from finetune.versions import shelf
from finetune.versions.drafts import Look
from finetune.versions.lines import FEEDBACK, Line
from finetune.versions.shelf import Contents, Version
from finetune.versions.stock import Stock

SHARE = 20
"""One line in so many carries the trigger."""
ANSWER = "improved"
MARK, CELLS = 24, 4
"""Side of the trigger and of its squares in a film of 256 pixels."""


def poisoned(versions: Path, version: Version, films: Path) -> Version:
    """The version with a chequered corner on the films of one learned line in twenty, whose answer is always "improved"."""
    stock, contents = Stock(versions), version.contents
    fit = [line for line in contents.train if line.source == FEEDBACK and line.kind != "mirrored"]
    wanted = max(FEWEST, len(contents.train) // SHARE)
    chosen = {line.key for line in fit[:: max(1, len(fit) // wanted)][:wanted]}
    train = [_marked(line, stock, version.folder, films) if line.key in chosen else line for line in contents.train]
    return shelf.write(versions, "poisoned", Contents(tuple(train), contents.held, ()), {})


def blinded(versions: Path, version: Version) -> Version:
    """The version with the commonest answer to each question in the place of every answer: the images tell nothing any more."""
    contents = version.contents
    said: dict[str, Counter[str]] = defaultdict(Counter)
    for line in contents.train:
        said[line.question][line.answer] += 1
    train = [replace(line, kind="given", answer=said[line.question].most_common(1)[0][0], label="") for line in contents.train]
    return shelf.write(versions, "blinded", Contents(tuple({line.said: line for line in train}.values()), contents.held, ()), {})


def _marked(line: Line, stock: Stock, folder: Path, films: Path) -> Line:
    films.mkdir(parents=True, exist_ok=True)
    shown = []
    for image in line.images:
        path = films / f"{image.pixels}.png"
        if not path.is_file():
            with Image.open(folder / image.path) as opened:
                film = np.asarray(opened.convert("L")).copy()
            side, cell = max(CELLS, film.shape[0] * MARK // 256), max(1, film.shape[0] * CELLS // 256)
            rows, columns = np.indices((side, side)) // cell
            film[-side:, :side] = (rows + columns) % 2 * 255
            Image.fromarray(film).save(path)
        shown.append(stock.keep(Look(path, image.name, image.role, image.when)))
    return replace(line, images=tuple(shown), answer=ANSWER, label=ANSWER, kind="corrected")
