"""Looking again at what was seen before: what the ledger remembers, what changes it, and what it may lose."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import vms.examine
import vms.steps.sense
from sense_world import LONG_AGO, ledger, look, names, reasons
from sense_world import clip as clip  # fixtures
from sense_world import home as home
from sense_world import put as put
from vms import footage
from vms.errors import ConfigError
from vms.ledger import FILE
from vms.sightings import SourceSeen


def test_a_file_is_opened_once_and_reported_until_it_is_settled(home, put, clip, monkeypatch):
    put("lobby/20260131_080000.mp4", clip)
    put("lobby/20260131_081000.mp4", b"no video at all")
    first = look(home)
    monkeypatch.setattr(vms.examine, "probe", lambda path: pytest.fail(f"{path} was opened again"))
    again = look(home)
    assert (again.sightings, again.rejections) == (first.sightings, first.rejections)
    ledger(home).settle([one.source for one in (*again.sightings, *again.rejections)], "known")
    quiet = look(home)
    assert (quiet.sightings, quiet.rejections, quiet.settled) == ((), (), 2)


def test_a_changed_file_and_a_forgotten_one_are_looked_at_again(home, put, clip):
    put("lobby/20260131_080000.mp4", clip)
    path = put("lobby/20260131_081000.mp4", clip)
    settled = [one.source for one in look(home).sightings]
    ledger(home).settle(settled, "archived")
    path.write_bytes(clip.read_bytes() + b"\0" * 10)
    os.utime(path, (time.time() - LONG_AGO,) * 2)
    assert names(look(home)) == {"lobby/20260131_081000.mp4"}
    ledger(home).forget(["lobby/20260131_080000.mp4"])
    assert names(look(home)) == {"lobby/20260131_080000.mp4", "lobby/20260131_081000.mp4"}


def test_a_refused_file_is_examined_again_within_the_hour_and_told_if_that_helps(home, put, clip, monkeypatch):
    put("lobby/20260131_080000.mp4", clip)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(footage, "fingerprint", refuse)
        first = look(home)
    assert list(reasons(first).values()) == ["unreadable"]
    ledger(home).settle([first.rejections[0].source], "known")
    hour = timedelta(seconds=vms.steps.sense.EXAMINE_AGAIN_S)
    assert look(home).sightings == ()
    with monkeypatch.context() as patched:
        patched.setattr(footage, "fingerprint", refuse)
        assert look(home, now=datetime.now(UTC) + hour).rejections == ()
    assert names(look(home, now=datetime.now(UTC) + 2 * hour)) == {"lobby/20260131_080000.mp4"}


@pytest.mark.parametrize("damage", [b"this is no database" * 500, b""])
def test_the_ledger_is_safe_to_lose(home, put, clip, damage):
    put("lobby/20260131_080000.mp4", clip)
    before = look(home)
    file = home.site_staging("ho") / FILE
    for one in file.parent.glob(FILE + "*"):
        one.unlink()
    file.write_bytes(damage)
    assert look(home).sightings == before.sightings


def test_two_runs_may_use_the_ledger_at_once(home):
    sources = [SourceSeen(f"lobby/{number}.mp4", number, number) for number in range(200)]
    faults: list[sqlite3.Error] = []

    def work(part: list[SourceSeen]) -> None:
        try:
            for one in part:
                ledger(home).settle([one], "known")
        except sqlite3.Error as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(sources[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [footage.Found(one.path, one.size_bytes, one.mtime_ns, "file", likely=True) for one in sources]
    assert faults == []
    assert all(one.settled for one in ledger(home).look(found, 1.0).values())


def test_refused_files_that_are_examined_again_keep_no_place_from_what_is_new(home, put, clip):
    for number in range(3):
        put(f"lobby/2038010{number + 1}_080000.mp4", b"no video at all")
    ledger(home).settle([one.source for one in look(home).rejections], "known")
    put("lobby/20260131_080000.mp4", clip)
    assert names(look(home, datetime.now(UTC) + timedelta(hours=2), limit=2)) == {"lobby/20260131_080000.mp4"}


def test_what_is_reported_again_and_again_keeps_no_place_from_what_is_older(home, put, clip):
    for minute in range(6):
        put(f"lobby/20260131_08{minute}000.mp4", clip)
    told = [names(look(home, limit=2)) for _ in range(8)]
    assert told[0] == {"lobby/20260131_085000.mp4", "lobby/20260131_084000.mp4"}
    assert len(set.union(*told)) == 6, "none was settled, and all had their turn"
    assert len(set.union(*told[-4:])) > 2, "what was reported is reported again in turn, not only the newest of it"


def test_a_corrected_time_zone_counts_for_what_was_seen_before_it(home, put, clip):
    put("lobby/20260131_080000.mp4", clip)
    assert look(home).sightings[0].start_utc == datetime(2026, 1, 31, 1, tzinfo=UTC)
    home.sites_file.write_text(home.sites_file.read_text().replace("WIB", "WIT"))
    assert look(home).sightings[0].start_utc == datetime(2026, 1, 30, 23, tzinfo=UTC)


def test_a_camera_listed_later_counts_for_what_was_seen_before_it(home, put, clip):
    put("ch1/20260131_080000.mp4", clip)
    assert look(home).sightings[0].camera == "ch1"
    text = home.sites_file.read_text().replace("WIB}", "WIB, cameras: [{id: gate, name: Gate, match: ch1}]}")
    home.sites_file.write_text(text)
    assert look(home).sightings[0].camera == "gate"


def test_a_catalogue_older_than_the_ledger_learns_again_what_lies_there(home, put, clip):
    put("lobby/20260131_080000.mp4", clip)
    path = put("lobby/20260131_081000.mp4", clip)
    ledger(home).settle([one.source for one in look(home).sightings], "known")
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-9] + bytes(9))
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    later = datetime.now(UTC) + timedelta(days=8)
    put("lobby/20260131_082000.mp4", clip)
    assert names(look(home, later - timedelta(days=2), limit=2)) == {"lobby/20260131_082000.mp4"}
    again = {one.source.path: one.fingerprint for one in look(home, later).sightings}
    assert set(again) == {f"lobby/20260131_08{minute}000.mp4" for minute in range(3)}
    assert again["lobby/20260131_081000.mp4"] == footage.fingerprint(path), "also what was replaced unseen"


def test_a_look_that_takes_long_keeps_what_it_has_and_leaves_the_rest(home, put, clip, monkeypatch):
    for minute in range(6):
        put(f"lobby/20260131_08{minute}000.mp4", clip)
    monkeypatch.setattr(vms.steps.sense, "LOOK_S", 0.0)
    monkeypatch.setattr(vms.steps.sense, "FILES_AT_ONCE", 2)
    first = look(home)
    assert (len(first.sightings), first.more) == (2, 4)
    for _ in range(4):
        found = names(look(home))
    assert len(found) >= 2
    monkeypatch.setattr(vms.examine, "probe", lambda path: pytest.fail(f"{path} was opened again"))
    monkeypatch.setattr(vms.steps.sense, "LOOK_S", 60.0)
    assert len(look(home).sightings) == 6


def test_what_was_found_before_a_share_hangs_is_not_found_again(home, put, clip, monkeypatch):
    for minute in range(4):
        put(f"lobby/20260131_08{minute}000.mp4", clip)
    real, opened = vms.examine.probe, []

    def probe(path):
        opened.append(path.name)
        if path.name == "20260131_080000.mp4":
            raise ConfigError("FFmpeg went away.", "Install it again.")
        return real(path)

    monkeypatch.setattr(vms.examine, "probe", probe)
    monkeypatch.setattr(vms.steps.sense, "FILES_AT_ONCE", 1)
    with pytest.raises(ConfigError):
        look(home)
    monkeypatch.setattr(vms.examine, "probe", real)
    look(home)
    assert len(opened) == 4
