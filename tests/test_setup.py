"""Set-up before anything is installed: the right build for each CPU, and one sentence for whatever is missing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

CI = Path(__file__).resolve().parent.parent / ".ci"

OLD = "processor : 0\nflags\t\t: fpu sse4_2 avx f16c\n"
PLAIN = "flags : sse4_2 avx avx2 fma f16c bmi2"
AMX = PLAIN + " avx512f avx512cd avx512bw avx512dq avx512vl avx512vbmi avx512_vnni avx512_bf16 amx_tile amx_int8 amx_bf16"


@pytest.fixture
def llama(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`.ci/llama.py`."""
    monkeypatch.syspath_prepend(str(CI))
    return importlib.import_module("llama")


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, llama: ModuleType) -> Iterator[ModuleType]:
    """`.ci/setup.py`, whose environment is a temporary folder."""
    module = importlib.import_module("setup")
    for name, value in {"ROOT": tmp_path, "VENV": tmp_path / ".venv", "STAMPS": tmp_path / "stamps", "LOG": tmp_path / "setup.log"}.items():
        monkeypatch.setattr(module, name, value)
    yield module
    sys.modules.pop("setup", None)


# The build for this CPU


def test_only_what_the_cpu_has_is_switched_on_and_all_else_off(llama: ModuleType) -> None:
    """ggml's own defaults would switch on AVX2 on a CPU without it, which dies with an illegal instruction."""
    words = llama.cmake_args(llama.cpu_flags(OLD), "x86_64").split()
    assert "-DGGML_NATIVE=OFF" in words
    assert "-DGGML_AVX=ON" in words
    assert "-DGGML_AVX2=OFF" in words
    assert "-DGGML_AVX512=OFF" in words
    assert len(words) == len(llama.FEATURES) + 1


def test_amx_is_never_switched_on(llama: ModuleType) -> None:
    """A build with AMX crashes at the first decode on some machines."""
    arguments = llama.cmake_args(llama.cpu_flags(AMX), "x86_64")
    assert "AMX" not in arguments
    assert "-DGGML_AVX512_BF16=ON" in arguments


def test_arm_and_unknown_cpus_are_left_to_detection(llama: ModuleType) -> None:
    assert llama.cmake_args(frozenset(), "aarch64") == ""


def test_a_cached_wheel_is_never_used_on_another_cpu(llama: ModuleType) -> None:
    keys = {llama.key(llama.cpu_flags(text), "x86_64") for text in (OLD, PLAIN, AMX)}
    assert len(keys) == 3
    assert llama.key(llama.cpu_flags(OLD), "aarch64") not in keys
    assert all(key.startswith(llama.VERSION) for key in keys)


def test_the_wheel_cache_can_be_put_elsewhere(llama: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INTERVAL_WHEEL_CACHE", str(tmp_path))
    assert llama.cached_wheel() is None
    wheel = llama.cache_dir() / f"llama_cpp_python-{llama.VERSION}-py3-none-linux_x86_64.whl"
    wheel.parent.mkdir()
    wheel.touch()
    assert llama.cached_wheel() == wheel


# One sentence for whatever is missing


def test_no_compiler_names_the_package(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup.shutil, "which", lambda name: None)
    with pytest.raises(setup.Stop, match=r"no C\+\+ compiler.*apt install g\+\+"):
        setup.need_compiler()


def test_a_full_disk_is_found_before_the_work(setup: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2e9))
    with pytest.raises(setup.Stop, match=r"2\.0 GB free but the Python environment needs 4 GB: free some space"):
        setup.need_space(tmp_path / "not" / "yet", 4.0, "the Python environment")


def test_an_old_python_says_what_to_install(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(setup.shutil, "which", lambda name: None)
    with pytest.raises(setup.Stop, match=r"needs 3\.11 or newer; install it"):
        setup.python_or_newer()


def test_an_old_python_goes_on_under_a_newer_one(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(setup.shutil, "which", lambda name: f"/usr/bin/{name}" if name == "python3.12" else None)
    monkeypatch.setattr(setup.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0))
    started: list[str] = []
    monkeypatch.setattr(setup.os, "execv", lambda path, words: started.append(path) or (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        setup.python_or_newer()
    assert started == ["/usr/bin/python3.12"]


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "disk filled up while installing"),
        (
            "WARNING: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution",
            "No package index could be reached",
        ),
        ("ERROR: No matching distribution found for torch==2.13.0", "torch==2.13.0"),
        ("step one\nerror: something odd\n\n", "error: something odd"),
        ("", "no output"),
    ],
)
def test_a_failed_command_is_one_sentence(setup: ModuleType, output: str, sentence: str) -> None:
    found = setup.cause(output, "installing")
    assert sentence in found
    assert "\n" not in found


def test_a_command_that_fails_stops_set_up(setup: ModuleType) -> None:
    with pytest.raises(setup.Stop, match="while trying: out of luck"):
        setup.run([sys.executable, "-c", "print('out of luck'); raise SystemExit(1)"], "trying")


def test_a_wrong_goal_is_usage(setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(setup.sys, "argv", ["setup.py", "everything"])
    assert setup.main() == 2
    assert "run|test|check" in capsys.readouterr().err


# Doing nothing twice


def test_a_step_is_done_until_what_it_depends_on_changes(setup: ModuleType, tmp_path: Path) -> None:
    listed = tmp_path / "requirements.txt"
    listed.write_text("torch==1")
    setup.stamp("packages", setup.digest(listed))
    assert setup.done("packages", setup.digest(listed))
    listed.write_text("torch==2")
    assert not setup.done("packages", setup.digest(listed))


def test_torch_for_the_card_there_is(setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With an NVIDIA driver the CUDA build, without one the CPU build; each is said, and a new card brings a new build."""
    installed: list[list[str]] = []
    monkeypatch.setattr(setup, "pip", lambda arguments, what: installed.append(arguments))
    monkeypatch.setattr(setup, "reachable", lambda url: True)
    monkeypatch.setattr(setup, "nvidia_driver", lambda: False)
    setup.install_torch()
    setup.install_torch()
    monkeypatch.setattr(setup, "nvidia_driver", lambda: True)
    setup.install_torch()
    assert len(installed) == 2
    assert setup.TORCH_CPU_INDEX in installed[0]
    assert setup.TORCH_CPU_INDEX not in installed[1]
    assert "--force-reinstall" in installed[1]
    assert "with CUDA" in capsys.readouterr().out
