"""A branch whose key may only put objects under its own prefix, with a real server that enforces it.

Nothing is archived before the centre has seen it, nothing is sent twice or overwritten, and whatever goes wrong heals.
"""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta

import pytest

import weed
from catalogue_world import NOW, a_run, ask
from unseen_world import Branch
from vms.config import StoreConfig
from vms.errors import CatalogueError
from vms.model import Recorded, dump, load
from vms.receipts import CopyReceipt, InTheWay
from vms.steps.look_ahead import look_ahead
from vms.steps.release import release
from vms.steps.standing import VOUCHED_FOR, vouch
from vms.steps.unseen import kept_unproven
from vms.steps.upload import missing_of
from vms_airflow import tasks


def test_what_a_branch_puts_is_archived_when_the_centre_has_seen_it(branch: Branch) -> None:
    batch = branch.plan()
    assert batch.stores[0].identity  # the centre has prepared the store
    (made,) = branch.compress(batch)
    (sent,) = branch.send(batch, (made,))
    assert (sent.copies, sent.store_faults, sent.fault) == ((), {}, None)
    assert [one.part for one in sent.unproven] == ["rendition", "poster", "sprite"]
    assert all(one.bytes_sent == one.size_bytes for one in sent.unproven)
    assert missing_of(batch, (sent,)).enough
    assert "to be proven by the centre" in "\n".join(branch.ground.said)
    assert branch.record(batch, (sent,)).unfinished == (batch.items[0].recording_id,)  # a branch's word is no proof
    assert branch.custody() == 0

    branch.at_centre()
    vouched = branch.prove(batch, (sent,))
    (proven,) = vouched.receipts
    assert vouched.missing.enough
    assert {(one.part, one.key, one.sha256) for one in proven.copies} == {
        (one.part, one.key, one.sha256) for one in sent.unproven
    }
    assert all(one.checksum.startswith("crc32:") for one in proven.copies)
    assert {key: hashlib.sha256(data).hexdigest() for key, data in branch.objects().items()} == {
        one.key: one.sha256 for one in proven.copies
    }
    (order,) = branch.record(batch, (proven,)).archived
    assert branch.custody() == 1

    # its sources go when the centre has seen it lately, and stay when it has not
    def released(*orders: object) -> list[bool]:
        done = release(
            branch.ground.site, branch.ground.home, orders, (), now=NOW, report=lambda _: None, may_look=False
        )
        return [one.done for one in done]

    (seen_now,) = vouch((order,), NOW, lambda _: None)
    assert seen_now.vouched_at == NOW
    branch.at_branch()
    old = replace(order, vouched_at=NOW - VOUCHED_FOR - timedelta(minutes=1))
    assert (released(order), released(old)) == ([False], [False])
    client = branch.server.client()
    client.delete_object(Bucket=weed.BUCKET, Key=f"{branch.prefix}/{seen_now.copies[0].key}")
    branch.at_centre()
    assert vouch((order,), NOW, lambda _: None) == (order,)
    branch.at_branch()
    assert released(seen_now) == [True]
    assert not (branch.ground.site.footage / "lobby 0.mp4").exists()


def test_a_forged_receipt_archives_nothing_and_leaves_nothing_in_the_catalogue(
    branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the very task: a branch that says it was all seen, when nothing is there."""
    branch.ground.site = replace(branch.ground.site, runs_on="edge")
    batch = branch.plan()
    (sent,) = branch.send(batch, branch.compress(batch))
    client = branch.server.client()
    for key in branch.objects():
        client.delete_object(Bucket=weed.BUCKET, Key=f"{branch.prefix}/{key}")
    invented = tuple(
        CopyReceipt(one.store_id, one.part, one.key, one.size_bytes, one.sha256, "crc32:00000000", NOW, one.bytes_sent)
        for one in sent.unproven
    )
    ((away,),) = ask(branch.conn, "INSERT INTO store (name, url) VALUES ('away', 's3://away') RETURNING store_id")
    way = InTheWay(batch.stores[0].store_id, f"{batch.items[0].key_stem}.mp4", 1, None, "a lie")
    identities = {str(away): "ours from now on"}
    lie = replace(sent, copies=invented, unproven=(), in_the_way=(way,), store_identities=identities)
    no_store = replace(sent, unproven=(replace(sent.unproven[0], store_id=away),))
    stranger = replace(sent, recording_id=sent.recording_id + 1)

    monkeypatch.setattr(tasks, "installation", lambda _: (branch.ground.home, None, branch.ground.site))
    monkeypatch.setattr(tasks, "catalogue", lambda _: nullcontext(branch.conn))
    monkeypatch.setattr(tasks, "get_current_context", dict)
    monkeypatch.setattr(tasks, "run_ref", lambda _: a_run(branch.runs))
    monkeypatch.setattr(tasks, "wait_for_stores", lambda *_: None)
    monkeypatch.setattr(tasks, "_use_hooks", lambda: None)
    branch.at_centre()
    for forged in (lie, replace(lie, unproven=sent.unproven), no_store):
        recorded = load(Recorded, tasks.record.function("ho", dump(batch), dump((forged,))))
        assert (recorded.archived, recorded.unfinished) == ((), (sent.recording_id,))
    with pytest.raises(CatalogueError, match="never held"):
        tasks.record.function("ho", dump(batch), dump((stranger,)))
    assert branch.custody() == 0
    assert ask(branch.conn, "SELECT * FROM copy") == []
    assert ask(branch.conn, "SELECT name FROM store WHERE identity IS NOT NULL") == [("cloud",)]

    branch.ground.site = replace(branch.ground.site, runs_on="centre")
    recorded = load(Recorded, tasks.record.function("ho", dump(batch), dump((sent,))))
    assert recorded.archived == (), "what was put unseen is looked for, also when the site has moved to the centre"


def test_a_folder_at_the_branch_is_the_branchs_to_prove(branch: Branch) -> None:
    """The centre can't reach it."""
    nas = StoreConfig("nas", f"file://{branch.ground.root}/nas at the branch")
    (branch.ground.root / "nas at the branch").mkdir()
    branch.ground.site = replace(branch.ground.site, stores=(*branch.ground.site.stores, nas))
    recorded, _ = branch.whole()
    (order,) = recorded.archived
    assert len({one.store_id for one in order.copies if one.part == "rendition"}) == 2
    assert ask(branch.conn, "SELECT count(*) FROM store WHERE identity IS NOT NULL") == [(2,)]


def test_a_try_that_died_anywhere_is_gone_on_with_and_sends_nothing_twice(branch: Branch) -> None:
    batch = branch.plan()
    receipts = branch.compress(batch)
    first = branch.send(batch, receipts)
    # the receipts were lost, or the task is called again as another store is out
    again = branch.send(batch, receipts)
    assert again[0].unproven == first[0].unproven
    assert branch.ground.said == []
    # its record, too: the centre could not look when it planned the next run
    later = replace(batch, batch_id=batch.batch_id + 1, items=tuple(replace(one, seen=()) for one in batch.items))
    assert branch.send(later, branch.compress(later))[0].unproven == first[0].unproven
    assert branch.ground.said == []
    # killed after the server had it and before that was written down: it is sent once more, and nothing is overwritten
    sidecar = next(branch.ground.staging.glob("*.receipt.json"))
    before = branch.objects()
    sidecar.unlink()
    assert kept_unproven(branch.ground.staging, batch.items[0]) == ()
    third = branch.send(batch, receipts)
    assert branch.objects() == before
    branch.at_centre()
    assert branch.record(batch, branch.prove(batch, third).receipts).unfinished == ()
    assert branch.custody() == 1


def test_what_the_centre_sees_counts_more_than_what_the_branch_remembers(branch: Branch) -> None:
    batch = branch.plan()
    sent = branch.send(batch, branch.compress(batch))
    rendition = sent[0].unproven[0].key
    branch.server.client().delete_object(Bucket=weed.BUCKET, Key=f"{branch.prefix}/{rendition}")
    branch.at_centre()
    vouched = branch.prove(batch, sent)
    fault = vouched.receipts[0].store_faults["cloud"]
    assert (fault.reason, fault.permanent) == ("not_proven", False)
    assert rendition in fault.message
    assert not vouched.missing.enough
    assert branch.record(batch, vouched.receipts).archived == ()
    recorded, _ = branch.whole()
    assert len(recorded.archived) == 1
    assert rendition in branch.objects()


def test_a_branch_that_lost_its_memory_sends_nothing_that_the_centre_sees(branch: Branch) -> None:
    batch = branch.plan()
    branch.send(batch, branch.compress(batch))
    branch.ground.clear_staging()
    recorded, proven = branch.whole()
    assert len(recorded.archived) == 1
    assert [one.bytes_sent for one in proven[0].copies if one.part == "rendition"] == [0]


@pytest.mark.parametrize("seen_by_the_centre", [True, False])
def test_the_rendition_of_an_earlier_try_is_taken_over_by_the_centre(branch: Branch, seen_by_the_centre: bool) -> None:
    batch = branch.plan()
    (first,) = branch.send(batch, branch.compress(batch))
    before = branch.objects()
    branch.ground.clear_staging()
    again = branch.plan()
    if not seen_by_the_centre:
        again = replace(again, items=tuple(replace(one, seen=()) for one in again.items))
    (fresh,) = branch.send(again, branch.compress(again, crf=30))
    assert fresh.unproven[0].sha256 != first.unproven[0].sha256
    branch.at_centre()
    (proven,) = branch.prove(again, (fresh,)).receipts
    assert branch.objects() == before
    assert proven.rendition is not None
    assert proven.rendition.sha256 == first.unproven[0].sha256
    assert len(branch.record(again, (proven,)).archived) == 1
    assert list(branch.ground.home.staging.rglob(".vouch-*")) == []


@pytest.mark.parametrize("kind", ["stranger", "damaged"])
def test_what_lies_in_the_way_stays_and_the_recording_goes_beside_it(branch: Branch, kind: str) -> None:
    batch = branch.plan()
    receipts = branch.compress(batch)
    made = receipts[0].rendition
    assert made is not None
    key = f"{batch.items[0].key_stem}.mp4"
    data = b"not a video" if kind == "stranger" else bytes(made.size_bytes)
    branch.lay(key, data, **({} if kind == "stranger" else {"sha256": made.sha256}))
    sent = branch.send(batch, receipts)
    branch.at_centre()
    vouched = branch.prove(batch, sent)
    fault = vouched.receipts[0].store_faults["cloud"]
    assert (fault.reason, fault.permanent) == ("store_conflict", False)
    assert "beside" in fault.remedy
    assert [one.key for one in vouched.receipts[0].in_the_way] == [key]
    for _ in range(2):  # a task that is cleared says the same
        assert branch.record(batch, vouched.receipts).archived == ()
    assert branch.custody() == 0

    recorded, proven = branch.whole()
    assert len(recorded.archived) == 1
    beside = key.replace(".mp4", ".r1.mp4")
    assert [one.key for one in proven[0].copies if one.part == "rendition"] == [beside]
    assert branch.objects()[key] == data
    assert hashlib.sha256(branch.objects()[beside]).hexdigest() == made.sha256
    assert ask(branch.conn, "SELECT key, kind FROM stray_object") == [(key, "damaged")]
    events = [one for (one,) in ask(branch.conn, "SELECT event FROM lineage ORDER BY lineage_id")]
    assert [events.count(one) for one in ("copy_damaged", "repaired", "archived")] == [1, 1, 1]


def test_a_stolen_branch_writes_nothing_at_the_centre_and_looks_at_nothing_of_others(branch: Branch) -> None:
    """What it has put in place of a rendition is taken over where it says: into the file of the stores' keys, say."""
    batch = branch.plan()
    (made,) = branch.compress(batch)
    key = f"{batch.items[0].key_stem}.mp4"
    evil = b'{"cloud": {"conn_type": "aws", "extra": {"endpoint_url": "https://thief.example"}}}'
    branch.lay(key, evil)
    (sent,) = branch.send(batch, (made,))
    assert sent.rendition is not None
    branch.at_centre()
    secret = branch.ground.home.connections
    before = secret.read_bytes()
    branch.ground.home.staging.mkdir(parents=True, exist_ok=True)
    for there in (str(secret), "../../secrets/connections.json", "..", "sub/taken.mp4", ""):
        forged = replace(
            sent,
            source_sha256=hashlib.sha256(evil).hexdigest(),
            rendition=replace(sent.rendition, file=there),
        )
        (told,) = branch.prove(batch, (forged,)).receipts
        assert (told.copies, told.store_faults["cloud"].reason) == ((), "store_conflict")
        assert "outside" in told.store_faults["cloud"].message
        assert secret.read_bytes() == before

    branch.server.client().delete_object(Bucket=weed.BUCKET, Key=f"{branch.prefix}/{key}")
    large = bytes(batch.items[0].sources[0].size_bytes + (2 << 20))
    branch.lay(key, large)
    (told,) = branch.prove(batch, (replace(sent, source_sha256=hashlib.sha256(large).hexdigest()),)).receipts
    assert "larger than its source" in told.store_faults["cloud"].message

    other = key.replace("ho/lobby/", "mks/gate/")
    branch.lay(other, evil)
    (told,) = branch.prove(batch, (replace(sent, unproven=(replace(sent.unproven[0], key=other),)),)).receipts
    assert (told.copies, told.in_the_way, told.store_faults) == ((), (), {})
    assert branch.record(batch, (told,)).archived == ()


def test_another_preview_under_its_key_is_kept(branch: Branch) -> None:
    batch = branch.plan()
    branch.lay(f"{batch.items[0].key_stem}.poster.jpg", b"of an earlier try")
    recorded, proven = branch.whole()
    assert len(recorded.archived) == 1
    poster = next(one for one in proven[0].copies if one.part == "poster")
    assert poster.sha256 == hashlib.sha256(b"of an earlier try").hexdigest()


def test_a_centre_that_can_not_look_now_waits_and_the_branch_sends_nothing_again(branch: Branch) -> None:
    batch = branch.plan()
    receipts = branch.compress(batch)
    sent = branch.send(batch, receipts)
    branch.at_centre("http://127.0.0.1:9")
    vouched = branch.prove(batch, sent)
    assert (vouched.missing.enough, vouched.missing.line, vouched.missing.act) == (False, True, False)
    assert vouched.receipts[0].store_faults["cloud"].reason == "store_unreachable"
    assert branch.record(batch, vouched.receipts).archived == ()
    (blind,) = look_ahead(branch.conn, (batch,), branch.ground.said.append)
    assert blind.items[0].seen == ()
    later = replace(blind, batch_id=batch.batch_id + 1)
    assert branch.send(later, receipts)[0].unproven == sent[0].unproven
    assert branch.ground.said == []
