"""The viewer on its own: pixels of the right value at the right place, every tool, both renderers, and what may go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Playwright, Request, Route, expect

from tests.browser.conftest import ARGS, PATIENCE, Served, installed
from tests.browser.room import Room
from tests.browser.stacks import CURRENT, PRIOR, exam
from tests.browser.viewer_page import SHADE_AT, Looking, film, quarters

pytestmark = pytest.mark.browser

ABOVE_LEFT, ABOVE_RIGHT, BELOW_LEFT, BELOW_RIGHT = (20.0, 15.0), (140.0, 15.0), (20.0, 105.0), (140.0, 105.0)
CPU = "localStorage.setItem('interval.renderer', 'cpu')"


def grey(value: float, center: float = 2048, width: float = 4096) -> float:
    """What PS3.3 C.11.2.1.2 makes of a value, 0..255."""
    return 255 * min(1.0, max(0.0, (value - (center - 0.5)) / (width - 1) + 0.5))


@pytest.fixture
def films(room: Room, tmp_path: Path) -> Looking:
    """Two radiographs of four quarters, a month apart."""
    room.upload([film(tmp_path / f"{date}.dcm", quarters(), date) for date in ("20240102", "20240202")])
    room.viewport(1).expect_shown()
    room.viewport(2).expect_shown()
    room.viewport(1).activate()
    return Looking(room.page)


@pytest.fixture
def stacks(room: Room, tmp_path: Path) -> Looking:
    """Two CT exams of one patient that share no frame of reference."""
    room.upload([*exam(tmp_path / "prior", PRIOR), *exam(tmp_path / "current", CURRENT)])
    room.viewport(1).expect_shown()
    room.viewport(2).expect_shown()
    room.viewport(1).activate()
    return Looking(room.page)


def pixel_requests(room: Room) -> list[str]:
    """Collects the address of every request from now on; what opening the case asks for, the count of its tokens last, is over."""
    expect(room.page.get_by_test_id("budget")).to_be_visible()
    seen: list[str] = []
    room.page.on("request", lambda request: seen.append(request.url))
    return seen


def test_window_drag_changes_the_picture_and_costs_no_request(room: Room, films: Looking) -> None:
    assert films.shade(0, ABOVE_RIGHT) == pytest.approx(grey(2000), abs=2)
    seen = pixel_requests(room)
    films.drag(0, (80, 60), (0, 80))
    films.until("(bridge) => bridge.window(0).center > 2300")
    now = films.do("(bridge) => bridge.window(0)")
    assert now["width"] == pytest.approx(4095, rel=0.01)
    expected = 255 * (2000 - now["lower"]) / (now["upper"] - now["lower"])
    films.expect_shade(0, ABOVE_RIGHT, expected)
    expect(room.viewport(1).levels).to_have_text(f"C {now['center']:.0f} W {now['width']:.0f}")
    films.drag(0, (80, 60), (60, 0))
    films.until("(bridge, before) => bridge.window(0).width > before * 1.05", now["width"])
    assert films.shade(1, ABOVE_RIGHT) == pytest.approx(grey(2000), abs=2)
    assert seen == []


def test_zoom_move_turn_and_mirror_put_the_image_where_they_say(room: Room, films: Looking) -> None:
    """Each quarter is looked for on the canvas at the place it must lie at after the tool, by plain geometry."""
    width, height = films.do("(bridge) => [bridge.views[0].box.width, bridge.views[0].box.height]")
    middle = (width / 2, height / 2)
    near = f"(bridge, x, y, grey) => Math.abs(({SHADE_AT})(bridge, 0, x, y) - grey) <= 2"

    def expect_corners(above_left: int, above_right: int, below_left: int, below_right: int) -> None:
        for (dx, dy), value in {(-30, -30): above_left, (30, -30): above_right, (-30, 30): below_left, (30, 30): below_right}.items():
            films.until(near, middle[0] + dx, middle[1] + dy, grey(value))

    expect_corners(3000, 2000, 400, 1200)
    room.page.keyboard.press("r")
    expect_corners(400, 3000, 1200, 2000)
    room.page.keyboard.press("h")
    expect_corners(3000, 400, 2000, 1200)
    room.page.keyboard.press("v")
    expect_corners(2000, 1200, 3000, 400)
    room.page.keyboard.press("0")
    expect_corners(3000, 2000, 400, 1200)

    room.tool("tool-pan").click()
    films.drag(0, (80, 60), (-50, 0))
    expect_corners(2000, 2000, 1200, 1200)
    films.drag(0, (80, 60), (0, -90), button="right")
    zoomed = films.do("(bridge) => bridge.camera(0)")
    assert zoomed["zoom"] > 1.5
    room.page.keyboard.press("0")
    box = room.viewport(1).element.locator(".surface").bounding_box()
    assert box is not None
    x, y = round(box["x"] + middle[0] + 40), round(box["y"] + middle[1])
    under = "(bridge, x, y) => bridge.canvasToImage(0, [x, y])"
    before = films.do(under, x - box["x"], y - box["y"])
    room.page.mouse.move(x, y)
    room.page.mouse.wheel(0, -300)
    films.until("(bridge) => bridge.camera(0).zoom > 1.5")
    assert films.do(under, x - box["x"], y - box["y"]) == pytest.approx(before, abs=1e-3)


def test_stack_goes_by_wheel_slider_keys_and_cine_and_every_slice_is_its_own(room: Room, stacks: Looking) -> None:
    """The grey of the body tells the height of each slice, so a label over another slice's pixels would show."""
    first = room.viewport(1)
    body = (64.0, 90.0)

    def expect_slice(number: int) -> None:
        expect(first.count).to_have_text(f"{number} / {PRIOR.count}")
        value = float(PRIOR.slice(number - 1)[90, 64])
        stacks.expect_shade(0, body, grey(value, 0, 2000))

    room.page.keyboard.press("Home")
    expect_slice(1)
    expect(first.element.locator(".depth")).to_have_text(f"{PRIOR.first:.1f} mm".replace("-", "\u2212"))
    first.area.hover()
    for _ in range(3):
        room.page.mouse.wheel(0, 50)
    expect_slice(4)
    room.page.keyboard.press("PageDown")
    expect_slice(14)
    first.slider.fill("30")
    expect_slice(31)
    room.tool("tool-scroll").click()
    stacks.drag(0, (64, 40), (0, -100))
    stacks.until("(bridge) => bridge.frame(0) < 28")
    room.page.keyboard.press("End")
    expect_slice(PRIOR.count)
    expect(room.viewport(2).count).to_have_text(f"{CURRENT.count // 2 + 1} / {CURRENT.count}")
    room.page.keyboard.press("c")
    expect(room.tool("cine")).to_have_attribute("aria-pressed", "true")
    stacks.until("(bridge) => bridge.frame(0) > 2 && bridge.frame(0) < 40")
    room.page.keyboard.press("c")
    expect(room.tool("cine")).to_have_attribute("aria-pressed", "false")


def test_number_keys_set_the_windows_of_the_modality(room: Room, stacks: Looking) -> None:
    first = room.viewport(1)
    names = first.window.locator("option").all_inner_texts()
    for name, center, width in (("Lung", -600, 1500), ("Bone", 400, 1800), ("Brain", 40, 80)):
        room.page.keyboard.press(str(names.index(name) + 1))
        expect(first.levels).to_have_text(f"C {center} W {width}".replace("-", "\u2212"))
        expect(first.window.locator("option:checked")).to_have_text(name)
        stacks.expect_shade(0, (64, 90), grey(float(PRIOR.slice(PRIOR.count // 2)[90, 64]), center, width))


def test_corners_say_who_when_where_and_how(room: Room, stacks: Looking) -> None:
    """Pseudonym, date, relative time, place among the studies, series, slice, window, zoom, sides of the patient, scale."""
    prior, current = room.viewport(1), room.viewport(2)
    text = prior.text()
    for part in ("P-", "59 days", "1 of 2", "CT", "Chest axial", f"{PRIOR.count // 2 + 1} / {PRIOR.count}", "W 2000", "%"):
        assert part in text
    assert "2 of 2" in current.text()
    assert [prior.element.locator(f".letter.at-{edge}").inner_text() for edge in ("left", "right", "top", "bottom")] == ["R", "L", "A", "P"]
    room.page.keyboard.press("h")
    expect(prior.element.locator(".letter.at-left")).to_have_text("L")
    length, pixels = stacks.do("(bridge) => bridge.bar(0)")
    (x1, _), (x2, _) = stacks.do("(bridge, mm) => [bridge.imageToCanvas(0, [10, 10]), bridge.imageToCanvas(0, [10 + mm / 2, 10])]", length)
    assert abs(x2 - x1) == pytest.approx(pixels, abs=0.01)
    room.page.keyboard.press("o")
    expect(prior.levels).to_be_hidden()
    expect(prior.role).to_be_visible()


def test_value_under_the_pointer_is_the_modalitys(room: Room, stacks: Looking) -> None:
    x, y = stacks.on_screen(0, (64, 90))
    room.page.mouse.move(x, y)
    value = int(PRIOR.slice(PRIOR.count // 2)[90, 64])
    expect(room.viewport(1).element.locator(".probe")).to_have_text(f"(64, 90) {value} HU".replace("-", "\u2212"))


def test_reformat_shows_the_other_plane_and_leaves_the_question_its_slice(room: Room, stacks: Looking) -> None:
    """Of a stack seen from the front: head above, the height of every row told by its grey, and the slice asked about stays."""
    first = room.viewport(1)
    first.element.get_by_test_id("plane").select_option("coronal")
    expect(first.element.locator(".made")).to_have_text("coronal reformat, on the screen only")
    expect(first.count).to_have_text("65 / 128")
    assert [first.element.locator(f".letter.at-{edge}").inner_text() for edge in ("left", "right", "top", "bottom")] == ["R", "L", "H", "F"]
    for row in (2, PRIOR.count // 2, PRIOR.count - 3):
        value = int(PRIOR.slice(PRIOR.count - 1 - row)[64, 64])
        assert stacks.do("(bridge, row) => bridge.valueAt(0, [64, row])", row) == value
        stacks.expect_shade(0, (64, row), grey(value, 0, 2000), within=3)
    kept = "async () => (await import('/app/state.js')).state.slots[0].frame"
    before = room.page.evaluate(kept)
    room.page.keyboard.press("ArrowDown")
    expect(first.count).to_have_text("66 / 128")
    assert room.page.evaluate(kept) == before
    first.element.get_by_test_id("plane").select_option("")
    expect(first.count).to_have_text(f"{before + 1} / {PRIOR.count}")


def test_layouts_show_one_two_and_four_and_lose_nothing(room: Room, films: Looking) -> None:
    grid = room.page.get_by_test_id("grid")
    room.viewport(1).area.dblclick(position={"x": 100, "y": 200})
    expect(room.viewport(2).element).to_be_hidden()
    films.until("(bridge) => Math.abs(bridge.element(0).clientWidth - document.querySelector('.grid').clientWidth) < 2")
    films.expect_shade(0, BELOW_LEFT, grey(400))
    room.page.keyboard.press("m")
    expect(room.viewport(2).element).to_be_visible()
    for name, count in {"2x1": 2, "2x2": 4, "1x2": 2}.items():
        room.tool(f"layout-{name}").evaluate("button => button.click()")
        expect(grid).to_have_attribute("data-count", str(count))
        room.viewport(2).expect_shown()
        films.expect_shade(1, BELOW_RIGHT, grey(1200))
    first, second = (room.viewport(number).element.bounding_box() for number in (1, 2))
    assert first is not None
    assert second is not None
    assert first["y"] == second["y"]
    room.tool("layout-2x1").evaluate("button => button.click()")
    films.until("(bridge) => bridge.element(1).getBoundingClientRect().top > bridge.element(0).getBoundingClientRect().top + 50")
    room.reload()
    expect(grid).to_have_attribute("data-count", "2")
    room.viewport(2).expect_shown()
    films.until("(bridge) => bridge.element(1).getBoundingClientRect().top > bridge.element(0).getBoundingClientRect().top + 50")


def test_monochrome1_stays_inverted_after_a_reset(room: Room, tmp_path: Path) -> None:
    """Cornerstone's own reset forgets the inversion of MONOCHROME1: bones would turn black at the press of a button."""
    room.upload([film(tmp_path / "one.dcm", quarters(), PhotometricInterpretation="MONOCHROME1")])
    room.viewport(1).expect_shown()
    looking = Looking(room.page)
    looking.expect_shade(0, ABOVE_LEFT, 255 - grey(3000))
    room.page.keyboard.press("i")
    looking.expect_shade(0, ABOVE_LEFT, grey(3000))
    looking.drag(0, (80, 60), (0, 40))
    room.page.keyboard.press("0")
    looking.expect_shade(0, ABOVE_LEFT, 255 - grey(3000))
    expect(room.viewport(1).levels).not_to_contain_text("inverted")


def test_image_without_spacing_is_never_measured_in_mm(room: Room, tmp_path: Path) -> None:
    """`usingDefaultValues: false` would make Cornerstone write "mm" over pixels whose size nobody knows."""
    room.upload([film(tmp_path / "one.dcm", quarters(), ImagerPixelSpacing=None)])
    room.viewport(1).expect_shown()
    looking = Looking(room.page)
    expect(room.viewport(1).element.locator(".ruler")).to_have_text("not calibrated")
    assert looking.do("(bridge) => [bridge.bar(0), bridge.camera(0).mmPerPixel, bridge.viewport(0).getImageData().hasPixelSpacing]") == [
        None,
        None,
        False,
    ]


def test_both_renderers_agree_on_place_and_grey(room: Room, stacks: Looking, tmp_path: Path) -> None:
    """Cornerstone's two renderers are half a pixel apart; here a point of the image is the same point on both, also turned and mirrored."""
    points = [[0, 0], [127, 0], [63.5, 63.5], [20, 100]]
    place = """(bridge, points) => points.map((point) => {
      const canvas = bridge.imageToCanvas(0, point);
      const mm = bridge.toMm(0, point);
      const world = bridge.viewport(0).canvasToWorld(canvas);
      const back = bridge.viewport(0).worldToCanvas(mm);
      return [Math.hypot(...mm.map((value, axis) => value - world[axis])), Math.hypot(back[0] - canvas[0], back[1] - canvas[1])];
    })"""
    shades = {}
    for renderer in ("webgl", "cpu"):
        if renderer == "cpu":
            room.page.evaluate(f"() => {CPU}")
            room.reload()
            room.viewport(1).expect_shown()
            room.viewport(1).activate()
        expect(room.page.locator(".stage")).to_have_attribute("data-renderer", renderer)
        stacks.do("(bridge) => { bridge.setCamera(0, { zoom: 2.3, center: [50, 70] }); bridge.rotate(0, 90); bridge.flip(0, 'h'); }")
        stacks.until("(bridge) => bridge.camera(0).flipH")
        for world, canvas in stacks.do(place, points):
            assert world < 0.02
            assert canvas < 0.05
        room.page.keyboard.press("0")
        stacks.expect_shade(0, (64, 90), grey(float(PRIOR.slice(PRIOR.count // 2)[90, 64]), 0, 2000))
        shades[renderer] = [stacks.shade(0, (column, row)) for column in range(8, 128, 12) for row in range(8, 128, 12)]
    differing = [abs(one - other) for one, other in zip(shades["webgl"], shades["cpu"], strict=True)]
    assert sorted(differing)[int(0.9 * len(differing))] <= 2


def test_lost_graphics_context_goes_on_by_the_processor_as_it_was(room: Room, stacks: Looking) -> None:
    room.page.keyboard.press("Home")
    expect(room.viewport(1).count).to_have_text(f"1 / {PRIOR.count}")
    stacks.do("(bridge) => { bridge.setCamera(0, { zoom: 2 }); bridge.setWindow(0, { lower: -800, upper: 1000 }); }")
    stacks.do("""(bridge) => {
      const gl = bridge.engine.contextPool.getContextByIndex(0).context.getOpenGLRenderWindow().get3DContext();
      gl.getExtension('WEBGL_lose_context').loseContext();
    }""")
    expect(room.page.locator(".stage")).to_have_attribute("data-renderer", "cpu")
    stacks.until("(bridge) => bridge.frame(0) === 0 && bridge.frame(1) !== null")
    room.viewport(1).expect_shown()
    assert stacks.do("(bridge) => bridge.camera(0).zoom") == pytest.approx(2)
    value = float(PRIOR.slice(0)[90, 64])
    stacks.expect_shade(0, (64, 90), 255 * (value + 800) / 1800)
    room.page.keyboard.press("End")
    expect(room.viewport(1).count).to_have_text(f"{PRIOR.count} / {PRIOR.count}")


def test_pixels_that_do_not_come_are_said_and_come_at_the_second_try(room: Room, tmp_path: Path) -> None:
    def refuse(route: Route) -> None:
        route.abort()

    room.page.route("**/values", refuse)
    room.upload([film(tmp_path / "one.dcm", quarters())])
    first = room.viewport(1)
    expect(first.element).to_have_attribute("data-state", "error")
    expect(first.element.locator(".message")).to_contain_text("cannot be reached")
    expect(first.element.locator(".surface")).to_be_hidden()
    room.page.unroute("**/values", refuse)
    first.button("Try again").click()
    first.expect_shown()
    Looking(room.page).expect_shade(0, ABOVE_LEFT, grey(3000))


def test_first_slice_is_on_the_screen_before_the_tenth_part_of_the_stack_is_fetched(room: Room, tmp_path: Path) -> None:
    asked: list[Request] = []
    room.page.on("request", lambda request: asked.append(request) if request.url.endswith("/values") else None)
    looking = Looking(room.page)
    asked_for = "performance.getEntriesByType('resource').filter((one) => one.name.endsWith('/values')).length"
    looking.do(f"(bridge) => {{ bridge.on('shown', () => {{ window.askedBefore ??= {asked_for}; }}); }}")
    room.upload(exam(tmp_path / "prior", PRIOR))
    room.viewport(1).expect_shown()
    assert room.page.evaluate("() => window.askedBefore") <= PRIOR.count / 10
    looking.until(f"(bridge, count) => {asked_for} >= count", PRIOR.count)
    assert len({request.url for request in asked}) == PRIOR.count
    assert len(asked) == PRIOR.count


@pytest.fixture
def without_webgl(playing: Playwright, served: Served) -> Iterator[Room]:
    """A browser that has no WebGL at all."""
    args = [arg for arg in ARGS if "gl" not in arg]
    browser = playing.chromium.launch(executable_path=installed(), args=[*args, "--disable-gpu", "--disable-3d-apis"])
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(PATIENCE)
    room = Room.open(context, served.url)
    yield room
    room.assert_calm()
    browser.close()


def test_browser_without_webgl_draws_by_the_processor(without_webgl: Room, tmp_path: Path) -> None:
    room = without_webgl
    room.upload([film(tmp_path / f"{date}.dcm", quarters(), date) for date in ("20240102", "20240202")])
    room.viewport(2).expect_shown()
    expect(room.page.locator(".stage")).to_have_attribute("data-renderer", "cpu")
    looking = Looking(room.page)
    for point, value in {ABOVE_LEFT: 3000, ABOVE_RIGHT: 2000, BELOW_LEFT: 400, BELOW_RIGHT: 1200}.items():
        looking.expect_shade(1, point, grey(value))
    looking.drag(0, (80, 60), (0, 80))
    looking.until("(bridge) => bridge.window(0).center > 2300")
