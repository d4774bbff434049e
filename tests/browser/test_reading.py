"""What a reader does with two studies, in a real browser: open, ask, watch, stop, ask again, come back."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Served
from tests.browser.room import Room
from tests.browser.samples import pair
from tests.ui.desk import Tap

pytestmark = pytest.mark.browser

ANSWER = "The opacity in the right lower zone is worse than on the prior study."


def test_two_files_are_asked_about_stopped_asked_again_and_found_after_a_reload(room: Room, served: Served, tmp_path: Path) -> None:
    """Upload two DICOM files, ask, watch tokens arrive one by one, stop, ask again, reload the page, find the session."""
    prior, current = pair(tmp_path)
    room.upload([current, prior])
    room.viewport(1).expect_shown()
    assert room.viewport(1).grey() < room.viewport(2).grey()
    expect(room.viewport(1).role).to_have_value("prior")
    expect(room.viewport(2).role).to_have_value("current")
    assert "14 days" in room.viewport(1).text()

    tap = Tap()
    served.desk.says(ANSWER, gate=tap)
    room.ask("What changed since the prior?")
    expect(room.stage).to_have_text("reading the question")
    words = ANSWER.split(" ")
    for count in range(1, 5):
        tap.let()
        expect(room.words()).to_have_text(" ".join(words[:count]))
    room.stop()
    tap.let()
    expect(room.turns.first).to_contain_text("Stopped by the reader")
    expect(room.words()).to_have_text(" ".join(words[:4]))

    served.desk.says(ANSWER)
    room.ask("Is it worse, stable or improved?")
    room.expect_answered(ANSWER, turn=2)

    room.reload()
    room.expect_answered(ANSWER, turn=2)
    expect(room.turns).to_have_count(2)
    expect(room.words(1)).to_have_text(" ".join(words[:4]))
    assert room.viewport(1).grey() < room.viewport(2).grey()
    expect(room.sessions).to_have_count(1)


def test_engine_is_shown_the_images_in_the_order_they_hang(room: Room, served: Served, tmp_path: Path) -> None:
    """After a swap the model gets the current study first, and says so in its roles."""
    room.upload(pair(tmp_path))
    engine = served.desk.says("One.", "Two.")
    room.ask("What changed?")
    room.expect_answered("One.")
    dark, bright = (room.viewport(n).grey() for n in (1, 2))
    room.page.get_by_test_id("swap").click()
    expect(room.viewport(1).role).to_have_value("current")
    assert (room.viewport(1).grey(), room.viewport(2).grey()) == (bright, dark)
    room.ask("And now?")
    room.expect_answered("Two.", turn=2)
    first, second = engine.requests
    assert [image.role for image in first.images] == ["prior", "current"]
    assert [image.role for image in second.images] == ["current", "prior"]
    assert [image.sha256 for image in second.images] == [image.sha256 for image in reversed(first.images)]
    assert first.images[0].when
    assert second.history == ()


def test_follow_up_remembers_the_question_before(room: Room, served: Served, tmp_path: Path) -> None:
    room.upload(pair(tmp_path))
    engine = served.desk.says("Worse.", "The right one.")
    room.ask("What changed?")
    room.expect_answered("Worse.")
    room.ask("Which side?")
    room.expect_answered("The right one.", turn=2)
    assert [(turn.question, turn.answer) for turn in engine.requests[1].history] == [("What changed?", "Worse.")]


def test_every_version_of_an_answer_is_kept(room: Room, served: Served, tmp_path: Path) -> None:
    """Regenerating adds a version and takes none away; both can be read, also after a reload."""
    room.upload(pair(tmp_path))
    engine = served.desk.says("It is worse.", "It is stable.")
    room.ask("What changed?")
    room.expect_answered("It is worse.")
    room.turns.first.get_by_test_id("again").click()
    room.expect_answered("It is stable.")
    assert engine.requests[0].options.temperature == 0
    assert engine.requests[1].options.temperature > 0
    assert engine.requests[1].options.seed != engine.requests[0].options.seed
    for _ in range(2):
        expect(room.turns.first.get_by_test_id("versions")).to_contain_text("2 of 2")
        room.turns.first.get_by_test_id("earlier").click()
        expect(room.words()).to_have_text("It is worse.")
        room.reload()
    expect(room.words()).to_have_text("It is stable.")


def test_disagreement_with_a_comment_is_kept(room: Room, tmp_path: Path) -> None:
    room.upload(pair(tmp_path))
    room.ask("What changed?")
    room.expect_answered("The opacity is worse.")
    room.turns.first.get_by_test_id("disagree").click()
    room.page.get_by_label("Comment on this answer").fill("The left lung, not the right.")
    room.page.get_by_test_id("keep").click()
    expect(room.page.get_by_test_id("verdict")).to_have_text("You disagree: The left lung, not the right.")
    room.reload()
    expect(room.page.get_by_test_id("verdict")).to_have_text("You disagree: The left lung, not the right.")
    expect(room.turns.first.get_by_test_id("disagree")).to_have_attribute("aria-pressed", "true")


def test_sessions_are_found_renamed_and_reopened_with_their_images(room: Room, tmp_path: Path) -> None:
    room.upload(pair(tmp_path / "one"))
    room.ask("Is the nodule larger?")
    room.expect_answered("The opacity is worse.")
    room.upload(pair(tmp_path / "two", patient="4712", days=("20240301", "20240501")))
    expect(room.turns).to_have_count(0)
    room.ask("Has the effusion gone?")
    room.expect_answered("The opacity is worse.")
    expect(room.sessions).to_have_count(2)
    room.page.get_by_test_id("session-search").fill("nodule")
    expect(room.sessions).to_have_count(1)
    room.sessions.first.get_by_role("button", name="Rename this session").click()
    room.page.get_by_label("Title of the session").fill("Teaching case 7")
    room.page.get_by_label("Title of the session").press("Enter")
    room.sessions.first.locator(".open").click()
    expect(room.page.get_by_test_id("session-title")).to_have_text("Teaching case 7")
    expect(room.turns.first.get_by_test_id("question")).to_have_text("Is the nodule larger?")
    assert "14 days" in room.viewport(1).text()
    room.reload()
    expect(room.page.get_by_test_id("session-title")).to_have_text("Teaching case 7")


def test_what_the_model_saw_is_pixels_in_order_with_the_prompt(room: Room, tmp_path: Path) -> None:
    """The strip shows the same pixels that were sent (by hash), with role and time, and the whole prompt."""
    room.upload(pair(tmp_path))
    room.ask("What changed since the prior?")
    room.expect_answered("The opacity is worse.")
    room.turns.first.get_by_test_id("provenance").click()
    tiles = room.page.get_by_test_id("tile")
    expect(tiles).to_have_count(2)
    for number in (0, 1):
        expect(tiles.nth(number)).to_have_attribute("data-same", "true")
    expect(tiles.first).to_contain_text("prior")
    expect(tiles.nth(1)).to_contain_text("current")
    expect(room.page.get_by_test_id("prompt")).to_contain_text("What changed since the prior?")
    for number in (0, 1):
        picture = tiles.nth(number).locator("img")
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("image => image.naturalWidth") > 0


def test_images_of_different_patients_need_a_word_from_the_reader(room: Room, served: Served, tmp_path: Path) -> None:
    first = pair(tmp_path / "one", patient="A")[0]
    second = pair(tmp_path / "two", patient="B")[1]
    room.upload([first, second])
    engine = served.desk.says("Nothing to compare.")
    expect(room.page.get_by_test_id("refusal")).to_contain_text("different patients")
    room.question.fill("What changed?")
    expect(room.ask_button).to_be_disabled()
    room.page.get_by_test_id("compare-anyway").click()
    expect(room.page.get_by_test_id("mixing-reason")).to_be_focused()
    expect(room.page.get_by_test_id("mixing-go")).to_be_disabled()
    room.page.keyboard.type("Teaching: two courses of one disease")
    room.page.get_by_test_id("mixing-go").click()
    expect(room.page.get_by_test_id("mixing")).to_be_hidden()
    room.ask_button.click()
    room.expect_answered("Nothing to compare.")
    assert len(engine.requests) == 1


def test_an_engine_that_dies_leaves_its_words_and_the_next_question_works(room: Room, served: Served, tmp_path: Path) -> None:
    room.upload(pair(tmp_path))
    served.desk.says("The opacity is worse on the right.", dies_after=3)
    room.ask("What changed?")
    expect(room.turns.first).to_contain_text("Incomplete")
    expect(room.words()).to_have_text("The opacity is")
    expect(room.toasts).to_contain_text("engine")
    room.ask("Again, please?")
    room.expect_answered("The opacity is worse on the right.", turn=2)


def test_a_branch_goes_on_from_a_question_and_leaves_its_session_as_it_was(room: Room, served: Served, tmp_path: Path) -> None:
    served.desk.says("The opacity is worse.", "The heart is larger.", "No effusion.")
    room.upload(pair(tmp_path))
    for number, (question, words) in enumerate((("What changed?", "The opacity is worse."), ("And the heart?", "The heart is larger.")), 1):
        room.ask(question)
        room.expect_answered(words, number)
    room.turns.first.get_by_test_id("branch").click()
    expect(room.page.get_by_test_id("session-title")).to_contain_text("(branch)")
    expect(room.turns).to_have_count(1)
    room.expect_answered("The opacity is worse.")
    room.ask("Any effusion?")
    room.expect_answered("No effusion.", 2)
    expect(room.sessions).to_have_count(2)
    room.sessions.last.locator("button").first.click()
    expect(room.turns).to_have_count(2)
    room.expect_answered("The heart is larger.", 2)
