"""The viewer's bundle is built from the sources beside it; users have no Node, so it is kept in the repository."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ROOT / "ui" / "viewer"
BUNDLE = ROOT / "assets" / "viewer"
SINGLE = ("package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")


def digest() -> str:
    """The same hash over every source as `ui/viewer/vite.config.ts` writes into the manifest."""
    names = [str(path.relative_to(SOURCES)) for folder in ("src", "stubs") for path in (SOURCES / folder).rglob("*") if path.is_file()]
    made = hashlib.sha256()
    for name in sorted((*names, *SINGLE)):
        made.update(f"{name}\0".encode() + (SOURCES / name).read_bytes() + b"\0")
    return made.hexdigest()


def test_the_bundle_was_built_from_these_sources() -> None:
    """Changed sources without a new bundle would be tested nowhere and reach nobody; `make viewer` builds it."""
    manifest = json.loads((BUNDLE / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["sources"] == digest()
    assert sorted(path.name for path in BUNDLE.iterdir() if path.name != "manifest.json") == manifest["files"]


def test_the_bundle_needs_no_eval_no_worker_and_no_codec() -> None:
    """What the page's policy forbids must not be waiting in a corner of the bundle."""
    text = (BUNDLE / "viewer.js").read_text(encoding="utf-8")
    assert not re.search(r"\bnew Function\(|[^.\w]eval\(|\.wasm\b", text)


def test_the_processor_is_never_switched_off() -> None:
    """`setUseCPURendering(false)` would undo the fallback of every browser without WebGL."""
    calls = [
        call
        for path in (SOURCES / "src").rglob("*.ts")
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.lstrip().startswith("//")
        for call in re.findall(r"setUseCPURendering\(([^)]*)\)", line)
    ]
    assert calls
    assert all(call.startswith("true") for call in calls)
