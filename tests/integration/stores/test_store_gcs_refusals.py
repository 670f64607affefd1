"""Google Cloud Storage that is busy, away or says no: what is waited for, and what a person is told."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest
from gcs_server import BUCKET, Answer, GcsServer, Seen, failure
from gcs_world import KEY, PART, Staged, content, opened, times
from gcs_world import hasty as hasty  # fixtures
from gcs_world import large as large
from gcs_world import small as small
from gcs_world import store as store
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from vms.errors import StoreDenied, StoreUnreachable
from vms.stores import Store


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
    gcs.before = times(2, lambda _: True, failure(status, "slow down"))
    assert opened().identify(None) == store.identify(None)


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
    bucket.blob("archive/").upload_from_string(b"")  # as a console makes a folder
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
