"""The policies in docs/policies allow every request that the stores make, and nothing that they do not make."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import random
import re
import secrets
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from gcs_server import BUCKET, Answer, GcsServer, Seen, failure

import weed
from vms.errors import StoreDenied, StoreError
from vms.home import PROJECT_ROOT
from vms.model import StoreOptions
from vms.stores import Store, connections, narrow, open_store
from vms.stores.gcs import GcsStore
from vms.stores.narrow_check import narrow_findings
from vms.stores.s3 import S3Store
from vms.stores.s3_client import make_client
from vms.stores.s3_put import PART_BYTES, WHOLE_BYTES
from vms.stores.s3_rights import ACTIONS, DELETE_VERSION, PUT_LOCK, PUT_TAGS, SEE_LOCK
from vms.stores.unseen import PutsUnseen

POLICIES = PROJECT_ROOT / "docs/policies"
KEY = "ho/lobby/2026/01/31/20260131T235959Z_0123456789ab.mp4"
LARGE = WHOLE_BYTES + PART_BYTES
OPTIONS = StoreOptions(encryption="AES256", tags=(("department", "security"),), lock_days=1)

Wanted = set[tuple[str, str]]
"""Rights and what each was used on."""


@dataclass
class Recorder:
    """Every request that the stores' S3 clients make, as the right that it takes. careless: those that could overwrite
    an object."""

    wanted: Wanted = field(default_factory=set)
    careless: list[str] = field(default_factory=list)

    def note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        if model.name in ("PutObject", "CompleteMultipartUpload") and params.get("IfNoneMatch") != "*":
            self.careless.append(model.name)
        bucket = f"arn:aws:s3:::{params['Bucket']}"
        keys = [one["Key"] for one in params.get("Delete", {}).get("Objects", ())] or [params.get("Key")]
        places = [bucket if key is None else f"{bucket}/{key}" for key in keys]
        actions = [DELETE_VERSION if "VersionId" in params else ACTIONS[model.name]]
        actions += [PUT_TAGS] if "Tagging" in params else []
        actions += [PUT_LOCK] if "ObjectLockMode" in params else []
        self.wanted |= {(action, place) for action in actions for place in places}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    made = Recorder()

    def client(conn_id: str) -> Any:
        new = make_client(conn_id)
        new.meta.events.register("provide-client-params.s3", made.note)
        return new

    connections.use_clients("s3", client)
    yield made
    connections.use_clients("s3", None)


def grants(name: str, bucket: str, prefix: str) -> list[tuple[str, str]]:
    """Every right of a policy with the pattern of what it is granted on."""
    text = (POLICIES / name).read_text().replace("COMPANY-BUCKET", bucket).replace("PREFIX", prefix)
    return granted_by(json.loads(text)["Statement"])


def granted_by(statements: list[dict[str, Any]]) -> list[tuple[str, str]]:
    found = []
    for statement in statements:
        assert set(statement) == {"Sid", "Effect", "Action", "Resource"}
        assert statement["Effect"] == "Allow"
        actions = statement["Action"]
        found += [(one, statement["Resource"]) for one in ([actions] if isinstance(actions, str) else actions)]
    return found


def refused(wanted: Wanted, granted: list[tuple[str, str]]) -> Wanted:
    return {
        one
        for one in wanted
        if not any(one[0] == action and fnmatch.fnmatchcase(one[1], place) for action, place in granted)
    }


def unused(wanted: Wanted, granted: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (action, place)
        for action, place in granted
        if not any(one[0] == action and fnmatch.fnmatchcase(one[1], place) for one in wanted)
    ]


def _archive(store: Store, folder: Path, size: int) -> None:
    """All that archiving, auditing, viewing and checking do, a broken upload that goes on included."""
    file = folder / "staged"
    data = random.Random(size).randbytes(size)
    file.write_bytes(data)
    wanted = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": size}

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    store.identify(None)
    with pytest.raises(KeyboardInterrupt):
        store.put(file, KEY, **wanted, progress=stop)
    store.put(file, KEY, **wanted)
    store.put(file, KEY, **wanted)
    store.put(file, KEY.replace(".mp4", ".poster.jpg"), **wanted, preview=True)
    assert store.head(KEY) is not None
    assert store.head("ho/none.mp4") is None
    assert next(store.open_range(KEY, 0, 10))
    assert len(list(store.list("ho/"))) == 2
    store.check()


def test_aws_policies_fit_what_the_store_does(
    recorder: Recorder, s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket, prefix = f"policy-{secrets.token_hex(4)}", "cctv/archive"
    s3_server.client().create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    monkeypatch.setenv("AIRFLOW_CONN_POLICY", weed.connection_text(s3_server.endpoint))
    store = open_store("cloud", f"s3://{bucket}/{prefix}", conn_id="policy", options=OPTIONS)
    _archive(store, tmp_path, LARGE)
    archive, retention, rules = (grants(f"aws-{one}.json", bucket, prefix) for one in ("archive", "retention", "rules"))
    # what was done to footage it may do; of deleting, only the probes
    assert refused(recorder.wanted, archive) == set()
    assert unused(recorder.wanted, archive) == []
    recorder.wanted.clear()
    store.delete([KEY])
    assert refused(recorder.wanted, archive) == {("s3:DeleteObject", f"arn:aws:s3:::{bucket}/{prefix}/{KEY}")}
    assert isinstance(store, S3Store)
    assert store.bring_back([KEY]) == [KEY]
    assert store.hold([KEY], on=True) == {KEY: ""}
    assert store.protection(KEY) is not None
    store.hold([KEY], on=False)
    with contextlib.suppress(StoreError):  # this server has no cold storage
        store.wake(KEY)
    assert refused(recorder.wanted, archive + retention) == set()
    assert {action for action, _ in unused(recorder.wanted, retention)} == set(SEE_LOCK)
    recorder.wanted.clear()
    store.write_lifecycle(store.lifecycle({"ho": 400}, 7))
    assert refused(recorder.wanted, archive + retention) == set(rules)
    assert not [one for one in store.check() if not one.ok]


def test_the_viewer_and_exports_need_no_more_than_to_read(
    recorder: Recorder, s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a key that really can do no more."""
    prefix = f"{weed.READ_PREFIX}-{secrets.token_hex(4)}"
    url, file = f"s3://{weed.BUCKET}/{prefix}", tmp_path / "staged"
    file.write_bytes(b"footage")
    sent = {"sha256": hashlib.sha256(b"footage").hexdigest(), "size_bytes": 7}
    monkeypatch.setenv("AIRFLOW_CONN_WRITES", weed.connection_text(s3_server.endpoint))
    monkeypatch.setenv("AIRFLOW_CONN_READS", weed.connection_text(s3_server.endpoint, weed.READER))
    writes, reads = (open_store("cloud", url, conn_id=one) for one in ("writes", "reads"))
    assert isinstance(reads, S3Store)
    identity = writes.identify(None)
    writes.put(file, KEY, **sent)
    recorder.wanted.clear()
    reads.identify(identity)
    assert b"".join(reads.open_range(KEY)) == b"footage"
    assert reads.head("ho/none.mp4") is None
    assert reads.coldness(KEY) is None
    with urllib.request.urlopen(reads.link(KEY, 60, "video/mp4", "inline", "")) as answer:  # noqa: S310 - our own
        assert answer.read() == b"footage"
    with contextlib.suppress(StoreError):  # this server has no cold storage
        reads.wake(KEY)
    granted = grants("aws-viewer.json", weed.BUCKET, prefix)
    assert refused(recorder.wanted, granted) == set()
    assert unused(recorder.wanted, granted) == [("s3:ListBucket", f"arn:aws:s3:::{weed.BUCKET}")]
    with pytest.raises(StoreDenied):
        reads.put(file, KEY.replace("lobby", "gate"), **sent)
    assert reads.delete([KEY]) == []
    assert writes.head(KEY) is not None


def _branch(store: PutsUnseen, folder: Path, size: int) -> None:
    """All that a branch does in a bucket: a broken upload that goes on, one that comes too late, and previews."""
    file, late = folder / "staged", folder / "staged too"
    for path in (file, late):
        path.write_bytes(random.Random(size).randbytes(size))
    wanted = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "size_bytes": size}

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.put_unseen(file, KEY, **wanted, progress=stop)
    store.put_unseen(file, KEY, **wanted)
    store.put_unseen(late, KEY, **wanted)
    file.write_bytes(b"small")
    wanted = {"sha256": hashlib.sha256(b"small").hexdigest(), "size_bytes": 5}
    for _ in range(2):
        store.put_unseen(file, KEY.replace(".mp4", ".poster.jpg"), **wanted, preview=True)


def test_a_branch_needs_no_more_than_its_policy(
    recorder: Recorder, s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket, prefix = f"policy-{secrets.token_hex(4)}", "cctv/archive"
    s3_server.client().create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    monkeypatch.setenv("AIRFLOW_CONN_POLICY", weed.connection_text(s3_server.endpoint))
    store = open_store("cloud", f"s3://{bucket}/{prefix}", conn_id="policy", options=OPTIONS)
    assert isinstance(store, S3Store)
    _branch(store, tmp_path, LARGE)
    for trial in store.narrow_trials("ho"):
        if not trial.must_fail:
            trial.do()
    allow, deny = narrow.s3_policy(bucket, prefix, "ho", OPTIONS)["Statement"]
    granted = granted_by([allow])
    assert refused(recorder.wanted, granted) == set()
    assert unused(recorder.wanted, granted) == []
    # what creates an object without saying that there must be none is forbidden, and never asked for
    assert (deny["Effect"], deny["Action"], deny["Resource"]) == ("Deny", "s3:PutObject", allow["Resource"])
    assert recorder.careless == []
    # nothing of it reaches another site, not even one whose name begins alike, nor the store's identity
    for other in ("jkt/x.mp4", "hoo/x.mp4", "ho", ".vms-store.json"):
        assert refused({("s3:PutObject", f"arn:aws:s3:::{bucket}/{prefix}/{other}")}, granted)


def test_a_branch_may_try_its_key_before_the_centre_has_been_there(
    s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the trial leaves does not keep the centre from making a store of the place; anything else does."""
    monkeypatch.setenv("AIRFLOW_CONN_TRIES", weed.connection_text(s3_server.endpoint, weed.BRANCH))
    monkeypatch.setenv("AIRFLOW_CONN_CENTRE", weed.connection_text(s3_server.endpoint))
    file = tmp_path / "staged"
    file.write_bytes(b"small")
    for footage in (False, True):
        url = f"s3://{weed.BUCKET}/{weed.BRANCH_PREFIX}-{secrets.token_hex(4)}"
        tried, centre = (open_store("cloud", url, conn_id=one) for one in ("tries", "centre"))
        assert isinstance(tried, S3Store)
        assert [one.what for one in narrow_findings(tried, "cloud", "ho") if not one.ok] == []
        if footage:
            tried.put_unseen(file, KEY, sha256=hashlib.sha256(b"small").hexdigest(), size_bytes=5)
            with pytest.raises(StoreError, match="holds other things"):
                centre.identify(None)
        else:
            assert centre.identify(None)


def test_a_branch_may_try_its_google_account_before_the_centre_has_been_there(gcs: GcsServer) -> None:
    store = open_store("cloud", f"gs://{BUCKET}/archive", conn_id="test_gs")
    assert isinstance(store, GcsStore)
    _narrowed(gcs, set(narrow.gcs_rights(StoreOptions())), b"archive/ho/")
    assert [one.what for one in narrow_findings(store, "cloud", "ho") if not one.ok] == []
    gcs.heal()
    assert store.identify(None)


def test_the_policies_of_branches_in_the_documents_are_those_that_are_printed() -> None:
    locked = replace(OPTIONS, encryption="")
    assert json.loads((POLICIES / "aws-branch.json").read_text()) == narrow.s3_policy(
        "COMPANY-BUCKET", "PREFIX", "SITE", locked
    )
    role = yaml.safe_load((POLICIES / "gcp-branch-role.yaml").read_text())
    assert tuple(role["includedPermissions"]) == narrow.gcs_rights(locked)
    assert narrow.gcs_rights(StoreOptions()) == ("storage.objects.create",)
    key = "arn:aws:kms:ap-southeast-3:1:key/2"
    (*_, kms) = narrow.s3_policy("b", "", "ho", StoreOptions(encryption=f"aws:kms:{key}"))["Statement"]
    assert kms["Resource"] == key


def _narrowed(gcs: GcsServer, allowed: set[str], prefix: bytes) -> None:
    """Let the server refuse all but these rights, and new objects elsewhere, as Google's would."""

    def before(seen: Seen) -> Answer | None:
        name = re.search(rb'"name":\s*"([^"]+)"', seen.body) if seen.method == "POST" else None
        lacks = set(_right(seen)) - allowed
        if name is not None and not name[1].startswith(prefix):
            lacks = {"storage.objects.create"}
        return failure(403, f"vms-branch does not have {lacks.pop()} access.", "forbidden") if lacks else None

    gcs.before = before


def test_a_branch_needs_no_more_than_its_google_role(gcs: GcsServer, tmp_path: Path) -> None:
    options = StoreOptions(lock_days=1)
    store = open_store("cloud", f"gs://{BUCKET}/archive", conn_id="test_gs", options=options)
    assert isinstance(store, GcsStore)
    assert f'"projects/_/buckets/{BUCKET}/objects/archive/ho/"' in narrow.gcs_condition(BUCKET, "archive", "ho")
    _narrowed(gcs, set(narrow.gcs_rights(options)), b"archive/ho/")
    _branch(store, tmp_path, 9_000_000)
    # Google may say of an object that is there that the right to overwrite it lacks
    gcs.after = lambda _, answer: (
        failure(403, "vms-branch does not have storage.objects.delete access.") if answer.status == 412 else answer
    )
    file = tmp_path / "staged"
    small = {"sha256": hashlib.sha256(b"small").hexdigest(), "size_bytes": 5}
    assert store.put_unseen(file, KEY.replace(".mp4", ".poster.jpg"), **small, preview=True).checksum
    told = narrow_findings(store, "cloud", "ho")
    assert [one.what for one in told if not one.ok] == []
    assert "it is refused to read, to list, to delete, to write outside its site" in told[-1].what
    gcs.heal()
    wide = [one.what for one in narrow_findings(store, "cloud", "ho") if not one.ok]
    assert [one.removeprefix("this key can ") for one in wide] == [
        "read objects",
        "list the bucket",
        "delete and overwrite objects",
        "put objects outside of its site's prefix",
    ]
    gcs.before = lambda _: failure(403, "no", "forbidden")
    (nothing,) = narrow_findings(store, "cloud", "ho")
    assert "vms branch policy ho --store cloud" in nothing.remedy


def test_every_request_of_the_code_has_its_right() -> None:
    """A new request without one would make a refusal that names nothing."""
    code = "".join(one.read_text() for one in (PROJECT_ROOT / "include/vms/stores").glob("s3*.py"))
    calls = set(re.findall(r"(?:client|_client\(\)|client\(\))\.([a-z_]+)\(", code))
    calls |= set(re.findall(r'get_paginator\("([a-z0-9_]+)"\)', code))
    requests = {"".join(word.capitalize() for word in one.split("_")) for one in calls - {"get_paginator"}}
    assert requests == set(ACTIONS)


def _right(seen: Seen) -> list[str]:
    if seen.path.startswith("/batch/"):
        return ["storage.objects.delete"] * seen.body.count(b"DELETE ")
    if seen.path.endswith("/iam/testPermissions"):
        return []
    if seen.path.startswith("/upload/"):
        lock = ["storage.objects.setRetention"] if b"retainUntilTime" in seen.body else []
        return ["storage.objects.create", *lock]
    if seen.method == "DELETE":
        return ["storage.objects.delete"]
    if seen.method == "PATCH":
        return [f"storage.{'objects' if '/o/' in seen.path else 'buckets'}.update"]
    if seen.is_part or "upload_id" in seen.query:
        return ["storage.objects.create"]
    assert seen.method == "GET", seen
    if seen.path == f"/storage/v1/b/{BUCKET}":
        return ["storage.buckets.get"]
    return ["storage.objects.list" if seen.path.endswith("/o") else "storage.objects.get"]


def test_google_roles_fit_what_the_store_does(gcs: GcsServer, tmp_path: Path) -> None:
    archive, retention, rules = (
        set(yaml.safe_load((POLICIES / f"gcp-{one}-role.yaml").read_text())["includedPermissions"])
        for one in ("archive", "retention", "rules")
    )
    options = StoreOptions(lock_days=1)
    store = open_store("cloud", f"gs://{BUCKET}/archive", conn_id="test_gs", options=options)
    _archive(store, tmp_path, 9_000_000)
    probes = [one for one in gcs.seen if b"vms-check" in one.body or "vms-check" in one.path]
    wanted = {right for one in gcs.seen if one not in probes for right in _right(one)}
    assert wanted == archive
    gcs.seen.clear()
    store.identify(store.identify(None))
    assert next(store.open_range(KEY, 0, 10))
    assert store.head("ho/none.mp4") is None
    reading = set(yaml.safe_load((POLICIES / "gcp-viewer-role.yaml").read_text())["includedPermissions"])
    assert {right for one in gcs.seen for right in _right(one)} == reading - {"storage.objects.list"}
    gcs.seen.clear()
    store.delete([KEY])
    file = tmp_path / "staged"
    wanted_again = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "size_bytes": file.stat().st_size}
    assert isinstance(store, GcsStore)
    store.put(file, KEY, **wanted_again)
    assert store.hold([KEY], on=True) == {KEY: ""}
    assert {right for one in gcs.seen for right in _right(one)} - archive == retention
    gcs.seen.clear()
    store.write_lifecycle(store.lifecycle({"ho": 400}, 7))
    assert {right for one in gcs.seen for right in _right(one)} - archive == rules
    assert [one.what for one in store.check() if not one.ok and "retention" not in one.what] == []
