"""A branch that had no line for a day, and one whose clock is ten minutes off, for real.

All durations that a day passes and some minutes do not are made short in the programs themselves: until a silent task
is taken for lost, tokens are over, a waiting task is asked for anew, a worker counts as gone, a job is cleared away. So
a few minutes here are what a day is there, and how long the line is cut is not measured: it comes back when all of
that has happened. Needs a container engine, some GB and half an hour:

    ./vms test tests/compose/check_outage.py
"""

from __future__ import annotations

from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path

import yaml
from branch_machine import (
    BUCKET,
    OUTSIDE,
    Branch,
    archived,
    ask,
    count,
    joins,
    prepare,
    record,
    sending,
    site_line,
    starts,
)
from containers import Installation, _engine, eventually, installation

AWAY = 6
PLACES = 4
"""Fewer than branches that are away: did those take places, nothing would be done for the others."""

SITES = """
defaults: {{ time_zone: WITA, every: 1m, profile: copy, keep_source: keep }}
stores:
  cloud: {{ url: "s3://{bucket}/archive", conn_id: demo_s3 }}
sites:
  - {{ id: mks, name: Makassar, footage: /footage/mks, stores: [cloud], runs_on: edge, uplink: {uplink} }}
  - {{ id: ho, name: Office, footage: /footage/ho, stores: [cloud] }}
""" + "".join(
    f"  - {{{{ id: away-{number}, footage: /footage/away, stores: [cloud], runs_on: edge }}}}\n"
    for number in range(AWAY)
)

SHORT = {
    "include/vms/stack/airflow_env.py": (
        ('"CORE__PARALLELISM": "512"', f'"CORE__PARALLELISM": "{PLACES}"'),
        ('"SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120"', '"SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30"'),
        ('"SCHEDULER__TASK_QUEUED_TIMEOUT": "600"', '"SCHEDULER__TASK_QUEUED_TIMEOUT": "60"'),
        (
            '"SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "30"',
            '"SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "9"',
        ),
        ('"EXECUTION_API__JWT_EXPIRATION_TIME": "21600"', '"EXECUTION_API__JWT_EXPIRATION_TIME": "90"'),
        (
            '"EDGE__API_ENABLED": "True",',
            '"EDGE__API_ENABLED": "True", "EDGE__HEARTBEAT_INTERVAL": "6", "EDGE__JOB_FAIL_PURGE": "1",',
        ),
    ),
    "plugins/vms_airflow/branch_executor.py": (
        ("SILENT_MOST = timedelta(hours=1)", "SILENT_MOST = timedelta(seconds=60)"),
        ("SILENT_AFTER = timedelta(seconds=45)", "SILENT_AFTER = timedelta(seconds=15)"),
    ),
    "plugins/vms_airflow/patience.py": (("WAIT_MOST = timedelta(hours=1)", "WAIT_MOST = timedelta(seconds=60)"),),
    "include/vms/branches/agent.py": (
        ("WORD_S = 60.0", "WORD_S = 5.0"),
        ('"EDGE__HEARTBEAT_INTERVAL": "30"', '"EDGE__HEARTBEAT_INTERVAL": "6"'),
        ('"EDGE__JOB_POLL_INTERVAL": "10"', '"EDGE__JOB_POLL_INTERVAL": "3"'),
        ('"EDGE__API_RETRY_WAIT_MAX": "30"', '"EDGE__API_RETRY_WAIT_MAX": "3"'),
        ('"WORKERS__MIN_HEARTBEAT_INTERVAL": "30"', '"WORKERS__MIN_HEARTBEAT_INTERVAL": "6"'),
        ('"WORKERS__EXECUTION_API_RETRIES": "90"', '"WORKERS__EXECUTION_API_RETRIES": "12"'),
        ('"WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "30"', '"WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "3"'),
        (
            '"SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "3600"',
            '"SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60"',
        ),
    ),
    "include/vms/catalogue/planning.py": (("FILES_PER_RUN = 500", "FILES_PER_RUN = 2"),),
}

CLOCK = """
FROM vms:latest
USER root
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY clock.c /tmp/clock.c
RUN gcc -shared -fPIC -o /usr/lib/clock.so /tmp/clock.c -ldl
USER vms
"""

SHIFT = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long off(void) { const char *said = getenv("CLOCK_OFF_S"); return said ? atol(said) : 0; }
int clock_gettime(clockid_t which, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int status = real(which, at);
  if (!status && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) at->tv_sec += off();
  return status;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  (void)zone;
  struct timespec now;
  int status = clock_gettime(CLOCK_REALTIME, &now);
  if (!status) { at->tv_sec = now.tv_sec; at->tv_usec = now.tv_nsec / 1000; }
  return status;
}
time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
"""
"""What a program asks the clock, shifted; only that. libfaketime also takes over what waits, and then a machine under
load has sleeps fail: "Invalid argument"."""

TASKS = """
import os, psutil
words = {one.pid: one.info["cmdline"] or () for one in psutil.process_iter(["cmdline"])}  # none of one that has ended
print(*(pid for pid, own in words.items() if pid != os.getpid() and "airflow worker --" in " ".join(own)))
"""

CENTRE = ("api-server", "scheduler", "dag-processor", "triggerer", "worker", "seaweedfs", "tls")


def test_a_day_without_line_and_a_clock_that_is_off(tmp_path: Path) -> None:
    with installation(tmp_path, "--s3", "--tls") as here:
        shorten(here.folder)
        prepare(here, SITES.format(bucket=BUCKET, uplink="unlimited"))
        here.compose("build")
        here.compose("up", "-d", *CENTRE)
        eventually("the centre answers", lambda: bool(here.vms("status")))
        record(here.containers("worker")[0], "ho", starts(1, 4))
        branch = Branch(here)
        try:
            begun: list[datetime] = []
            for off_s in (600, -600):
                set_clock(branch, off_s)
                begun += works_by_a_wrong_clock(here, branch, off_s, len(begun))
            set_clock(branch, 0)
            lives_through_a_day(here, branch, begun)
        finally:
            branch.compose("down", "-v", "-t", "5")


def shorten(folder: Path) -> None:
    for name, changes in SHORT.items():
        path = folder / name
        text = path.read_text()
        for long, short in changes:
            assert text.count(long) == 1, f"{name} says {long} no more"
            text = text.replace(long, short)
        path.write_text(text)


def set_clock(branch: Branch, off_s: int) -> None:
    """The branch's machine is made anew, with a clock that is so far ahead."""
    made_of = branch.folder / "clock"  # a folder of its own: .dockerignore leaves out what it does not know
    made_of.mkdir(exist_ok=True)
    (made_of / "Dockerfile").write_text(CLOCK)
    (made_of / "clock.c").write_text(SHIFT)
    wrong = {
        "image": "vms-clock",
        "build": {"context": "./clock"},
        "environment": {"LD_PRELOAD": "/usr/lib/clock.so", "CLOCK_OFF_S": str(off_s)},
    }
    if branch.compose("ps", "-q").split():
        branch.compose("down", "-t", "20")
    (branch.folder / "branch-clock.yaml").write_text(yaml.safe_dump({"services": {"branch": wrong}}))
    branch.files = [*branch.files[:2], *(["branch-clock.yaml"] if off_s else [])]
    if off_s:
        branch.compose("build")


def works_by_a_wrong_clock(here: Installation, branch: Branch, off_s: int, before: int) -> list[datetime]:
    """It joins, fetches, archives, and times are those of the recorder's names. Returns when its files begin."""
    if before:
        branch.compose("up", "-d")
    else:
        joins(here, branch)
    begun = starts(2, 5 + before)
    record(branch.container, "mks", begun)
    eventually(f"it archives with a clock {off_s} s ahead", lambda: archived(here) == before + len(begun))
    eventually("it knows that it is proven", lambda: branch.status()["proven"]["count"] == before + len(begun))
    assert abs(branch.status()["clock_off_s"] + off_s) < 60, "it says so"
    kept = {row["start_utc"] for row in here.vms("recordings") if row["site"] == "mks"}
    assert kept >= {f"{one:%Y-%m-%dT%H:%M:%SZ}" for one in begun}, kept
    later = "SELECT count(*) FROM site WHERE slug = 'mks' AND last_sensed > now()"
    assert ask(here, "catalogue", later) == ["0"], "a look is not of the future"
    return begun


def lives_through_a_day(here: Installation, branch: Branch, begun: list[datetime]) -> None:
    """Cut off in the middle of an upload for longer than anything lasts; others go on; then it catches up alone."""
    branch.compose("up", "-d")
    config = here.folder / "config" / "sites.yaml"
    config.write_text(SITES.format(bucket=BUCKET, uplink="1 Mbit/s"))
    eventually("the branch has the new uplink", lambda: "1 Mbit/s" in site_line(branch))
    old, new = starts(1, 9), starts(5, 0.5)
    begun = [*begun, *old, *new]
    record(branch.container, "mks", old, 80, "2500k")  # 25 MB: more than three minutes of line
    sending(here, branch)
    lines = {alias: here.containers(alias)[0] for alias in ("tls", "seaweedfs")}
    for container in lines.values():
        _engine("network", "disconnect", OUTSIDE, container)
    try:
        a_day_passes(here, branch, len(begun), new)
    finally:
        config.write_text(SITES.format(bucket=BUCKET, uplink="unlimited"))
        for alias, container in lines.items():
            _engine("network", "connect", "--alias", alias, OUTSIDE, container)
    eventually("all of it is archived", lambda: archived(here) == len(begun))
    rows = [row for row in here.vms("recordings") if row["site"] == "mks"]
    assert len({row["start_utc"] for row in rows}) == len(rows) == len(begun), "nothing is doubled, nothing lost"
    assert all(len(row["copies"]) == 1 for row in rows)
    for table, states in (("dag_run", "'failed'"), ("task_instance", "'failed', 'upstream_failed'")):
        assert count(here, table, f"state IN ({states}) AND dag_id <> 'footage_ho'") == 0, f"red in {table}"
    was = "SELECT try_number FROM task_instance WHERE dag_id = 'footage_mks' AND task_id = 'batch.upload' AND state"
    assert max(ask(here, "airflow", f"{was} = 'success'")) == "2", "waiting used up no try"
    assert_newest_first(here, 5)


def a_day_passes(here: Installation, branch: Branch, files: int, new: list[datetime]) -> None:
    record(branch.container, "mks", new)
    record(here.containers("worker")[0], "ho", starts(2, 2))
    eventually("it says that the line is down", lambda: bool(branch.status()["problem"]))
    told = branch.status()
    assert told["running"]
    assert told["waiting"]["count"] == 1 + len(new), "what was being sent, and what came meanwhile"
    assert told["proven"]["count"] == files - 1 - len(new)

    eventually("the office goes on meanwhile", lambda: archived(here, "ho") == 3)
    assert AWAY > PLACES
    away = "state = 'queued' AND dag_id LIKE 'footage_away%'"
    eventually("so many wait for branches", lambda: count(here, "edge_job", away) == AWAY)

    upload = "dag_id = 'footage_mks' AND task_id = 'batch.upload' AND"
    asked = f"{upload} try_number = 2 AND event = 'stuck in queued reschedule'"
    again = f"{upload} try_number = 2 AND state = 'queued'"
    eventually("the silent task is taken for lost", lambda: count(here, "task_instance", again) == 1)
    eventually("it was asked for anew, twice", lambda: count(here, "log", asked) >= 2)
    eventually("the first job is cleared away", lambda: count(here, "edge_job", f"{upload} try_number = 1") == 0)
    lifeless = "SELECT state FROM edge_worker WHERE worker_name = 'branch-mks'"
    eventually("the branch counts as gone", lambda: ask(here, "airflow", lifeless) == ["unknown"])
    eventually("the branch gave its task up", lambda: branch.inside("python", "-c", TASKS).split() == [])


def assert_newest_first(here: Installation, count: int) -> None:
    """By runs, each of which takes the two newest: what came in the last run is older than what came in the first."""
    asked = """
        SELECT l.run_id, extract(epoch FROM l.start_at)::bigint FROM lineage l JOIN site s USING (site_id)
        WHERE s.slug = 'mks' AND l.event = 'archived' ORDER BY l.lineage_id
    """
    rows = [line.split("|") for line in ask(here, "catalogue", asked)][-count:]
    runs = [[int(start) for _, start in of_run] for _, of_run in groupby(rows, key=lambda row: row[0])]
    assert len(runs) >= 3, runs
    assert all(min(earlier) > max(later) for earlier, later in pairwise(runs)), runs
