"""Models beside the served one, for two answers to one question: which there are, and an engine for each, one at a time.

The served engine stays open and is shared; of all others one is kept open, and closed when another is asked for. What a browser may
name is what is offered here, so that no name from outside becomes a path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock

from errors import EngineError, InputError, ModelNotLoaded
from inference import adapter as adapters
from inference import catalogue, manifest, promoted
from inference.engine import Engine
from inference.select import REMOTE, Selection, open_engine
from settings import Settings
from ui.engine_room import EngineRoom, Waiting

SERVED = ""
"""Name of the model that answers the questions of this page."""

Opener = Callable[[Settings, str], Selection]
Offered = Callable[[Settings], tuple["Choice", ...]]


@dataclass(frozen=True)
class Choice:
    """One model to choose: the name to open it by, and words for a menu."""

    name: str
    words: str


def offered(settings: Settings) -> tuple[Choice, ...]:
    """Every whole model of this machine on each engine it has files for, alone and with each adapter that fits it."""
    found: list[Choice] = []
    for entry in catalogue.models(settings):
        if entry.state != "ready":
            continue
        alone = f"{entry.name}+{promoted.NONE}"
        found += [Choice(f"{alone}@{engine}", f"{entry.name} · {engine}") for engine in entry.engines if engine in ("gguf", "torch")]
        found += [Choice(f"{entry.name}+{name}", f"{entry.name} + {name}") for name in _fitting(settings, entry)]
    if settings.engine_url:
        found.append(Choice(f"{settings.engine_model}@{REMOTE}", f"{settings.engine_model or 'first model'} · server"))
    return tuple(found)


def _fitting(settings: Settings, entry: catalogue.ModelEntry) -> Iterator[str]:
    """Names of promoted adapters and of finished runs whose adapter was trained on this model, each once."""
    base = manifest.read(entry.path)
    places = {folder.parent.name: folder for folder in sorted(settings.runs_dir.glob("*/adapter/"))}
    places |= {folder.name: folder for folder in sorted(settings.adapters_dir.glob("*/"))}
    for name, folder in places.items():
        if not all((folder / file).is_file() for file in adapters.FILES):
            continue
        try:
            fits = not adapters.misfit(manifest.read(folder), base, name)
        except ModelNotLoaded:
            continue
        if fits:
            yield name


class Rivals:
    """Lends engines by name; safe between threads. `opener` and `choices` are replaced in tests."""

    def __init__(self, settings: Settings, served: EngineRoom, opener: Opener = open_engine, choices: Offered = offered) -> None:
        self.opener, self.choices = opener, choices
        self._settings, self._served = settings, served
        self._lock = Lock()
        self._name, self._room = "", served

    def offered(self) -> tuple[Choice, ...]:
        """The served model first, then every other."""
        status = self._served.status()
        now = " · ".join(part for part in (status.model, status.engine) if part) or status.text
        return Choice(SERVED, f"{now} (now)"), *(one for one in self.choices(self._settings) if one.words != now)

    @contextmanager
    def use(self, name: str, cancel: Event, waiting: Waiting) -> Iterator[Engine]:
        """Lend the model of that name. Raises `InputError` for one that is not offered, and what its engine raises."""
        with self._of(name).use(cancel, waiting) as engine:
            yield engine

    def close(self) -> None:
        """Free the engine that is not the served one."""
        with self._lock:
            if self._room is not self._served:
                self._room.close()
            self._name, self._room = "", self._served

    def _of(self, name: str) -> EngineRoom:
        if name == SERVED:
            return self._served
        if all(one.name != name for one in self.choices(self._settings)):
            raise InputError("that model is no longer here; choose another from the list")
        with self._lock:
            if self._name != name or self._room.status().state in ("missing", "failed"):
                if self._room is not self._served:
                    if self._room.busy:
                        raise EngineError(
                            "another chosen model is answering somebody now, and one is open beside the served; ask again later"
                        )
                    self._room.close()
                self._name, self._room = name, EngineRoom(self._settings, lambda settings: self.opener(settings, name))
                self._room.start()
            return self._room
