"""Many objects of a bucket of Google Cloud Storage at once: listed in key order, deleted by the hundred."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from google.api_core import exceptions as api

from vms.stores.base import StoredObject, is_key
from vms.stores.gcs_errors import TIMEOUT, retried, retry
from vms.stores.gcs_place import GcsPlace
from vms.stores.gcs_proof import described

_PAGE = 1000
_BATCH = 100


def walk(place: GcsPlace, prefix: str, after: str) -> Iterator[StoredObject]:
    """See `vms.stores.base.Store.list`."""
    with place.doing("listing its objects"):
        blobs = place.client().list_blobs(
            place.bucket_name,
            prefix=place.root + prefix,
            start_offset=place.root + after if after else None,  # which is itself among them
            fields="items(name,size,crc32c,metadata,timeCreated,generation),nextPageToken",
            page_size=_PAGE,
            timeout=TIMEOUT,
            retry=retry(),
        )
        for blob in blobs:
            key = blob.name.removeprefix(place.root)
            if is_key(key) and key > after:
                yield described(key, blob)


def delete(place: GcsPlace, keys: Sequence[str], still_the_store: Callable[[], None]) -> list[str]:
    """Those that are gone. still_the_store: raises when the bucket is no longer the store."""
    gone: list[str] = []
    with place.doing("deleting objects"):
        for first in range(0, len(keys), _BATCH):
            gone += _delete_some(place, keys[first : first + _BATCH], still_the_store)
    return gone


def _delete_some(place: GcsPlace, keys: Sequence[str], still_the_store: Callable[[], None]) -> list[str]:
    answers = dict(zip(keys, retried(lambda: _delete_batch(place, keys)), strict=True))
    if 404 in answers.values():  # also what a bucket says that is not there
        still_the_store()
    return [key for key, code in answers.items() if 200 <= code < 300 or code == 404 or _delete_one(place, key)]


def _delete_batch(place: GcsPlace, keys: Sequence[str]) -> list[int]:
    """The answer to the deletion of each key."""
    batch = place.client().batch(raise_exception=False)
    with batch:
        for key in keys:
            place.blob(key).delete(timeout=TIMEOUT)
    return [answer.status_code for answer in batch._responses]


def _delete_one(place: GcsPlace, key: str) -> bool:
    try:
        place.blob(key).delete(timeout=TIMEOUT, retry=retry())
    except api.NotFound:
        return True
    except (api.Forbidden, api.PreconditionFailed):  # held, or not old enough for the bucket's retention
        return False
    return True
