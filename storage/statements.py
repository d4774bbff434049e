"""Statements of several people on one answer: do they agree, what do they say together, and is each part of it said by two?

What trains must have been said by two people: whoever gave the feedback and a reviewer, two reviewers where one of them added
something, or the adjudicator who decided between them. A part that is empty speaks against nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from storage.views import Severity, Verdict

SEVERITIES: tuple[Severity, ...] = ("", "minor", "major", "critical")


@dataclass(frozen=True)
class Statement:
    """What one person says of an answer, or what several say together. `cells` are corrected classes by finding."""

    verdict: Verdict = ""
    codes: tuple[str, ...] = ()
    severity: Severity = ""
    corrected_answer: str = ""
    cells: Mapping[str, str] = field(default_factory=dict)
    comment: str = ""

    @property
    def judged(self) -> bool:
        """Whether it says anything of the answer as a whole."""
        return bool(self.verdict or self.codes)


def of_row(row: Any) -> Statement:
    """The statement in a row of `feedback` or `reviews`."""
    return Statement(
        cast(Verdict, row.verdict),
        tuple(row.codes),
        cast(Severity, row.severity),
        row.corrected_answer,
        dict(row.cells),
        row.comment,
    )


def conflict(one: Statement, other: Statement) -> tuple[str, ...]:
    """The parts that contradict each other: `codes`, `answer`, or the name of a finding; severity and comments never do."""
    parts = []
    if one.judged and other.judged and (one.verdict, set(one.codes)) != (other.verdict, set(other.codes)):
        parts.append("codes")
    if one.corrected_answer and other.corrected_answer and words(one.corrected_answer) != words(other.corrected_answer):
        parts.append("answer")
    parts += [finding for finding in one.cells if other.cells.get(finding, one.cells[finding]) != one.cells[finding]]
    return tuple(parts)


def together(statements: Sequence[Statement]) -> Statement:
    """What statements without conflict say together; the first to say a part says it, and the gravest severity holds."""
    judged = next((one for one in statements if one.judged), Statement())
    cells: dict[str, str] = {}
    for one in statements:
        cells = {**one.cells, **cells}
    return Statement(
        judged.verdict,
        judged.codes,
        max((one.severity for one in statements), key=SEVERITIES.index, default=""),
        next((one.corrected_answer for one in statements if one.corrected_answer), ""),
        cells,
        next((one.comment for one in statements if one.comment), ""),
    )


def twice_said(statements: Sequence[Statement]) -> bool:
    """Whether two people stand behind each part of what is said together."""
    whole = together(statements)
    judged = not whole.judged or _two(one.judged for one in statements)
    answer = not whole.corrected_answer or _two(bool(one.corrected_answer) for one in statements)
    return judged and answer and all(_two(finding in one.cells for one in statements) for finding in whole.cells)


def words(text: str) -> str:
    """A text as it is compared: case, spaces and the full stop at the end do not count."""
    return " ".join(text.casefold().split()).rstrip(".")


def _two(said: Iterable[bool]) -> bool:
    return sum(said) >= 2
