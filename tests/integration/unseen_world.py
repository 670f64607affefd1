"""A branch whose key may only put objects under its own prefix, with a real server that enforces it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

import weed
from catalogue_world import NOW, a_run, ask, seen, sensed
from upload_world import PROFILE, START, Ground
from vms.catalogue.connection import Connection
from vms.catalogue.custody import record_receipts
from vms.catalogue.planning import plan_run
from vms.config import StoreConfig
from vms.footage import fingerprint
from vms.model import Batch, Recorded
from vms.receipts import Receipt
from vms.sightings import SourceSeen
from vms.steps.compress import compress_batch
from vms.steps.look_ahead import look_ahead
from vms.steps.upload import upload_batch
from vms.steps.vouch import Vouched, prove_unproven

CONN = "AIRFLOW_CONN_CLOUD"


@dataclass
class Branch:
    """One file on its way from a branch to a bucket, with the real catalogue at the centre."""

    ground: Ground
    conn: Connection
    server: weed.S3Server
    prefix: str
    use_key: Callable[[str, str], None]
    runs: int = 0

    def at_branch(self) -> None:
        self.use_key(weed.BRANCH, self.server.endpoint)

    def at_centre(self, endpoint: str = "") -> None:
        self.use_key(weed.ACCESS, endpoint or self.server.endpoint)

    def plan(self) -> Batch:
        """As the task does: what the catalogue says, and what the centre sees in the store."""
        self.at_centre()
        self.runs += 1
        path = self.ground.site.footage / "lobby 0.mp4"
        found = path.stat()
        source = SourceSeen(path.name, found.st_size, found.st_mtime_ns)
        sighting = replace(
            seen(path.name, start=START, duration_s=4.0), source=source, fingerprint=fingerprint(path), fps=10.0
        )
        made = plan_run(self.conn, self.ground.site, sensed(sighting), a_run(self.runs), NOW)
        (batch,) = look_ahead(self.conn, made.batches, self.ground.said.append)
        return batch

    def compress(self, batch: Batch, crf: int = PROFILE.crf) -> tuple[Receipt, ...]:
        site = replace(self.ground.site, profile=replace(PROFILE, crf=crf))
        return compress_batch(batch, site, self.ground.home, report=self.ground.said.append)

    def send(self, batch: Batch, receipts: tuple[Receipt, ...]) -> tuple[Receipt, ...]:
        self.at_branch()
        self.ground.said.clear()
        told = self.ground.said.append
        return upload_batch(batch, receipts, self.ground.site, self.ground.home, report=told, may_look=False)

    def prove(self, batch: Batch, sent: tuple[Receipt, ...]) -> Vouched:
        """At the centre nothing is staged."""
        site = replace(self.ground.site, staging=self.ground.root / "nothing is staged here")
        return prove_unproven(batch, sent, site, self.ground.home, self.ground.said.append)

    def record(self, batch: Batch, receipts: tuple[Receipt, ...]) -> Recorded:
        return record_receipts(self.conn, batch, receipts, a_run(self.runs), NOW, timedelta(0))

    def whole(self, crf: int = PROFILE.crf) -> tuple[Recorded, tuple[Receipt, ...]]:
        """A run without accidents."""
        batch = self.plan()
        sent = self.send(batch, self.compress(batch, crf))
        self.at_centre()
        proven = self.prove(batch, sent).receipts
        return self.record(batch, proven), proven

    def objects(self) -> dict[str, bytes]:
        client = self.server.client()
        listed = client.list_objects_v2(Bucket=weed.BUCKET, Prefix=f"{self.prefix}/ho/").get("Contents", ())
        return {
            one["Key"].removeprefix(f"{self.prefix}/"): client.get_object(Bucket=weed.BUCKET, Key=one["Key"])[
                "Body"
            ].read()
            for one in listed
        }

    def lay(self, key: str, data: bytes, **metadata: str) -> None:
        """An object by somebody else."""
        self.server.client().put_object(
            Bucket=weed.BUCKET, Key=f"{self.prefix}/{key}", Body=data, Metadata=metadata, ChecksumAlgorithm="CRC32"
        )

    def custody(self) -> int:
        ((custody,),) = ask(self.conn, "SELECT custody FROM recording")
        return int(custody)


@pytest.fixture
def branch(ground: Ground, conn: Connection, s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch) -> Branch:
    prefix = f"{weed.BRANCH_PREFIX}-{secrets.token_hex(6)}"
    ground.site = replace(
        ground.site,
        stores=(StoreConfig("cloud", f"s3://{weed.BUCKET}/{prefix}", conn_id="cloud"),),
        keep_source=timedelta(0),
    )
    ground.clear_staging()
    return Branch(
        ground,
        conn,
        s3_server,
        prefix,
        lambda key, endpoint: monkeypatch.setenv(CONN, weed.connection_text(endpoint, key)),
    )
