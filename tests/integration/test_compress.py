"""The compress step: what lies in staging afterwards, and what a person is told."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

import video_clips as clips
from catalogue_world import a_site
from vms.config import Profile, Site
from vms.errors import ConfigError, StagingFull
from vms.footage import Found, fingerprint
from vms.home import Home, from_environment
from vms.ledger import Ledger
from vms.machine import cores
from vms.model import Batch, BatchItem, load
from vms.paths import to_text
from vms.receipts import Receipt
from vms.sightings import SourceSeen
from vms.steps import compress, space
from vms.steps.compress import compress_batch, compress_item
from vms.video import rendition
from vms.video.slots import encode_slot

START = datetime(2026, 1, 31, 1, 0, tzinfo=UTC)


@dataclass
class World:
    """A site with its footage folder, and what was reported."""

    home: Home
    site: Site
    said: list[str]

    @property
    def staging(self) -> Path:
        return self.home.site_staging("ho")

    def item(self, path: Path, number: int = 1) -> BatchItem:
        seen = self.seen(path)
        start = START + timedelta(hours=number)
        return BatchItem(number, "ho", "lobby", start, fingerprint(path), 5.0, "name", (seen,))

    def seen(self, path: Path) -> SourceSeen:
        status = path.stat()
        return SourceSeen(to_text(path.relative_to(self.site.footage)), status.st_size, status.st_mtime_ns)

    def compress(self, *items: BatchItem) -> tuple[Receipt, ...]:
        batch = Batch(1, "ho", "lobby", "lobby", (), items)
        return compress_batch(batch, self.site, self.home, report=self.said.append)


@pytest.fixture
def world(tmp_path: Path) -> World:
    home = from_environment({"VMS_HOME": str(tmp_path / "home")})
    home.prepare()
    footage = tmp_path / "footage"
    footage.mkdir()
    site = a_site(
        footage=footage,
        cameras=(),
        stores=(),
        profile=Profile("av1", "av1", "9", 36, 10.0, "yuv420p"),
        keep_source=None,
    )
    return World(home, site, [])


def unfinished(world: World) -> list[str]:
    return [path.name for path in world.staging.iterdir() if path.name.startswith(".") or ".new" in path.name]


def test_a_batch_with_good_and_bad_files(world: World) -> None:
    footage = world.site.footage
    good = clips.camera(footage / "good.mkv", 5, "pcm_alaw")
    cut = clips.cut_off(footage / "cut.mp4")
    text = footage / "text.mp4"
    text.write_text("no video\n")
    odd = footage / os.fsdecode(b"caf\xe9.mp4")
    clips.camera(footage / "odd.mp4", 2).rename(odd)
    sources = [good, cut, text, odd]
    receipts = world.compress(*(world.item(path, number) for number, path in enumerate(sources, 1)))
    assert [receipt.recording_id for receipt in receipts] == [1, 2, 3, 4]
    assert [receipt.fault and receipt.fault.reason for receipt in receipts] == [None, None, "not_video", None]
    assert receipts[2].fault is not None
    assert receipts[2].fault.permanent
    kinds = [receipt.rendition.kind for receipt in receipts if receipt.rendition]
    assert kinds == ["encoded", "original", "encoded"]
    for source, receipt in zip(sources, receipts, strict=True):
        assert receipt.source == world.seen(source)
        if receipt.rendition is None:
            continue
        assert receipt.source_sha256 == sha256(source.read_bytes()).hexdigest()
        staged = world.staging / receipt.rendition.file
        assert sha256(staged.read_bytes()).hexdigest() == receipt.rendition.sha256
        assert staged.stat().st_size == receipt.rendition.size_bytes <= source.stat().st_size
        assert [preview.kind for preview in receipt.previews] == ["poster", "sprite"]
        sidecar = staged.with_name(staged.name.split(".")[0] + ".receipt.json")
        assert load(Receipt, json.loads(sidecar.read_text())) == receipt
    cut_receipt = receipts[1]
    assert cut_receipt.rendition is not None
    assert (world.staging / cut_receipt.rendition.file).read_bytes() == cut.read_bytes()
    assert "of 8.0 s decode" in cut_receipt.rendition.damaged
    assert unfinished(world) == []
    assert any("1 of 4: lobby 2026-01-31 09:00:00 WIB" in line and "real time" in line for line in world.said)


def test_sprite_is_laid_out_as_the_receipt_says(world: World) -> None:
    (receipt,) = world.compress(world.item(clips.camera(world.site.footage / "a.mp4", 12)))
    sprite = receipt.previews[1]
    assert (sprite.tile_width, sprite.tile_height, sprite.columns, sprite.tiles) == (160, 120, 10, 12)
    assert sprite.interval_s == 1.0


def test_a_rerun_makes_nothing_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    item = world.item(clips.camera(world.site.footage / "a.mp4"))
    first = world.compress(item)
    before = {path.name: path.stat().st_mtime_ns for path in world.staging.iterdir()}

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("it was made again")

    monkeypatch.setattr(compress, "make", fail)
    assert world.compress(item) == first
    assert {path.name: path.stat().st_mtime_ns for path in world.staging.iterdir()} == before
    (world.site.footage / "a.mp4").unlink()  # the recorder made room: what was made of it still counts
    assert world.compress(item) == first


@pytest.mark.parametrize("harm", ["shorten", "flip", "receipt", "preview"])
def test_what_is_staged_and_wrong_is_made_again(world: World, harm: str) -> None:
    item = world.item(clips.camera(world.site.footage / "a.mp4", 2))
    (first,) = world.compress(item)
    assert first.rendition is not None
    staged = world.staging / first.rendition.file
    if harm == "shorten":
        staged.write_bytes(staged.read_bytes()[:-100])
    elif harm == "flip":
        data = bytearray(staged.read_bytes())
        data[-50] ^= 1
        staged.write_bytes(data)
    elif harm == "receipt":
        (world.staging / f"{item.staging_stem}.receipt.json").write_text("{")
    else:
        (world.staging / first.previews[1].file).unlink()
    (second,) = world.compress(item)
    assert second.rendition is not None
    assert second.rendition.sha256 == first.rendition.sha256
    assert sha256(staged.read_bytes()).hexdigest() == first.rendition.sha256
    assert (world.staging / first.previews[1].file).exists()


def test_any_of_the_names_of_a_recording_will_do(world: World) -> None:
    path = clips.camera(world.site.footage / "b.mp4", 2)
    item = world.item(path)
    gone = SourceSeen("a.mp4", item.sources[0].size_bytes, 1)
    (receipt,) = world.compress(replace(item, sources=(gone, *item.sources)))
    assert receipt.fault is None
    assert receipt.source == item.sources[0]


def test_gone_changed_and_growing_sources(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips.camera(world.site.footage / "a.mp4", 2)
    item = world.item(path)
    content = path.read_bytes()
    path.unlink()
    assert _fault_of(world, item) == ("source_gone", True)
    path.write_bytes(content + b"more")
    assert _fault_of(world, item) == ("source_changed", False)
    path.write_bytes(content)
    make = rendition.make

    def make_while_it_grows(*words: object, **named: object) -> object:
        made = make(*words, **named)  # type: ignore[arg-type]
        with path.open("ab") as file:
            file.write(b"late")
        return made

    monkeypatch.setattr(compress, "make", make_while_it_grows)
    assert _fault_of(world, item) == ("source_changed", False)
    assert list(world.staging.iterdir()) == []


def test_content_that_changed_behind_its_size_and_time_is_examined_again(world: World) -> None:
    path = clips.camera(world.site.footage / "a.mp4", 1)
    item = world.item(path)
    (seen,) = item.sources
    found = [Found(seen.path, seen.size_bytes, seen.mtime_ns, "file", likely=True)]
    book = Ledger(world.staging)
    book.look(found, 1.0)
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(seen.mtime_ns, seen.mtime_ns))
    assert _fault_of(world, item) == ("source_changed", False)
    assert book.look(found, 9.0)[seen.path].first_look == 9.0, "what sense knew of the old content is forgotten"


def test_an_unmounted_folder_is_no_reason_to_give_a_file_up(world: World) -> None:
    item = world.item(clips.camera(world.site.footage / "a.mp4", 1))
    world.site.footage.rename(world.site.footage.with_name("away"))
    assert _fault_of(world, item) == ("footage_unreachable", False)


@pytest.mark.parametrize("name", ["../outside.mp4", "link.mp4", "sub/../../outside.mp4"])
def test_nothing_outside_the_footage_folder_is_read(world: World, name: str) -> None:
    outside = clips.camera(world.site.footage.parent / "outside.mp4", 1)
    (world.site.footage / "link.mp4").symlink_to(outside)
    (world.site.footage / "sub").mkdir()
    seen = SourceSeen(name, outside.stat().st_size, outside.stat().st_mtime_ns)
    item = BatchItem(1, "ho", "lobby", START, fingerprint(outside), 1.0, "name", (seen,))
    assert _fault_of(world, item) == ("outside_footage", True)


def test_a_pipe_is_not_waited_for(world: World) -> None:
    os.mkfifo(world.site.footage / "pipe.mp4")
    item = BatchItem(1, "ho", "lobby", START, "0" * 32, 1.0, "name", (SourceSeen("pipe.mp4", 0, 0),))
    assert _fault_of(world, item) == ("source_changed", False)


def _fault_of(world: World, item: BatchItem) -> tuple[str, bool]:
    (receipt,) = world.compress(item)
    assert receipt.fault is not None
    assert receipt.fault.message
    assert receipt.rendition is None
    return receipt.fault.reason, receipt.fault.permanent


def test_waiting_for_space_is_seen_and_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "floor_bytes", lambda _: 1 << 60)
    state = world.home.run / "waiting-ho-space.json"
    seen: list[dict[str, object]] = []

    def report(line: str) -> None:
        world.said.append(line)
        threading.Timer(0.1, lambda: seen.append(json.loads(state.read_text()))).start()
        threading.Timer(0.6, lambda: monkeypatch.setattr(space, "floor_bytes", lambda _: 0)).start()

    with pytest.raises(StagingFull, match="needed") as caught:
        space.wait_for_space(world.home.staging, 1, world.site, world.home, report, patience_s=0.5)
    assert caught.value.remedy
    assert seen[0]["site"] == "ho"
    assert "waiting for space" in world.said[0]
    assert not state.exists()


def test_full_staging_is_a_fault_that_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    item = world.item(clips.camera(world.site.footage / "a.mp4", 1))

    def full(*_: object, **__: object) -> None:
        raise StagingFull("The staging disk is full.", "Free space.")

    monkeypatch.setattr(compress, "wait_for_space", full)
    assert _fault_of(world, item) == ("staging_full", False)


def test_no_usable_ffmpeg_stops_the_batch(world: World) -> None:
    item = world.item(clips.camera(world.site.footage / "a.mp4", 1))
    with pytest.raises(ConfigError, match="VMS_FFMPEG"):
        compress_batch(
            Batch(1, "ho", "lobby", "x", (), (item,)),
            world.site,
            replace(world.home, ffmpeg="/nowhere/ffmpeg"),
            report=world.said.append,
        )


def test_upload_can_have_one_file_made(world: World) -> None:
    item = world.item(clips.camera(world.site.footage / "a.mp4", 1))
    receipt = compress_item(item, world.site, world.home, report=world.said.append)
    assert receipt.rendition is not None
    assert world.said[0].startswith("lobby 2026-01-31 09:00:00 WIB")


def test_slots_are_shared_and_freed_when_their_holder_dies(world: World) -> None:
    held = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\nfrom contextlib import ExitStack\nfrom vms.home import from_environment\n"
            "from vms.machine import cores\nfrom vms.video.slots import encode_slot\n"
            "home = from_environment({'VMS_HOME': sys.argv[1]})\n"
            "with ExitStack() as stack:\n"
            "    for _ in range(cores()):\n        stack.enter_context(encode_slot(home, 100))\n"
            "    print('held', flush=True)\n    time.sleep(600)\n",
            str(world.home.root),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
    )
    assert held.stdout is not None
    taken = threading.Event()
    try:
        assert held.stdout.readline() == b"held\n"

        def take() -> None:
            with encode_slot(world.home, 100):
                taken.set()

        waiter = threading.Thread(target=take, daemon=True)
        waiter.start()
        assert not taken.wait(1)
        held.send_signal(signal.SIGKILL)
        assert taken.wait(120)
        waiter.join()
        assert cores() >= 1
    finally:
        held.kill()
        held.wait()
        held.stdout.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_kill_in_the_middle_leaves_nothing_behind_and_the_next_run_ends_it(world: World, how: signal.Signals) -> None:
    path = clips.camera(world.site.footage / "long.mp4", 30, fps=15, size="640x360")
    item = world.item(path)
    script = world.home.root / "run.py"
    script.write_text(
        "import sys, pickle\nfrom vms.steps.compress import compress_batch\n"
        "batch, site, home = pickle.load(open(sys.argv[1], 'rb'))\n"
        "compress_batch(batch, site, home, report=print)\n"
    )
    pickled = world.home.root / "batch"
    pickled.write_bytes(pickle.dumps((Batch(1, "ho", "lobby", "x", (), (item,)), world.site, world.home)))
    child = subprocess.Popen(
        [sys.executable, str(script), str(pickled)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _until(lambda: _encoders(path))
        child.send_signal(how)
        child.wait(180)
        _until(lambda: not _encoders(path))
    finally:
        child.kill()
        child.wait()
    assert not list(world.staging.glob("*.mp4"))
    if how == signal.SIGINT:
        assert unfinished(world) == []
    (receipt,) = world.compress(item)
    assert receipt.rendition is not None
    assert receipt.rendition.kind == "encoded"
    assert unfinished(world) == []


def _encoders(source: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if any(word == f"file:{source}" for word in process.cmdline()) and "libsvtav1" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def _until(question: Callable[[], object]) -> None:
    deadline = time.monotonic() + 180
    while not question():
        assert time.monotonic() < deadline, "it did not happen within 180 s"
        time.sleep(0.05)
