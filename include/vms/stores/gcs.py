"""A bucket of Google Cloud Storage, or a prefix in one, as a store.

Every write is conditional on there being no object, so nothing is ever overwritten, whoever else writes. A copy counts
only after the server has checked its CRC32C and then describes the object with the right size and sums. Reading,
listing and asking again go through the client library; uploads are in `gcs_upload`, so that they survive a kill.
"""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.api_core import exceptions as api

from vms.errors import StoreConflict, StoreDenied, StoreError, StoreUnreachable, WrongStore
from vms.model import StoreOptions
from vms.stores import gcs_keeping, gcs_lifecycle, gcs_links, gcs_narrow, gcs_upload
from vms.stores.base import (
    FileRotted,
    Finding,
    ObjectMissing,
    Pace,
    Progress,
    StoredObject,
    Tell,
    is_key,
    preview_options,
    valid_key,
)
from vms.stores.gcs_bucket import SWITCH_LOCK_ON, bucket_findings, lock_mode
from vms.stores.gcs_client import client
from vms.stores.gcs_errors import ANSWER_S, CONNECT_S, ERRORS, refusal, retried, retry
from vms.stores.gcs_read import stream
from vms.stores.identity import IDENTITY_FILE, new_identity, parse_identity
from vms.stores.keeping import Protection
from vms.stores.lifecycle import Lifecycle
from vms.stores.narrow_check import Trial
from vms.stores.probe import probe_findings
from vms.stores.unseen import Unseen

_TIMEOUT = (CONNECT_S, ANSWER_S)
_IDENTITY_LASTS_S = 60
_PAGE = 1000
_BATCH = 100


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
        self._name = name
        self._url = url
        self._bucket_name = bucket
        self._root = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._conn_id = conn_id
        self._options = options
        self._pace = pace
        self._identity: str | None = None
        self._looked_at: float | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def url(self) -> str:
        return self._url

    def identify(self, expected: str | None) -> str:
        with self._doing("reading its identity"):
            found = self._read_identity()
            if found is None and expected is None:
                self._must_be_new()
                found = self._make_identity()
        self._identity = None
        if found is None:
            raise self._wrong(f"it has no {IDENTITY_FILE}")
        if expected is not None and found != expected:
            raise self._wrong(f"its identity is {found}, expected was {expected}")
        self._identity = found
        self._looked_at = time.monotonic()
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
        self._still_the_store()
        options = preview_options(self._options) if preview else self._options
        out = gcs_upload.Outgoing(self._name, file, sha256, size_bytes, progress, options, self._pace)
        with self._doing(f"writing {key}"):
            there = self._look(key)
            bytes_sent = 0
            if there is None:
                try:
                    sent = gcs_upload.send(self._client(), self._new_blob(key, options), out)
                except (StoreError, api.ClientError):
                    self._must_have_lock(options)
                    raise
                bytes_sent = sent.bytes_sent
                there = self._look(key)
                if there is None:
                    self._still_the_store(again=True)
                    raise self._wrong(f"{key} is gone again right after it was written")
                if sent.generation == there.generation:
                    self._must_be_whole(there, key, out)
            proven = self._proven(there, key, sha256, size_bytes, bytes_sent)
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
        options = preview_options(self._options) if preview else self._options
        out = gcs_upload.Outgoing(self._name, file, sha256, size_bytes, progress, options, self._pace)
        blob = self._new_blob(key, options)
        sent = 0
        with self._doing(f"writing {key}"):
            try:
                sent = gcs_upload.send(self._client(), blob, out).bytes_sent
            except api.Forbidden as error:
                if gcs_narrow.OVERWRITES not in str(error):  # which it may not: there is an object
                    raise
        gcs_upload.forget(out)
        return Unseen(f"crc32c:{(blob.metadata or {}).get(gcs_upload.CRC32C, '')}", sent)

    def head(self, key: str) -> StoredObject | None:
        valid_key(key)
        self._still_the_store(reading=True)
        with self._doing(f"looking at {key}"):
            there = self._look(key)
        if there is None:
            self._still_the_store(reading=True, again=True)
            return None
        return _described(key, there)

    def open_range(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length of a range can't be negative")
        valid_key(key)
        self._still_the_store(reading=True)
        with self._doing(f"opening {key}"):
            there = self._look(key)
        if there is None:
            self._still_the_store(reading=True, again=True)
            raise self._missing(key)
        return self._stream(there, key, start, length)

    def list(self, prefix: str = "", after: str = "") -> Iterator[StoredObject]:
        self._still_the_store(again=True)
        with self._doing("listing its objects"):
            blobs = self._client().list_blobs(
                self._bucket_name,
                prefix=self._root + prefix,
                start_offset=self._root + after if after else None,  # which is itself among them
                fields="items(name,size,crc32c,metadata,timeCreated,generation),nextPageToken",
                page_size=_PAGE,
                timeout=_TIMEOUT,
                retry=retry(),
            )
            for blob in blobs:
                key = blob.name.removeprefix(self._root)
                if is_key(key) and key > after:
                    yield _described(key, blob)

    def delete(self, keys: Iterable[str]) -> builtins.list[str]:
        wanted = [valid_key(key) for key in keys]
        self._still_the_store()
        gone: builtins.list[str] = []
        with self._doing("deleting objects"):
            for at in range(0, len(wanted), _BATCH):
                gone += self._delete_some(wanted[at : at + _BATCH])
        return gone

    def check(self, tell: Tell | None = None) -> builtins.list[Finding]:
        findings = probe_findings(self, self._identity, tell)
        if findings[0].ok:
            if tell is not None:
                tell("looking at its settings")
            try:
                with self._doing("looking at its settings"):
                    findings += bucket_findings(self._client(), self._bucket_name, self._root, self._options)
            except StoreError as error:
                findings.append(Finding(False, error.message, error.remedy))
        return findings

    def narrow_trials(self, site: str) -> Sequence[Trial]:
        """See `vms.stores.narrow_check.TriesNarrowKey`."""
        return gcs_narrow.trials(self._client(), self._bucket_name, self._root, site, self._doing)

    def free_bytes(self) -> int | None:
        return None

    def hold(self, keys: Iterable[str], *, on: bool) -> dict[str, str]:
        """See `vms.stores.keeping.Holds`."""
        self._still_the_store()
        with self._doing("putting or lifting holds"):
            return gcs_keeping.hold(self._blob, keys, on=on)

    def link(self, key: str, lasts_s: int, media_type: str, disposition: str, address: str = "") -> str:
        """See `vms.stores.links.GivesLinks`."""
        blob = self._blob(key if key == IDENTITY_FILE else valid_key(key))
        with self._doing(f"signing a link to {key}"):
            return gcs_links.link(blob, lasts_s, media_type, disposition, address)

    def lifecycle(self, expire: Mapping[str, int], old_versions: int) -> Lifecycle:
        """See `vms.stores.lifecycle.HasLifecycle`."""
        return gcs_lifecycle.lifecycle(self._root, expire, old_versions)

    def write_lifecycle(self, wanted: Lifecycle) -> None:
        """See `vms.stores.lifecycle.HasLifecycle`."""
        with self._doing("writing lifecycle rules"):
            gcs_lifecycle.write(self._client(), self._bucket_name, self._root, wanted)

    def protection(self, key: str) -> Protection | None:
        """See `vms.stores.keeping.Protects`."""
        with self._doing(f"looking at the holds of {key}"):
            return gcs_keeping.protection(self._look(key))

    # --- parts of put ---

    def _must_be_whole(self, there: Any, key: str, out: gcs_upload.Outgoing) -> None:
        """Take our own object away again when the server holds something else than it was sent and had accepted."""
        if there.size == out.size_bytes and there.crc32c == (there.metadata or {}).get(gcs_upload.CRC32C):
            return
        with contextlib.suppress(api.NotFound):
            self._blob(key).delete(if_generation_match=there.generation, timeout=_TIMEOUT, retry=retry())
        raise StoreError(
            f"Store {self._name}: {key} was accepted, but is shown with {there.size} bytes of {out.size_bytes}, "
            f"CRC32C {there.crc32c}.",
            "It was taken away again and is sent anew by the next run. Look for a proxy between here and the store.",
        )

    def _proven(self, there: Any, key: str, sha256: str, size_bytes: int, bytes_sent: int) -> StoredObject:
        """The object under the key, when it is ours. StoreConflict when it is another one."""
        sums = there.metadata or {}
        held = sums.get(gcs_upload.SHA256, "")
        by_reading = self._options.read_back
        if there.size == size_bytes:
            if (
                by_reading or not held or sums.get(gcs_upload.CRC32C) != there.crc32c
            ):  # written by somebody else, or not as announced
                held = self._sha256(there, key)
            if held == sha256:
                return _described(key, there, sha256=held, bytes_sent=bytes_sent, read_back=by_reading)
        made = f"{there.time_created:%Y-%m-%d %H:%M:%S} UTC"
        raise StoreConflict(
            f"Store {self._name} holds another object under {key}: {there.size} bytes, SHA-256 {held or 'not taken'}, "
            f"CRC32C {there.crc32c}, of {made}; ours has {size_bytes} bytes, SHA-256 {sha256}.",
            "Nothing was overwritten. Compare the two; move the wrong one away from the store by hand.",
        )

    def _sha256(self, there: Any, key: str) -> str:
        digest = hashlib.sha256()
        for piece in self._stream(there, key, 0, None):
            digest.update(piece)
        return digest.hexdigest()

    def _must_have_lock(self, options: StoreOptions) -> None:
        """After a refusal: raises StoreDenied when it was for a lock that the bucket can't give."""
        if options.lock_days and lock_mode(self._client(), self._bucket_name) == "":
            raise StoreDenied(
                f"Store {self._name} at {self._url} can't lock objects: the bucket has no object retention.",
                SWITCH_LOCK_ON,
            )

    # --- parts of the rest ---

    def _stream(self, there: Any, key: str, start: int, length: int | None) -> Iterator[bytes]:
        with self._doing(f"reading {key}"):
            try:
                yield from stream(self._client(), there, self._name, start, length)
            except api.NotFound as error:
                raise self._missing(key) from error

    def _delete_some(self, keys: builtins.list[str]) -> builtins.list[str]:
        answers = dict(zip(keys, retried(lambda: self._delete_batch(keys)), strict=True))
        if 404 in answers.values():  # also what a bucket says that is not there
            self._still_the_store(again=True)
        gone = []
        for key, code in answers.items():
            if 200 <= code < 300 or code == 404 or self._delete_one(key):
                gone.append(key)
        return gone

    def _delete_batch(self, keys: builtins.list[str]) -> builtins.list[int]:
        """The answer to the deletion of each key."""
        batch = self._client().batch(raise_exception=False)
        with batch:
            for key in keys:
                self._blob(key).delete(timeout=_TIMEOUT)
        return [answer.status_code for answer in batch._responses]

    def _delete_one(self, key: str) -> bool:
        try:
            self._blob(key).delete(timeout=_TIMEOUT, retry=retry())
        except api.NotFound:
            return True
        except (api.Forbidden, api.PreconditionFailed):  # held, or not old enough for the bucket's retention
            return False
        return True

    def _look(self, key: str) -> Any:
        return self._bucket().get_blob(self._root + key, timeout=_TIMEOUT, retry=retry())

    def _still_the_store(self, *, reading: bool = False, again: bool = False) -> None:
        """Look that the bucket still is the store, if need be `again`. Only reading may do without `identify`."""
        if self._identity is None and not reading:
            raise StoreError(f"Store {self._name} was not identified before it was used.", "Call identify first.")
        looked_at = self._looked_at
        if not again and looked_at is not None and time.monotonic() - looked_at < _IDENTITY_LASTS_S:
            return
        with self._doing("reading its identity"):
            found = self._read_identity()
        if found is None:
            raise self._wrong(f"it has no {IDENTITY_FILE}")
        if self._identity is not None and found != self._identity:
            raise self._wrong(f"its identity is {found}, expected was {self._identity}")
        self._looked_at = time.monotonic()

    def _read_identity(self) -> str | None:
        try:
            raw = self._blob(IDENTITY_FILE).download_as_bytes(timeout=_TIMEOUT, retry=retry())
        except api.NotFound:
            self._some_names()  # raises when it is the bucket that is missing
            return None
        try:
            return parse_identity(raw)
        except ValueError as error:
            raise self._wrong(f"its {IDENTITY_FILE} can't be read ({error})") from error

    def _make_identity(self) -> str:
        """Give the place an identity; when two do so at once, both get the identity of the first."""
        identity, content = new_identity()
        try:
            self._new_blob(IDENTITY_FILE, preview_options(self._options)).upload_from_string(
                content,
                content_type="application/json",
                if_generation_match=0,
                checksum="crc32c",
                timeout=_TIMEOUT,
                retry=retry(),
            )
        except api.PreconditionFailed:
            pass
        else:
            return identity
        found = self._read_identity()
        if found is None:
            raise self._wrong(f"its {IDENTITY_FILE} is gone again")
        return found

    def _must_be_new(self) -> None:
        """A new place holds nothing but what consoles make to show folders."""
        if any(not name.endswith("/") for name in self._some_names() if name != self._root + IDENTITY_FILE):
            raise StoreUnreachable(
                f"Store {self._name}: {self._url} holds other things and is no store yet.",
                "Name an empty bucket, or a prefix of its own for the store.",
            )

    def _some_names(self) -> builtins.list[str]:
        blobs = self._client().list_blobs(
            self._bucket_name, prefix=self._root, max_results=100, timeout=_TIMEOUT, retry=retry()
        )
        return [blob.name for blob in blobs]

    def _client(self) -> Any:
        return client(self._conn_id)

    def _bucket(self) -> Any:
        return self._client().bucket(self._bucket_name)

    def _blob(self, key: str) -> Any:
        return self._bucket().blob(self._root + key)

    def _new_blob(self, key: str, options: StoreOptions) -> Any:
        """An object that is to be made, and what it gets. A lock counts from now."""
        blob = self._bucket().blob(self._root + key, kms_key_name=options.encryption or None)
        if options.storage_class:
            blob.storage_class = options.storage_class
        if options.lock_days:
            blob.retention.mode = "Locked" if options.lock_mode == "compliance" else "Unlocked"
            until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=options.lock_days)
            blob.retention.retain_until_time = until
        return blob

    @contextlib.contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        refused = None
        try:
            yield
        except (StoreError, FileRotted):
            raise
        except ERRORS as error:
            refused = refusal(self._name, self._url, self._bucket_name, error, what)
        if refused is not None:
            raise refused from None  # its cause may quote the address of an upload session

    def _wrong(self, why: str) -> WrongStore:
        return WrongStore(
            f"Store {self._name} at {self._url} is another store: {why}.",
            "Name the right bucket and prefix in sites.yaml. Nothing was written; the next run copies what is waiting.",
        )

    def _missing(self, key: str) -> ObjectMissing:
        return ObjectMissing(
            f"Store {self._name} has no object {key}.", "It was purged, or removed from the bucket by hand."
        )


def _described(
    key: str, blob: Any, *, sha256: str | None = None, bytes_sent: int = 0, read_back: bool = False
) -> StoredObject:
    """read_back: its bytes were read and gave this SHA-256."""
    return StoredObject(
        key=key,
        size_bytes=int(blob.size),
        sha256=sha256 or (blob.metadata or {}).get(gcs_upload.SHA256),
        checksum=f"sha256:{sha256}" if read_back else f"crc32c:{blob.crc32c}",
        modified_at=blob.time_created,
        bytes_sent=bytes_sent,
    )
