"""From a reader's error codes to preferences: for each code what is chosen and what is rejected, about which images in which order.

Every code sets the corrected answer above the model's own. Beyond that, the code says what the model confused, so that the
confusion itself is rejected too:

| code | rejected besides the model's answer |
|---|---|
| images-swapped | the corrected answer, of the exchanged images: there its inverse is chosen |
| change-hallucinated | the model's answer, of the current image shown twice: there no change is chosen |
| change-missed | "no change", of the images as they are |
| wrong-side | the corrected answer with right and left exchanged |
| wrong-time-point | the corrected answer with prior and current, first and second exchanged |
| positioning-or-technique, forecast-as-fact, wrong-view, other | nothing more |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from finetune.versions import mirrors
from finetune.versions.lines import PREFERRED, Line
from inference.said import direction

NO_CHANGE = "There is no change."
UNCHANGED = "stable"
CORRECTED = ("corrected", "cell")
"""Kinds whose answer somebody vouches for against the model's; a choice of two says only which is better."""


@dataclass(frozen=True)
class Flag:
    """An answer that a reader corrected: the corrected example, the model's words, the reader's codes."""

    line: Line
    said: str
    codes: tuple[str, ...]


def preferences(flag: Flag) -> tuple[Line, ...]:
    """Every preference that a flag gives, the plain one first, each with the code of its recipe, none twice."""
    made = [*_over(flag.line, flag.said, flag.codes or (("other",) if flag.line.kind in CORRECTED else (PREFERRED,)))]
    if flag.line.kind not in CORRECTED:
        return tuple(made)
    made += (line for code in flag.codes for line in RECIPES[code](flag))
    if (turned := mirrors.unflipped(flag.line)) is not None:
        made.append(turned)
    return tuple({line.said: line for line in reversed(made)}.values())[::-1]


def _over(line: Line, rejected: str, codes: tuple[str, ...]) -> Iterator[Line]:
    """The line's answer above another, unless they say the same."""
    if rejected.strip() and rejected.strip().lower() != line.answer.strip().lower():
        yield replace(line, rejected=rejected, codes=codes)


def _nothing(flag: Flag) -> Iterator[Line]:
    yield from ()


def _swapped(flag: Flag) -> Iterator[Line]:
    turned = mirrors.unflipped(flag.line)
    if turned is not None:
        yield replace(turned, codes=("images-swapped",))


def _hallucinated(flag: Flag) -> Iterator[Line]:
    """The newest image twice: whatever was said to have changed cannot have."""
    line = flag.line
    timed = line.relationship == "temporal" and line.ability in ("temporal", "comparison") and len(line.images) == 2
    if timed and direction(flag.said) in ("larger", "smaller", "mixed"):
        first, second = line.images
        twice = (replace(second, role=first.role, when=first.when), second)
        answer = line.answer if direction(line.answer) == "same" else UNCHANGED if line.answer in mirrors.CLASS else NO_CHANGE
        yield from _over(replace(line, images=twice, answer=answer, label=UNCHANGED), flag.said, ("change-hallucinated",))


def _missed(flag: Flag) -> Iterator[Line]:
    if direction(flag.line.answer) in ("larger", "smaller", "mixed"):
        rejected = UNCHANGED if flag.line.answer.strip().rstrip(".").lower() in mirrors.CLASS else NO_CHANGE
        yield from _over(flag.line, rejected, ("change-missed",))


def _turned_words(code: str, pairs: Mapping[str, str]) -> Callable[[Flag], Iterator[Line]]:
    words = {one: other for pair in pairs.items() for one, other in (pair, pair[::-1])}
    pattern = re.compile(rf"\b({'|'.join(words)})\b", re.IGNORECASE)

    def made(flag: Flag) -> Iterator[Line]:
        wrong = pattern.sub(lambda match: mirrors.cased(match[0], words[match[0].lower()]), flag.line.answer)
        yield from _over(flag.line, wrong, (code,))

    return made


RECIPES: Mapping[str, Callable[[Flag], Iterator[Line]]] = {
    "images-swapped": _swapped,
    "change-hallucinated": _hallucinated,
    "change-missed": _missed,
    "wrong-side": _turned_words("wrong-side", {"right": "left", "right-sided": "left-sided"}),
    "wrong-time-point": _turned_words("wrong-time-point", {"prior": "current", "first": "second", "earlier": "later"}),
    "positioning-or-technique": _nothing,
    "forecast-as-fact": _nothing,
    "wrong-view": _nothing,
    "other": _nothing,
}
"""Error code -> its recipe; the codes are those of `storage.feedback`."""
