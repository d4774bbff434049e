"""The states the gallery shows, in chapters that one reader goes through: each scene brings the page there and waits until it is.

`screens.py` draws every one in both sizes and both themes. Nothing here is staged: registrations run, marks are drawn by
the mouse, errors are what the page says when its requests fail. The images are the demo cases and copies of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, Route, expect
from pydicom import dcmread
from pydicom.uid import generate_uid

from tests.browser.compare_page import Comparing
from tests.browser.room import Room
from tests.conftest import ROOT

DEMO = ROOT / "assets" / "demo"
SLICE, NODULE, RADII = 15, (74.0, 115.0), {1: 3.5, 2: 6.5}
"""Where the nodule of the demo CT lies in both studies: slice counted from 1, [column, row], half its width in pixels."""


class NotThere(Exception):
    """The data have nothing to show in a scene; its pictures stay as they are."""


@dataclass(frozen=True)
class Scene:
    """One state: its file name, what the gallery says of it, and how to get there."""

    name: str
    words: str
    play: Callable[[Stage], None]


@dataclass
class Stage:
    """What a scene has to play with; `later` is done once its pictures are drawn."""

    room: Room
    folder: Path
    later: list[Callable[[], None]]

    @property
    def page(self) -> Page:
        return self.room.page

    @property
    def compare(self) -> Comparing:
        return Comparing(self.room)

    def shown(self, *numbers: int) -> None:
        """Wait for these viewports, counted from 1."""
        for number in numbers:
            self.room.viewport(number).expect_shown()

    def case(self, title: str) -> None:
        """Hang a demo case by its title."""
        self.page.locator(".patient .case", has_text=title).click()

    def layout(self, name: str) -> None:
        self.compare.action(f"layout-{name}").evaluate("button => button.click()")


def copies(folder: Path, films: Sequence[tuple[str, str]], patient: str) -> list[Path]:
    """Demo files, by folder and date, as studies of one patient of the reader's own; every file of a folder is a copied slice."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, (source, date) in enumerate(films):
        study = generate_uid()
        for path in sorted((DEMO / source).glob("*.dcm")):
            data = dcmread(path)
            data.PatientID, data.StudyInstanceUID, data.SeriesInstanceUID = patient, study, f"{study}.1"
            data.SOPInstanceUID = generate_uid()
            data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = date
            data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
            paths.append(folder / f"{number}-{path.name}")
            data.save_as(paths[-1])
    return paths


COURSE = (
    ("oedema-course/20240902", "20230110"),
    ("oedema-course/20240911", "20230302"),
    ("oedema-course/20240905", "20230914"),
    ("effusion-improved/20240512", "20240512"),
    ("effusion-improved/20240524", "20240610"),
    ("oedema-course/20240911", "20240911"),
)
"""Six films for one patient at uneven distances."""


def start(stage: Stage) -> None:
    stage.room.viewport(1).expect_empty()


def pair(stage: Stage) -> None:
    stage.case("Pneumonia")
    stage.shown(1, 2)


def answer(stage: Stage) -> None:
    stage.room.ask("What changed since the prior?")
    expect(stage.room.turns.first.get_by_test_id("provenance")).to_be_visible()
    expect(stage.page.get_by_test_id("trust-state")).to_be_visible(timeout=180_000)


def trust(stage: Stage) -> None:
    stage.page.get_by_test_id("trust-state").click()
    expect(stage.page.get_by_test_id("evidence")).to_be_visible()
    stage.later.append(lambda: stage.page.get_by_test_id("trust-state").click())


def matrix(stage: Stage) -> None:
    stage.page.get_by_test_id("matrix-open").click()
    expect(stage.page.locator(".matrix .bars path").first).to_be_attached()
    stage.page.locator("[data-cell='consolidation:worse']").click()
    stage.page.locator("[data-cell='nodule:stable']").click()
    expect(stage.page.get_by_test_id("matrix-told")).to_contain_text("2 cells of yours")
    stage.page.get_by_test_id("matrix").scroll_into_view_if_needed()
    stage.later.append(lambda: stage.page.get_by_test_id("matrix-open").click())


def saw(stage: Stage) -> None:
    stage.room.turns.first.get_by_test_id("provenance").click()
    expect(stage.page.get_by_test_id("tile")).to_have_count(2)


def marks(stage: Stage) -> None:
    pair(stage)
    compare = stage.compare
    size = compare.page.evaluate("async () => (await import('/app/state.js')).state.slots[1].series")
    column, row = size["columns"] / 100, size["rows"] / 100
    compare.draw("arrow", 2, (column * 28, row * 62), (column * 10, row * 70))
    compare.draw("box", 2, (column * 22, row * 34), (column * 42, row * 54))
    ring(compare, 1, (column * 30, row * 50), (column * 9, row * 8))
    compare.draw_point(2, (column * 66, row * 40))
    compare.draw("ctr", 2, (column * 40, row * 66), (column * 67, row * 66))
    compare.use("ctr")
    compare.drag(2, (column * 15, row * 72), (column * 86, row * 72))
    expect(compare.rows.last.locator(".value")).to_contain_text("CTR 0.")
    compare.use("window")
    expect(compare.rows).to_have_count(5)


def ring(compare: Comparing, number: int, middle: tuple[float, float], half: tuple[float, float]) -> None:
    """Draw a free shape around a place."""
    turns = [2 * math.pi * part / 24 for part in range(24)]
    places = [(middle[0] + half[0] * math.cos(turn), middle[1] + half[1] * math.sin(turn)) for turn in turns]
    compare.use("free")
    compare.page.mouse.move(*compare.at(number, *places[0]))
    compare.page.mouse.down()
    for place in places[1:]:
        compare.page.mouse.move(*compare.at(number, *place))
    compare.page.mouse.up()
    expect(compare.rows).to_have_count(3)


def asking(stage: Stage) -> None:
    stage.page.get_by_test_id("along-choices").click()
    stage.page.get_by_test_id("choices").get_by_text("worse, stable, improved").click()
    stage.room.question.fill("How has region B changed since the prior?")
    expect(stage.page.get_by_test_id("budget")).to_be_visible()
    stage.later.append(lambda: stage.page.get_by_test_id("choices-close").click())


def context(stage: Stage) -> None:
    stage.page.get_by_test_id("along-clinical").click()
    stage.page.get_by_test_id("clinical-on").check()
    stage.page.get_by_test_id("clinical-indication").fill("Fever and cough for three days")
    stage.page.get_by_test_id("clinical-age").fill("61 years")
    expect(stage.page.get_by_test_id("along-clinical")).to_have_text("Context: 2")
    stage.later.append(lambda: stage.page.get_by_test_id("clinical-on").uncheck())
    stage.later.append(lambda: stage.page.get_by_test_id("along-clinical").click())
    stage.later.append(lambda: stage.room.question.fill(""))


def menu(stage: Stage) -> None:
    stage.page.locator(".toolbar [data-group='measure'] .unfold").click()
    expect(stage.compare.action("tool-length")).to_be_visible()
    stage.later.append(lambda: stage.page.keyboard.press("Escape"))


def lay(mode: str) -> Callable[[Stage], None]:
    def play(stage: Stage) -> None:
        if mode == "Swipe":
            pair(stage)
        stage.compare.mode(mode)
        expect(stage.page.get_by_test_id("grid")).to_have_attribute("data-mode", mode.lower())
        if mode == "Flicker":
            stage.later.append(lambda: stage.compare.mode("Side by side"))

    return play


def running(stage: Stage) -> None:
    """The job is real; its news is held back from the page while the pictures are drawn."""
    held: list[Route] = []
    polls = iter(range(2))

    def hold(route: Route) -> None:
        if next(polls, None) is None and not held:
            held.append(route)
        else:
            route.continue_()

    stage.page.route("**/api/align/*", hold)
    stage.page.get_by_test_id("align").select_option("bspline")
    expect(stage.page.get_by_test_id("align-running")).to_be_visible()

    stage.later.append(lambda: [route.continue_() for route in held].clear())


def registered(stage: Stage) -> None:
    expect(stage.room.viewport(1).element.get_by_test_id("badge")).to_contain_text("Registered")
    stage.shown(1, 2)


def look(name: str, words: str) -> Callable[[Stage], None]:
    def play(stage: Stage) -> None:
        stage.page.get_by_test_id("align-view").select_option(name)
        expect(stage.room.viewport(1).element.get_by_test_id("badge")).to_contain_text(words)
        stage.shown(1, 2)
        if name == "checkerboard":
            stage.later.append(lambda: stage.page.keyboard.press("q"))

    return play


def stack(stage: Stage) -> None:
    stage.case("nodule")
    stage.shown(1, 2)


def linked(stage: Stage) -> None:
    compare = stage.compare
    compare.to_slice(1, SLICE)
    compare.to_slice(2, SLICE)
    compare.match.click()
    expect(compare.link_state).to_contain_text("by the matched slices")
    for close in stage.page.get_by_role("button", name="Close this message").all():
        close.click()
    stage.page.get_by_test_id("link-crosshair").click()
    stage.page.mouse.move(*compare.at(1, *NODULE))
    expect(stage.page.locator(".crosshair:not([hidden])")).to_have_count(1)


def measured(stage: Stage) -> None:
    compare = stage.compare
    column, row = NODULE
    for number, half in RADII.items():
        compare.draw("length", number, (column - half, row), (column + half, row))
    compare.pair(1)
    expect(compare.rows).to_have_count(1)
    compare.draw("ellipse", 2, (165, 100), (190, 125))
    stage.page.keyboard.press("k")
    expect(stage.page.get_by_test_id("key-images").get_by_role("listitem")).to_have_count(1)


def recist(stage: Stage) -> None:
    stage.page.get_by_test_id("recist-switch").click()
    expect(stage.page.get_by_test_id("recist")).to_contain_text("RECIST")


def reformats(stage: Stage) -> None:
    stage.room.viewport(1).element.get_by_test_id("plane").select_option("coronal")
    stage.room.viewport(2).element.get_by_test_id("plane").select_option("sagittal")
    for number, plane in ((1, "coronal"), (2, "sagittal")):
        expect(stage.room.viewport(number).element.locator(".made")).to_contain_text(plane)
    stage.shown(1, 2)


def cine(stage: Stage) -> None:
    for number in (1, 2):
        stage.room.viewport(number).element.get_by_test_id("plane").select_option("")
    stage.shown(1, 2)
    stage.room.viewport(1).activate()
    stage.page.keyboard.press("c")
    expect(stage.room.tool("cine")).to_have_attribute("aria-pressed", "true")
    stage.later.append(lambda: stage.page.keyboard.press("c"))


def bare(stage: Stage) -> None:
    stage.page.keyboard.press("o")
    expect(stage.room.viewport(1).levels).to_be_hidden()
    stage.later.append(lambda: stage.page.keyboard.press("o"))


def keys(stage: Stage) -> None:
    stage.page.keyboard.press("?")
    expect(stage.page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    stage.later.append(lambda: stage.page.keyboard.press("Escape"))


def course(stage: Stage) -> None:
    stage.room.upload(copies(stage.folder / "course", COURSE, "COURSE"))
    expect(stage.compare.points).to_have_count(len(COURSE))
    stage.page.get_by_role("button", name="Close this list").click()
    stage.layout("1xN")
    stage.shown(1, 2, 3, 4, 5, 6)


def four(stage: Stage) -> None:
    stage.layout("2x2")
    for number in (1, 2):
        stage.room.viewport(number).button("Close this image").click()
    stage.shown(1, 2, 3, 4)


def timeline(stage: Stage) -> None:
    for _ in (1, 2):
        stage.room.viewport(1).button("Close this image").click()
    stage.layout("1x2")
    stage.shown(1, 2)


def above(stage: Stage) -> None:
    stage.layout("2x1")
    stage.shown(1, 2)
    stage.later.append(lambda: stage.layout("auto"))


def three(stage: Stage) -> None:
    stage.case("oedema")
    stage.shown(1, 2, 3)


def alone(stage: Stage) -> None:
    letter = stage.folder / "referral letter.dcm"
    letter.write_text("Dear colleague")
    stage.room.upload([*copies(stage.folder / "alone", (("effusion-improved/20240512", "20240512"),), "NEWCOMER"), letter])
    stage.shown(1)


def mixing(stage: Stage) -> None:
    stage.page.get_by_role("button", name="Close this list").click()
    stage.room.viewport(2).activate()
    stage.page.locator(".patient", has_text="nodule").get_by_test_id("study").first.click()
    expect(stage.compare.mixing).to_be_visible()
    stage.later.append(lambda: stage.page.get_by_test_id("mixing-close").click())


def lost(stage: Stage) -> None:
    stage.page.route("**/values", lambda route: route.abort())
    stage.case("Left effusion")
    for number in (1, 2):
        expect(stage.room.viewport(number).element).to_have_attribute("data-state", "error")
    stage.later.append(lambda: stage.page.unroute("**/values"))


def unsaved(stage: Stage) -> None:
    for number in (1, 2):
        stage.room.viewport(number).button("Try again").click()
    stage.shown(1, 2)
    stage.page.route("**/api/sessions**", lambda route: route.abort() if route.request.method != "GET" else route.continue_())
    stage.compare.draw("length", 1, (120, 200), (320, 330))
    expect(stage.room.toasts).to_contain_text("cannot be reached")
    stage.later.append(lambda: stage.page.unroute("**/api/sessions**"))


def processor(stage: Stage) -> None:
    stage.page.evaluate("() => localStorage.setItem('interval.renderer', 'cpu')")
    stage.room.reload()
    stack(stage)
    expect(stage.page.locator(".stage")).to_have_attribute("data-renderer", "cpu")


def flag(stage: Stage) -> None:
    stage.case("effusion")
    stage.shown(1, 2)
    answer(stage)
    stage.room.turns.first.get_by_test_id("disagree").click()
    stage.page.get_by_test_id("codes").get_by_role("button", name="Change missed").click()
    stage.page.get_by_test_id("severity").get_by_role("button", name="Major").click()
    stage.page.get_by_test_id("corrected").fill("The left effusion is smaller than before drainage.")
    stage.later.append(lambda: stage.page.get_by_test_id("keep").click())


def review(stage: Stage) -> None:
    """Another reader flags an answer; this one, who may review, takes it."""
    browser = stage.page.context.browser
    assert browser is not None
    other = Room.open(browser.new_context(viewport={"width": 1440, "height": 900}), stage.room.origin)
    elsewhere = Stage(other, stage.folder, [])
    elsewhere.case("Pneumonia")
    elsewhere.shown(1, 2)
    other.ask("What changed since the prior?")
    expect(other.turns.first.get_by_test_id("provenance")).to_be_visible()
    other.turns.first.get_by_test_id("disagree").click()
    other.page.get_by_test_id("codes").get_by_role("button", name="Images swapped").click()
    other.page.get_by_test_id("keep").click()
    expect(other.page.get_by_test_id("statement")).to_have_count(0)
    other.page.context.close()
    stage.page.get_by_test_id("tab-review").click()
    stage.page.get_by_test_id("next-case").click()
    expect(stage.page.get_by_test_id("case-state")).to_have_text("yours")
    stage.shown(1, 2)


def agreed(stage: Stage) -> None:
    """What earlier chapters said waits in the queue too, so another case may be open behind the one that is submitted."""
    heading = stage.page.get_by_label("Case under review").get_by_role("heading").first
    case = heading.inner_text()
    stage.page.get_by_test_id("keep").click()
    expect(heading).not_to_have_text(case)
    stage.page.get_by_test_id("queue-states").locator("[data-state='']").click()
    stage.page.get_by_test_id("rest-agreement").click()
    expect(stage.page.get_by_test_id("agreement").locator("table")).to_be_visible()
    stage.page.get_by_test_id("toast-good").get_by_role("button").last.click()


RADIOGRAPHS = (
    Scene("start", "Nothing is open", start),
    Scene("pair", "A pair of radiographs", pair),
    Scene("read", "A question and its answer", answer),
    Scene("trust", "The checks of an answer, with their evidence", trust),
    Scene("matrix", "The progression of each finding, with the reader's own reading on it", matrix),
    Scene("saw", "What the model saw", saw),
    Scene("marks", "Marks for questions, and a cardiothoracic ratio", marks),
    Scene("asking", "A question with its marks and options, and what it costs", asking),
    Scene("context", "Clinical context, told because the reader says so", context),
    Scene("menu", "The measuring tools", menu),
)
OVERLAID = (
    Scene("swipe", "Two images under a line", lay("Swipe")),
    Scene("fade", "Two images faded into each other", lay("Fade")),
    Scene("flicker", "Two images in turns", lay("Flicker")),
    Scene("running", "A registration on its way", running),
    Scene("registered", "A registered prior with its badge", registered),
    Scene("difference", "Difference map with its legend", look("difference", "Difference")),
    Scene("checkerboard", "Checkerboard", look("checkerboard", "Checkerboard")),
)
STACKS = (
    Scene("ct", "A pair of CT stacks", stack),
    Scene("linked", "Scrolling linked by a matched level, with the cross-hair", linked),
    Scene("measured", "A pair of measurements with its table", measured),
    Scene("recist", "The sum of the pairs by RECIST 1.1", recist),
    Scene("reformats", "The other planes of a stack", reformats),
    Scene("cine", "A stack that plays", cine),
    Scene("bare", "Without words over the images", bare),
    Scene("keys", "The keyboard", keys),
)
TIMES = (
    Scene("row", "Six time points in a row", course),
    Scene("four", "Two by two", four),
    Scene("timeline", "Two of six studies, and the strip of all", timeline),
    Scene("above", "One above the other", above),
    Scene("three", "Three time points", three),
)
TROUBLE = (
    Scene("alone", "A study without a prior, and a file that was refused", alone),
    Scene("mixing", "Images that do not belong together", mixing),
    Scene("lost", "Pixels that do not come", lost),
    Scene("unsaved", "Marks that could not be saved yet", unsaved),
    Scene("cpu", "Drawn by the processor", processor),
)
REVIEW = (
    Scene("flag", "What is wrong with an answer, by keyboard", flag),
    Scene("review", "A case under review, on the same viewer", review),
    Scene("agreement", "The queue, and how far readers and reviewers agree", agreed),
)
CHAPTERS: tuple[tuple[Scene, ...], ...] = (RADIOGRAPHS, OVERLAID, STACKS, TIMES, REVIEW, TROUBLE)
"""Scenes that go on from each other; every chapter begins with an empty page."""


@contextmanager
def played(scene: Scene, room: Room, folder: Path) -> Iterator[Stage]:
    """The page in the state of a scene; afterwards what it held open is let go."""
    stage = Stage(room, folder, [])
    scene.play(stage)
    yield stage
    for work in stage.later:
        work()
