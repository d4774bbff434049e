"""Which questions ask for what is yet to come, and how far ahead: their answers are forecasts and never findings.

asked("Will the effusion have resolved in six months?")      # Horizon("in six months", 183)
asked("Did it improve as expected?")                          # None
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MARK = "Forecast, not a finding"
"""Stands at every answer to such a question."""
NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "nine": 9, "twelve": 12, "eighteen": 18}
DAYS = {"day": 1.0, "week": 7.0, "month": 365.25 / 12, "year": 365.25}
_SPAN = re.compile(
    rf"\b(?:in|within|over|after|for)(?: the)?(?: next| coming)? ((?P<count>{'|'.join(NUMBERS)}|\d{{1,3}})[ -])?"
    rf"(?P<unit>{'|'.join(DAYS)})s?\b"
    rf"|\b(?:the )?next (?P<soon>{'|'.join(DAYS)})\b",
    re.IGNORECASE,
)
_AHEAD = re.compile(r"\b(?:forecasts?|predict|prediction|prognos(?:is|e|tic)|will(?! you\b)|going to)\b", re.IGNORECASE)
_NEXT = re.compile(r"\b(?:next|coming) (?:year|month|week|stud(?:y|ies)|visit|exam\w*|follow-up)\b", re.IGNORECASE)
_EXPECTS = re.compile(r"\b(?:expect(?:ed)?|likely|anticipate[ds]?)\b", re.IGNORECASE)
_BEHIND = re.compile(
    r"\b(?:did|has|have|had|was|were|as expected|since|from the prior|than expected|likely (?:\w+ed|grew|grown|new))\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Horizon:
    """How far ahead a question looks: in its own `words`, and in days where it names a span; neither for "the next study"."""

    words: str = ""
    days: int | None = None


def asked(question: str) -> Horizon | None:
    """The horizon of a question about what is to come; None for one about what the images show.

    Words of expectation alone ("as expected") are no forecast; with a span ahead ("is expected in a year") they are, unless the
    question looks back.
    """
    span = next((one for one in _SPAN.finditer(question) if one["unit"] or one["soon"]), None)
    may = _NEXT.search(question) or (span and _EXPECTS.search(question))
    if not (_AHEAD.search(question) or (may and not _BEHIND.search(question))):
        return None
    if span is None:
        return Horizon()
    count = (span["count"] or "one").lower()
    number = int(count) if count.isdigit() else NUMBERS[count]
    return Horizon(span[0].strip().lower(), round(number * DAYS[(span["unit"] or span["soon"]).lower()]))
