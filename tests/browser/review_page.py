"""Page object of the Review work space."""

from __future__ import annotations

from typing import Self

from playwright.sync_api import BrowserContext, Locator, Page, expect

from storage.store import Store
from storage.views import LOCAL
from tests.browser.room import Room


class Reviewing:
    """What a reviewer sees and does."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.page: Page = room.page
        self.lines = self.page.get_by_test_id("queue-line")
        self.state = self.page.get_by_test_id("case-state")
        self.form = self.page.get_by_test_id("statement")
        self.answer = self.page.get_by_test_id("case-answer")
        self.barred = self.page.get_by_test_id("barred")
        self.told = self.page.get_by_test_id("toast-good")

    @classmethod
    def open(cls, context: BrowserContext, origin: str, store: Store, role: str, name: str) -> Self:
        """A new reader with a role, in Review."""
        room = Room.open(context, origin)
        me: int = room.page.evaluate("async () => (await (await fetch('/api/me')).json()).id")
        member = next(one for one in store.members() if one.id == me)
        store.give_role(store.user(LOCAL), member.id, role)
        naming = "name => fetch('/api/me', {method: 'PUT', headers: {'content-type': 'application/json'}, body: JSON.stringify({name})})"
        room.page.evaluate(naming, name)
        room.page.get_by_test_id("tab-review").click()
        found = cls(room)
        expect(found.page.get_by_test_id("queue-states")).to_contain_text("Pending")
        return found

    def narrow(self, state: str) -> None:
        """Show one state of the queue."""
        button = self.page.get_by_test_id("queue-states").locator(f"[data-state='{state}']")
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")

    def count(self, state: str) -> Locator:
        """The number beside a state."""
        return self.page.get_by_test_id("queue-states").locator(f"[data-state='{state}'] .number")

    def next(self) -> None:
        """Take the next case and see it on the stage."""
        self.page.get_by_test_id("next-case").click()
        self.expect_case()

    def expect_case(self) -> None:
        expect(self.state).to_have_text("yours")
        self.room.viewport(2).expect_shown()

    def number(self) -> int:
        """The number of the case that is open."""
        return int(self.page.locator(".casehead h2").inner_text().removeprefix("Case "))

    def code(self, name: str) -> Locator:
        return self.page.get_by_test_id("codes").get_by_role("button", name=name)

    def submit(self) -> None:
        """Keep what the form says, and read what came of it."""
        number = self.number()
        self.page.get_by_test_id("keep").click()
        expect(self.page.locator(".casehead h2").or_(self.page.get_by_test_id("take-next"))).not_to_have_text(f"Case {number}")
