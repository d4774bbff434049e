"""Page object of the Read work space: what a reader does and sees, in the reader's words. It waits on what is shown, never on time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

MARK = """canvas => canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data[0]"""


def caught(page: Page, held: list[Route]) -> Route:
    """The oldest request that a test holds; it may still be on its way here."""
    for _ in range(600):
        if held:
            return held.pop(0)
        page.evaluate("() => new Promise((drawn) => requestAnimationFrame(drawn))")
    raise AssertionError("nothing was asked for that a test could hold")


class Viewport:
    """One image of the comparison, counted from 1."""

    def __init__(self, page: Page, number: int) -> None:
        self.number = number
        self.page = page
        self.element = page.get_by_test_id(f"viewport-{number}")
        self.area = self.element.locator(".area")
        self.image = self.element.locator(".surface canvas")
        self.role = self.element.get_by_test_id("role")
        self.window = self.element.get_by_test_id("window")
        self.levels = self.element.locator(".grey")
        self.count = self.element.locator(".count")
        self.slider = self.element.get_by_role("slider", name="Slice")

    def expect_shown(self) -> None:
        expect(self.element).to_have_attribute("data-state", "shown")

    def expect_empty(self) -> None:
        """Nothing hangs, and no pixel of what hung is left in the page."""
        expect(self.element).to_have_attribute("data-state", "empty")
        expect(self.image).to_have_count(0)
        expect(self.element.locator(".reduced")).not_to_have_attribute("src", re.compile(".*"))

    def grey(self) -> int:
        """Grey of the middle of the picture that is shown, 0..255."""
        self.expect_shown()
        value = self.image.evaluate(MARK)
        assert isinstance(value, int)
        return value

    def text(self) -> str:
        return self.area.inner_text()

    def button(self, name: str) -> Locator:
        return self.element.get_by_role("button", name=name)

    def activate(self) -> None:
        """Make it the viewport that keys and the toolbar act on, without touching its image."""
        self.element.locator(".corner.br").dispatch_event("pointerdown")


class Room:
    """The page of one reader."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page, self.origin = page, origin
        self.errors: list[str] = []
        self.strays: list[str] = []
        self.dialogs: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if "Content Security Policy" in message.text else None)
        page.on("request", lambda request: self._watch(request.url))
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.question = page.get_by_label("Question", exact=True)
        self.ask_button = page.get_by_test_id("ask")
        self.stop_button = page.get_by_test_id("stop")
        self.stage = page.get_by_test_id("stage")
        self.turns = page.get_by_test_id("turn")
        self.sessions = page.get_by_test_id("session")
        self.outcomes = page.get_by_test_id("outcomes").locator("li")
        self.patients = page.get_by_test_id("patient")
        self.reason = page.get_by_test_id("reason")
        self.toasts = page.get_by_test_id("toast-bad")

    @classmethod
    def open(cls, reader: BrowserContext, origin: str, path: str = "/") -> Self:
        """Open the page and wait until it is ready."""
        room = cls(reader.new_page(), origin)
        room.page.goto(f"{origin}{path}", wait_until="commit")
        room.expect_ready()
        return room

    def expect_ready(self) -> None:
        expect(self.page.get_by_test_id("app")).to_have_attribute("data-ready", "true")
        expect(self.page.get_by_test_id("engine")).to_have_attribute("data-state", "ready")

    def stop(self) -> None:
        """Stop the answer; returns when the server has heard it, so that a word let through after that is one too many."""
        with self.page.expect_response(re.compile(r"/api/runs/[^/]+/stop$")):
            self.stop_button.click()

    def reload(self) -> None:
        self.page.reload(wait_until="commit")
        self.expect_ready()

    def upload(self, paths: Sequence[Path]) -> None:
        """Choose files, and wait for the outcome of every one."""
        self.page.get_by_test_id("files").set_input_files([str(path) for path in paths])
        expect(self.page.get_by_test_id("report").get_by_role("button", name="Close this list")).to_be_visible()

    def tool(self, name: str) -> Locator:
        """A button of the toolbar by its name in the program."""
        return self.page.get_by_test_id("toolbar").locator(f"[data-action='{name}']")

    def viewport(self, number: int) -> Viewport:
        return Viewport(self.page, number)

    def ask(self, question: str) -> None:
        self.question.fill(question)
        self.question.press("Enter")

    def words(self, turn: int = 1) -> Locator:
        """The words of the answer to question `turn`, counted from 1."""
        return self.turns.nth(turn - 1).locator(".words")

    def expect_answered(self, text: str, turn: int = 1) -> None:
        expect(self.turns.nth(turn - 1).get_by_test_id("provenance")).to_be_visible()
        expect(self.words(turn)).to_have_text(text)

    def case(self, patient: int = 1) -> Locator:
        """The button that hangs all time points of the patient, counted from 1."""
        return self.patients.nth(patient - 1).locator(".case")

    def assert_calm(self) -> None:
        """No script error, no refused script, no dialog, no request off this machine."""
        assert self.errors == []
        assert self.dialogs == []
        assert self.strays == []

    def _watch(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.strays.append(url)
