"""A patient opens by the hanging rules: the newest study beside the prior that is most like it, with the reason on the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.room import Room
from tests.browser.samples import plain, radiograph
from tests.browser.viewer_page import film, quarters

pytestmark = pytest.mark.browser


def test_patient_opens_with_the_most_relevant_prior_and_says_why(room: Room, tmp_path: Path) -> None:
    """The film in between is newer, but lateral; all three hang in a row by a button of their own."""
    visits = (("20240102", "PA"), ("20240120", "LL"), ("20240201", "PA"))
    room.upload([film(tmp_path / f"{when}.dcm", quarters(), when, ViewPosition=view, PatientID="many") for when, view in visits])
    room.viewport(3).expect_shown()
    room.page.get_by_test_id("every").click()
    room.viewport(3).expect_shown()
    room.patients.first.locator(".case").click()
    expect(room.page.get_by_test_id("viewport-3")).to_have_count(0)
    prior, current = room.viewport(1), room.viewport(2)
    prior.expect_shown()
    current.expect_shown()
    expect(prior.role).to_have_value("prior")
    expect(current.role).to_have_value("current")
    expect(prior.element).to_contain_text("1 of 3")
    expect(prior.element).to_contain_text("30 days earlier")
    expect(current.element).to_contain_text("3 of 3")
    expect(room.reason).to_contain_text("same modality (radiograph)")
    expect(room.reason).to_contain_text("view (PA)")
    prior.button("Close this image").click()
    expect(room.reason).not_to_contain_text("same modality")


def test_mammograms_hang_two_by_two_prior_beside_current(room: Room, tmp_path: Path) -> None:
    paths = [
        film(
            tmp_path / f"{when}-{view}.dcm",
            quarters(),
            when,
            Modality="MG",
            BodyPartExamined="BREAST",
            ViewPosition=view,
            ImageLaterality="L",
            PatientID="breast",
            SeriesInstanceUID=f"1.2.826.0.1.3680043.10.7.{when}.{number}",
            SOPInstanceUID=f"1.2.826.0.1.3680043.10.7.{when}.{number}.1",
            SeriesNumber=number,
        )
        for when in ("20230301", "20240301")
        for number, view in enumerate(("CC", "MLO"), start=1)
    ]
    room.upload(paths)
    room.patients.first.locator(".case").click()
    for number, (ordinal, view) in enumerate((("1 of 2", "CC"), ("2 of 2", "CC"), ("1 of 2", "MLO"), ("2 of 2", "MLO")), start=1):
        room.viewport(number).expect_shown()
        expect(room.viewport(number).element).to_contain_text(ordinal)
        expect(room.viewport(number).element).to_contain_text(view)
    boxes = [room.viewport(number).element.bounding_box() for number in (1, 2, 3)]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[2] is not None
    assert boxes[0]["y"] == boxes[1]["y"] < boxes[2]["y"]
    assert boxes[0]["x"] == boxes[2]["x"] < boxes[1]["x"]


def test_patient_with_one_study_opens_alone_and_the_next_place_stays_free(room: Room, tmp_path: Path) -> None:
    room.upload([radiograph(tmp_path / "only.dcm", plain(1500), patient="one")])
    room.viewport(1).expect_shown()
    room.viewport(1).button("Close this image").click()
    room.viewport(1).expect_empty()
    room.patients.first.locator(".case").click()
    room.viewport(1).expect_shown()
    room.viewport(2).expect_empty()
    expect(room.reason).to_contain_text("There is no earlier study of this patient.")
