"""Upload by our own door: a multipart body is written straight into a private folder, read into the store, and gone.

Gradio's upload would put files where every user of the app can fetch them. Here nothing is kept but what
`Store.import_paths` took. The answer is one JSON object a line: how far the reading is, then the outcome of every file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import anyio.to_thread
import python_multipart as multipart
from fastapi import APIRouter, HTTPException, Request
from fastapi.encoders import jsonable_encoder
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from errors import IntervalError
from storage.views import ImportReport, User
from ui import hanging
from ui.context import Context, In, Reader
from ui.wire import HangingOut

log = logging.getLogger(__name__)
router = APIRouter(prefix="/api")

_MEGA = 1024 * 1024
_DRAIN = 8 * _MEGA


class TooMuch(Exception):
    """The upload is over a limit; the text is the sentence for the reader."""


class Inbox:
    """Receives one multipart body into `folder`, file by file, and remembers what the reader calls each."""

    def __init__(self, folder: Path, boundary: bytes, max_bytes: int, max_files: int) -> None:
        self.folder, self.names = folder, dict[Path, str]()
        self._max_bytes, self._max_files = max_bytes, max_files
        self._written = 0
        self._header, self._value = bytearray(), bytearray()
        self._disposition = b""
        self._file: BinaryIO | None = None
        self._parser = multipart.MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._open,
                "on_part_data": self._write,
                "on_part_end": self.close,
            },
        )

    def write(self, chunk: bytes) -> None:
        """Take the next piece of the body. Raises `TooMuch` over a limit."""
        self._written += len(chunk)
        if self._written > self._max_bytes:
            raise TooMuch(over(self._max_bytes))
        self._parser.write(chunk)

    def close(self) -> None:
        """End the file being written."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _part_begin(self) -> None:
        self._header.clear()
        self._value.clear()
        self._disposition = b""

    def _header_end(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _open(self) -> None:
        given = parse_options_header(self._disposition)[1].get(b"filename")
        if given is None:
            return
        if len(self.names) >= self._max_files:
            raise TooMuch(f"The upload holds more than {self._max_files:,} files; send it in parts, or raise INTERVAL_MAX_ARCHIVE_ENTRIES.")
        name = given.decode("utf-8", "replace")
        path = self.folder / safe(name)
        while path in self.names or path.is_dir():
            path = path.with_name(f"{path.stem}_{path.suffix}")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.names[path] = shown(name)
        self._file = path.open("wb")

    def _write(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])


def over(limit: int) -> str:
    """The sentence for an upload over `limit` bytes."""
    return f"The upload is over the limit of {limit // _MEGA:,} MB; send it in parts, or raise INTERVAL_MAX_UPLOAD_MB."


def safe(name: str) -> Path:
    """A relative path inside the upload's folder for whatever name a browser sent; folders are kept, tricks are not."""
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "..", ".")]
    clean = ["".join(letter if letter.isalnum() or letter in "._- " else "_" for letter in part)[-80:] for part in parts[-12:]]
    return Path(*[part.strip(" .") or "_" for part in clean]) if clean else Path("_")


def shown(name: str) -> str:
    """The name as the reader knows it, without control characters."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)[-200:]


@router.post("/upload")
async def upload(request: Request, here: In, user: Reader) -> StreamingResponse:
    """Files of a multipart form into the reader's own studies."""
    inbox = await received(request, here)
    return StreamingResponse(_import(here, user, inbox), media_type="application/x-ndjson")


async def received(request: Request, here: Context) -> Inbox:
    """The files of a multipart form in a private folder that is the caller's to remove. Raises `HTTPException` with a sentence."""
    limit = here.settings.max_upload_mb * _MEGA
    kind, fields = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not fields.get(b"boundary"):
        raise HTTPException(400, "An upload is a multipart form with files in it.")
    if int(request.headers.get("content-length") or 0) > limit:
        raise HTTPException(413, over(limit))
    here.uploads.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = Path(await anyio.to_thread.run_sync(lambda: tempfile.mkdtemp(dir=here.uploads)))
    try:
        inbox = Inbox(folder, fields[b"boundary"], limit, here.settings.max_archive_entries)
        await _receive(request, inbox)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise _refusal(error) from error
    return inbox


async def _receive(request: Request, inbox: Inbox) -> None:
    """Write the body as it comes. Once it is too much, a little more is read and thrown away, so that the browser hears
    the refusal instead of a broken connection."""
    refused: TooMuch | None = None
    patience = _DRAIN
    try:
        async for chunk in request.stream():
            if refused is None and chunk:
                try:
                    await anyio.to_thread.run_sync(inbox.write, chunk)
                except TooMuch as error:
                    refused = error
            elif refused is not None:
                patience -= len(chunk)
                if patience < 0:
                    break
    finally:
        inbox.close()
    if refused is not None:
        raise refused
    if not inbox.names:
        raise HTTPException(400, "The upload holds no file; choose one or more.")


def _refusal(error: BaseException) -> BaseException:
    match error:
        case TooMuch():
            return HTTPException(413, str(error))
        case multipart.exceptions.FormParserError():
            return HTTPException(400, "The upload broke off or is not a proper multipart form; send it again.")
        case ClientDisconnect():
            return HTTPException(499, "The upload was broken off; nothing of it was kept.")
        case OSError():
            return HTTPException(507, f"The upload could not be written ({error.strerror}); free some space and send it again.")
        case _:
            return error


async def _import(here: Context, user: User, inbox: Inbox) -> AsyncIterator[bytes]:
    """Lines of progress, then the report; the private folder is gone when this ends."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    def progress(done: int, total: int) -> None:
        line: dict[str, object] = {"done": done, "total": total}
        loop.call_soon_threadsafe(queue.put_nowait, line)

    def work() -> dict[str, object]:
        try:
            report = here.store.import_paths(sorted(inbox.names), user, names=inbox.names, progress=progress)
            return {"report": report, "hang": _hang(here, user, report)}
        except IntervalError as error:
            return {"error": f"The upload could not be kept: {error}."}
        except Exception:
            log.exception("import failed")
            return {"error": "The upload could not be read inside the server; the log has the cause. Nothing of it was kept."}
        finally:
            shutil.rmtree(inbox.folder, ignore_errors=True)

    task = asyncio.create_task(anyio.to_thread.run_sync(work))
    while not (task.done() and queue.empty()):
        next_line = asyncio.create_task(queue.get())
        await asyncio.wait({task, next_line}, return_when=asyncio.FIRST_COMPLETED)
        if next_line.done():
            yield _line(next_line.result())
        else:
            next_line.cancel()
    yield _line(task.result())


def _hang(here: Context, user: User, report: ImportReport) -> HangingOut | None:
    return hanging.hang(here, user, report.study_ids) if report.study_ids else None


def _line(value: dict[str, object]) -> bytes:
    return json.dumps(jsonable_encoder(value)).encode() + b"\n"
