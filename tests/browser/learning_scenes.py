"""The gallery's chapters of review and training, out of what `python -m tests.loop --keep DIR` leaves: flags of one reader that another
let through, a version, runs that were measured, one of them promoted and rolled back.

Two people look at it: Cleo, who may do everything, and Ana, whose flags they were.
"""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from storage.feedback import Said
from storage.review_views import Filters, Judgement
from storage.schema import UserRow, key_hash
from storage.statements import Statement
from storage.store import Store
from storage.views import LOCAL, User
from tests.browser.room import Room
from tests.browser.scenes import NotThere, Scene, Stage
from tests.loop import planting

LOOP_READERS = ("reader-one", "reader-two")
"""Who flags and who reviews in `tests.loop`."""
LONG = 600_000
"""Milliseconds for what trains."""


def set_out(store: Store, token: str) -> None:
    """What the rehearsal leaves undone: three wrong answers that nobody spoke of yet are flagged, and Bo contradicts one of the flags.

    Ana gets a browser's cookie, so that she can be looked at.
    """
    ana, bo = (store.user(key) for key in LOOP_READERS)
    spoken = {flag.version for flag in store.flags(ana)}
    films = store.settings.data_dir / "films"
    wrong = [
        (version.id, truth)
        for summary in store.sessions(ana)
        for truth in [planting.truth(films, summary.title)]
        for turn in store.session(summary.id, ana).turns
        for version in turn.versions
        if version.id not in spoken and version.text.strip().rstrip(".").lower() != truth
    ]
    for version, truth in wrong[:3]:
        code = "change-hallucinated" if truth == "stable" else "change-missed"
        store.add_feedback(version, ana, Said("disagree", codes=(code,), severity="major", corrected_answer=truth))
    item = store.take_next(bo, Filters(state="pending"))
    assert item is not None, "nobody's answers are left to be flagged; let the rehearsal hold some back"
    contrary = Statement("disagree", ("positioning-or-technique",), "minor")
    store.decide(item.id, bo, Judgement("judged", contrary, blind=True))
    with store._database.write() as session:
        session.get_one(UserRow, ana.id).key_hash = key_hash(token)


def allow_everything(store: Store, room: Room, name: str) -> None:
    """Who looks may review and train, under a name."""
    number: int = room.page.evaluate("async () => (await (await fetch('/api/me')).json()).id")
    store.give_role(store.user(LOCAL), number, "admin")
    store.call(User(number, ""), name)


def queue(stage: Stage) -> None:
    stage.page.get_by_test_id("tab-review").click()
    stage.page.get_by_test_id("filters").locator("summary").click()
    stage.page.get_by_test_id("mine").uncheck()
    stage.page.get_by_test_id("queue-states").locator("[data-state='']").click()
    expect(stage.page.get_by_test_id("queue-line").nth(5)).to_be_visible()
    stage.page.get_by_test_id("rest-agreement").click()
    expect(stage.page.get_by_test_id("agreement").locator("table")).to_be_visible()


def dispute(stage: Stage) -> None:
    stage.page.get_by_test_id("filters").locator("summary").click()
    stage.page.get_by_test_id("see-disputes").click()
    stage.page.get_by_test_id("queue-line").first.click()
    expect(stage.page.get_by_test_id("conflicts")).to_be_visible()
    expect(stage.page.get_by_test_id("case-state")).to_have_text("yours")
    stage.shown(1, 2)


def decided(stage: Stage) -> None:
    stage.page.get_by_test_id("queue-states").locator("[data-state='submitted']").click()
    stage.page.get_by_test_id("queue-line").filter(has_not_text="yours").first.click()
    expect(stage.page.get_by_test_id("barred")).to_contain_text("it may train")
    stage.shown(1, 2)


def version(stage: Stage) -> None:
    look(stage, "version-planted")
    expect(detail(stage)).to_contain_text("Composition")


def running(stage: Stage) -> None:
    detail(stage).get_by_test_id("train-on").click()
    expect(detail(stage).get_by_test_id("estimate")).to_contain_text("Steps")
    detail(stage).get_by_test_id("start-run").click()
    expect(detail(stage).get_by_test_id("curve-loss").locator(".scatterlayer .point").nth(2)).to_be_visible(timeout=LONG)

    def stop() -> None:
        detail(stage).get_by_test_id("act-stop").click()
        expect(detail(stage).get_by_test_id("act-start")).to_be_visible(timeout=LONG)

    stage.later.append(stop)


def finished(stage: Stage) -> None:
    look(stage, "run-mine")
    expect(detail(stage).get_by_test_id("curve-loss").locator(".scatterlayer .trace").first).to_be_attached()


def sheet(stage: Stage) -> None:
    detail(stage).get_by_test_id("sheet").evaluate("one => one.scrollIntoView({ block: 'start' })")


def failed(stage: Stage) -> None:
    runs = stage.page.get_by_test_id("train-list").locator(".trainrow", has_text="gate failed")
    if not runs.count():
        raise NotThere("no run of this rehearsal was stopped by a gate")
    runs.first.click()
    row = detail(stage).locator(".gate.bad").first
    row.locator("button").first.click()
    sheet(stage)


def lineage(stage: Stage) -> None:
    look(stage, "lineage-")
    expect(detail(stage).get_by_test_id("decisions")).to_be_visible()


def flags(stage: Stage) -> None:
    stage.page.get_by_test_id("case-more").click()
    stage.page.get_by_test_id("open-flags").click()
    expect(stage.page.get_by_test_id("flag").nth(3)).to_be_visible()


def fixed(stage: Stage) -> None:
    stage.page.get_by_test_id("flag").filter(has_text="Fixed").first.click()
    stage.page.get_by_test_id("close-flags").click()
    expect(stage.page.get_by_test_id("fate").first).to_be_visible()
    stage.shown(1, 2)


def look(stage: Stage, name: str) -> None:
    """Choose something of the Train tab."""
    stage.page.get_by_test_id("tab-train").click()
    stage.page.get_by_test_id("train-list").get_by_test_id(name).click()


def detail(stage: Stage) -> Locator:
    return stage.page.get_by_test_id("train-detail")


CLEO = (
    Scene("queue", "The queue of reviewed flags, and how far reader and reviewer agree", queue),
    Scene("dispute", "Reader and reviewer contradict each other; a third decides", dispute),
    Scene("decided", "A case that was let through, and what became of it", decided),
    Scene("version", "A dataset version", version),
    Scene("training", "A run at work", running),
    Scene("finished", "A run that is done", finished),
    Scene("sheet", "Its score sheet, before and after", sheet),
    Scene("failed", "A run that a gate stopped, with the cases behind it", failed),
    Scene("lineage", "Where every adapter comes from, and who decided", lineage),
)
ANA = (
    Scene("flags", "What a reader flagged, and what became of it", flags),
    Scene("fixed", "At the answer: the flag was fixed", fixed),
)
