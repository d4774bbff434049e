"""What the commands of this room share: an error is one sentence and an exit code, progress goes to standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable

from errors import IntervalError


def run(work: Callable[[], str]) -> int:
    """Do `work` and print what it tells; returns the exit code. An `IntervalError` is printed as its sentence."""
    try:
        told = work()
    except IntervalError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if told:
        print(told)
    return 0


def say(words: str) -> None:
    """One line of progress."""
    print(f"... {words}", file=sys.stderr, flush=True)
