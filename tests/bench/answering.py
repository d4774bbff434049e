"""How long a question takes: warm on a new pair, again on the same pair, and cold from the shell."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from inference.answer import Answer, ask
from inference.engine import Engine, Options, Request, Token
from inference.select import open_engine
from settings import load
from tests.bench.figures import Figure, seconds
from tests.bench.subjects import radiograph, small_pair

ROOT = Path(__file__).resolve().parents[2]
QUESTION = "What changed since the prior?"
AGAIN = "Is the pleural effusion progressing from the prior to the current study?"
WHOLE = 40
PAIRS = 5


@dataclass(frozen=True)
class Timed:
    """Seconds to the first token and between tokens, and the number of tokens, of one question as its asker feels it."""

    first: float
    each: float
    tokens: int

    def whole(self, tokens: int = WHOLE) -> float:
        """Seconds to an answer of that many tokens at this question's pace."""
        return self.first + (tokens - 1) * self.each


def timed(engine: Engine, request: Request) -> Timed:
    """Ask and watch the tokens come."""
    import time

    start = time.perf_counter()
    stamps: list[float] = []
    for item in ask(engine, request, Event()):
        if isinstance(item, Token):
            stamps.append(time.perf_counter() - start)
        elif isinstance(item, Answer) and item.error:
            raise SystemExit(f"the question was not answered: {item.error}")
    each = (stamps[-1] - stamps[0]) / (len(stamps) - 1) if len(stamps) > 1 else 0.0
    return Timed(stamps[0], each, len(stamps))


def warm(models: Path) -> list[Figure]:
    """A loaded engine, pairs it has never seen: both images are encoded each time; then a second question about each."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "models").symlink_to(models, target_is_directory=True)
        engine = open_engine(load(data_dir=folder)).engine
        try:
            firsts: list[Timed] = []
            seconds_: list[Timed] = []
            for seed in range(PAIRS + 1):
                images = small_pair(seed)
                firsts.append(timed(engine, Request(images, QUESTION, options=Options(max_tokens=WHOLE))))
                seconds_.append(timed(engine, Request(images, AGAIN, options=Options(max_tokens=WHOLE))))
        finally:
            engine.close()
    new, again = firsts[1:], seconds_[1:]  # the first pair also waits for the model to load
    first = statistics.median(one.first for one in new)
    ratio = statistics.median(later.first / earlier.first for earlier, later in zip(new, again, strict=True))
    tokens = sum(one.tokens for one in new) / len(new)
    how = f"new pair, both images encoded; median of {PAIRS}"
    return [
        Figure("warm question, first token", first, "s", 2.5, how),
        Figure(
            "warm question, 40 tokens",
            statistics.median(one.whole() for one in new),
            "s",
            6.0,
            f"{how}; answers of {tokens:.0f} tokens, at their pace",
        ),
        Figure(
            "second question / first question, to the first token",
            ratio,
            "x",
            0.5,
            "same pair: nothing is encoded again, the prefix is kept",
        ),
    ]


def cold(models: Path, times: int = 3) -> list[Figure]:
    """`python app.py ask` from nothing: a new process, an empty store, two 10 MB files."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [radiograph(Path(folder) / f"{date}.dcm", seed, date) for seed, date in enumerate(("20210504", "20210518"))]
        taken: list[float] = []
        for number in range(times):
            data = Path(folder) / f"data{number}"
            data.mkdir()
            (data / "models").symlink_to(models, target_is_directory=True)
            images = [word for path in paths for word in ("--image", str(path))]
            command = [sys.executable, str(ROOT / "app.py"), "ask", *images, "--question", QUESTION, "--json", "--data-dir", str(data)]
            taken.append(seconds(lambda command=command: answered(command)))  # type: ignore[misc]
    return [
        Figure(
            "cold `app.py ask`, two 10 MB radiographs", statistics.median(taken), "s", 15.0, f"new process, empty store; median of {times}"
        )
    ]


def answered(command: list[str]) -> None:
    """Run the command and insist on an answer."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not json.loads(done.stdout.splitlines()[-1])["answer"]:
        raise SystemExit(f"ask failed: {done.stderr.strip() or done.stdout.strip()}")
