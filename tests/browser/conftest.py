"""A served app in this process, a real Chromium beside it, and one fresh browser context (one reader) for each test.

The app is shared by the whole run: every test is another reader with another cookie, so that isolation is exercised by
every test. The browser is an installed Chromium or Chrome, else Playwright's own; without any the tests are skipped by name.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, Playwright, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from settings import load
from tests.browser.room import Room
from tests.fakes import CARD
from tests.inference.test_calibrated import site
from tests.ui.desk import Desk
from ui.server import create_app

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
REMEDY = "needs a browser: install chromium (apt-get install chromium) or run `playwright install chromium`"


PATIENCE = 60_000
"""Milliseconds a test waits for what should come at once; only a loaded machine ever needs them."""

expect.set_options(timeout=PATIENCE)


@dataclass(frozen=True)
class Served:
    """A served app: its address, the engine's inside and the data directory."""

    url: str
    desk: Desk
    app: FastAPI
    folder: Path


def installed() -> str | None:
    """Path of an installed Chromium or Chrome, or None for Playwright's own."""
    named = os.environ.get("INTERVAL_CHROMIUM")
    found = [named, "/usr/bin/chromium", *map(shutil.which, ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser"))]
    return next((path for path in found if path and Path(path).exists()), None)


def serve(app: FastAPI) -> Iterator[str]:
    """Serve `app` on a free port until the generator is closed; yields its address."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(64)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
    thread = Thread(target=server.run, kwargs={"sockets": [listening]}, name="served-app", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listening.close()


@pytest.fixture(scope="session")
def playing() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def chromium(playing: Playwright) -> Iterator[Browser]:
    try:
        browser = playing.chromium.launch(executable_path=installed(), args=ARGS)
    except PlaywrightError:
        pytest.skip(REMEDY)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    desk = Desk()
    app = create_app(load(data_dir=folder, max_upload_mb=8), desk.factory)
    address = serve(app)
    yield Served(next(address), desk, app, folder)
    address.close()


@pytest.fixture
def browsers(chromium: Browser) -> Iterator[Callable[[], BrowserContext]]:
    """Call it for the browser of one more person."""
    contexts: list[BrowserContext] = []

    def begin() -> BrowserContext:
        contexts.append(chromium.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB"))
        contexts[-1].set_default_timeout(PATIENCE)
        return contexts[-1]

    yield begin
    for context in contexts:
        context.close()


@pytest.fixture
def reader(browsers: Callable[[], BrowserContext]) -> BrowserContext:
    """A new reader's browser; any request that leaves the machine, and any script error, fails the test."""
    return browsers()


@pytest.fixture
def room(reader: BrowserContext, served: Served) -> Iterator[Room]:
    """The page, open and ready."""
    served.desk.says("The opacity is worse.")
    room = Room.open(reader, served.url)
    yield room
    room.assert_calm()


@pytest.fixture
def reviewed(served: Served, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it where readers are to have reviewed 600 answers of the stand-in."""

    def go() -> None:
        store = served.app.state.context.store
        monkeypatch.setattr(store, "accepted", lambda: site(600, CARD.sha256))
        monkeypatch.setattr(store, "accepted_stamp", lambda: (600, None))

    return go
