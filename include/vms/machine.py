"""The cores and the memory that this process may use: the machine's, or in a container those that it may have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
"""Where the kernel says what a container may use: by control groups of version 2 or, on older hosts, 1."""


def cores() -> int:
    """By affinity and by the container's quota, whole ones, at least one."""
    allowed = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # no container, or no quota ("max", -1)
        quota, period = _quota()
        if quota > 0:
            allowed = min(allowed, max(1, quota // period))
    return allowed


def free_memory_bytes() -> int:
    """What can be had now. A container that has read and written files stands at its limit with what the kernel keeps
    of them; that is given back when it is needed, so it counts as free."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):
        limit, used, cached = _memory()
        free = min(free, limit - max(0, used - cached))
    return free


def _quota() -> tuple[int, int]:
    try:
        quota, period = (CGROUP / "cpu.max").read_text().split()
    except OSError:
        quota, period = ((CGROUP / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
    return int(quota), int(period)


def _memory() -> tuple[int, int, int]:
    try:
        limit, used = ((CGROUP / f"memory.{name}").read_text() for name in ("max", "current"))
        cached = sum(_said(CGROUP / "memory.stat", "inactive_file", "active_file"))
    except OSError:
        old = CGROUP / "memory"
        limit, used = ((old / f"memory.{name}_in_bytes").read_text() for name in ("limit", "usage"))
        cached = sum(_said(old / "memory.stat", "total_inactive_file", "total_active_file"))
    return int(limit), int(used), cached


def _said(file: Path, *names: str) -> Iterator[int]:
    for line in file.read_text().splitlines():
        name, _, value = line.partition(" ")
        if name in names:
            yield int(value)
