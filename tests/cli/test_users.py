"""`users` lists readers and gives roles, and says what to do instead when it cannot."""

from __future__ import annotations

from pathlib import Path

from settings import load
from storage.store import Store
from tests.cli.conftest import Run


def test_a_reader_is_made_an_annotator(run: Run, tmp_path: Path) -> None:
    with Store(load(data_dir=tmp_path / "data")) as store:
        reader = store.user("a browser", "Dr. Reader")
    done = run("users", "role", str(reader.id), "annotator", "--json")
    assert (done.code, done.json) == (0, {"id": reader.id, "name": "Dr. Reader", "role": "annotator"})
    listed = run("users", "list", "--json").json["users"]
    assert [(one["name"], one["role"], one["statements"]) for one in listed] == [("Dr. Reader", "annotator", 0), ("", "admin", 0)]
    words = run("users", "list").out
    assert "annotator" in words
    assert "Dr. Reader" in words


def test_what_cannot_be_given_is_one_sentence(run: Run, tmp_path: Path) -> None:
    missing = run("users", "list")
    assert (missing.code, "There is no database" in missing.err) == (2, True)
    with Store(load(data_dir=tmp_path / "data")):
        pass
    king = run("users", "role", "1", "king")
    assert (king.code, "is no role; choose of reader, annotator" in king.err) == (2, True)
    nobody = run("users", "role", "77", "admin")
    assert (nobody.code, "no reader 77" in nobody.err) == (2, True)
