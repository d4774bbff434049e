"""For whoever watches the server: is it alive, can it be used."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse

from ui.context import In

router = APIRouter()


@router.get("/healthz")
def alive() -> dict[str, bool]:
    """The process answers."""
    return {"ok": True}


@router.get("/readyz")
def ready(here: In) -> JSONResponse:
    """200 when studies can be read and questions asked, else 503 with what is missing."""
    engine = here.engine.status()
    ok = here.ready.is_set() and engine.state == "ready"
    return JSONResponse({"ok": ok, "engine": engine.state, "demo": here.ready.is_set(), "detail": engine.detail}, 200 if ok else 503)
