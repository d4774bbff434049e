"""Which adapter answers for a model: the last line of an append-only history in the data directory says so.

`adapters/<id>/` are adapters that were promoted, never changed; `adapters/history.jsonl` has one line for each promotion and each
roll-back. Whoever serves a model reads the history again when the file has grown, so a promotion is live with the next question
and without a restart; `finetune.registry` writes it.

    promoted.live(settings.adapters_dir, "bundled")       # the live line, None for the model alone
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

from errors import ModelNotLoaded

HISTORY = "history.jsonl"
NONE = "none"
"""Behind a model's `+`: the model without any adapter."""


@dataclass(frozen=True)
class Entry:
    """One line of the history: from `at` (UTC, ISO 8601) on `adapter` answers for the model `base`; `` is the model alone.

    `action` is `promote` or `rollback`, `who` decided it and gave `reason`; `run`, `version` and `gates_sha256` say where the adapter
    comes from and which score sheet was signed.
    """

    number: int
    at: str
    who: str
    action: str
    base: str
    adapter: str
    run: str = ""
    version: str = ""
    gates_sha256: str = ""
    reason: str = ""


def history(adapters: Path) -> tuple[Entry, ...]:
    """Every line, oldest first. Raises `ModelNotLoaded` when a line is damaged; a last one that was cut off is no line yet."""
    path = adapters / HISTORY
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ModelNotLoaded(f"{path} cannot be read ({error.strerror}); make it readable and ask again") from error
    lines = raw[: raw.rfind(b"\n") + 1].splitlines()
    names = {field.name for field in fields(Entry)}
    try:
        rows = [json.loads(line) for line in lines if line.strip()]
        return tuple(Entry(**{name: value for name, value in row.items() if name in names}) for row in rows)
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelNotLoaded(f"{path} is damaged, so nobody knows which adapter is live; restore it from a backup") from error


def live(adapters: Path, base: str) -> Entry | None:
    """The line in force for the model `base`; None when it answers alone."""
    last = next((entry for entry in reversed(history(adapters)) if entry.base == base), None)
    return last if last is not None and last.adapter else None


def mark(adapters: Path) -> tuple[int, int]:
    """What changes when the history grows: cheap enough to be looked at before every question."""
    try:
        found = (adapters / HISTORY).stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
