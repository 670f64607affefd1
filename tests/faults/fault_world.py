"""Worlds to kill in, and the driver that kills: lives from a seed, the same seed the same points."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import facts as looking
import weed
from facts import Facts, Objects
from invariants import ALWAYS, check
from lives import Ended
from vms.home import Home
from ways import Life

ROOT = Path(__file__).resolve().parents[2]
SITES = """
stores:
  nas: {{url: 'file://{root}/nas'}}
  cloud: {{url: 's3://{bucket}/{prefix}', conn_id: cloud}}
profiles:
  quick: {{codec: h264, preset: ultrafast, crf: 40}}
defaults:
  time_zone: {zone}
  stores: [{stores}]
  min_copies: {min_copies}
  profile: quick
  keep_source: {keep}
  retention: 180d
sites:
  - {{id: ho, name: Head Office, footage: {root}/footage}}
"""

MOST_KILLS = 3
MOST_RUNS = 8


class Driver:
    """Makes lives in the program of `lives`, which is started once."""

    def __init__(self) -> None:
        paths = [ROOT / "tests" / "faults", ROOT / "tests" / "integration", ROOT / "include"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("VMS_", "AIRFLOW"))}
        self._child = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "faults" / "lives.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment
            | {
                "PYTHONPATH": os.pathsep.join(map(str, paths)),
                "PYTHONDONTWRITEBYTECODE": "1",  # else a first start has more points than the next
            },
        )

    def live(self, *lives: Life) -> list[Ended]:
        """Live these lives at the same time, to their ends."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps({"lives": [asdict(life) for life in lives]}) + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        assert line, "the driver's program ended"
        return [Ended(**{**one, "points": tuple(one["points"])}) for one in json.loads(line)]

    def close(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            self._child.wait(20)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


@dataclass
class FaultWorld:
    """A site with its footage folder, a NAS folder, a bucket and a catalogue. put: what lay in the footage folder, with
    the SHA-256 of each. log: what was killed where, in words."""

    home: Home
    owner_url: str
    root: Path
    bucket: Any
    prefix: str
    driver: Driver
    endpoint: str
    put: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    held: dict[tuple[str, str], str] = field(default_factory=dict)
    min_copies: int = 2
    doing: str = ""

    @property
    def footage(self) -> Path:
        return self.root / "footage"

    @property
    def nas(self) -> Path:
        return self.root / "nas"

    @property
    def cloud_url(self) -> str:
        return f"s3://{weed.BUCKET}/{self.prefix}"

    def configure(self, **changes: Any) -> None:
        """Write sites.yaml anew."""
        words = {
            "root": self.root,
            "bucket": weed.BUCKET,
            "prefix": self.prefix,
            "zone": "WIB",
            "stores": "nas, cloud",
            "min_copies": self.min_copies,
            "keep": "0d",
        } | changes
        self.home.sites_file.write_text(SITES.format(**words))

    def leave(self, name: str, source: Path | bytes, hours_ago: float = 1) -> Path:
        """Put a file into the footage folder, as a recorder would have a while ago."""
        path = self.footage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = source if isinstance(source, bytes) else source.read_bytes()
        path.write_bytes(data)
        then = time.time() - hours_ago * 3600
        os.utime(path, (then, then))
        self.put[name] = looking.sha256(data)
        return path

    def life(self, way: str, run: str = "run 1", **changes: Any) -> Life:
        environment = {
            "VMS_HOME": str(self.home.root),
            "VMS_SITES": str(self.home.sites_file),
            "AIRFLOW_CONN_CLOUD": weed.connection_text(self.endpoint),
            "CLOUD_OF_BRANCH": weed.connection_text(self.endpoint, weed.BRANCH),
        }
        return replace(Life(way, str(self.root), environment, run), **changes)

    def live(self, way: str, run: str = "run 1", **changes: Any) -> Any:
        """One life that nobody kills; what it hands back. Raises AssertionError when it failed."""
        (ended,) = self.driver.live(self.life(way, run, **changes))
        assert not ended.failed, f"{ended.failed}\n{self.words()}"
        return ended.result

    def in_nas(self) -> Objects:
        for path in sorted(self.nas.rglob("*")) if self.nas.is_dir() else []:
            below = path.relative_to(self.nas)
            if path.is_file() and not any(part.startswith(".") for part in below.parts):
                yield str(below), path.read_bytes()

    def in_cloud(self) -> Objects:
        for page in self.bucket.get_paginator("list_objects_v2").paginate(Bucket=weed.BUCKET, Prefix=f"{self.prefix}/"):
            for one in page.get("Contents", ()):
                key = one["Key"].removeprefix(f"{self.prefix}/")
                if not any(part.startswith(".") for part in key.split("/")):
                    yield key, self.bucket.get_object(Bucket=weed.BUCKET, Key=one["Key"])["Body"].read()

    def look(self) -> Facts:
        stores: dict[str, Callable[[], Objects]] = {"nas": self.in_nas, "cloud": self.in_cloud}
        return looking.look(self.owner_url, self.put, self.footage, stores, self.words(), self.held, self.min_copies)

    def words(self) -> str:
        """What was being done, and where it was killed."""
        return "; ".join([self.doing, *self.log])

    def all_runs(self, prefix: str = "then", way: str = "archive", **changes: Any) -> list[Any]:
        """Runs of the site until one has nothing to do."""
        ended = []
        for number in range(MOST_RUNS):
            ended.append(self.live(way, f"{prefix} {number}", **changes))
            if not ended[-1]["batches"] and not ended[-1]["due"] and not ended[-1]["waiting"]:
                return ended
        raise AssertionError(f"after {MOST_RUNS} runs there is still something to do: {ended[-1]} ({self.words()})")


MakeWorld = Callable[[], FaultWorld]

_CALM: dict[str, tuple[tuple[str, ...], float]] = {}
"""By way, the points of a life of it that nobody killed, and how long it took (s)."""


def calm_points(way: str, make: Callable[[], FaultWorld]) -> None:
    """Find out once which points this way has: by a life that nobody kills, in a world of its own."""
    if way in _CALM:
        return
    world = make()
    began = time.monotonic()
    (ended,) = world.driver.live(world.life(way, told=True))
    assert not ended.failed, ended.failed
    _CALM[way] = ended.points, time.monotonic() - began


def killed(
    world: FaultWorld,
    way: str,
    seed: int,
    between: Callable[[int], None] = lambda _: None,
    rules: Sequence[Callable[[Facts], None]] = ALWAYS,
) -> None:
    """Kill a way a few times as the seed says, and look after each kill at the rules that always hold.

    The first kill falls into a step, by turns as the seeds go, at any point of it. The further ones fall at any point,
    or into some moment, with several files at once. The next life continues the run, or begins another, after
    the first kill by turns, too. between: called with the number of the life that was just killed.
    """
    dice = random.Random(f"{way} {seed}")
    points, calm_s = _CALM[way]
    world.doing = f"way {way}, seed {seed}; again: pytest tests/faults -k {way} --fault-seed {seed}"
    steps = list(dict.fromkeys(step for point in points if (step := point.partition(":")[0])))
    run = 1
    left = len(points)
    for number in range(dice.randint(1, MOST_KILLS)):
        name = f"run {run}"
        if number == 0:
            step = steps[seed % len(steps)]
            inside = [place for place, point in enumerate(points, 1) if point.startswith(f"{step}:")]
            life = world.life(way, name, kill_at=dice.choice(inside))
        elif dice.random() < 0.4:
            life = world.life(way, name, kill_after_s=round(dice.random() * calm_s, 3), one_by_one=False)
        else:
            life = world.life(way, name, kill_at=dice.randint(1, max(20, left)))
        (ended,) = world.driver.live(life)
        assert not ended.failed, f"{ended.failed}\n{world.words()}"
        world.log.append(f"{name} killed {_at(life, ended)}" if ended.killed else f"{name} ended")
        check(world.look(), *rules)
        if ended.killed and life.kill_at:
            left = max(20, left - life.kill_at)
        between(number)
        goes_on = dice.random() < 0.6 if number else seed % 2 == 0
        if not ended.killed or not goes_on:
            run += 1


def _at(life: Life, ended: Ended) -> str:
    return f"at point {life.kill_at} ({ended.killed})" if life.kill_at else ended.killed
