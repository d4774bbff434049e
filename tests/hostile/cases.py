"""All hostile cases: the generated ones, and the malformed files of the test data where there are any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.hostile import dicom_cases, other_cases
from tests.hostile.case import CASES, Case
from tests.hostile.runner import MEGABYTES, SECONDS, Measured

assert dicom_cases
assert other_cases


def malformed(data: Path) -> Iterator[Case]:
    """One case for every file of `dicom/malformed`; each may be a picture or a sentence."""
    folder = data / "dicom" / "malformed"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        yield Case(f"malformed {path.name}", "either", "", lambda _, path=path: path)


def every(data: Path) -> Iterator[Case]:
    """Generated cases, then malformed files under `data`."""
    yield from CASES.values()
    yield from malformed(data)


def wrong(case: Case, result: Measured) -> str:
    """What is wrong with how a case ended; '' when it ended as it must."""
    if result.crash:
        return result.crash
    if case.ending != "either" and result.ending != case.ending:
        return f"ended as {result.ending}, not {case.ending}: {result.reasons[:2]}"
    if case.says and not any(case.says in reason for reason in result.reasons):
        return f"did not say {case.says!r}: {result.reasons[:2]}"
    if result.seconds >= SECONDS:
        return f"took {result.seconds:.1f} s"
    return f"took {result.megabytes:.0f} MB" if result.megabytes >= MEGABYTES else ""
