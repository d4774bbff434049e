"""What was acknowledged stays: through crashes, many writers, a full disk, and a database that is not ours to write."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import signal
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.orm import Session

from errors import StoreError
from settings import Settings, load
from storage import audit, dialect, feedback, history, together
from storage.feedback import Said
from storage.schema import AuditRow, FeedbackRow, ReviewItemRow
from storage.store import Store
from storage.studies.model import Source
from storage.views import User
from tests.storage import values

ROUNDS = 24


def answered(store: Store, user: User) -> int:
    """An answer version to say something of."""
    return store.add_version(
        store.add_turn(store.start_session(user, "Case", []), user, "What changed?", "temporal", "temporal"), values.record()
    )


def acknowledged(settings: Settings, version: int, many: int) -> list[int]:
    """Run a process whose four threads print each feedback id once it is kept; kill -9 it after `many`, while they write."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with Store(settings) as store, ThreadPoolExecutor(4) as pool:
                user = store.user("local")

                def write(_: int) -> None:
                    while True:
                        os.write(writing, b"%d\n" % store.add_feedback(version, user, Said("agree", "x" * random.randrange(3000))))

                list(pool.map(write, range(4)))
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as lines:
        first = [int(lines.readline()) for _ in range(many)]
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return first + [int(line) for line in lines if line.endswith(b"\n")]


@pytest.fixture
def quick(settings: Settings) -> Iterator[Settings]:
    """A data directory in memory where there is one: locks and killed processes are not about the disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield settings
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield load(data_dir=Path(name) / "data")


@pytest.mark.parametrize("rounds", [ROUNDS, pytest.param(200, marks=pytest.mark.slow)])
def test_no_acknowledged_feedback_is_lost_when_the_process_is_killed(quick: Settings, rounds: int) -> None:
    """Feedback is what the model is retrained on; `kill -9` at random places must lose none of it, and leave nothing half done."""
    random.seed(20)
    with Store(quick) as store:
        version = answered(store, store.user("local"))
    kept: set[int] = set()
    for _ in range(rounds):
        kept |= set(acknowledged(quick, version, random.randrange(1, 25)))
        with contextlib.closing(sqlite3.connect(quick.data_dir / "interval.db")) as database:
            assert kept <= {row[0] for row in database.execute("SELECT id FROM feedback")}
    assert len(kept) > rounds
    with Store(quick) as store:
        assert store.check().problems == ()
        newest = max(kept | {one.id for one in store.session(1, store.user("local")).turns[0].versions[0].feedback})
        with store._database.read() as session:
            assert session.scalar(select(ReviewItemRow.feedback_id)) == newest, "the queue stands where feedback stands"
            said = session.scalar(select(func.count()).select_from(FeedbackRow))
            assert said == session.scalar(select(func.count()).select_from(AuditRow).where(AuditRow.event == "feedback"))


def test_a_torn_log_loses_the_end_and_nothing_else(settings: Settings, tmp_path: Path) -> None:
    """Stand-in for a power loss: the log cut at any byte opens, whole, with the first rows and no gap."""
    with Store(settings) as store:
        user = store.user("local")
        version = answered(store, user)
        with store._database.read() as session:
            session.execute(text("SELECT 1"))
        for _ in range(60):
            store.add_feedback(version, user, Said("agree", "x" * 500))
        database = settings.data_dir / "interval.db"
        log = (settings.data_dir / "interval.db-wal").read_bytes()
        lengths = random.Random(4).sample(range(1, len(log)), 20)
        for number, length in enumerate(lengths):
            torn = tmp_path / str(number)
            torn.mkdir()
            shutil.copyfile(database, torn / "torn.db")
            (torn / "torn.db-wal").write_bytes(log[:length])
    for number in range(len(lengths)):
        connection = sqlite3.connect(tmp_path / str(number) / "torn.db")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'feedback'").fetchone()[0]:
            ids = [row[0] for row in connection.execute("SELECT id FROM feedback ORDER BY id")]
            assert ids == list(range(1, len(ids) + 1))
        connection.close()


@pytest.mark.slow
def test_eight_threads_in_two_stores_write_four_thousand_rows(quick: Settings) -> None:
    """The page's threads and the command line write at once; none may see `database is locked`."""
    with Store(quick) as page, Store(quick) as line:
        user = page.user("local")
        version = answered(page, user)

        def write(number: int) -> None:
            store = line if number % 4 == 0 else page
            for _ in range(500):
                store.add_feedback(version, user, Said("disagree", "No."))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
        with page._database.read() as session:
            assert session.scalar(select(func.count()).select_from(FeedbackRow)) == 4000
            assert session.scalar(select(func.count()).select_from(AuditRow)) == 4002
            assert audit.broken(session) == ""


def test_another_process_is_let_in_before_a_busy_page_writes_on(quick: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite lets in whoever asks while nobody writes: a page whose threads wrote on and on kept the command line out for over five
    seconds, and it gave up with "held by another process"."""
    monkeypatch.setattr(together, "LONGEST", 0.0)
    came: list[str] = []

    def write(store: Store, name: str) -> None:
        store._database.together(lambda _: came.append(name))

    with Store(quick) as page, Store(quick) as line, ThreadPoolExecutor(2) as pool:
        door = quick.data_dir / ".interval.db.door"
        with page._database.write():
            waiting = [pool.submit(write, line, "command line")]
            with door.open() as file:
                while _free(file.fileno()):
                    os.sched_yield()
            waiting.append(pool.submit(write, page, "page"))
            queued(page, 1)
        for one in waiting:
            one.result()
    assert came == ["command line", "page"]


def _free(descriptor: int) -> bool:
    """Whether nobody waits for the database behind this door."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction stays open for whoever waits, however slow this machine is."""
    monkeypatch.setattr(together, "LONGEST", 3600.0)


def queued(store: Store, many: int) -> None:
    """Wait until so many writers wait for their turn, the one who will lead them among them."""
    writers = store._database._writers
    while writers._led + len(writers._waiting) < many:
        os.sched_yield()


@pytest.mark.usefixtures("patient")
def test_writers_that_wait_for_each_other_share_a_flush(store: Store, reader: User) -> None:
    """Each write used to wait for a flush of its own, so that eight readers at once were eight times as slow as one."""
    version, flushes = answered(store, reader), []
    event.listen(store._database.engine, "commit", lambda _: flushes.append(kept(store)))
    with ThreadPoolExecutor(4) as pool:
        with store._database.write() as session:
            feedback.add(session, version, history.turn_of(session, version, reader), reader, Said("agree", "First."))
            others = [pool.submit(store.add_feedback, version, reader, Said("agree", f"Other {number}.")) for number in range(4)]
            queued(store, 4)
            assert kept(store) == set()
        assert kept(store) >= {"First."}, "it is on the disk when its block ends"
        assert len({one.result() for one in others}) == 4
    assert flushes == [set(), {"First."}]
    assert kept(store) == {"First.", *(f"Other {number}." for number in range(4))}
    assert store.check().problems == ()


class Interrupted(BaseException):
    """Stands in for Ctrl-C, which comes in whatever is being written."""


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("interrupted", [None, 1, 2], ids=["never", "at-once", "when-written-again"])
def test_a_writer_that_fails_takes_back_its_own_rows_alone(store: Store, reader: User, interrupted: int | None) -> None:
    """Whoever shares a transaction must not lose what they wrote to another's mistake, nor believe it kept when it was taken back, nor
    wait for ever for one who went away."""
    version = answered(store, reader)
    told: dict[str, str] = {}
    times: list[int] = []
    shared = store._database.together

    def write(session: Session, words: str) -> None:
        feedback.add(session, version, history.turn_of(session, version, reader), reader, Said("agree", words))

    def leads(session: Session) -> None:
        write(session, "First.")
        times.append(1)
        if len(times) == interrupted:
            raise Interrupted

    def fails(session: Session) -> None:
        write(session, "Never said.")
        raise ValueError

    def say(words: str) -> None:
        try:
            store.add_feedback(version, reader, Said("agree", words))
            told[words] = "kept"
        except StoreError as failed:
            told[words] = str(failed)

    with ThreadPoolExecutor(4) as pool:
        with store._database.write():
            ended = []
            for number, (work, given) in enumerate([(shared, leads), (say, "Between."), (shared, fails)], 1):
                ended.append(pool.submit(work, given))
                queued(store, number)
            pool.submit(say, "After.")
            queued(store, 4)
        first, _, failed = (one.exception() for one in ended)
    assert kept(store) - {"First."} == {words for words, came in told.items() if came == "kept"}
    assert type(first) is (Interrupted if interrupted else type(None))
    assert told["After."] == "kept"
    if interrupted is None:
        assert isinstance(failed, ValueError)
        assert kept(store) == {"First.", "Between.", "After."}
    assert store.check().problems == ()


def kept(store: Store) -> set[str]:
    """Comments that anybody else sees on the disk."""
    with contextlib.closing(sqlite3.connect(store.settings.data_dir / "interval.db")) as database:
        return {row[0] for row in database.execute("SELECT comment FROM feedback")}


@pytest.mark.usefixtures("patient")
def test_a_full_disk_takes_nothing_back_that_was_acknowledged(store: Store, reader: User) -> None:
    """SQLite may give up a whole transaction when the disk is full: then nobody in it may believe that their row is kept."""
    version = answered(store, reader)
    told: dict[str, str] = {}

    def say(words: str) -> None:
        try:
            store.add_feedback(version, reader, Said("agree", words))
            told[words] = "kept"
        except StoreError as error:
            told[words] = str(error)

    def fill(session: Session) -> None:
        driver = session.connection().connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        (limit,) = driver.execute("PRAGMA max_page_count").fetchone()
        driver.execute("PRAGMA max_page_count=1")
        try:
            for _ in range(200):
                feedback.add(session, version, history.turn_of(session, version, reader), reader, Said("agree", "x" * 9000))
        finally:
            driver.execute(f"PRAGMA max_page_count={limit}")

    with ThreadPoolExecutor(4) as pool, store._database.write():
        for number in range(2):
            pool.submit(say, f"Before {number}.")
        queued(store, 2)
        filling = pool.submit(store._database.together, fill)
        queued(store, 3)
        pool.submit(say, "After.")
        queued(store, 4)
    assert "disk is full" in str(filling.exception())
    assert set(told) == {"Before 0.", "Before 1.", "After."}
    assert kept(store) == {words for words, came in told.items() if came == "kept"}
    assert all("disk is full" in came for came in told.values() if came != "kept")
    store.add_feedback(version, reader, Said("agree", "Later."))
    assert "Later." in kept(store)
    assert store.check().problems == ()


def test_what_takes_long_is_a_transaction_of_its_own(store: Store, reader: User) -> None:
    """A reader's word does not wait for an import that came after it."""
    version = answered(store, reader)
    begun, done = threading.Event(), threading.Event()

    def long() -> None:
        with store._database.write():
            begun.set()
            done.wait()

    with ThreadPoolExecutor(2) as pool:
        with store._database.write():
            pool.submit(long)
            said = pool.submit(store.add_feedback, version, reader, Said("agree", "Soon."))
            queued(store, 1)
        begun.wait()
        done.set()
        assert said.result()
    assert kept(store) == {"Soon."}


def test_readers_do_not_wait_for_a_writer(store: Store, reader: User) -> None:
    store.start_session(reader, "Case", [])
    with store._database.write() as writing:
        store._database.engine.dispose()
        writing.execute(text("UPDATE sessions SET title = 'Other'"))
        (seen,) = ThreadPoolExecutor(1).submit(store.sessions, reader).result()
        assert seen.title == "Case"
    assert store.sessions(reader)[0].title == "Other"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of 30 ms instead of five seconds."""
    monkeypatch.setattr(dialect, "BUSY_MS", 30)


def test_a_database_held_by_another_process_is_said_so(settings: Settings, impatient: None) -> None:
    with Store(settings) as store:
        user = store.user("local")
        other = sqlite3.connect(settings.data_dir / "interval.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="held by another process"):
            store.start_session(user, "Case", [])
        other.execute("ROLLBACK")
        other.close()
        assert store.start_session(user, "Case", [])


def test_a_full_disk_is_said_so_and_loses_nothing(store: Store, reader: User) -> None:
    """SQLite's page limit stands in for the disk's end; both give the same error."""
    version = answered(store, reader)
    store.close()

    @event.listens_for(store._database.engine, "connect")
    def _limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count=1")

    def write_on() -> None:
        for _ in range(1000):
            store.add_feedback(version, reader, Said("agree", "x" * 9000))

    with pytest.raises(StoreError, match="disk is full; free space"):
        write_on()
    event.remove(store._database.engine, "connect", _limit)
    store.close()
    with store._database.read() as session:
        kept = session.scalar(select(func.count()).select_from(FeedbackRow)) or 0
    assert store.add_feedback(version, reader, Said("agree")) == kept + 1
    assert store.check().problems == ()


def _damage(path: Path) -> None:
    body = bytearray(path.read_bytes())
    for start in range(4096, len(body), 4096):
        body[start : start + 64] = b"\xa5" * 64
    path.write_bytes(body)


def _text(path: Path) -> None:
    path.write_text("not a database " * 1000)


@pytest.mark.parametrize("spoil", [_damage, _text])
def test_a_damaged_database_is_refused_with_the_remedy(settings: Settings, spoil: Callable[[Path], None]) -> None:
    with Store(settings) as store:
        answered(store, store.user("local"))
    path = settings.data_dir / "interval.db"
    for log in path.parent.glob("interval.db-*"):
        log.unlink()
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"restore the latest backup"):
        Store(settings)
    assert path.read_bytes() == before


def test_a_place_where_no_database_can_be_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StoreError, match=r"file/data/interval.db cannot be opened or written \(not a directory\); check the data directory"
    ):
        Store(load(data_dir=tmp_path / "file" / "data"))


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user whom permissions bind: run the tests as somebody other than root")
def test_a_folder_this_user_may_not_write_is_said_so(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o500)
    with pytest.raises(StoreError, match=r"cannot be opened or written \(permission denied\)"):
        Store(load(data_dir=folder))


def test_files_are_for_their_owner_alone(store: Store, reader: User, sources: Iterator[Source]) -> None:
    values.put(store, reader, values.study(values.series((values.frame(next(sources)),))))
    folder = store.settings.data_dir
    modes = {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]}
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


def test_feedback_and_audit_cannot_be_changed_by_any_road(store: Store, reader: User) -> None:
    version = answered(store, reader)
    store.add_feedback(version, reader, Said("disagree", "Wrong side."))
    for statement in ("UPDATE feedback SET verdict = 'agree'", "DELETE FROM feedback", "UPDATE audit SET user_id = 9", "DELETE FROM audit"):
        with pytest.raises(StoreError, match="append-only"), store._database.write() as session:
            session.connection().exec_driver_sql(statement)
    for row in (FeedbackRow, AuditRow):
        with pytest.raises(StoreError, match="append-only"), store._database.write() as session:
            session.delete(session.scalars(select(row)).first())
        with pytest.raises(StoreError, match="append-only"), store._database.write() as session:
            session.query(row).delete()
    with pytest.raises(StoreError, match="append-only"), store._database.write() as session:
        session.scalars(select(FeedbackRow)).one().verdict = "agree"
    (turn,) = store.session(1, reader).turns
    assert [(one.verdict, one.comment) for one in turn.versions[0].feedback] == [("disagree", "Wrong side.")]


def test_many_stores_can_be_opened_at_once_on_a_blank_folder(settings: Settings) -> None:
    """`make run` and a first import once raced to create the tables."""
    gate = threading.Barrier(6)

    def opened(_: int) -> int:
        gate.wait()
        with Store(settings) as store:
            return store.user("local").id

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(opened, range(6))) == {1}
