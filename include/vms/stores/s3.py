"""A bucket at Amazon S3, or at a server that speaks its protocol, as a store.

An object counts only when the server has checked the CRC32 of all its bytes while taking it and shows size, checksum
and our SHA-256 afterwards. Later audits compare those and need no download. How files are sent is in `s3_put`, what
proves them in `s3_proof`, what answers mean in `s3_errors`, how the server is reached in `s3_place` and `s3_client`.
"""

from __future__ import annotations

import builtins
import contextlib
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from vms.errors import StoreDenied, StoreError, StoreUnreachable
from vms.model import StoreOptions
from vms.stores import (
    s3_check,
    s3_cold,
    s3_keeping,
    s3_lifecycle,
    s3_many,
    s3_narrow,
    s3_proof,
    s3_put,
    s3_unfinished,
)
from vms.stores.base import (
    CHUNK_BYTES,
    Finding,
    Pace,
    Progress,
    StoredObject,
    Tell,
    preview_options,
    valid_key,
    valid_range,
)
from vms.stores.cold import Cold
from vms.stores.identity import IDENTITY_FILE, identity_of
from vms.stores.keeping import Protection
from vms.stores.lifecycle import Lifecycle
from vms.stores.narrow_check import Trial
from vms.stores.probe import probe_findings
from vms.stores.refusals import not_identified
from vms.stores.s3_bucket import SWITCH_LOCK_ON, NotShown, has_lock
from vms.stores.s3_client import link_client
from vms.stores.s3_errors import FAILURES, code, is_missing
from vms.stores.s3_place import S3Place
from vms.stores.staged import StagedFile, examine
from vms.stores.unseen import Unseen

logger = logging.getLogger(__name__)


class S3Store:
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
        self._place = S3Place(name, url, bucket, f"{prefix}/" if prefix else "", conn_id, options)
        self._pace = pace
        self._identity: str | None = None
        self._swept = threading.Event()

    @property
    def name(self) -> str:
        return self._place.name

    @property
    def url(self) -> str:
        return self._place.url

    def identify(self, expected: str | None) -> str:
        self._identity = None
        with self._place.doing("reading its identity"):
            self._identity = identity_of(self._place, expected)
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
        self._must_be_identified()
        place = self._place
        with place.doing(f"writing {key}"):
            there = s3_proof.look(place, key)
            if there is not None:
                return s3_proof.equal(place, self.open_range, there, file, key, sha256=sha256, size_bytes=size_bytes)
            place.must_still_be(self._identity)
            staged = self._examined(file, sha256, size_bytes)
            self._sweep(staged)
            made, sent = self._sent(staged, key, progress, preview=preview)
            there = s3_proof.look(place, key)
            if there is None:
                raise StoreUnreachable(
                    f"Store {self.name} does not show {key} right after it was written.",
                    "It is tried again. If it stays, another program removes objects there, or the server is broken.",
                )
            if not made:
                return s3_proof.equal(
                    place, self.open_range, there, file, key, sha256=sha256, size_bytes=size_bytes, sent=sent
                )
            s3_proof.must_be_whole(place, self.open_range, there, staged, key)
            return s3_proof.described(key, there, sha256, sent, read_back=place.options.read_back)

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
        with self._place.doing(f"writing {key}"):
            staged = self._examined(file, sha256, size_bytes)
            _, sent = self._sent(staged, key, progress, preview=preview)
        return Unseen(f"crc32:{staged.crc32:08x}", sent)

    def head(self, key: str) -> StoredObject | None:
        valid_key(key)
        with self._place.doing(f"looking at {key}"):
            there = s3_proof.look(self._place, key)
            if there is None:
                self._place.must_still_be(self._identity)
                return None
            return s3_proof.described(key, there, there.sha256)

    def open_range(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        valid_range(start, length)
        valid_key(key)
        with self._place.doing(f"opening {key}"):
            try:
                if length == 0:
                    self._place.client().head_object(**self._place.at(key))
                    return iter(())
                end = "" if length is None else str(start + length - 1)
                wanted = {} if start == 0 and length is None else {"Range": f"bytes={start}-{end}"}
                answer = self._place.client().get_object(**self._place.at(key), **wanted)
            except ClientError as error:
                if code(error) in ("InvalidRange", "416"):
                    return iter(())
                if is_missing(error):
                    raise self._place.missing(key) from error
                raise
        if wanted and not str(answer.get("ContentRange", "")).startswith(f"bytes {start}-"):
            answer["Body"].close()
            raise StoreError(f"Store {self.name} does not give ranges of {key}.", "Use another server for this store.")
        return self._stream(answer["Body"], key)

    def list(self, prefix: str = "", after: str = "") -> Iterator[StoredObject]:
        self._must_be_identified()
        return s3_many.walk(self._place, self._place.prefix + prefix, self._place.prefix + after if after else "")

    def delete(self, keys: Iterable[str]) -> builtins.list[str]:
        wanted = [valid_key(key) for key in keys]
        self._must_be_identified()
        return s3_many.delete(self._place, wanted)

    def check(self, tell: Tell | None = None) -> builtins.list[Finding]:
        findings = probe_findings(self, self._identity, tell)
        if findings[0].ok:
            findings += s3_check.findings(self._place, tell)
        return findings

    def narrow_trials(self, site: str) -> Sequence[Trial]:
        """See `vms.stores.narrow_check.TriesNarrowKey`."""
        return s3_narrow.trials(self._place, site)

    def free_bytes(self) -> int | None:
        return None

    def hold(self, keys: Iterable[str], *, on: bool) -> dict[str, str]:
        """See `vms.stores.keeping.Holds`."""
        self._must_be_identified()
        with self._place.doing("putting or lifting legal holds"):
            said = s3_keeping.hold(
                self._place.client(), self._place.bucket, [self._place.prefix + key for key in keys], on=on
            )
        return {self._place.key_of(name): text for name, text in said.items()}

    def protection(self, key: str) -> Protection | None:
        """See `vms.stores.keeping.Protects`."""
        with self._place.doing(f"looking at the lock of {key}"):
            return s3_keeping.protection(self._place.client(), self._place.bucket, self._place.prefix + key)

    def bring_back(self, keys: Iterable[str]) -> builtins.list[str]:
        """See `vms.stores.keeping.BringsBack`."""
        self._must_be_identified()
        with self._place.doing("bringing objects back"):
            back = s3_keeping.bring_back(
                self._place.client(), self._place.bucket, [self._place.prefix + key for key in keys]
            )
        return [self._place.key_of(name) for name in back]

    def link(self, key: str, lasts_s: int, media_type: str, disposition: str, address: str = "") -> str:
        """See `vms.stores.links.GivesLinks`."""
        answered = {
            "ResponseContentType": media_type,
            "ResponseContentDisposition": disposition,
            "ResponseCacheControl": "private, no-store",
        }
        with self._place.doing(f"signing a link to {key}"):
            at = self._place.at(key if key == IDENTITY_FILE else valid_key(key))
            signer = link_client(self._place.conn_id, address)
            return str(signer.generate_presigned_url("get_object", Params={**at, **answered}, ExpiresIn=lasts_s))

    def coldness(self, key: str) -> Cold | None:
        """See `vms.stores.cold.Sleeps`."""
        with self._place.doing(f"looking at {key}"):
            try:
                return s3_cold.coldness(self._place.client().head_object(**self._place.at(valid_key(key))))
            except ClientError as error:
                if is_missing(error):
                    self._place.must_still_be(self._identity)
                    raise self._place.missing(key) from error
                raise

    def wake(self, key: str) -> None:
        """See `vms.stores.cold.Sleeps`."""
        self._must_be_identified()
        with self._place.doing(f"asking for the restore of {key}"):
            s3_cold.wake(self._place.client(), self._place.bucket, self._place.prefix + valid_key(key))

    def lifecycle(self, expire: Mapping[str, int], old_versions: int) -> Lifecycle:
        """See `vms.stores.lifecycle.HasLifecycle`."""
        with self._place.doing("reading the bucket's settings"):
            return s3_lifecycle.lifecycle(
                self._place.client(), self._place.bucket, self._place.prefix, expire, old_versions
            )

    def write_lifecycle(self, wanted: Lifecycle) -> None:
        """See `vms.stores.lifecycle.HasLifecycle`."""
        with self._place.doing("writing lifecycle rules"):
            s3_lifecycle.write(self._place.client(), self._place.bucket, wanted)

    def unfinished(self) -> builtins.list[s3_unfinished.Unfinished]:
        """Uploads in parts that were begun here and not finished; their parts cost space until they are aborted."""
        with self._place.doing("listing unfinished uploads"):
            return s3_unfinished.unfinished(self._place.client(), self._place.bucket, self._place.prefix)

    def abort_unfinished(self, older_than: timedelta = s3_unfinished.ABANDONED) -> int:
        """Abort those that were begun longer ago than this; how many there were."""
        before = datetime.now(UTC) - older_than
        old = [one for one in self.unfinished() if one.begun_at < before]
        with self._place.doing("aborting unfinished uploads"):
            for one in old:
                s3_unfinished.abort(self._place.client(), self._place.bucket, one)
        return len(old)

    # --- parts of put ---

    def _examined(self, file: Path, sha256: str, size_bytes: int) -> StagedFile:
        part_bytes = s3_put.part_bytes_of(self._place.client(), file, self.name, size_bytes)
        return examine(file, sha256=sha256, size_bytes=size_bytes, part_bytes=part_bytes)

    def _sent(self, staged: StagedFile, key: str, progress: Progress | None, *, preview: bool) -> tuple[bool, int]:
        """See `s3_put.send`."""
        options = preview_options(self._place.options) if preview else self._place.options
        target = s3_put.Target(
            self._place.client(), self._place.bucket, self._place.prefix + key, self.name, options, self._pace
        )
        try:
            return s3_put.send(target, staged, progress)
        except ClientError as error:
            self._must_have_lock(options, error)
            raise

    def _must_have_lock(self, options: StoreOptions, error: ClientError) -> None:
        """Raises StoreDenied when a put was refused because the bucket can't lock objects."""
        if not options.lock_days or code(error) != "InvalidRequest":
            return
        with contextlib.suppress(NotShown, *FAILURES):
            if not has_lock(self._place.client(), self._place.bucket):
                raise StoreDenied(
                    f"Store {self.name} at {self.url} can't lock objects: the bucket has no object lock.",
                    SWITCH_LOCK_ON,
                ) from error

    def _sweep(self, staged: StagedFile) -> None:
        """Abort, once per store, what was begun in parts long ago and never finished."""
        if staged.part_bytes >= staged.size_bytes or self._swept.is_set():
            return
        self._swept.set()
        try:
            aborted = self.abort_unfinished()
        except StoreError as error:
            logger.warning("Unfinished uploads to %s can't be cleared: %s", self.name, error)
        else:
            if aborted:
                logger.info("%d uploads to %s that were never finished are cleared", aborted, self.name)

    # --- parts of the rest ---

    def _stream(self, body: Any, key: str) -> Iterator[bytes]:
        with contextlib.closing(body):
            while True:
                with self._place.doing(f"reading {key}"):
                    chunk = body.read(CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk

    def _must_be_identified(self) -> None:
        if self._identity is None:
            raise not_identified(self.name)
