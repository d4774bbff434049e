"""Whatever is uploaded, the reader stays up: a picture or one sentence, in 2 seconds of processor time and 300 MB."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile import mutants
from tests.hostile.case import CASES
from tests.hostile.cases import malformed, wrong
from tests.hostile.runner import measure


@pytest.mark.parametrize("name", CASES)
def test_hostile_file_ends_as_it_must(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = case.make(tmp_path)
    try:
        result = measure(path, case.unprivileged)
    finally:
        if case.unprivileged:
            path.chmod(0o600)
    assert not wrong(case, result)


def test_nothing_of_an_archive_is_written_outside(tmp_path: Path) -> None:
    """A zip with `../` used to be the classic way to overwrite a file of the server."""
    inside = tmp_path / "a" / "b" / "c"
    inside.mkdir(parents=True)
    measure(CASES["zip with ../ beside a good file"].make(inside))
    assert not list(tmp_path.rglob("escaped*"))


@pytest.mark.parametrize("name", mutants.SYNTAXES)
def test_damaged_bytes_give_a_picture_or_a_typed_error(name: str, tmp_path: Path) -> None:
    """pydicom raises eight kinds of exception on such files; none may pass the border."""
    data = mutants.original(tmp_path / "original", mutants.SYNTAXES[name])
    files = [*mutants.cut(data), *mutants.flipped(data, 60, seed=7)]
    batch = mutants.run(name, files, tmp_path / "mutants")
    assert batch.crashes == ()
    assert batch.pictures + batch.errors == len(files)
    assert batch.p99 < 2


def test_every_cut_file_is_refused(tmp_path: Path) -> None:
    data = mutants.original(tmp_path / "original", mutants.SYNTAXES["JPEG-LS"])
    batch = mutants.run("cut", list(mutants.cut(data)), tmp_path / "mutants")
    assert (batch.pictures, batch.errors) == (0, 40)


@pytest.mark.data
def test_malformed_collection(test_data: Path) -> None:
    problems = {}
    for case in malformed(test_data):
        if problem := wrong(case, measure(case.make(test_data))):
            problems[case.name] = problem
    assert problems == {}
