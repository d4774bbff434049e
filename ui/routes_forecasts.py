"""The forecast ledger: what answers of the reader's cases foretold, what came of it, and how a model's forecasts stand."""

from __future__ import annotations

from fastapi import APIRouter

from inference.foretold import LEAST, standing
from storage.forecasts import UNTOLD
from ui.calibrating import diagram
from ui.context import In, Reader
from ui.wire_forecasts import ForecastOut, LedgerOut, OutcomeIn, StandingOut

router = APIRouter(prefix="/api/forecasts")


@router.get("")
def ledger(here: In, user: Reader) -> LedgerOut:
    """The reader's forecasts, newest first, and how those of every model stand that anybody here resolved."""
    return LedgerOut(
        forecasts=tuple(ForecastOut(forecast=one, state=one.state) for one in here.store.forecasts(user)),
        standing=tuple(
            StandingOut(
                model=one.model, adapter=one.adapter[:8], resolved=one.resolved, brier=one.brier, even=one.even,
                diagram=diagram(one.diagram) if one.diagram else None,
            )
            for one in standing(here.store.resolved_forecasts())
        ),
        least=LEAST,
        untold=UNTOLD,
    )  # fmt: skip


@router.post("/{forecast_id}/outcomes")
def resolve(forecast_id: int, body: OutcomeIn, here: In, user: Reader) -> LedgerOut:
    """Keep what the reader saw come of a forecast; the ledger as it is then."""
    here.store.resolve_forecast(forecast_id, user, body.came, body.study_id, body.comment)
    return ledger(here, user)
