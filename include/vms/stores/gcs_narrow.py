"""The trials of a branch's key at Google Cloud Storage, see `narrow_check`: one small object stays."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Sequence

from google.api_core import exceptions as api

from vms.errors import StoreError
from vms.stores.gcs_errors import TIMEOUT, retry
from vms.stores.gcs_place import GcsPlace
from vms.stores.narrow import PROBE
from vms.stores.narrow_check import PROBE_BYTES, Trial

OVERWRITES = "storage.objects.delete"
"""The right that overwriting takes, by which a refusal to overwrite is told from others."""


def trials(place: GcsPlace, site: str) -> Sequence[Trial]:
    """place: where the store's objects lie."""
    blob, doing = place.blob, place.doing
    key = f"{site}/{PROBE}"
    speed: dict[str, float] = {}

    def puts(name: str, data: bytes) -> bool:
        """Whether there was an object already."""
        try:
            blob(name).upload_from_string(data, if_generation_match=0, timeout=TIMEOUT, retry=retry())
        except api.PreconditionFailed:
            return True
        except api.Forbidden as error:
            if OVERWRITES in str(error):
                return True
            raise
        return False

    def first() -> None:
        with doing("putting an object"):
            data = secrets.token_bytes(PROBE_BYTES)
            began = time.monotonic()
            puts(key, data)
            speed["up_mbit_s"] = round(len(data) * 8e-6 / max(time.monotonic() - began, 1e-6), 2)

    def again() -> None:
        with doing("putting an object twice"):
            if not puts(key, b"another"):
                raise StoreError("the server overwrites objects", "Footage of a branch is not safe there.")

    def reads() -> None:
        with doing("reading"):
            blob(key).reload(timeout=TIMEOUT, retry=retry())

    def lists() -> None:
        with doing("listing"):
            blobs = place.client().list_blobs
            list(blobs(place.bucket_name, prefix=f"{place.root}{site}/", max_results=1, timeout=TIMEOUT, retry=retry()))

    def deletes() -> None:
        with doing("deleting"):
            blob(key).delete(timeout=TIMEOUT, retry=retry())

    def elsewhere() -> None:
        name = f"vms-check/{site}-elsewhere.bin"
        with doing("writing elsewhere"):
            puts(name, b"elsewhere")
            with contextlib.suppress(api.GoogleAPICallError):
                blob(name).delete(timeout=TIMEOUT, retry=retry())

    return (
        Trial("to put an object", "puts objects below its own prefix", first, numbers=speed),
        Trial("to overwrite one", "the server itself refuses to overwrite", again),
        Trial("to read", "this key can read objects", reads, must_fail=True),
        Trial("to list", "this key can list the bucket", lists, must_fail=True),
        Trial("to delete", "this key can delete and overwrite objects", deletes, must_fail=True),
        Trial(
            "to write outside its site",
            "this key can put objects outside of its site's prefix",
            elsewhere,
            must_fail=True,
        ),
    )
