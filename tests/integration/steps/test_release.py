"""Release deletes footage, so each test but the first few is a way in which it must not."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catalogue_world import a_site
from vms.config import Profile, Site
from vms.footage import Found
from vms.home import Home, from_environment
from vms.ledger import Ledger
from vms.model import ReleaseOrder, StoreTarget
from vms.paths import from_text, to_text
from vms.receipts import CopyReceipt, ReleaseReceipt
from vms.sightings import SourceSeen
from vms.steps import release as module
from vms.steps.release import release
from vms.stores import Store, open_store

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
START = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
STEM = "lobby_20260131T235959Z_0123456789ab"
KEY = "ho/lobby/2026/01/31/20260131T235959Z_0123456789ab.mp4"
FOOTAGE = b"head" * 40_000 + b"middle" * 10 + b"tail" * 40_000


@dataclass
class Ground:
    """A site with one archived recording, and its store."""

    site: Site
    home: Home
    store: Store
    order: ReleaseOrder
    said: list[str]

    def seen(self, path: str, content: bytes = FOOTAGE) -> SourceSeen:
        """Put a source file into the footage folder."""
        file = self.site.footage / from_text(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        found = file.lstat()
        return SourceSeen(path, found.st_size, found.st_mtime_ns)

    def release(self, *sources: SourceSeen, now: datetime = NOW, **changes: object) -> ReleaseReceipt:
        order = replace(self.order, sources=sources, **changes)
        (receipt,) = release(self.site, self.home, [order], [], now=now, report=self.said.append)
        assert receipt.recording_id == order.recording_id
        return receipt

    def kept(self, *sources: SourceSeen, **changes: object) -> str:
        """The reason why the only source was kept; asserts that it still is there as it was."""
        before = {source.path: self._content(source) for source in sources}
        receipt = self.release(*sources, **changes)
        assert receipt.removed == ()
        assert not receipt.done
        assert {source.path: self._content(source) for source in sources} == before
        (why,) = set(receipt.kept.values())
        return why

    def _content(self, source: SourceSeen) -> bytes:
        return (self.site.footage / from_text(source.path)).read_bytes()


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    home = from_environment({"VMS_HOME": str(tmp_path / "home")})
    home.prepare()
    home.site_staging("ho").mkdir(parents=True)
    (tmp_path / "footage").mkdir()
    (tmp_path / "footage" / "other camera.mp4").write_bytes(b"more")
    store = open_store("nas", f"file://{tmp_path}/nas")
    identity = store.identify(None)
    rendition = tmp_path / "rendition"
    rendition.write_bytes(b"small")
    sha256 = hashlib.sha256(b"small").hexdigest()
    stored = store.put(rendition, KEY, sha256=sha256, size_bytes=5)
    copy = CopyReceipt(7, "rendition", KEY, 5, sha256, stored.checksum, NOW, 5)
    site = a_site(
        footage=tmp_path / "footage",
        cameras=(),
        stores=(),
        profile=Profile("av1", "av1", "8", 35, 4.0, "yuv420p"),
        keep_source=timedelta(days=7),
    )
    order = ReleaseOrder(
        recording_id=1,
        start_utc=START,
        source_sha256=hashlib.sha256(FOOTAGE).hexdigest(),
        staging_stem=STEM,
        keep_until=NOW - timedelta(days=1),
        sources=(),
        copies=(copy,),
        stores=(StoreTarget(7, "nas", store.url, identity),),
    )
    return Ground(site, home, store, order, [])


def test_archived_source_goes_when_its_time_is_over(ground: Ground) -> None:
    names = ["lobby/a b.mp4", "-lobby.mp4", "lobby/" + to_text(b"caf\xe9\n.mp4"), "lobby/🎥.mp4"]
    sources = [ground.seen(name) for name in names]
    receipt = ground.release(*sources)
    assert receipt.removed == tuple(names)
    assert receipt.kept == {}
    assert receipt.done
    assert sorted(path.name for path in ground.site.footage.iterdir()) == ["lobby", "other camera.mp4"]
    assert any("a b.mp4: removed" in line for line in ground.said)


def test_rerun_finds_it_gone(ground: Ground) -> None:
    source = ground.seen("lobby.mp4")
    ground.release(source)
    again = ground.release(source)
    assert (again.removed, again.kept, again.done) == ((), {}, True)


def test_touched_file_with_the_archived_bytes_goes(ground: Ground) -> None:
    source = ground.seen("lobby.mp4")
    os.utime(ground.site.footage / "lobby.mp4", (1, 1))
    assert ground.release(source).done


def test_staging_is_cleared_once_archived_even_when_the_source_stays(ground: Ground) -> None:
    staging = ground.home.site_staging("ho")
    for ending in (".mp4", ".poster.jpg", ".sprite.jpg", ".receipt.json"):
        (staging / (STEM + ending)).touch()
    (staging / "lobby_20260131T235959Z_ffffffffffff.mp4").touch()
    assert "until" in ground.kept(ground.seen("lobby.mp4"), keep_until=NOW + timedelta(days=1))
    left = {path.name for path in staging.iterdir() if not path.name.startswith("seen.")}
    assert left == {"lobby_20260131T235959Z_ffffffffffff.mp4"}


def test_old_orphans_in_staging_stay_and_are_named(ground: Ground) -> None:
    orphan = ground.home.site_staging("ho") / "gate_20260101T000000Z_ffffffffffff.mp4"
    orphan.write_bytes(b"x" * 100)
    os.utime(orphan, ((NOW - timedelta(days=8)).timestamp(),) * 2)
    ground.release(ground.seen("lobby.mp4"))
    assert orphan.exists()
    assert any(orphan.name in line for line in ground.said)


def test_ledger_learns_what_stays_and_forgets_what_went(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, list[str]]] = []

    class Book(Ledger):
        def settle(self, sources, why):  # type: ignore[no-untyped-def]
            told.append((why, [source.path for source in sources]))

        def forget(self, paths):  # type: ignore[no-untyped-def]
            told.append(("forget", list(paths)))

    monkeypatch.setattr(module, "Ledger", Book)
    known = ground.seen("known.mp4", b"k")
    stays = replace(ground.order, recording_id=2, keep_until=None, sources=(ground.seen("stays.mp4"),))
    goes = replace(ground.order, sources=(ground.seen("goes.mp4"),))
    release(ground.site, ground.home, [goes, stays], [known], now=NOW, report=ground.said.append)
    assert told == [("known", ["known.mp4"]), ("archived", ["stays.mp4"]), ("forget", ["goes.mp4"])]


def test_ledger_settles_nothing_that_is_not_there(ground: Ground) -> None:
    source = ground.seen("lobby.mp4")
    found = [Found(source.path, source.size_bytes, source.mtime_ns, "file", likely=True)]
    book = Ledger(ground.home.site_staging("ho"))
    book.look(found, 1.0)
    mounted, away = ground.site.footage, ground.site.footage.with_name("away")
    mounted.rename(away)
    mounted.mkdir()
    release(ground.site, ground.home, [], [source], now=NOW, report=ground.said.append)
    mounted.rmdir()
    away.rename(mounted)
    assert book.look(found, 2.0)[source.path].settled == "", "it is looked at again as soon as its share is back"


def test_changed_source_of_equal_size_and_time_is_looked_at_again(ground: Ground) -> None:
    source = ground.seen("lobby.mp4")
    found = [Found(source.path, source.size_bytes, source.mtime_ns, "file", likely=True)]
    book = Ledger(ground.home.site_staging("ho"))
    book.look(found, 1.0)
    book.settle([source], "archived")
    file = ground.site.footage / "lobby.mp4"
    file.write_bytes(FOOTAGE[::-1])
    os.utime(file, ns=(source.mtime_ns, source.mtime_ns))
    ground.kept(source)
    assert book.look(found, 2.0)[source.path].settled == ""


# --- what must stay ---


def test_site_that_keeps_its_sources(ground: Ground) -> None:
    assert "keeps its source files" in ground.kept(ground.seen("lobby.mp4"), keep_until=None)


def test_site_that_keeps_its_sources_since_the_order_was_written(ground: Ground) -> None:
    ground.site = replace(ground.site, keep_source=None)
    assert "keeps its source files" in ground.kept(ground.seen("lobby.mp4"))


def test_time_not_over(ground: Ground) -> None:
    why = ground.kept(ground.seen("lobby.mp4"), keep_until=NOW + timedelta(seconds=1))
    assert "2026-03-01 19:00 WIB" in why


def test_changed_source_stays(ground: Ground) -> None:
    source = ground.seen("lobby.mp4")
    (ground.site.footage / "lobby.mp4").write_bytes(FOOTAGE + b"more")
    assert f"{len(FOOTAGE) + 4} bytes instead of {len(FOOTAGE)}" in ground.kept(source)


def test_changed_source_of_equal_size_and_time_stays(ground: Ground) -> None:
    source = ground.seen("lobby.mp4")
    file = ground.site.footage / "lobby.mp4"
    file.write_bytes(FOOTAGE[::-1])
    os.utime(file, ns=(source.mtime_ns, source.mtime_ns))
    assert "bytes are not the ones" in ground.kept(source)


def test_second_name_with_equal_head_and_tail_but_another_middle_stays(ground: Ground) -> None:
    twin = FOOTAGE.replace(b"middle", b"MIDDLE")
    assert len(twin) == len(FOOTAGE)
    first, second = ground.seen("lobby.mp4"), ground.seen("copy of lobby.mp4", twin)
    receipt = ground.release(first, second)
    assert receipt.removed == ("lobby.mp4",)
    assert list(receipt.kept) == ["copy of lobby.mp4"]
    assert not receipt.done
    assert (ground.site.footage / "copy of lobby.mp4").read_bytes() == twin


def test_store_that_vanished(ground: Ground, tmp_path: Path) -> None:
    staged = ground.home.site_staging("ho") / f"{STEM}.mp4"
    staged.write_bytes(b"small")
    (tmp_path / "nas").rename(tmp_path / "unplugged")
    assert "not mounted" in ground.kept(ground.seen("lobby.mp4"))
    (tmp_path / "nas").mkdir()
    assert "not mounted" in ground.kept(ground.seen("lobby.mp4"))
    assert list((tmp_path / "nas").iterdir()) == []
    assert staged.exists()


def test_store_that_lost_the_rendition(ground: Ground) -> None:
    ground.store.delete([KEY])
    assert "no longer holds" in ground.kept(ground.seen("lobby.mp4"))


def test_store_whose_rendition_was_cut(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "nas" / KEY).write_bytes(b"smal")
    assert "4 bytes" in ground.kept(ground.seen("lobby.mp4"))


def test_one_of_two_stores_without_a_copy(ground: Ground) -> None:
    second = StoreTarget(8, "san", "file:///nowhere", "some identity")
    why = ground.kept(ground.seen("lobby.mp4"), stores=(*ground.order.stores, second))
    assert "no copy of it on san" in why


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stores": ()}, "no store"),
        ({"copies": ()}, "no copy"),
        ({"source_sha256": ""}, "SHA-256"),
        ({"source_sha256": "0" * 64}, "bytes are not the ones"),
    ],
)
def test_order_that_proves_nothing(ground: Ground, changes: dict[str, object], words: str) -> None:
    assert words in ground.kept(ground.seen("lobby.mp4"), **changes)


def test_store_of_unknown_identity_is_not_made_anew(ground: Ground, tmp_path: Path) -> None:
    target = replace(ground.order.stores[0], identity=None, url=f"file://{tmp_path}/fresh")
    assert "identity" in ground.kept(ground.seen("lobby.mp4"), stores=(target,))
    assert not (tmp_path / "fresh").exists()


def test_poster_is_no_proof(ground: Ground) -> None:
    poster = replace(ground.order.copies[0], part="poster")
    assert "no copy" in ground.kept(ground.seen("lobby.mp4"), copies=(poster,))


# --- links, tricks and unmounted folders ---


def test_file_swapped_for_a_link(ground: Ground, tmp_path: Path) -> None:
    source = ground.seen("lobby.mp4")
    outside = tmp_path / "outside.mp4"
    outside.write_bytes(FOOTAGE)
    (ground.site.footage / "lobby.mp4").unlink()
    (ground.site.footage / "lobby.mp4").symlink_to(outside)
    assert "link" in ground.kept(source)
    assert outside.read_bytes() == FOOTAGE


def test_folder_swapped_for_a_link(ground: Ground, tmp_path: Path) -> None:
    source = ground.seen("lobby/a.mp4")
    (ground.site.footage / "lobby").rename(tmp_path / "outside")
    (ground.site.footage / "lobby").symlink_to(tmp_path / "outside")
    assert "link" in ground.kept(source)
    assert (tmp_path / "outside" / "a.mp4").read_bytes() == FOOTAGE


@pytest.mark.parametrize("path", ["../outside.mp4", "lobby/../../outside.mp4", "{tmp}/outside.mp4", "..", ""])
def test_name_that_leads_out(ground: Ground, tmp_path: Path, path: str) -> None:
    outside = tmp_path / "outside.mp4"
    outside.write_bytes(FOOTAGE)
    (ground.site.footage / "lobby").mkdir()
    source = SourceSeen(path.format(tmp=tmp_path), len(FOOTAGE), outside.stat().st_mtime_ns)
    receipt = ground.release(source)
    assert receipt.removed == ()
    assert "leads out" in receipt.kept[source.path]
    assert outside.read_bytes() == FOOTAGE


def test_file_swapped_while_it_is_read(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ground.seen("lobby.mp4")
    file = ground.site.footage / "lobby.mp4"

    class Swapping:
        def __init__(self) -> None:
            self._digest = hashlib.sha256()

        def update(self, chunk: bytes) -> None:
            self._digest.update(chunk)

        def hexdigest(self) -> str:
            other = file.with_name("other.mp4")
            other.write_bytes(b"unarchived footage")
            other.replace(file)
            return self._digest.hexdigest()

    class Hashing:
        sha256 = Swapping

    monkeypatch.setattr(module, "hashlib", Hashing)
    receipt = ground.release(source)
    assert receipt.removed == ()
    assert "while" in receipt.kept["lobby.mp4"]
    assert file.read_bytes() == b"unarchived footage"


def test_fifo_does_not_hang(ground: Ground) -> None:
    os.mkfifo(ground.site.footage / "pipe.mp4")
    receipt = ground.release(SourceSeen("pipe.mp4", 0, 0))
    assert "no file" in receipt.kept["pipe.mp4"]


def test_emptied_footage_folder_is_not_called_released(ground: Ground, tmp_path: Path) -> None:
    source = ground.seen("lobby.mp4")
    ground.site.footage.rename(tmp_path / "unplugged")
    receipt = ground.release(source)
    assert not receipt.done
    ground.site.footage.mkdir()
    receipt = ground.release(source)
    assert not receipt.done
    assert "may not be mounted" in receipt.kept["lobby.mp4"]
    assert (tmp_path / "unplugged" / "lobby.mp4").exists()


def test_read_only_footage_is_kept_with_the_reason(ground: Ground) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    point = ground.site.footage
    tried = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", point], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        first, second = ground.seen("a.mp4"), ground.seen("b.mp4")
        subprocess.run(["mount", "-o", "remount,ro", point], check=True)
        receipt = ground.release(first, second)
        assert receipt.removed == ()
        assert set(receipt.kept) == {"a.mp4", "b.mp4"}
        assert "Read-only" in receipt.kept["a.mp4"]
    finally:
        subprocess.run(["umount", "-l", point], check=True)
