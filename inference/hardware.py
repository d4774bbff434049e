"""What this machine can run a model on, found without importing a deep-learning library."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")
QUOTA = Path("/sys/fs/cgroup/cpu.max")
MEMORY = Path("/proc/meminfo")
NVIDIA = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"), Path("/dev/dxg"))


@cache
def physical_cores() -> int:
    """Physical cores this process may use: hyper-threads count once, a container's CPU quota is respected; at least 1."""
    allowed = os.sched_getaffinity(0) if sys.platform == "linux" else set(range(os.cpu_count() or 1))
    cores = {_siblings(cpu) for cpu in allowed}
    return max(1, min(len(cores), _quota()))


def _siblings(cpu: int) -> str:
    try:
        return (CPUS / f"cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _quota() -> int:
    """Whole CPUs the control group allows (Linux control groups v2, `cpu.max`); a large number without a limit."""
    try:
        quota, period = QUOTA.read_text().split()
        return 1 << 16 if quota == "max" else max(1, round(int(quota) / int(period)))
    except (OSError, ValueError):
        return 1 << 16


def nvidia_driver() -> bool:
    """Whether an NVIDIA driver is loaded; says nothing about free memory."""
    return any(path.exists() for path in NVIDIA)


def memory_free() -> int:
    """Bytes of memory that programs may still take (Linux' `MemAvailable`); a large number where the system does not say."""
    try:
        lines = MEMORY.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return 1 << 50
