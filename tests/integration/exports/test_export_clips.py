"""What the worker cuts: how large clips become, what they are cut from, and that none is made twice."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from export_world import Order, row, unzipped, work_off
from viewer_world import World
from vms.catalogue import exports
from vms.catalogue.connection import Connection
from vms.errors import VmsError
from vms.exports import archive, clips, worker
from vms.exports.making import CLIP_BYTES_PER_S, clips_bytes
from vms.home import Home
from vms.steps.staged import sha256_of
from vms.video.ffmpeg import Stopped
from vms.video.probe import probe


def test_clips_are_reckoned_by_what_is_cut_not_by_the_files_that_it_is_cut_from() -> None:
    four_hours = 4 * 3600
    assert clips_bytes(2 * four_hours, 2, timedelta(minutes=10)) == 2 * 600 * CLIP_BYTES_PER_S
    assert clips_bytes(30, 2, timedelta(minutes=10)) == 30 * CLIP_BYTES_PER_S, "there is no more than that"


def test_clips_that_lie_there_whole_are_not_made_again(
    world: World, conn: Connection, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is ended in its second clip; one clip is damaged meanwhile; the next worker makes the rest."""
    export_id = order(cameras=(("ho", "lobby"),), clip=True, burn_in=True)
    made: list[str] = []
    ending = threading.Event()
    real = clips.make_clip

    def stopped_in_the_third(home: Home, clip: Any, target: Path, **more: Any) -> None:
        if len(made) == 2:
            ending.set()
            more["stop"].wait()
            raise Stopped
        real(home, clip, target, **more)
        made.append(target.name)

    monkeypatch.setattr(clips, "make_clip", stopped_in_the_third)
    taken = exports.next_export(conn)
    assert taken
    worker.take(world.home, conn, taken, ending)
    assert row(conn, export_id).state == "running"
    folder = archive.folder_of(world.home, export_id) / "clips"
    first, second = (folder / name for name in made)
    first.write_bytes(b"damaged")
    before = second.stat().st_ino
    made.clear()

    def counted(home: Home, clip: Any, target: Path, **more: Any) -> None:
        real(home, clip, target, **more)
        made.append(target.name)

    monkeypatch.setattr(clips, "make_clip", counted)
    done = work_off(world, conn)
    assert (done.state, done.fault) == ("done", "")
    assert second.name not in made
    assert (len(made), first.name in made) == (2, True)
    assert second.stat().st_ino == before
    assert not [one.name for one in folder.iterdir() if one.name.startswith(".")]
    names = {one.name for one in archive.entries_of(world.home, export_id)}
    assert {f"clips/{one.name}" for one in folder.iterdir()} <= names


def test_clips_as_they_are_stored(world: World, conn: Connection, order: Order, tmp_path: Path) -> None:
    export_id = order(clip=True, cut="fast", gaps="short", evidence=True)
    assert (row(conn, export_id).cut, row(conn, export_id).gaps) == ("fast", "short")
    done = work_off(world, conn)
    assert (done.state, done.fault) == ("done", "")
    to = unzipped(world, export_id, tmp_path / "out")
    told = json.loads((to / "manifest.json").read_text())
    assert {one["cut"] for one in told["clips"]} == {"fast"}
    for one in told["clips"]:
        assert probe(to / one["file"]).video.codec == "av1", "as the stored recordings are"
        assert one["made_of"]
    assert subprocess.run([sys.executable, "-I", "verify.py"], cwd=to, check=False).returncode == 0


def test_clips_alone_name_the_recordings_that_they_were_cut_from(
    world: World, conn: Connection, order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = clips.make_clip

    def not_of_the_cashier(home: Home, clip: Any, target: Path, **more: Any) -> None:
        if "cashier" in target.name:
            raise VmsError("It can't be made.", "Look at it.")
        real(home, clip, target, **more)

    export_id = order(clip=True, evidence=True, only_clips=True)
    assert (work_off(world, conn).fault, row(conn, export_id).only_clips) == ("", True)
    to = unzipped(world, export_id, tmp_path / "alone")
    assert {one.name for one in to.iterdir()} == {"clips", "manifest.json", "report.html", "verify.py"} | {
        "SHA256SUMS", "SIGNATURE.json",
    }  # fmt: skip
    assert len(list(to.glob("clips/*.mp4"))) == 4
    told = json.loads((to / "manifest.json").read_text())
    assert [one["left_out"] for one in told["recordings"]] == [True] * 4
    assert {one["sha256"] for one in told["recordings"]} == {sha256_of(world.clip.video)}
    assert "tetap di arsip" in (to / "report.html").read_text()
    assert subprocess.run([sys.executable, "-I", "verify.py"], cwd=to, check=False).returncode == 0

    monkeypatch.setattr(clips, "make_clip", not_of_the_cashier)
    export_id = order("citra", clip=True, only_clips=True)
    assert work_off(world, conn).fault == "incomplete"
    to = unzipped(world, export_id, tmp_path / "one-failed")
    assert len(list(to.glob("clips/*.mp4"))) == 3
    assert [one.parent.parent.name for one in to.glob("*/*/*/*.mp4")] == ["cashier"], "there it is all there is"
