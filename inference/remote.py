"""A model on another server: any that speaks OpenAI's chat completions (vLLM, SGLang, llama-server, llama-cpp-python's own).

Images travel as PNG data URLs of exactly the tile that is kept with the answer, never as addresses, and only to a loopback
host or one that `INTERVAL_ENGINE_HOSTS` names. What the server's own prompt looks like is its affair, so the text that people
wrote is rid of everything that could be a control token there.

    engine = RemoteEngine(Server("http://127.0.0.1:8000/v1"))
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

import numpy as np
from PIL import Image as Pillow

from errors import ContextFull, EngineError, ModelNotLoaded
from inference import http_lines, pixels
from inference.engine import Image, ModelCard, OnStage, Request, Scores, Stage, Timings, Token
from inference.http_lines import Refused, Server
from inference.prompts import ImageSlot, messages

TILE = 896
"""Side in pixels of the square an image is sent as; servers scale it to their model's own."""
TOKENS_PER_IMAGE = 256
"""Tokens an image is reckoned at before sending; the server alone knows, and says so afterwards where it counts them."""
LIKELIEST = 20
"""Alternatives a server is asked for at a choice: the most that the protocol allows."""
BRACKETED = re.compile(r"\[(?=/?[A-Z_]{2,32}\])")
MARKED = re.compile(r"<(?=[^\s<>]{1,64}>)")


def plain(text: str) -> str:
    """The text with a space in whatever a server's tokenizer could take for a control token: `<|im_end|>` -> `< |im_end|>`."""
    return BRACKETED.sub("[ ", MARKED.sub("< ", text))


class RemoteEngine:
    """Asks `model` of a server, or the first one it lists. Raises `ModelNotLoaded` when the server is not there or has no such model."""

    def __init__(self, server: Server, model: str = "", context_tokens: int = 4096, max_images: int = 8) -> None:
        self._server = server
        self._mine = threading.local()
        self._closed = Event()
        self._offers = True
        listed = _listed(server)
        name = model or next(iter(listed), "")
        if name not in listed:
            there = ", ".join(sorted(listed)[:5]) or "none"
            raise ModelNotLoaded(f"the model server {server.host} has no model {name!r}; choose one of those it lists: {there}")
        self.card = ModelCard(
            name=name,
            family="remote",
            revision="",
            sha256="",
            licence="unknown",
            engine="remote",
            tokens_per_image=TOKENS_PER_IMAGE,
            max_images=max_images,
            context_tokens=_context(listed[name]) or context_tokens,
            summary=f"It runs on {server.host}, which does not say what its weights are: know your server.",
            tile=TILE,
        )

    @property
    def timings(self) -> Timings:
        """Timings of this thread's last request."""
        return getattr(self._mine, "timings", Timings())

    def prompt(self, request: Request) -> str:
        """The messages as they are sent, `[image 1]` for an image; the server writes its own template around them."""
        return "\n".join(
            f"{message.role}: " + "".join(plain(part) if isinstance(part, str) else f"[image {part.index + 1}]" for part in message.parts)
            for message in messages(request)
        )

    def stream(self, request: Request, cancel: Event, on_stage: OnStage | None = None) -> Iterator[Token]:
        """Yield tokens as the server sends them; see `Engine.stream`. `logprob` is nan where it offers none.

        Raises `ContextFull`, `Cancelled`, and `EngineError` when the server is silent, breaks off or talks nonsense.
        """
        tell = on_stage or _nobody
        started = time.monotonic()
        work = Timings(images_encoded=len(request.images))
        tell(Stage("reading"))
        try:
            for heard in self._heard(request, cancel):
                work = replace(work, prompt_tokens=heard.prompt_tokens or work.prompt_tokens)
                for text, logprob in heard.pieces:
                    if not work.tokens:
                        work = replace(work, first_token_s=time.monotonic() - started)
                        tell(Stage("writing"))
                    yield Token(text, logprob, work.tokens)
                    work = replace(work, tokens=work.tokens + 1)
        finally:
            self._mine.timings = replace(work, total_s=time.monotonic() - started)

    def score(self, request: Request, choices: Sequence[str], cancel: Event | None = None, *, whole: bool = True) -> Scores:
        """Log-probability that the answer begins as each choice does, from the likeliest first tokens the server names.

        The protocol cannot score given words, so `whole` makes no difference, and a choice that is not among the likeliest gets
        the least likely one's: it is no likelier. Raises `EngineError` when the server names none, or two choices begin alike.
        """
        started = time.monotonic()
        body = self._body(request, 1) | {"logprobs": True, "top_logprobs": LIKELIEST, "stream": False}
        try:
            found = http_lines.whole(self._server, "chat/completions", body, cancel or Event())
        except Refused as error:
            raise self._understood(error) from error
        finally:
            self._mine.timings = Timings(total_s=time.monotonic() - started, images_encoded=len(request.images))
        named = _likeliest(found)
        if not named:
            raise EngineError(
                f"the model server {self._server.host} offers no log-probabilities, so choices cannot be weighed; start it with them"
            )
        return Scores(tuple(_begun(choice, choices, named, self._server) for choice in choices), (1,) * len(choices))

    def close(self) -> None:
        """Forget the server; requests that run go on to their own end."""
        self._closed.set()

    def _heard(self, request: Request, cancel: Event) -> Iterator[_Heard]:
        """What the server says. One that refuses to name log-probabilities is asked again without, and not asked for them any more."""
        body = self._body(request, request.options.max_tokens) | {"stream": True, "stream_options": {"include_usage": True}}
        try:
            if self._offers:
                yield from _events(self._server, body | {"logprobs": True}, cancel)
                return
        except Refused as error:
            if "logprob" not in error.reason.lower():
                raise self._understood(error) from error
            self._offers = False
        try:
            yield from _events(self._server, body, cancel)
        except Refused as error:
            raise self._understood(error) from error

    def _body(self, request: Request, tokens: int) -> dict[str, Any]:
        if self._closed.is_set():
            raise EngineError("this engine was closed; open it again")
        options = request.options
        chat = [
            {
                "role": message.role,
                "content": plain(str(message.parts[0]))
                if len(message.parts) == 1
                else [_part(part, request.images) for part in message.parts],
            }
            for message in messages(request)
        ]
        asked = {"model": self.card.name, "messages": chat, "max_tokens": tokens}
        return asked | {"temperature": options.temperature, "seed": options.seed}

    def _understood(self, error: Refused) -> EngineError:
        """A refusal for want of room is the same error as everywhere."""
        if error.status in (400, 413, 422) and re.search(r"context|too long|maximum.*(length|token)", error.reason, re.IGNORECASE):
            return ContextFull(f"{str(error).split(';')[0]}; use fewer images, a shorter question or a new session")
        return error


@dataclass(frozen=True)
class _Heard:
    """One event of a stream: pieces of text with their log-probability, and what the prompt came to where it is said."""

    pieces: tuple[tuple[str, float], ...] = ()
    prompt_tokens: int = 0


def _events(server: Server, body: Mapping[str, Any], cancel: Event) -> Iterator[_Heard]:
    """The events of a stream. Raises `EngineError` when it ends before the server said that it had."""
    finished = False
    for line in http_lines.lines(server, "chat/completions", dict(body), cancel):
        if not line or line.startswith((b":", b"event:", b"id:", b"retry:")):
            continue
        if not line.startswith(b"data:"):
            raise http_lines.nonsense(server, line)
        data = line[5:].strip()
        if data == b"[DONE]":
            return
        heard, ended = _event(server, data)
        finished = finished or ended
        yield heard
    if not finished:
        raise EngineError(f"the model server {server.host} broke off in the middle of its answer; ask again, or look at the server's log")


def _event(server: Server, data: bytes) -> tuple[_Heard, bool]:
    """One event, and whether the answer ends with it."""
    try:
        found = json.loads(data)
        if error := found.get("error"):
            told = error.get("message", "") if isinstance(error, dict) else error
            raise Refused(server, 200, " ".join(str(told).split())[:200])
        used = (found.get("usage") or {}).get("prompt_tokens") or 0
        used = used if isinstance(used, int) else 0
        if not found["choices"]:
            return _Heard(prompt_tokens=used), False
        choice = found["choices"][0]
        text = _characters(choice["delta"].get("content") or "")
        named = (choice.get("logprobs") or {}).get("content") or []
        pieces = tuple((_characters(one["token"]), min(float(one["logprob"]), 0.0)) for one in named)
        if "".join(piece for piece, _ in pieces) != text:
            known = sum(logprob for _, logprob in pieces) if pieces else math.nan
            pieces = ((text, known),) if text else ()
        return _Heard(pieces, used), bool(choice.get("finish_reason"))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise http_lines.nonsense(server, data) from error


def _characters(text: object) -> str:
    """Text as it can be kept and sent: half a surrogate pair, which JSON may say, is no character. Raises `TypeError` for no text."""
    if not isinstance(text, str):
        raise TypeError(f"{type(text).__name__} is no text")
    return text.encode(errors="replace").decode()


def _likeliest(found: Mapping[str, Any]) -> dict[str, float]:
    """First token -> log-probability, as far as the server names them."""
    try:
        first = found["choices"][0]["logprobs"]["content"][0]
        return {str(one["token"]): min(float(one["logprob"]), 0.0) for one in [*first["top_logprobs"], first]}
    except (KeyError, TypeError, IndexError, ValueError, OverflowError):
        return {}


def _begun(choice: str, choices: Sequence[str], named: Mapping[str, float], server: Server) -> float:
    """Log-probability of all named tokens that `choice`, and no other choice, begins with."""

    def fits(words: str, token: str) -> bool:
        begin = token.strip().lower()
        return bool(begin) and (words.strip().lower().startswith(begin) or begin.startswith(words.strip().lower() or "\0"))

    own = [token for token in named if fits(choice, token)]
    if any(fits(other, token) for other in choices if other != choice for token in own):
        raise EngineError(f"two choices begin alike for the model server {server.host}, which cannot tell them apart; name them otherwise")
    if not own:
        return min(named.values())
    return float(np.logaddexp.reduce([named[token] for token in own]))  # servers send -9999 for what cannot be


def _listed(server: Server) -> dict[str, Mapping[str, Any]]:
    """Models of the server by name. Raises `ModelNotLoaded`."""
    try:
        found = http_lines.whole(replace(server, patience=min(server.patience, 10.0)), "models", None, Event())
        return {str(one["id"]): one for one in found["data"]}
    except ModelNotLoaded:
        raise
    except (EngineError, KeyError, TypeError) as error:
        said = (
            str(error) if isinstance(error, EngineError) else f"the model server {server.host} lists no models; check INTERVAL_ENGINE_URL"
        )
        raise ModelNotLoaded(said) from error


def _context(listed: Mapping[str, Any]) -> int:
    """Tokens of context where the server says them: vLLM's `max_model_len`, llama-server's `meta.n_ctx_train`; else 0."""
    inside = listed.get("meta")
    found = listed.get("max_model_len") or (inside.get("n_ctx_train") if isinstance(inside, dict) else 0)
    return found if isinstance(found, int) and found >= 128 else 0


def _part(part: str | ImageSlot, images: Sequence[Image]) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": plain(part)}
    out = io.BytesIO()
    Pillow.fromarray(pixels.tile(images[part.index].pixels, TILE)).save(out, "PNG", compress_level=1)
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"}}


def _nobody(_stage: Stage) -> None:
    return
