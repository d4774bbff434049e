"""Comparing two exams as a radiologist does: linked in mm, measured and paired, marked, laid over each other, saved."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.compare_page import Comparing
from tests.browser.room import Room
from tests.browser.samples import pair, plain, radiograph
from tests.browser.stacks import CURRENT, PRIOR, two_exams

pytestmark = pytest.mark.browser

ON_TOP = """() => {
  const { left, top } = document.querySelector('.viewport[data-layer=upper] select.role').getBoundingClientRect();
  return document.elementFromPoint(left + 8, top + 8).value;
}"""


@pytest.fixture
def films(room: Room, tmp_path: Path) -> Comparing:
    """Two radiographs of one patient, two weeks apart."""
    room.upload(pair(tmp_path))
    found = Comparing(room)
    found.viewport(1)
    found.viewport(2)
    return found


@pytest.fixture
def stacks(room: Room, tmp_path: Path) -> Comparing:
    """Two CT exams of other frames of reference, thickness and direction."""
    room.upload(two_exams(tmp_path))
    found = Comparing(room)
    found.viewport(1)
    found.viewport(2)
    return found


def test_matched_slices_are_followed_in_mm_to_within_half_a_slice(stacks: Comparing) -> None:
    """Nothing is linked before the reader says which slices match; from then on every step lands on the same anatomy."""
    expect(stacks.link_state).to_contain_text("Scroll not linked: another frame of reference")
    stacks.to_slice(1, 25)
    stacks.to_slice(2, 7)
    assert PRIOR.anatomy(24) == CURRENT.anatomy(6) == 0
    stacks.match.click()
    expect(stacks.link_state).to_contain_text("by the matched slices, in mm")
    for slice_number in (29, 37, 40, 14, 3, 49):
        stacks.to_slice(1, slice_number)
        wanted = PRIOR.anatomy(slice_number - 1)
        nearest = min(range(CURRENT.count), key=lambda index: abs(CURRENT.anatomy(index) - wanted))
        assert abs(CURRENT.anatomy(nearest) - wanted) <= abs(CURRENT.step) / 2
        stacks.expect_slice(2, nearest + 1)
    stacks.to_slice(2, 10)
    stacks.expect_slice(1, 1 + round((CURRENT.anatomy(9) - PRIOR.first) / PRIOR.step))
    stacks.expect_saved_session()
    stacks.room.reload()
    stacks.viewport(2)
    expect(stacks.link_state).to_contain_text("by the matched slices, in mm")
    stacks.to_slice(1, 37)
    stacks.expect_slice(2, 4)
    stacks.room.viewport(2).element.get_by_test_id("link-view").click()
    expect(stacks.link_state).to_have_text("Scroll not linked in this view")
    stacks.to_slice(1, 25)
    stacks.expect_slice(2, 4)


def test_pair_says_what_changed_and_comes_back_after_a_reload(stacks: Comparing) -> None:
    """A ball of 20 mm that grew to 30 mm in 59 days: by RECIST 1.1 progressive; every step can be undone."""
    stacks.to_slice(1, 25)
    stacks.to_slice(2, 7)
    ball = 63.5 + 30 / 2
    stacks.draw("length", 1, (ball - 5, 63.5), (ball + 5, 63.5))
    stacks.draw("length", 2, (ball - 7.5, 63.5), (ball + 7.5, 63.5))
    before, after = (float(stacks.rows.nth(row).locator(".value").inner_text().split()[0]) for row in (0, 1))
    assert before == pytest.approx(20, abs=1)
    assert after == pytest.approx(30, abs=1)
    expect(stacks.rows.nth(1)).to_have_attribute("aria-current", "true")
    stacks.page.keyboard.press("j")
    expect(stacks.rows).to_have_count(1)
    words = stacks.page.get_by_test_id("change").inner_text()
    found = re.fullmatch(r"\+([\d.]+) mm, \+([\d.]+) %, \+([\d.]+) mm/day", words)
    assert found, words
    delta, percent, per_day = map(float, found.groups())
    assert delta == pytest.approx(after - before, abs=0.11)
    assert percent == pytest.approx(100 * (after - before) / before, abs=0.6)
    assert per_day == pytest.approx((after - before) / 59, abs=0.006)
    stacks.page.get_by_test_id("recist-switch").click()
    expect(stacks.page.get_by_test_id("recist")).to_contain_text("PD, progressive disease")
    with stacks.page.expect_download() as loading:
        stacks.page.get_by_test_id("csv").click()
    rows = list(csv.DictReader(io.StringIO(loading.value.path().read_text())))
    assert [(row["kind"], row["role"], row["unit"], row["days"]) for row in rows[:2]] == [
        ("length", "prior", "mm", "59"),
        ("length", "current", "mm", "59"),
    ]
    assert float(rows[0]["delta"]) == pytest.approx(after - before, abs=0.11)
    stacks.page.keyboard.press("Control+z")
    expect(stacks.rows).to_have_count(2)
    stacks.page.keyboard.press("Control+y")
    expect(stacks.rows).to_have_count(1)
    stacks.expect_saved()
    kept = stacks.drawn()
    stacks.to_slice(1, 12)
    stacks.room.reload()
    stacks.viewport(2)
    assert stacks.drawn() == kept
    expect(stacks.page.get_by_test_id("change")).to_have_text(words)
    stacks.to_slice(1, 12)
    stacks.rows.first.locator(".where .cell").first.click()
    stacks.expect_slice(1, 25)
    expect(stacks.viewport(1).element.locator("svg.svg-layer text").first).to_contain_text(f"{before} mm")


def test_measurements_and_marks_of_a_radiograph(films: Comparing) -> None:
    """Each tool says what lies under it, in mm by the detector's 0.4 mm; marks for questions are A, B, C, D."""
    films.draw("length", 1, (20, 20), (60, 50))
    expect(films.rows.nth(0).locator(".value")).to_have_text(re.compile(r"^(19|20|21)\.\d mm$"))
    films.draw("ellipse", 1, (40, 70), (50, 80))
    expect(films.rows.nth(1).locator(".value")).to_contain_text("mean 900, SD 0.0")
    films.draw("rectangle", 2, (20, 60), (40, 80))
    expect(films.rows.nth(2).locator(".value")).to_contain_text("mean 2600, SD 0.0")
    films.draw("ctr", 2, (30, 30), (50, 30))
    expect(films.rows.nth(3).locator(".value")).to_contain_text("now draw the thorax")
    films.use("ctr")
    films.drag(2, (20, 45), (60, 45))
    expect(films.rows.nth(3).locator(".value")).to_contain_text("CTR 0.5")
    for tool, start, end in (("arrow", (10, 10), (25, 12)), ("box", (62, 60), (74, 70)), ("free", (10, 60), (16, 72))):
        films.draw(tool, 2, start, end)
    films.draw_point(2, (66, 20))
    assert [mark["label"] for mark in films.drawn()["marks"]] == ["1", "2", "3", "4", "A", "B", "C", "D"]
    assert [mark["kind"] for mark in films.drawn()["marks"]][4:] == ["arrow", "box", "free", "point"]
    places = films.drawn()["marks"][-1]["points"]
    assert places == [pytest.approx([66, 20], abs=0.5)]
    films.page.keyboard.press("k")
    expect(films.page.get_by_test_id("key-images").get_by_role("listitem")).to_have_count(1)
    films.page.keyboard.press("Delete")
    expect(films.rows).to_have_count(7)
    films.expect_saved()
    films.room.reload()
    films.viewport(2)
    expect(films.rows).to_have_count(7)
    expect(films.page.get_by_test_id("key-images").get_by_role("listitem")).to_have_count(1)


def test_an_arrow_drawn_last_shows_its_letter(films: Comparing) -> None:
    """Its drawing library wrote a placeholder over the letter, which stayed until something else was drawn."""
    films.draw("arrow", 2, (10, 10), (40, 40))
    expect(films.viewport(2).element.locator("svg.svg-layer text")).to_have_text("A")


def test_two_images_under_a_line_faded_and_in_turns(films: Comparing) -> None:
    """What is seen at a place is the image that should be there, under its own words: those of the lower image once lay over the
    upper one. Turns do not begin where less motion is asked for."""
    films.page.emulate_media(reduced_motion="reduce")
    box = films.page.get_by_test_id("grid").bounding_box()
    assert box is not None
    films.mode("Swipe")
    y = box["y"] + box["height"] * 0.4
    left, right = (box["x"] + box["width"] * (0.5 + side * 0.06) for side in (-1, 1))
    expect(films.page.get_by_test_id("share")).to_be_visible()
    films.wait_grey(left, y, below=90)
    films.wait_grey(right, y, above=130)
    films.page.get_by_test_id("share").fill("60")
    films.wait_grey(right, y, below=90)
    films.mode("Fade")
    films.page.get_by_test_id("share").fill("50")
    films.wait_grey(right, y, above=90, below=130)
    films.mode("Flicker")
    grid = films.page.get_by_test_id("grid")
    expect(grid).to_have_attribute("data-front", "first")
    films.wait_grey(right, y, below=90)
    assert films.page.evaluate(ON_TOP) == "prior"
    films.page.keyboard.press("f")
    expect(grid).to_have_attribute("data-front", "second")
    films.wait_grey(right, y, above=130)
    assert films.page.evaluate(ON_TOP) == "current"
    films.mode("Side by side")
    expect(films.room.viewport(2).element).to_be_visible()
    films.viewport(1)


def test_linked_zoom_and_window_reach_the_other_view_only_where_switched_on(films: Comparing) -> None:
    scale = films.room.viewport(2).element.locator(".scale")
    levels = films.room.viewport(2).levels
    at_first = scale.inner_text(), levels.inner_text()
    films.room.viewport(1).activate()
    films.page.keyboard.press("+")
    expect(films.room.viewport(1).element.locator(".scale")).not_to_have_text(at_first[0])
    expect(scale).to_have_text(at_first[0])
    films.page.get_by_test_id("link-camera").click()
    films.page.keyboard.press("+")
    expect(scale).to_have_text(films.room.viewport(1).element.locator(".scale").inner_text())
    films.page.get_by_test_id("link-window").click()
    films.use("window")
    films.drag(1, (30, 30), (50, 40))
    expect(levels).not_to_have_text(at_first[1])


def test_a_time_point_is_hung_from_the_strip_at_true_distance(room: Room, tmp_path: Path) -> None:
    dates = ("20240101", "20240111", "20240410")
    room.upload([radiograph(tmp_path / f"{date}.dcm", plain(900 + 600 * number), date=date) for number, date in enumerate(dates)])
    films = Comparing(room)
    expect(films.points).to_have_count(3)
    films.viewport(3)
    middles = [box["x"] + box["width"] / 2 for box in (films.points.nth(n).bounding_box() for n in range(3)) if box]
    assert (middles[1] - middles[0]) / (middles[2] - middles[0]) == pytest.approx(10 / 100, abs=0.01)
    room.viewport(2).button("Close this image").click()
    expect(films.points.nth(1)).to_have_attribute("aria-pressed", "false")
    films.viewport(2)
    expect(room.viewport(1).role).to_have_value("prior")
    films.points.nth(1).click()
    expect(films.points.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(films.points.nth(0)).to_have_attribute("aria-pressed", "false")
    expect(room.viewport(1).element).to_contain_text("2 of 3")


def test_images_that_do_not_belong_together_are_covered_until_a_reason_is_given(room: Room, tmp_path: Path) -> None:
    """The cover lies over all of the images (once it pushed them aside); the reason is kept on the server, and asked for once."""
    room.upload([pair(tmp_path / "one", patient="A")[0], pair(tmp_path / "two", patient="B")[1]])
    films = Comparing(room)
    expect(films.mixing).to_be_visible()
    expect(films.mixing.locator('[data-code="patient"]')).to_be_visible()
    assert films.mixing.bounding_box() == films.page.get_by_test_id("grid").bounding_box()
    go = films.page.get_by_test_id("mixing-go")
    films.page.get_by_test_id("mixing-reason").fill("abc")
    expect(go).to_be_disabled()
    films.page.get_by_test_id("mixing-reason").fill("Twins, by the clinic's question")
    go.click()
    expect(films.mixing).to_be_hidden()
    kept = films.page.evaluate("fetch('/api/overrides').then(answer => answer.json())")
    assert [one["reason"] for one in kept] == ["Twins, by the clinic's question"]
    films.expect_saved_session()
    room.reload()
    films.viewport(2)
    expect(films.mixing).to_be_hidden()


def test_marks_outlive_a_server_that_cannot_be_reached(films: Comparing) -> None:
    """The page says that nothing was kept, keeps the marks itself over a reload, and saves them when the way is open."""
    films.draw("length", 1, (20, 20), (60, 20))
    films.expect_saved()
    films.page.route("**/api/sessions/*/marks", lambda route: route.abort() if route.request.method == "PUT" else route.continue_())
    films.draw("length", 1, (20, 60), (60, 60))
    expect(films.room.toasts).to_contain_text("cannot be reached")
    films.room.reload()
    films.viewport(2)
    expect(films.rows).to_have_count(2)
    films.page.unroute("**/api/sessions/*/marks")
    films.expect_saved()


def test_a_key_is_chosen_and_no_two_commands_share_one(films: Comparing) -> None:
    page = films.page
    modules = "Promise.all([import('/app/viewer/compare.js'), import('/app/toolbar.js')])"
    clash = f"{modules}.then(([{{ conflicts }}, {{ commands }}]) => conflicts(commands, {{}}))"
    assert page.evaluate(clash) == []
    page.keyboard.press("?")
    page.locator('[data-command="key-image"]').click()
    page.keyboard.press("Shift+K")
    page.keyboard.press("Escape")
    expect(page.locator("dialog.keys")).to_be_hidden()
    page.keyboard.press("k")
    page.keyboard.press("Shift+K")
    expect(page.get_by_test_id("key-images").get_by_role("listitem")).to_have_count(1)
    films.room.reload()
    films.viewport(1)
    page.keyboard.press("?")
    expect(page.locator('[data-command="key-image"]')).to_have_text("Shift K")


def test_registration_is_watched_marked_and_taken_back(room: Room, tmp_path: Path) -> None:
    """A prior that was shifted lies on the current after registration; its viewport says so, and one key shows the original."""
    rows, columns = np.mgrid[:160, :160]
    shapes = ((60, 70, 26, 16), (100, 90, 14, 30), (64, 112, 9, 9))
    picture = sum(1200.0 * np.exp(-(((rows - y) / tall) ** 2) - ((columns - x) / wide) ** 2) for y, x, tall, wide in shapes)
    current = np.clip(300 + picture, 0, 4095).astype(np.uint16)
    room.upload(
        [
            radiograph(tmp_path / "prior.dcm", np.roll(current, (6, -9), (0, 1)), date="20240102"),
            radiograph(tmp_path / "current.dcm", current, date="20240116"),
        ]
    )
    films = Comparing(room)
    films.viewport(1)
    films.viewport(2)
    films.page.get_by_test_id("align").select_option("rigid")
    badge = room.viewport(1).element.get_by_test_id("badge")
    expect(badge).to_contain_text("Registered (rigid)")
    numbers = re.search(r"correlation (-?[\d.]+) → ([\d.]+), moved ([\d.]+) mm", badge.inner_text())
    assert numbers, badge.inner_text()
    before, after, shift = map(float, numbers.groups())
    assert after > max(before, 0.97)
    assert shift == pytest.approx(0.4 * (6**2 + 9**2) ** 0.5, abs=0.4)
    films.viewport(1)
    films.page.get_by_test_id("align-view").select_option("difference")
    expect(badge).to_contain_text("Difference")
    expect(badge.locator(".legend")).to_be_visible()
    films.viewport(1)
    films.page.keyboard.press("q")
    expect(badge).to_be_hidden()
    films.page.keyboard.press("q")
    expect(badge).to_contain_text("Registered (rigid)")
