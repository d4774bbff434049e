"""An answer's own words against the class of the closed question that its checks are made of.

The checks vouch for what a model says when it must choose a class; what it wrote may say another. Plain rules over English words.

    held(request, OVERALL_CHANGE, "The effusion is larger; overall worse.", "stable")      # ("says otherwise", "worse")
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from inference.closed import LETTERS, OVERALL_CHANGE, Closed
from inference.engine import Request
from inference.mentions import Place, Scene, mentions
from inference.offsets import plain
from inference.said import NAMED, Direction, denied, direction, replied, ways

Verdict = Literal["agrees", "says otherwise", "names none"]

_LETTER = re.compile(r"^\W*([A-H])(?:[).:]|\W*$)")
_EVEN = re.compile(
    r"\b(?:neither(?! (?:lung|side)\b)|(?<!not )the same(?=\W*$|\s*[.,;:]|\s+(?:amount|extent|size|degree|disease)\b)|"
    r"equal(?:ly)?|no difference)\b",
    re.IGNORECASE,
)
_NEITHER = re.compile(r"\bneither (?:image|film|study|scan|radiograph)\b", re.IGNORECASE)
_NOT = re.compile(r"\bnot\s*$", re.IGNORECASE)
_PART = re.compile(
    r"\.(?!\d)|[;!?\n]|(?:,\s*(?:and )?|\s(?:but|while|whereas|however),? )(?=(?:overall|as a whole)\b)|"
    r"(?:,\s*and|,?\s(?:but|while|whereas|however),?) (?=(?:the|an?|no|there)\b)",
    re.IGNORECASE,
)
"""Between clauses that may be about different things."""
_WHOLE = re.compile(r"\b(?:disease|overall|as a whole)\b", re.IGNORECASE)
_WAYS: Mapping[str, Direction] = {"new": "larger", "worse": "larger", "stable": "same", "improved": "smaller", "resolved": "smaller"}
_WORDS: Mapping[Direction, str] = {"larger": "worse", "smaller": "improved", "same": "stable"}


def held(request: Request, closed: Closed, text: str, name: str) -> tuple[Verdict, str]:
    """Whether the words of an answer to `request` go with the class `name`, and what they say where they say another.

    Of a change those clauses count that name it ("overall" of the disease as a whole); what neither image shows is stable, and a bare yes
    or no answers what was asked. Without any, words that speak of parts of it contradict the class only when they go the other way.
    """
    if closed.name in ("options", "which"):
        said = _which(request, closed, text) if closed.name == "which" else _chosen(closed, text)
        return ("agrees" if said == name else "says otherwise" if said else "names none"), said
    own = _own(closed, text)
    words = ". ".join(own) if own else "" if closed.name in NAMED and any(one.search(text) for one in NAMED.values()) else text
    way, found = _WAYS.get(name, ""), _found(words, bool(own))
    whole, no = bool(own), denied(words)
    if not no and not found:
        found, affirmed = replied(request.question, text)
        whole = bool(found) and (closed.name != OVERALL_CHANGE.name or bool(_WHOLE.search(request.question)))
        no = "" if affirmed else found
    if not way or (not no and found not in _WORDS):
        return "names none", ""
    if no and (no == way or found != way):
        return _denied(no, way) if whole else ("names none", "")
    if found == way:
        return "agrees", ""
    return ("says otherwise", _WORDS[found]) if whole or "same" not in (found, way) else ("names none", "")


def _found(words: str, own: bool) -> Direction:
    """Which way the words go; of clauses that name what was asked, none where they also call it the same."""
    if own and _NEITHER.search(words):
        return "same"
    return "mixed" if own and len(ways(words)[0]) > 1 else direction(words)


def _own(closed: Closed, text: str) -> list[str]:
    """The clauses that name what the question is about; "overall, no change in the effusion" is told of the effusion."""
    if closed.name in NAMED:
        return [part for part in _PART.split(text) if NAMED[closed.name].search(part)]
    whole = "" if closed.mark else r"|as a whole|the disease(?! (?:in|of|at|on)\b)"
    named = re.compile(rf"\b(?:{closed.name}{whole})\b", re.IGNORECASE)
    own = [part for part in _PART.split(text) if named.search(part)]
    return own if closed.name != OVERALL_CHANGE.name else [part for part in own if not any(one.search(part) for one in NAMED.values())]


def _denied(asked: Direction, way: Direction) -> tuple[Verdict, str]:
    """What a plain "no" to the change `asked` for says of a class that goes this `way`."""
    return ("says otherwise", f"not {_WORDS[asked]}") if asked == way else ("agrees", "")


def _chosen(closed: Closed, text: str) -> str:
    """The one option that an answer names, by its letter or in words; `` for none or several."""
    letter = _LETTER.match(text)
    if closed.lettered and letter and letter[1] in LETTERS[: len(closed.classes)]:
        return closed.classes[LETTERS.index(letter[1])]
    words = {name: plain(name).removeprefix("the ") for name in closed.classes}
    found = [name for name, word in words.items() if word and re.search(rf"(?<!\bno )(?<!\bnot )(?<!n t )\b{word}\b", plain(text))]
    return found[0] if len(found) == 1 else ""


def _which(request: Request, closed: Closed, text: str) -> str:
    """The one image that an answer means, however it names it; `` for none or several."""
    if _EVEN.search(text):
        return closed.classes[-1]
    scene = Scene(tuple(Place(image.role) for image in request.images), request.relationship)
    meant = {one.images for one in mentions(text, scene) if one.kind in ("image", "time") and not _NOT.search(text[: one.start])}
    (images,) = meant if len(meant) == 1 else ((),)
    return closed.classes[images[0]] if len(images) == 1 else ""
