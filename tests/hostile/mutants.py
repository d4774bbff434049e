"""Files with flipped bytes and files cut short: hundreds at a time in one child, each a picture or a typed error."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from storage import studies
from tests.hostile.runner import look
from tests.references import generated

SYNTAXES = {
    "explicit": "1.2.840.10008.1.2.1",
    "JPEG lossless": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
    "RLE": "1.2.840.10008.1.2.5",
    "HTJ2K": "1.2.840.10008.1.2.4.201",
    "JPEG XL": "1.2.840.10008.1.2.4.110",
}
_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Batch:
    """Counts over one batch; `crashes` are what escaped the border, `slowest` and `p99` are seconds."""

    name: str
    pictures: int
    errors: int
    crashes: tuple[str, ...]
    slowest: float
    p99: float


def flipped(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`count` copies with one to eight bytes changed anywhere."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        copy = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 9)):
            copy[at] = rng.integers(0, 256)
        yield bytes(copy)


def cut(data: bytes, count: int = 40) -> Iterator[bytes]:
    """`count` copies that end too early."""
    for index in range(count):
        yield data[: len(data) * (index + 1) // (count + 1)]


def _child(files: list[bytes], folder: Path, pipe: Connection) -> None:
    seconds, pictures, errors = [], 0, 0
    for index, data in enumerate(files):
        path = folder / f"mutant-{index}.dcm"
        path.write_bytes(data)
        started = time.process_time()
        try:
            shown, reasons = look(studies.read([path]))
            pictures, errors = pictures + shown, errors + (not shown and bool(reasons))
            crash = "" if shown or reasons else "neither a picture nor a reason"
        except BaseException as error:
            crash = f"mutant {index}: {type(error).__name__}: {error}"[:200]
        seconds.append(time.process_time() - started)
        if crash:
            pipe.send_bytes(json.dumps(crash).encode())
        path.unlink()
    pipe.send_bytes(json.dumps([pictures, errors, max(seconds), float(np.percentile(seconds, 99))]).encode())


def run(name: str, files: list[bytes], folder: Path) -> Batch:
    """Read every file in one child."""
    folder.mkdir(parents=True, exist_ok=True)
    mine, theirs = _fork.Pipe(duplex=False)
    child = _fork.Process(target=_child, args=(files, folder, theirs), daemon=True)
    child.start()
    theirs.close()
    crashes: list[str] = []
    try:
        while True:
            message = json.loads(mine.recv_bytes())
            if isinstance(message, list):
                pictures, errors, slowest, p99 = message
                return Batch(name, pictures, errors, tuple(crashes), slowest, p99)
            crashes.append(message)
    except EOFError:
        child.join()
        return Batch(name, 0, 0, (*crashes, f"the process died with exit code {child.exitcode}"), 0.0, 0.0)
    finally:
        mine.close()
        child.join()


def original(folder: Path, syntax: str) -> bytes:
    """A sound file in a syntax, for mutants to be made of."""
    folder.mkdir(parents=True, exist_ok=True)
    return generated(folder, syntax, 12, False)[0].read_bytes()


def batches(folder: Path, count: int) -> Iterator[Batch]:
    """All batches: `count` flipped files of each syntax, and 40 cut ones."""
    for seed, (name, syntax) in enumerate(SYNTAXES.items()):
        data = original(folder / "originals", syntax)
        yield run(f"{name}, {count} with flipped bytes", list(flipped(data, count, seed)), folder / "flipped")
        yield run(f"{name}, 40 cut short", list(cut(data)), folder / "cut")
