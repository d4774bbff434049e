"""The Train tab: dataset versions, runs with their curves, score sheets, which adapter is live, and where it came from."""

from __future__ import annotations

from dataclasses import asdict
from threading import Lock
from typing import Any

from fastapi import APIRouter, HTTPException

from finetune import files, registry, runs
from finetune.versions import shelf
from storage.views import User
from ui import training
from ui.context import Admin, In
from ui.wire_train import PromoteIn, RollbackIn, RunIn, VersionIn

router = APIRouter(prefix="/api/train")
_building = Lock()


def _who(user: User) -> str:
    return user.name or f"reader {user.id}"


@router.get("")
def overview(here: In, user: Admin) -> dict[str, Any]:
    """Everything there is: versions, runs, models that can learn, recipes, and what is live."""
    settings = here.settings
    found = training.bases(settings)
    return {
        "versions": [training.manifest(version) for version in shelf.every(settings.versions_dir)],
        "runs": [_run(view) for view in runs.every(settings)],
        "bases": found,
        "recipes": training.recipes(),
        "live": [asdict(entry) for base in found if (entry := registry.live(settings, base))],
        "history": [asdict(entry) for entry in registry.history(settings)],
    }


@router.get("/reviewed")
def reviewed(here: In, user: Admin) -> dict[str, int]:
    """How many items reviewers let through."""
    return {"items": len(here.store.accepted())}


@router.post("/versions")
def build(body: VersionIn, here: In, user: Admin) -> dict[str, Any]:
    """Build a version of what reviewers let through. 409 while another is built."""
    from finetune.versions.build import Plan
    from finetune.versions.build import build as made

    if not _building.acquire(blocking=False):
        raise HTTPException(409, "A version is being built already; wait until it is there.")
    try:
        said: list[str] = []
        settings = here.settings
        room, remark = training.room_of(settings)
        plan = Plan(
            body.name, generated=body.generated, held=body.held, quota=body.quota, reviewed=training.corrections(here.store), room=room
        )
        version = made(settings.versions_dir, plan, said.append)
    finally:
        _building.release()
    here.store.audit(user, "build", "dataset", version.name)
    return {"version": training.manifest(version), "said": [*said, *([remark] if remark else [])]}


@router.post("/estimate")
def estimate(body: RunIn, here: In, user: Admin) -> dict[str, Any]:
    """How long a run would take, how much memory, and what that was reckoned from."""
    return asdict(runs.reckon(here.settings, _order(body, user)))


@router.post("/runs")
def order(body: RunIn, here: In, user: Admin) -> dict[str, Any]:
    """Order a run and start it."""
    view = runs.create(here.settings, _order(body, user))
    return start(view.name, here, user)


@router.get("/runs/{name}")
def run(name: str, here: In, user: Admin) -> dict[str, Any]:
    """A run as it stands: curve, end of its log, score sheet."""
    settings = here.settings
    view, place = runs.view(settings, name), runs.folder(settings, name)
    sheet = files.read_json(place / runs.GATES, runs.REMEDY) if (place / runs.GATES).is_file() else None
    return {
        "run": _run(view),
        "curve": runs.curve(settings, name),
        "log": runs.log(settings, name),
        "sheet": sheet,
        "measuring": here.measuring.running(name),
        "measured": here.measuring.said(settings, name),
    }


@router.post("/runs/{name}/start")
def start(name: str, here: In, user: Admin) -> dict[str, Any]:
    """Start a run, or go on with it after a stop or a kill."""
    runs.start(here.settings, name)
    here.store.audit(user, "train", "run", name)
    return _run(runs.view(here.settings, name))


@router.post("/runs/{name}/stop")
def stop(name: str, here: In, user: Admin) -> dict[str, Any]:
    """Have a run write a checkpoint and end."""
    runs.stop(here.settings, name)
    here.store.audit(user, "stop", "run", name)
    return _run(runs.view(here.settings, name))


@router.post("/runs/{name}/gate")
def gate(name: str, here: In, user: Admin) -> dict[str, Any]:
    """Measure a finished run against what is live; it goes on in a process of its own."""
    here.measuring.start(here.settings, name)
    here.store.audit(user, "measure", "run", name)
    return _run(runs.view(here.settings, name))


@router.post("/runs/{name}/gate/stop")
def stop_gate(name: str, here: In, user: Admin) -> dict[str, Any]:
    """End the measuring of a run."""
    here.measuring.stop(name)
    here.store.audit(user, "unmeasure", "run", name)
    return _run(runs.view(here.settings, name))


@router.post("/promote")
def promote(body: PromoteIn, here: In, user: Admin) -> dict[str, Any]:
    """Have a run's adapter answer from the next question on, signed by who asks."""
    entry = registry.promote(here.settings, body.run, _who(user), body.reason)
    here.store.audit(user, "promote", "adapter", entry.adapter)
    return asdict(entry)


@router.post("/rollback")
def rollback(body: RollbackIn, here: In, user: Admin) -> dict[str, Any]:
    """Have what answered before answer again."""
    entry = registry.rollback(here.settings, body.base, _who(user), body.reason, body.to)
    here.store.audit(user, "rollback", "adapter", entry.adapter or body.base)
    return asdict(entry)


@router.get("/lineage")
def lineage(here: In, user: Admin) -> dict[str, Any]:
    """Where every run and adapter comes from."""
    return registry.lineage(here.settings)


def _order(body: RunIn, user: User) -> Any:
    from finetune import orders

    changes = {} if body.epochs is None else {"epochs": body.epochs}
    return orders.Order(body.name, body.base, body.version, orders.recipe(body.recipe, **changes), _who(user), body.start)


def _run(view: runs.View) -> dict[str, Any]:
    return {**asdict(view), "method": view.method, "base": view.order["base"], "version": view.order["version"], "by": view.order["by"]}
