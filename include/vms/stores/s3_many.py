"""Many objects of an S3 bucket at once: listed in key order, deleted by the thousand."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Any

from vms.stores.base import StoredObject, is_key, lies_behind
from vms.stores.s3_place import S3Place

logger = logging.getLogger(__name__)

_KEYS_PER_CALL = 1000


def walk(place: S3Place, start: str, after: str) -> Iterator[StoredObject]:
    """Level by level, each sorted here: not every server gives a flat listing in key order.

    start, after: whole names in the bucket, which those of the objects begin with and sort behind.
    """
    pages = place.client().get_paginator("list_objects_v2")
    found: dict[str, dict[str, Any] | None] = {}
    with place.doing("listing"):
        for page in pages.paginate(Bucket=place.bucket, Prefix=start, Delimiter="/"):
            found.update({one["Key"]: one for one in page.get("Contents", ())})
            found.update({one["Prefix"]: None for one in page.get("CommonPrefixes", ())})
    for name in sorted(one for one in found if lies_behind(one, after)):
        one = found[name]
        key = place.key_of(name)
        if one is None and is_key(key.removesuffix("/")):
            yield from walk(place, name, after)
        elif one is not None and is_key(key):
            yield StoredObject(key, one["Size"], None, "", one["LastModified"].astimezone(UTC))


def delete(place: S3Place, keys: Sequence[str]) -> list[str]:
    """Those that the server says are gone."""
    gone: list[str] = []
    for first in range(0, len(keys), _KEYS_PER_CALL):
        some = keys[first : first + _KEYS_PER_CALL]
        with place.doing(f"deleting {len(some)} objects"):
            answer = place.client().delete_objects(
                Bucket=place.bucket, Delete={"Objects": [{"Key": place.prefix + key} for key in some]}
            )
        gone += _confirmed(place, some, answer)
    return gone


def _confirmed(place: S3Place, keys: Sequence[str], answer: dict[str, Any]) -> list[str]:
    told = {one["Key"] for one in answer.get("Deleted", ())}
    for one in answer.get("Errors", ()):
        if one.get("Code") == "NoSuchKey":
            told.add(one["Key"])
        else:
            logger.warning("Store %s does not delete %s: %s", place.name, one.get("Key"), one.get("Code"))
    return [key for key in keys if place.prefix + key in told]
