"""Stand-ins: footage as H.264 made when a browser asks for it, bounded, kept, given up, and for one session only."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import video_clips
from media_world import gated
from viewer.watch import routes, spans
from viewer.watch.heads import Heads
from viewer.watch.stand_ins import StandIns
from viewer_world import START, SignedIn, World, eventually, owner, sign_in
from vms.catalogue import playables
from vms.catalogue.playables import Playable
from vms.video import ffmpeg
from vms.video.binaries import binaries

BEGIN = spans.milliseconds(START)
WINDOW = {"camera": "ho/lobby", "from": BEGIN - 1000, "to": BEGIN + 60_000, "lang": "en"}


@pytest.fixture
def client(world: World, person: SignedIn) -> Iterator[TestClient]:
    with gated(world, person, routes.routes) as made:
        yield made


@pytest.fixture
def lobby(world: World) -> Playable:
    with closing(owner(world.home)) as conn:
        return playables.playable(conn, ("ho", "lobby"), START, START.replace(hour=2), 9)[0]


def _links(client: TestClient, **more: Any) -> list[str]:
    made = client.get("/api/watch/playlist", params={**WINDOW, **more}).json()
    assert made["as_stored"] is False
    assert [one["from"] for one in made["pieces"]] == [BEGIN]
    return re.findall(r"^/api/watch/piece/\S+$", made["playlist"], re.MULTILINE)


def _looked_at(data: bytes, path: Path) -> dict[str, Any]:
    path.write_bytes(data)
    asked = ["-v", "error", "-count_frames", "-select_streams", "v", "-show_entries"]
    shown = "stream=codec_name,width,height,nb_read_frames:format=start_time"
    done = subprocess.run([binaries().ffprobe, *asked, shown, "-of", "json", path], capture_output=True, check=True)
    found = json.loads(done.stdout)
    return {**found["streams"][0], "start": float(found["format"]["start_time"])}


def test_a_browser_without_av1_gets_h264_and_a_thin_line_smaller_pictures(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("viewer.watch.playlist.SEGMENT_S", 2.0)
    good = _links(client, can="h264")
    assert [one.rpartition("/")[2] for one in good] == ["0.ts", "1.ts"]
    found = [_looked_at(client.get(one).content, tmp_path / "piece.ts") for one in good]
    assert [(one["codec_name"], one["height"], one["nb_read_frames"]) for one in found] == [("h264", 180, "20")] * 2
    assert [one["start"] for one in found] == pytest.approx([0.0, 2.0], abs=0.15), "times go on from piece to piece"
    low = _links(client, can="av1,h264", low="1")
    answer = client.get(low[0])
    assert answer.headers["content-type"] == "video/mp2t"
    assert len(answer.content) < len(client.get(good[0]).content)
    assert client.get("/api/watch/playlist", params={**WINDOW, "can": "av1"}).json()["as_stored"] is True


def test_a_piece_is_for_one_session_and_not_for_long(
    client: TestClient, world: World, person: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = _links(client, can="h264")[0]
    assert client.get(link).status_code == 200
    assert client.get(link.replace("0.ts", "99.ts")).status_code == 404
    for bad in ("0.mp4", "-1.ts", "..%2f..%2fetc%2fpasswd", "99999999999999999999.ts"):
        assert client.get(link.replace("0.ts", bad)).status_code == 404, bad
    assert client.get(link[:40] + "X" + link[41:]).status_code == 403
    client.cookies.set("vms_5000", sign_in(world.home, "budi").token)
    assert client.get(link).status_code == 403
    client.cookies.set("vms_5000", person.token)
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute("UPDATE recording SET custody = 3 WHERE start_at = %s", (START,))
    assert client.get(link).status_code == 404, "a purged recording is gone, also what was made of it"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1800)
    assert client.get(link).status_code == 410


def test_two_that_want_the_same_piece_wait_for_one_and_then_it_is_kept(
    world: World, lobby: Playable, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    real = ffmpeg.run
    monkeypatch.setattr(ffmpeg, "run", lambda *args, **more: (runs.append(1), real(*args, **more))[1])
    stand_ins = StandIns(world.home, Heads(), workers=1)
    with stand_ins.wanted(lobby, 0, "low", "a") as first, stand_ins.wanted(lobby, 0, "low", "b") as second:
        assert first.result(60) == second.result(60)
    with stand_ins.wanted(lobby, 0, "low", "a") as again:
        assert again.result(60).stat().st_size > 1000
    assert len(runs) == 1


def test_who_goes_away_leaves_no_work_behind(
    world: World, lobby: Playable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An FFmpeg that never ends by itself stands for a long piece; the next one in the row is never begun."""
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\necho $$ >> $0.pids\nwhile :; do echo progress=continue; sleep 0.1; done\n")
    slow.chmod(0o755)
    monkeypatch.setattr("vms.video.commands._placed", lambda *_: [str(slow)])
    stand_ins = StandIns(world.home, Heads(), workers=1)
    pids = slow.with_name("slow.pids")
    with stand_ins.wanted(lobby, 0, "good", "a") as one, stand_ins.wanted(lobby, 0, "low", "a") as other:
        eventually(pids.exists)
        assert stand_ins.progress("a") == 0.0
        assert stand_ins.progress("b") is None
    assert other.cancelled()
    with pytest.raises(ffmpeg.Stopped):
        one.result(30)
    assert stand_ins.progress("a") is None
    assert len(pids.read_text().split()) == 1
    assert list((world.home.run / "stand-ins").iterdir()) == []


def test_what_is_kept_stays_below_its_limit(world: World, lobby: Playable) -> None:
    stand_ins = StandIns(world.home, Heads(), most_bytes=1)
    for quality in ("good", "low"):
        with stand_ins.wanted(lobby, 0, quality, "a") as made:  # type: ignore[arg-type]
            kept = made.result(60)
    assert list((world.home.run / "stand-ins").iterdir()) == [kept]


def test_a_damaged_file_of_the_recorder_plays_what_it_has_and_says_what_is_missing(
    client: TestClient, world: World, tmp_path: Path
) -> None:
    """12 seconds by its index, cut off in the middle: as a recorder leaves it that lost its disk."""
    whole = tmp_path / "whole.mp4"
    video_clips.ffmpeg(*video_clips.picture(30), *video_clips.H264, "-movflags", "+faststart", whole)
    cut = whole.read_bytes()[: whole.stat().st_size * 6 // 10]
    row = next(one for one in world.rows() if one.kind == "original")
    place = world.nas / row.copies[0].key
    place.unlink()
    place.write_bytes(cut)
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE recording SET duration_s = 30, end_at = start_at + interval '30 s', rendition_bytes = %s,"
            " damaged = '18 of 30 s could be decoded.' WHERE recording_id = %s",
            (len(cut), row.id),
        )
    made = client.get("/api/watch/playlist", params={**WINDOW, "camera": "ho/gate", "can": "av1,h264"}).json()
    assert made["pieces"][0]["damaged"] == "18 of 30 s could be decoded."
    links = re.findall(r"^/api/watch/piece/\S+$", made["playlist"], re.MULTILINE)
    assert len(links) == 3
    answers = [client.get(one) for one in links]
    assert ["X-Vms-Missing" in one.headers for one in answers] == [False, False, True]
    found = [_looked_at(one.content, tmp_path / "piece.ts") for one in answers]
    assert found[0]["nb_read_frames"] == "100"
    assert 50 < int(found[1]["nb_read_frames"]) < 100
    assert [one["start"] for one in found] == pytest.approx([0, 10, 20], abs=0.2)


def test_a_bare_stream_is_read_by_its_frame_rate(client: TestClient, world: World, tmp_path: Path) -> None:
    bare = video_clips.bare(tmp_path / "bare.dav", seconds=12, fps=25)
    row = next(one for one in world.rows() if one.kind == "original")
    place = world.nas / row.copies[0].key
    place.unlink()
    place.write_bytes(bare.read_bytes())
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE recording SET duration_s = 12, end_at = start_at + interval '12 s', fps = 25, rendition_bytes = %s"
            " WHERE recording_id = %s",
            (bare.stat().st_size, row.id),
        )
    made = client.get("/api/watch/playlist", params={**WINDOW, "camera": "ho/gate", "can": "av1"}).json()
    links = re.findall(r"^/api/watch/piece/\S+$", made["playlist"], re.MULTILINE)
    found = [_looked_at(client.get(one).content, tmp_path / "piece.ts") for one in links]
    assert [one["nb_read_frames"] for one in found] == ["250", "50"]
