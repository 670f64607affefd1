"""The program that is killed: it goes the ways of the product as Airflow's tasks do, in processes of their own.

Started once, it imports everything and then makes a fresh process (a fork) for each life that it is asked for, so that
a life costs no start of Python. One JSON object a line comes in: {"lives": [...], see Life}; one goes out: what became
of each. A life ends by itself, by a kill -9 at a counted point (see `points`), or by a kill -9 after so many seconds.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from points import Points
from ways import WAYS, Life, say


@dataclass(frozen=True)
class Ended:
    """How it ended. killed: at this point ("after 0.123 s" for a kill by time), "" when it ended by itself.

    result: what the way handed back; failed: its traceback when it raised.
    """

    killed: str = ""
    result: Any = None
    failed: str = ""
    points: tuple[str, ...] = ()


def _begin(life: Life) -> tuple[int, int]:
    """A fresh process that lives this life: its number, and where its answer comes from."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            _live(life, writer)
        finally:
            os._exit(0)
    os.close(writer)
    return pid, reader


def _live(life: Life, writer: int) -> None:
    def tell(ended: Ended) -> None:
        left = json.dumps(asdict(ended)).encode()
        while left:
            left = left[os.write(writer, left) :]

    output = os.open(Path(life.folder) / "lives.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(life.environment)
    waits = Path(life.folder) / "waits"

    def wait() -> None:
        points.wait_at = ""
        waits.touch()
        while waits.exists():
            time.sleep(0.02)

    points = Points(life.kill_at, lambda point: tell(Ended(killed=point)), life.wait_at, wait)
    try:
        if life.one_by_one:
            _one_by_one()
        points.watch()
        say(f"--- {life.way}, {life.run}, killed at {life.kill_at} or after {life.kill_after_s} s")
        result = WAYS[life.way](life, points)
        tell(Ended(result=result, points=tuple(points.names) if life.told else ()))
    except BaseException:  # noqa: BLE001 - whatever it is, it is told
        said = traceback.format_exc()
        say(said)
        tell(Ended(failed=said, points=tuple(points.names) if life.told else ()))


def _one_by_one() -> None:
    from vms.steps import compress, look_ahead, replicate, standing, upload, vouch

    compress.cores = lambda: 1
    for looks in (look_ahead, standing):
        looks._LOOKS_AT_ONCE = 1
    upload.FILES_IN_FLIGHT = vouch.FILES_IN_FLIGHT = 1
    replicate.FILES_IN_FLIGHT = 1
    os.cpu_count = lambda: 1


def _end(pid: int, reader: int, life: Life, until: float | None) -> Ended:
    said = b""
    killed_by_time = False
    while True:
        left = None if until is None else max(0.0, until - time.monotonic())
        ready, _, _ = select.select([reader], [], [], left)
        if not ready:
            os.kill(pid, signal.SIGKILL)
            killed_by_time, until = True, None
            continue
        chunk = os.read(reader, 1 << 16)
        if not chunk:
            break
        said += chunk
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    if said:
        try:
            return Ended(**json.loads(said))
        except ValueError:  # killed while it told its end
            return Ended(killed="while it told how it ended")
    if killed_by_time:
        return Ended(killed=f"after {life.kill_after_s} s")
    return Ended(failed=f"it ended without a word, status {status}")


def _serve() -> None:
    import boto3  # noqa: F401

    for line in sys.stdin:
        lives = [Life(**one) for one in json.loads(line)["lives"]]
        begun = []
        for life in lives:
            until = None if life.kill_after_s is None else time.monotonic() + life.kill_after_s
            begun.append((*_begin(life), life, until))
        print(json.dumps([asdict(_end(*one)) for one in begun]), flush=True)


if __name__ == "__main__":
    _serve()
