"""The parent's handle on an engine's child process: start, send, receive, end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from errors import EngineDied
from inference import wire
from inference.wire import Frame

ROOT = Path(__file__).resolve().parents[1]
KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")
"""Environment variables the child gets; secrets of the parent's environment stay with the parent."""


class Child:
    """One running `python -m <module>` that speaks `inference.wire`, in a session and with an environment of its own."""

    def __init__(self, module: str, threads: int) -> None:
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment |= {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "CUDA_VISIBLE_DEVICES": ""}
        environment |= {"GOMP_SPINCOUNT": "1000", "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-B", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
            close_fds=True,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._reader = wire.Reader()
        self._poll = select.poll()
        self._poll.register(self._output, select.POLLIN | select.POLLHUP)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def send(self, frame: Frame) -> None:
        """Send one frame. Raises `EngineDied`."""
        try:
            wire.write(self._input.fileno(), frame)
        except (wire.Closed, ValueError):
            raise self._died() from None

    def receive(self, seconds: float) -> Frame | None:
        """The next frame, or None after `seconds` without one. Raises `EngineDied`."""
        while True:
            try:
                frame = self._reader.next()
                if frame is not None:
                    return frame
                if not self._poll.poll(seconds * 1000):
                    return None
                data = os.read(self._output.fileno(), 1 << 16)
            except (wire.Closed, OSError, ValueError):
                raise self._died() from None
            if not data:
                raise self._died()
            self._reader.feed(data)

    def end(self) -> None:
        """End the process now; ending it twice does nothing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._input, self._output):
            with contextlib.suppress(OSError):
                pipe.close()

    def _died(self) -> EngineDied:
        self.end()
        code = self._process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return EngineDied(f"the engine's process ended ({how}) before the answer was complete; it is started again, so ask again")
