"""A tiny model of the bundled model's family, made once for all tests of this room, and engines on it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.gguf import GgufEngine
from inference.torch_engine import TorchEngine
from tests.inference import tiny


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny model; not to be changed."""
    return tiny.build(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def own_model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / "mine"))


@pytest.fixture(scope="module")
def gguf(tiny_model: Path) -> Iterator[GgufEngine]:
    """The GGUF engine on the tiny model."""
    engine = GgufEngine(tiny_model, threads=1)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def torch_engine(tiny_model: Path) -> Iterator[TorchEngine]:
    """The transformers engine on the tiny model."""
    engine = TorchEngine(tiny_model, threads=1)
    yield engine
    engine.close()
