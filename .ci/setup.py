"""Everything between a fresh clone and a running Interval, in plain Python so that it runs before anything is installed.

    python3 .ci/setup.py run      # virtual environment, packages, compiled engine, database, bundled model
    python3 .ci/setup.py test     # the same plus the checkers and a browser; its model goes to .cache/, not to your data
    python3 .ci/setup.py check    # packages only: enough for `make check`

`make run` and `make test` call it; nothing else needs to. Each step leaves a stamp with what it depended on, so a second
call does only what has changed. Whatever goes wrong ends in one sentence that says what to do next.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import llama

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMPS = VENV / "setup-stamps"
LOG = VENV / "setup.log"
TEST_DATA_DIR = ROOT / ".cache" / "test-data"
TORCH = "2.13.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OLDEST = (3, 11)
NEED_GB = {"cpu": 4.0, "cuda": 10.0, "compile": 1.0, "model": 1.0}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


class Stop(Exception):
    """Set-up cannot go on; the text is the one sentence the person reads."""


def say(text: str) -> None:
    """One progress line."""
    print(f"[set-up] {text}", flush=True)


def digest(*parts: object) -> str:
    """Fingerprint of texts and of files' contents."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part.read_bytes() if isinstance(part, Path) and part.is_file() else str(part).encode())
    return sha.hexdigest()[:24]


def done(step: str, value: str) -> bool:
    """Whether `step` was finished with exactly this fingerprint."""
    stamp = STAMPS / step
    return stamp.is_file() and stamp.read_text() == value


def stamp(step: str, value: str) -> None:
    """Remember that `step` is finished."""
    STAMPS.mkdir(parents=True, exist_ok=True)
    (STAMPS / step).write_text(value)


# What the machine must have


def python_or_newer() -> None:
    """Go on under a newer interpreter when this one is too old and a newer one is installed."""
    if sys.version_info >= OLDEST:
        return
    for minor in range(14, OLDEST[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer and subprocess.run([newer, "-c", ""], capture_output=True, check=False).returncode == 0:  # a shim may lead nowhere
            os.execv(newer, [newer, *sys.argv])
    raise Stop(
        f"Python {platform.python_version()} is too old: Interval needs 3.11 or newer; install it (sudo apt install python3.11 "
        "python3.11-venv) and run this again."
    )


def need_space(folder: Path, gigabytes: float, purpose: str) -> None:
    """Refuse before the work rather than fail in the middle of it."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        raise Stop(
            f"The disk of {folder} has {free:.1f} GB free but {purpose} needs {gigabytes:.0f} GB: free some space and run this again."
        )


def need_compiler() -> None:
    """llama-cpp-python is C and C++."""
    c = shutil.which(os.environ.get("CC") or "cc") or shutil.which("gcc") or shutil.which("clang")
    cxx = shutil.which(os.environ.get("CXX") or "c++") or shutil.which("g++") or shutil.which("clang++")
    if not (c and cxx):
        raise Stop("There is no C++ compiler, and the answering engine is compiled once: sudo apt install g++, then run this again.")


def nvidia_driver() -> bool:
    """Whether an NVIDIA driver is loaded and sees a card."""
    return Path("/proc/driver/nvidia/version").exists() and any(Path("/dev").glob("nvidia[0-9]*"))


def reachable(url: str, seconds: float = 3.0) -> bool:
    """Whether an index answers at all, within a few seconds."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds) as reply:
            return bool(reply.status < 400)
    except (OSError, ValueError):
        return False


# Running things


def cause(output: str, what: str) -> str:
    """The sentence for a failed command, read from its output."""
    lower = output.lower()
    if "no space left" in lower:
        return f"The disk filled up while {what}: free some space and run this again."
    if any(sign in lower for sign in ("connection", "name resolution", "name or service", "timed out", "network is unreachable")):
        return f"No package index could be reached while {what}: check the network or the proxy settings of pip and run this again."
    if "no matching distribution" in lower:
        line = next(line for line in output.splitlines() if "no matching distribution" in line.lower())
        return f"A package is not to be had while {what} ({line.strip()}): check pip's index settings and run this again."
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "no output")
    return f"Something failed while {what}: {last[:300]} (everything it printed is in {LOG.relative_to(ROOT)})."


def run(command: list[str], what: str, extra: dict[str, str] | None = None, every: float = 30.0) -> str:
    """Run quietly with a sign of life every `every` seconds; returns the output, raises `Stop` when it fails."""
    started = beat = time.monotonic()
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("w+") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **(extra or {})}, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        try:
            while process.poll() is None:
                try:
                    process.wait(timeout=min(every, 1.0))
                except subprocess.TimeoutExpired:
                    if time.monotonic() - beat >= every:
                        beat = time.monotonic()
                        say(f"... still {what} ({beat - started:.0f} s)")
        except BaseException:
            process.terminate()
            process.wait()
            raise
        log.seek(0)
        output = log.read()
    if process.returncode:
        raise Stop(cause(output, what))
    return output


def pip(arguments: list[str], what: str, extra: dict[str, str] | None = None) -> None:
    """The environment's pip, without its own chatter."""
    run([str(PYTHON), "-m", "pip", "--disable-pip-version-check", "-q", *arguments], what, extra)


def app(arguments: list[str], what: str, extra: dict[str, str] | None = None) -> None:
    """One of Interval's own commands."""
    run([str(PYTHON), str(ROOT / "app.py"), *arguments], what, extra)


# Steps


def make_venv() -> None:
    """The virtual environment in the checkout."""
    value = digest(platform.python_version(), ROOT)
    if done("venv", value) and PYTHON.exists():
        return
    need_space(ROOT, NEED_GB["cuda" if nvidia_driver() else "cpu"], "the Python environment")
    say(f"making .venv with Python {platform.python_version()}")
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        import ensurepip  # noqa: F401  Debian ships it in python3-venv
        import venv
    except ImportError:
        raise Stop("Python's venv module is missing: sudo apt install python3-venv, then run this again.") from None
    try:
        venv.EnvBuilder(with_pip=True, symlinks=True).create(VENV)
    except subprocess.CalledProcessError as error:
        raise Stop(f"The virtual environment could not be made ({error}): sudo apt install python3-venv, then run this again.") from None
    stamp("venv", value)


def install_torch() -> None:
    """The CUDA build where an NVIDIA driver is loaded, the CPU build elsewhere."""
    cuda = nvidia_driver()
    value = f"{TORCH} {'cuda' if cuda else 'cpu'}"
    if done("torch", value):
        return
    changed = ["--force-reinstall"] if (STAMPS / "torch").exists() else []
    if cuda:
        say(f"an NVIDIA driver is loaded: installing torch {TORCH} with CUDA (about 3 GB)")
        pip(["install", *changed, f"torch=={TORCH}"], "installing torch with CUDA")
    elif reachable(f"{TORCH_CPU_INDEX}/torch/"):
        say(f"no NVIDIA driver: installing torch {TORCH} for the CPU from PyTorch's own index")
        pip(["install", *changed, "--no-deps", "--index-url", TORCH_CPU_INDEX, f"torch=={TORCH}"], "installing torch for the CPU")
    else:
        say(f"no NVIDIA driver and PyTorch's own index is out of reach: installing torch {TORCH} from the usual index (it may be large)")
        pip(["install", *changed, f"torch=={TORCH}"], "installing torch")
    stamp("torch", value)


def compile_llama() -> Path:
    """The wheel of llama-cpp-python for this CPU, compiled when the cache does not hold it."""
    wheel = llama.cached_wheel()
    if wheel:
        return wheel
    need_compiler()
    folder = llama.cache_dir()
    need_space(folder, NEED_GB["compile"], "compiling the answering engine")
    flags = llama.cmake_args(llama.local_flags(), platform.machine())
    say(f"compiling llama-cpp-python {llama.VERSION} for this CPU, once (5 to 15 minutes): {' '.join(llama.features(llama.local_flags()))}")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    building = {"CMAKE_ARGS": flags, "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 2), "FORCE_CMAKE": "1"}
    source = [
        "wheel",
        "--no-deps",
        "--no-cache-dir",
        "--no-binary",
        "llama-cpp-python",
        "-w",
        str(partial),
        f"llama-cpp-python=={llama.VERSION}",
    ]
    pip(source, "compiling llama-cpp-python", building)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    built = llama.cached_wheel()
    if built is None:
        raise Stop(f"Compiling llama-cpp-python left no wheel in {folder}: see {LOG.relative_to(ROOT)}.")
    return built


def install_llama() -> None:
    """Put the compiled engine into the environment."""
    value = llama.cache_dir().name
    if done("llama", value):
        return
    wheel = compile_llama()
    say("installing llama-cpp-python from the cached wheel")
    pip(["install", "--no-deps", "--force-reinstall", str(wheel)], "installing llama-cpp-python")
    stamp("llama", value)


def install_packages(name: str) -> None:
    """Everything a requirements file pins."""
    listed = ROOT / name
    value = digest(listed, ROOT / ".ci" / "constraints.txt", (STAMPS / "torch").read_text(), (STAMPS / "llama").read_text())
    if done(name, value):
        return
    say(f"installing {name}")
    pip(["install", "-r", str(listed), "-c", str(ROOT / ".ci" / "constraints.txt")], f"installing {name}")
    stamp(name, value)


def parts_digest() -> str:
    """Fingerprint of the model's shipped parts by name, size and time: reading 30 MB at each start would be waste."""
    parts = sorted(path for path in (ROOT / "assets").rglob("*") if path.is_file() and "bundled" in path.parts)
    return digest(*(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in parts))


def prepare_data(data_dir: Path) -> None:
    """Database and bundled model in `data_dir`."""
    where = {"INTERVAL_DATA_DIR": str(data_dir)}
    label = digest(data_dir)[:8]
    migrations = digest(*sorted((ROOT / "storage" / "migrations").rglob("*.py")), os.environ.get("INTERVAL_DATABASE_URL", ""))
    if not (done(f"database-{label}", migrations) and data_dir.exists()):
        say(f"preparing the database in {data_dir}")
        app(["db", "upgrade"], "preparing the database", where)
        stamp(f"database-{label}", migrations)
    value = parts_digest()
    if not (done(f"model-{label}", value) and (data_dir / "models" / "bundled" / "manifest.json").exists()):
        need_space(data_dir, NEED_GB["model"], "the bundled model")
        say("building the bundled model from its base and the shipped parts (under a minute)")
        app(["models", "build", "bundled"], "building the bundled model", where)
        stamp(f"model-{label}", value)


def prepare_browser() -> None:
    """A Chromium for the browser tests; without one they are skipped by name, so this never stops set-up."""
    if os.environ.get("INTERVAL_CHROMIUM") or any(shutil.which(name) for name in BROWSERS):
        return
    if any(Path("~/.cache/ms-playwright").expanduser().glob("chromium*")):
        return
    say("no Chromium or Chrome is installed: asking Playwright for its own")
    try:
        run([str(PYTHON), "-m", "playwright", "install", "chromium"], "downloading Chromium")
    except Stop:
        say("Playwright could not download it; browser tests will be skipped: sudo apt install chromium to run them")


def data_dir() -> Path:
    """Where the person's own data is, by the same rule as settings.py."""
    return Path(os.environ.get("INTERVAL_DATA_DIR") or "~/.local/share/interval").expanduser().resolve()


def set_up(goal: str) -> None:
    """All steps for `goal`, in order."""
    python_or_newer()
    make_venv()
    install_torch()
    install_llama()
    install_packages("requirements.txt")
    if goal != "run":
        install_packages("requirements-dev.txt")
    if goal == "run":
        prepare_data(data_dir())
    if goal == "test":
        prepare_data(TEST_DATA_DIR)
        prepare_browser()


def main() -> int:
    """Run the goal named on the command line; exit 0, or 1 after one sentence, or 2 for a wrong goal."""
    goal = sys.argv[1] if len(sys.argv) == 2 else ""
    if goal not in ("run", "test", "check"):
        print("usage: python3 .ci/setup.py run|test|check", file=sys.stderr)
        return 2
    try:
        set_up(goal)
    except Stop as stop:
        print(f"interval: {stop}", file=sys.stderr)
        return 1
    except OSError as error:
        full = error.errno == 28
        remedy = "free some space" if full else "mend that"
        print(f"interval: set-up cannot write here ({error}): {remedy} and run this again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interval: set-up was stopped; run the same command to go on where it was.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
