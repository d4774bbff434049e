"""Many pairs read one after the other in the background: what `predict` does, for the page to watch, stop and take as CSV.

A batch asks for the engine at every call anew, so a reader's question waits for one call and never for the batch. It lives as long
as the server does; each reader's newest is kept, and a stop keeps what was read.
"""

from __future__ import annotations

import csv
import io
import logging
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Literal

from errors import Cancelled, InputError, IntervalError, ModelChanged, ModelNotLoaded
from inference import pairfile
from inference.pairfile import Films, PairRow
from inference.prompts import FINDINGS, OVERALL, PROGRESSION
from inference.report import NOTICE, clear
from storage.hanging import Hung, arrange
from storage.studies import Budget, relate
from storage.views import PatientSummary, Slot, User
from ui import predicting, requests
from ui.checking import Lent
from ui.context import Context
from ui.predicting import Predicted
from ui.routes_upload import safe

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "stopped", "failed"]
MOST_PAIRS = 5_000
IMAGES = "images"
"""Folder of an upload that its images lie in; the pair file lies beside it."""
PAIR_FILE = "pairs.csv"
_LABEL = 120
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Row:
    """One pair: as it is called, the studies to open it by (none for uploaded files), and what was read."""

    number: int
    prior: str
    current: str
    patient: str = ""
    patient_id: int = 0
    studies: tuple[int, ...] = ()
    state: Literal["waiting", "reading", "done", "failed"] = "waiting"
    found: Predicted | None = None
    error: str = ""
    seconds: float = 0.0


Read = Callable[[int, Lent, Event], Predicted]
"""Reads the pair of a row by its index; raises what the images and the engine raise."""


@dataclass
class Batch:
    """One run over many pairs. Written by its thread, read by the routes; every row is replaced whole."""

    id: str
    user: User
    rows: list[Row]
    cancel: Event = field(default_factory=Event)
    state: State = "waiting"
    done: int = 0
    error: str = ""
    stage: str = ""
    model: str = ""
    model_digest: str = ""
    adapter_digest: str = ""
    offsets_digest: str = ""
    engine: str = ""
    seconds: float = 0.0

    @property
    def finished(self) -> bool:
        """Nothing will change any more."""
        return self.state in ("done", "stopped", "failed")


class Batches:
    """The newest batch of every reader; safe between threads."""

    def __init__(self) -> None:
        self._newest: dict[int, Batch] = {}
        self._lock = Lock()

    def start(self, here: Context, user: User, rows: Sequence[Row], read: Read, folder: Path | None = None) -> Batch:
        """Begin; returns at once. `folder` is removed when it ends. Raises `InputError` while the reader's last one runs."""
        batch = Batch(secrets.token_urlsafe(12), user, list(rows))
        with self._lock:
            last = self._newest.get(user.id)
            if last is not None and not last.finished:
                raise InputError("a batch of yours is running; stop it, or wait for its end")
            self._newest[user.id] = batch
        here.runs[batch.id] = (user.id, batch.cancel)
        Thread(target=_work, args=(here, batch, read, folder), name=f"answer-batch-{batch.id}", daemon=True).start()
        return batch

    def newest(self, user: User) -> Batch | None:
        """The reader's last batch."""
        with self._lock:
            return self._newest.get(user.id)


def of_library(here: Context, user: User, patients: Sequence[PatientSummary], *, every: bool) -> tuple[list[Row], Read]:
    """Each patient's newest study, or `every` one, with its most relevant prior by the hanging rules. Raises `InputError`."""
    pairs: list[tuple[Hung, Hung]] = []
    rows: list[Row] = []
    for patient in patients:
        wanted = [study.id for study in patient.studies if study.series] if every else [None]
        for study_id in wanted:
            found = arrange(patient, here.rules, study_id)
            if found.current is None or found.prior is None:
                continue
            pairs.append((found.prior, found.current))
            labels = (_label(found.prior), _label(found.current))
            rows.append(Row(len(rows) + 1, *labels, patient.pseudonym, patient.id, (found.prior.study.id, found.current.study.id)))
    _refuse(len(rows), "none of these patients has a study with a prior to compare it with; open more studies")

    def read(index: int, engine: Lent, cancel: Event) -> Predicted:
        items = [here.store.series(hung.series.id, user) for hung in pairs[index]]
        relation = relate(items[0], items[1])
        prior, current = (
            Slot(hung.series.id, len(series.frames) // 2, role, when)
            for hung, (_, series), role, when in zip(pairs[index], items, pairfile.ROLES, relation.whens, strict=True)
        )
        frames = [
            f"{_label(hung)}: image {len(series.frames) // 2 + 1} of {len(series.frames)} was shown to the model"
            for hung, (_, series) in zip(pairs[index], items, strict=True)
            if len(series.frames) > 1
        ]
        images = (requests.image(here.store, user, prior), requests.image(here.store, user, current))
        return predicting.of_images(images, engine, (*frames, *relation.warnings), cancel=cancel)

    return rows, read


def of_files(here: Context, folder: Path) -> tuple[list[Row], Read]:
    """The pairs of the uploaded pair file, their images beside it. Raises `InputError`."""
    place = folder / PAIR_FILE
    if not place.is_file():
        raise InputError("the upload holds no pair file; choose a CSV with the columns prior_path and current_path")
    try:
        given = pairfile.load(place)
    except InputError as error:
        raise InputError(str(error).replace(str(place), "the pair file")) from error
    (folder / IMAGES).mkdir(exist_ok=True)
    films = Films(folder / IMAGES, Budget.from_settings(here.settings))
    rows = [Row(number, _short(row.prior_path), _short(row.current_path)) for number, row in enumerate(given, 1)]
    _refuse(len(rows), "")

    def read(index: int, engine: Lent, cancel: Event) -> Predicted:
        prior, current = (str(safe(path)) if path.strip() else "" for path in given[index].paths)
        return predicting.read(PairRow(prior, current), films, engine, both=True, cancel=cancel)

    return rows, read


def table(batch: Batch) -> str:
    """What was read as CSV: one line a pair, the class that leads clearly and every probability of each finding."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\r\n")
    shares = [f"{finding}: {name}" for finding in FINDINGS for name in PROGRESSION]
    named = ["pair", "patient", "prior", "current", "state", "overall", *(f"overall: {name}" for name in OVERALL), *FINDINGS, *shares]
    write.writerow([*named, "warnings", "seconds", "model", "model_sha256", "adapter_sha256", "offsets_sha256", "engine"])
    for row in batch.rows:
        found = row.found or Predicted({}, {})
        classes = [clear(found.progression.get(finding, {})) for finding in FINDINGS]
        figures = [found.progression.get(finding, {}).get(name, "") for finding in FINDINGS for name in PROGRESSION]
        overall = [found.overall.get(name, "") for name in OVERALL]
        words = [row.patient, row.prior, row.current, row.state, clear(found.overall)]
        told = "; ".join((*found.warnings, *([row.error] if row.error else [])))
        weights = [batch.model_digest, batch.adapter_digest, batch.offsets_digest]
        about = [told, round(row.seconds, 2), batch.model, *weights, batch.engine]
        write.writerow([_cell(value) for value in (row.number, *words, *overall, *classes, *figures, *about)])
    write.writerow([])
    write.writerow([NOTICE])
    return out.getvalue()


def _work(here: Context, batch: Batch, read: Read, folder: Path | None) -> None:
    started = time.monotonic()

    def waiting(ahead: int) -> None:
        batch.stage = "waiting for the model" if ahead < 0 else f"waiting, {ahead} before it" if ahead else ""

    try:
        engine = Lent(here.engine.use, batch.cancel, waiting)
        card = engine.card
        batch.model, batch.engine = card.name, card.engine
        batch.model_digest, batch.adapter_digest, batch.offsets_digest = card.weights
        batch.state = "running"
        for index in range(len(batch.rows)):
            _pair(batch, index, read, engine)
            batch.done, batch.seconds = index + 1, time.monotonic() - started
        batch.state = "done"
    except Cancelled:
        batch.state = "stopped"
    except IntervalError as error:
        batch.error, batch.state = _sentence(str(error)), "failed"
    except Exception:
        log.exception("batch %s failed", batch.id)
        batch.error, batch.state = "The batch failed inside the server; the log has the cause, and what was read is kept.", "failed"
    finally:
        batch.rows = [replace(row, state="waiting") if row.state == "reading" else row for row in batch.rows]
        here.runs.pop(batch.id, None)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _pair(batch: Batch, index: int, read: Read, engine: Lent) -> None:
    """Read one pair; what is wrong with it alone is its row's. Raises `Cancelled`, `ModelNotLoaded` and `ModelChanged`."""
    if batch.cancel.is_set():
        raise Cancelled("the batch was stopped")
    began = time.monotonic()
    row = batch.rows[index] = replace(batch.rows[index], state="reading")
    try:
        found = read(index, engine, batch.cancel)
        batch.rows[index] = replace(row, state="done", found=found, seconds=time.monotonic() - began)
    except (Cancelled, ModelNotLoaded, ModelChanged):
        raise
    except IntervalError as error:
        batch.rows[index] = replace(row, state="failed", error=_sentence(str(error)), seconds=time.monotonic() - began)


def _label(hung: Hung) -> str:
    date = f"{hung.study.acquired:%Y-%m-%d}" if hung.study.acquired else "no date"
    said = (hung.series.description or hung.study.description).removeprefix("SYNTHETIC ")
    kind = "" if said.startswith(hung.series.modality) else hung.series.modality
    return _short(" ".join(part for part in (date, kind, said) if part))


def _short(text: str) -> str:
    return text if len(text) <= _LABEL else f"…{text[1 - _LABEL :]}"


def _refuse(count: int, none: str) -> None:
    if count == 0:
        raise InputError(none)
    if count > MOST_PAIRS:
        raise InputError(f"these are {count:,} pairs and a batch reads at most {MOST_PAIRS:,}; give it in parts")


def _cell(value: object) -> object:
    """A cell no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
