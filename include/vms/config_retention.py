"""What sites.yaml says about retention has to fit together: a store can only shorten what its sites keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from vms.config_model import Site, StoreConfig
from vms.config_yaml import Located, Mistake


def too_long_retentions(
    located: Located | None, stores: Mapping[str, StoreConfig], sites: Sequence[Site]
) -> Iterator[Mistake]:
    """Stores that promise to keep footage longer than any site using them does: nothing would keep that promise."""
    if located is None:
        return
    for store in stores.values():
        kept = [longest_of(site) for site in sites if any(one.name == store.name for one in site.stores)]
        if store.retention is None or not kept or store.retention <= max(kept):
            continue
        text = (
            f"stores.{store.name}.retention: found {store.retention.days}d, but no site that uses this store keeps"
            f" footage longer than {max(kept).days}d. Raise `retention` of defaults, of a site or of a camera,"
            " or shorten this one."
        )
        where = (store.name, "retention")
        yield Mistake(*located.place(where), text, where)


def longest_of(site: Site) -> timedelta:
    """The longest that footage of any camera of this site is kept."""
    return max([site.retention, *(one.retention for one in site.cameras if one.retention is not None)])
