"""What comes in: good files, bad files, too much, and by which door."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Served
from tests.browser.room import Room
from tests.browser.samples import pair, plain, radiograph

pytestmark = pytest.mark.browser

DROP = """([selector, files]) => { const data = new DataTransfer();
  for (const [name, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name));
  for (const kind of ['dragenter', 'dragover', 'drop'])
    document.querySelector(selector).dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true })); }"""


def test_every_file_of_a_mixed_upload_has_its_outcome(room: Room, tmp_path: Path) -> None:
    """Two good radiographs among an empty file, a text file and a truncated one: the good hang, the others each say why."""
    prior, current = pair(tmp_path)
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "letter.dcm").write_text("Dear colleague, thank you for referring this patient.")
    (tmp_path / "half.dcm").write_bytes(prior.read_bytes()[:400])
    room.upload([prior, tmp_path / "empty.dcm", tmp_path / "letter.dcm", tmp_path / "half.dcm", current])
    expect(room.page.get_by_test_id("upload-status")).to_have_text("2 imported, 3 refused")
    for name in ("empty.dcm", "letter.dcm", "half.dcm"):
        line = room.outcomes.filter(has_text=name)
        expect(line).to_have_attribute("data-outcome", "refused")
        assert len(line.inner_text()) > len(name) + 20
    room.viewport(2).expect_shown()
    room.upload([prior])
    expect(room.page.get_by_test_id("upload-status")).to_have_text("1 duplicate")


def test_dropped_zip_is_unpacked_and_hung(room: Room, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "case.zip", "w") as archive:
        for path in pair(tmp_path):
            archive.write(path, f"case/{path.name}")
    room.page.evaluate(DROP, [".stage", [["case.zip", list((tmp_path / "case.zip").read_bytes())]]])
    room.viewport(1).expect_shown()
    room.viewport(2).expect_shown()
    expect(room.page.get_by_test_id("upload-status")).to_have_text("2 imported")


def test_upload_over_the_limit_is_refused_before_it_is_sent(room: Room, tmp_path: Path) -> None:
    (tmp_path / "large.dcm").write_bytes(b"\0" * (9 * 1024 * 1024))
    room.page.get_by_test_id("files").set_input_files(str(tmp_path / "large.dcm"))
    expect(room.toasts).to_contain_text("limit of 8 MB")


def test_nothing_of_an_upload_is_left_outside_the_store(room: Room, served: Served, tmp_path: Path) -> None:
    room.upload(pair(tmp_path))
    assert list((served.folder / "uploads").iterdir()) == []
    assert not any(path.is_file() for path in (served.folder / "gradio").rglob("*"))


def test_one_new_study_hangs_beside_its_prior(room: Room, tmp_path: Path) -> None:
    prior, current = pair(tmp_path)
    room.upload([prior])
    room.viewport(1).expect_shown()
    room.viewport(2).expect_empty()
    room.upload([current])
    room.viewport(2).expect_shown()
    expect(room.viewport(1).role).to_have_value("prior")


def test_png_pictures_without_names_can_be_compared(room: Room, served: Served, tmp_path: Path) -> None:
    """Two PNG files carry no patient and no date: they hang in the order given, and the page says that it does not know."""
    from PIL import Image

    for name, grey in (("a.png", 60), ("b.png", 180)):
        Image.new("L", (64, 64), grey).save(tmp_path / name)
    room.upload([tmp_path / "a.png", tmp_path / "b.png"])
    room.viewport(1).expect_shown()
    room.viewport(2).expect_shown()


def test_patient_name_that_is_a_script_stays_text(room: Room, served: Served, tmp_path: Path) -> None:
    """Stored XSS in PatientName, SeriesDescription, file name, question, answer, comment and title is inert text."""
    evil = "<img src=x onerror=alert(1)>"
    path = radiograph(tmp_path / "a'><svg onload=alert(2)>.dcm", plain(900), name=evil, description=evil[:60])
    bad = tmp_path / "<img src=x onerror=alert(3)>.txt"
    bad.write_text("no image")
    served.desk.says("<script>alert(4)</script><img src=x onerror=alert(5)>")
    room.upload([path, bad])
    room.ask(f"{evil} **bold**?")
    room.expect_answered("<script>alert(4)</script><img src=x onerror=alert(5)>")
    room.turns.first.get_by_test_id("disagree").click()
    room.page.get_by_label("Comment on this answer").fill(evil)
    room.page.get_by_test_id("keep").click()
    expect(room.page.get_by_test_id("verdict")).to_contain_text(evil)
    room.turns.first.get_by_test_id("provenance").click()
    expect(room.page.get_by_test_id("prompt")).to_contain_text(evil)
    room.reload()
    expect(room.page.get_by_test_id("verdict")).to_contain_text(evil)
    assert room.page.locator(".iv img[src='x'], .iv [onerror], .iv [onload], .iv script").count() == 0
