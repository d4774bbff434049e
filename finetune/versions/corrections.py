"""What readers said and reviewers let through, as drafts: corrected answers, corrected cells, answers agreed with, preferences.

    gather(store.accepted(), render, folder)        # `render` gives an item's images as the model was shown them

Pictures are written as the model saw them; an item that can no longer be shown so is left out, and so is one that says only
that an answer is wrong. What a reader agrees with of what is yet to come is no truth of the images, so a forecast is left out too,
unless it was flagged as one told as fact and its words were corrected.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image as Pillow

from errors import IntervalError
from finetune.versions.drafts import Draft, Drafted, Look
from finetune.versions.lines import FEEDBACK, Line
from finetune.versions.mirrors import CLASS
from inference.closed import of_change
from inference.engine import Image
from inference.said import direction
from storage import horizons
from storage.feedback import WHOLE
from storage.reviewed import Reviewed

Render = Callable[[Reviewed], Sequence[Image]]
MEANT = {"larger": "worse", "smaller": "improved", "same": "stable"}
UNSAID, CHANGED, AHEAD = "flagged without a correction", "no longer shown as the model saw it", "a forecast, which no image shows"


def gather(accepted: Sequence[Reviewed], render: Render, folder: Path) -> Drafted:
    """Drafts of every accepted item, oldest first; their pictures go into `folder`."""
    drafts: list[Draft] = []
    gone: Counter[str] = Counter()
    for item in accepted:
        found = tuple(_drafts(item))
        if not found or _ahead(item):
            gone[AHEAD if found else UNSAID] += 1
            continue
        looks = _looks(item, render, folder)
        if looks is None:
            gone[CHANGED] += 1
            continue
        drafts += [replace(draft, looks=looks) for draft in found]
    told = json.dumps([[item.feedback, item.created.isoformat(), item.reader] for item in accepted])
    return Drafted(FEEDBACK, hashlib.sha256(told.encode()).hexdigest(), tuple(drafts), tuple(gone.items()))


def _ahead(item: Reviewed) -> bool:
    """Whether the item would teach what is yet to come."""
    told_as_fact = "forecast-as-fact" in item.codes and bool(item.corrected_answer.strip())
    return horizons.asked(item.question) is not None and not told_as_fact


def _drafts(item: Reviewed) -> Iterator[Draft]:
    """Every line that an item gives, without images."""
    answer, model = item.corrected_answer.strip(), item.answer.strip()
    if answer and answer != model:
        yield Draft(_line(item, item.question, answer, "corrected"), (), item.answer)
    elif item.verdict == "agree" or answer:
        yield Draft(_line(item, item.question, item.answer, "agreed"), (), item.rejected_answer)
    elif item.rejected_answer:
        yield Draft(_line(item, item.question, item.answer, "preferred"), (), item.rejected_answer)
    for finding, found in item.cells.items():
        said = _read(item, finding)
        asked = of_change(len(item.images), "" if finding == WHOLE else finding)
        question = asked.asked(asked.classes)
        line = replace(_line(item, question, found, "cell"), ability="temporal", relationship="temporal", label=found)
        yield Draft(line, (), "" if said == found else said)


def _line(item: Reviewed, question: str, answer: str, kind: str) -> Line:
    return Line(
        (),
        question,
        answer,
        item.ability,
        item.relationship,
        FEEDBACK,
        kind,
        str(item.feedback),
        " & ".join(item.patients) or f"case {item.session}",
        item.modality,
        CLASS.get(answer.strip().rstrip(".").lower(), "") or MEANT.get(direction(answer), ""),
        item.codes,
        str(item.reader),
        clinical=item.clinical.labelled,
    )


def _read(item: Reviewed, finding: str) -> str:
    """The class that the model gave a finding, or the disease as a whole; `` when it gave none."""
    overall = item.checks.get("overall") if finding == WHOLE else None
    shares = item.progression.get(finding, overall if isinstance(overall, dict) else {})
    return max(shares, key=lambda name: shares[name], default="")


def _looks(item: Reviewed, render: Render, folder: Path) -> tuple[Look, ...] | None:
    """The item's pictures as files; without a file where the study is gone, None where they would be others than the model saw."""
    names = [image.tile_sha256 for image in item.images]
    try:
        shown = render(item)
    except IntervalError:
        return tuple(Look(None, name, image.slot.role, image.slot.when) for name, image in zip(names, item.images, strict=True))
    if [image.sha256 for image in shown] != names:
        return None
    return tuple(Look(_written(image, folder), image.sha256, image.role, image.when) for image in shown)


def _written(image: Image, folder: Path) -> Path:
    path = folder / f"{image.sha256}.png"
    if not path.is_file():
        Pillow.fromarray(image.pixels).save(path)
    return path
