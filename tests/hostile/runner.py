"""Open one path in a child process of its own and measure it: what came out, seconds, and memory above the start.

The child is a fork of this process, so nothing is imported again; its peak memory is counted from the moment it
starts. Seconds are of the processor, so that a busy machine does not fail a sound reader; a child that hangs is
killed by the clock. It reads twice, as it is and de-identified, and looks at the first pictures of each series.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from errors import StudyError
from storage import studies
from storage.studies.model import Reading

SECONDS, MEGABYTES = 2.0, 300.0
_GIVE_UP = 20.0
_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Measured:
    """`ending` is `picture`, `refused`, `skipped` or `nothing`; `crash` says what went wrong otherwise."""

    ending: str
    reasons: tuple[str, ...]
    seconds: float
    megabytes: float
    crash: str = ""

    @property
    def fine(self) -> bool:
        """No crash, in time and in memory."""
        return not self.crash and self.seconds < SECONDS and self.megabytes < MEGABYTES


def look(reading: Reading) -> tuple[bool, list[str]]:
    """Display the first and last frames of every series; whether there was a picture, and what was said instead."""
    shown, reasons = False, [note for file in reading.files for note in [file.reason] if note]
    for study in reading.studies:
        for series in study.series:
            reasons += [*series.warnings, *(note for frame in series.frames[:1] for note in frame.warnings)]
            for frame in {frame.key: frame for frame in (*series.frames[:2], series.frames[-1])}.values():
                try:
                    studies.windows(frame)
                    shown = studies.display(frame).size > 0 or shown
                except StudyError as error:
                    reasons.append(error.reason)
    return shown, reasons


def open_all(path: Path, work: Path) -> tuple[str, list[str]]:
    """Read and look, as it is and de-identified; how it ended and every sentence that was said."""
    plain = studies.read([path], workspace=work / "unpacked")
    shown, reasons = look(plain)
    again = studies.read([path], deidentifier=studies.Deidentifier(bytes(range(32)), work / "kept"), workspace=work / "again")
    shown_again, more = look(again)
    if shown != shown_again:
        raise AssertionError(f"with identity: {shown}, without: {shown_again} {more}")
    outcomes = {file.outcome for file in plain.files}
    ending = "picture" if shown else "refused" if "refused" in outcomes or "imported" in outcomes else "skipped" if outcomes else "nothing"
    return ending, [*reasons, *more]


def _memory(field: str) -> float:
    """A field of /proc/self/status in MB; 0 where there is none."""
    with contextlib.suppress(OSError, StopIteration):
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) / 1024
    return 0.0


def _child(path: Path, unprivileged: bool, pipe: Connection) -> None:
    with tempfile.TemporaryDirectory() as work:
        if unprivileged and os.geteuid() == 0:
            Path(work).chmod(0o777)
            os.seteuid(65534)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        before, started, crash, ending, reasons = _memory("VmRSS"), time.process_time(), "", "nothing", [""]
        try:
            ending, reasons = open_all(path, Path(work))
        except BaseException as error:
            crash = f"{type(error).__name__}: {error}"[:300]
        took, peak = time.process_time() - started, max(0.0, _memory("VmHWM") - before)
        pipe.send_bytes(json.dumps([ending, reasons, took / 2, peak, crash]).encode())
        pipe.close()
        if unprivileged:
            os.seteuid(os.getuid())


def measure(path: Path, unprivileged: bool = False) -> Measured:
    """Run `open_all` on a path in a child; a child that dies or hangs is a crash. Seconds are for one of the two readings."""
    mine, theirs = _fork.Pipe(duplex=False)
    child = _fork.Process(target=_child, args=(path, unprivileged, theirs), daemon=True)
    child.start()
    theirs.close()
    try:
        if not mine.poll(_GIVE_UP):
            os.kill(child.pid or 0, signal.SIGKILL)
            return Measured("nothing", (), _GIVE_UP, 0.0, f"still running after {_GIVE_UP:.0f} s")
        ending, reasons, took, peak, crash = json.loads(mine.recv_bytes())
        return Measured(ending, tuple(reasons), took, peak, crash)
    except EOFError:
        child.join()
        return Measured("nothing", (), 0.0, 0.0, f"the process died with exit code {child.exitcode}")
    finally:
        mine.close()
        child.join()
