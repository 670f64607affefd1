"""What benchmarks/fleet.py reckons: whose CPU seconds are whose, what a fleet needs, and what it takes of the DAGs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import fleet_table
import fleet_world
from fleet_world import Used, by_level

SCHEDULER = [
    Used(10, 1, own=5.0, ended=0.5),  # the scheduler; one of its executor's workers has ended
    Used(11, 10, own=1.0, ended=20.0),  # a worker of LocalExecutor, and all tasks that it has seen to their end
    Used(12, 10, own=2.0, ended=30.0),
    Used(13, 12, own=0.25, ended=0.0),  # a task that runs
    Used(14, 13, own=0.5, ended=0.125),  # what that task has started
]


def test_the_scheduler_its_supervisors_and_tasks_are_told_apart() -> None:
    shares = by_level(SCHEDULER, 10, 1)
    assert shares == {"": 5.0, "supervisors": 3.5, "tasks": 50.875}
    assert sum(shares.values()) == sum(one.all for one in SCHEDULER), "nothing is counted twice, and nothing forgotten"


def test_the_two_halves_of_a_worker_belong_to_the_worker() -> None:
    tree = [
        Used(20, 1, own=0.5, ended=0.0),
        Used(21, 20, own=2.0, ended=0.0),
        Used(22, 20, own=3.0, ended=0.0),
        Used(23, 21, own=1.0, ended=8.0),
        Used(24, 22, own=1.5, ended=4.0),
        Used(25, 24, own=0.25, ended=0.0),
    ]
    assert by_level(tree, 20, 2) == {"": 5.5, "supervisors": 2.5, "tasks": 12.25}


def test_a_process_whose_parent_has_just_ended_counts_as_of_the_part() -> None:
    assert by_level([Used(30, 1, 1.0, 0.0), Used(31, 99, 2.0, 0.0)], 30, 1) == {
        "": 3.0,
        "supervisors": 0.0,
        "tasks": 0.0,
    }


def runs(**each: float) -> dict[str, Any]:
    return {
        "runs": 4,
        "starts": 40,
        "failed": 0,
        "cpu_s_per_start": each,
        "idle_cores": {"api": 0.1, "scheduler": 0.05},
        "run_lag_s": [0.5, 1.0],
        "start_lag_s": [0.25, 2.0],
        "starts_per_s": 1.5,
        "rows_per_run": {"log": 30.0, "xcom": 20.0},
        "bytes_per_run": {"log": 10_000.0},
        "log_files_per_run": 10.0,
        "log_bytes_per_run": 40_000.0,
        "memory_mb": {"api": 300.0},
        "api_processes": 1,
    }


STORE = {
    "again_cpu_s": 24.0,
    "again_database_cpu_s": 6.0,
    "interval_s": 300,
    "first": {"versions": 9},
    "then": {"versions": 9},
}


def test_cores_are_all_starts_of_a_period_reading_and_being_there() -> None:
    one = {"runs": {"local": runs(tasks=0.2, scheduler=0.1), "celery": runs(tasks=0.4, redis=0.2)}, "store": STORE}
    assert fleet_table.cores(900, one, "local") == pytest.approx(10 * 0.3 * 900 / 900 + 0.15 + 30 / 300)
    assert fleet_table.cores(900, one, "celery") == pytest.approx(6.25)


def test_the_table_says_whether_ten_cores_hold() -> None:
    each = {"runs": {"local": runs(tasks=0.2), "celery": runs(tasks=0.9)}, "store": STORE}
    found = {"cores": 2, "load": [1.0, 3.0], "starts_per_run": 10, "sizes": {1000: each}}
    said = fleet_table.table(found)
    assert "1000 sites every 15 min, LocalExecutor: 2.5 cores; 10 hold." in said
    assert "1000 sites every 15 min, CeleryExecutor: 10.2 cores; 10 do not hold." in said
    assert "| rows a day | 4,800,000 |" in said


def test_the_copied_dags_share_the_sites_among_as_many_files_as_asked(tmp_path: Path) -> None:
    fleet_world.copy_dags(tmp_path / "as-it-is")
    fleet_world.copy_dags(tmp_path / "three", 3)
    assert len(list((tmp_path / "as-it-is" / "footage_shards").glob("*.py"))) == 8
    shards = sorted((tmp_path / "three" / "footage_shards").glob("*.py"))
    assert [one.name for one in shards] == ["shard_0.py", "shard_1.py", "shard_2.py"]
    assert "footage_dags(shard=2)" in shards[2].read_text()
    assert "\nSHARDS = 3\n" in (tmp_path / "three" / "footage.py").read_text()


def test_processes_of_a_real_tree_are_found_where_they_stand() -> None:
    """A child that waits, whose own child has spent some CPU and ended."""
    spend = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(3000000))']); print(1, flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", f"{spend}; sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        used = fleet_world.used_by(psutil.Process(child.pid))
        assert used.parent == psutil.Process().pid
        assert used.ended > 0
        child.communicate(b"")
