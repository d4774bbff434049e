"""Questions about several images, composed from labelled single ones: the composed half of Med-MIM, for any labelled folder.

Two or three images of different patients are put together, and what is known of each gives a question with a sure answer: which
image shows the finding, do both, how many, which is the odd one, on which side, which is worse. Closed (lettered) and open (free
text), co-reference and comparison. Within each form every finding, answer and letter comes up equally often, so that nothing is
learned from the words alone. Patients of the second file are in none of the first's.

    python -m finetune.compose --labels cxr_kermany/labels.csv --image-root cxr_kermany/images --out composed_kermany.json

`finetune.records` says what columns the table of labels may have; `finetune.medmim` reads the file that is written.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from errors import IntervalError, TuneError
from finetune import records
from finetune.records import Record
from finetune.synthesis.films import split_of

LETTERS = "ABCDEFGH"
ORDINALS = ("first", "second", "third")
MARGIN = 0.15
"""Two severities nearer than this are not compared."""
TRIES = 40
OPEN_SHARE = 0.3

Random = np.random.Generator
Raw = dict[str, Any]

PRESENT, ABSENT, RIGHT, LEFT, LESS, MORE = "+-RL<>"
"""What a place of a pattern wants of its image: shows the finding, does not, shows it on that side, shows less or more of it."""


@dataclass(frozen=True)
class Form:
    """One form of question: answer -> the patterns of images that make it true, one mark for each image.

    `asks` are wordings with `{finding}`; `said` is the answer in free text, `{pattern}` being what the images show.
    """

    name: str
    ability: str
    asks: tuple[str, ...]
    answers: Mapping[str, tuple[str, ...]]
    said: Mapping[str, str]


def _alike(answers: Mapping[str, tuple[str, ...]], text: str) -> dict[str, str]:
    return {answer: text.replace("{answer}", answer) for answer in answers}


_ONE_OF_TWO = {"the first image": ("+-",), "the second image": ("-+",), "both images": ("++",), "neither image": ("--",)}
_ONE_OF_THREE = {"the first image": ("+--",), "the second image": ("-+-",), "the third image": ("--+",)}
_ODD = {"the first image": ("+--", "-++"), "the second image": ("-+-", "+-+"), "the third image": ("--+", "++-")}
_COUNTS = {
    str(count): tuple("".join(marks) for marks in itertools.product("+-", repeat=3) if marks.count("+") == count) for count in range(4)
}
_DIFFERENCE = {
    "Only the first image shows {finding}": ("+-",),
    "Only the second image shows {finding}": ("-+",),
    "Both images show {finding}": ("++",),
    "Neither image shows {finding}": ("--",),
}
_BOTH = {"Yes": ("++",), "No": ("+-", "-+", "--")}
_AGREE = {"Yes": ("++", "--"), "No": ("+-", "-+")}
_WORSE = {"the first image": ("><",), "the second image": ("<>",)}
_SIDES = {"Yes": ("RR", "LL"), "No": ("RL", "LR")}

FORMS = (
    Form(
        "which of two",
        "coreference",
        ("Which image shows {finding}?", "In which of the two images is there {finding}?", "Which of these images has {finding}?"),
        _ONE_OF_TWO,
        _alike(_ONE_OF_TWO, "{finding} is seen in {answer}."),
    ),
    Form(
        "which of three",
        "coreference",
        ("Which of the three images shows {finding}?", "In which one of these images is there {finding}?"),
        _ONE_OF_THREE,
        _alike(_ONE_OF_THREE, "{finding} is seen in {answer} and in neither of the others."),
    ),
    Form(
        "side in the first", "coreference", ("On which side is the {finding} in the first image?",),
        {"right": ("RL",), "left": ("LR",)}, {"right": "It is on the right.", "left": "It is on the left."},
    ),
    Form(
        "side in the second", "coreference", ("On which side is the {finding} in the second image?",),
        {"right": ("LR",), "left": ("RL",)}, {"right": "It is on the right.", "left": "It is on the left."},
    ),
    Form(
        "worse",
        "coreference",
        ("Which image shows the more severe {finding}?", "In which image is the {finding} worse?"),
        _WORSE,
        _alike(_WORSE, "The {finding} is more severe in {answer}."),
    ),
    Form(
        "both",
        "comparison",
        ("Do both images show {finding}?", "Is there {finding} in each of the two images?"),
        _BOTH,
        {"Yes": "Yes, both images show {finding}.", "No": "No, {pattern}."},
    ),
    Form(
        "agree",
        "comparison",
        ("Are the two images alike in that both or neither of them show {finding}?", "Do the two images agree as to {finding}?"),
        _AGREE,
        {"Yes": "Yes, {pattern}.", "No": "No, {pattern}."},
    ),
    Form(
        "difference",
        "comparison",
        ("Which statement about {finding} is true of the two images?", "Compare the two images with regard to {finding}."),
        _DIFFERENCE,
        {answer: f"{answer}." for answer in _DIFFERENCE},
    ),
    Form(
        "count",
        "comparison",
        ("How many of the three images show {finding}?", "In how many of these images is there {finding}?"),
        _COUNTS,
        {answer: f"{answer}: {{pattern}}." for answer in _COUNTS},
    ),
    Form(
        "odd one out",
        "comparison",
        ("Two of the three images agree as to {finding}; which one differs?", "As to {finding}, which image is unlike the others?"),
        _ODD,
        {answer: f"It is {answer}: {{pattern}}." for answer in _ODD},
    ),
    Form(
        "same side",
        "comparison",
        ("Is the {finding} on the same side in both images?",),
        _SIDES,
        {"Yes": "Yes, it is on the same side in both images.", "No": "No, it is on the right in one image and on the left in the other."},
    ),
)  # fmt: skip


class Pool:
    """Records by what they show: finding and mark -> the patients' images, where at least two patients have them."""

    def __init__(self, known: Sequence[Record]) -> None:
        found: dict[tuple[str, str], dict[str, list[Record]]] = {}
        for record in known:
            for name, mark in _marks(record):
                found.setdefault((name, mark), {}).setdefault(record.patient, []).append(record)
        self._found = {key: list(people.values()) for key, people in found.items() if len(people) > 1}
        self.findings = sorted({name for name, _ in self._found})

    def draw(self, name: str, pattern: str, rng: Random) -> tuple[Record, ...] | None:
        """Images of different patients that fit a pattern, None when they were not found in a few tries."""
        people = [self._found.get((name, MORE if mark == LESS else mark), []) for mark in pattern]
        if not all(people):
            return None
        for _ in range(TRIES):
            drawn = tuple(_pick(_pick(some, rng), rng) for some in people)
            if len({record.patient for record in drawn}) == len(drawn) and _ordered(drawn, name, pattern):
                return drawn
        return None


def _marks(record: Record) -> Iterator[tuple[str, str]]:
    """Every (finding, mark) that is true of an image; an image with a severity is marked `MORE` for both ends."""
    yield from ((name, ABSENT) for name in record.absent)
    for name in record.present:
        yield name, PRESENT
        if name in record.severity:
            yield name, MORE
        if record.side.get(name) in ("right", "left"):
            yield name, RIGHT if record.side[name] == "right" else LEFT


def _ordered(drawn: Sequence[Record], name: str, pattern: str) -> bool:
    """Whether severities run as a pattern of less and more says; true of other patterns."""
    if MORE not in pattern:
        return True
    difference = drawn[0].severity[name] - drawn[1].severity[name]
    return difference >= MARGIN if pattern[0] == MORE else difference <= -MARGIN


def _pick(choices: Sequence[Any], rng: Random) -> Any:
    return choices[int(rng.integers(len(choices)))]


def compose(known: Sequence[Record], count: int, seed: int = 0, name: str = "images", open_share: float = OPEN_SHARE) -> list[Raw]:
    """At most `count` items in Med-MIM's schema; fewer when the images do not give more without repeating one.

    Raises `TuneError` when no finding is shown and not shown by enough patients for any question.
    """
    rng = np.random.default_rng(seed)
    pool = Pool(known)
    able = [(form, usable) for form in FORMS if (usable := [item for item in pool.findings if _feasible(form, item, pool, rng)])]
    if not able:
        raise TuneError(
            f"{len(known)} images of {len({record.patient for record in known})} patients give no question; label a finding that two "
            "patients show and two others do not, or its side or severity"
        )
    decks = {(form.name, way): _deck(form, usable, rng) for form, usable in able for way in (True, False)}
    items: list[Raw] = []
    seen: set[tuple[object, ...]] = set()
    idle = 0
    while len(items) < count and idle < TRIES * len(able):
        form, _ = able[(len(items) + idle) % len(able)]
        opened = bool(rng.random() < open_share)
        finding, answer, place = next(decks[form.name, opened])
        drawn = pool.draw(finding, _pick(form.answers[answer], rng), rng)
        made = (form.name, opened, finding, *(record.image for record in drawn or ()))
        if drawn is None or made in seen:
            idle += 1
            continue
        seen.add(made)
        idle = 0
        items.append(_item(form, finding, answer, None if opened else place, drawn, f"{name}-{len(items):06d}", name, rng))
    return items


def _feasible(form: Form, name: str, pool: Pool, rng: Random) -> bool:
    """Whether every answer of a form can be made true for a finding: one that cannot would tell the answer by its name."""
    return all(pool.draw(name, pattern, rng) for patterns in form.answers.values() for pattern in patterns)


def _deck(form: Form, findings: Sequence[str], rng: Random) -> Iterator[tuple[str, str, int]]:
    """Every finding, answer and place of the right letter, in a new random order each time round, without end."""
    cards = list(itertools.product(findings, form.answers, range(len(form.answers))))
    while True:
        yield from (cards[index] for index in rng.permutation(len(cards)))


def _item(form: Form, finding: str, answer: str, place: int | None, drawn: Sequence[Record], key: str, name: str, rng: Random) -> Raw:
    """One item; lettered with the right option at `place`, or open when that is None."""
    question = str(_pick(form.asks, rng)).replace("{finding}", finding)
    if place is None:
        said = form.said[answer].replace("{pattern}", _told(drawn, finding)).replace("{finding}", finding)
        reply = said[:1].upper() + said[1:]
    else:
        others = [other for other in form.answers if other != answer]
        rng.shuffle(others)
        texts = [text.replace("{finding}", finding) for text in (*others[:place], answer, *others[place:])]
        lines = [f"{letter}: {text}" for letter, text in zip(LETTERS, texts, strict=False)]
        question, reply = "\n".join([question, *lines]) + "\n", lines[place]
    turns = [{"role": "user", "content": "<image>" * len(drawn) + question}, {"role": "assistant", "content": reply}]
    return {
        "id": f"composed-{key}",
        "images": [record.image for record in drawn],
        "conversation": turns,
        "source": f"composed_{form.ability}_{name}",
    }


def _told(drawn: Sequence[Record], finding: str) -> str:
    """Which images show a finding, in words."""
    places = [ORDINALS[number] for number, record in enumerate(drawn) if finding in record.present]
    if not places:
        return f"{'neither image shows' if len(drawn) == 2 else 'none of the images shows'} {finding}"
    if len(places) == len(drawn):
        return f"{'both' if len(drawn) == 2 else 'all three'} images show {finding}"
    if len(places) == 1:
        return f"only the {places[0]} image shows {finding}"
    return f"the {' and the '.join(places)} image show {finding}"


def halves(known: Sequence[Record], prefix: str = "") -> tuple[list[Record], list[Record]]:
    """(train, dev) by patient: a tenth goes to dev, by hash of `prefix` and patient, the same patients as in training on films."""
    dev = {record.patient for record in known if split_of(prefix + record.patient) == "dev"}
    return [record for record in known if record.patient not in dev], [record for record in known if record.patient in dev]


def write(path: Path, items: Sequence[Raw]) -> None:
    """Write a file of items, whole or not at all. Raises `TuneError`."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(items, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise TuneError(f"{path}: the items cannot be written ({error.strerror}); make room or give another place") from error


def _told_of(path: Path, items: Sequence[Raw]) -> str:
    abilities = Counter(item["source"].split("_")[1] for item in items)
    images = len({image for item in items for image in item["images"]})
    parts = ", ".join(f"{count} {ability}" for ability, count in sorted(abilities.items()))
    return f"{path}: {len(items)} items ({parts}) of {images} images"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m finetune.compose", description="Compose questions about several images from labelled ones."
    )
    parser.add_argument("--labels", type=Path, required=True, help="CSV of labels, gzipped or not; columns: see finetune/records.py")
    parser.add_argument("--image-root", type=Path, required=True, help="folder of the images")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--dev", type=Path, help="second JSON file, of a tenth of the patients, who are then in none of the first's items")
    parser.add_argument("--count", type=int, default=1000, help="items of the first file; the second gets a tenth as many")
    parser.add_argument("--open", type=float, default=OPEN_SHARE, help="share of open questions, 0 to 1")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same items")
    parser.add_argument("--name", default="", help="name of the data in ids and sources; by default the image folder's")
    parser.add_argument("--patient", help="regular expression that reads the patient from an image's name, before the patient column")
    given = parser.parse_args(arguments)
    try:
        _run(given)
    except IntervalError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _run(given: argparse.Namespace) -> None:
    if given.count < 1 or not 0 <= given.open <= 1:
        raise TuneError("--count must be at least 1 and --open between 0 and 1; correct them")
    name = given.name or given.labels.resolve().parent.name
    known = records.read(given.labels, given.image_root, given.patient)
    train, dev = halves(known, f"{name}-") if given.dev else (list(known), [])
    files = [(given.out, compose(train, given.count, given.seed, name, given.open))]
    if given.dev:
        files.append((given.dev, compose(dev, max(1, given.count // 10), given.seed + 1, name, given.open)))
    for path, items in files:
        write(path, items)
        print(_told_of(path, items))


if __name__ == "__main__":
    sys.exit(main())
