"""Downloads of model files from a hub: listed with their hashes first, then resumed, counted and checked file by file.

Nothing calls this but `models add`, which somebody typed. The hub is asked for the commit behind a branch and for each file's
size and hash; what arrives is kept under its name only when both are the listed ones. The token goes to the hub alone.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from errors import ModelNotLoaded

CHUNK = 1 << 20
TRIES = 4
"""Times a broken connection is taken up again before it is left to the next run of the command."""
PATIENCE = 60.0
"""Seconds without a byte."""
OnBytes = Callable[[int], None]
"""Told how many bytes have just been added, those found from an earlier run included."""


@dataclass(frozen=True)
class Hub:
    """Where models are downloaded from, and the token of a reader who accepted a maker's terms there."""

    url: str
    token: str = ""


@dataclass(frozen=True)
class Listing:
    """A file as the hub lists it: `sha256` of a large file, `blob` (git's SHA-1) of a small one."""

    name: str
    size: int
    sha256: str = ""
    blob: str = ""


def listing(hub: Hub, repository: str, revision: str) -> tuple[str, tuple[Listing, ...]]:
    """The commit behind `revision` and its files. Raises `ModelNotLoaded`."""
    address = f"{hub.url}/api/models/{repository}/revision/{urllib.parse.quote(revision, safe='')}?blobs=true"
    try:
        with _opened(hub, address, repository) as answer:
            found = json.loads(answer.read(64 << 20))
        files = [
            Listing(
                str(one["rfilename"]),
                int((one.get("lfs") or one).get("size") or 0),
                str((one.get("lfs") or {}).get("sha256", "")),
                str(one.get("blobId", "")),
            )
            for one in found["siblings"]
        ]
        return str(found["sha"]), tuple(files)
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException) as error:
        raise ModelNotLoaded(f"{hub.url} does not list the files of {repository} as a hub does; check INTERVAL_HUB_URL") from error


def fetch(hub: Hub, repository: str, commit: str, wanted: Listing, target: Path, on_bytes: OnBytes) -> None:
    """Download one file to `target`, going on with what an earlier try left in `target` with `.part` behind it.

    Raises `ModelNotLoaded` when the connection breaks again and again (what arrived is kept), or the file is not the listed one.
    """
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    address = f"{hub.url}/{repository}/resolve/{commit}/{urllib.parse.quote(wanted.name)}"
    told = 0

    def tell(count: int) -> None:
        nonlocal told
        told += count
        on_bytes(count)

    for attempt in range(TRIES):
        have = part.stat().st_size if part.is_file() else 0
        if have > wanted.size:
            part.unlink()
            have = 0
        tell(have - told)
        try:
            if have < wanted.size or not part.is_file():
                _append(hub, address, repository, part, have, tell)
            if part.stat().st_size >= wanted.size:
                break
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError) or attempt + 1 == TRIES:
                raise _broken(wanted, error) from error
    else:
        raise _broken(wanted, ConnectionError("the connection ends early"))
    if not _same(part, wanted):
        part.unlink()
        raise ModelNotLoaded(
            f"{wanted.name} of {repository} is not the file the hub lists (its hash differs); it was deleted, add it again"
        )
    part.replace(target)


def _append(hub: Hub, address: str, repository: str, part: Path, have: int, on_bytes: OnBytes) -> None:
    """Add what is missing behind the first `have` bytes, or begin anew where the hub gives the file from its beginning only."""
    with _opened(hub, address, repository, have) as answer:
        again = bool(have) and answer.status != 206
        if again:
            on_bytes(-have)
        with part.open("wb" if again else "ab") as file:
            while data := answer.read(CHUNK):
                file.write(data)
                on_bytes(len(data))


def _opened(hub: Hub, address: str, repository: str, start: int = 0) -> Any:
    """An open answer. Raises `ModelNotLoaded` for what no second try mends, `OSError` for the rest."""
    request = urllib.request.Request(address, headers={"User-Agent": "interval"})  # noqa: S310  the director below knows http(s) alone
    if start:
        request.add_header("Range", f"bytes={start}-")
    if hub.token:
        request.add_unredirected_header("Authorization", f"Bearer {hub.token}")
    try:
        return _director().open(request, timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            raise ModelNotLoaded(
                f"{repository} is given to those only who accepted its maker's terms at {hub.url}/{repository}; accept them there and "
                "set INTERVAL_HUB_TOKEN"
            ) from error
        if error.code == 404:
            raise ModelNotLoaded(f"{hub.url} has no {repository} any more; look for it there and add it by its path") from error
        raise ModelNotLoaded(f"{hub.url} refused {repository} (HTTP {error.code}); try again later") from error
    except urllib.error.URLError as error:
        if start or isinstance(error.reason, (TimeoutError, ConnectionResetError)):
            raise OSError(str(error.reason)) from error
        raise ModelNotLoaded(
            f"{hub.url} cannot be reached ({error.reason}); connect to the network, or add the model by its path"
        ) from error


def _director() -> urllib.request.OpenerDirector:
    """What opens addresses: http and https, proxies of the environment, redirects among those; no files, no FTP."""
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        director.add_handler(handler)
    return director


def _same(path: Path, wanted: Listing) -> bool:
    if path.stat().st_size != wanted.size:
        return False
    with path.open("rb") as file:
        if wanted.sha256:
            return hashlib.file_digest(file, "sha256").hexdigest() == wanted.sha256
        return _blob(file, wanted.size) == wanted.blob


def _blob(file: IO[bytes], size: int) -> str:
    """Git's name of a file's content."""
    digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    while data := file.read(CHUNK):
        digest.update(data)
    return digest.hexdigest()


def _broken(wanted: Listing, error: Exception) -> ModelNotLoaded:
    return ModelNotLoaded(f"{wanted.name} did not arrive whole ({error}); what came is kept, so run the command again to go on")
