"""The tree of sites and cameras on the Find page: what is there, and what is chosen. Pure data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from viewer import formats, query
from viewer.i18n import Words
from vms.catalogue.rows import SiteRow


def page(words: Words, sites: Sequence[SiteRow], find: query.Find) -> dict[str, Any]:
    """All that the component draws. A chosen site is chosen with all its cameras, also those that come later."""
    return {
        "lang": words.lang,
        "sites": [
            {
                "id": site.id,
                "name": site.name,
                "chosen": _is_whole(find, site),
                "cameras": [
                    {"id": camera.id, "name": camera.name, "chosen": (site.id, camera.id) in find.cameras}
                    for camera in site.cameras
                ],
            }
            for site in sites
        ],
        "words": {
            "search": words("tree.search"),
            "all": words("tree.all"),
            "none": words("tree.none"),
            "label": words("tree.label"),
            "open": words("tree.open"),
        },
    }


def label(words: Words, sites: Sequence[SiteRow], find: query.Find) -> str:
    """What is chosen, as the button says it."""
    complete = [site for site in sites if _is_whole(find, site)]
    whole = [site.name for site in complete]
    some = [
        camera.name
        for site in sites
        if site not in complete
        for camera in site.cameras
        if (site.id, camera.id) in find.cameras
    ]
    if not whole and not some:
        return words("find.cameras.all")
    if len(whole) + len(some) <= 2:
        return ", ".join((*whole, *some))
    parts = []
    if whole:
        parts.append(words("tree.sites", count=formats.number(words, len(whole))))
    if some:
        parts.append(words("tree.cameras", count=formats.number(words, len(some))))
    return ", ".join(parts)


def choose(find: query.Find, sites: Sequence[SiteRow], told: str) -> query.Find:
    """The search with what the component tells: "ho,makassar/kasir", whole sites and single cameras; "" is all.

    A site beside single cameras of others is taken as its cameras of now: a search is by sites or by cameras.
    """
    some = [pair for one in told.split(",") if "/" in one for pair in query.read({"camera": [one]}).cameras]
    whole = [site for site in sites if site.id in told.split(",")]
    if not some:
        return replace(find, sites=tuple(site.id for site in whole), cameras=())
    cameras = [*((site.id, camera.id) for site in whole for camera in site.cameras), *some]
    return replace(find, sites=(), cameras=tuple(dict.fromkeys(cameras)))


def _is_whole(find: query.Find, site: SiteRow) -> bool:
    """Whether all of the site is chosen: by itself, or by each of its cameras."""
    of_it = {camera for at, camera in find.cameras if at == site.id}
    return of_it >= {camera.id for camera in site.cameras} if of_it else site.id in find.sites
