"""Prior guard: a claim of comparison where there is nothing to compare, and questions that no exchange of images can test.

Report generators write "compared with the prior" of single films because reports do; the reader is shown the words that claim it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from inference.engine import Request
from storage import horizons

_NOUN = r"(?:stud(?:y|ies)|exam\w*|films?|images?|radiographs?|scans?|ct|mri)"
_PLACE = r"(?: the)? (?:left|right|other|contralateral|opposite|lower|upper|mid|\w*bas|apic|perihilar)"
_SIDES = rf"(?!(?: \w+ed)? (?:than|on|at|in|over|compared (?:with|to)){_PLACE}| than (?:\d|normal|expected|usual))"
"""Behind a word of degree: it compares two places of one image, as reports of single films do, or with what is normal."""
_COMPARES = re.compile(
    rf"\b(?:(?:(?:as )?compared (?:with|to)|in comparison(?: with| to)?)(?!{_PLACE})|"
    rf"(?:since|from|than|on) (?:the )?(?:prior|previous|earlier|last)(?: \w+)?|(?:prior|previous|earlier) {_NOUN}|"
    rf"previously (?:seen|noted|described)|"
    rf"interval(?: \w+)? (?:change|increase|decrease|improvement|worsening|growth|resolution|development|progression|enlargement)|"
    rf"interval(?:ly)? (?:increased|decreased|improved|worsened|new)|unchanged|no (?!acute )(?:\w+ )?change|"
    rf"(?<!dynamically )(?<!clinically )stable(?! vital)|"
    rf"(?<!symptoms )(?<!symptoms are )worsen(?:ed|ing)(?! (?:\w+ )?(?:symptoms?|dyspn\w+|cough|pain|fever))|"
    rf"improv(?:ed|ing)|resolv(?:ed|ing)|progress(?:ed|ing|ion)|new(?:ly)?(?![ -]onset| york)|worse{_SIDES}|"
    rf"(?:has|have) (?:\w+ )?(?:increased|decreased|grown|enlarged|shrunk|cleared|appeared)|"
    rf"(?:in|de)creas(?:ed|ing) in (?:size|extent|number)|(?:is|are|has|have) (?:now )?gone|"
    rf"(?:is|are|become)(?: now| much| \w+ly)? (?:larger|smaller|bigger|better|higher|lower){_SIDES}|(?:larger|smaller|better) than before|"
    rf"no longer (?:seen|visible|present)|(?:remains|again seen|persist(?:s|ent)))\b",
    re.IGNORECASE,
)
_DECLINES = re.compile(
    rf"\b(?:no|without(?: an?| any)?) (?:prior|previous|earlier|comparison)(?: {_NOUN}|(?= (?:is|are|was|to|for|available|given)))|"
    rf"\bonly one {_NOUN}|\bcannot (?:be )?(?:tell|told|compare\w*|assess\w*|determin\w*|judged?)|"
    rf"\b(?:prior|previous|earlier|comparison) {_NOUN} (?:is|are|was|were) (?:not (?:available|given|provided)|unavailable)|"
    rf"\bno change can be (?:assessed|determined|judged)|\b(?:unable|impossible|not possible) to (?:compare|assess|determine|judge)|"
    rf"\bcomparison (?:with|to) .*\b(?:recommended|advised|suggested|helpful|useful)\b|\b(?:recommend|suggest|advise) comparison\b|"
    rf"\bif (?:a )?(?:prior|previous|earlier) {_NOUN}|^\W*(?:history|indication|clinical (?:history|condition|indication|information))\b",
    re.IGNORECASE,
)
"""A sentence that says there is nothing to compare with claims no comparison, although it names the prior; nor does one of the history."""
_SHOWN = r"(?:stud(?:y|ies)|films?|images?|radiographs?|scans?|exam(?:ination)?s?)"
_PRIOR = rf"(?:(?:prior|previous|earlier|older|comparison) (?:{_SHOWN}|imaging)|priors?|comparison)"
_ONE = r"(?:(?:only|just) (?:one|a single)|a single)"
_BE = r"(?:is|was|are|were)"
_THERE = r"(?:given(?! the\b| that\b)|provided|supplied|available)"
_ENDS = r"(?=\s*(?:[.,;!]|$))"
_DENIES = re.compile(
    rf"(?<!\bif )(?:\b(?:there {_BE} )?only (?:one|a single) {_SHOWN}(?: {_BE})? {_THERE}\b|\ba single {_SHOWN} {_BE} {_THERE}{_ENDS}|"
    rf"\bthere {_BE} {_ONE} {_SHOWN}{_ENDS}|"
    rf"\b(?:only (?:see|have|(?:been )?(?:given|shown))|(?:see|have) only) (?:one|a single) {_SHOWN}{_ENDS}|"
    rf"\b(?:no|without(?: an?| any)?) {_PRIOR}(?:(?: {_BE})? {_THERE}| for comparison)\b|"
    rf"\b(?:prior|previous|earlier|comparison) (?:{_SHOWN}|imaging) {_BE} (?:not {_THERE}|unavailable)\b|"
    rf"\bthere {_BE} no (?:(?:prior|previous|earlier|comparison|second) {_SHOWN}|priors?)(?: to compare with)?{_ENDS})",
    re.IGNORECASE,
)
"""Says that there is nothing to compare with."""
LINE = (
    r"(?<!pleural )(?<!fissure )(?<!mediastinal )(?<!paratracheal )(?<!junction )(?<!\bB )(?<!\bB-)(?<!\bA-)(?<!st-)(?<!nd-)"
    r"(?:(?<!\bin )line(?! of\b| with\b)|lines)"
)
"""A line that somebody put in."""
_DEVICE = rf"tubes?|{LINE}|catheters?|drains?|leads?(?! to\b)|pacemakers?|stents?|devices?|implants?|prosthe\w+|clips?"
_SURGERY = r"surg\w+|resect\w+|post-?op\w*|operat\w+|lobectomy|pneumonectomy|mastectomy|transplant\w*"
_NO_OPPOSITE = tuple(
    (re.compile(rf"\b(?:{words})\b", re.IGNORECASE), what) for words, what in ((_DEVICE, "a device"), (_SURGERY, "surgery"))
)


@dataclass(frozen=True)
class Claim:
    """Words of an answer that compare: `text` from `start` to `end`, in characters."""

    start: int
    end: int
    text: str


def comparable(request: Request) -> bool:
    """Whether the images can bear a comparison over time: two or more that are not views or sides of one study."""
    return len(request.images) > 1 and request.relationship in ("temporal", "unrelated")


def claims(text: str) -> tuple[Claim, ...]:
    """Words that claim a comparison with another time."""
    return tuple(_found(text))


def denials(text: str) -> tuple[Claim, ...]:
    """Words that say there is but one image, or no prior."""
    return tuple(Claim(match.start(), match.end(), match[0]) for match in _DENIES.finditer(text))


def no_opposite(question: str) -> str:
    """Why an exchange of prior and current need not turn the answer round (`a device`, `surgery`, `a forecast`), else ``."""
    found = next((what for pattern, what in _NO_OPPOSITE if pattern.search(question)), "")
    return found or ("a forecast" if horizons.asked(question) else "")


def _found(text: str) -> Iterator[Claim]:
    for sentence in re.finditer(r"[^.;\n]+", text):
        if _DECLINES.search(sentence[0]):
            continue
        for match in _COMPARES.finditer(text, *sentence.span()):
            yield Claim(match.start(), match.end(), match[0])
