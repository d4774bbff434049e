"""An answer's own words against the class of the closed question that its checks are made of.

The checks vouch for what a model says when it must choose a class; what it wrote may say another. Plain rules over English words.

    against(OVERALL_CHANGE, "The effusion is larger; overall worse.", "stable")      # "worse"
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from inference.closed import LETTERS, Closed
from inference.offsets import plain
from inference.said import Direction, direction

_LETTER = re.compile(r"^\W*([A-H])(?:[).:]|\W*$)")
_EVEN = re.compile(r"\b(?:neither|the same|equal(?:ly)?|no difference)\b", re.IGNORECASE)
_NEITHER = re.compile(r"\bneither (?:image|film|study|scan|radiograph)\b", re.IGNORECASE)
_WAYS: Mapping[str, Direction] = {"new": "larger", "worse": "larger", "stable": "same", "improved": "smaller", "resolved": "smaller"}
_WORDS: Mapping[Direction, str] = {"larger": "worse", "smaller": "improved", "same": "stable"}


def against(closed: Closed, text: str, name: str) -> str:
    """What the words of an answer say in place of the class `name`; `` where they agree with it, or name no one class.

    Of a change those clauses count that name it ("overall" of the disease as a whole); what neither image shows is stable. Without any,
    words that speak of parts of it contradict the class only when they go the other way.
    """
    if closed.name in ("options", "which"):
        said = _chosen(closed, text)
        return said if said != name else ""
    own = [clause for clause in re.split(r"[.;]", text) if re.search(rf"\b(?:{closed.name}|as a whole)\b", clause, re.IGNORECASE)]
    words = ". ".join(own) if own else text
    way, found = _WAYS.get(name, ""), "same" if own and _NEITHER.search(words) else direction(words)
    if found == way or not way or found not in _WORDS or (not own and "same" in (found, way)):
        return ""
    return _WORDS[found]


def _chosen(closed: Closed, text: str) -> str:
    """The one option that an answer names, by its letter or in words; `` for none or several."""
    letter = _LETTER.match(text)
    if closed.lettered and letter and letter[1] in LETTERS[: len(closed.classes)]:
        return closed.classes[LETTERS.index(letter[1])]
    if closed.name == "which" and _EVEN.search(text):
        return closed.classes[-1]
    words = {name: plain(name).removeprefix("the ") for name in closed.classes}
    found = [name for name, word in words.items() if word and re.search(rf"\b{word}\b", plain(text))]
    return found[0] if len(found) == 1 else ""
