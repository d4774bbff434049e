"""The served workstation: our own routes first, then the Gradio page, inside one gate.

python app.py serve
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread
from types import FrameType

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before Gradio is imported: it looks once

import plotly
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import FileResponse, JSONResponse
from starlette.staticfiles import StaticFiles

from errors import InputError, IntervalError, StoreHeld, StoreMissing, StoreRefused
from settings import Settings
from storage.store import Store
from ui import (
    page,
    routes_align,
    routes_asking,
    routes_batch,
    routes_duel,
    routes_feedback,
    routes_forecasts,
    routes_frames,
    routes_health,
    routes_library,
    routes_looked,
    routes_marks,
    routes_pixels,
    routes_report,
    routes_review,
    routes_saw,
    routes_sessions,
    routes_teach,
    routes_train,
    routes_trust,
    routes_upload,
)
from ui.batching import Batches
from ui.context import Context
from ui.demo import ensure_demo
from ui.engine_room import EngineFactory, EngineRoom
from ui.rivals import Rivals
from ui.security import Gate

log = logging.getLogger(__name__)
STATUS = ((InputError, 400), (StoreRefused, 403), (StoreMissing, 404), (StoreHeld, 409))
"""HTTP status of a refusal by the kind of its error; anything else is 500."""
ASSETS = Path(__file__).resolve().parent.parent / "assets"
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
"""The charts' library, as the installed package carries it; the page asks for it with the first chart."""


def create_app(settings: Settings, engine_factory: EngineFactory | None = None, *, demo: bool = True) -> FastAPI:
    """The application. `engine_factory` replaces `inference.select.open_engine`; `demo` False leaves the demo cases out.

    The engine opens and the demo cases are imported in the background once the application starts.
    """
    _private_gradio(settings)
    store = Store(settings)
    here = Context(settings=settings, store=store, engine=EngineRoom(settings, engine_factory))

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        shutil.rmtree(here.uploads, ignore_errors=True)
        here.engine.start()
        Thread(target=_prepare, args=(here, demo), name="demo-cases", daemon=True).start()
        yield
        _stop_answers(here)
        here.alignments.close()
        here.measuring.close()
        for thread in threading.enumerate():
            if thread.name.startswith(("answer-", "align-")):
                thread.join(timeout=2)  # it keeps its words before the store closes
        here.engine.close()
        app.state.rivals.close()
        store.close()

    app = FastAPI(title="Interval", lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = here
    app.state.batches = Batches()
    app.state.rivals = Rivals(settings, here.engine)
    for room in (
        routes_align,
        routes_asking,
        routes_batch,
        routes_duel,
        routes_feedback,
        routes_forecasts,
        routes_frames,
        routes_health,
        routes_library,
        routes_looked,
        routes_marks,
        routes_pixels,
        routes_report,
        routes_review,
        routes_saw,
        routes_sessions,
        routes_teach,
        routes_train,
        routes_trust,
        routes_upload,
    ):
        app.include_router(room.router)
    app.add_api_route("/app/plotly.js", _charts, include_in_schema=False)
    app.mount("/app/styles", StaticFiles(directory=ASSETS / "styles"), name="styles")
    app.mount("/app/viewer", StaticFiles(directory=ASSETS / "viewer"), name="viewer")
    app.mount("/app", StaticFiles(directory=ASSETS / "app"), name="app")
    _sentences(app)
    page.mount(app)
    app.add_middleware(Gate, hosts=settings.public_hosts.split(","))
    return app


async def _charts() -> FileResponse:
    """Plotly, the same for everybody and for a day."""
    return FileResponse(PLOTLY, media_type="text/javascript", headers={"cache-control": "public, max-age=86400"})


def serve(settings: Settings) -> None:
    """Serve until interrupted. Raises `IntervalError` when the store cannot be opened."""
    app = create_app(settings)
    config = uvicorn.Config(
        app, host=settings.host, port=settings.port, log_level=settings.log_level, server_header=False, timeout_graceful_shutdown=5
    )
    _Server(config, app.state.context).run()


class _Server(uvicorn.Server):
    """Stops running answers the moment it is told to end, so that their streams end by themselves and their words are kept."""

    def __init__(self, config: uvicorn.Config, here: Context) -> None:
        super().__init__(config)
        self._here = here

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        _stop_answers(self._here)
        super().handle_exit(sig, frame)


def _stop_answers(here: Context) -> None:
    for _, cancel in list(here.runs.values()):
        cancel.set()


def _private_gradio(settings: Settings) -> None:
    """Gradio's own temporary files, should it ever make one, go to a private folder of this data directory."""
    folder = settings.data_dir / "gradio"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)


def _prepare(here: Context, demo: bool) -> None:
    try:
        if demo:
            here.cases = ensure_demo(here.store)
    except IntervalError as error:
        log.warning("demo cases: %s", error)
    except Exception:
        log.exception("demo cases could not be imported")
    finally:
        here.ready.set()


def _sentences(app: FastAPI) -> None:
    """Every refusal is one sentence under `error`."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
        why = str(first["msg"]).removeprefix("Value error, ")
        return JSONResponse({"error": f"The request is not right at {where or 'its body'}: {why}."}, 422)

    @app.exception_handler(Exception)
    async def broke(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "That failed inside the server; the log has the cause, and nothing was lost."}, 500)

    @app.exception_handler(IntervalError)
    async def failed(request: Request, error: IntervalError) -> JSONResponse:
        text = str(error)
        status = next((status for kind, status in STATUS if isinstance(error, kind)), 500)
        return JSONResponse({"error": text[:1].upper() + text[1:]}, status)
