"""Our own door for uploads: what is let in, what is not, and that nothing lies about afterwards."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.browser.samples import pair
from tests.ui.conftest import HERE, Running, send
from ui.routes_upload import Inbox, TooMuch, safe, shown
from ui.security import COOKIE


def left(running: Running) -> list[Path]:
    return list((running.folder / "uploads").rglob("*"))


def test_each_file_of_a_mixed_upload_has_its_outcome(browser: TestClient, running: Running, tmp_path: Path) -> None:
    prior, current = pair(tmp_path)
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "report.txt").write_text("no image")
    last = send(browser, prior, current, tmp_path / "empty.dcm", tmp_path / "report.txt")
    outcomes = {file["path"]: (file["outcome"], bool(file["reason"])) for file in last["report"]["files"]}
    assert outcomes["empty.dcm"] == ("refused", True)
    assert outcomes["report.txt"][0] in ("refused", "skipped")
    assert {outcomes["prior.dcm"][0], outcomes["current.dcm"][0]} == {"imported"}
    assert left(running) == []


def test_progress_comes_before_the_report(browser: TestClient, tmp_path: Path) -> None:
    answer = browser.post("/api/upload", files=[("files", (path.name, path.read_bytes())) for path in pair(tmp_path)])
    lines = answer.text.strip().splitlines()
    assert len(lines) > 1
    assert '"done"' in lines[0]
    assert '"report"' in lines[-1]


@pytest.mark.parametrize("length", [True, False], ids=["with its length", "chunked without length"])
def test_upload_over_the_limit_is_413_with_a_sentence_and_leaves_nothing(browser: TestClient, running: Running, length: bool) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="large.dcm"\r\n\r\n'
    body = head + b"\0" * (5 * 1024 * 1024) + b"\r\n--b--\r\n"

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    answer = browser.post("/api/upload", content=body if length else pieces(), headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 413
    assert "limit of 4 MB" in answer.json()["error"]
    assert left(running) == []


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{}", "application/json"),
        (b"--b--\r\n", "multipart/form-data; boundary=b"),
        (b"garbage that is no form", "multipart/form-data; boundary=b"),
        (b"", "multipart/form-data"),
    ],
)
def test_body_that_is_no_form_is_a_sentence(browser: TestClient, running: Running, content: bytes, kind: str) -> None:
    answer = browser.post("/api/upload", content=content, headers={"content-type": kind})
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")
    assert left(running) == []


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd", "/etc/passwd", "..\\..\\boot.ini", "C:\\x\\y.dcm", "a/../../b.dcm", "\0.dcm", "....//x", "", "~/.ssh/id"],
)
def test_names_never_lead_out_of_the_private_folder(tmp_path: Path, name: str) -> None:
    target = (tmp_path / safe(name)).resolve()
    assert target.is_relative_to(tmp_path.resolve())
    assert target != tmp_path.resolve()


def test_folders_of_an_upload_are_kept_so_that_a_dicomdir_finds_its_files() -> None:
    assert safe("study/DICOM/IM0001") == Path("study/DICOM/IM0001")


def test_shown_name_has_no_control_characters() -> None:
    assert shown("a\x1b[31m\u202eb.dcm") == "a\ufffd[31m\ufffdb.dcm"


def test_two_files_of_one_name_are_both_kept(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, b"b", 1000, 10)
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="IM1"\r\n\r\n%s\r\n'
    inbox.write(part % b"one" + part % b"two" + b"--b--\r\n")
    inbox.close()
    assert sorted(path.read_bytes() for path in inbox.names) == [b"one", b"two"]
    assert list(inbox.names.values()) == ["IM1", "IM1"]


def test_more_files_than_allowed_are_refused(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, b"b", 10_000, 1)
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="IM"\r\n\r\nx\r\n'
    with pytest.raises(TooMuch, match="more than 1 files"):
        inbox.write(part + part + b"--b--\r\n")
    inbox.close()


def test_uploads_pass_through_a_folder_only_the_owner_may_enter(browser: TestClient, running: Running, tmp_path: Path) -> None:
    send(browser, *pair(tmp_path))
    assert stat.S_IMODE((running.folder / "uploads").stat().st_mode) == 0o700


def test_upload_without_a_cookie_is_refused(running: Running) -> None:
    client = TestClient(running.app, base_url=HERE, cookies={COOKIE: "nobody"})
    assert client.post("/api/upload", files=[("files", ("a.dcm", b"x"))]).status_code == 401
