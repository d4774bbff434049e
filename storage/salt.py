"""The secret from which pseudonyms and date shifts are made: 32 random bytes in a file of their own.

It is not in the database, so that a copy of the database alone cannot be matched with patient identifiers. The
database knows only a fingerprint, to notice a salt that is lost or belongs to another store.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

from sqlalchemy.orm import Session

from errors import StoreError
from storage import dialect
from storage.schema import Fact

_FACT = "salt_fingerprint"


def create(path: Path, session: Session) -> None:
    """Make the salt of a new store and note its fingerprint; a store that has one is left alone."""
    dialect.one_writer(session.connection(), "facts")
    if known(session):
        return
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
    session.add(Fact(key=_FACT, value=_fingerprint(path.read_bytes())))


def known(session: Session) -> bool:
    """Whether the store has a salt already."""
    return session.get(Fact, _FACT) is not None


def problem(path: Path, session: Session) -> str:
    """An empty string when the salt is the store's own, else a sentence."""
    fact = session.get(Fact, _FACT)
    try:
        found = _fingerprint(path.read_bytes())
    except OSError:
        return f"{path} is missing, so a known patient would get another pseudonym; restore it from a backup before importing"
    if fact is None or fact.value != found:
        return f"{path} belongs to another store, so a known patient would get another pseudonym; restore the right one from a backup"
    return ""


def load(path: Path, session: Session) -> bytes:
    """The salt. Raises `StoreError` when it is lost or another's."""
    if sentence := problem(path, session):
        raise StoreError(sentence)
    return path.read_bytes()


def _fingerprint(salt: bytes) -> str:
    return hashlib.sha256(b"interval salt " + salt).hexdigest()[:16]
