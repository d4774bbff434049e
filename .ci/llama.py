"""The compiled part: llama-cpp-python as a wheel that runs on this CPU, compiled once and kept.

The default build of llama.cpp asks the compiler for everything this very CPU has, which turns on AMX and crashes at the
first decode on some machines (ggml-org/llama.cpp#20824). So each instruction set is switched on or off by name, from what
/proc/cpuinfo lists; AMX is never on. On ARM llama.cpp's own detection is sound and is left alone.

The wheel is kept under `~/.cache/interval/wheels/<key>/` (`INTERVAL_WHEEL_CACHE` names another folder); the key is the
version, the CPU's instruction sets and the Python tag, so a home directory shared by different machines stays correct.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

VERSION = "0.3.36"

# ggml's CMake switch -> the flags of /proc/cpuinfo that must all be there.
FEATURES: dict[str, tuple[str, ...]] = {
    "SSE42": ("sse4_2",),
    "AVX": ("avx",),
    "AVX2": ("avx2",),
    "FMA": ("fma",),
    "F16C": ("f16c",),
    "BMI2": ("bmi2",),
    "AVX512": ("avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"),
    "AVX512_VBMI": ("avx512vbmi",),
    "AVX512_VNNI": ("avx512_vnni",),
    "AVX512_BF16": ("avx512_bf16",),
}


def cpu_flags(cpuinfo: str) -> frozenset[str]:
    """Instruction-set flags of the first processor in the text of /proc/cpuinfo; empty when it lists none."""
    for line in cpuinfo.splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def features(flags: frozenset[str]) -> tuple[str, ...]:
    """Names of `FEATURES` that these flags allow."""
    return tuple(name for name, needed in FEATURES.items() if flags.issuperset(needed))


def cmake_args(flags: frozenset[str], machine: str) -> str:
    """The CMAKE_ARGS for this CPU: every switch named, none left to detection; empty where detection is sound (ARM)."""
    if machine not in ("x86_64", "AMD64"):
        return ""
    on = features(flags)
    return " ".join(["-DGGML_NATIVE=OFF", *(f"-DGGML_{name}={'ON' if name in on else 'OFF'}" for name in FEATURES)])


def key(flags: frozenset[str], machine: str) -> str:
    """Folder name of the cached wheel, for example ``0.3.36-x86_64-5f0c1a9e02-cp311``."""
    digest = hashlib.sha256(cmake_args(flags, machine).encode()).hexdigest()[:10]
    return f"{VERSION}-{machine}-{digest}-cp{sys.version_info.major}{sys.version_info.minor}"


def local_flags() -> frozenset[str]:
    """Flags of this machine's CPU; empty where there is no /proc/cpuinfo (macOS), which gives a plain portable build."""
    info = Path("/proc/cpuinfo")
    return cpu_flags(info.read_text(errors="replace")) if info.exists() else frozenset()


def cache_root() -> Path:
    """Folder of all cached wheels."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("INTERVAL_WHEEL_CACHE") or f"{caches}/interval/wheels").expanduser()


def cache_dir() -> Path:
    """Folder of the wheel for this machine and this Python; it may not exist yet."""
    return cache_root() / key(local_flags(), platform.machine())


def cached_wheel() -> Path | None:
    """The compiled wheel for this machine, or None when it must be compiled first."""
    return next(iter(sorted(cache_dir().glob(f"llama_cpp_python-{VERSION}-*.whl"))), None)
