"""The machine as the engine sees it: how many cores are really ours, and what makes a measured profile comparable."""

import hashlib
import json
import math
import os
import platform
from pathlib import Path

import onnxruntime as ort

_CPU_INFO = Path("/proc/cpuinfo")
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")


def cores(*, quota_file: Path = _CPU_QUOTA) -> int:
    """Cores that this process may use: its affinity, and its container's CPU limit (cgroup v2), rounded up.

    A container limited to 2 CPUs on a node of 64 sees 64 cores; 64 engine threads would spend its quota waiting.
    """
    affinity = len(os.sched_getaffinity(0))
    try:
        quota, period = quota_file.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return affinity
    if quota == "max":
        return affinity
    return max(1, min(affinity, math.ceil(int(quota) / int(period))))


def memory_bytes(*, limit_file: Path = _MEMORY_LIMIT) -> int:
    """Memory that this process may use: the machine's, within its container's limit (cgroup v2)."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = limit_file.read_text(encoding="utf-8").strip()
    except OSError:
        return machine
    return machine if limit == "max" else min(machine, int(limit))


def fingerprint(**settings: str | int | None) -> str:
    """16 hex digits that change with the processor, onnxruntime, or the settings of the measurement."""
    facts = {
        "processor": _processor(),
        "architecture": platform.machine(),
        "onnxruntime": ort.__version__,
        **settings,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _processor() -> str:
    """Name and instruction sets of the processor."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    found = {line.split(":")[0].strip(): line for line in lines if line.startswith(wanted)}
    return "\n".join(found[name] for name in sorted(found))
