"""A few small phantom patients, shared by the tests of this folder."""

from __future__ import annotations

import pytest

from finetune.synthesis.phantom import PhantomSource


@pytest.fixture(scope="session")
def source() -> PhantomSource:
    return PhantomSource(patients=6, width=160)
