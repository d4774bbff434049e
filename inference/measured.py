"""Measured against said: the reader's own paired measurements beside the direction of the model's answer.

    against("The nodule is smaller.", [Paired("A", "B", 8.0, 11.0, "mm")])[0].conflicts     # True

A difference counts as a change from `LEAST_PERCENT` on, and for lengths in mm from `LEAST_MM` on as well, which is about what two
readers differ by on the same lesion; it is a display aid and no response category (RECIST 1.1 asks for 20 and 30 per cent).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from inference.said import Direction, denied, direction, replied

LEAST_PERCENT = 10.0
LEAST_MM = 1.5
_APPEARED = re.compile(r"\b(?:new(?:ly)?|appeared)\b", re.IGNORECASE)
"""Asks for what the prior does not show, which no pair measures."""
_WORDS = {"larger": "larger", "smaller": "smaller", "same": "unchanged", "mixed": "larger and smaller"}


@dataclass(frozen=True)
class Paired:
    """A measurement of the prior and its counterpart in the current study, in `unit` (`mm`, `mm²`, `px`, `` for a ratio)."""

    prior_label: str
    current_label: str
    prior: float
    current: float
    unit: str = "mm"

    @property
    def named(self) -> str:
        """Both labels, ``A and B``; "1/2" read as a fraction."""
        return " and ".join(label for label in (self.prior_label, self.current_label) if label)

    @property
    def delta(self) -> float:
        """Current less prior, in `unit`."""
        return self.current - self.prior

    @property
    def percent(self) -> float:
        """Change in per cent of the prior; nan when that is 0."""
        return 100 * self.delta / self.prior if self.prior else math.nan

    @property
    def way(self) -> Direction:
        """`larger`, `smaller` or `same` by the thresholds of this module."""
        beyond = self.unit != "mm" or abs(self.delta) >= LEAST_MM
        if math.isnan(self.percent) or abs(self.percent) < LEAST_PERCENT or not beyond:
            return "larger" if self.prior == 0 and self.current > 0 else "same"
        return "larger" if self.delta > 0 else "smaller"


@dataclass(frozen=True)
class Compared:
    """One paired measurement against the answer: `said` (`` where it only denies one way) and `conflicts`, with a sentence."""

    pair: Paired
    said: Direction
    conflicts: bool
    sentence: str


def against(text: str, pairs: Sequence[Paired], question: str = "") -> tuple[Compared, ...]:
    """Each pair beside what the answer says; an answer without a direction, or with both, conflicts with nothing.

    A plain yes or no says what `question` asks for, or denies it: "No." to "Has it grown?" conflicts with what was measured larger, as
    "It is not larger." does, and neither with what was measured smaller.
    """
    said = direction(text)
    asked, affirmed = replied("" if _APPEARED.search(question) else question, text)
    no = denied(text) or ("" if affirmed else asked)
    if no:
        return tuple(_denied(pair, no) for pair in pairs)
    return tuple(_compared(pair, said or asked) for pair in pairs)


def _compared(pair: Paired, said: Direction) -> Compared:
    measured = _measured(pair)
    if said == "":
        return Compared(pair, said, False, f"{measured}; the answer says nothing of change.")
    if said == "mixed":
        return Compared(pair, said, False, f"{measured}; the answer says both larger and smaller.")
    if said == pair.way:
        return Compared(pair, said, False, f"{measured}, and the answer agrees.")
    return Compared(pair, said, True, f"{measured}, but the answer says {_WORDS[said]}.")


def _denied(pair: Paired, asked: Direction) -> Compared:
    """The answer denies that it went the way `asked`."""
    conflicts = asked == pair.way
    return Compared(pair, "", conflicts, f"{_measured(pair)}, {'but' if conflicts else 'and'} the answer says not {_WORDS[asked]}.")


def _measured(pair: Paired) -> str:
    unit = f" {pair.unit}" if pair.unit else ""
    what = f"{pair.named} measure" if pair.named else "The pair measures"
    return f"{what} {pair.prior:.1f} → {pair.current:.1f}{unit} ({_WORDS[pair.way]})"
