"""What the Train tab sends and is sent."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from ui.wire import Incoming

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class VersionIn(Incoming):
    """A dataset version of what reviewers let through, with pairs of the generator beside it."""

    name: Name | Literal[""] = ""
    generated: int = Field(0, ge=0, le=20_000)
    held: float = Field(0.1, ge=0, le=0.5)
    quota: int = Field(200, ge=0, le=100_000)


class RunIn(Incoming):
    """A run as it is ordered; `start` is what it goes on from: the adapter that answers now, or the model alone."""

    name: Name
    base: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    version: Name
    recipe: Name
    start: Literal["live", "none"] = "live"
    epochs: float | None = Field(None, gt=0, le=100)


class PromoteIn(Incoming):
    """A person's signature under a promotion."""

    run: Name
    reason: Reason


class RollbackIn(Incoming):
    """A person's signature under a roll-back of a model; `to` is what shall answer, None what was live before."""

    base: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    reason: Reason
    to: Annotated[str, StringConstraints(max_length=200)] | None = None
