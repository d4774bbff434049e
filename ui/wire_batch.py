"""Batches over the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from ui.wire import Incoming


class BatchIn(Incoming):
    """Pairs of the library: of these patients, or of all the reader sees; each newest study with its prior, or `every` one."""

    patients: Annotated[tuple[int, ...], Field(max_length=20_000)] = ()
    every: bool = False


class BatchRowOut(BaseModel):
    """One pair. `clear` is the class that leads clearly, of the whole under `overall`; '' where none does."""

    number: int
    prior: str
    current: str
    patient: str
    patient_id: int
    studies: tuple[int, ...]
    state: Literal["waiting", "reading", "done", "failed"]
    progression: dict[str, dict[str, float]]
    overall: dict[str, float]
    clear: dict[str, str]
    warnings: tuple[str, ...]
    error: str
    seconds: float


class BatchOut(BaseModel):
    """A batch; `rows` from `first` (from 0) on."""

    id: str
    state: Literal["waiting", "running", "done", "stopped", "failed"]
    stage: str
    error: str
    total: int
    done: int
    failed: int
    seconds: float
    model: str
    first: int
    findings: tuple[str, ...]
    rows: tuple[BatchRowOut, ...]
