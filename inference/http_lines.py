"""One request to a model server and its answer line by line: bounded in time and size, stopped within a look of the reader's wish.

The request runs in a thread of its own, because a socket that waits cannot be asked whether somebody still wants the answer.
Redirects are not followed and no proxy of the environment is used: images go to the host that was allowed and nowhere else.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any
from urllib.parse import urlsplit

from errors import Cancelled, EngineError, ModelNotLoaded

LOOK = 0.03
"""Seconds between looks at the stop while the server works."""
LONGEST_LINE = 1 << 20
LONGEST_ANSWER = 64 << 20
"""Bytes of one line and of one whole answer; a server that says more is not speaking the protocol."""


@dataclass(frozen=True)
class Server:
    """Where a server is: `url` up to and with its version (`http://127.0.0.1:8000/v1`), the `key` it asks for, `patience` in seconds."""

    url: str
    key: str = ""
    patience: float = 60.0

    @property
    def host(self) -> str:
        """Host and port, as sentences name the server."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def connection(self) -> http.client.HTTPConnection:
        """A connection that is not open yet."""
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=self.patience)

    def path(self, name: str) -> str:
        """Path of one of the server's routes."""
        return f"{urlsplit(self.url).path.rstrip('/')}/{name}"

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every request."""
        own = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Connection": "close"}
        return own | ({"Authorization": f"Bearer {self.key}"} if self.key else {})


class Refused(EngineError):
    """The server answered with an error of its own; `status` is HTTP's, `reason` what it said."""

    def __init__(self, server: Server, status: int, reason: str) -> None:
        words = f"the model server {server.host} refused the request (HTTP {status}{': ' + reason if reason else ''})"
        super().__init__(f"{words}; correct its settings or ask for another model")
        self.status = status
        self.reason = reason


def lines(server: Server, name: str, body: dict[str, Any] | None, cancel: Event) -> Iterator[bytes]:
    """POST `body` (GET without one) to route `name` and yield the answer's lines as they come.

    Raises `Cancelled` soon after `cancel` is set, `ModelNotLoaded` when nothing listens there, `Refused` for an error of the
    server's, `EngineError` when it is silent for longer than its patience, breaks off, or says too much.
    """
    call = _Call(server, name, body)
    call.start()
    try:
        while True:
            if cancel.is_set():
                raise Cancelled("the answer was stopped")
            with contextlib.suppress(queue.Empty):
                item = call.said.get(timeout=LOOK)
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
    finally:
        call.end()


def whole(server: Server, name: str, body: dict[str, Any] | None, cancel: Event) -> dict[str, Any]:
    """The answer to a request as one JSON object; raises as `lines` does, and `EngineError` for what is no such object."""
    text = b"\n".join(lines(server, name, body, cancel))
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise nonsense(server, text)
    return found


def nonsense(server: Server, text: bytes) -> EngineError:
    """The error for an answer that is not what an OpenAI-compatible server says."""
    begins = " ".join(text[:80].decode(errors="replace").split())
    return EngineError(
        f"the model server {server.host} answered something else than an OpenAI-compatible server does (it begins {begins!r}); "
        "check INTERVAL_ENGINE_URL"
    )


class _Call(threading.Thread):
    """The thread that speaks to the server; `said` has lines, then None or the error that ended it."""

    def __init__(self, server: Server, name: str, body: dict[str, Any] | None) -> None:
        super().__init__(name="model-server", daemon=True)
        self._server, self._name, self._body = server, name, body
        self.said: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()
        self._connection = server.connection()
        self._socket: socket.socket | None = None
        self._ended = False

    def run(self) -> None:
        try:
            self._speak()
            self.said.put(None)
        except EngineError as error:
            self.said.put(error)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.said.put(self._sentence(error))
        except BaseException as error:
            self.said.put(error)
        finally:
            self._connection.close()

    def end(self) -> None:
        """Hang up: the server sees that nobody listens any more, and the thread ends."""
        self._ended = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _speak(self) -> None:
        self._connection.connect()
        self._socket = self._connection.sock
        if self._ended:
            return
        data = None if self._body is None else json.dumps(self._body).encode()
        self._connection.request("POST" if data else "GET", self._server.path(self._name), data, self._server.headers)
        with self._connection.getresponse() as answer:
            self._hear(answer)

    def _hear(self, answer: http.client.HTTPResponse) -> None:
        if answer.status != 200:
            raise Refused(self._server, answer.status, _reason(answer.read(1 << 16)))
        heard = 0
        while line := answer.readline(LONGEST_LINE + 1):
            heard += len(line)
            if len(line) > LONGEST_LINE or heard > LONGEST_ANSWER:
                raise nonsense(self._server, line)
            self.said.put(line.rstrip(b"\r\n"))
        if answer.length:
            raise http.client.IncompleteRead(b"", answer.length)

    def _sentence(self, error: Exception) -> EngineError:
        host = self._server.host
        if isinstance(error, TimeoutError):
            return EngineError(
                f"the model server {host} said nothing for {self._server.patience:g} s; ask again, or raise INTERVAL_ENGINE_PATIENCE_S"
            )
        if isinstance(error, (http.client.IncompleteRead, ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)):
            return EngineError(f"the model server {host} broke off in the middle of its answer; ask again, or look at the server's log")
        if isinstance(error, OSError):
            why = error.strerror or str(error)
            return ModelNotLoaded(f"the model server {host} cannot be reached ({why}); start it, or unset INTERVAL_ENGINE_URL")
        return nonsense(self._server, str(error).encode())


def _reason(body: bytes) -> str:
    """What an error of the server says, one line of at most 200 characters; nothing where it is no JSON."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    inner = found.get("error", found) if isinstance(found, dict) else found
    text = inner.get("message", inner.get("detail", "")) if isinstance(inner, dict) else inner
    return " ".join(str(text).split())[:200]
