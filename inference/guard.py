"""Prior guard: a claim of comparison where there is nothing to compare, and questions that no exchange of images can test.

Report generators write "compared with the prior" of single films because reports do; the reader is shown the words that claim it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from inference.engine import Request

_NOUN = r"(?:stud(?:y|ies)|exam\w*|films?|images?|radiographs?|scans?|ct|mri)"
_SIDES = r"(?! (?:than|on|at|in|over)(?: the)? (?:left|right|other|contralateral|opposite|lower|upper|mid|\w*bas|apic|perihilar))"
"""Behind a word of degree: it compares two places of one image, as reports of single films do."""
_COMPARES = re.compile(
    rf"\b(?:(?:as )?compared (?:with|to)|in comparison(?: with| to)?|"
    rf"(?:since|from|than|on) (?:the )?(?:prior|previous|earlier|last)(?: \w+)?|(?:prior|previous|earlier) {_NOUN}|"
    rf"interval(?: \w+)? (?:change|increase|decrease|improvement|worsening|growth|resolution|development|progression|enlargement)|"
    rf"interval(?:ly)? (?:increased|decreased|improved|worsened|new)|unchanged|no (?:\w+ )?change|stable|"
    rf"worsen(?:ed|ing)|improv(?:ed|ing)|resolv(?:ed|ing)|progress(?:ed|ing|ion)|new(?:ly)?|worse{_SIDES}|"
    rf"(?:has|have) (?:\w+ )?(?:increased|decreased|grown|enlarged|shrunk|cleared|appeared)|"
    rf"(?:in|de)creas(?:ed|ing) in (?:size|extent|number)|"
    rf"(?:is|are|become) (?:larger|smaller|bigger|better|higher|lower){_SIDES}|(?:larger|smaller|better) than before|"
    rf"no longer (?:seen|visible|present)|(?:remains|again seen|persist(?:s|ent)))\b",
    re.IGNORECASE,
)
_DECLINES = re.compile(
    rf"\b(?:no|without(?: an?| any)?) (?:prior|previous|earlier|comparison)(?: {_NOUN}|(?= (?:is|are|was|to|for|available|given)))|"
    rf"\bonly one {_NOUN}|\bcannot (?:be )?(?:tell|told|compare\w*|assess\w*|determin\w*|judged?)",
    re.IGNORECASE,
)
"""A sentence that says there is nothing to compare with claims no comparison, although it names the prior."""
_SHOWN = r"(?:stud(?:y|ies)|films?|images?|radiographs?|scans?|exam(?:ination)?s?)"
_ENDS = r"(?=\s*(?:[.,;!]|$))"
_DENIES = re.compile(
    rf"\b(?:there (?:is|was) )?only one {_SHOWN}(?: (?:is|was))? (?:given|provided|available)\b|"
    rf"\bthere (?:is|was) only one {_SHOWN}{_ENDS}|"
    rf"\b(?:no|without) (?:prior|previous|comparison) {_SHOWN}(?: (?:is|was|are|were))? (?:given|provided|available|for comparison)\b|"
    rf"\bthere (?:is|was|are|were) no (?:prior|previous|comparison) {_SHOWN}{_ENDS}",
    re.IGNORECASE,
)
"""Says that there is nothing to compare with."""
_DEVICE = r"tubes?|lines?|catheters?|drains?|leads?|pacemakers?|stents?|devices?|implants?|prosthe\w+|clips?"
_SURGERY = r"surg\w+|resect\w+|post-?op\w*|operat\w+|lobectomy|pneumonectomy|mastectomy|transplant\w*"
_FORECAST = (
    r"forecast\w*|predict\w*|prognos\w+|will (?:it|the|there|this)|expect\w*|"
    r"in (?:one|a|\d+) (?:year|month)s?|next (?:year|study|visit)"
)
_NO_OPPOSITE = tuple(
    (re.compile(rf"\b(?:{words})\b", re.IGNORECASE), what)
    for words, what in ((_DEVICE, "a device"), (_SURGERY, "surgery"), (_FORECAST, "a forecast"))
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
    return next((what for pattern, what in _NO_OPPOSITE if pattern.search(question)), "")


def _found(text: str) -> Iterator[Claim]:
    for sentence in re.finditer(r"[^.;\n]+", text):
        if _DECLINES.search(sentence[0]):
            continue
        for match in _COMPARES.finditer(text, *sentence.span()):
            yield Claim(match.start(), match.end(), match[0])
