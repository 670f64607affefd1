"""Where a store lies at an S3 server: bucket, prefix and connection, whose store it is, and what its refusals mean."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from vms.errors import StoreError, WrongStore
from vms.model import StoreOptions
from vms.stores import s3_put
from vms.stores.base import ObjectMissing, preview_options
from vms.stores.identity import IDENTITY_FILE, must_be, new_identity, parse_identity
from vms.stores.narrow import is_probe
from vms.stores.refusals import holds_other_things, no_object
from vms.stores.s3_client import client
from vms.stores.s3_errors import FAILURES, is_missing, is_taken, refusal


@dataclass(frozen=True)
class S3Place:
    """See `vms.stores.identity.Place`. prefix: of all objects of the store, "" or ending in a slash."""

    name: str
    url: str
    bucket: str
    prefix: str
    conn_id: str
    options: StoreOptions

    @property
    def plain(self) -> dict[str, Any]:
        """What the identity file and probes get: never class or lock, so that they can be read and taken away again."""
        return s3_put.asked_for(preview_options(self.options))

    def client(self) -> Any:
        return client(self.conn_id)

    def at(self, key: str) -> dict[str, str]:
        """An object of the store, as requests name it."""
        return {"Bucket": self.bucket, "Key": self.prefix + key}

    def key_of(self, name: str) -> str:
        """The key of an object, from its whole name in the bucket."""
        return name.removeprefix(self.prefix)

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Gives the failures of a request their meaning. what: e.g. "writing a/b.mp4"."""
        try:
            yield
        except FAILURES as error:
            raise self.named(error, what) from error

    def named(self, error: Exception, doing: str) -> StoreError:
        return refusal(self.name, self.url, error, doing)

    def missing(self, key: str) -> ObjectMissing:
        return no_object(self.name, key, "in the bucket")

    def wrong(self, why: str) -> WrongStore:
        return WrongStore(
            f"Store {self.name} at {self.url} is another store: {why}.",
            "Correct its url or connection. Nothing was written; what is waiting is copied by the next run.",
        )

    def read_identity(self) -> str | None:
        try:
            answer = self.client().get_object(**self.at(IDENTITY_FILE))
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return parse_identity(self, answer["Body"].read(4096))

    def must_be_new(self) -> None:
        answer = self.client().list_objects_v2(Bucket=self.bucket, Prefix=self.prefix)
        keys = [self.key_of(one["Key"]) for one in answer.get("Contents", ())]
        if any(one and not one.startswith(".") and not is_probe(one) for one in keys):  # "": as consoles make folders
            raise holds_other_things(self.name, self.url, "Name an empty prefix of its own for the store.")

    def make_identity(self) -> str | None:
        _, content = new_identity()
        try:
            self.client().put_object(
                **self.at(IDENTITY_FILE),
                **self.plain,
                Body=content,
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except ClientError as error:
            if not is_taken(error):
                raise
        return self.read_identity()

    def must_still_be(self, identity: str | None) -> None:
        """A bucket that is gone answers just like an object that is gone, and some servers make it again at a put."""
        if identity is None:
            self.client().head_bucket(Bucket=self.bucket)
        else:
            must_be(self, self.read_identity(), identity)
