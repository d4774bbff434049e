"""A case's report: drafted from its answers, changed, and exported as text, PDF and DICOM structured report that read back."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from PIL import Image as Pillow
from pypdf import PdfReader
from starlette.testclient import TestClient

from inference.engine import Request
from tests.browser.samples import pair
from tests.fakes import FakeEngine
from tests.ui.conftest import Running, events, send, slots
from ui.security import COOKIE

MARK = "Machine draft, not read by a physician"


def worse(_request: Request) -> Mapping[str, float]:
    return {"worse": -0.1, "stable": -3.0, "improved": -3.0}


@pytest.fixture
def session(browser: TestClient, running: Running, tmp_path: Path) -> int:
    """A case of two radiographs with one checked answer."""
    hang = send(browser, *pair(tmp_path))["hang"]
    return asked(browser, running, hang)


def asked(browser: TestClient, running: Running, hang: dict[str, Any]) -> int:
    running.desk.engine = FakeEngine(["The opacity is worse – 2 × as large."], scores=worse)
    told = events(browser.post("/api/ask", json={"question": "What changed?", "slots": slots(hang)}).text)
    number, turn, version = told[0]["session_id"], told[0]["turn"]["id"], told[-1]["version"]["id"]
    browser.post(f"/api/sessions/{number}/turns/{turn}/versions/{version}/checks", json={})
    return int(number)


def address(session: int, kind: str = "") -> str:
    return f"/api/sessions/{session}/report{kind}"


def test_draft_says_what_the_answer_says_and_what_it_rests_on(browser: TestClient, session: int) -> None:
    found = browser.get(address(session)).json()
    assert found["words"] == found["draft"]
    assert found["words"]["impression"] == "The opacity is worse – 2 × as large.\nAs a whole: worse."
    assert found["words"]["findings"].startswith("Worse: consolidation,")
    assert "compared with DX" in found["words"]["comparison"]
    assert (found["edited"], found["saved"], found["mark"], found["answers"], found["models"]) == (False, None, MARK, 1, ["fake"])
    assert any("not image-dependent" in caution for caution in found["cautions"])


def test_a_forecast_is_named_as_one_in_every_export_and_stated_in_no_part(browser: TestClient, running: Running, tmp_path: Path) -> None:
    hang = send(browser, *pair(tmp_path))["hang"]
    number = asked(browser, running, hang)
    running.desk.engine = FakeEngine(["It will be gone."], scores=worse)
    ahead = {"question": "Will the opacity be gone in a year?", "slots": slots(hang), "session_id": number}
    assert events(browser.post("/api/ask", json=ahead).text)[0]["turn"]["forecast"] == {"words": "in a year", "days": 365}
    found = browser.get(address(number)).json()
    assert found["words"]["impression"] == "The opacity is worse – 2 × as large.\nAs a whole: worse."
    assert not any("gone" in part for part in found["words"].values())
    text = browser.get(address(number, ".txt")).content.decode()
    assert "Forecast, not a finding: It will be gone." in text
    pages = PdfReader(io.BytesIO(browser.get(address(number, ".pdf")).content)).pages
    assert "forecast, not a finding" in " ".join(" ".join(page.extract_text() for page in pages).split())
    structured = browser.get(address(number, ".dcm")).content
    assert b"Forecast, not a finding: It will be gone." in structured
    assert structured.count(b"It will be gone.") == 1


def test_readers_words_are_kept_and_can_go_back_to_the_draft(browser: TestClient, session: int) -> None:
    draft = browser.get(address(session)).json()["draft"]
    mine = {**draft, "impression": "Effusion doubled. <b>Call.</b>"}
    saved = browser.post(address(session), json=mine).json()
    assert (saved["words"], saved["draft"], saved["edited"]) == (mine, draft, True)
    assert saved["saved"] is not None
    again = browser.get(address(session)).json()
    assert again["words"]["impression"] == "Effusion doubled. <b>Call.</b>"
    assert browser.post(address(session), json=draft).json()["edited"] is False
    assert browser.post(address(session), json={**draft, "findings": "x" * 20_001}).status_code == 422


def test_text_reads_back_with_mark_and_provenance(browser: TestClient, session: int) -> None:
    browser.post(address(session), json={"findings": "Mine.", "comparison": "", "impression": "Also mine."})
    answer = browser.get(address(session, ".txt"))
    assert answer.headers["content-disposition"] == f'attachment; filename="interval-report-{session}.txt"'
    text = answer.content.decode()
    for words in (
        MARK.upper(),
        "EDITED BY A READER",
        "Mine.",
        "Also mine.",
        "Model: fake",
        f"Model SHA-256: {'0' * 64}",
        "Each check: ",
        "no image: not image-dependent",
        "exchange: order-blind",
    ):
        assert words in text, words
    assert text.count("SHA-256 ") >= 2


def test_pdf_reads_back_with_mark_on_every_page_and_both_images(browser: TestClient, session: int) -> None:
    browser.post(address(session), json={"findings": "Größe & <script>\n" * 90, "comparison": "", "impression": "Unlike 中."})
    read = PdfReader(io.BytesIO(browser.get(address(session, ".pdf")).content))
    pages = [page.extract_text() for page in read.pages]
    assert len(pages) > 1
    assert all(MARK in page and "MACHINE DRAFT" in page for page in pages)
    whole = "\n".join(pages)
    for words in ("Größe & <script>", "Unlike ?.", "the text export has them", "Model SHA-256", "not a medical device", "fake"):
        assert words in whole, words
    images = [image for page in read.pages for image in page.images]
    assert len(images) == 2
    greys = [Pillow.open(io.BytesIO(image.data)).convert("L").resize((1, 1)).getpixel((0, 0)) for image in images]
    assert greys[0] != greys[1]
    assert not {"/OpenAction", "/AA", "/AcroForm"} & set(read.trailer["/Root"])


def test_a_prior_report_in_many_lines_goes_over_the_pages_of_a_pdf(browser: TestClient, running: Running, tmp_path: Path) -> None:
    """A row of the provenance was higher than a page, and there was no PDF at all."""
    hang = send(browser, *pair(tmp_path))["hang"]
    running.desk.says("The opacity is worse.")
    told = {"prior_report": "\n".join(f"Line {number}: clear." for number in range(200))}
    first = events(browser.post("/api/ask", json={"question": "What changed?", "slots": slots(hang), "clinical": told}).text)[0]
    answer = browser.get(address(first["session_id"], ".pdf"))
    assert answer.status_code == 200
    whole = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(answer.content)).pages)
    assert all(f"Line {number}: clear." in whole for number in range(200))


def test_structured_report_reads_back_with_words_images_and_provenance(browser: TestClient, session: int, tmp_path: Path) -> None:
    browser.post(address(session), json={"findings": "Größer.\nZweite Zeile.", "comparison": "Earlier.", "impression": "Worse."})
    body = browser.get(address(session, ".dcm")).content
    found = hd.sr.srread(io.BytesIO(body))
    assert isinstance(found, hd.sr.EnhancedSR)
    assert (found.Modality, found.CompletionFlag, found.VerificationFlag, found.PreliminaryFlag) == (
        "SR",
        "PARTIAL",
        "UNVERIFIED",
        "PRELIMINARY",
    )
    assert found.SeriesDescription == f"{MARK}, edited (research)"
    texts = {heading: lines(found, heading) for heading in ("Findings", "Prior Procedure Descriptions", "Impressions")}
    assert texts == {"Findings": ["Größer.", "Zweite Zeile."], "Prior Procedure Descriptions": ["Earlier."], "Impressions": ["Worse."]}
    section = next(item for item in found.ContentSequence if named(item) == "Findings")
    shown = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in section.ContentSequence if item.ValueType == "IMAGE"]
    evidence = {
        one.ReferencedSOPInstanceUID
        for part in (*found.CurrentRequestedProcedureEvidenceSequence, *found.PertinentOtherEvidenceSequence)
        for series in part.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert len(shown) == 2
    assert set(shown) == evidence
    told = [item.TextValue for item in found.ContentSequence if item.ValueType == "TEXT"]
    assert any(line.startswith(MARK) and "not a medical device" in line for line in told)
    assert f"Model SHA-256: {'0' * 64}" in told
    assert "Doe" not in str(pydicom.dcmread(io.BytesIO(body)))


def named(item: pydicom.Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def lines(found: pydicom.Dataset, heading: str) -> list[str]:
    """Text of a section, without what says who made it."""
    (section,) = (item for item in found.ContentSequence if named(item) == heading)
    return [item.TextValue for item in section.ContentSequence if item.ValueType == "TEXT" and not named(item).startswith("Algorithm")]


def test_plain_pictures_have_no_structured_report_and_the_reason_is_a_sentence(
    browser: TestClient, running: Running, tmp_path: Path
) -> None:
    paths = []
    for number, grey in enumerate((40, 160)):
        paths.append(tmp_path / f"film{number}.png")
        Pillow.new("L", (64, 64), grey).save(paths[-1])
    number = asked(browser, running, send(browser, *paths)["hang"])
    refused = browser.get(address(number, ".dcm"))
    assert refused.status_code == 409
    assert refused.json()["error"].endswith("export it as text or PDF.")
    assert browser.get(address(number)).json()["refusal"]
    assert browser.get(address(number, ".pdf")).content.startswith(b"%PDF")


def test_a_case_without_an_answer_drafts_only_its_comparison(browser: TestClient, tmp_path: Path) -> None:
    hang = send(browser, *pair(tmp_path))["hang"]
    number = browser.post("/api/sessions", json={"slots": slots(hang)}).json()["id"]
    found = browser.get(address(number)).json()
    assert (found["words"]["findings"], found["words"]["impression"], found["answers"]) == ("", "", 0)
    assert "compared with" in found["words"]["comparison"]


def test_readers_corrections_stand_in_the_models_place(browser: TestClient, session: int) -> None:
    """An answer the reader calls wrong without a better one says nothing in the report; what they saw themselves stays."""
    version = browser.get(f"/api/sessions/{session}").json()["turns"][0]["versions"][0]["id"]
    said = {
        "version_id": version,
        "verdict": "disagree",
        "corrected_answer": "It is stable.",
        "cells": {"nodule": "new", "overall": "stable"},
    }
    assert browser.post("/api/feedback", json=said).status_code == 200
    found = browser.get(address(session)).json()
    assert found["words"]["impression"] == "It is stable.\nAs a whole: stable."
    assert found["words"]["findings"].startswith("New: nodule.")
    assert "Corrected by the reader: It is stable." in browser.get(address(session, ".txt")).text
    browser.post("/api/feedback", json={"version_id": version, "verdict": "disagree", "corrected_answer": "", "cells": {}})
    found = browser.get(address(session)).json()
    assert found["answers"] == 0
    assert (found["words"]["findings"], found["words"]["impression"]) == ("New: nodule.", "As a whole: stable.")


def test_a_readers_cells_outlast_an_answer_that_is_made_again(browser: TestClient, session: int) -> None:
    turn = browser.get(f"/api/sessions/{session}").json()["turns"][0]
    said = {"version_id": turn["versions"][0]["id"], "cells": {"nodule": "new"}}
    assert browser.post("/api/feedback", json=said).status_code == 200
    assert browser.post(f"/api/sessions/{session}/turns/{turn['id']}/again", json={}).status_code == 200
    assert browser.get(address(session)).json()["words"]["findings"].startswith("New: nodule.")


def test_a_readers_cells_outlast_what_they_say_later_and_ask_later(browser: TestClient, running: Running, tmp_path: Path) -> None:
    """A second question once put the model's classes in the place of the reader's; agreement and comments never did."""
    hang = send(browser, *pair(tmp_path))["hang"]
    number = asked(browser, running, hang)
    version = browser.get(f"/api/sessions/{number}").json()["turns"][0]["versions"][0]["id"]
    for said in ({"cells": {"nodule": "new", "overall": "stable"}}, {"verdict": "agree"}, {"comment": "Seen twice."}):
        assert browser.post("/api/feedback", json={"version_id": version, **said}).status_code == 200
    words = browser.get(address(number)).json()["words"]
    assert words["findings"].startswith("New: nodule.")
    told = events(browser.post("/api/ask", json={"question": "Is it worse?", "slots": slots(hang), "session_id": number}).text)
    turn, version = told[0]["turn"]["id"], told[-1]["version"]["id"]
    browser.post(f"/api/sessions/{number}/turns/{turn}/versions/{version}/checks", json={})
    found = browser.get(address(number)).json()
    assert found["answers"] == 2
    assert found["words"]["findings"].startswith("New: nodule.\nWorse: consolidation,")
    assert found["words"]["impression"].endswith("As a whole: stable.")


def test_the_word_a_reader_said_last_stands_whichever_answer_they_said_it_of(browser: TestClient, session: int) -> None:
    """A cell set on the second answer stood over the word that the reader went back to the first one for."""
    turn = browser.get(f"/api/sessions/{session}").json()["turns"][0]
    again = events(browser.post(f"/api/sessions/{session}/turns/{turn['id']}/again", json={}).text)[-1]["version"]["id"]
    for version, name in ((again, "new"), (turn["versions"][0]["id"], "resolved")):
        assert browser.post("/api/feedback", json={"version_id": version, "cells": {"nodule": name}}).status_code == 200
    assert browser.get(address(session)).json()["words"]["findings"].startswith("Resolved: nodule.")


def test_the_pictures_of_a_pdf_are_those_the_model_was_shown(browser: TestClient, tmp_path: Path) -> None:
    """They came without the marks of the question, above the hash of the pictures that have them."""
    hang = send(browser, *pair(tmp_path))["hang"]
    box = {"image": 1, "label": "A", "kind": "box", "points": [[4, 4], [20, 20]]}
    told = events(browser.post("/api/ask", json={"question": "What of A?", "slots": slots(hang), "marks": [box]}).text)
    number, turn, version = told[0]["session_id"], told[0]["turn"]["id"], told[-1]["version"]["id"]
    saw = browser.get(f"/api/sessions/{number}/turns/{turn}/versions/{version}/saw").json()
    read = PdfReader(io.BytesIO(browser.get(address(number, ".pdf")).content))
    printed = [image.data for page in read.pages for image in page.images]
    for data, image in zip(printed, saw["images"], strict=True):
        shown = np.asarray(Pillow.open(io.BytesIO(browser.get(image["url"]).content)).convert("RGB"), dtype=int)
        found = np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB").resize(shown.shape[1::-1]), dtype=int)
        assert np.abs(found - shown).mean() < 4
    colours = [np.ptp(np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB"), dtype=int), axis=2).max() for data in printed]
    assert colours[0] < 40 < colours[1], "the mark is yellow, the film is grey"


def test_a_pdf_of_an_image_that_is_no_longer_there_says_so(browser: TestClient, running: Running, session: int) -> None:
    """It said that there is no such session."""
    here = running.app.state.context
    user = here.reader(str(browser.cookies.get(COOKIE)))
    series = browser.get(f"/api/sessions/{session}").json()["slots"][0]["series"]["id"]
    (study,) = (one for patient in here.store.patients(user) for one in patient.studies if series in [each.id for each in one.series])
    here.store.delete_study(study.id, user)
    refused = browser.get(address(session, ".pdf"))
    assert (refused.status_code, "no longer in the store" in refused.json()["error"]) == (409, True)
    assert browser.get(address(session, ".txt")).status_code == 200


def test_an_answer_that_was_not_weighed_is_left_out_for_a_reader_who_has_answers_withheld(browser: TestClient, tmp_path: Path) -> None:
    """The page folds it; its draft report had it whole."""
    hang = send(browser, *pair(tmp_path))["hang"]
    number = events(browser.post("/api/ask", json={"question": "What changed?", "slots": slots(hang)}).text)[0]["session_id"]
    assert browser.get(address(number)).json()["words"]["impression"] == "The opacity is worse."
    found = browser.get(address(number), params={"at_least": 80}).json()
    assert "worse" not in json.dumps(found["words"])
    assert any("its checks were not made to the end" in caution for caution in found["cautions"])


def test_nobody_elses_report_is_read_changed_or_exported(browser: TestClient, stranger: TestClient, session: int) -> None:
    words = browser.get(address(session)).json()["words"]
    assert stranger.get(address(session)).status_code == 404
    assert stranger.post(address(session), json=words).status_code == 404
    assert all(stranger.get(address(session, kind)).status_code == 404 for kind in (".txt", ".pdf", ".dcm"))
