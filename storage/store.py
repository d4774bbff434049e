"""The store's one door: everything the rooms above keep or find goes through `Store`.

    store = Store(settings)
    reader = store.user("local")
    report = store.import_paths([Path("prior.dcm"), Path("current.dcm")], reader)

Safe to share between threads; several processes may hold one store at once. Every failure is a `StoreError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import select
from sqlalchemy.orm import Session

from errors import StoreError
from settings import Settings
from storage import (
    agreement,
    audit,
    branching,
    dialect,
    erasing,
    exchange,
    feedback,
    flags,
    forecasts,
    history,
    importing,
    library,
    marks,
    overrides,
    reports,
    restoring,
    review,
    reviewed,
    roles,
    salt,
    studies,
    teaching,
    templates,
    upkeep,
)
from storage import upgrade as schema
from storage.content import ContentStore
from storage.database import Database
from storage.feedback import Said
from storage.flags import FlagView
from storage.forecasts import ForecastView, Foretold
from storage.marks import Marks
from storage.reports import ReportText
from storage.review_views import Agreement, Facets, Filters, ItemView, Judgement, QueueItem, QueuePage
from storage.reviewed import Reviewed
from storage.schema import UserRow, key_hash
from storage.studies import Series, Study, pixels
from storage.studies.reader import Progress
from storage.teaching import BlindRead
from storage.views import (
    LOCAL,
    Ability,
    AnswerRecord,
    AskedMark,
    AuditOutcome,
    CheckReport,
    Clinical,
    Erased,
    FeedbackView,
    ImportReport,
    Listed,
    OverrideView,
    PatientSummary,
    Relationship,
    Restored,
    Role,
    SessionSummary,
    SessionView,
    Slot,
    TakenIn,
    User,
)

QUICK_CHECK_BYTES = 256 * 1024 * 1024
"""Databases up to this size are looked at on every opening (about 0.3 s at most); `check` looks at any."""


def upgrade(settings: Settings) -> tuple[str, str]:
    """Bring the database to this version's schema, backed up first; (schema before, schema after), `` when it was new."""
    database = Database(settings)
    try:
        return schema.upgrade(database, settings.data_dir)
    finally:
        database.close()


def restore(settings: Settings, folder: Path, *, replace: bool = False) -> Restored:
    """Put the backup in `folder` in the place of the store; what was there is copied to `backups/` first. Raises `StoreError`."""
    return restoring.restore(settings, folder, replace=replace)


class Store:
    """Studies, sessions, answers, feedback and audit of one data directory."""

    def __init__(self, settings: Settings) -> None:
        """Open, and create or upgrade when needed. Raises `StoreError` for a newer schema or a damaged database."""
        self.settings = settings
        self._budget = studies.Budget.from_settings(settings)
        pixels.use(self._budget)
        self._database = Database(settings)
        self._content = ContentStore(settings.data_dir / "content")
        self._frames = library.Frames(self._content)
        self._salt = settings.data_dir / "salt"
        try:
            self._open()
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of every connection."""
        self._database.close()

    # users

    def user(self, key: str, name: str = "") -> User:
        """The user with this key, made when new; a non-empty `name` replaces the one kept."""
        if not key:
            raise StoreError("a user needs a key; give `local` or the browser's own")
        hashed = key_hash(key)
        query = select(UserRow).where(UserRow.key_hash == hashed)
        with self._database.read() as session:
            row = session.scalar(query)
        if row is None or (name and row.name != name):
            with self._database.write() as session:
                dialect.one_writer(session.connection(), "users")
                role = "admin" if key == LOCAL else self.settings.new_role
                row = session.scalar(query) or UserRow(key_hash=hashed, name="", role=role)
                row.name = name or row.name
                session.add(row)
        return User(row.id, key, row.name)

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
        try:
            with self._content.workspace() as workspace:
                reading = studies.read(
                    paths,
                    self._budget,
                    names,
                    deidentifier=self._deidentifier(workspace),
                    workspace=workspace / "unpacked",
                    progress=progress,
                )
                sources = [frame.source for study in reading.studies for series in study.series for frame in series.frames]
                failed = self._content.keep(sources, workspace)
                return importing.keep(self._database, self._content, reading, failed, user, shared)
        except OSError as error:
            raise StoreError(
                f"the content store {self._content.root} cannot be written: {error.strerror}; free space or check it"
            ) from error

    def patients(self, user: User) -> tuple[PatientSummary, ...]:
        """Patients and studies that are the user's own or shared; studies by date, series by number."""
        with self._database.read() as session:
            return library.patients(session, user)

    def patient(self, patient_id: int, user: User) -> PatientSummary:
        """One patient with every study this user may see. Raises `StoreError` when there is none."""
        with self._database.read() as session:
            return library.patient(session, patient_id, user)

    def patient_of(self, series_id: int, user: User) -> PatientSummary:
        """The patient of a series, with every study this user may see. Raises `StoreError` when it is not visible."""
        with self._database.read() as session:
            return library.patient_of(session, series_id, user)

    def study(self, study_id: int, user: User) -> Study:
        """The study with all its series and frames. Raises `StoreError` when it does not exist for this user."""
        with self._database.read() as session:
            return library.study(session, self._frames, study_id, user)

    def series(self, series_id: int, user: User) -> tuple[Study, Series]:
        """One series with its frames, and its study (holding that series alone). Raises `StoreError` when not visible."""
        with self._database.read() as session:
            return library.series(session, self._frames, [series_id], user)[0]

    def several(self, series_ids: Sequence[int], user: User) -> tuple[tuple[Study, Series], ...]:
        """As `series`, each of them in the order asked for. Raises `StoreError` when one is not visible."""
        with self._database.read() as session:
            return library.series(session, self._frames, series_ids, user)

    # sessions

    def start_session(self, user: User, title: str, slots: Sequence[Slot], relationship: Relationship = "temporal") -> int:
        """Begin a case; returns its id. Raises `StoreError` when a slot's series is not visible to the user."""
        return self._database.together(lambda session: history.start(session, user, title, slots, relationship))

    def update_slots(self, session_id: int, user: User, slots: Sequence[Slot], relationship: Relationship | None = None) -> None:
        """Replace the session's images; turns already asked keep theirs."""
        self._database.together(
            lambda session: history.update_slots(session, history.own(session, session_id, user), user, slots, relationship)
        )

    def rename_session(self, session_id: int, user: User, title: str) -> None:
        """Give the session another title."""
        self._database.together(lambda session: history.rename(session, session_id, user, title))

    def branch(self, session_id: int, turn_id: int, user: User) -> int:
        """Begin a case that holds everything of this one up to a question, feedback left out; its id. Raises `StoreError`."""
        return self._database.together(lambda session: branching.branch(session, session_id, turn_id, user))

    def sessions(self, user: User, search: str = "", limit: int = 200) -> tuple[SessionSummary, ...]:
        """The user's sessions, last used first; `search` looks in titles, questions and answers, ignoring case."""
        with self._database.read() as session:
            return history.sessions(session, user, search, limit)

    def session(self, session_id: int, user: User) -> SessionView:
        """One session with its turns, answers and this user's feedback. Raises `StoreError` when it is not the user's."""
        with self._database.read() as session:
            return history.view(session, session_id, user)

    def add_turn(
        self,
        session_id: int,
        user: User,
        question: str,
        ability: Ability,
        relationship: Relationship,
        marks: Sequence[AskedMark] = (),
        clinical: Clinical | None = None,
        slots: Sequence[Slot] | None = None,
    ) -> int:
        """Keep a question with the session's images of this moment (`slots` from here on, if any), and what is drawn and told for it; the
        turn's id."""

        def asked(session: Session) -> int:
            row = history.own(session, session_id, user)
            if slots is not None:
                history.update_slots(session, row, user, slots, relationship)
            shown = history.slots_of(session, session_id) if slots is None else slots
            return history.add_turn(session, row, user, question, ability, relationship, shown, marks, clinical)

        return self._database.together(asked)

    def add_version(self, turn_id: int, record: AnswerRecord) -> int:
        """Keep one answer to a turn (its id from `add_turn`), durable when this returns; returns the version's id."""

        def kept(session: Session) -> int:
            version_id = history.add_version(session, turn_id, record)
            forecasts.keep(session, version_id)
            return version_id

        return self._database.together(kept)

    def add_checks(
        self,
        version_id: int,
        user: User,
        checks: Mapping[str, object],
        progression: Mapping[str, Mapping[str, float]],
        settled: history.Settled | None = None,
    ) -> None:
        """Put checks and progression that were made after an answer to it, durable when this returns; its words stay as they are.

        `settled` says what all of them come to together, which is kept among the checks.
        """

        def kept(session: Session) -> None:
            history.add_checks(session, version_id, user, checks, progression, settled)
            forecasts.keep(session, version_id)

        self._database.together(kept)

    def answer(self, version_id: int, user: User) -> AnswerRecord:
        """The whole record of one answer version, tokens and prompt included."""
        with self._database.read() as session:
            return history.answer(session, version_id, user)

    def add_feedback(self, version_id: int, user: User, said: Said) -> int:
        """Keep what the reader says of an answer, durable when this returns; append-only. Returns the feedback's id."""
        return self._database.together(
            lambda session: feedback.add(session, version_id, history.turn_of(session, version_id, user), user, said)
        )

    def statement(self, feedback_id: int, user: User) -> FeedbackView:
        """One statement of the user's own, by the id `add_feedback` returned."""
        with self._database.read() as session:
            return feedback.own(session, feedback_id, user)

    def flags(self, user: User) -> tuple[FlagView, ...]:
        """What the user said of answers as it stands, newest first, with how far reviewers came with it."""
        with self._database.read() as session:
            return flags.of_reader(session, user)

    def statements_since(self, user: User, moment: datetime) -> int:
        """How many statements on answers, and reviews of others', this user made after `moment`."""
        with self._database.read() as session:
            return feedback.since(session, user, moment)

    def templates(self, user: User) -> Mapping[Ability, tuple[str, ...]]:
        """The user's own wordings of questions, by ability; those without a list are not named."""
        with self._database.read() as session:
            return templates.load(session, user)

    def save_templates(self, user: User, ability: Ability, texts: Sequence[str]) -> None:
        """Keep the user's wordings for an ability in the place of those before; none brings the program's own back."""
        self._database.together(lambda session: templates.save(session, user, ability, texts))

    def marks(self, session_id: int, user: User) -> Marks:
        """What is drawn and arranged on the session. Raises `StoreError` when it is not the user's."""
        with self._database.read() as session:
            return marks.load(session, session_id, user)

    def save_marks(self, session_id: int, user: User, given: Marks) -> int:
        """Keep the document over version `given.version`; the new version. Raises `StoreConflict` when that is not the newest."""
        return self._database.together(lambda session: marks.save(session, session_id, user, given))

    def report(self, session_id: int, user: User) -> ReportText | None:
        """The words of the case's report as last saved, None when it never was. Raises `StoreError` when the case is not the user's."""
        with self._database.read() as session:
            return reports.newest(session, session_id, user)

    def save_report(self, session_id: int, user: User, text: ReportText) -> int:
        """Keep the words of the case's report as another row; its id. Raises `InputError` when they are too long, `StoreError`."""
        return self._database.together(lambda session: reports.save(session, session_id, user, text))

    def forecasts(self, user: User) -> tuple[ForecastView, ...]:
        """What answers of the user's cases foretold, newest first, with the studies it can be held against and what came of it."""
        with self._database.read() as session:
            return forecasts.of_reader(session, user)

    def resolve_forecast(self, forecast_id: int, user: User, came: str, study_id: int, comment: str = "") -> int:
        """Keep what the reader saw come of a forecast as another row; its id. Raises `InputError`, `StoreMissing`."""
        return self._database.together(lambda session: forecasts.resolve(session, forecast_id, user, came, study_id, comment))

    def resolved_forecasts(self) -> tuple[Foretold, ...]:
        """Every reader's resolved forecasts, for what they say of a model."""
        with self._database.read() as session:
            return forecasts.resolved(session)

    def commit_blind(self, user: User, key: str, cells: Mapping[str, str], reference: Mapping[str, str]) -> int:
        """Keep what a learner said of a teaching case, durable when this returns; its id. Raises `StoreHeld` the second time."""
        return self._database.together(lambda session: teaching.commit(session, user, key, cells, reference))

    def blind_reads(self, user: User) -> tuple[BlindRead, ...]:
        """The user's blind reads, newest first."""
        with self._database.read() as session:
            return teaching.of_reader(session, user)

    # review: every call raises `StoreRefused` for a user whose role does not allow it

    def role(self, user: User) -> Role:
        """The user's role as it is now."""
        with self._database.read() as session:
            return roles.role_of(session, user)

    def require(self, user: User, right: roles.Right) -> None:
        """Raises `StoreRefused`, with the remedy, when the user lacks a right."""
        with self._database.read() as session:
            roles.require(session, user, right)

    def member(self, user: User) -> roles.Member:
        """The user as they are now."""
        with self._database.read() as session:
            return roles.member(session, user)

    def members(self) -> tuple[roles.Member, ...]:
        """Everybody who ever opened the page, for whoever looks after the store."""
        with self._database.read() as session:
            return roles.members(session)

    def give_role(self, by: User, user_id: int, role: str) -> roles.Member:
        """Give a user another role; audited."""
        with self._database.write() as session:
            roles.require(session, by, "admin")
            return roles.give(session, by, user_id, role)

    def call(self, user: User, name: str) -> None:
        """What the reader wants to be called."""
        self._database.together(lambda session: roles.rename(session, user, name))

    def queue(self, user: User, filters: Filters, offset: int = 0, limit: int = review.PAGE) -> QueuePage:
        """A part of the reviewers' queue, with counts by state."""
        with self._database.read() as session:
            return review.page(session, user, filters, offset, limit)

    def queue_facets(self, user: User) -> Facets:
        """What the queue can be narrowed to."""
        with self._database.read() as session:
            return review.facets(session, user)

    def review_case(self, item_id: int, user: User) -> ItemView:
        """One case of the queue with everything a reviewer needs."""
        with self._database.read() as session:
            return reviewed.case(session, item_id, user)

    def case_of(self, feedback_id: int, user: User) -> int:
        """The number of the case that a statement is part of."""
        with self._database.read() as session:
            return review.of_statement(session, feedback_id, user)

    def take(self, item_id: int, user: User) -> QueueItem:
        """Hold a case for as long as the settings say, or hold it longer. Raises `StoreHeld` when another has it."""
        return self._database.together(lambda session: review.take(session, item_id, user, self._hold))

    def take_next(self, user: User, filters: Filters) -> QueueItem | None:
        """Hold the first free case this user may judge; None when there is none."""
        return self._database.together(lambda session: review.take_next(session, user, filters, self._hold))

    def let_go(self, user: User) -> int:
        """Let go of every case the user holds; how many."""
        return self._database.together(lambda session: review.let_go(session, user))

    def decide(self, item_id: int, user: User, judgement: Judgement) -> QueueItem:
        """Keep a decision on a case the user holds, durable when this returns. Raises `StoreHeld` when the hold ran out."""
        return self._database.together(lambda session: review.decide(session, item_id, user, judgement, self.settings.review_readers))

    def agreement(self, user: User, readers: tuple[int, int] | None = None) -> Agreement:
        """How far readers and reviewers agree, by error code; of two people, or of all."""
        with self._database.read() as session:
            return agreement.measured(session, user, readers)

    def accepted(self) -> tuple[Reviewed, ...]:
        """Everything that reviewers let through for training, oldest first."""
        with self._database.read() as session:
            return reviewed.accepted(session)

    def accepted_stamp(self) -> tuple[int, datetime | None]:
        """Equal while `accepted` gives the same: how many there are, and when the last of them changed."""
        with self._database.read() as session:
            return reviewed.stamp(session)

    @property
    def _hold(self) -> timedelta:
        return timedelta(minutes=self.settings.review_minutes)

    # keeping

    def override(self, user: User, series_ids: Sequence[int], codes: Sequence[str], reason: str) -> int:
        """Keep why a reader goes past a warning, append-only and audited; returns the row's id."""
        return self._database.together(lambda session: overrides.add(session, user, series_ids, codes, reason))

    def overrides(self, user: User) -> tuple[OverrideView, ...]:
        """What this user went past, oldest first."""
        with self._database.read() as session:
            return overrides.of_user(session, user)

    def audit(self, user: User, action: str, object_kind: str, object_id: str | int, outcome: AuditOutcome = "success") -> None:
        """Append one row to the audit chain. Identifiers only: text with spaces is refused, so no PHI can slip in."""
        self._database.together(lambda session: audit.append(session, user.id, action, object_kind, object_id, outcome))

    def inventory(self) -> tuple[Listed, ...]:
        """Every reader's studies and cases, for whoever looks after the store."""
        with self._database.read() as session:
            return library.everything(session)

    def delete_study(self, study_id: int, user: User) -> Erased:
        """Erase a study of the user's own, or any at the terminal: rows, and the files no other study holds."""
        erased = erasing.study(self._database, self._content, study_id, user)
        self._frames.forget()
        pixels.forget()
        return erased

    def delete_session(self, session_id: int, user: User) -> Erased:
        """Erase a case of the user's own, or any at the terminal, with its questions, answers, feedback and marks."""
        return erasing.case(self._database, session_id, user)

    def export(self, path: Path, user: User) -> int:
        """Write every reader's cases to the new JSON file `path`, images by hash; how many. Audited."""
        if path.exists():
            raise StoreError(f"{path} exists already; name a new file")
        content = exchange.document(self._database, user)
        exchange.write(path, content)
        return len(content["cases"])

    def take_in(self, path: Path, user: User) -> TakenIn:
        """Add the cases of an export for `user`, all or none. Raises `InputError` for a file that is none."""
        return exchange.take_in(self._database, exchange.read(path), user)

    def backup(self, path: Path, *, content: bool = True) -> Path:
        """Copy the store while it is in use: a new folder `path` with the database and, unless `content` is False, all files."""
        return upkeep.backup(self._database, self._content, self._salt, path, with_content=content)

    def check(self) -> CheckReport:
        """Verify the database, its references, the audit chain, and that each kept file is there with the right hash."""
        with self._database.read() as session:
            lost = salt.problem(self._salt, session)
        return upkeep.check(self._database, self._content, lost)

    def _open(self) -> None:
        """Schema, a quick look at the pages unless the file is large, and the salt of a new store."""
        schema.upgrade(self._database, self.settings.data_dir)
        with self._database.read() as session:
            if dialect.size(session.connection()) <= QUICK_CHECK_BYTES and (found := dialect.damage(session.connection(), quick=True)):
                raise StoreError(f"the database {self._database.name} is damaged ({found[0]}); restore the latest backup")
            new = not salt.known(session)
        if new:
            with self._database.write() as session:
                salt.create(self._salt, session)

    def _deidentifier(self, workspace: Path) -> studies.Deidentifier | None:
        """What takes identity out of files on their way in; None when the site keeps it."""
        if self.settings.keep_identity:
            return None
        with self._database.read() as session:
            secret = salt.load(self._salt, session)
        folder = workspace / "deidentified"
        folder.mkdir(mode=0o700)
        return studies.Deidentifier(secret, folder, self._budget)
