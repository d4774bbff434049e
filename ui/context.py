"""What every route needs: the store, the engine's room, the renderer, and who is asking."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from errors import StoreError
from settings import Settings
from storage.hanging import Rule, load
from storage.roles import Right
from storage.store import Store
from storage.studies import Series, Study
from storage.views import PatientSummary, User
from ui.aligning import Alignments
from ui.calibrating import Calibrators
from ui.demo import DemoCase
from ui.engine_room import EngineRoom
from ui.pace import Pace
from ui.rendering import Renderer
from ui.rivals import Rivals
from ui.security import reader_token
from ui.training import Measuring

READERS_KEPT = 2048
RULES = Path(__file__).resolve().parent.parent / "assets" / "hanging.yaml"


@dataclass
class Context:
    """One served app."""

    settings: Settings
    store: Store
    engine: EngineRoom
    renderer: Renderer = field(default_factory=Renderer)
    alignments: Alignments = field(default_factory=Alignments)
    measuring: Measuring = field(default_factory=Measuring)
    calibrators: Calibrators = field(default_factory=Calibrators)
    paces: dict[tuple[str, str], Pace] = field(default_factory=dict)
    runs: dict[str, tuple[int, Event]] = field(default_factory=dict)
    ready: Event = field(default_factory=Event)
    cases: tuple[DemoCase, ...] = ()
    rules: tuple[Rule, ...] = field(default_factory=lambda: load(RULES))
    readers: OrderedDict[str, User] = field(default_factory=OrderedDict)
    lock: Lock = field(default_factory=Lock)
    counting: Lock = field(default_factory=Lock)

    @property
    def uploads(self) -> Path:
        """Folder of uploads on their way into the store; one private folder for each."""
        return self.settings.data_dir / "uploads"

    def reader(self, token: str) -> User:
        """The user behind a cookie; the last few thousand are kept at hand."""
        with self.lock:
            if token in self.readers:
                self.readers.move_to_end(token)
                return self.readers[token]
        user = self.store.user(token)
        with self.lock:
            self.readers[token] = user
            while len(self.readers) > READERS_KEPT:
                self.readers.popitem(last=False)
        return user

    def series(self, series_id: int, user: User) -> tuple[Study, Series]:
        """A series this user may see; 404 otherwise, whether or not it exists."""
        return self.several([series_id], user)[0]

    def several(self, series_ids: Sequence[int], user: User) -> tuple[tuple[Study, Series], ...]:
        """Series this user may see, in the order asked for; 404 when one is not."""
        try:
            return self.store.several(series_ids, user)
        except StoreError as error:
            raise HTTPException(404, "There is no such series, or it is not yours to see.") from error

    def patient(self, patient_id: int, user: User) -> PatientSummary:
        """A patient with at least one study this user may see; 404 otherwise."""
        try:
            return self.store.patient(patient_id, user)
        except StoreError as error:
            raise HTTPException(404, "There is no such patient, or none of its studies is yours to see.") from error


def context(request: Request) -> Context:
    """The app's context."""
    found: Context = request.app.state.context
    return found


def rivals(request: Request) -> Rivals:
    """The app's other models."""
    found: Rivals = request.app.state.rivals
    return found


def reader(request: Request) -> User:
    """Who asks, by the cookie the page set; 401 without it."""
    token = reader_token(request.headers)
    if not token:
        raise HTTPException(401, "This browser has no reading room yet; open the page first and allow its cookie.")
    return context(request).reader(token)


def needs(right: Right) -> Callable[[Request], User]:
    """A dependency: who asks, when their role has the right (403 with the remedy otherwise)."""

    def allowed(request: Request) -> User:
        user = reader(request)
        context(request).store.require(user, right)
        return user

    return allowed


In = Annotated[Context, Depends(context)]
Reader = Annotated[User, Depends(reader)]
Models = Annotated[Rivals, Depends(rivals)]
Reviewer = Annotated[User, Depends(needs("review"))]
Admin = Annotated[User, Depends(needs("train"))]
