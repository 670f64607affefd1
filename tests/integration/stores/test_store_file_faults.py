"""What goes wrong with a NAS mount: another mount, none, read-only, full, a byte flipped on its way, no hard links."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vms.errors import ConfigError, StoreConflict, StoreError, StoreFull, StoreUnreachable
from vms.stores import FileRotted, Store, disk, mount, open_store
from vms.stores.identity import IDENTITY_FILE

KEY = "ho/lobby/2026/01/31/20260131T235959Z_0123456789ab.mp4"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "nas"


@pytest.fixture
def store(folder: Path) -> Store:
    store = open_store("nas", f"file://{folder}")
    store.identify(None)
    return store


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a tmpfs of the given options over a fresh folder; skips where that is not allowed."""
    points: list[Path] = []

    def make(options: str) -> Path:
        if os.geteuid() != 0:
            pytest.skip("mounting a tmpfs needs root")
        point = tmp_path / f"mount{len(points)}"
        point.mkdir()
        tried = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", point], capture_output=True, text=True, check=False
        )
        if tried.returncode != 0:
            pytest.skip(f"mounting a tmpfs is not permitted here: {tried.stderr.strip()}")
        points.append(point)
        return point

    yield make
    for point in points:
        if point.is_mount():
            subprocess.run(["umount", "-l", point], check=True)


def put(store: Store, tmp_path: Path, data: bytes, key: str = KEY, progress: Callable[[int], None] | None = None):
    file = tmp_path / "staged"
    file.write_bytes(data)
    return store.put(file, key, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), progress=progress)


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")


# --- which store it is ---


def test_store_that_lost_its_mount_is_neither_written_nor_called_empty(
    mounted: Callable[[str], Path], tmp_path: Path
) -> None:
    point = mounted("size=8m")
    url = f"file://{point}"
    store = open_store("nas", url)
    identity = store.identify(None)
    put(store, tmp_path, b"footage")
    subprocess.run(["umount", point], check=True)

    with pytest.raises(StoreUnreachable, match="not mounted"):
        open_store("nas", url).identify(identity)
    for use in (
        lambda: put(store, tmp_path, b"footage"),
        lambda: store.head(KEY),
        lambda: store.open_range(KEY),
        lambda: list(store.list()),
        lambda: store.delete([KEY]),
        lambda: open_store("nas", url).head(KEY),
    ):
        with pytest.raises(StoreUnreachable, match="not mounted"):
            use()
    assert list(point.iterdir()) == []


def test_store_that_goes_away_while_it_is_listed(store: Store, folder: Path, tmp_path: Path) -> None:
    for day in range(1, 4):
        put(store, tmp_path, b"x", f"ho/lobby/2026/01/{day:02}/x.mp4")
    listing = store.list()
    next(listing)
    folder.rename(tmp_path / "elsewhere")
    folder.mkdir()
    with pytest.raises(StoreUnreachable):
        list(listing)


def test_wrong_mount_is_refused(store: Store, folder: Path, tmp_path: Path) -> None:
    identity = store.identify(None)
    folder.rename(tmp_path / "right")
    other = open_store("nas", f"file://{folder}")
    other.identify(None)
    with pytest.raises(StoreUnreachable, match=identity):
        open_store("nas", f"file://{folder}").identify(identity)
    with pytest.raises(StoreUnreachable, match=identity):
        put(store, tmp_path, b"footage")
    assert files_of(folder) == []


def test_folder_of_others_is_not_made_a_store(folder: Path) -> None:
    (folder / "Photos").mkdir(parents=True)
    with pytest.raises(StoreUnreachable, match="other things"):
        open_store("nas", f"file://{folder}").identify(None)
    assert [path.name for path in folder.iterdir()] == ["Photos"]


def test_folder_with_what_systems_put_there_is_new(folder: Path) -> None:
    for name in ("lost+found", "@eaDir", ".snapshot"):
        (folder / name).mkdir(parents=True)
    assert open_store("nas", f"file://{folder}").identify(None)


def test_missing_parent_is_not_made(folder: Path) -> None:
    with pytest.raises(StoreUnreachable, match="does not exist"):
        open_store("nas", f"file://{folder}/below").identify(None)
    assert not folder.exists()


@pytest.mark.parametrize("text", ["{}", "not json", "[]", '{"identity": 7}'])
def test_broken_identity_file_is_refused(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / IDENTITY_FILE).write_text(text)
    with pytest.raises(StoreUnreachable, match="can't be read"):
        open_store("nas", f"file://{folder}").identify(None)
    assert (folder / IDENTITY_FILE).read_text() == text


def test_first_contact_of_many_gives_one_identity(folder: Path) -> None:
    found: list[str] = []
    gate = threading.Barrier(8)

    def meet() -> None:
        store = open_store("nas", f"file://{folder}")
        gate.wait()
        found.append(store.identify(None))

    threads = [threading.Thread(target=meet) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {json.loads((folder / IDENTITY_FILE).read_text())["identity"]}


def test_mount_point_of_the_mount_table_must_be_mounted(tmp_path: Path) -> None:
    table = tmp_path / "fstab"
    point = tmp_path / "mnt with space"
    point.mkdir()
    escaped = str(point).replace(" ", "\\040")
    table.write_text(f"# nas\n\nproc /proc proc defaults\nnas:/v {escaped} nfs defaults 0 0\nUUID=1 / ext4 rw\n")
    assert mount.missing_mount(point / "vms", table) == str(point)
    assert mount.missing_mount(point, table) == str(point)
    assert mount.missing_mount(tmp_path / "elsewhere", table) is None
    assert mount.missing_mount(Path("/proc/x"), table) is None


# --- what the mount does ---


def test_full_store_says_so_and_keeps_nothing_half(mounted: Callable[[str], Path], tmp_path: Path) -> None:
    point = mounted("size=6m")
    store = open_store("nas", f"file://{point}")
    store.identify(None)
    put(store, tmp_path, b"a" * 2_000_000, "ho/lobby/a.mp4")
    with pytest.raises(StoreFull, match="No space left") as refusal:
        put(store, tmp_path, b"b" * 7_000_000, "ho/lobby/b.mp4")
    assert refusal.value.remedy
    assert store.head("ho/lobby/b.mp4") is None
    assert list((point / ".tmp").iterdir()) == []
    assert put(store, tmp_path, b"c" * 2_000_000, "ho/lobby/c.mp4").bytes_sent == 2_000_000
    assert any(not finding.ok and "free" in finding.what for finding in store.check())


def test_read_only_store_can_be_read_but_not_written(mounted: Callable[[str], Path], tmp_path: Path) -> None:
    point = mounted("size=8m")
    store = open_store("nas", f"file://{point}")
    identity = store.identify(None)
    put(store, tmp_path, b"footage")
    subprocess.run(["mount", "-o", "remount,ro", point], check=True)
    assert store.identify(identity) == identity
    with pytest.raises(StoreUnreachable, match="Read-only") as refusal:
        put(store, tmp_path, b"new", "ho/lobby/new.mp4")
    assert "read-only" in refusal.value.remedy
    with pytest.raises(StoreUnreachable, match="Read-only"):
        store.delete([KEY])
    assert put(store, tmp_path, b"footage").bytes_sent == 0
    assert b"".join(store.open_range(KEY)) == b"footage"
    assert [finding.ok for finding in store.check()][:2] == [True, False]
    subprocess.run(["mount", "-o", "remount,rw", point], check=True)


def test_byte_flipped_on_its_way_is_found_by_reading_back(store: Store, folder: Path, tmp_path: Path) -> None:
    def flip(sent: int) -> None:
        (part,) = (folder / ".tmp").iterdir()
        with part.open("r+b") as file:
            file.seek(sent // 2)
            file.write(b"!")

    with pytest.raises(StoreError, match="reads back as"):
        put(store, tmp_path, b"x" * 5_000_000, progress=flip)
    assert store.head(KEY) is None
    assert list((folder / ".tmp").iterdir()) == []
    assert put(store, tmp_path, b"x" * 5_000_000).bytes_sent == 5_000_000


def test_object_that_rotted_on_the_store_is_a_conflict_not_a_success(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    put(store, tmp_path, b"footage")
    (folder / KEY).write_bytes(b"fo0tage")
    with pytest.raises(StoreConflict):
        put(store, tmp_path, b"footage")


@pytest.mark.parametrize("said", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_hard_links(
    store: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(said, os.strerror(said))

    monkeypatch.setattr(os, "link", refuse)
    assert put(store, tmp_path, b"footage").bytes_sent == 7
    assert put(store, tmp_path, b"footage").bytes_sent == 0
    with pytest.raises(StoreConflict):
        put(store, tmp_path, b"other footage")
    assert files_of(folder) == [KEY]
    other = open_store("other", f"file://{tmp_path}/other")
    assert other.identify(None) == other.identify(None)


def test_claim_of_a_dead_writer_is_taken_over(
    store: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(disk, "ABANDONED_S", 1)
    (folder / KEY).parent.mkdir(parents=True)
    (folder / KEY).touch()
    os.utime(folder / KEY, (time.time() - 100,) * 2)
    assert put(store, tmp_path, b"footage").bytes_sent == 7
    assert (folder / KEY).read_bytes() == b"footage"


def test_links_do_not_lead_out_of_the_store(store: Store, folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.mp4").write_bytes(b"secret")
    (folder / "ho").symlink_to(outside)
    (folder / "link.mp4").symlink_to(outside / "secret.mp4")
    with pytest.raises(StoreError):
        put(store, tmp_path, b"x", "ho/x.mp4")
    with pytest.raises(StoreError):
        store.open_range("ho/secret.mp4")
    with pytest.raises(StoreConflict):
        store.open_range("link.mp4")
    assert list(store.list()) == []
    store.delete(["ho/secret.mp4"])
    assert (outside / "secret.mp4").read_bytes() == b"secret"
    assert [path.name for path in outside.iterdir()] == ["secret.mp4"]


def test_parts_of_dead_writers_are_swept_after_a_day(folder: Path, store: Store, tmp_path: Path) -> None:
    (folder / ".tmp").mkdir()
    for name, age in (("old", 25 * 3600), ("young", 3600)):
        (folder / ".tmp" / name).touch()
        os.utime(folder / ".tmp" / name, (time.time() - age,) * 2)
    put(store, tmp_path, b"footage")
    assert [path.name for path in (folder / ".tmp").iterdir()] == ["young"]


def test_a_writer_that_ends_while_old_parts_are_looked_for_disturbs_nobody(
    folder: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, listed = folder / ".tmp" / "nvr.17.0123456789abcdef", os.scandir
    part.parent.mkdir()
    part.touch()

    def ends_meanwhile(place: int | Path) -> contextlib.AbstractContextManager[Iterator[os.DirEntry[str]]]:
        with listed(place) as entries:
            found = list(entries)
        part.unlink(missing_ok=True)
        return contextlib.nullcontext(iter(found))

    monkeypatch.setattr(os, "scandir", ends_meanwhile)
    put(store, tmp_path, b"footage")
    monkeypatch.undo()
    assert [one.key for one in store.list()] == [KEY]


def test_emptied_folders_go_but_the_store_stays(store: Store, folder: Path, tmp_path: Path) -> None:
    put(store, tmp_path, b"footage")
    store.delete([KEY])
    assert not (folder / "ho").exists()
    assert store.identify(None)


def test_unreadable_staged_file_is_the_file_s_fault(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileRotted, match="Is a directory"):
        store.put(tmp_path, KEY, sha256="0" * 64, size_bytes=1)


def test_check_of_a_store_that_is_away_is_a_finding(folder: Path, store: Store) -> None:
    (folder / IDENTITY_FILE).unlink()
    (finding,) = store.check()
    assert not finding.ok
    assert finding.remedy


# --- how it is named ---


@pytest.mark.parametrize(
    "url",
    [
        "file://nas/vms",
        "file:vms",
        "file:///",
        "file://",
        "/mnt/nas",
        "smb://nas/vms",
        "s3:/bucket/x",
        "file:///nas?x=1",
        "",
    ],
)
def test_urls_that_name_no_folder_are_refused(url: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        open_store("nas", url)
    assert refusal.value.remedy


def test_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as refusal:
        open_store("nas", "s3://key:geheim@bucket/x")
    assert "geheim" not in str(refusal.value)


def test_percent_in_a_url_is_read(tmp_path: Path) -> None:
    open_store("nas", f"file://{tmp_path}/a%20b%23").identify(None)
    assert (tmp_path / "a b#" / IDENTITY_FILE).exists()
