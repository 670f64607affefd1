"""Cores and memory of a container, read from what the kernel says of it, laid here as files of both of its versions."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from vms import machine

GB = 1 << 30


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    return tmp_path


def lay(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{text}\n")


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight cores with 32 GB free."""
    free = psutil.virtual_memory()._replace(available=32 * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))


@pytest.mark.usefixtures("cgroup", "large")
def test_without_a_container_all_of_the_machine_counts() -> None:
    assert machine.cores() == 8
    assert machine.free_memory_bytes() == 32 * GB


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    ("quota", "cores"), [("200000 100000", 2), ("250000 100000", 2), ("50000 100000", 1), ("max 100000", 8)]
)
def test_a_quota_counts_in_whole_cores(cgroup: Path, quota: str, cores: int) -> None:
    lay(cgroup, cpu_DOT_max=quota)
    assert machine.cores() == cores


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(("quota", "cores"), [("300000", 3), ("-1", 8)])
def test_a_quota_on_an_older_host(cgroup: Path, quota: str, cores: int) -> None:
    lay(cgroup, cpu__cpu_DOT_cfs_quota_us=quota, cpu__cpu_DOT_cfs_period_us="100000")
    assert machine.cores() == cores


@pytest.mark.usefixtures("large")
def test_files_that_the_kernel_keeps_do_not_take_memory_from_encoding(cgroup: Path) -> None:
    """A container that has worked for an hour stands at its limit, nearly all of it copies of files."""
    stat = f"anon {GB}\nfile {4 * GB}\ninactive_file {3 * GB}\nactive_file {GB}\nslab 1"
    lay(cgroup, memory_DOT_max=str(6 * GB), memory_DOT_current=str(6 * GB), memory_DOT_stat=stat)
    assert machine.free_memory_bytes() == 4 * GB
    lay(cgroup, memory_DOT_stat=f"anon {6 * GB}\ninactive_file 0\nactive_file 0")
    assert machine.free_memory_bytes() == 0
    lay(cgroup, memory_DOT_max="max")
    assert machine.free_memory_bytes() == 32 * GB


@pytest.mark.usefixtures("large")
def test_memory_on_an_older_host(cgroup: Path) -> None:
    stat = f"inactive_file 7\ntotal_inactive_file {2 * GB}\ntotal_active_file {GB}"
    lay(cgroup, memory__memory_DOT_stat=stat, memory__memory_DOT_usage_in_bytes=str(4 * GB))
    lay(cgroup, memory__memory_DOT_limit_in_bytes=str(4 * GB))
    assert machine.free_memory_bytes() == 3 * GB
    lay(cgroup, memory__memory_DOT_limit_in_bytes="9223372036854771712")
    assert machine.free_memory_bytes() == 32 * GB, "no limit"
