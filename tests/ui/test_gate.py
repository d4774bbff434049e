"""What every request passes: hosts, origins, cookies, headers, and the doors of Gradio that are shut."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from tests.ui.conftest import HERE, Running
from ui.security import COOKIE


def test_page_sets_a_cookie_no_script_can_read_and_renews_the_same_one(running: Running) -> None:
    """The cookie is the only key to a reader's sessions; once it ran out a year after the first visit, however often one came."""
    client = TestClient(running.app, base_url=HERE)
    first = client.get("/")
    cookie = first.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert client.get("/").headers["set-cookie"] == cookie


def test_page_policy_allows_no_eval_and_no_script_without_its_nonce(browser: TestClient) -> None:
    answer = browser.get("/")
    rules = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in rules["script-src"]
    assert rules["frame-ancestors"] == "'none'"
    nonce = re.search(r"'nonce-([^']+)'", rules["script-src"])
    assert nonce
    scripts = re.findall(r"<script[^>]*>", answer.text)
    assert scripts
    assert all(f'nonce="{nonce.group(1)}"' in script for script in scripts)
    assert nonce.group(1) not in browser.get("/").headers["content-security-policy"]


def test_data_without_a_cookie_is_refused_with_a_sentence(running: Running) -> None:
    client = TestClient(running.app, base_url=HERE)
    answer = client.get("/api/start")
    assert answer.status_code == 401
    assert "open the page first" in answer.json()["error"]


@pytest.mark.parametrize("token", ["local", "x" * 42, "../../etc", "a" * 42 + "!"])
def test_made_up_cookie_is_nobody(running: Running, token: str) -> None:
    """`local` is the user of the command line: a cookie of that name must not become him."""
    client = TestClient(running.app, base_url=HERE, cookies={COOKIE: token})
    assert client.get("/api/start").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": HERE},
    ],
)
@pytest.mark.parametrize("path", ["/api/hang", "/api/upload", "/api/ask", "/api/notice", "/gradio_api/queue/join"])
def test_post_from_another_site_is_refused(browser: TestClient, path: str, headers: dict[str, str]) -> None:
    assert browser.post(path, headers=headers, json={}).status_code == 403


def test_post_from_the_page_itself_passes(browser: TestClient) -> None:
    answer = browser.post("/api/notice", headers={"origin": HERE, "sec-fetch-site": "same-origin"}, json={"action": "notice-dismissed"})
    assert answer.json() == {"kept": True}


def test_other_host_names_are_not_answered(running: Running) -> None:
    """A hostile name that resolves to this machine (DNS rebinding) gets nothing."""
    answer = TestClient(running.app, base_url="http://rebound.example").get("/")
    assert answer.status_code == 421
    assert "rebound.example" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/upload"),
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/gradio_api/file=..%2f..%2finterval.db"),
        ("GET", "/gradio_api/file=https://127.0.0.1:1/canary"),
        ("GET", "/gradio_api/file/interval.db"),
        ("GET", "/gradio_api/proxy=http://127.0.0.1:1/canary"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/vibe-edit"),
        ("GET", "/monitoring"),
        ("GET", "/file=interval.db"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/app/../settings.py"),
        ("GET", "/app/%2e%2e/%2e%2e/settings.py"),
        ("GET", "/app/styles/..%2f..%2f..%2fsettings.py"),
    ],
)
def test_doors_that_are_shut(browser: TestClient, method: str, path: str) -> None:
    """Gradio's file, upload and proxy routes serve every user of an app; here they do not exist, nor do paths out of the assets."""
    answer = browser.request(method, path)
    assert answer.status_code in (403, 404)
    assert "root:" not in answer.text
    assert "Settings" not in answer.text


def test_own_answers_cannot_be_sniffed_framed_or_kept(browser: TestClient) -> None:
    answer = browser.get("/api/start")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"


def test_page_names_no_address_outside_this_machine_that_a_browser_would_fetch(browser: TestClient) -> None:
    """No font, script, style or picture from elsewhere: the policy forbids it and the page asks for none."""
    text = browser.get("/").text
    fetched = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="([^"]+)"', text)
    assert fetched
    assert not [url for url in fetched if url.startswith(("http:", "https:", "//"))]


def test_health(browser: TestClient) -> None:
    assert browser.get("/healthz").json() == {"ok": True}
    assert browser.get("/readyz").json()["engine"] == "ready"


def test_charts_come_from_this_server_and_only_when_asked_for(browser: TestClient) -> None:
    """The page names no chart library; a chart fetches it from here, to be kept by the browser."""
    answer = browser.get("/app/plotly.js")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "max-age" in answer.headers["cache-control"]
    assert "plotly.js" in answer.text[:400]
    assert "plotly" not in browser.get("/").text
