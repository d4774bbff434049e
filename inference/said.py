"""What an answer in words says of change: larger, smaller, the same, or several of them. Plain rules over English words.

direction("The effusion has decreased.")        # "smaller"
direction("No new opacity; the nodule is larger.")   # "larger": what is denied says nothing beside what is claimed
"""

from __future__ import annotations

import re
from typing import Literal

Direction = Literal["larger", "smaller", "same", "mixed", ""]

_LARGER = (
    r"worse(?:ned|ning|ns|n)?|larger|bigger|greater|increas\w*|gr[eo]wn?|growing|growth|progress(?:ed|ing|ion|es)|enlarg\w*|deteriorat\w*|"
    r"more (?:extensive|disease|pronounced|opaque|prominent)|denser|new(?:ly)?|appeared"
)
_SMALLER = (
    r"improv\w*|better|smaller|decreas\w*|shr[aiu]nk(?:en|ing)?|resolv\w*|resolution|regress\w*|reduc\w*|"
    r"less (?:extensive|disease|pronounced|opaque|prominent)|clear(?:ed|ing)|gone|disappeared|no longer"
)
_SAME = r"stable|unchanged|unaltered|similar|the same|constant|static|no (?:\w+ ){0,2}changes?|not changed"
_CLAIM = re.compile(rf"\b(?:(?P<same>{_SAME})|(?P<smaller>{_SMALLER})|(?P<larger>{_LARGER}))\b", re.IGNORECASE)
_DENIED = re.compile(r"\b(?:no|not|without|neither|nor|never|n't|isn't|hasn't|rather than|instead of)(?:\s+[\w-]+){0,3}\s*$", re.IGNORECASE)
_YES_NO = re.compile(r"^\s*(?:is|are|has|have|did|does|do|was|were)\b(?!.*\bor\b)", re.IGNORECASE | re.DOTALL)
_REPLY = re.compile(r"^\W*(yes|no)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"[.;:!?]|,\s*(?:but|and|while|whereas)\b|\b(?:but|while|whereas|however)\b", re.IGNORECASE)


def direction(text: str) -> Direction:
    """Which way an answer says that things went; `mixed` when it says both, `` when it says nothing of change.

    A change that is denied ("not worse") counts as the same, and only where nothing else is claimed.
    """
    claimed: set[str] = set()
    denied = False
    for clause in _CLAUSE.split(text):
        for match in _CLAIM.finditer(clause or ""):
            kind = match.lastgroup or ""
            if kind != "same" and match[0].lower() != "no longer" and _DENIED.search(clause[: match.start()]):
                denied = True
            else:
                claimed.add(kind)
    moved = claimed - {"same"}
    if len(moved) == 2:
        return "mixed"
    if moved:
        return "larger" if "larger" in moved else "smaller"
    return "same" if claimed or denied else ""


def reply(question: str, text: str) -> Literal["yes", "no", ""]:
    """The plain yes or no of an answer to a question that asks for one; `` where the answer itself says which way things went."""
    found = _REPLY.match(text)
    if found is None or direction(text) or not _YES_NO.match(question):
        return ""
    return "yes" if found[1].lower() == "yes" else "no"


def meaning(text: str) -> str:
    """What two answers must share to count as one: the direction of change, else the words themselves without case and marks."""
    return direction(text) or " ".join(re.findall(r"[a-z0-9]+", text.lower()))
