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
_REPLY = re.compile(r"^\W*(yes|no)\b(?=\W*$|\s*[.,;:!*(–—-]|\s+(?:it|they|there)\b)", re.IGNORECASE)
_CHANGED = re.compile(r"\b(?:chang|differ(?:s|ed|en[ct]))", re.IGNORECASE)
_STILL = re.compile(r"\b(?:stable|unchanged|unaltered|constant|static|same (?:size|extent)|no (?:\w+ )?change)\b", re.IGNORECASE)
"""Of the same size, not of the same patient."""
_WHOLLY = re.compile(r"\b(?:new(?:ly)?|(?:dis)?appear\w*|resol[uv]\w*|clear\w*|gone|no longer)\b", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"\bthe (?:larger|smaller|bigger|new)\b|\b(?:larger|smaller|greater|bigger) than \d", re.IGNORECASE)
"""Says which one, or how large, and nothing of change."""
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


def replied(question: str, text: str) -> tuple[Direction, bool]:
    """The way that a plain yes or no affirms (True) or denies; (``, True) where it says nothing of one.

    "No" to "Has it changed?" affirms that it is the same. What has not resolved may be smaller, and what is not new larger: denying either
    denies no way.
    """
    found, asked = _REPLY.match(text), direction(question)
    if found is None or direction(text) or not _YES_NO.match(question):
        return "", True
    yes = found[1].lower() == "yes"
    if not (yes or asked) and _CHANGED.search(question):
        return "same", True
    if (
        asked in ("", "mixed")
        or _ATTRIBUTE.search(question)
        or (asked == "same" and not _STILL.search(question))
        or (not yes and _WHOLLY.search(question))
    ):
        return "", True
    return asked, yes


def meaning(text: str) -> str:
    """What two answers must share to count as one: the direction of change, else the words themselves without case and marks."""
    return direction(text) or " ".join(re.findall(r"[a-z0-9]+", text.lower()))
