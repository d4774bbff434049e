"""What a version is looked at for before anybody trains on it; each fault has a name, and is refused or counted, never passed over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune import families, preflight
from finetune.encoding import Words
from finetune.examples import Example, FilePicture
from finetune.families import Form
from finetune.versions.lines import Line
from inference import manifest
from inference.closed import LETTERS, options
from inference.manifest import MANIFEST
from inference.prompts import OVERALL, OVERALL_QUESTION, PROGRESSION, progression_question

PLACE = "<image>"
ASKED, ANSWERED = progression_question("\n").split("\n")
TWICE, CONTRADICTS = "said twice", "contradicts another line"


@dataclass(frozen=True)
class Room:
    """What lines must fit into: a model's form and words, and `tokens` for images, question and answer."""

    form: Form
    words: Words
    tokens: int


def room(folder: Path, tokens: int = 0) -> Room:
    """The room of a model folder; `tokens` 0 takes its context. Raises `TuneError` for a folder that cannot be tuned."""
    inner = folder / manifest.read(folder).hf if (folder / MANIFEST).is_file() else folder
    form = families.form(inner)
    return Room(form, Words(form), min(tokens or form.context, form.context))


def fault(line: Line, folder: Path, given: Room | None) -> str:
    """What is wrong with a line of the version in `folder`, `` when nothing is."""
    if line.question.count(PLACE) or line.answer.count(PLACE):
        return "an image's place stands in its words"
    if wrong := outside(line):
        return wrong
    shown = tuple(FilePicture((folder / image.path).resolve()) for image in line.images)
    roles, whens = tuple(image.role for image in line.images), tuple(image.when for image in line.images)
    longest = max(line.answer, line.rejected, key=len)
    example = Example(line.item, shown, line.question, longest, line.ability, line.relationship, roles, whens, clinical=line.clinical)
    if given is None:
        return "" if line.images and line.answer.strip() and line.question.strip() else "no image, no question or no answer"
    return preflight.fault(example, given.form, given.words, given.tokens)[0]


def outside(line: Line) -> str:
    """Whether the answer is none of those that the question allows."""
    said, question = line.answer.strip(), line.question
    if question == OVERALL_QUESTION:
        return "" if said in (*OVERALL, "uncertain") else "an answer its question does not allow"
    if question.startswith(ASKED) and question.endswith(ANSWERED):
        return "" if said in PROGRESSION else "an answer its question does not allow"
    listed = options(question)
    letter, mark, _ = said.partition(":")
    if listed is not None and (mark or len(said) == 1):
        return "" if letter.strip() in LETTERS[: len(listed.classes)] else "an answer its question does not allow"
    return ""


def single(lines: Sequence[Line]) -> tuple[list[Line], Counter[str]]:
    """Each line once, and none that answers the same question about the same images otherwise than another; what was left out.

    A reader's line goes before a file's; among equals all that contradict each other are left out.
    """
    gone: Counter[str] = Counter()
    first: dict[tuple[object, ...], Line] = {}
    for line in lines:
        if line.said in first:
            gone[TWICE] += 1
        else:
            first[line.said] = line
    answers: dict[tuple[object, ...], list[Line]] = {}
    for line in first.values():
        answers.setdefault(line.asked, []).append(line)
    kept = []
    for line in first.values():
        rivals = [other for other in answers[line.asked] if other.answer.strip().lower() != line.answer.strip().lower()]
        if any(bool(other.reader) >= bool(line.reader) for other in rivals):
            gone[CONTRADICTS] += 1
        else:
            kept.append(line)
    return kept, gone
