"""Review in the browser: a reader, a second reader and an adjudicator at once; holds, agreement and audit are right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Route, expect

from settings import load
from storage import audit
from storage.feedback import Said
from storage.review_views import Filters, Judgement
from storage.statements import Statement
from storage.store import Store
from storage.views import LOCAL, User
from tests.browser.conftest import Served, serve
from tests.browser.review_page import Reviewing
from tests.browser.room import Room, caught
from tests.browser.samples import pair
from tests.ui.desk import Desk
from ui.server import create_app

pytestmark = pytest.mark.browser

Browsers = Callable[[], BrowserContext]

CASES = 10
CODES = ["change-missed", "change-hallucinated", "images-swapped", "wrong-side", "other"]
"""What the reader flags, case after case, twice through."""


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Served]:
    """A server of its own, so that its queue holds this test's cases alone."""
    desk = Desk()
    app = create_app(load(data_dir=tmp_path / "ward"), desk.factory, demo=False)
    address = serve(app)
    yield Served(next(address), desk, app, tmp_path)
    address.close()


def flag(room: Room, folder: Path, cases: int) -> User:
    """Ask questions and flag every answer; the reader. The questions are asked on the page, the flags given by its routes."""
    room.upload(pair(folder))
    room.viewport(2).expect_shown()
    for number in range(cases):
        room.ask(f"Question {number + 1}?")
        room.expect_answered("The opacity is worse.", turn=number + 1)
    me: int = room.page.evaluate("async () => (await (await fetch('/api/me')).json()).id")
    flags = """async codes => {
      const { state } = await import('/app/state.js');
      for (const [number, turn] of state.turns.entries()) await fetch('/api/feedback', {
        method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ version_id: turn.versions[0].id, verdict: 'disagree', codes: [codes[number % codes.length]] }) });
    }"""
    room.page.evaluate(flags, CODES)
    return User(me, "")


def test_three_people_work_through_ten_cases(ward: Served, browsers: Browsers, tmp_path: Path) -> None:
    ward.desk.says("The opacity is worse.")
    store: Store = ward.app.state.context.store
    room = Room.open(browsers(), ward.url)
    reader = flag(room, tmp_path, CASES)
    second = Reviewing.open(browsers(), ward.url, store, "annotator", "Second")
    third = Reviewing.open(browsers(), ward.url, store, "adjudicator", "Third")
    expect(second.lines).to_have_count(CASES)

    second.next()
    held = second.number()
    third.narrow("in work")
    expect(third.lines).to_have_count(1)
    expect(third.lines.first).to_contain_text("held by Second")
    third.lines.first.click()
    expect(third.barred).to_contain_text("Somebody else has this case in work")
    expect(third.form).to_have_count(0)
    third.narrow("pending")
    third.next()
    assert third.number() != held
    third.page.get_by_test_id("skip").click()
    expect(third.told).to_contain_text("Left to another")
    third.page.get_by_test_id("tab-read").click()

    for number in range(CASES):
        second.expect_case()
        expect(second.answer).to_have_text("The opacity is worse.")
        if number in (2, 5):  # two contradictions: another code in the place of the reader's
            for chosen in second.page.locator(".code[aria-pressed='true']").all():
                chosen.click()
            second.code("Forecast as fact").click()
        second.submit()
        if number == CASES - 2:
            expect(second.page.get_by_test_id("take-next")).to_be_visible()
            second.narrow("skipped")
            second.lines.first.click()
    second.page.get_by_test_id("filters").locator("summary").click()
    second.page.get_by_test_id("mine").uncheck()
    second.narrow("")
    expect(second.count("submitted")).to_have_text("8")
    expect(second.count("disputed")).to_have_text("2")
    second.narrow("disputed")
    second.lines.first.click()
    expect(second.barred).to_contain_text("a third decides")

    third.page.get_by_test_id("tab-review").click()
    third.page.get_by_test_id("rest-agreement").click()
    third.page.get_by_test_id("see-disputes").click()
    expect(third.lines).to_have_count(2)
    third.lines.first.click()
    third.expect_case()
    expect(third.page.get_by_test_id("conflicts")).to_contain_text("what is wrong")
    expect(third.page.get_by_test_id("voices").locator(".voice")).to_have_count(2)
    third.submit()
    third.expect_case()
    third.page.get_by_test_id("unusable").click()
    expect(third.page.get_by_test_id("take-next")).to_be_visible()
    expect(third.count("adjudicated")).to_have_text("2")

    third.page.get_by_test_id("rest-agreement").click()
    table = third.page.get_by_test_id("agreement")
    expect(table).to_contain_text("10 cases judged by at least two")
    expect(table).to_contain_text("the same codes in 80 %")
    expect(table.locator("tr[data-code='wrong-time-point'] td").nth(2)).to_have_text("–")

    accepted = store.accepted()
    assert len(accepted) == 9
    assert sum(one.adjudicator is not None for one in accepted) == 1
    assert {one.reader for one in accepted} == {reader.id}
    with store._database.read() as session:
        events = session.connection().exec_driver_sql("SELECT event, count(*) FROM audit WHERE object_kind = 'item' GROUP BY event").all()
        assert audit.broken(session) == ""
    counts = {row[0]: row[1] for row in events}
    assert (counts["review"], counts["adjudicate"]) == (CASES + 1, 2)
    assert counts["take"] >= CASES + 3
    for one in (room, second.room, third.room):
        one.assert_calm()


def test_a_case_is_held_while_its_reviewer_is_at_it(ward: Served, browsers: Browsers, tmp_path: Path) -> None:
    """What was written outlives a hold whose time is over; one left for another is free; agreement of two is told alone."""
    ward.desk.says("The opacity is worse.")
    store: Store = ward.app.state.context.store
    reader = flag(Room.open(browsers(), ward.url), tmp_path, 3)
    third = store.user("third", "Third")
    store.give_role(store.user(LOCAL), third.id, "annotator")
    desk = Reviewing.open(browsers(), ward.url, store, "annotator", "Second")
    me = next(one for one in store.members() if one.name == "Second")
    desk.next()
    expect(desk.lines.filter(has_text="yours")).to_have_attribute("aria-current", "true")
    desk.page.get_by_test_id("remark").fill("Written before the time was over.")
    store.let_go(User(me.id, ""))
    desk.submit()
    expect(desk.told.first).to_contain_text("it may train")
    assert [len(one.reviewers) for one in store.accepted()] == [1]

    desk.expect_case()
    held = desk.number()
    desk.page.get_by_test_id("remark").fill("Written about what the reader said first.")
    store.add_feedback(store.review_case(held, third).turn.versions[0].id, reader, Said("disagree", codes=("wrong-view",)))
    desk.page.get_by_test_id("keep").click()
    expect(desk.page.get_by_test_id("toast-bad")).to_contain_text("its reader changed it")
    expect(desk.page.get_by_test_id("remark")).to_have_value("Written about what the reader said first.")
    desk.narrow("submitted")
    desk.lines.filter(has_text="submitted").first.click()
    expect(desk.barred).to_contain_text("it may train")
    expect(desk.count("in work")).to_have_text("0")

    item = store.take_next(third, Filters(state="pending"))
    assert item is not None
    store.decide(item.id, third, Judgement("judged", Statement("disagree", ("other",))))
    desk.page.get_by_test_id("rest-agreement").click()
    table = desk.page.get_by_test_id("agreement")
    expect(table).to_contain_text("2 cases judged by at least two")
    late: list[Route] = []
    desk.page.route("**/api/review/agreement", lambda route: late.append(route))  # everybody's, while one is named
    desk.page.get_by_test_id("agree-1").select_option(str(reader.id))
    desk.page.get_by_test_id("agree-2").select_option("Second")
    expect(table).to_contain_text("1 case judged by at least two")
    with desk.page.expect_event("requestfinished", lambda one: one.url.endswith("/agreement")):
        caught(desk.page, late).continue_()
    desk.page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    expect(table).to_contain_text("1 case judged by at least two")  # everybody's figures once stood under two names


def test_a_reviewers_own_words_are_judged_by_another(room: Room, served: Served, browsers: Browsers, tmp_path: Path) -> None:
    """What the reviewer adds waits for a second voice; judging first hides what was said until it is asked for."""
    store: Store = served.app.state.context.store
    room.upload(pair(tmp_path))
    room.ask("A question of its own?")
    room.expect_answered("The opacity is worse.")
    me: int = room.page.evaluate("async () => (await (await fetch('/api/me')).json()).id")
    version: int = room.page.evaluate("async () => (await import('/app/state.js')).state.turns[0].versions[0].id")
    store.add_feedback(version, User(me, ""), Said("disagree", codes=("wrong-view",), severity="minor"))
    desk = Reviewing.open(browsers(), served.url, store, "admin", "Fourth")
    desk.page.get_by_test_id("filters").locator("summary").click()
    desk.page.locator("select[data-filter='code']").select_option("wrong-view")
    desk.lines.filter(has_text="A question of its own?").click()
    desk.expect_case()
    desk.page.get_by_test_id("blind").check()
    desk.page.get_by_test_id("skip").click()
    expect(desk.told).to_contain_text("Left to another")
    desk.narrow("skipped")
    desk.page.get_by_test_id("mine").uncheck()
    desk.lines.filter(has_text="A question of its own?").click()
    expect(desk.page.get_by_test_id("voices")).to_contain_text("Wrong view, minor")  # what was seen is not folded again
    desk.page.reload(wait_until="commit")
    desk.room.expect_ready()
    desk.page.get_by_test_id("filters").locator("summary").click()
    desk.narrow("skipped")
    desk.page.get_by_test_id("mine").uncheck()
    line = desk.lines.filter(has_text="A question of its own?")
    expect(line).not_to_contain_text("Wrong view")
    line.click()
    expect(desk.page.get_by_test_id("suggestion")).to_have_count(0)
    desk.page.get_by_test_id("show-voices").click()
    expect(desk.page.get_by_test_id("voices")).to_contain_text("Wrong view, minor")
    desk.page.get_by_test_id("corrected").fill("The opacity is seen on one view.")
    desk.submit()
    expect(desk.told.first).to_be_visible()
    assert [one.version for one in store.accepted() if one.version == version] == []
    desk.room.assert_calm()


def test_a_page_of_the_queue_that_empties_gives_way_to_the_last_one(ward: Served, browsers: Browsers, tmp_path: Path) -> None:
    """It stood there empty, with no way back."""
    ward.desk.says("The opacity is worse.")
    flag(Room.open(browsers(), ward.url), tmp_path, 2)
    desk = Reviewing.open(browsers(), ward.url, ward.app.state.context.store, "annotator", "Second")
    expect(desk.lines).to_have_count(2)
    asked: list[str] = []

    def shrunk(route: Route) -> None:
        """Of 52 cases two are left when the second page is asked for."""
        asked.append(route.request.url)
        answer = route.fetch()
        page = answer.json()
        if len(asked) == 1:
            page["total"] = 52
        if "offset=50" in route.request.url:
            page["items"] = []
        route.fulfill(response=answer, json=page)

    desk.page.route("**/api/review/queue?*", shrunk)
    desk.narrow("pending")
    desk.page.get_by_test_id("queue-on").click()
    expect(desk.page.get_by_test_id("queue-on")).to_have_count(0)
    expect(desk.lines).to_have_count(2)
    assert [url.partition("offset=")[2].partition("&")[0] for url in asked] == ["0", "50", "0"]


def test_of_two_cases_clicked_in_the_queue_the_later_is_held(ward: Served, browsers: Browsers, tmp_path: Path) -> None:
    """Also when the first is there last; and a decision that is on its way in Review hangs nothing over the images of Read."""
    ward.desk.says("The opacity is worse.")
    store: Store = ward.app.state.context.store
    flag(Room.open(browsers(), ward.url), tmp_path, 2)
    desk = Reviewing.open(browsers(), ward.url, store, "annotator", "Second")
    expect(desk.lines).to_have_count(2)
    wanted = int(desk.lines.nth(1).get_attribute("data-item") or 0)
    late: list[Route] = []
    first = f"**/api/review/items/{desk.lines.first.get_attribute('data-item')}"
    desk.page.route(first, lambda route: late.append(route))
    desk.lines.first.click()
    desk.lines.nth(1).click()
    with desk.page.expect_event("requestfinished", lambda one: one.url.endswith("/take")):
        caught(desk.page, late).continue_()
    desk.expect_case()
    assert desk.number() == wanted
    expect(desk.lines.filter(has_text="yours")).to_have_count(1)
    me = next(one for one in store.members() if one.name == "Second")
    assert [item.id for item in store.queue(User(me.id, ""), Filters(state="in work")).items] == [wanted]

    desk.page.route("**/api/review/items/*/decision", lambda route: late.append(route))
    desk.page.get_by_test_id("keep").click()
    desk.page.get_by_test_id("tab-read").click()
    desk.page.unroute("**/api/review/items/*/decision")
    caught(desk.page, late).continue_()
    expect(desk.told.first).to_be_visible()
    assert desk.page.evaluate("async () => (await import('/app/state.js')).state.guest") is False
