"""`vms copy` over real stores and a real catalogue, as the shell calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256, shake_128
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer import Typer
from typer.testing import CliRunner

import weed
from catalogue_world import NOW, START, a_run, a_site, ask, receipts_for, seen, sensed
from vms.catalogue.connection import Connection, connect
from vms.catalogue.custody import record_receipts
from vms.catalogue.planning import plan_run
from vms.cli import copy
from vms.config import StoreConfig
from vms.errors import CatalogueError, ConfigError, StoreUnreachable
from vms.home import PROJECT_ROOT, Home
from vms.model import Batch
from vms.receipts import Receipt
from vms.stores import open_store

Vms = Callable[..., Result]
SITES = "stores:\n  nas: {{url: 'file://{folder}/nas'}}\n  cloud: {{url: '{cloud}', conn_id: '{conn}'}}\nsites: []\n"
SIZE = 9_000_000 // 30


@pytest.fixture
def vms(catalogue: tuple[Home, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vms:
    """Calls the command in the home whose catalogue this is; a NAS and a second folder called cloud."""
    monkeypatch.setenv("VMS_HOME", str(catalogue[0].root))
    monkeypatch.setenv("VMS_SITES", str(tmp_path / "sites.yaml"))
    sites_yaml(tmp_path)
    app = Typer()
    app.callback()(lambda: None)
    copy.register(app)
    return lambda *arguments: CliRunner().invoke(app, ["copy", *arguments])


def sites_yaml(folder: Path, cloud: str = "", conn_id: str = "") -> None:
    text = SITES.format(folder=folder, cloud=cloud or f"file://{folder}/cloud", conn=conn_id)
    (folder / "sites.yaml").write_text(text.replace(", conn_id: ''", ""))


def archive(conn: Connection, folder: Path, count: int = 5, size: int = SIZE, video: bytes = b"") -> Batch:
    """So many recordings that really lie in the NAS and are archived there: each that video, or bytes of its own."""
    url = f"file://{folder}/nas"
    nas = open_store("nas", url)
    identity = nas.identify(None)
    files = [seen(f"lobby/{number:03}.mp4", start=START + number * timedelta(minutes=5)) for number in range(count)]
    plan = plan_run(conn, a_site(stores=(StoreConfig("nas", url),)), sensed(*files), a_run(), NOW)
    for batch in plan.batches:
        receipts = [stored(nas, receipt, size, video) for receipt in receipts_for(batch)]
        known = [replace(one, store_identities=dict.fromkeys(one.store_identities, identity)) for one in receipts]
        record_receipts(conn, batch, known, a_run(), NOW, None)
    return plan.batches[0]


def stored(nas: Any, receipt: Receipt, size: int, video: bytes = b"") -> Receipt:
    data = video or shake_128(str(receipt.recording_id).encode()).digest(size)
    size = len(data)
    digest = sha256(data).hexdigest()
    assert receipt.rendition is not None
    rendition = replace(receipt.rendition, sha256=digest, size_bytes=size)
    made = replace(receipt.copies[0], sha256=digest, size_bytes=size)
    source = Path(os.environ["VMS_HOME"]) / "one"
    source.write_bytes(data)
    there = nas.put(source, made.key, sha256=digest, size_bytes=size)
    source.unlink()
    return replace(receipt, rendition=rendition, previews=(), copies=(replace(made, checksum=there.checksum),))


def held(folder: Path, store: str) -> dict[str, bytes]:
    root = folder / store
    return {str(one.relative_to(root)): one.read_bytes() for one in root.rglob("*.mp4")}


def test_fills_a_new_store_and_says_so(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    archive(conn, tmp_path)
    looked = vms("--from", "nas", "--to", "cloud", "--dry-run")
    assert looked.exit_code == 0
    assert "5 recordings, 1.5 MB, from nas to cloud, the newest first" in looked.stdout
    assert not (tmp_path / "cloud").exists()
    assert ask(conn, "SELECT name FROM store") == [("nas",)]

    done = vms("--from", "nas", "--to", "cloud")
    assert done.exit_code == 0, done.output
    assert held(tmp_path, "cloud") == held(tmp_path, "nas")
    assert "5 of 5: lobby 2026-01-31 08:00:00 WIB  0.3 MB to cloud in" in done.stdout
    assert ask(conn, "SELECT count(*) FROM copy") == [(10,)]
    assert ask(conn, "SELECT count(*) FROM store WHERE identity IS NULL") == [(0,)]
    lineage = ask(conn, "SELECT task_id, host FROM lineage ORDER BY lineage_id DESC LIMIT 1")
    assert lineage[0][0] == "vms copy"
    assert "@" in lineage[0][1]

    again = vms("--from", "nas", "--to", "cloud")
    assert again.exit_code == 0
    assert "Nothing to copy: cloud lacks nothing" in again.stdout


def test_range_and_limit_choose_and_json_tells(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    archive(conn, tmp_path)
    both = ("--from", "nas", "--to", "cloud", "--json")
    window = ("--from-time", "2026-01-31T08:05", "--to-time", "2026-01-31T08:15", "--camera", "lobby", "--site", "ho")
    told = json.loads(vms(*both, *window, "--dry-run").stdout)
    assert (told["waiting"], told["planned"], "copied" in told) == (2, 2, False)
    told = json.loads(vms(*both, *window, "--limit", "1").stdout)
    assert told == {
        "from": "nas", "to": "cloud", "waiting": 2, "planned": 1, "planned_bytes": SIZE, "copied": 1,
        "bytes_sent": SIZE, "already_there": 0, "failed": 0, "failures": [], "damaged": [], "stopped": False,
    }  # fmt: skip
    assert [key.rpartition("/")[2][:16] for key in held(tmp_path, "cloud")] == ["20260131T011000Z"]
    assert json.loads(vms(*both).stdout)["copied"] == 4


def test_what_lies_there_already_is_proven_and_not_sent(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    archive(conn, tmp_path)
    vms("--from", "nas", "--to", "cloud")
    ask_nothing(conn, "DELETE FROM copy WHERE store_id <> 1")
    told = json.loads(vms("--from", "nas", "--to", "cloud", "--json").stdout)
    assert (told["copied"], told["already_there"], told["bytes_sent"]) == (0, 5, 0)
    assert ask(conn, "SELECT count(*) FROM copy") == [(10,)]


def ask_nothing(conn: Connection, sql: str) -> None:
    with conn.cursor() as cursor:
        cursor.execute(sql)


def test_damaged_copy_is_named_and_the_others_arrive(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    batch = archive(conn, tmp_path)
    bad = tmp_path / "nas" / f"{batch.items[2].key_stem}.mp4"
    bad.write_bytes(bytes(SIZE))
    failed = vms("--from", "nas", "--to", "cloud")
    assert failed.exit_code == 1
    assert f"not copied 1 recording (copy_damaged), id {batch.items[2].recording_id}" in failed.stdout
    assert "Check the disks of nas" in failed.stdout
    assert len(held(tmp_path, "cloud")) == 4
    told = json.loads(vms("--from", "nas", "--to", "cloud", "--json").stdout)
    assert (told["planned"], told["failed"], told["failures"][0]["reason"]) == (1, 1, "copy_damaged")
    assert ask(conn, "SELECT count(*) FROM lineage WHERE event IN ('copy_failed', 'copy_damaged')") == [(2,)]


def test_target_that_goes_away_ends_it_and_it_goes_on_later(
    vms: Vms, conn: Connection, tmp_path: Path, s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(conn, tmp_path, 8)
    monkeypatch.setenv("AIRFLOW_CONN_OFFICE_S3", weed.connection_text(s3_server.endpoint))
    sites_yaml(tmp_path, f"s3://{weed.BUCKET}/{tmp_path.name}", "office_s3")
    assert vms("--from", "nas", "--to", "cloud", "--limit", "3").exit_code == 0
    monkeypatch.setenv("AIRFLOW_CONN_OFFICE_S3", weed.connection_text(s3_server.endpoint, password="hunter2"))
    away = vms("--from", "nas", "--to", "cloud")
    assert away.exit_code == 1
    assert "secret key" in str(away.exception) + away.output
    assert "hunter2" not in str(away.exception) + away.output
    monkeypatch.setenv("AIRFLOW_CONN_OFFICE_S3", weed.connection_text(s3_server.endpoint))
    told = json.loads(vms("--from", "nas", "--to", "cloud", "--json").stdout)
    assert (told["copied"], told["already_there"], told["failed"]) == (5, 0, 0)


def test_target_that_goes_away_in_the_middle_is_not_tried_to_the_end(
    vms: Vms, conn: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(conn, tmp_path, 12)
    record = copy.record_copies

    def unplug(*some: Any) -> None:
        record(*some)
        if (tmp_path / "cloud").exists():
            (tmp_path / "cloud").rename(tmp_path / "unplugged")

    monkeypatch.setattr(copy, "record_copies", unplug)
    failed = vms("--from", "nas", "--to", "cloud")
    assert failed.exit_code == 1
    assert "(store_unreachable)" in failed.stdout
    monkeypatch.setattr(copy, "record_copies", record)
    (tmp_path / "unplugged").rename(tmp_path / "cloud")
    told = json.loads(vms("--from", "nas", "--to", "cloud", "--json").stdout)
    assert told["planned"] >= 4
    assert (told["copied"] + told["already_there"], told["failed"]) == (told["planned"], 0)
    assert held(tmp_path, "cloud") == held(tmp_path, "nas")


def test_killed_in_the_middle_goes_on(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    archive(conn, tmp_path, 6, size=5 << 20)
    program = (
        "import os, signal\nfrom vms.cli import app, copy\n"
        "record, seen = copy.record_copies, []\n"
        "def killing(*some):\n    record(*some)\n    seen.append(1)\n"
        "    if len(seen) == 2:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "copy.record_copies = killing\napp.main(['copy', '--from', 'nas', '--to', 'cloud'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT_ROOT / "include", check=False)
    assert done.returncode == -signal.SIGKILL
    assert ask(conn, "SELECT count(*) FROM copy WHERE store_id <> 1") == [(2,)]
    told = json.loads(vms("--from", "nas", "--to", "cloud", "--json").stdout)
    assert (told["planned"], told["copied"] + told["already_there"], told["failed"]) == (4, 4, 0)
    assert held(tmp_path, "cloud") == held(tmp_path, "nas")
    staging = tmp_path / "home" / "staging" / "ho"
    assert [one.name for one in staging.iterdir()] == []


def test_ctrl_c_says_how_to_go_on(vms: Vms, conn: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(conn, tmp_path, 3)
    record = copy.record_copies

    def interrupted(*some: Any) -> None:
        record(*some)
        raise KeyboardInterrupt

    monkeypatch.setattr(copy, "record_copies", interrupted)
    stopped = vms("--from", "nas", "--to", "cloud")
    assert stopped.exit_code == 130
    assert "The same command goes on from there." in stopped.stdout
    monkeypatch.setattr(copy, "record_copies", record)
    assert vms("--from", "nas", "--to", "cloud").exit_code == 0
    assert held(tmp_path, "cloud") == held(tmp_path, "nas")


def test_catalogue_that_goes_away_in_the_middle_is_named(
    vms: Vms, catalogue: tuple[Home, str], conn: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(conn, tmp_path, 3)
    record = copy.record_copies

    def cut_off(*some: Any) -> None:
        other = connect(catalogue[1])
        ask(other, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'vms' AND"
            " usename = current_user AND pid <> pg_backend_pid()")  # fmt: skip
        other.close()
        record(*some)

    monkeypatch.setattr(copy, "record_copies", cut_off)
    lost = vms("--from", "nas", "--to", "cloud")
    assert isinstance(lost.exception, CatalogueError)
    assert "give the same command again" in str(lost.exception)


def test_refusals_say_what_was_meant(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    archive(conn, tmp_path, 1)
    for arguments, kind, words in (
        (("nas", "clod"), ConfigError, 'Did you mean "cloud"?'),
        (("nass", "cloud"), ConfigError, 'Did you mean "nas"?'),
        (("nas", "nas"), ConfigError, "can't be copied to itself"),
        (("nas", "cloud", "--camera", "loby"), CatalogueError, 'Did you mean "lobby"?'),
    ):
        refused = vms("--from", arguments[0], "--to", *arguments[1:]).exception
        assert isinstance(refused, kind)
        assert words in str(refused)
    assert vms("--from", "nas").exit_code == 2
    assert vms("--from", "nas", "--to", "cloud", "--from-time", "yesterday").exit_code == 2
    assert vms("--from", "nas", "--to", "cloud", "--from-time", "2026-02-02", "--to-time", "2026-02-01").exit_code == 2


def test_store_that_is_away_is_named_before_anything_is_done(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    archive(conn, tmp_path, 1)
    (tmp_path / "nas").rename(tmp_path / "unplugged")
    refused = vms("--from", "nas", "--to", "cloud").exception
    assert isinstance(refused, StoreUnreachable)
    assert "nas" in str(refused)


def test_catalogue_that_is_away_is_named(vms: Vms, catalogue: tuple[Home, str]) -> None:
    (catalogue[0].run / "postgres.json").write_text('{"host": "127.0.0.1", "port": 9}')
    assert isinstance(vms("--from", "nas", "--to", "cloud").exception, CatalogueError)
