"""Does a store look emptied? Then nothing is believed of what it seems to have lost: a part that is not mounted looks
the same, and what is copied there would fill the disk behind it. Only a person says that it is so."""

from __future__ import annotations

from vms.backups import is_backup_key
from vms.errors import StoreUnreachable
from vms.model import StoreTarget
from vms.stores import Store

_MANY = 20
_SHARE = 0.2


def refuse_empty(target: StoreTarget, store: Store) -> None:
    """Raises StoreUnreachable when the store, which should hold something, shows no object at all."""
    if not any(not is_backup_key(one.key) for one in store.list()):
        raise nothing_there(target)


def nothing_there(target: StoreTarget) -> StoreUnreachable:
    """The refusal of a store that shows nothing."""
    return StoreUnreachable(
        f"Store {target.name} at {target.url} shows no object at all, though the catalogue knows of"
        " some. Nothing was marked as lost.",
        "Check the mount, the bucket and its prefix. If it really was emptied: vms verify --accept-losses.",
    )


def refuse_losses(target: StoreTarget, gone: int, looked: int, *, marked: bool) -> None:
    """Raises StoreUnreachable when too much is gone of what was looked at. marked: some is marked as lost already."""
    if gone > _MANY and gone > _SHARE * looked:
        raise StoreUnreachable(
            f"Store {target.name} at {target.url} looks emptied: {gone} of {looked} objects are"
            f" gone. {'No more were' if marked else 'Nothing was'} marked as lost.",
            "Find out who removes objects there. If they really are gone: vms verify --accept-losses.",
        )
