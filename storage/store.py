"""The store's one door: everything the rooms above keep or find goes through `Store`.

    store = Store(settings)
    reader = store.user("local")
    report = store.import_paths([Path("prior.dcm"), Path("current.dcm")], reader)

Safe to share between threads; several processes may hold one store at once. Every failure is a `StoreError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from settings import Settings
from storage.studies import Series, Study
from storage.studies.reader import Progress
from storage.views import (
    Ability,
    AnswerRecord,
    AuditOutcome,
    CheckReport,
    ImportReport,
    PatientSummary,
    Relationship,
    SessionSummary,
    SessionView,
    Slot,
    User,
    Verdict,
)


def upgrade(settings: Settings) -> tuple[str, str]:
    """Bring the database to this version's schema, backed up first; (schema before, schema after), `` when it was new."""
    raise NotImplementedError


class Store:
    """Studies, sessions, answers, feedback and audit of one data directory."""

    def __init__(self, settings: Settings) -> None:
        """Open, and create or upgrade when needed. Raises `StoreError` for a newer schema or a damaged database."""
        self.settings = settings

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of every connection."""
        raise NotImplementedError

    # users

    def user(self, key: str, name: str = "") -> User:
        """The user with this key, made when new; a non-empty `name` replaces the one kept."""
        raise NotImplementedError

    # studies

    def import_paths(
        self,
        paths: Sequence[Path],
        user: User,
        *,
        shared: bool = False,
        names: Mapping[Path, str] | None = None,
        progress: Progress | None = None,
    ) -> ImportReport:
        """Read, de-identify (unless settings keep identity) and keep files, folders and archives for `user`.

        `shared` lets every user see them; `names` maps a path to what the user calls it; `progress(done, total)` counts files.
        A bad file never raises; it is one line of the report.
        """
        raise NotImplementedError

    def patients(self, user: User) -> tuple[PatientSummary, ...]:
        """Patients and studies that are the user's own or shared; studies by date, series by number."""
        raise NotImplementedError

    def study(self, study_id: int, user: User) -> Study:
        """The study with all its series and frames. Raises `StoreError` when it does not exist for this user."""
        raise NotImplementedError

    def series(self, series_id: int, user: User) -> tuple[Study, Series]:
        """One series with its frames, and its study (holding that series alone). Raises `StoreError` when not visible."""
        raise NotImplementedError

    # sessions

    def start_session(self, user: User, title: str, slots: Sequence[Slot], relationship: Relationship = "temporal") -> int:
        """Begin a case; returns its id. Raises `StoreError` when a slot's series is not visible to the user."""
        raise NotImplementedError

    def update_slots(self, session_id: int, user: User, slots: Sequence[Slot], relationship: Relationship | None = None) -> None:
        """Replace the session's images; turns already asked keep theirs."""
        raise NotImplementedError

    def rename_session(self, session_id: int, user: User, title: str) -> None:
        """Give the session another title."""
        raise NotImplementedError

    def sessions(self, user: User, search: str = "", limit: int = 200) -> tuple[SessionSummary, ...]:
        """The user's sessions, last used first; `search` looks in titles, questions and answers, ignoring case."""
        raise NotImplementedError

    def session(self, session_id: int, user: User) -> SessionView:
        """One session with its turns, answers and this user's feedback. Raises `StoreError` when it is not the user's."""
        raise NotImplementedError

    def add_turn(self, session_id: int, user: User, question: str, ability: Ability, relationship: Relationship) -> int:
        """Keep a question with the session's images of this moment; returns the turn's id."""
        raise NotImplementedError

    def add_version(self, turn_id: int, record: AnswerRecord) -> int:
        """Keep one answer to a turn (its id from `add_turn`), durable when this returns; returns the version's id."""
        raise NotImplementedError

    def answer(self, version_id: int, user: User) -> AnswerRecord:
        """The whole record of one answer version, tokens and prompt included."""
        raise NotImplementedError

    def add_feedback(self, version_id: int, user: User, verdict: Verdict, comment: str = "") -> int:
        """Keep what the reader says of an answer, durable when this returns; append-only. Returns the feedback's id."""
        raise NotImplementedError

    # keeping

    def audit(self, user: User, action: str, object_kind: str, object_id: str | int, outcome: AuditOutcome = "success") -> None:
        """Append one row to the audit chain. Identifiers only: text with spaces is refused, so no PHI can slip in."""
        raise NotImplementedError

    def backup(self, path: Path, *, content: bool = True) -> Path:
        """Copy the store while it is in use: a new folder `path` with the database and, unless `content` is False, all files."""
        raise NotImplementedError

    def check(self) -> CheckReport:
        """Verify the database, its references, the audit chain, and that each kept file is there with the right hash."""
        raise NotImplementedError
