"""A bucket of Google Cloud Storage, or a prefix in one, as a store.

Every write is conditional on there being no object, so nothing is ever overwritten, whoever else writes. A copy counts
only after the server has checked its CRC32C and then describes the object with the right size and sums (`gcs_proof`).
Reading, listing and asking again go through the client library; uploads are in `gcs_upload`, so that they survive a
kill.
"""

from __future__ import annotations

import builtins
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from google.api_core import exceptions as api

from vms.errors import StoreDenied, StoreError, WrongStore
from vms.model import StoreOptions
from vms.stores import gcs_keeping, gcs_lifecycle, gcs_links, gcs_many, gcs_narrow, gcs_proof, gcs_upload
from vms.stores.base import (
    Finding,
    Pace,
    Progress,
    StoredObject,
    Tell,
    preview_options,
    valid_key,
    valid_range,
)
from vms.stores.gcs_bucket import SWITCH_LOCK_ON, bucket_findings, lock_mode
from vms.stores.gcs_place import GcsPlace
from vms.stores.identity import IDENTITY_FILE, identity_of, must_be
from vms.stores.keeping import Protection
from vms.stores.lifecycle import Lifecycle
from vms.stores.narrow_check import Trial
from vms.stores.probe import probe_findings
from vms.stores.refusals import not_identified
from vms.stores.unseen import Unseen

_IDENTITY_LASTS_S = 60


class GcsStore:
    """See `vms.stores.base.Store` for what each method promises."""

    def __init__(
        self,
        name: str,
        url: str,
        bucket: str,
        prefix: str,
        *,
        conn_id: str = "",
        options: StoreOptions,
        pace: Pace | None = None,
    ) -> None:
        root = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._place = GcsPlace(name, url, bucket, root, conn_id, options)
        self._pace = pace
        self._identity: str | None = None
        self._looked_at: float | None = None

    @property
    def name(self) -> str:
        return self._place.name

    @property
    def url(self) -> str:
        return self._place.url

    def identify(self, expected: str | None) -> str:
        with self._place.doing("reading its identity"):
            try:
                self._identity = identity_of(self._place, expected)
            except WrongStore:
                self._identity = None
                raise
        self._looked_at = time.monotonic()
        return self._identity

    def put(
        self,
        file: Path,
        key: str,
        *,
        sha256: str,
        size_bytes: int,
        progress: Progress | None = None,
        preview: bool = False,
    ) -> StoredObject:
        valid_key(key)
        self._still_the_store()
        options = preview_options(self._place.options) if preview else self._place.options
        out = gcs_upload.Outgoing(self.name, file, sha256, size_bytes, progress, options, self._pace)
        with self._place.doing(f"writing {key}"):
            there = self._place.look(key)
            bytes_sent = 0
            if there is None:
                try:
                    sent = gcs_upload.send(self._place.client(), self._place.new_blob(key, options), out)
                except (StoreError, api.ClientError):
                    self._must_have_lock(options)
                    raise
                bytes_sent = sent.bytes_sent
                there = self._place.look(key)
                if there is None:
                    self._still_the_store(again=True)
                    raise self._place.wrong(f"{key} is gone again right after it was written")
                if sent.generation == there.generation:
                    gcs_proof.must_be_whole(self._place, there, key, out)
            proven = gcs_proof.proven(self._place, there, key, sha256, size_bytes, bytes_sent)
        gcs_upload.forget(out)
        return proven

    def put_unseen(
        self,
        file: Path,
        key: str,
        *,
        sha256: str,
        size_bytes: int,
        progress: Progress | None = None,
        preview: bool = False,
    ) -> Unseen:
        """See `vms.stores.unseen.PutsUnseen`."""
        valid_key(key)
        options = preview_options(self._place.options) if preview else self._place.options
        out = gcs_upload.Outgoing(self.name, file, sha256, size_bytes, progress, options, self._pace)
        blob = self._place.new_blob(key, options)
        sent = 0
        with self._place.doing(f"writing {key}"):
            try:
                sent = gcs_upload.send(self._place.client(), blob, out).bytes_sent
            except api.Forbidden as error:
                if gcs_narrow.OVERWRITES not in str(error):  # which it may not: there is an object
                    raise
        gcs_upload.forget(out)
        return Unseen(f"crc32c:{(blob.metadata or {}).get(gcs_upload.CRC32C, '')}", sent)

    def head(self, key: str) -> StoredObject | None:
        valid_key(key)
        self._still_the_store(reading=True)
        with self._place.doing(f"looking at {key}"):
            there = self._place.look(key)
        if there is None:
            self._still_the_store(reading=True, again=True)
            return None
        return gcs_proof.described(key, there)

    def open_range(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        valid_range(start, length)
        valid_key(key)
        self._still_the_store(reading=True)
        with self._place.doing(f"opening {key}"):
            there = self._place.look(key)
        if there is None:
            self._still_the_store(reading=True, again=True)
            raise self._place.missing(key)
        return gcs_proof.read(self._place, there, key, start, length)

    def list(self, prefix: str = "", after: str = "") -> Iterator[StoredObject]:
        self._still_the_store(again=True)
        yield from gcs_many.walk(self._place, prefix, after)

    def delete(self, keys: Iterable[str]) -> builtins.list[str]:
        wanted = [valid_key(key) for key in keys]
        self._still_the_store()
        return gcs_many.delete(self._place, wanted, lambda: self._still_the_store(again=True))

    def check(self, tell: Tell | None = None) -> builtins.list[Finding]:
        findings = probe_findings(self, self._identity, tell)
        if findings[0].ok:
            if tell is not None:
                tell("looking at its settings")
            try:
                with self._place.doing("looking at its settings"):
                    findings += bucket_findings(
                        self._place.client(), self._place.bucket_name, self._place.root, self._place.options
                    )
            except StoreError as error:
                findings.append(Finding(False, error.message, error.remedy))
        return findings

    def narrow_trials(self, site: str) -> Sequence[Trial]:
        """See `vms.stores.narrow_check.TriesNarrowKey`."""
        return gcs_narrow.trials(self._place, site)

    def free_bytes(self) -> int | None:
        return None

    def hold(self, keys: Iterable[str], *, on: bool) -> dict[str, str]:
        """See `vms.stores.keeping.Holds`."""
        self._still_the_store()
        with self._place.doing("putting or lifting holds"):
            return gcs_keeping.hold(self._place.blob, keys, on=on)

    def link(self, key: str, lasts_s: int, media_type: str, disposition: str, address: str = "") -> str:
        """See `vms.stores.links.GivesLinks`."""
        blob = self._place.blob(key if key == IDENTITY_FILE else valid_key(key))
        with self._place.doing(f"signing a link to {key}"):
            return gcs_links.link(blob, lasts_s, media_type, disposition, address)

    def lifecycle(self, expire: Mapping[str, int], old_versions: int) -> Lifecycle:
        """See `vms.stores.lifecycle.HasLifecycle`."""
        return gcs_lifecycle.lifecycle(self._place.root, expire, old_versions)

    def write_lifecycle(self, wanted: Lifecycle) -> None:
        """See `vms.stores.lifecycle.HasLifecycle`."""
        with self._place.doing("writing lifecycle rules"):
            gcs_lifecycle.write(self._place.client(), self._place.bucket_name, self._place.root, wanted)

    def protection(self, key: str) -> Protection | None:
        """See `vms.stores.keeping.Protects`."""
        with self._place.doing(f"looking at the holds of {key}"):
            return gcs_keeping.protection(self._place.look(key))

    # --- parts of put ---

    def _must_have_lock(self, options: StoreOptions) -> None:
        """After a refusal: raises StoreDenied when it was for a lock that the bucket can't give."""
        if options.lock_days and lock_mode(self._place.client(), self._place.bucket_name) == "":
            raise StoreDenied(
                f"Store {self.name} at {self.url} can't lock objects: the bucket has no object retention.",
                SWITCH_LOCK_ON,
            )

    def _still_the_store(self, *, reading: bool = False, again: bool = False) -> None:
        """Look that the bucket still is the store, if need be `again`. Only reading may do without `identify`."""
        if self._identity is None and not reading:
            raise not_identified(self.name)
        looked_at = self._looked_at
        if not again and looked_at is not None and time.monotonic() - looked_at < _IDENTITY_LASTS_S:
            return
        with self._place.doing("reading its identity"):
            found = self._place.read_identity()
        must_be(self._place, found, self._identity)
        self._looked_at = time.monotonic()
