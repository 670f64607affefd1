"""Where a store lies in Google Cloud Storage: bucket, root and connection, whose store it is, and what errors mean."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.api_core import exceptions as api

from vms.errors import StoreError, WrongStore
from vms.model import StoreOptions
from vms.stores.base import FileRotted, ObjectMissing, preview_options
from vms.stores.gcs_client import client
from vms.stores.gcs_errors import ERRORS, TIMEOUT, refusal, retry
from vms.stores.identity import IDENTITY_FILE, new_identity, parse_identity
from vms.stores.narrow import is_probe
from vms.stores.refusals import holds_other_things, no_object


@dataclass(frozen=True)
class GcsPlace:
    """See `vms.stores.identity.Place`. root: what the names of all its objects begin with, "" or ending in a slash."""

    name: str
    url: str
    bucket_name: str
    root: str
    conn_id: str
    options: StoreOptions

    def client(self) -> Any:
        return client(self.conn_id)

    def bucket(self) -> Any:
        return self.client().bucket(self.bucket_name)

    def blob(self, key: str) -> Any:
        return self.bucket().blob(self.root + key)

    def new_blob(self, key: str, options: StoreOptions) -> Any:
        """An object that is to be made, and what it gets. A lock counts from now."""
        blob = self.bucket().blob(self.root + key, kms_key_name=options.encryption or None)
        if options.storage_class:
            blob.storage_class = options.storage_class
        if options.lock_days:
            blob.retention.mode = "Locked" if options.lock_mode == "compliance" else "Unlocked"
            until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=options.lock_days)
            blob.retention.retain_until_time = until
        return blob

    def look(self, key: str) -> Any:
        """The object as the store describes it; None when there is none, or no bucket. Raises ERRORS."""
        return self.bucket().get_blob(self.root + key, timeout=TIMEOUT, retry=retry())

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Gives the client library's errors their meaning. what: e.g. "writing a/b.mp4"."""
        refused = None
        try:
            yield
        except (StoreError, FileRotted):
            raise
        except ERRORS as error:
            refused = refusal(self.name, self.url, self.bucket_name, error, what)
        if refused is not None:
            raise refused from None  # its cause may quote the address of an upload session

    def missing(self, key: str) -> ObjectMissing:
        return no_object(self.name, key, "from the bucket")

    def wrong(self, why: str) -> WrongStore:
        return WrongStore(
            f"Store {self.name} at {self.url} is another store: {why}.",
            "Name the right bucket and prefix in sites.yaml. Nothing was written; the next run copies what is waiting.",
        )

    def read_identity(self) -> str | None:
        try:
            raw = self.blob(IDENTITY_FILE).download_as_bytes(timeout=TIMEOUT, retry=retry())
        except api.NotFound:
            self._some_names()  # raises when it is the bucket that is missing
            return None
        return parse_identity(self, raw)

    def must_be_new(self) -> None:
        """A new place holds nothing but what consoles make to show folders, and probes."""
        keys = [name.removeprefix(self.root) for name in self._some_names()]
        if any(not key.endswith("/") and not is_probe(key) for key in keys if key not in ("", IDENTITY_FILE)):
            raise holds_other_things(self.name, self.url, "Name an empty bucket, or a prefix of its own for the store.")

    def make_identity(self) -> str:
        identity, content = new_identity()
        try:
            self.new_blob(IDENTITY_FILE, preview_options(self.options)).upload_from_string(
                content,
                content_type="application/json",
                if_generation_match=0,
                checksum="crc32c",
                timeout=TIMEOUT,
                retry=retry(),
            )
        except api.PreconditionFailed:
            pass
        else:
            return identity
        found = self.read_identity()
        if found is None:
            raise self.wrong(f"its {IDENTITY_FILE} is gone again")
        return found

    def _some_names(self) -> list[str]:
        blobs = self.client().list_blobs(
            self.bucket_name, prefix=self.root, max_results=1000, timeout=TIMEOUT, retry=retry()
        )
        return [blob.name for blob in blobs]
