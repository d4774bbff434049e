"""What trust, many readers and the page cost: checks over a warm answer, four readers over one, the first word in the browser, growth."""

from __future__ import annotations

import http.cookiejar
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import psutil

from inference.answer import ask
from inference.checks import Name, examined
from inference.engine import Engine, Options, Request
from inference.select import Selection
from settings import load
from tests.bench.answering import QUESTION, WHOLE, timed
from tests.bench.figures import Figure, seconds
from tests.bench.peers import engine_of
from tests.bench.serving import ROOT, free_port, started, wait_for
from tests.bench.subjects import small_pair
from ui.engine_room import EngineRoom

PAIRS = 5
ALWAYS: tuple[Name, ...] = ("decided", "no_image", "rotation")
"""The checks every answer gets: C0, C1 and C3."""
QUESTIONS = (QUESTION, "Is the effusion larger?", "Is the heart larger?", "Which image shows more disease?")
READERS = 4
WARM_UP, IDENTICAL = 60, 200


def checks(models: Path) -> list[Figure]:
    """Seconds of C0, C1 and C3 over those of a warm answer; and images that the exchange of prior and current encodes anew."""
    shares: list[float] = []
    anew = 0
    with engine_of(models) as engine:
        for seed in range(PAIRS + 1):
            prior, current = small_pair(300 + seed)
            apart = replace(current, when=f"{30 + seed} days later")  # so that nothing of another pair's prompt is of use to the checks
            request = Request((prior, apart), QUESTION, options=Options(max_tokens=WHOLE))
            whole = timed(engine, request).whole()
            began = time.perf_counter()
            for _ in examined(engine, request, "It is worse.", Event(), ALWAYS):
                pass
            shares.append((time.perf_counter() - began) / whole)
            anew += _encoded_by_exchange(engine, request)
    how = f"a new pair each, both images encoded, 40 tokens at the measured pace; median of {PAIRS}"
    return [
        Figure("checks C0, C1 and C3 over a warm answer", statistics.median(shares[1:]), "x", 0.4, how),
        Figure("images encoded anew by the exchange of prior and current", anew, "images", 0.0, f"{PAIRS + 1} pairs"),
    ]


def readers(models: Path) -> list[Figure]:
    """Four readers with four questions each, queued on one engine, against one reader who asks all sixteen."""
    with engine_of(models) as engine, tempfile.TemporaryDirectory() as folder:
        room = EngineRoom(load(data_dir=folder), lambda _: Selection(engine, "bench"))
        room.start()
        sessions = [
            [Request(small_pair(400 + reader), question, options=Options(max_tokens=WHOLE)) for question in QUESTIONS]
            for reader in range(READERS)
        ]
        for session in sessions:  # every image once, so that both sides find them encoded
            _read(room, session[:1], [])
        ratios: list[float] = []
        ahead = 0
        for _ in range(PAIRS):  # one after the other, so that what else the machine does slows both
            one = seconds(partial(_read, room, [request for session in sessions for request in session], []))
            order: list[int] = []
            ratios.append(seconds(partial(_together, room, sessions, order)) / one)
            ahead = max(ahead, *(_ahead(order[:count]) for count in range(1, len(order) + 1)))
    how = f"{READERS} readers, {len(QUESTIONS)} questions each about a pair of their own; median of {PAIRS}"
    return [
        Figure(
            "four readers at once over one after the other, time",
            statistics.median(ratios),
            "x",
            1 / 0.9,
            f"{how}; the bound is 0.9 of the throughput",
        ),
        Figure("answers a reader is ahead of the one served least", float(ahead), "answers", 1.0, how),
    ]


def growth(models: Path) -> list[Figure]:
    """The served app before and after 200 identical questions: memory of server and engine, threads, open files."""
    with tempfile.TemporaryDirectory() as folder, _served(models, Path(folder)) as (process, browser):
        body = browser.question()
        for _ in range(WARM_UP):
            browser.ask(body)
        before = _held(process)
        for _ in range(IDENTICAL):
            browser.ask(body)
        after = _held(process)
    how = f"served app, each question a session of its own, after {WARM_UP} others; memory before {before[0] / 1e6:.0f} MB"
    return [
        Figure("memory added by 200 identical questions", (after[0] - before[0]) / before[0], "of it", 0.01, how),
        Figure("threads added", after[1] - before[1], "", 0.0, how),
        Figure("open files added", after[2] - before[2], "", 0.0, how),
    ]


def page(models: Path) -> list[Figure]:
    """From Enter in a real browser to the first word on the screen, less the engine's own seconds to that word."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import ARGS, installed

    more: list[float] = []
    own: list[float] = []
    with tempfile.TemporaryDirectory() as folder, _served(models, Path(folder)) as (_, browser), sync_playwright() as playing:
        chromium = playing.chromium.launch(executable_path=installed(), args=ARGS)
        try:
            view = chromium.new_context(viewport={"width": 1440, "height": 900}).new_page()
            view.set_default_timeout(120_000)
            view.goto(browser.origin, wait_until="commit")
            view.locator("[data-testid=app][data-ready=true]").wait_for()
            view.locator("[data-testid=patient] .case").first.click()
            view.locator("[data-testid=viewport-2][data-state=shown]").wait_for()
            for number in range(PAIRS + 1):
                seen = view.evaluate(FIRST_WORD, QUESTIONS[number % len(QUESTIONS)])
                own.append(seen["engine"])
                more.append(seen["first"] - seen["engine"])
        finally:
            chromium.close()
    added, alone = statistics.median(more[1:]), statistics.median(own[1:])
    how = f"from Enter to the first word drawn, less the engine's {1000 * alone:.0f} ms; Chromium on the same machine; median of {PAIRS}"
    return [Figure("time the page adds to the first word", 1000 * added, "ms", max(50.0, 50 * alone), how)]


FIRST_WORD = """async (question) => {
  const box = document.getElementById('iv-question');
  const turns = document.querySelector('[data-testid=turns]');
  const before = turns.children.length;
  box.value = question;
  box.dispatchEvent(new Event('input', { bubbles: true }));
  const from = performance.now();
  const drawn = new Promise((done) => {
    const look = new MutationObserver(() => {
      const words = turns.children[before]?.querySelector('.words');
      if (!words || !words.textContent.trim()) return;
      look.disconnect();
      requestAnimationFrame(() => done(performance.now()));
    });
    look.observe(turns, { childList: true, subtree: true, characterData: true });
  });
  box.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }));
  const first = await drawn;
  const { state } = await import('/app/state.js');
  const whole = () => !state.running && !state.checking && state.turns[before]?.versions.length;
  while (!whole()) await new Promise((go) => setTimeout(go, 50));
  return { first: (first - from) / 1000, engine: state.turns[before].versions[0].timings.first_token_s };
}"""


def _encoded_by_exchange(engine: Engine, request: Request) -> int:
    from inference.reading import exchanged

    engine.score(exchanged(request), ["worse", "stable"])
    return engine.timings.images_encoded


def _read(room: EngineRoom, session: Sequence[Request], order: list[int], number: int = 0) -> None:
    """A reader's questions, one after the other; `order` hears of every answer."""
    for request in session:
        with room.use(Event()) as engine:
            for _ in ask(engine, request, Event()):
                pass
        order.append(number)


def _together(room: EngineRoom, sessions: Sequence[Sequence[Request]], order: list[int]) -> None:
    """All readers at once."""
    threads = [threading.Thread(target=_read, args=(room, session, order, number)) for number, session in enumerate(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _ahead(order: Sequence[int]) -> int:
    """By how many answers the reader served most is ahead of the one served least."""
    counts = [order.count(reader) for reader in range(READERS)]
    return max(counts) - min(counts)


class _Browser:
    """A reader who speaks to the served app without drawing anything."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        self._opener.open(origin).read()

    def question(self) -> bytes:
        """A question about the first demo case, as the page sends it."""
        library = json.load(self._opener.open(f"{self.origin}/api/library"))
        hang = json.load(self._post("/api/hang", {"study_ids": library["cases"][0]["study_ids"]}))
        slots = [
            {"series_id": slot["series"]["id"], "frame": slot["frame"], "role": slot["role"], "when": slot["when"]}
            for slot in hang["slots"]
        ]
        return json.dumps({"question": QUESTION, "slots": slots}).encode()

    def ask(self, body: bytes) -> None:
        """One question to its last word."""
        answer = self._post("/api/ask", body).read().decode()
        if '"type": "answer"' not in answer:
            raise SystemExit(f"a question was not answered: {answer[-300:]}")

    def _post(self, path: str, body: Any) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.origin}{path}", data, {"content-type": "application/json"})
        return self._opener.open(request, timeout=120)


@contextmanager
def _served(models: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], _Browser]]:
    """The app as it is served, ready, with the demo cases."""
    (folder / "models").symlink_to(models, target_is_directory=True)
    port = free_port()
    with started([sys.executable, str(ROOT / "app.py"), "serve"], folder, port) as process:
        wait_for(f"http://127.0.0.1:{port}/readyz", process)
        yield process, _Browser(f"http://127.0.0.1:{port}")


def _held(process: subprocess.Popen[bytes]) -> tuple[int, int, int]:
    """Bytes (PSS), threads and open files of server and engine once they have come to rest."""
    time.sleep(3.0)
    server = psutil.Process(process.pid)
    family = [server, *server.children(recursive=True)]
    return sum(one.memory_full_info().pss for one in family), sum(one.num_threads() for one in family), sum(one.num_fds() for one in family)
