"""A hub of the test's own on loopback: lists repositories, gives files whole or from a byte on, and breaks off where a test wants it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" * 6 + "c0ff"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Hub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append((path, self.headers.get("Range", ""), self.headers.get("Authorization", "")))
        if path.startswith("/api/models/"):
            repository = path.removeprefix("/api/models/").partition("/revision/")[0]
            return self.listing(repository) if repository in self.server.repositories else self.send_error(404)
        if path.startswith("/bytes/"):
            return self.file(path.removeprefix("/bytes/"))
        repository, _, name = path.removeprefix("/").partition(f"/resolve/{COMMIT}/")
        if self.server.gated and self.headers.get("Authorization") != "Bearer allowed":
            return self.send_error(403)
        self.send_response(302)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/bytes/{repository}/{name}")
        self.send_header("Content-Length", "0")
        return self.end_headers()

    def listing(self, repository: str) -> None:
        """The repository's files as the hub's API lists them."""
        siblings = []
        for path in sorted(self.server.repositories[repository].rglob("*")):
            if path.is_file():
                data = path.read_bytes()
                name = path.relative_to(self.server.repositories[repository]).as_posix()
                entry = {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()}
                if len(data) > 2000:
                    entry |= {"lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}}  # type: ignore[dict-item]
                siblings.append(entry)
        body = json.dumps({"sha": COMMIT, "siblings": siblings}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def file(self, place: str) -> None:
        """A file's bytes from where they are asked for, up to where the server breaks off."""
        owner, name, inside = place.split("/", 2)
        data = (self.server.repositories[f"{owner}/{name}"] / inside).read_bytes()
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        rest = data[start:]
        if self.server.breaks and len(rest) > 1000:
            self.server.breaks -= 1
            rest = rest[: len(rest) // 2]
            self.close_connection = True
        if self.server.lies:
            rest = bytes(len(rest))
        self.wfile.write(rest)

    def log_message(self, *_: object) -> None:
        """Nothing reaches the terminal."""


class Hub(ThreadingHTTPServer):
    """The server: `repositories` by name, whether they are `gated`, how often it still `breaks` off, whether its bytes are lies."""

    daemon_threads = True

    def __init__(self, repositories: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = repositories
        self.gated = self.lies = False
        self.breaks = 0
        self.asked: list[tuple[str, str, str]] = []

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def hub(**repositories: Path) -> Iterator[Hub]:
    """A hub with the folders as repositories of owner `lab`, until the block ends."""
    made = Hub({f"lab/{name}": folder for name, folder in repositories.items()})
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        made.server_close()
        thread.join(10)
