"""What every test shares: no network, no personal settings, a throw-away data directory, and markers that skip by name.

settings    a `Settings` on a temporary data directory
bundled     the same with the bundled model in it (a link; nothing is built), for tests marked `model`
test_data   folder of the real images that INTERVAL_TEST_DATA names, for tests marked `data`
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
KEPT = {"INTERVAL_TEST_DATA", "INTERVAL_TEST_MODELS", "INTERVAL_CHROMIUM", "INTERVAL_BASE_WHEEL"}

for _name in [name for name in os.environ if name.startswith("INTERVAL_") and name not in KEPT]:
    del os.environ[_name]
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", GRADIO_ANALYTICS_ENABLED="False", OMP_WAIT_POLICY="PASSIVE")

from settings import Settings, load  # noqa: E402  after the environment is clean


def data_folder() -> Path | None:
    """Folder of real images, or None when the environment names none."""
    named = os.environ.get("INTERVAL_TEST_DATA", "")
    return Path(named) if named and Path(named).is_dir() else None


def models_folder() -> Path | None:
    """Folder holding a built `bundled` model: INTERVAL_TEST_MODELS, the checkout's test data, or the user's own."""
    named = os.environ.get("INTERVAL_TEST_MODELS")
    places = [Path(named)] if named else [ROOT / ".cache" / "test-data" / "models", Path("~/.local/share/interval/models").expanduser()]
    return next((place for place in places if (place / "bundled" / "manifest.json").is_file()), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip by name what this machine cannot run, with the remedy."""
    missing = {
        "data": None if data_folder() else "real images: set INTERVAL_TEST_DATA to their folder",
        "model": None if models_folder() else "the bundled model: run `make test`, or `python app.py models build bundled`",
    }
    for item in items:
        for marker, what in missing.items():
            if what and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=f"needs {what}"))


@pytest.fixture
def test_data() -> Path:
    """Folder of the real images; skips without one."""
    folder = data_folder()
    if folder is None:
        pytest.skip("needs real images: set INTERVAL_TEST_DATA to their folder")
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings on an empty data directory."""
    return load(data_dir=tmp_path / "data")


@pytest.fixture(scope="session")
def bundled_models() -> Path:
    """Folder with the built `bundled` model in it; skips without one."""
    folder = models_folder()
    if folder is None:
        pytest.skip("needs the bundled model: run `make test`, or `python app.py models build bundled`")
    return folder.resolve()


@pytest.fixture
def bundled(settings: Settings, bundled_models: Path) -> Settings:
    """Settings on an empty data directory that has the bundled model."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    settings.models_dir.symlink_to(bundled_models, target_is_directory=True)
    return settings


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run in their own folder, so that none can lean on, or litter, the checkout."""
    monkeypatch.chdir(tmp_path)
