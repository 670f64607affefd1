"""Exports that people order: made by the worker, whoever kills it; cancelled, refused, handed out as a ZIP, expired."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import namedtuple
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from export_world import Order, row, unzipped, work_off
from viewer_world import LENGTH_S, START, World, add_user, eventually, owner
from vms import pulse
from vms.catalogue import exports, users
from vms.catalogue.connection import Connection, connect, url
from vms.errors import CatalogueError
from vms.exports import archive, worker
from vms.machine import cores
from vms.stack.services import exports_service
from vms.video.slots import encode_slot


def test_the_worker_shows_that_its_work_goes_on(world: World, conn: Connection, order: Order) -> None:
    def is_well() -> bool:
        return pulse.beats(world.home, pulse.EXPORTS)

    ending = threading.Event()
    waiting = threading.Thread(target=worker.work, args=(world.home, ending))
    assert not is_well()
    waiting.start()
    try:
        eventually(is_well)
    finally:
        ending.set()
        waiting.join()
    (world.home.run / f"{pulse.EXPORTS}.pulse").unlink()
    order()
    assert work_off(world, conn).state == "done"
    assert is_well(), "a long order, too"


def test_two_cameras_are_taken_out_signed_and_whole(
    world: World, conn: Connection, order: Order, tmp_path: Path
) -> None:
    export_id = order(clip=True, burn_in=True, evidence=True)
    done = work_off(world, conn)
    assert (done.state, done.fault, done.tries) == ("done", "", 1)
    assert done.kept_until
    assert timedelta(days=6, hours=23) < done.kept_until - datetime.now(UTC) < timedelta(days=7)
    assert done.size_bytes == archive.length(archive.entries_of(world.home, export_id))
    to = unzipped(world, export_id, tmp_path / "out")
    assert len(list(to.glob("ho/lobby/*/*.mp4"))) == 3
    assert len(list(to.glob("makassar/cashier/*/*.mp4"))) == 1
    assert len(list(to.glob("clips/*.mp4"))) == 4
    said = subprocess.run([sys.executable, "-I", "verify.py"], cwd=to, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    with conn.cursor() as cursor:
        cursor.execute("SELECT who, action, detail->>'export' FROM view_log WHERE action IN ('export', 'evidence')")
        rows = cursor.fetchall()
    assert len(rows) == 5
    assert {one[0] for one in rows} == {"budi"}
    assert {one[2] for one in rows} == {str(export_id)}


def test_killed_again_and_again_it_goes_on_and_comes_to_its_end(
    world: World, conn: Connection, order: Order, tmp_path: Path
) -> None:
    export_id = order(clip=True)
    assert exports.open_counts(conn) == (1, 0)
    command = exports_service(world.home).prepare()

    def started() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command.argv, cwd=command.folder, env=command.environment)

    with ExitStack() as turns:
        # while all turns at encoding are taken no clip is begun, so that it isn't done before it is killed
        for _ in range(cores()):
            turns.enter_context(encode_slot(world.home, 0))
        for tries, wait_s in ((1, 0.0), (2, 0.5)):
            process = started()
            eventually(lambda: row(conn, export_id).tries == tries)  # noqa: B023
            assert exports.open_counts(conn) == (0, 1)
            time.sleep(wait_s)
            process.send_signal(signal.SIGKILL)
            process.wait(30)
    scratch = archive.folder_of(world.home, export_id) / "clips" / ".clip-left"
    scratch.mkdir(parents=True, exist_ok=True)
    process = started()
    eventually(lambda: row(conn, export_id).state == "done")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert not scratch.exists()
    to = unzipped(world, export_id, tmp_path / "out")
    assert len(list(to.rglob("*.mp4"))) == 8
    listed = subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=to, check=False)
    assert listed.returncode == 0


def _waits(*arguments: Any) -> bool:
    """In place of an export that takes long."""
    assert arguments[-1].wait(60)
    return False


def test_cancelled_before_and_while_it_is_made_nothing_stays(
    world: World, conn: Connection, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_id = order()
    user_id = row(conn, export_id).user_id
    assert not exports.ask_cancel(conn, export_id, user_id + 1, everybody=False), "not another's"
    assert exports.ask_cancel(conn, export_id, user_id, everybody=False)
    assert work_off(world, conn).state == "cancelled"

    monkeypatch.setattr(worker, "make", _waits)
    second = order("citra")
    threading.Timer(0.3, lambda: _cancel(world, second)).start()
    assert work_off(world, conn).state == "cancelled"
    assert list(world.home.exports.iterdir()) == []


def _cancel(world: World, export_id: int) -> None:
    with closing(connect(url(world.home, "viewer"))) as conn:
        assert exports.ask_cancel(conn, export_id, 0, everybody=True)


def test_a_worker_that_is_told_to_end_leaves_the_order_for_the_next(
    world: World, conn: Connection, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    order()
    ending = threading.Event()
    with monkeypatch.context() as slow:
        slow.setattr(worker, "make", _waits)
        threading.Timer(0.3, ending.set).start()
        taken = exports.next_export(conn)
        assert taken
        worker.take(world.home, conn, taken, ending)
    assert row(conn, taken.export_id).state == "running"
    assert work_off(world, conn).state == "done"


def test_who_lost_the_right_gets_nothing(
    world: World, conn: Connection, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    order(sees=[("ho", ""), ("makassar", "cashier")])
    with conn.cursor() as cursor:
        cursor.execute("DELETE FROM viewer_grant WHERE camera_id IS NOT NULL")
    refused = work_off(world, conn)
    assert (refused.state, refused.fault) == ("failed", "not_granted")
    add_user(world.home, "sari")
    order("citra")
    users.set_role(conn, "citra", "viewer", "test", everywhere=True)
    assert work_off(world, conn).fault == "not_granted"

    monkeypatch.setattr(worker, "make", _waits)
    order("dewi", role="administrator")

    def disable() -> None:
        with closing(owner(world.home)) as other:
            users.set_disabled(other, "dewi", datetime.now(UTC), "test")

    threading.Timer(0.3, disable).start()
    assert work_off(world, conn).fault == "not_granted", "also while it is being made"
    assert list(world.home.exports.iterdir()) == []


def test_only_what_is_granted_can_be_ordered(order: Order) -> None:
    with pytest.raises(CatalogueError):
        order(sees=[("ho", "lobby")])


def test_no_room_too_much_and_nothing_there_are_told(
    world: World, conn: Connection, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    order()
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _path: usage(10**9, 10**9, 1000))
        told = work_off(world, conn)
    assert (told.state, told.fault) == ("failed", "disk_full")
    assert "free" in told.message
    assert told.remedy

    order("citra", to_utc=START - timedelta(days=2), from_utc=START - timedelta(days=3))
    assert work_off(world, conn).fault == "nothing_there"

    world.home.sites_file.write_text(world.home.sites_file.read_text() + "\nexports: {largest: 0.001MB}\n")
    order("dewi")
    assert work_off(world, conn).fault == "too_large"
    assert list(world.home.exports.iterdir()) == []


def test_footage_that_can_not_be_read_is_told_and_the_rest_is_handed_out(
    world: World, conn: Connection, order: Order
) -> None:
    damaged = next(one for one in world.rows() if one.camera == "lobby")
    (world.nas / damaged.copies[0].key).write_bytes(b"damaged")
    order()
    done = work_off(world, conn)
    assert (done.state, done.fault) == ("done", "incomplete")
    assert done.message
    order("citra", cameras=(("ho", "lobby"),), to_utc=START + timedelta(seconds=LENGTH_S))
    failed = work_off(world, conn)
    assert (failed.state, failed.fault) == ("failed", "unreadable")


def test_an_order_that_never_ends_gives_way(world: World, conn: Connection, order: Order) -> None:
    export_id = order()
    with conn.cursor() as cursor:
        cursor.execute("UPDATE export_order SET state = 'running', tries = 10 WHERE export_id = %s", (export_id,))
    assert work_off(world, conn).fault == "too_many_tries"


def test_what_has_expired_or_is_unknown_goes(world: World, conn: Connection, order: Order) -> None:
    export_id = order()
    done = work_off(world, conn)
    worker.clear(world.home, conn)
    assert row(conn, export_id).state == "done", "not before its time"
    assert exports.ask_delete(conn, export_id, done.user_id, everybody=False)
    worker.clear(world.home, conn)
    assert row(conn, export_id).state == "expired"
    (world.home.exports / "999").mkdir()
    (world.home.exports / "999" / "left.mp4").write_bytes(b"left")
    worker._sweep(world.home, conn)
    assert list(world.home.exports.iterdir()) == []


def test_archives_beyond_the_small_numbers_of_zip(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = archive.folder_of(world.home, 7)
    (folder / "ho").mkdir(parents=True)
    (folder / "ho" / "gérbang.mp4").write_bytes(os.urandom(300_000))
    (folder / "manifest.json").write_text("{}")
    (folder / ".part").write_text("not this")
    with monkeypatch.context() as small:
        small.setattr(archive, "_LIMIT", 1000)
        real = archive.struct.pack

        def packed(form: str, *values: int) -> bytes:
            """Where the limit stands for what does not fit, the true mark stands."""
            marked = [0xFFFFFFFF if one == 1000 and "I" in form else one for one in values]
            return real(form, *marked)

        small.setattr(archive.struct, "pack", packed)
        size = archive.pack(world.home, 7, lambda *_: None, lambda *_: None, threading.Event())
        entries = archive.entries_of(world.home, 7)
        data = b"".join(archive.stream(folder, entries))
    assert len(data) == size
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        assert made.testzip() is None
        assert made.namelist() == ["ho/gérbang.mp4", "manifest.json"]
        assert made.read("ho/gérbang.mp4") == (folder / "ho" / "gérbang.mp4").read_bytes()
    (tmp_path / "secret").write_text("secret")
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="manifest"):
        b"".join(archive.stream(folder, entries))
