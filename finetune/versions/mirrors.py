"""The same pair the other way round: what an answer becomes when prior and current change places, where that is certain.

inverted("The effusion has decreased.")     # "The effusion has increased."
mirrored(line)                              # a second example, or None where no inverse is known
"""

from __future__ import annotations

import re
from dataclasses import replace

from finetune import classes
from finetune.versions import lines
from finetune.versions.lines import Line
from inference import closed, guard
from inference.closed import SYNONYMS
from inference.reading import INVERSE
from inference.said import direction

OPPOSITES: dict[str, str] = {
    one: other
    for pair in (
        ("worse", "improved"),
        ("worsened", "improved"),
        ("worsening", "improving"),
        ("larger", "smaller"),
        ("bigger", "smaller"),
        ("increased", "decreased"),
        ("increasing", "decreasing"),
        ("increase", "decrease"),
        ("grown", "shrunk"),
        ("new", "resolved"),
        ("appeared", "disappeared"),
    )
    for one, other in (pair, pair[::-1])
}
OPPOSITES |= {"improved": "worsened", "smaller": "larger"}
TURNED = {"larger": "smaller", "smaller": "larger", "same": "same"}
WORD = re.compile(rf"\b({'|'.join(OPPOSITES)})\b", re.IGNORECASE)
CLASS = {other: name for name, others in SYNONYMS.items() for other in others} | {name: name for name in INVERSE}
CHANGE = {"improving": "worsening", "worsening": "improving", "stable": "stable"}
LONGEST = 16
"""Words of an answer that may be turned round: a longer one tells more than the change, and of which image it tells it."""
BOUND = re.compile(
    r"\b(?:first|second|prior|previous|earlier|current|latest|later|initial|image|film|while|whereas|but|however|although)\b", re.I
)
"""Words by which a sentence tells of one image alone, or of several things; such a sentence is not turned round."""
DEGREE = re.compile(
    r"\b(?:slight|mild|minimal|moderate|significant|substantial|marked|severe|complete|partial|resol|new|appear)", re.IGNORECASE
)


def inverted(text: str) -> str:
    """A short answer in words with its change turned round, `` unless it then says the opposite and nothing else."""
    plain = text.strip().rstrip(".").lower()
    if plain in CLASS:
        return text.lower().replace(plain, INVERSE[CLASS[plain]]) if INVERSE[CLASS[plain]] != CLASS[plain] else text
    said = direction(text)
    if said not in TURNED or _tells_more(text) or BOUND.search(text) or guard.no_opposite(text):
        return ""
    if said == "same":
        return text
    turned = WORD.sub(lambda match: cased(match[0], OPPOSITES[match[0].lower()]), text)
    return turned if direction(turned) == TURNED[said] and len(WORD.findall(text)) == 1 else ""


def _tells_more(text: str) -> bool:
    """Whether an answer is longer than what a change takes."""
    return len(text.split()) > LONGEST or bool(re.search(r"[.;:!?]\s+\S", text.strip()))


def cased(old: str, new: str) -> str:
    """`new` with the first letter as large as in `old`."""
    return new.capitalize() if old[:1].isupper() else new


def chosen(question: str, answer: str) -> str:
    """The option that is right once the images are exchanged, as the answer names it (``B: improving``), `` when none or several fit."""
    listed = closed.options(question)
    texts = dict(zip(closed.LETTERS, listed.classes, strict=False)) if listed else {}
    letter, _, rest = answer.partition(":")
    said = texts.get(letter.strip(), "")
    if listed is None or not said or said != rest.strip():
        return ""
    if listed.inverse:
        other = listed.inverse[said]
        return next(f"{name}: {text}" for name, text in texts.items() if text == other)
    fits = {name: classes.only_match(text, classes.CHANGE) for name, text in texts.items()}
    if not all(fits.values()) or any(_tells_more(text) for text in texts.values()):
        return ""
    right = [name for name, fit in fits.items() if fit == CHANGE[fits[letter.strip()]]]
    if len(right) != 1 or _degrees(said) != _degrees(texts[right[0]]):
        return ""
    return f"{right[0]}: {texts[right[0]]}"


def _degrees(text: str) -> set[str]:
    """Words of degree in a text: a slight worsening turned round is a slight improvement, not a marked one."""
    return {found.lower() for found in DEGREE.findall(text)}


def opposite(line: Line) -> str:
    """The answer to the line's question about its exchanged images, `` when it is not known."""
    timed = line.relationship == "temporal" and line.ability in ("temporal", "comparison")
    if len(line.images) != 2 or not timed or guard.no_opposite(line.question):
        return ""
    return chosen(line.question, line.answer) if closed.options(line.question) else inverted(line.answer)


def mirrored(line: Line) -> Line | None:
    """The example of the exchanged images; None where no inverse is known, or where both images are one."""
    answer = opposite(line)
    if not answer or line.images[0].pixels == line.images[1].pixels:
        return None
    return lines.exchanged(line, answer=answer, kind="mirrored", label=INVERSE.get(line.label, ""))


def unflipped(line: Line) -> Line | None:
    """The preference that goes with it: of the exchanged images the inverse is chosen and the answer as it was is rejected."""
    turned = mirrored(line)
    if turned is None or turned.answer == line.answer:
        return None
    return replace(turned, rejected=line.answer, codes=("exchanged",))
