"""What goes wrong with Google Cloud Storage and the line to it, against a server that is made to go wrong."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import google_crc32c
import pytest
from gcs_server import BUCKET, Answer, GcsServer, Seen, failure
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from vms.errors import StoreConflict, StoreDenied, StoreError, StoreUnreachable
from vms.home import PROJECT_ROOT
from vms.model import StoreOptions
from vms.stores import FileRotted, ObjectMissing, Store, StoredObject, connections, gcs_errors, gcs_upload, open_store

KEY = "ho/lobby/2026/01/31/20260131T235959Z_0123456789ab.mp4"
URL = f"gs://{BUCKET}/archive"
PART = gcs_upload.PART_BYTES


def opened(storage_class: str = "") -> Store:
    return open_store("cloud", URL, conn_id="test_gs", options=StoreOptions(storage_class=storage_class))


@pytest.fixture
def store(gcs: GcsServer) -> Store:
    store = opened()
    store.identify(None)
    gcs.seen.clear()
    return store


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer is given up soon."""
    monkeypatch.setattr(gcs_errors, "PATIENCE_S", 0.5)


@dataclass(frozen=True)
class Staged:
    path: Path
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def crc32c(self) -> str:
        return base64.b64encode(google_crc32c.Checksum(self.data).digest()).decode()

    @property
    def states(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"{self.path.name}.*"))

    def put(self, store: Store, progress: Callable[[int], None] | None = None) -> StoredObject:
        return store.put(self.path, KEY, sha256=self.sha256, size_bytes=len(self.data), progress=progress)


def staged(folder: Path, size: int, seed: int = 1) -> Staged:
    folder.mkdir(exist_ok=True)
    file = Staged(folder / f"{size}.mp4", random.Random(seed).randbytes(size))
    file.path.write_bytes(file.data)
    return file


@pytest.fixture
def small(tmp_path: Path) -> Staged:
    return staged(tmp_path / "staging", 200_000)


@pytest.fixture
def large(tmp_path: Path) -> Staged:
    """Two whole parts and a bit."""
    return staged(tmp_path / "staging", 2 * PART + 100_000)


def content(store: Store, key: str = KEY) -> bytes:
    return b"".join(store.open_range(key))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def times(number: int, wanted: Callable[[Seen], bool], answer: Answer) -> Callable[[Seen], Answer | None]:
    """That answer to the first so many of the requests that are wanted."""
    left = itertools.count(number, -1)
    return lambda seen: answer if wanted(seen) and next(left) > 0 else None


# --- how it is sent ---


def test_small_file_is_one_request_and_the_server_has_its_sum(store: Store, gcs: GcsServer, small: Staged) -> None:
    done = small.put(store)
    uploads = [one for one in gcs.seen if one.path.startswith("/upload/")]
    assert len(uploads) == 1
    assert uploads[0].query["ifGenerationMatch"] == "0"
    assert small.crc32c.encode() in uploads[0].body
    assert done.checksum == f"crc32c:{small.crc32c}"
    assert store.head(KEY) == replace(done, bytes_sent=0)


def test_large_file_goes_in_parts_and_the_last_one_carries_its_sum(store: Store, gcs: GcsServer, large: Staged) -> None:
    done = large.put(store)
    assert [part.received for part in gcs.parts()] == [PART, PART, 100_000]
    assert gcs.parts()[-1].headers["x-goog-hash"] == f"crc32c={large.crc32c}"
    (begun,) = [one for one in gcs.seen if one.begins_session]
    assert begun.query["ifGenerationMatch"] == "0"
    assert json.loads(begun.body)["metadata"]["vms-sha256"] == large.sha256
    assert (done.bytes_sent, done.sha256) == (len(large.data), large.sha256)
    assert content(store) == large.data
    assert large.states == []


@pytest.mark.usefixtures("gcs")
def test_storage_class_goes_with_the_object(small: Staged, large: Staged) -> None:
    for file in (small, large):
        store = opened("NEARLINE")
        store.identify(None)
        file.put(store)
        told = storage.Client(project="test", credentials=AnonymousCredentials()).bucket(BUCKET)
        assert told.get_blob(f"archive/{KEY}").storage_class == "NEARLINE"
        store.delete([KEY])


@pytest.mark.usefixtures("gcs")
def test_injected_client_is_used(small: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(conn_id: str) -> storage.Client:
        made.append(conn_id)
        return storage.Client(project="test", credentials=AnonymousCredentials())

    monkeypatch.setattr(connections, "_makers", {})
    connections.use_clients("gs", make)
    store = opened()
    store.identify(None)
    small.put(store)
    assert made == ["test_gs"]


def test_object_that_others_wrote_is_read_back_and_taken_when_equal(store: Store, small: Staged) -> None:
    bucket = storage.Client(project="test", credentials=AnonymousCredentials()).bucket(BUCKET)
    bucket.blob(f"archive/{KEY}").upload_from_string(small.data)
    assert small.put(store).bytes_sent == 0
    bucket.blob(f"archive/{KEY}").upload_from_string(flipped(small.data, 7))
    with pytest.raises(StoreConflict, match=small.sha256):
        small.put(store)
    assert content(store) == flipped(small.data, 7)


# --- killed, cut, taken up again ---

_UPLOADER = """
import sys
from pathlib import Path
from vms.stores import open_store
url, identity, file, key, sha256, size = sys.argv[1:]
store = open_store("cloud", url, conn_id="test_gs")
store.identify(identity)
store.put(Path(file), key, sha256=sha256, size_bytes=int(size))
"""


def killed_in_part(number: int, store: Store, gcs: GcsServer, file: Staged) -> None:
    """Have the file put by a process that is killed when half of this part (from 0) has come to the server."""
    half = threading.Event()
    gone_on = threading.Event()

    def stall(seen: Seen) -> int | None:
        if seen.is_part and len(gcs.parts()) == number + 1 and not half.is_set():
            return PART // 2
        return None

    def wait_in_the_middle(seen: Seen) -> int | None:
        limit = stall(seen)
        if limit is not None:
            half.set()
            gone_on.wait(60)
            return limit
        return None

    gcs.cut = wait_in_the_middle
    arguments = [URL, store.identify(None), str(file.path), KEY, file.sha256, str(len(file.data))]
    uploader = subprocess.Popen(
        [sys.executable, "-c", _UPLOADER, *arguments], env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT / "include")}
    )
    assert half.wait(60), "the uploader never came to that part"
    uploader.send_signal(signal.SIGKILL)
    assert uploader.wait() == -signal.SIGKILL
    gone_on.set()
    gcs.heal()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_killed_uploader_is_taken_up_and_at_most_one_part_goes_twice(
    store: Store, gcs: GcsServer, tmp_path: Path, number: int
) -> None:
    file = staged(tmp_path / "staging", 4 * PART + 12_345)
    killed_in_part(number, store, gcs, file)
    assert store.head(KEY) is None
    (state,) = file.states
    assert state.stat().st_mode & 0o777 == 0o600
    before = [part.received for part in gcs.parts()]
    again = file.put(store)
    assert again.bytes_sent == len(file.data) - number * PART
    after = [part.received for part in gcs.parts()[len(before) :]]
    assert sum(after) == len(file.data) - number * PART
    assert sum(before) + sum(after) <= len(file.data) + PART
    assert len([one for one in gcs.seen if one.begins_session]) == 1
    assert content(store) == file.data
    assert file.states == []


def test_session_of_another_file_is_not_taken_up(store: Store, gcs: GcsServer, tmp_path: Path) -> None:
    killed_in_part(1, store, gcs, staged(tmp_path / "staging", 3 * PART))
    other = staged(tmp_path / "staging", 3 * PART, seed=2)
    assert other.put(store).bytes_sent == len(other.data)
    assert content(store) == other.data
    assert len([one for one in gcs.seen if one.begins_session]) == 2


@pytest.mark.parametrize("status", [404, 410])
def test_expired_session_starts_again(store: Store, gcs: GcsServer, tmp_path: Path, status: int) -> None:
    file = staged(tmp_path / "staging", 3 * PART)
    killed_in_part(1, store, gcs, file)
    asks = lambda seen: seen.headers.get("content-range", "").startswith("bytes */")  # noqa: E731
    gcs.before = times(1, asks, failure(status, "gone"))
    assert file.put(store).bytes_sent == len(file.data)
    assert content(store) == file.data


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"session": 7}'])
def test_broken_session_file_costs_a_new_start_only(store: Store, gcs: GcsServer, tmp_path: Path, text: str) -> None:
    file = staged(tmp_path / "staging", 3 * PART)
    killed_in_part(1, store, gcs, file)
    file.states[0].write_text(text)
    assert file.put(store).bytes_sent == len(file.data)
    assert content(store) == file.data


def test_week_old_session_is_not_tried(store: Store, gcs: GcsServer, tmp_path: Path) -> None:
    file = staged(tmp_path / "staging", 3 * PART)
    killed_in_part(1, store, gcs, file)
    kept = json.loads(file.states[0].read_text())
    file.states[0].write_text(json.dumps({**kept, "begun_at": time.time() - 7 * 86400}))
    gcs.seen.clear()
    file.put(store)
    assert gcs.parts()[0].headers["content-range"].startswith("bytes 0-")


def test_connection_cut_in_a_part_goes_on_from_what_the_server_has(store: Store, gcs: GcsServer, large: Staged) -> None:
    cuts = itertools.count()
    gcs.cut = lambda seen: 3_000_000 if seen.is_part and next(cuts) == 1 else None
    seen: list[int] = []
    assert large.put(store, seen.append).bytes_sent == len(large.data)
    assert [part.received for part in gcs.parts()] == [PART, 3_000_000, PART, 100_000]
    assert seen == sorted(seen)
    assert content(store) == large.data


def test_server_that_keeps_less_than_it_was_sent(store: Store, gcs: GcsServer, large: Staged) -> None:
    short = itertools.count()
    gcs.takes = lambda seen: 1 << 20 if seen.is_part and next(short) == 0 else None
    assert large.put(store).bytes_sent == len(large.data)
    starts = [int(part.headers["content-range"].split()[1].split("-")[0]) for part in gcs.parts()]
    assert starts == [0, 1 << 20, (1 << 20) + PART]
    assert content(store) == large.data


def test_answer_that_is_lost_after_the_last_part(store: Store, gcs: GcsServer, large: Staged) -> None:
    lost = itertools.count()

    def lose(seen: Seen, answer: Answer) -> Answer:
        last = seen.is_part and answer.status == 200 and next(lost) == 0
        return replace(answer, body=b"", announced=500) if last else answer

    gcs.after = lose
    done = large.put(store)
    assert done.checksum == f"crc32c:{large.crc32c}"
    assert content(store) == large.data


def test_upload_that_is_stopped_is_gone_on_with(store: Store, large: Staged) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        large.put(store, stop)
    assert large.put(store).bytes_sent == len(large.data) - PART
    assert content(store) == large.data


def test_two_at_once_with_one_staged_file(store: Store, gcs: GcsServer, large: Staged) -> None:
    halfway, go_on = threading.Event(), threading.Event()
    first: list[StoredObject] = []

    def wait(_: int) -> None:
        halfway.set()
        assert go_on.wait(60)

    slow = threading.Thread(target=lambda: first.append(large.put(store, wait)))
    slow.start()
    assert halfway.wait(60)
    second = large.put(store)
    go_on.set()
    slow.join()
    assert len([one for one in gcs.seen if one.begins_session]) == 2
    assert first == [second]
    assert second.bytes_sent == len(large.data)
    assert [one.key for one in store.list()] == [KEY]
    assert content(store) == large.data
    assert large.states == []


# --- a server that fails ---


@pytest.mark.parametrize("status", [429, 500, 503])
def test_storm_is_sat_out(store: Store, gcs: GcsServer, small: Staged, large: Staged, status: int) -> None:
    gcs.before = times(4, lambda _: True, failure(status, "slow down"))
    assert small.put(store).bytes_sent > 0
    store.delete([KEY])
    gcs.before = times(3, lambda seen: seen.is_part, failure(status, "slow down"))
    large.put(store)
    gcs.before = times(2, lambda _: True, failure(status, "slow down"))
    assert content(store) == large.data
    gcs.before = times(3, lambda _: True, failure(status, "slow down"))
    assert store.delete([KEY]) == [KEY]


@pytest.mark.usefixtures("hasty")
def test_storm_that_lasts_is_a_store_that_is_away(store: Store, gcs: GcsServer, small: Staged, large: Staged) -> None:
    gcs.before = lambda _: failure(503, "backend error")
    for use in (
        lambda: small.put(store),
        lambda: large.put(store),
        lambda: store.head(KEY),
        lambda: store.open_range(KEY),
        lambda: list(store.list()),
        lambda: store.delete([KEY]),
        lambda: opened().identify(None),
    ):
        with pytest.raises(StoreUnreachable, match="503 backend error"):
            use()
    assert [finding.ok for finding in store.check()] == [False]
    gcs.before = lambda seen: failure(503, "backend error") if seen.is_part else None
    with pytest.raises(StoreUnreachable):
        large.put(store)
    gcs.heal()
    assert large.put(store).bytes_sent == len(large.data)


@pytest.mark.usefixtures("hasty")
def test_server_that_is_not_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    with pytest.raises(StoreUnreachable, match="no connection") as refusal:
        store.identify(None)
    assert "line" in refusal.value.remedy


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "credentials"), (403, "Storage Object User"), (404, f"Make the bucket {BUCKET}")]
)
def test_refusal_fails_at_once_and_says_what_to_do(
    store: Store, gcs: GcsServer, large: Staged, status: int, remedy: str
) -> None:
    gcs.before = lambda _: failure(status, "no")
    for use in (lambda: opened().identify(None), lambda: large.put(store), lambda: list(store.list())):
        gcs.seen.clear()
        with pytest.raises(StoreDenied, match=remedy):
            use()
        asked = [one for one in gcs.seen if one.path != f"/storage/v1/b/{BUCKET}"]  # the library's own, behind our back
        assert len(asked) <= 2


def test_credentials_revoked_in_the_middle(store: Store, gcs: GcsServer, large: Staged) -> None:
    gcs.before = lambda seen: failure(403, "revoked") if seen.is_part and len(gcs.parts()) > 1 else None
    with pytest.raises(StoreDenied, match="revoked") as refusal:
        large.put(store)
    assert "upload_id" not in str(refusal.value)
    gcs.heal()
    assert large.put(store).bytes_sent == len(large.data) - PART
    assert content(store) == large.data


def test_too_many_requests_said_as_403_is_waited_for(store: Store, gcs: GcsServer, small: Staged) -> None:
    gcs.before = times(2, lambda _: True, failure(403, "slow down", "rateLimitExceeded"))
    assert small.put(store).bytes_sent > 0


def test_bucket_that_is_deleted_loses_nothing_in_silence(store: Store, gcs: GcsServer, small: Staged) -> None:
    small.put(store)
    gcs.wipe()
    for use in (
        lambda: store.head(KEY),
        lambda: store.open_range(KEY),
        lambda: list(store.list()),
        lambda: store.delete([KEY]),
        lambda: small.put(store),
    ):
        with pytest.raises(StoreDenied, match="bucket"):
            use()
    gcs.make_bucket()
    for use in (lambda: store.head(KEY), lambda: list(store.list()), lambda: store.delete([KEY])):
        with pytest.raises(StoreUnreachable, match="another store"):
            use()


# --- damage ---


def test_byte_flipped_in_an_upload_is_refused_and_sent_anew(
    store: Store, gcs: GcsServer, large: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, flips = gcs.forward, itertools.count()

    def damage(seen: Seen) -> Answer:
        once = seen.is_part and next(flips) == 1
        return forward(replace(seen, body=flipped(seen.body, 1000)) if once else seen)

    monkeypatch.setattr(gcs, "forward", damage)
    large.put(store)
    assert len([one for one in gcs.seen if one.begins_session]) == 2
    assert content(store) == large.data


@pytest.mark.parametrize("size", [200_000, PART + 5])
def test_proxy_that_flips_a_byte_every_time(
    store: Store, gcs: GcsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    file, forward = staged(tmp_path / "staging", size), gcs.forward

    def damage(seen: Seen) -> Answer:
        sends = seen.is_part or seen.is_whole_upload
        return forward(replace(seen, body=flipped(seen.body, len(seen.body) // 2)) if sends else seen)

    with monkeypatch.context() as patched:
        patched.setattr(gcs, "forward", damage)
        with pytest.raises(StoreError, match="do not arrive as they were sent") as refusal:
            file.put(store)
        assert "proxy" in refusal.value.remedy
        assert store.head(KEY) is None
    assert file.put(store).bytes_sent == len(file.data)
    assert content(store) == file.data


@pytest.mark.parametrize("size", [200_000, PART + 5])
def test_short_object_behind_an_ok_is_not_taken_for_a_copy(
    store: Store, gcs: GcsServer, tmp_path: Path, size: int
) -> None:
    file = staged(tmp_path / "staging", size)

    def shorten(seen: Seen, answer: Answer) -> Answer:
        if seen.method == "GET" and seen.path.endswith(".mp4") and answer.status == 200:
            shown = {**json.loads(answer.body), "size": str(size - 1), "crc32c": "AAAAAA=="}
            return replace(answer, body=json.dumps(shown).encode())
        return answer

    gcs.after = shorten
    with pytest.raises(StoreError, match=f"{size - 1} bytes of {size}"):
        file.put(store)
    gcs.heal()
    assert store.head(KEY) is None
    assert file.put(store).bytes_sent == size


def test_file_that_changes_while_it_is_sent_is_not_stored(store: Store, large: Staged) -> None:
    def rot(_: int) -> None:
        large.path.write_bytes(flipped(large.data, 2 * PART + 5))

    with pytest.raises(FileRotted):
        large.put(store, rot)
    assert store.head(KEY) is None


def test_download_that_is_cut_goes_on(store: Store, gcs: GcsServer, large: Staged) -> None:
    large.put(store)
    cuts = itertools.count()

    def cut(seen: Seen, answer: Answer) -> Answer:
        if seen.is_download and seen.path.endswith("mp4") and next(cuts) < 2:
            return replace(answer, body=answer.body[: 5 << 20], announced=len(answer.body))
        return answer

    gcs.after = cut
    assert content(store) == large.data
    assert b"".join(store.open_range(KEY, 1000, PART)) == large.data[1000 : 1000 + PART]


def test_byte_flipped_in_a_download_is_noticed(store: Store, gcs: GcsServer, large: Staged) -> None:
    large.put(store)

    def damage(seen: Seen, answer: Answer) -> Answer:
        return (
            replace(answer, body=flipped(answer.body, 77)) if seen.is_download and seen.path.endswith("mp4") else answer
        )

    gcs.after = damage
    with pytest.raises(StoreError, match="damaged"):
        content(store)
    gcs.heal()
    assert content(store) == large.data


def test_object_that_goes_while_it_is_read(store: Store, large: Staged) -> None:
    large.put(store)
    reading = store.open_range(KEY)
    store.delete([KEY])
    with pytest.raises(ObjectMissing):
        b"".join(reading)


# --- listing, deleting, settings ---


@pytest.mark.usefixtures("hasty")
def test_listing_never_ends_early_in_silence(store: Store, gcs: GcsServer, small: Staged) -> None:
    gcs.page = 2
    for day in range(1, 6):
        store.put(small.path, f"ho/lobby/2026/01/{day:02}/x.mp4", sha256=small.sha256, size_bytes=len(small.data))
    assert len(list(store.list())) == 5
    listing = store.list()
    next(listing)
    gcs.before = lambda seen: failure(503, "busy") if "pageToken" in seen.query else None
    with pytest.raises(StoreUnreachable):
        list(listing)


def test_deletes_go_a_hundred_at_a_time(store: Store, gcs: GcsServer) -> None:
    keys = [f"ho/lobby/{number}.mp4" for number in range(250)]
    assert store.delete(keys) == keys
    assert len([one for one in gcs.seen if one.path.startswith("/batch/")]) == 3


def test_held_object_keeps_no_other_from_being_deleted(store: Store, gcs: GcsServer, small: Staged) -> None:
    keys = [f"ho/lobby/{name}.mp4" for name in "abc"]
    for key in keys:
        store.put(small.path, key, sha256=small.sha256, size_bytes=len(small.data))

    def hold(seen: Seen, answer: Answer) -> Answer:
        if not seen.path.startswith("/batch/"):
            return answer
        first, rest = answer.body.split(b"HTTP/1.1 204 No Content", 1)
        return replace(answer, body=first + b"HTTP/1.1 403 Forbidden" + rest)

    gcs.after = hold
    gcs.before = lambda seen: failure(403, "under a hold", "forbidden") if seen.method == "DELETE" else None
    assert store.delete(keys) == keys[1:]


@pytest.mark.usefixtures("gcs")
def test_prefix_of_others_is_not_made_a_store() -> None:
    bucket = storage.Client(project="test", credentials=AnonymousCredentials()).bucket(BUCKET)
    bucket.blob("archive/photo.jpg").upload_from_string(b"x")
    with pytest.raises(StoreUnreachable, match="other things"):
        opened().identify(None)
    bucket.blob("archive/photo.jpg").delete()
    bucket.blob("other/photo.jpg").upload_from_string(b"x")
    assert opened().identify(None)


@pytest.mark.usefixtures("gcs")
def test_first_contact_of_many_gives_one_identity() -> None:
    found: list[str] = []
    gate = threading.Barrier(6)

    def meet() -> None:
        store = opened()
        gate.wait()
        found.append(store.identify(None))

    threads = [threading.Thread(target=meet) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), len(set(found))) == (6, 1)


def test_check_says_what_the_bucket_does_to_footage(store: Store, gcs: GcsServer) -> None:
    assert all(finding.ok for finding in store.check())

    def settings(seen: Seen, answer: Answer) -> Answer:
        if seen.path != f"/storage/v1/b/{BUCKET}":
            return answer
        rules = [{"action": {"type": "Delete"}, "condition": {"age": 30}}]
        shown = {**json.loads(answer.body), "versioning": {"enabled": True}, "lifecycle": {"rule": rules}}
        return replace(answer, body=json.dumps(shown).encode())

    gcs.after = settings
    wrong = [finding for finding in store.check() if not finding.ok]
    assert ["after 30 days" in wrong[0].what, "old version" in wrong[1].what] == [True, True]
    assert all(finding.remedy for finding in wrong)
    gcs.after = lambda _, answer: answer
    gcs.before = lambda seen: failure(403, "no") if seen.path == f"/storage/v1/b/{BUCKET}" else None
    assert all(finding.ok for finding in store.check())


# --- the connection ---


@pytest.mark.usefixtures("gcs")
@pytest.mark.parametrize(
    "extra",
    [
        {"keyfile_dict": '{"type": "service_account", "private_key": "geheim"}'},
        {"keyfile_dict": "geheim"},
        {"key_path": "/nowhere/geheim.json"},
        {"key_secret_name": "geheim"},
    ],
)
def test_connection_that_does_not_work_is_refused_without_its_secret(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, str]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TEST_GS", json.dumps({"conn_type": "google_cloud_platform", "extra": extra}))
    with pytest.raises(StoreDenied) as refusal:
        opened().identify(None)
    assert "geheim" not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.remedy
