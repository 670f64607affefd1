"""What a bucket of Google Cloud Storage can keep by itself: temporary holds and a retention that refuses deletions.

Behind a deletion there may be a soft-delete policy of the bucket (seven days unless it was changed): the object is gone
for readers and counts as gone here, and `gcloud storage restore` brings it back, after which `vms retention undo` finds
it in its place. The store itself never restores: that would need a right that tasks should not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from google.api_core import exceptions as api

from vms.stores.gcs_errors import TIMEOUT, retry
from vms.stores.keeping import Protection


def hold(blob_of: Callable[[str], Any], keys: Iterable[str], *, on: bool) -> dict[str, str]:
    """Put a temporary hold on each object, or take it off. By key why it was not done, "" where it was."""
    said = {}
    for key in keys:
        blob = blob_of(key)
        blob.temporary_hold = on
        try:
            blob.patch(timeout=TIMEOUT, retry=retry())
            said[key] = ""
        except api.NotFound:
            said[key] = "there is no such object" if on else ""
        except api.Forbidden:
            said[key] = "its account may not change objects (storage.objects.update)"
    return said


def protection(there: Any) -> Protection | None:
    """What keeps an object, as its description says; None when nothing does or there is none."""
    if there is None:
        return None
    if there.temporary_hold or there.event_based_hold:
        return Protection("a hold of the bucket", None)
    if there.retention_expiration_time is not None:
        return Protection("the bucket's retention", there.retention_expiration_time)
    return None
