"""The served app: how fast it starts a second time, and how much memory it holds while nobody asks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.bench.figures import Figure

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0


def free_port() -> int:
    """A port nobody serves on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[Any]) -> float:
    """Seconds until the address answers 200."""
    start = time.perf_counter()
    while time.perf_counter() - start < PATIENCE:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with code {process.returncode} before it answered")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return time.perf_counter() - start
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise SystemExit(f"{url} did not answer within {PATIENCE:.0f} s")


@contextmanager
def started(command: Sequence[str], data: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a process group of its own, ended with its children afterwards."""
    environment = {**os.environ, "INTERVAL_DATA_DIR": str(data), "INTERVAL_PORT": str(port), "INTERVAL_LOG_LEVEL": "error"}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def second_start() -> list[Figure]:
    """`make run` once to set up a data directory, then once more against the clock, to the first page."""
    with tempfile.TemporaryDirectory() as folder:
        taken = 0.0
        for _ in range(2):
            port = free_port()
            with started(["make", "-s", "run"], Path(folder), port) as process:
                taken = wait_for(f"http://127.0.0.1:{port}/", process)
                wait_for(f"http://127.0.0.1:{port}/readyz", process)
    return [Figure("second `make run`, to the served page", taken, "s", 10.0, "set-up checked, nothing to do")]


def idle_memory(models: Path) -> list[Figure]:
    """Memory of server and engine with the model loaded and the demo cases imported, shared pages counted once."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "models").symlink_to(models, target_is_directory=True)
        port = free_port()
        with started([sys.executable, str(ROOT / "app.py"), "serve"], Path(folder), port) as process:
            wait_for(f"http://127.0.0.1:{port}/readyz", process)
            wait_for(f"http://127.0.0.1:{port}/", process)
            time.sleep(2.0)
            server = psutil.Process(process.pid)
            family = [server, *server.children(recursive=True)]
            held = sum(one.memory_full_info().pss for one in family) / 1e9
    return [
        Figure(
            "memory of the served app, idle with the model loaded",
            held,
            "GB",
            1.5,
            f"{len(family)} processes, shared pages counted once (PSS)",
        )
    ]
