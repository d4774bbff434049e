"""What an answer in words says of change: larger, smaller, the same, or several of them. Plain rules over English words.

direction("The effusion has decreased.")        # "smaller"
direction("No new opacity; the nodule is larger.")   # "larger": what is denied says nothing beside what is claimed
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Literal

from inference.guard import LINE
from inference.prompts import FINDINGS

Direction = Literal["larger", "smaller", "same", "mixed", ""]

_AT = r"(?! (?:\w+ )?(?:on|in|at|than) (?:on |in )?(?:the )?(?:left|right|lower|upper|mid|other))"
"""Behind a word of degree: it compares two places of one image."""
_LARGER = (
    rf"worse(?:ned|ning|ns|n)?|larger{_AT}|bigger{_AT}|greater{_AT}|increas\w*|gr[eo]wn?|growing|growth|progress(?:ed|ing|ion|es)|enlarg\w*|deteriorat\w*|"
    rf"more (?:extensive|disease|pronounced|opaque|prominent){_AT}|denser|new(?:ly)?|appeared"
)
_SMALLER = (
    rf"improv\w*|better|smaller{_AT}|decreas\w*|shr[aiu]nk(?:en|ing)?|resolv\w*|resolution|regress\w*|reduc\w*|"
    rf"less (?:extensive|disease|pronounced|opaque|prominent){_AT}|clear(?:ed|ing)|gone|disappeared|"
    r"no longer(?! (?:\w+ly )?(?:stable|unchanged|similar|the same|constant|"
    r"(?:grow|progress|increas|enlarg|worsen|improv|decreas|resolv)ing)\b)"
)
_SAME = (
    r"stable|unchanged|unaltered|similar|the same|constant|static|(?:no|without) (?:\w+ ){0,2}changes?|"
    r"(?:not|\w+n['’]t) (?:\w+ly |much )?chang(?:ed?|ing)"
)
_CLAIM = re.compile(rf"\b(?:(?P<same>{_SAME})|(?P<smaller>{_SMALLER})|(?P<larger>{_LARGER}))\b", re.IGNORECASE)
_DENIED = re.compile(
    r"(?:\b(?:no(?!\s+(?:it|they|there|doubt)\b)|not(?! only\b)|without(?! doubt)|neither|nor|never|nothing|rather than|instead of)|n['’]t)"
    r"(?:\s+\w[\w.-]*){0,3}\s*$",
    re.IGNORECASE,
)
_UNSETTLED = re.compile(r"(?:\b(?:not|no longer|never|neither)|n['’]t)(?:\s+(?!and\b)\w+){0,2}\s*$", re.IGNORECASE)
"""Denies that it is the same, which says no way: "no effusion and stable cardiomegaly" does not."""
_LEFT = re.compile(r"resol[uv]|clear|gone|disappear|new|appear", re.IGNORECASE)
"""Denied, it may be smaller or larger as well as the same."""
_THEN = r"(?:prior|previous|earlier|first|initial|baseline|older)"
_DOUBTED = re.compile(
    r"(?<!less of )(?<!tive of )\bwhether\b.*$|\b(?:had been|used to be|previously) (?:\w+ )?$|"
    r"(?:\b(?:if(?! anything\b)|not (?:sure|certain)|"
    r"(?:cannot|can not|can['’]t|(?:unable|impossible|hard|difficult) to) (?:tell|say|determine|assess|judge|confirm|exclude|rule out))\b)"
    r"[^,]*$|"
    r"\b(?:to (?:assess|monitor|evaluate|determine|track|detect|check|prevent|avoid|identify|confirm)|"
    r"for (?:any|further)|(?:risk|possibility) of)"
    r" (?:\w+ ){0,6}$",
    re.IGNORECASE,
)
_BEHIND = re.compile(
    rf"(?: (?!than\b|from\b|since\b)\w+){{0,2}} (?:(?:[io]n|at) (?:the )?{_THEN}\b|(?:previously|before)(?=\W*$|,))|"
    r"(?: \w+){0,4} (?:cannot|can not|can['’]t) be (?:excluded|ruled out|determined|assessed|judged|told|evaluated|confirmed)\b",
    re.IGNORECASE,
)
"""Before and behind a word of change: it is left open, to be watched for, or told of the prior, of which today's may be the opposite."""
_SHOWN = r"(?:images?|films?|stud(?:y|ies)|exam\w*|scans?|radiographs?|x-?rays?|visits?|one)"
_OF_THEN = re.compile(
    rf"^\W*(?:\w+, )?(?:(?:[io]n|at) (?:the )?{_THEN}\b|the {_THEN} (?:[\w-]+ )?{_SHOWN} (?!to\b|and\b))(?!.*\b(?:since|from the first)\b)",
    re.IGNORECASE,
)
_OF_NOW = re.compile(r"\b(?:current\w*|second|third|last|lat(?:er|est)|newer|follow-?up|now|today|since|subsequent\w*)\b", re.IGNORECASE)
_PERFECT = re.compile(r"\b(?:has|have) (?:been )?(?:\w+ )?$", re.IGNORECASE)
"""A clause about the prior image tells nothing of change up to today, nor do those joined to it; "which has grown" does."""
_YES_NO = re.compile(r"^\s*(?:is|are|has|have|did|does|do|was|were)\b(?!.*\bor\b)", re.IGNORECASE | re.DOTALL)
_REPLY = re.compile(r"^\W*(yes|no)\b(?=\W*$|\s*[.,;:!*(–—-]|\s+(?:it|they|there)\b)", re.IGNORECASE)
_CHANGED = re.compile(r"\b(?:chang|differ(?:s|ed|en[ct]))", re.IGNORECASE)
_STILL = re.compile(r"\b(?:stable|unchanged|unaltered|constant|static|same (?:size|extent)|no (?:\w+ )?change)\b", re.IGNORECASE)
"""Of the same size, not of the same patient."""
_WHOLLY = re.compile(r"\b(?:new(?:ly)?|(?:dis)?appear\w*|resol[uv]\w*|clear\w*|gone|no longer)\b", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"\bthe (?:larger|smaller|bigger|new)\b|\b(?:larger|smaller|greater|bigger) than \d", re.IGNORECASE)
"""Says which one, or how large, and nothing of change."""
_SENTENCE = re.compile(r"\.(?!\d)|[;!?\n]")
_SIDE = re.compile(r"\b(?:left|right|bilateral)\b", re.IGNORECASE)
_REACH = 120
"""Characters before a word of change in which it may be denied or doubted."""
_PART = re.compile(r"\.(?!\d)|[;!?\n]|\b(?:but|while|whereas|however|though|although)\b|, (?=(?:in|on|at) the\b)", re.IGNORECASE)
_CLAUSE = re.compile(r":|,\s*and\b|\band (?=the (?:second|third|current|last|later)\b)", re.IGNORECASE)
_TUBE = "tube or line"
_FINDINGS: Mapping[str, str] = {
    "diffuse opacity": "diffuse opacit(?:y|ies)",
    "pleural effusion": r"(?<!pericardial )(?<!joint )(?<!knee )(?<!elbow )(?<!hip )(?<!subdural )(?<!peritoneal )effusions?",
    "pneumothorax": "pneumothora(?:x|xes|ces)",
    "cardiomegaly": "cardiomegaly|(?:heart|cardiac) (?:size|silhouette)",
    "atelectasis": "atelectas[ie]s",
    _TUBE: rf"tubes?|{LINE}",
}
NAMED = {name: re.compile(rf"\b(?:{_FINDINGS.get(name, f'{name}s?')})\b", re.IGNORECASE) for name in FINDINGS}
"""The words by which a finding is named."""


def direction(text: str) -> Direction:
    """Which way an answer says that things went; `mixed` when it says both, `` when it says nothing of change.

    A change that is denied ("not worse") counts as the same, and only where nothing else is claimed. Nothing is said by what is in doubt
    ("whether it is worse"), by what is told of the prior ("was larger before"), and by "not stable", "not resolved" and "not new".
    """
    claimed, gone = ways(text)
    moved = claimed - {"same"}
    if len(moved) == 2:
        return "mixed"
    if moved:
        return "larger" if "larger" in moved else "smaller"
    return "same" if (claimed or gone) and "same" not in gone else ""


def denied(text: str) -> Direction:
    """The one way that an answer denies, where it claims none: what is not worse may be improved as well as stable."""
    claimed, gone = ways(text)
    return next((way for way in ("larger", "smaller", "same") if gone == {way} and not claimed), "")


def ways(text: str) -> tuple[set[str], set[str]]:
    """The ways that an answer claims, and those that it denies."""
    claimed: set[str] = set()
    gone: set[str] = set()
    for clause, then in _clauses(text):
        for match in _CLAIM.finditer(clause):
            kind, start = match.lastgroup or "", match.start()
            before = (clause, max(0, start - _REACH), start)
            if _DOUBTED.search(*before) or _BEHIND.match(clause, match.end()) or (then and not _PERFECT.search(*before)):
                continue
            if match[0].lower() == "no longer" or not (_UNSETTLED if kind == "same" else _DENIED).search(*before):
                claimed.add(kind)
            elif not _LEFT.match(match[0]):
                gone.add(kind)
    return claimed, gone


def _clauses(text: str) -> Iterator[tuple[str, bool]]:
    """Each clause, and whether it tells of the prior image."""
    for part in _PART.split(text):
        then = False
        for clause in _CLAUSE.split(part):
            then = bool(_OF_THEN.match(clause)) or (then and not _OF_NOW.search(clause))
            yield clause, then


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
    """What two answers must share to count as one: the direction of change and the sides it is told of, else the words themselves.

    Words are compared without case and signs, in whatever script; "left lung larger" and "right lung larger" are two meanings.
    """
    way = direction(text)
    if not way:
        letters = (sign if unicodedata.category(sign)[0] in "LMN" else " " for sign in text.casefold())
        return " ".join("".join(letters).split()) or text.strip()
    sides = {side.lower() for sentence in _SENTENCE.split(text) if direction(sentence) for side in _SIDE.findall(sentence)}
    return " ".join((way, *sorted(sides)))


def finding_named(question: str) -> str:
    """The one finding that a question names, `` for none or several; a tube beside another ("since the tube was placed") does not count."""
    named = [name for name, pattern in NAMED.items() if pattern.search(question)]
    named = [name for name in named if name != _TUBE] or named
    return named[0] if len(named) == 1 else ""
