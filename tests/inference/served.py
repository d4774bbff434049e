"""A model server of the test's own on loopback: speaks OpenAI's protocol, or breaks it in the way a test asks for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from inference.http_lines import Server

Say = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    """One request; what it answers is the server's `say`."""

    server: Desk
    timeout = 30

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.json(200, self.server.listed)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.paths.append(self.path)
        self.server.bodies.append(body)
        self.server.keys.append(self.headers.get("Authorization", ""))
        self.server.say(self, body)

    def json(self, status: int, content: object) -> None:
        """Answer with one JSON object."""
        self.raw(json.dumps(content).encode(), status, "application/json")

    def raw(self, data: bytes, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        """Answer with bytes as they are, and hang up behind them."""
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing reaches the terminal."""


class Desk(ThreadingHTTPServer):
    """The server, and what it was asked."""

    daemon_threads = True

    def __init__(self, say: Say) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.say = say
        self.listed: object = {"data": [{"id": "tiny", "max_model_len": 2048}]}
        self.paths: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""

    @property
    def url(self) -> str:
        """Its address, version included."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def at(self, patience: float = 20.0) -> Server:
        """It as the engine is given it."""
        return Server(self.url, "s3cret", patience)


@contextmanager
def serving(say: Say) -> Iterator[Desk]:
    """A server that answers questions with `say`, until the block ends."""
    desk = Desk(say)
    thread = threading.Thread(target=desk.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield desk
    finally:
        desk.shutdown()
        desk.server_close()
        thread.join(10)


def event(text: str = "", finish: str | None = None, logprob: float | None = None) -> bytes:
    """One event of a stream."""
    choice: dict[str, Any] = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    if logprob is not None:
        choice["logprobs"] = {"content": [{"token": text, "logprob": logprob, "top_logprobs": []}]}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def spoken(*words: str, logprob: float | None = -0.25) -> bytes:
    """A whole stream that says `words`."""
    used = json.dumps({"choices": [], "usage": {"prompt_tokens": 321}}).encode()
    told = b"".join(event(word, logprob=logprob) for word in words)
    return b": ping\n\n" + told + event(finish="stop") + b"data: " + used + b"\n\ndata: [DONE]\n\n"
