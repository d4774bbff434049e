"""Which questions ask for what is yet to come, and how far ahead: their answers are forecasts and never findings.

asked("Will the effusion have resolved in six months?")      # Horizon("in six months", 183)
asked("Did it improve as expected?")                          # None
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MARK = "Forecast, not a finding"
"""Stands at every answer to such a question."""
_COUNTED = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NUMBERS = {"a": 1.0, "an": 1.0, "half a": 0.5, "a couple of": 2.0, "eighteen": 18.0} | {word: at + 1.0 for at, word in enumerate(_COUNTED)}
DAYS = {"day": 1.0, "week": 7.0, "month": 365.25 / 12, "year": 365.25}
_COUNT = rf"(?:{'|'.join(sorted(NUMBERS, key=len, reverse=True))}|\d{{1,3}}(?:\.\d)?)"
_SPAN = re.compile(
    rf"\b(?:(?:(?P<near>in|within)|over|after|for|at)(?: the)?(?P<ahead> next| (?:up)?coming)?"
    rf"(?: (?:about|around|approximately|roughly|another))? (?:(?P<count>{_COUNT})(?: ?(?:to|or|-|–) ?(?P<most>{_COUNT}))?|"
    rf"(?P<vague>(?:a )?few|several|some))[ -](?P<unit>{'|'.join(DAYS)})s?\b"
    rf"|(?:in |within |over |for |during )?(?:the )?(?:next|(?:up)?coming) (?P<soon>{'|'.join(DAYS)})\b)",
    re.IGNORECASE | re.ASCII,
)
_TURN = (
    r"(?:grow|shrink|resolve|clear|progress|regress|improve|worsen|increase|decrease|enlarge|recur|spread|change|develop|persist|heal|"
    r"deteriorate|get|become|remain|stay|happen|respond|disappear)\b"
)
_AHEAD = re.compile(
    r"\b(?:forecasts?|predict(?:ions?)?|(?:predicted|forecast(?:ed)?) (?:progression|course|change|outcome)|"
    r"prognos(?:is|e|tic)|outlook|how (?:long|soon) (?:until|till)|"
    rf"(?<!\byou )(?<!\bI )(?<!\bwe )will(?! you\b)|going to (?:be\b|have\b|look\b|need\b|appear\b|{_TURN}))\b",
    re.IGNORECASE,
)
_NEXT = re.compile(r"\b(?:next|(?:up)?coming) (?:(?:year|month|week)|(?P<study>stud(?:y|ies)|visit|exam\w*|follow-up))\b", re.IGNORECASE)
_EXPECTS = re.compile(r"\b(?:expect(?:ed)?|likely(?! (?:diagnos|cause|explan|a?etiolog|reason))|anticipate[ds]?)\b", re.IGNORECASE)
_TOWARDS = re.compile(rf"\b(?:expected|likely|anticipated) to {_TURN}", re.IGNORECASE)
_WOULD = re.compile(
    r"\b(?:what|how) (?:would|might|could|may)(?! you\b) (?:\w+ ){0,4}?(?:look|appear|be|become|happen|evolve|(?<!the )change)\b",
    re.IGNORECASE,
)
_SHOWN = re.compile(r"^\W*(?:is|are|does|do|when|which|should|compare|describe)\b|\b(?:shows?|seen|visible)\b", re.IGNORECASE)
"""Asks what a "next study" shows that is there, or when there should be one."""
_BEHIND = re.compile(
    r"\b(?:did|has|have|had|was|were|happened|as (?:expected|predicted)|since|from the prior|between (?:the|them|these|both)|than expected|"
    r"likely (?:\w+ed|grew|grown|new))\b",
    re.IGNORECASE,
)
_OPTIONS = re.compile(r"^[ \t]*\(?[A-I][):.][ \t].*$", re.MULTILINE)
"""What may be answered is not what is asked: "probably benign outlook" is a reply like others."""
_SENTENCE = re.compile(r"\.(?!\d)|[?!;\n]")


@dataclass(frozen=True)
class Horizon:
    """How far ahead a question looks: in its own `words`, and in days where it names a span; neither for "the next study"."""

    words: str = ""
    days: int | None = None


def asked(question: str) -> Horizon | None:
    """The horizon of a question about what is to come; None for one about what the images show.

    Words of expectation alone ("as expected") are no forecast; with a span ahead ("is expected in a year") they are, unless the
    sentence looks back. "I will show you two films" speaks of no patient.
    """
    return next((found for found in map(_asked, _SENTENCE.split(_OPTIONS.sub("", question))) if found is not None), None)


def _asked(sentence: str) -> Horizon | None:
    spans = list(_SPAN.finditer(sentence))
    ahead = _AHEAD.search(sentence)
    if not ahead:
        soon = _NEXT.search(sentence)
        near = soon or any(one["near"] or one["ahead"] for one in spans)
        would = _WOULD.search(sentence)
        may = (
            (near and _EXPECTS.search(sentence))
            or (soon and not (soon["study"] and _SHOWN.search(sentence)))
            or (would and (soon or any(one.start() >= would.end() for one in spans)))
            or _TOWARDS.search(sentence)
        )
        if not may or _BEHIND.search(sentence):
            return None
    fits = [one for one in spans if not ahead or one["near"] or one["ahead"] or one["soon"] or one.start() > ahead.start()]
    return _horizon(fits[0]) if fits else Horizon()


def _horizon(span: re.Match[str]) -> Horizon:
    """Of a span in words; of "two to three months" the middle, of "a few weeks" no number of days."""
    words = span[0].strip().lower()
    if span["vague"]:
        return Horizon(words)
    counts = [_number(span[name]) for name in ("count", "most") if span[name]] or [1.0]
    return Horizon(words, round(sum(counts) / len(counts) * DAYS[(span["unit"] or span["soon"]).lower()]))


def _number(word: str) -> float:
    return NUMBERS[word.lower()] if word.lower() in NUMBERS else float(word)
