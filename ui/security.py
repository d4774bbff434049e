"""What every request passes before any route: host, origin, reader's cookie, and the headers of every answer.

Gradio carries the page but none of the patient's data: of its own routes only those the page needs are open
(`GRADIO_OPEN`). Its upload, file, proxy and component routes serve files to every user of an app, so here they do not exist.

The page's policy allows no `eval` and no inline script but Gradio's own few, which get this response's nonce.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "interval_reader"
_TOKEN = re.compile(r"^[A-Za-z0-9_-]{43}$")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

OWN = ("/api/", "/pixels/", "/app/", "/healthz", "/readyz")
GRADIO_OPEN = re.compile(
    r"^/(|theme\.css|favicon\.ico|robots\.txt|manifest\.json|config/?|(assets|static|svelte)/.*"
    r"|gradio_api/(info/?|app_id/?|startup-events|heartbeat/[A-Za-z0-9]+))$"
)

_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_HEAD = (
    '<link rel="icon" href="/app/icon.svg"><link rel="stylesheet" href="/app/styles/interval.css">'
    '<script src="/app/theme.js" nonce="{nonce}"></script><script type="module" src="/app/main.js" nonce="{nonce}"></script>'
)


def reader_token(headers: Headers) -> str:
    """The reader's secret from the request's cookie, or `` when there is none or it is not one of ours."""
    try:
        cookie = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    token = cookie[COOKIE].value if COOKIE in cookie else ""
    return token if _TOKEN.fullmatch(token) else ""


def policy(nonce: str) -> str:
    """Content security policy of the page: everything from this origin, scripts by origin or nonce, nobody may frame it."""
    return (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
        "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
    )


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = ()) -> None:
        self.app = app
        self.hosts = _LOOPBACK | {host.strip().lower() for host in hosts if host.strip()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with headers; the page itself goes through `_Page`."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal:
            status, sentence = refusal
            answer = JSONResponse({"error": sentence}, status_code=status, headers=_HEADERS)
            await answer(scope, receive, send)
        elif scope["path"] == "/" and scope["method"] == "GET":
            await _Page(self.app, scope, reader_token(headers) or secrets.token_urlsafe(32)).run(receive, send)
        else:
            await self.app(scope, receive, _with_headers(send, scope["path"]))

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if host not in self.hosts:
            return 421, f"This server does not answer for the host {host!r}; add it to INTERVAL_PUBLIC_HOSTS if it is yours."
        if scope["method"] not in _SAFE and not self._same_origin(headers):
            return 403, "The request came from another site and was refused; open Interval in its own tab."
        path = scope["path"]
        if not path.startswith(OWN) and not GRADIO_OPEN.match(path):
            return 404, "There is nothing at this address."
        return None

    def _same_origin(self, headers: Headers) -> bool:
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = headers.get("origin")
        if origin is None:
            return True
        parts = urlsplit(origin)
        return parts.netloc == headers.get("host") or (parts.hostname or "") in self.hosts - _LOOPBACK


def _with_headers(send: Send, path: str) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers["content-security-policy"] = "default-src 'none'; frame-ancestors 'none'"
            if path.startswith("/api/"):
                headers["cache-control"] = "no-store"
        await send(message)

    return wrapped


class _Page:
    """The one HTML answer: held back until whole, given nonce, own head and the reader's cookie, renewed for a year."""

    def __init__(self, app: ASGIApp, scope: Scope, token: str) -> None:
        self.app, self.scope, self.token = app, scope, token
        self.start: Message = {}
        self.body = bytearray()

    async def run(self, receive: Receive, send: Send) -> None:
        async def hold(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.start = message
            elif message["type"] == "http.response.body":
                self.body += message.get("body", b"")
                if not message.get("more_body", False):
                    await self._release(send)

        await self.app(self.scope, receive, hold)

    async def _release(self, send: Send) -> None:
        nonce = secrets.token_urlsafe(16)
        body = bytes(self.body).replace(b"<script", f'<script nonce="{nonce}"'.encode())
        body = body.replace(b"</head>", (_HEAD.format(nonce=nonce) + "</head>").encode(), 1)
        body = body.replace(b'<html\n\tlang="en"', b'<html lang="en" data-theme="dark"', 1)
        headers = MutableHeaders(scope=self.start)
        for name, value in _HEADERS.items():
            headers[name] = value
        headers["content-security-policy"] = policy(nonce)
        headers["cache-control"] = "no-store"
        headers["content-length"] = str(len(body))
        secure = "; Secure" if self.scope.get("scheme") == "https" else ""
        headers.append("set-cookie", f"{COOKIE}={self.token}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax{secure}")
        await send(self.start)
        await send({"type": "http.response.body", "body": body})
