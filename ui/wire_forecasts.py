"""The forecast ledger over the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from storage.forecasts import LONGEST, ForecastView
from ui.wire import Incoming
from ui.wire_trust import ReliabilityOut


class OutcomeIn(Incoming):
    """What came of a forecast, one of its classes or `untold`, as seen on a later study."""

    came: Annotated[str, StringConstraints(min_length=1, max_length=400)]
    study_id: int = Field(ge=1)
    comment: Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST)] = ""


class ForecastOut(BaseModel):
    """A forecast with how far it came."""

    forecast: ForecastView
    state: Literal["open", "due", "resolved"]


class StandingOut(BaseModel):
    """One model's resolved forecasts; figures and diagram from `least` of them on."""

    model: str
    adapter: str
    resolved: int
    brier: float | None
    even: float | None
    diagram: ReliabilityOut | None


class LedgerOut(BaseModel):
    """All of the ledger that a reader sees. `untold` is the word for a later study that does not show what came."""

    forecasts: tuple[ForecastOut, ...]
    standing: tuple[StandingOut, ...]
    least: int
    untold: str
