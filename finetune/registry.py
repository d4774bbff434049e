"""Which adapter answers, decided by people: promotion behind the gates, rolling back by one line, and where each came from.

A promotion copies the run's adapter to `adapters/<id>/`, which is never changed, and appends one line to `adapters/history.jsonl`; a
roll-back appends another. That one line is all there is to it: it is there whole or not at all, and engines that serve read it
before the next question (`inference.promoted`).

    promote(settings, "mine", by="ana", reason="effusions are no longer called stable")
    rollback(settings, "bundled", by="ana", reason="two readers disagree")
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from errors import InputError, ModelNotLoaded, TuneError
from finetune import files, runs
from inference import adapter as adapters
from inference import catalogue, manifest, promoted
from inference.promoted import Entry
from settings import Settings

SHEET = "gates.json"


def live(settings: Settings, base: str) -> Entry | None:
    """The line in force for a model; None when it answers alone."""
    return promoted.live(settings.adapters_dir, base)


def history(settings: Settings) -> tuple[Entry, ...]:
    """Every promotion and roll-back, oldest first."""
    return promoted.history(settings.adapters_dir)


def promote(settings: Settings, run: str, by: str, reason: str) -> Entry:
    """Have the adapter of a run answer from the next question on. Gate G9: a person signs with a name and a reason.

    Raises `InputError` when the run was not measured, a gate failed, it was measured against another than the live one, or the
    adapter is not the measured one.
    """
    who, why = _signed(by, reason)
    folder, view = runs.adapter(settings, run), runs.view(settings, run)
    base, place = str(view.order["base"]), runs.folder(settings, run)
    listed = manifest.read(folder)
    sheet = _sheet(settings, run, base, listed.files[adapters.FILES[1]])
    name = f"{run}-{listed.files[adapters.FILES[1]][:8]}"
    _keep(folder, place / SHEET, settings.adapters_dir / name)
    _checked(settings, base, name)
    entry = Entry(0, runs.now(), who, "promote", base, name, run, str(view.order["version"]), manifest.digest(place / SHEET), why)
    return _append(settings, entry, sheet["incumbent"])


def rollback(settings: Settings, base: str, by: str, reason: str, to: str | None = None) -> Entry:
    """Have the adapter that was live before answer again, or `to` (an id that was promoted once; `` is the model alone).

    Raises `InputError` when nothing was promoted, or `to` never was.
    """
    who, why = _signed(by, reason)
    past = [entry for entry in history(settings) if entry.base == base]
    now = past[-1].adapter if past else ""
    wanted = _before(past) if to is None else to
    if wanted == now:
        raise InputError(f"{base} {f'wears {now}' if now else 'answers alone'} already; nothing was changed")
    if wanted and wanted not in {entry.adapter for entry in past}:
        known = ", ".join(dict.fromkeys(entry.adapter for entry in past if entry.adapter)) or "none"
        raise InputError(f"{wanted!r} was never promoted for {base}; known: {known}")
    source = next((entry for entry in reversed(past) if entry.adapter == wanted), None) if wanted else None
    if wanted:
        _checked(settings, base, wanted)
    run, version, gates = (source.run, source.version, source.gates_sha256) if source else ("", "", "")
    return _append(settings, Entry(0, runs.now(), who, "rollback", base, wanted, run, version, gates, why), now)


def lineage(settings: Settings) -> dict[str, Any]:
    """Where every adapter that was promoted comes from, for a drawing: `nodes` (id, kind, label, and more) and `edges` (from, to)."""
    nodes: dict[str, dict[str, Any]] = {}
    edges: list[dict[str, str]] = []

    def node(kind: str, name: str, **more: Any) -> str:
        key = f"{kind}:{name}"
        nodes[key] = {**nodes.get(key, {"id": key, "kind": kind, "label": name}), **more}
        return key

    for view in runs.every(settings):
        run = node("run", view.name, state=view.state, method=view.method, by=str(view.order["by"]), gated=view.gated)
        edges += [
            {"from": node("base", str(view.order["base"])), "to": run},
            {"from": node("version", str(view.order["version"])), "to": run},
        ]
        if start := str(view.order.get("start", "")):
            edges.append({"from": node("adapter", start), "to": run})
    for entry in history(settings):
        if not entry.adapter:
            continue
        mine = live(settings, entry.base)
        adapter = node("adapter", entry.adapter, live=bool(mine and mine.adapter == entry.adapter))
        if entry.action == "promote":
            node("adapter", entry.adapter, who=entry.who, at=entry.at, reason=entry.reason, gates_sha256=entry.gates_sha256)
            edges.append({"from": node("run", entry.run), "to": adapter})
    return {"nodes": list(nodes.values()), "edges": [dict(edge) for edge in {tuple(edge.items()): edge for edge in edges}.values()]}


def _signed(by: str, reason: str) -> tuple[str, str]:
    if not by.strip() or not reason.strip():
        raise InputError("who decides, and why, is kept for good; give a name and a reason")
    return by.strip(), reason.strip()


def _sheet(settings: Settings, run: str, base: str, sha256: str) -> Mapping[str, Any]:
    """The run's score sheet, which must have passed and be about this adapter and today's incumbent."""
    path = runs.folder(settings, run) / SHEET
    if not path.is_file():
        raise InputError(f"run {run} was not measured yet; run `python app.py finetune gate {run}` first")
    sheet = files.read_json(path, f"run `python app.py finetune gate {run}` again")
    if not sheet["passed"]:
        failed = ", ".join(gate["gate"] for gate in sheet["gates"] if gate["passed"] is False)
        raise InputError(f"run {run} did not pass {failed}, so it is not promoted; its sheet says which items")
    now = live(settings, base)
    if sheet["adapter_sha256"] != sha256 or sheet["incumbent"] != (now.adapter if now else ""):
        raise InputError(
            f"the sheet of run {run} is not about this adapter and what is live now; run `python app.py finetune gate {run}` again"
        )
    return sheet


def _checked(settings: Settings, base: str, name: str) -> None:
    """Refuse an adapter whose files changed or whose base is not the model's."""
    try:
        adapters.checked(settings.adapters_dir / name, manifest.read(catalogue.folder_of(settings, base)))
    except ModelNotLoaded as error:
        raise InputError(str(error)) from error


def _keep(folder: Path, sheet: Path, place: Path) -> None:
    """Copy an adapter and its sheet to where they stay; one that is there already is the same, by its name."""
    if place.is_dir():
        return
    part = place.with_name(f".{place.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(folder, part)
        shutil.copy(sheet, part / SHEET)
        part.rename(place)
    except OSError as error:
        with suppress(OSError):
            shutil.rmtree(part)
        raise TuneError(f"{place}: the adapter cannot be kept ({error.strerror or error}); make room and promote it again") from error


def _before(past: list[Entry]) -> str:
    """What was live before the last promotion that is still in force; roll-backs go further back, one at a time."""
    stack = [""]
    for entry in past:
        if entry.action == "promote":
            stack.append(entry.adapter)
        elif entry.adapter in stack:
            del stack[stack.index(entry.adapter) + 1 :]
        else:
            stack.append(entry.adapter)
    return stack[-2] if len(stack) > 1 else ""


def _append(settings: Settings, entry: Entry, expected: str) -> Entry:
    """One line more, on the disk before this returns; refused when another was promoted or rolled back meanwhile."""
    path = settings.adapters_dir / promoted.HISTORY
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            past = history(settings)
            last = next((one for one in reversed(past) if one.base == entry.base), None)
            if (last.adapter if last else "") != expected:
                raise InputError(f"somebody else changed which adapter is live for {entry.base}; look again and decide anew")
            whole = path.read_bytes()
            os.ftruncate(file.fileno(), whole.rfind(b"\n") + 1)
            numbered = Entry(**{**asdict(entry), "number": len(past) + 1})
            file.write(json.dumps(asdict(numbered), ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise TuneError(f"{path} cannot be written ({error.strerror or error}); make room and decide again") from error
    return numbered
