"""A PostgreSQL server of the tests' own: started in a folder that goes away with it, reachable through a socket there alone.

Needs PostgreSQL's programs (Debian: apt-get install postgresql) and the package psycopg. PostgreSQL does not run as root; there it
is started as the user `postgres`, which the Debian package makes.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ACCOUNT = "postgres"
OPTIONS = "-c listen_addresses='' -c fsync=off -c full_page_writes=off -c max_connections=64"
"""No port, and no flushing: these tests are about what the server keeps, not about its disk."""


def programs() -> Path | None:
    """The folder with initdb and pg_ctl, newest version first; None when PostgreSQL is not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: -int(one.parent.name) if one.parent.name.isdigit() else 0)
    return next((one for one in folders if (one / "initdb").exists() and (one / "pg_ctl").exists()), None)


def remedy() -> str:
    """Why no server can be started here, and what to do; '' when one can."""
    if importlib.util.find_spec("psycopg") is None:
        return "needs the package psycopg: pip install 'psycopg[binary]'"
    if programs() is None:
        return "needs PostgreSQL: install it (apt-get install postgresql) or set TEST_POSTGRESQL_URL to a server that may create databases"
    if os.geteuid() == 0 and ACCOUNT not in {one.pw_name for one in pwd.getpwall()}:
        return f"needs the account {ACCOUNT}, because PostgreSQL does not run as root"
    return ""


@contextmanager
def server() -> Iterator[str]:
    """A running server; yields the URL of its first database. Raises `CalledProcessError` with what the server said."""
    folder = programs()
    assert folder is not None
    with tempfile.TemporaryDirectory(prefix="interval-pg-") as name:
        home = Path(name)
        if os.geteuid() == 0:
            shutil.chown(home, ACCOUNT)
        data = home / "data"

        def run(*command: object) -> None:
            before = ["runuser", "-u", ACCOUNT, "--"] if os.geteuid() == 0 else []
            subprocess.run([*before, *map(str, command)], check=True, cwd=home, stdout=subprocess.DEVNULL)

        run(folder / "initdb", "-D", data, "-U", ACCOUNT, "-A", "trust", "-E", "UTF8", "--no-sync")
        run(folder / "pg_ctl", "-D", data, "-w", "-l", home / "log", "-o", f"{OPTIONS} -k {home}", "start")
        try:
            yield f"postgresql://{ACCOUNT}@/postgres?host={home}"
        finally:
            run(folder / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
