"""Bytes that change, get lost or go missing on the way to Google Cloud Storage, there, or on the way back."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from gcs_server import BUCKET, Answer, GcsServer, Seen, failure
from gcs_world import KEY, PART, Staged, content, flipped, staged
from gcs_world import hasty as hasty  # fixtures
from gcs_world import large as large
from gcs_world import small as small
from gcs_world import store as store
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from vms.errors import StoreConflict, StoreError, StoreUnreachable
from vms.stores import FileRotted, ObjectMissing, Store


def test_object_that_others_wrote_is_read_back_and_taken_when_equal(store: Store, small: Staged) -> None:
    bucket = storage.Client(project="test", credentials=AnonymousCredentials()).bucket(BUCKET)
    bucket.blob(f"archive/{KEY}").upload_from_string(small.data)
    assert small.put(store).bytes_sent == 0
    bucket.blob(f"archive/{KEY}").upload_from_string(flipped(small.data, 7))
    with pytest.raises(StoreConflict, match=small.sha256):
        small.put(store)
    assert content(store) == flipped(small.data, 7)


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
