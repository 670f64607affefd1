"""A bucket at Amazon S3, or at a server that speaks its protocol, as a store.

An object counts only when the server has checked the CRC32 of all its bytes while taking it and shows size, checksum
and our SHA-256 afterwards. Later audits compare those and need no download. How files are sent is in `s3_put`, what
answers mean in `s3_errors`, how the server is reached in `s3_client`.
"""

from __future__ import annotations

import base64
import binascii
import builtins
import contextlib
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from vms.errors import StoreConflict, StoreDenied, StoreError, StoreUnreachable, WrongStore
from vms.model import StoreOptions
from vms.stores import s3_check, s3_cold, s3_keeping, s3_lifecycle, s3_narrow, s3_put
from vms.stores.base import (
    CHUNK_BYTES,
    Finding,
    ObjectMissing,
    Pace,
    Progress,
    StoredObject,
    Tell,
    is_key,
    lies_behind,
    preview_options,
    valid_key,
)
from vms.stores.cold import Cold
from vms.stores.identity import IDENTITY_FILE, new_identity, parse_identity
from vms.stores.keeping import Protection
from vms.stores.lifecycle import Lifecycle
from vms.stores.narrow_check import Trial
from vms.stores.probe import probe_findings
from vms.stores.read_back import hash_of
from vms.stores.s3_bucket import SWITCH_LOCK_ON, NotShown, has_lock
from vms.stores.s3_client import client, link_client
from vms.stores.s3_errors import FAILURES, code, is_missing, is_taken, refusal
from vms.stores.staged import StagedFile, examine
from vms.stores.unseen import Unseen

logger = logging.getLogger(__name__)

_KEYS_PER_CALL = 1000


@dataclass(frozen=True)
class _Shown:
    """An object as the server shows it. crc32: of the whole object, None when the server has none."""

    size_bytes: int
    sha256: str | None
    crc32: int | None
    modified_at: datetime

    def __str__(self) -> str:
        crc32 = "no CRC32" if self.crc32 is None else f"CRC32 {self.crc32:08x}"
        return f"{self.size_bytes} bytes, SHA-256 {self.sha256 or 'not known'}, {crc32}"


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
        self._name = name
        self._url = url
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._conn_id = conn_id
        self._options = options
        self._pace = pace
        self._identity: str | None = None
        self._swept = threading.Event()

    @property
    def name(self) -> str:
        return self._name

    @property
    def url(self) -> str:
        return self._url

    def identify(self, expected: str | None) -> str:
        self._identity = None
        with self._doing("reading its identity"):
            found = self._read_identity()
            if found is None and expected is None:
                if self._holds_things():
                    raise StoreUnreachable(
                        f"Store {self._name}: {self._url} holds other things and is no store yet.",
                        "Name an empty prefix of its own for the store.",
                    )
                found = self._make_identity()
        if found is None:
            raise self._wrong(f"it has no {IDENTITY_FILE}")
        if expected is not None and found != expected:
            raise self._wrong(f"its identity is {found}, expected was {expected}")
        self._identity = found
        return found

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
        with self._doing(f"writing {key}"):
            there = self._look(key)
            if there is not None:
                return self._equal(there, file, key, sha256, size_bytes)
            self._must_still_be_here()
            staged = self._examined(file, sha256, size_bytes)
            self._sweep(staged)
            made, sent = self._sent(staged, key, progress, preview=preview)
            there = self._look(key)
            if there is None:
                raise StoreUnreachable(
                    f"Store {self._name} does not show {key} right after it was written.",
                    "It is tried again. If it stays, another program removes objects there, or the server is broken.",
                )
            if not made:
                return self._equal(there, file, key, sha256, size_bytes, sent)
            self._must_be_whole(there, staged, key)
            return _described(key, there, sha256, sent, read_back=self._options.read_back)

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
        with self._doing(f"writing {key}"):
            staged = self._examined(file, sha256, size_bytes)
            _, sent = self._sent(staged, key, progress, preview=preview)
        return Unseen(f"crc32:{staged.crc32:08x}", sent)

    def head(self, key: str) -> StoredObject | None:
        valid_key(key)
        with self._doing(f"looking at {key}"):
            there = self._look(key)
            if there is None:
                self._must_still_be_here()
                return None
            return _described(key, there, there.sha256)

    def open_range(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length of a range can't be negative")
        valid_key(key)
        with self._doing(f"opening {key}"):
            try:
                if length == 0:
                    self._client().head_object(**self._place(key))
                    return iter(())
                end = "" if length is None else str(start + length - 1)
                wanted = {} if start == 0 and length is None else {"Range": f"bytes={start}-{end}"}
                answer = self._client().get_object(**self._place(key), **wanted)
            except ClientError as error:
                if code(error) in ("InvalidRange", "416"):
                    return iter(())
                if is_missing(error):
                    raise self._missing(key) from error
                raise
        if wanted and not str(answer.get("ContentRange", "")).startswith(f"bytes {start}-"):
            answer["Body"].close()
            raise StoreError(f"Store {self._name} does not give ranges of {key}.", "Use another server for this store.")
        return self._stream(answer["Body"], key)

    def list(self, prefix: str = "", after: str = "") -> Iterator[StoredObject]:
        self._must_be_identified()
        return self._walk(self._prefix + prefix, self._prefix + after if after else "")

    def delete(self, keys: Iterable[str]) -> builtins.list[str]:
        wanted = [valid_key(key) for key in keys]
        self._must_be_identified()
        gone: builtins.list[str] = []
        for first in range(0, len(wanted), _KEYS_PER_CALL):
            some = wanted[first : first + _KEYS_PER_CALL]
            with self._doing(f"deleting {len(some)} objects"):
                answer = self._client().delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": self._prefix + key} for key in some]}
                )
            gone += self._confirmed(some, answer)
        return gone

    def check(self, tell: Tell | None = None) -> builtins.list[Finding]:
        findings = probe_findings(self, self._identity, tell)
        if findings[0].ok:
            findings += s3_check.findings(self._checked(), tell)
        return findings

    def narrow_trials(self, site: str) -> Sequence[Trial]:
        """See `vms.stores.narrow_check.TriesNarrowKey`."""
        return s3_narrow.trials(self._checked(), site)

    def _checked(self) -> s3_check.Place:
        return s3_check.Place(self._client, self._bucket, self._prefix, self._options, self._named)

    def free_bytes(self) -> int | None:
        return None

    def hold(self, keys: Iterable[str], *, on: bool) -> dict[str, str]:
        """See `vms.stores.keeping.Holds`."""
        self._must_be_identified()
        with self._doing("putting or lifting legal holds"):
            said = s3_keeping.hold(self._client(), self._bucket, [self._prefix + key for key in keys], on=on)
        return {name.removeprefix(self._prefix): text for name, text in said.items()}

    def protection(self, key: str) -> Protection | None:
        """See `vms.stores.keeping.Protects`."""
        with self._doing(f"looking at the lock of {key}"):
            return s3_keeping.protection(self._client(), self._bucket, self._prefix + key)

    def bring_back(self, keys: Iterable[str]) -> builtins.list[str]:
        """See `vms.stores.keeping.BringsBack`."""
        self._must_be_identified()
        with self._doing("bringing objects back"):
            back = s3_keeping.bring_back(self._client(), self._bucket, [self._prefix + key for key in keys])
        return [name.removeprefix(self._prefix) for name in back]

    def link(self, key: str, lasts_s: int, media_type: str, disposition: str, address: str = "") -> str:
        """See `vms.stores.links.GivesLinks`."""
        answered = {
            "ResponseContentType": media_type,
            "ResponseContentDisposition": disposition,
            "ResponseCacheControl": "private, no-store",
        }
        with self._doing(f"signing a link to {key}"):
            at = self._place(key if key == IDENTITY_FILE else valid_key(key))
            signer = link_client(self._conn_id, address)
            return str(signer.generate_presigned_url("get_object", Params={**at, **answered}, ExpiresIn=lasts_s))

    def coldness(self, key: str) -> Cold | None:
        """See `vms.stores.cold.Sleeps`."""
        with self._doing(f"looking at {key}"):
            try:
                return s3_cold.coldness(self._client().head_object(**self._place(valid_key(key))))
            except ClientError as error:
                if is_missing(error):
                    self._must_still_be_here()
                    raise self._missing(key) from error
                raise

    def wake(self, key: str) -> None:
        """See `vms.stores.cold.Sleeps`."""
        self._must_be_identified()
        with self._doing(f"asking for the restore of {key}"):
            s3_cold.wake(self._client(), self._bucket, self._prefix + valid_key(key))

    def lifecycle(self, expire: Mapping[str, int], old_versions: int) -> Lifecycle:
        """See `vms.stores.lifecycle.HasLifecycle`."""
        with self._doing("reading the bucket's settings"):
            return s3_lifecycle.lifecycle(self._client(), self._bucket, self._prefix, expire, old_versions)

    def write_lifecycle(self, wanted: Lifecycle) -> None:
        """See `vms.stores.lifecycle.HasLifecycle`."""
        with self._doing("writing lifecycle rules"):
            s3_lifecycle.write(self._client(), self._bucket, wanted)

    def unfinished(self) -> builtins.list[s3_put.Unfinished]:
        """Uploads in parts that were begun here and not finished; their parts cost space until they are aborted."""
        with self._doing("listing unfinished uploads"):
            return s3_put.unfinished(self._client(), self._bucket, self._prefix)

    def abort_unfinished(self, older_than: timedelta = s3_put.ABANDONED) -> int:
        """Abort those that were begun longer ago than this; how many there were."""
        before = datetime.now(UTC) - older_than
        old = [one for one in self.unfinished() if one.begun_at < before]
        with self._doing("aborting unfinished uploads"):
            for one in old:
                s3_put.abort(self._client(), self._bucket, one)
        return len(old)

    # --- parts of put ---

    def _examined(self, file: Path, sha256: str, size_bytes: int) -> StagedFile:
        part_bytes = s3_put.part_bytes_of(self._client(), file, self._name, size_bytes)
        return examine(file, sha256=sha256, size_bytes=size_bytes, part_bytes=part_bytes)

    def _sent(self, staged: StagedFile, key: str, progress: Progress | None, *, preview: bool) -> tuple[bool, int]:
        """See `s3_put.send`."""
        options = preview_options(self._options) if preview else self._options
        target = s3_put.Target(self._client(), self._bucket, self._prefix + key, self._name, options, self._pace)
        try:
            return s3_put.send(target, staged, progress)
        except ClientError as error:
            self._must_have_lock(options, error)
            raise

    def _equal(self, there: _Shown, file: Path, key: str, sha256: str, size_bytes: int, sent: int = 0) -> StoredObject:
        """The object that is there already, proven to be ours. Raises StoreConflict when it is another."""
        same = there.size_bytes == size_bytes and there.sha256 in (None, sha256)
        if same and there.sha256 is not None and there.crc32 is not None and not self._options.read_back:
            return _described(key, there, sha256, sent)
        found = there.sha256
        if same:  # put by another program, or by a server that checks or keeps no CRC32: only its bytes can tell
            found = hash_of(self.open_range, key, size_bytes)
            if found == sha256:
                return _described(key, there, sha256, sent, read_back=True)
        held = f"{there.size_bytes} bytes, SHA-256 {found or 'not known'}"
        raise StoreConflict(
            f"Store {self._name} holds another object under {key}: {held}, of "
            f"{there.modified_at:%Y-%m-%d %H:%M:%S} UTC; ours ({file.name}) has {size_bytes} bytes, SHA-256 {sha256}.",
            "Nothing was overwritten. Compare the two; move the wrong one away from the store by hand.",
        )

    def _must_be_whole(self, there: _Shown, staged: StagedFile, key: str) -> None:
        """What was just made must be shown as it was sent; else it is taken away again, so that a retry can heal it."""
        whole = there.size_bytes == staged.size_bytes and there.sha256 == staged.sha256
        if self._options.read_back:
            found = hash_of(self.open_range, key, staged.size_bytes) if whole else "not taken"
            shown = f"{there}, read back as SHA-256 {found}"
            whole = whole and found == staged.sha256
        else:
            shown = str(there)
            whole = whole and there.crc32 == staged.crc32
        if whole:
            return
        if there.sha256 == staged.sha256:
            with contextlib.suppress(*FAILURES):
                self._client().delete_object(**self._place(key))
        raise StoreUnreachable(
            f"Store {self._name} took {key} but does not show what was sent: {shown}, instead of {staged.size_bytes} "
            f"bytes, SHA-256 {staged.sha256}, CRC32 {staged.crc32:08x}.",
            "It is sent again. If this stays, the server keeps no checksums or damages data: see `vms stores check`.",
        )

    def _must_have_lock(self, options: StoreOptions, error: ClientError) -> None:
        """Raises StoreDenied when a put was refused because the bucket can't lock objects."""
        if not options.lock_days or code(error) != "InvalidRequest":
            return
        with contextlib.suppress(NotShown, *FAILURES):
            if not has_lock(self._client(), self._bucket):
                raise StoreDenied(
                    f"Store {self._name} at {self._url} can't lock objects: the bucket has no object lock.",
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
            logger.warning("Unfinished uploads to %s can't be cleared: %s", self._name, error)
        else:
            if aborted:
                logger.info("%d uploads to %s that were never finished are cleared", aborted, self._name)

    # --- parts of the rest ---

    def _look(self, key: str) -> _Shown | None:
        try:
            answer = self._client().head_object(**self._place(key), ChecksumMode="ENABLED")
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return _Shown(
            answer["ContentLength"],
            answer.get("Metadata", {}).get("sha256"),
            _whole_crc32(answer),
            answer["LastModified"].astimezone(UTC),
        )

    def _walk(self, start: str, after: str) -> Iterator[StoredObject]:
        """Level by level, each sorted here: not every server gives a flat listing in key order."""
        pages = self._client().get_paginator("list_objects_v2")
        found: dict[str, dict[str, Any] | None] = {}
        with self._doing("listing"):
            for page in pages.paginate(Bucket=self._bucket, Prefix=start, Delimiter="/"):
                found.update({one["Key"]: one for one in page.get("Contents", ())})
                found.update({one["Prefix"]: None for one in page.get("CommonPrefixes", ())})
        for name in sorted(one for one in found if lies_behind(one, after)):
            one = found[name]
            key = name.removeprefix(self._prefix)
            if one is None and is_key(key.removesuffix("/")):
                yield from self._walk(name, after)
            elif one is not None and is_key(key):
                yield StoredObject(key, one["Size"], None, "", one["LastModified"].astimezone(UTC))

    def _stream(self, body: Any, key: str) -> Iterator[bytes]:
        with contextlib.closing(body):
            while True:
                with self._doing(f"reading {key}"):
                    chunk = body.read(CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk

    def _confirmed(self, keys: builtins.list[str], answer: dict[str, Any]) -> builtins.list[str]:
        told = {one["Key"] for one in answer.get("Deleted", ())}
        for one in answer.get("Errors", ()):
            if one.get("Code") == "NoSuchKey":
                told.add(one["Key"])
            else:
                logger.warning("Store %s does not delete %s: %s", self._name, one.get("Key"), one.get("Code"))
        return [key for key in keys if self._prefix + key in told]

    def _read_identity(self) -> str | None:
        try:
            answer = self._client().get_object(**self._place(IDENTITY_FILE))
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        try:
            return parse_identity(answer["Body"].read(4096))
        except ValueError as error:
            raise self._wrong(f"its {IDENTITY_FILE} can't be read ({error})") from error

    def _make_identity(self) -> str | None:
        """Once: when two do so at the same time, both get the identity of the first."""
        _, content = new_identity()
        try:
            self._client().put_object(
                **self._place(IDENTITY_FILE),
                **s3_put.asked_for(preview_options(self._options)),
                Body=content,
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except ClientError as error:
            if not is_taken(error):
                raise
        return self._read_identity()

    def _holds_things(self) -> bool:
        answer = self._client().list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=10)
        return any(not one["Key"].removeprefix(self._prefix).startswith(".") for one in answer.get("Contents", ()))

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _client(self) -> Any:
        return client(self._conn_id)

    def _must_still_be_here(self) -> None:
        """A bucket that is gone answers just like an object that is gone, and some servers make it again at a put."""
        if self._identity is None:
            self._client().head_bucket(Bucket=self._bucket)
            return
        found = self._read_identity()
        if found != self._identity:
            raise self._wrong(f"its identity is {found or 'gone'}, expected was {self._identity}")

    def _must_be_identified(self) -> None:
        if self._identity is None:
            raise StoreError(f"Store {self._name} was not identified before it was used.", "Call identify first.")

    def _named(self, error: Exception, doing: str) -> StoreError:
        return refusal(self._name, self._url, error, doing)

    @contextlib.contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            raise self._named(error, what) from error

    def _missing(self, key: str) -> ObjectMissing:
        return ObjectMissing(
            f"Store {self._name} has no object {key}.", "It was purged, or removed in the bucket by hand."
        )

    def _wrong(self, why: str) -> WrongStore:
        return WrongStore(
            f"Store {self._name} at {self._url} is another store: {why}.",
            "Correct its url or connection. Nothing was written; what is waiting is copied by the next run.",
        )


def _whole_crc32(answer: dict[str, Any]) -> int | None:
    """The CRC32 over all bytes; a checksum made of the checksums of parts ("...-3") says nothing of the whole."""
    text = answer.get("ChecksumCRC32", "")
    if answer.get("ChecksumType", "FULL_OBJECT") != "FULL_OBJECT":
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return int.from_bytes(raw, "big") if len(raw) == 4 else None


def _described(key: str, there: _Shown, sha256: str | None, sent: int = 0, *, read_back: bool = False) -> StoredObject:
    """read_back: its bytes were read and gave this SHA-256."""
    checksum = "" if there.crc32 is None else f"crc32:{there.crc32:08x}"
    if read_back:
        checksum = f"sha256:{sha256}"
    return StoredObject(key, there.size_bytes, sha256, checksum, there.modified_at, sent)
