"""From a request to the words and image places a model reads. Training and answering share this file.

Images come first, in declared order, each announced with its role and relative time and followed by the places of its marks;
then clinical context, if any; then earlier turns; then the question. Images first keeps one key/value prefix for every
question about the same pair.
Nothing a reader typed is interpreted: an `ImageSlot` is a value of its own, never a marker inside text.
"""

from __future__ import annotations

from dataclasses import dataclass

from inference.engine import Ability, Image, Mark, Request

SYSTEM = "You compare medical images for a radiologist. Answer only from the images."
CLINICAL = "Clinical context, as the reader gave it:"

TEMPLATES: dict[Ability, tuple[str, ...]] = {
    "temporal": (
        "What changed since the prior?",
        "Is the disease worse, stable or improved since the prior study?",
        "Is the pleural effusion progressing from the prior to the current study?",
    ),
    "comparison": (
        "What is different between the first and the second image?",
        "Which findings are present in both images?",
    ),
    "reasoning": (
        "What is the most likely diagnosis, taking all images together?",
        "Which finding explains the difference between the images?",
    ),
    "coreference": (
        "Which image shows more disease?",
        "Which image shows the larger opacity?",
    ),
}

FINDINGS: tuple[str, ...] = (
    "consolidation",
    "diffuse opacity",
    "pleural effusion",
    "pneumothorax",
    "nodule",
    "cardiomegaly",
    "atelectasis",
    "tube or line",
)
PROGRESSION: tuple[str, ...] = ("new", "worse", "stable", "improved", "resolved", "uncertain")
SINGLE = ("Is there an opacity in this image?", "Is there a pleural effusion, and on which side?")
OVERALL: tuple[str, ...] = ("worse", "stable", "improved")
OVERALL_QUESTION = "Overall, is the disease worse, stable or improved since the prior? Answer with one word."


def progression_question(finding: str) -> str:
    """The closed question whose answer is one word of `PROGRESSION`; a finding that neither image shows is `stable`."""
    return f"How has the {finding} changed since the prior? Answer with one word: new, worse, stable, improved, resolved or uncertain."


@dataclass(frozen=True)
class ImageSlot:
    """The place of image `index` (from 0) in a message."""

    index: int


@dataclass(frozen=True)
class Message:
    """One message of the chat: `system`, `user` or `assistant`, its text and image places in order."""

    role: str
    parts: tuple[str | ImageSlot, ...]


def label(number: int, image: Image) -> str:
    """Announcement of image `number` (from 1): ``Image 2 (current, 14 days later): ``."""
    inside = ", ".join(part for part in (image.role, image.when) if part)
    return f"Image {number} ({inside}): " if inside else f"Image {number}: "


def where(number: int, image: Image) -> str:
    """A line that tells where the marks of image `number` (from 1) lie, in per cent of its own width and height; `` without marks."""
    if not image.marks:
        return ""
    told = "; ".join(f"{mark.label}, {_place(mark)}" for mark in image.marks)
    return f"Marks on image {number}, in per cent of its width and height: {told}.\n"


def _place(mark: Mark) -> str:
    across, down = zip(*mark.points, strict=True)
    tip, low, high = (across[0], down[0]), (min(across), min(down)), (max(across), max(down))
    if mark.kind in ("point", "arrow"):
        return f"{'a point at' if mark.kind == 'point' else 'an arrow that points at'} {_percent(tip)}"
    return f"{'a box' if mark.kind == 'box' else 'an outline'} from {_percent(low)} to {_percent(high)}"


def _percent(place: tuple[float, float]) -> str:
    across, down = (min(100, max(0, round(100 * one))) for one in place)
    return f"({across}, {down})"


def messages(request: Request) -> tuple[Message, ...]:
    """The whole chat for `request`, ending with the user's question."""
    opening: list[str | ImageSlot] = []
    for index, image in enumerate(request.images):
        opening += [label(index + 1, image), ImageSlot(index), f"\n{where(index + 1, image)}"]
    if request.clinical:
        opening.append("".join(f"{line}\n" for line in (CLINICAL, *(f"{name}: {text}" for name, text in request.clinical))))
    questions = [*(turn.question for turn in request.history), request.question]
    chat = [Message("system", (SYSTEM,)), Message("user", (*opening, questions[0]))]
    for turn, question in zip(request.history, questions[1:], strict=True):
        chat += [Message("assistant", (turn.answer,)), Message("user", (question,))]
    return tuple(chat)
