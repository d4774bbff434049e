"""One hostile case: its name, how it must end, and the function that makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Ending = Literal["picture", "refused", "skipped", "either"]
Make = Callable[[Path], Path]


@dataclass(frozen=True)
class Case:
    """`says` must be in one of the reasons; `either` allows a picture or a refusal."""

    name: str
    ending: Ending
    says: str
    make: Make
    unprivileged: bool = False


CASES: dict[str, Case] = {}


def case(name: str, ending: Ending, says: str = "", unprivileged: bool = False) -> Callable[[Make], Make]:
    """Enter a case into the list."""

    def enter(make: Make) -> Make:
        assert name not in CASES, name
        CASES[name] = Case(name, ending, says, make, unprivileged)
        return make

    return enter
