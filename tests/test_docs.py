"""The documents say what the program does: tables are generated, commands run, targets exist, links lead somewhere."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import ModuleType

import pytest

from settings import Settings
from tests.bench.serving import free_port, started, wait_for

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted((ROOT / "docs").glob("*.md"))


def tables() -> ModuleType:
    """`.ci/tables.py`, which is not in a package."""
    spec = importlib.util.spec_from_file_location("tables", ROOT / ".ci" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_tables_are_what_the_program_says() -> None:
    """A setting or command that changed without its documentation; `.venv/bin/python .ci/tables.py` mends it."""
    assert tables().filled(README) == README, "run .venv/bin/python .ci/tables.py"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    row = next((line for line in README.splitlines() if line.startswith(f"| `INTERVAL_{name.upper()}` |")), "")
    description = Settings.model_fields[name].description
    assert description
    assert row.endswith(f"| {description} |")


def test_every_command_and_option_is_documented() -> None:
    for name, command in tables().commands():
        row = next((line for line in README.splitlines() if line.startswith(f"| `python app.py {name}")), "")
        assert row, f"{name} is not in the README"
        for option in tables().words(command)[1]:
            assert f"`{option}`" in row


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_that_are_there(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert missing == []


def shell_lines() -> list[list[str]]:
    """Each command line of the README's shell blocks, split into words, comments dropped."""
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    return [words for block in blocks for line in block.splitlines() if (words := shlex.split(line, comments=True))]


def test_the_readme_names_make_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in shell_lines():
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, flags=re.MULTILINE), words
    listed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("run", "test", "check", "bench", "hostile", "browser", "screens", "clean"):
        assert f"make {target} " in listed


@pytest.fixture
def home(tmp_path: Path, bundled_models: Path) -> Path:
    """A home directory with the bundled model and a folder of studies, as a reader of the README has after `make run`."""
    share = tmp_path / ".local" / "share" / "interval"
    share.mkdir(parents=True)
    (share / "models").symlink_to(bundled_models, target_is_directory=True)
    (tmp_path / "studies").symlink_to(ROOT / "assets" / "demo", target_is_directory=True)
    return tmp_path


@pytest.mark.model
@pytest.mark.parametrize("word", ["ask", "import"])
def test_the_readme_commands_do_what_it_says(home: Path, word: str) -> None:
    """Each line is run word for word by a shell."""
    line = next(line for line in README.splitlines() if line.startswith(f".venv/bin/python app.py {word} "))
    line = line.replace(".venv/bin/python", sys.executable)
    environment = {**os.environ, "HOME": str(home)}
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    if word == "ask":
        assert json.loads(done.stdout.splitlines()[-1])["answer"].strip()
    else:
        assert "imported" in done.stdout


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".venv" / "setup-stamps").is_dir(), reason="needs the environment that set-up makes: run `make test`")
def test_make_run_serves_the_page(home: Path) -> None:
    """`make run`, as typed, ends in a page on the port and the demo cases in the store."""
    port = free_port()
    with started(["make", "run"], home / ".local" / "share" / "interval", port) as process:
        wait_for(f"http://127.0.0.1:{port}/readyz", process)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
            assert "Interval" in page.read().decode()
