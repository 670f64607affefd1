"""What a branch's key opens and what it does not, where it lacks something, and how it goes on with parts."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

import weed
from unseen_world import Branch
from vms.steps import upload
from vms.steps.upload import missing_of


def test_a_branch_that_writes_to_another_place_is_found_out(branch: Branch) -> None:
    batch = branch.plan()
    elsewhere = replace(batch.stores[0], url=f"{batch.stores[0].url}-moved")
    wrong = replace(batch, stores=(elsewhere,))
    sent = branch.send(wrong, branch.compress(batch))
    assert sent[0].store_faults == {}
    branch.at_centre()
    vouched = branch.prove(batch, sent)
    assert vouched.receipts[0].copies == ()
    assert "endpoint" in vouched.receipts[0].store_faults["cloud"].remedy


def test_a_store_that_the_centre_never_met_is_waited_for(branch: Branch) -> None:
    batch = branch.plan()
    unknown = replace(batch, stores=(replace(batch.stores[0], identity=None),))
    (sent,) = branch.send(unknown, branch.compress(batch))
    assert sent.store_faults["cloud"].reason == "store_unreachable"
    missing = missing_of(unknown, (sent,))
    assert (missing.enough, missing.line) == (False, True)
    assert branch.objects() == {}


def test_a_key_with_less_than_it_needs_names_what_lacks(branch: Branch) -> None:
    batch = branch.plan()
    item = replace(batch.items[0], site="jkt")  # another branch's prefix
    other = replace(batch, items=(item,))
    (sent,) = branch.send(other, branch.compress(batch))
    fault = sent.store_faults["cloud"]
    assert (fault.reason, fault.permanent) == ("store_denied", True)
    assert "s3:PutObject" in fault.remedy


def test_the_key_opens_nothing_else(branch: Branch) -> None:
    branch.whole()
    branch.lay("jkt/other", b"of another branch")
    thief = weed.client_of(branch.server, weed.BRANCH)
    key = next(iter(branch.objects()))
    own, other = f"{branch.prefix}/{key}", f"{branch.prefix}/jkt/other"
    for doing in (
        lambda: thief.get_object(Bucket=weed.BUCKET, Key=own),
        lambda: thief.head_object(Bucket=weed.BUCKET, Key=own),
        lambda: thief.get_object(Bucket=weed.BUCKET, Key=other),
        lambda: thief.get_object(Bucket=weed.BUCKET, Key=f"{branch.prefix}/.vms-store.json"),
        lambda: thief.list_objects_v2(Bucket=weed.BUCKET, Prefix=f"{branch.prefix}/ho/"),
        lambda: thief.list_multipart_uploads(Bucket=weed.BUCKET, Prefix=f"{branch.prefix}/ho/"),
        lambda: thief.delete_object(Bucket=weed.BUCKET, Key=own),
        lambda: thief.put_object(Bucket=weed.BUCKET, Key=f"{branch.prefix}/jkt/mine", Body=b"x"),
        lambda: thief.put_object(Bucket=weed.BUCKET, Key=f"{branch.prefix}/hoo/mine", Body=b"x"),
        lambda: thief.copy_object(Bucket=weed.BUCKET, Key=f"{own}2", CopySource=f"{weed.BUCKET}/{other}"),
    ):
        with pytest.raises(ClientError) as refusal:
            doing()
        assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_large_upload_goes_on_with_its_parts(branch: Branch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right to list the parts of an upload is there, and is used."""
    from vms.stores import s3_put
    from vms.stores.s3 import S3Store

    batch = branch.plan()
    monkeypatch.setattr(s3_put, "WHOLE_BYTES", 6 << 20)
    monkeypatch.setattr(s3_put, "PART_BYTES", 5 << 20)
    branch.at_branch()
    store = upload.met_unseen(batch.stores[0], None)
    assert isinstance(store, S3Store)
    data = secrets.token_bytes(17 << 20)
    file = tmp_path / "staged"
    file.write_bytes(data)
    wanted = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}

    def stop(sent: int) -> None:
        if sent > 11 << 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.put_unseen(file, "ho/lobby/large.mp4", **wanted, progress=stop)
    went_on: list[int] = []
    done = store.put_unseen(file, "ho/lobby/large.mp4", **wanted, progress=went_on.append)
    assert done.bytes_sent < 8 << 20
    assert branch.objects()["ho/lobby/large.mp4"] == data
    # there already: what was sent is refused at its end, and its parts do not stay behind
    shutil.copy2(file, tmp_path / "again")
    store.put_unseen(tmp_path / "again", "ho/lobby/large.mp4", **wanted)
    left = branch.server.client().list_multipart_uploads(Bucket=weed.BUCKET, Prefix=branch.prefix)
    assert left.get("Uploads", []) == []
