"""Every command but `ask`: what it prints, what its JSON holds, and with which code it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.serving import free_port, wait_for
from tests.cli.conftest import Opened, Run, radiograph
from ui.cli import COMMANDS, app, with_default

ROOT = Path(__file__).resolve().parents[2]


# import


def test_import_counts_and_names_every_file(run: Run, pair: tuple[Path, Path]) -> None:
    (pair[0].parent / "notes.txt").write_text("remember the milk")
    done = run("import", pair[0].parent, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert (found["patients"], found["studies"], found["series"], found["instances"]) == (1, 2, 2, 2)
    outcomes = {Path(file["path"]).name: file["outcome"] for file in found["files"]}
    assert outcomes["a.dcm"] == outcomes["b.dcm"] == "imported"
    assert outcomes["notes.txt"] in ("skipped", "refused")
    assert next(file["reason"] for file in found["files"] if file["path"].endswith("notes.txt"))


def test_import_twice_keeps_one_copy(run: Run, pair: tuple[Path, Path]) -> None:
    run("import", pair[0])
    again = run("import", pair[0], "--json")
    assert again.code == 0, again.err
    assert [file["outcome"] for file in again.json["files"]] == ["duplicate"]


def test_import_says_in_words_what_became_of_each_file(run: Run, pair: tuple[Path, Path]) -> None:
    done = run("import", *pair)
    assert "imported" in done.out
    assert "1 patients, 2 studies" in done.out


@pytest.mark.parametrize("content", [b"", b"this is no image", b"\0" * 128 + b"DICM"])
def test_import_of_nothing_usable_is_exit_2_with_the_reason(run: Run, tmp_path: Path, content: bytes) -> None:
    """Empty, text named .dcm, a preamble and nothing after it."""
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(content)
    done = run("import", broken, "--json")
    assert done.code == 2
    assert "broken.dcm" in done.err
    assert len(done.err.splitlines()) == 1
    assert done.json["files"][0]["reason"]


def test_a_broken_file_does_not_stop_the_others(run: Run, pair: tuple[Path, Path]) -> None:
    (pair[0].parent / "empty.dcm").write_bytes(b"")
    done = run("import", pair[0].parent, "--json")
    assert done.code == 0
    assert sorted(file["outcome"] for file in done.json["files"]) == ["imported", "imported", "refused"]


# db


def test_db_upgrade_says_where_it_came_from(run: Run) -> None:
    first = run("db", "upgrade", "--json")
    assert first.code == 0, first.err
    assert first.json["before"] == ""
    assert run("db", "upgrade", "--json").json["before"] == first.json["after"]


def test_db_check_finds_a_file_that_changed_behind_its_back(run: Run, pair: tuple[Path, Path], tmp_path: Path) -> None:
    run("import", *pair)
    assert run("db", "check", "--json").json["ok"] is True
    kept = max((path for path in (tmp_path / "data" / "content").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    kept.chmod(0o600)
    kept.write_bytes(b"x" + kept.read_bytes()[1:])
    done = run("db", "check", "--json")
    assert done.code == 1
    assert done.json["problems"]
    assert len(done.err.splitlines()) == 1


def test_db_backup_opens_as_a_store(run: Run, pair: tuple[Path, Path], tmp_path: Path) -> None:
    run("import", *pair)
    done = run("db", "backup", tmp_path / "copy", "--json")
    assert done.code == 0, done.err
    found = run("db", "check", "--json", "--data-dir", tmp_path / "copy", data=False)
    assert found.json["ok"] is True
    assert found.json["files"] == 2


def test_db_backup_over_something_is_refused(run: Run, tmp_path: Path) -> None:
    run("db", "upgrade")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "thesis.txt").write_text("the only one")
    done = run("db", "backup", tmp_path / "copy")
    assert done.code in (1, 2)
    assert len(done.err.splitlines()) == 1
    assert (tmp_path / "copy" / "thesis.txt").exists()


def test_db_restore_brings_a_store_back_and_asks_before_it_replaces_one(run: Run, pair: tuple[Path, Path], tmp_path: Path) -> None:
    run("import", pair[0])
    run("db", "backup", tmp_path / "copy")
    run("import", pair[1])
    refused = run("db", "restore", tmp_path / "copy")
    assert (refused.code, len(refused.err.splitlines())) == (1, 1)
    assert "--replace" in refused.err
    done = run("db", "restore", tmp_path / "copy", "--replace", "--json")
    assert (done.code, done.json["ok"]) == (0, True), done.err
    assert Path(done.json["kept"]).is_file()
    assert len(run("db", "list", "--json").json["studies"]) == 1
    assert run("db", "restore", tmp_path / "nowhere").code == 2


def test_db_delete_erases_what_db_list_numbers(run: Run, pair: tuple[Path, Path], tmp_path: Path) -> None:
    run("import", *pair)
    first, second = run("db", "list", "--json").json["studies"]
    done = run("db", "delete", "study", first["id"], "--json")
    assert (done.code, done.json["removed"]) == (0, 1), done.err
    assert [one["id"] for one in run("db", "list", "--json").json["studies"]] == [second["id"]]
    assert run("db", "check", "--json").json["ok"] is True
    again = run("db", "delete", "study", first["id"])
    assert (again.code, len(again.err.splitlines())) == (1, 1)
    assert run("db", "delete", "everything", 1).code == 2


def test_db_export_is_taken_in_where_its_images_are(run: Run, pair: tuple[Path, Path], opened: Opened, tmp_path: Path) -> None:
    run("ask", "--image", pair[0], "--image", pair[1], "--question", "What changed since the prior?")
    done = run("db", "export", tmp_path / "cases.json", "--json")
    assert (done.code, done.json["cases"]) == (0, 1), done.err
    assert run("db", "export", tmp_path / "cases.json").code == 1
    assert run("db", "import", tmp_path / "cases.json", "--json").json == {"added": [], "doubled": 1, "lost": 0}
    elsewhere = ("--data-dir", tmp_path / "elsewhere")
    run("db", "upgrade", *elsewhere, data=False)
    assert run("db", "import", tmp_path / "cases.json", "--json", *elsewhere, data=False).json["lost"] == 1
    refused = run("db", "import", pair[0], *elsewhere, data=False)
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)


def test_db_check_of_a_mistyped_folder_is_refused_and_makes_nothing(run: Run, tmp_path: Path) -> None:
    """A typo in --data-dir made an empty database and reported that everything was in order."""
    for command in (("check",), ("backup", tmp_path / "copy"), ("list",), ("delete", "study", 1)):
        done = run("db", *command, "--data-dir", tmp_path / "typo", data=False)
        assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert not (tmp_path / "typo" / "interval.db").exists()


# models


def test_models_list_names_the_bundled_one_first(run: Run) -> None:
    done = run("models", "list", "--json")
    assert done.code == 0, done.err
    first = done.json["models"][0]
    assert first["name"] == "bundled"
    assert first["state"] == "missing"
    assert "models build bundled" in first["note"]


def test_models_verify_of_an_unknown_model_is_a_sentence(run: Run) -> None:
    done = run("models", "verify", "nobody")
    assert done.code in (1, 2)
    assert "nobody" in done.err
    assert len(done.err.splitlines()) == 1


def test_models_build_builds_only_the_bundled_one(run: Run) -> None:
    done = run("models", "build", "gpt")
    assert done.code == 2
    assert "gpt" in done.err


@pytest.mark.parametrize("extra", [(), ("--hf",)])
def test_models_build_writes_the_transformers_weights_only_when_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...]
) -> None:
    told: list[bool] = []
    monkeypatch.setattr("finetune.bundled.build", lambda settings, _progress, hf: told.append(hf) or settings.models_dir)
    assert run("models", "build", *extra, "--json").code == 0
    assert told == [bool(extra)]


# the door


def test_help_is_complete() -> None:
    """Every command shows itself and its options, and exits 0."""
    whole = subprocess.run([sys.executable, "app.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in COMMANDS:
        assert f"  {name} " in whole.stdout
        shown = subprocess.run([sys.executable, "app.py", name, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert "--help" in shown.stdout


def test_every_registered_command_is_known_to_the_door() -> None:
    """`with_default` must not take a new command for an option of `serve`."""
    registered = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert registered == set(COMMANDS)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ([], ["serve"]),
        (["--port", "8000"], ["serve", "--port", "8000"]),
        (["--data-dir", "models", "--port", "8000"], ["--data-dir", "models", "serve", "--port", "8000"]),
        (["--data-dir=x"], ["--data-dir=x", "serve"]),
        (["--json", "models", "list"], ["--json", "models", "list"]),
        (["ask", "--image", "x"], ["ask", "--image", "x"]),
        (["--help"], ["--help"]),
        (["nonsense"], ["nonsense"]),
    ],
)
def test_no_command_means_serve(typed: list[str], meant: list[str]) -> None:
    assert with_default(typed) == meant


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["--nonsense"], ["models"], ["models", "nonsense"], ["import"], ["serve", "--port", "seven"]]
)
def test_what_is_typed_wrong_is_one_sentence_and_exit_2(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert "Traceback" not in done.err


def test_a_wrong_setting_is_named_and_exit_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERVAL_PORT", "99999")
    done = run("models", "list")
    assert done.code == 2
    assert "INTERVAL_PORT" in done.err


def test_serving_beyond_this_machine_is_refused(run: Run) -> None:
    """There are no accounts yet, so an address that others reach is refused before anything starts."""
    done = run("serve", "--host", "0.0.0.0")
    assert done.code == 2
    assert "0.0.0.0" in done.err


def test_a_busy_port_is_one_sentence_with_the_remedy(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", "--port", port)
    assert done.code == 1
    assert f"Port {port}" in done.err
    assert "--port" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_mistake_of_ours_is_a_sentence_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback reaches a person, whatever breaks."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("inference.catalogue.models", broken)
    done = run("models", "list")
    assert done.code == 1
    assert "ZeroDivisionError" in done.err
    assert len(done.err.splitlines()) == 1


def test_ctrl_c_ends_quietly(tmp_path: Path) -> None:
    """A person who stops an import sees one word, not a traceback."""
    script = (
        f"import os, signal, sys; sys.path.insert(0, {str(ROOT)!r}); import ui.cli, ui.cli.models as m; import inference.catalogue as c\n"
    )
    script += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job starts with it ignored
    script += "c.models = lambda settings: os.kill(os.getpid(), signal.SIGINT) or __import__('time').sleep(5)\n"
    script += f"sys.exit(ui.cli.main(['models', 'list', '--data-dir', {str(tmp_path)!r}]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 130
    assert done.stderr.strip() == "Stopped."
    assert signal.SIGINT.name not in done.stdout


def test_the_server_serves_until_it_is_stopped(tmp_path: Path) -> None:
    """Ctrl-C is how a person ends it, so that is no failure."""
    port = free_port()
    command = [sys.executable, str(ROOT / "app.py"), "--port", str(port), "--json", "--data-dir", str(tmp_path / "data")]
    environment = {**os.environ, "INTERVAL_LOG_LEVEL": "error"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        wait_for(f"http://127.0.0.1:{port}/healthz", process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1]) == {"address": f"http://127.0.0.1:{port}", "stopped": True}


# the whole way, with the real model


@pytest.mark.model
def test_exchanging_the_images_changes_what_the_model_says_of_them(tmp_path: Path, bundled_models: Path) -> None:
    """The answer is read from the pixels: the same question with prior and current exchanged gives other probabilities."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "models").symlink_to(bundled_models, target_is_directory=True)
    a, b = radiograph(tmp_path / "a.dcm", "20210504", 500), radiograph(tmp_path / "b.dcm", "20210518", 3000)

    def ask(*images: Path) -> dict[str, object]:
        named = [word for image, role in zip(images, ("prior", "current"), strict=True) for word in ("--image", str(image), "--role", role)]
        command = [sys.executable, str(ROOT / "app.py"), "ask", *named, "--question", "What changed since the prior?", "--json"]
        done = subprocess.run(
            [*command, "--data-dir", str(data)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return found

    there, back = ask(a, b), ask(b, a)
    assert there["logprobs"] != back["logprobs"]
    assert there["progression"] != back["progression"]
