"""The tree of sites and cameras, by which pages let people choose: what is there, and what is chosen.

Of a few sites all is sent with the page. Of more, what is chosen and the first sites are, and the tree asks ROUTE for
the rest while somebody types or opens a site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from viewer import formats, places, query
from viewer.database import AWAY
from viewer.i18n import Words, choose_language
from viewer.places import Places
from viewer.visitor import Visitor
from vms.catalogue.rows import CameraRow, SiteRow

ROUTE = "/api/cameras"
MOST_SENT = 200
"""Cameras; of more only the first sites come with the page."""

MOST_SITES = 30
_SAID = ("tree.search", "tree.all", "tree.none", "tree.label", "tree.open", "tree.more", "tree.away")


def page(words: Words, there: Places, find: query.Find) -> dict[str, Any]:
    """All that the component draws. A chosen site is chosen with all its cameras, also those that come later."""
    is_all = there.cameras <= MOST_SENT
    chosen = _chosen(there, find)
    first = there.sites if is_all else _first(there, find)
    return {
        "lang": words.lang,
        "ask": None if is_all else f"{ROUTE}?lang={words.lang}",
        "chosen": [*(site.id for site in chosen[0]), *("/".join(pair) for pair in chosen[1])],
        "sites": [_site(there, site, site.cameras if is_all else None) for site in first],
        "left": len(there.sites) - len(first),
        "words": {name.partition(".")[2]: words(name, count="{count}") for name in _SAID},
    }


def _first(there: Places, find: query.Find) -> Sequence[SiteRow]:
    """The sites that are sent: those that something is chosen of, then the first by name."""
    asked = dict.fromkeys([*find.sites, *(site for site, _ in find.cameras)])
    chosen = [there.by_id[site] for site in asked if site in there.by_id][:MOST_SITES]
    others = (site for site in there.sites if site.id not in asked)
    return [*chosen, *islice(others, MOST_SITES - len(chosen))]


def _site(there: Places, site: SiteRow, cameras: Sequence[CameraRow] | None) -> dict[str, Any]:
    """cameras: None where the tree has to ask for them."""
    return {
        "id": site.id,
        "name": site.name,
        "note": there.labels.get(site.id, ("", ""))[0],
        "count": len(site.cameras),
        "cameras": None if cameras is None else [{"id": one.id, "name": one.name} for one in cameras],
    }


def answer(there: Places, asked: str, site: str) -> dict[str, Any]:
    """What the tree asks for: the sites and cameras that have these words, or all cameras of a site."""
    if site:
        one = there.by_id.get(site)
        return {"sites": [_site(there, one, one.cameras)] if one else [], "left": 0}
    found = there.find(asked)
    return {"sites": [_site(there, one, cameras or None) for one, cameras in found.sites], "left": found.left}


def routes() -> list[Route]:
    """The route that the tree asks."""

    async def asked(request: Request) -> Response:
        person: Visitor = request.state.visitor
        params, headers = request.query_params, {"Cache-Control": "no-store"}
        words = Words(choose_language(params.get("lang"), request.headers.get("accept-language")))
        if not person.may("view"):
            return JSONResponse({"error": words("app.not_allowed.text")}, 403, headers)
        try:
            there = await run_in_threadpool(places.seen_by, person)
            made = await run_in_threadpool(answer, there, params.get("q", ""), params.get("site", ""))
        except AWAY:
            return JSONResponse({"error": words("media.catalogue_away")}, 503, headers)
        return JSONResponse(made, headers=headers)

    return [Route(ROUTE, asked, methods=["GET"])]


def _chosen(there: Places, find: query.Find) -> tuple[list[SiteRow], list[tuple[str, str]]]:
    """Sites that are chosen as a whole, and single cameras of others."""
    of: dict[str, set[str]] = {site: set() for site in find.sites}
    for site, camera in find.cameras:
        of.setdefault(site, set()).add(camera)
    sites = [one for one in there.sites if one.id in of] if of else []
    whole = [one for one in sites if _is_whole(one, of[one.id], find)]
    for one in whole:
        del of[one.id]
    cameras = [(one.id, camera.id) for one in sites for camera in one.cameras if camera.id in of.get(one.id, ())]
    return whole, cameras


def label(words: Words, there: Places, find: query.Find) -> str:
    """What is chosen, as the button says it."""
    whole, some = _chosen(there, find)
    if not whole and not some:
        return words("find.cameras.all")
    if len(whole) + len(some) <= 2:
        names = {(site, one.id): one.name for site, _ in some for one in there.by_id[site].cameras}
        return ", ".join((*(site.name for site in whole), *(names[one] for one in some)))
    parts = []
    if whole:
        parts.append(formats.counted(words, "tree.sites", len(whole)))
    if some:
        parts.append(formats.counted(words, "tree.cameras", len(some)))
    return ", ".join(parts)


def choose(find: query.Find, there: Places, told: str) -> query.Find:
    """The search with what the component tells: "ho,makassar/kasir", whole sites and single cameras; "*" is all.

    A site beside single cameras of others is taken as its cameras of now: a search is by sites or by cameras.
    """
    whole, some = told_of(there, told)
    if not some:
        return replace(find, sites=tuple(site.id for site in whole), cameras=())
    cameras = [*((site.id, camera.id) for site in whole for camera in site.cameras), *some]
    return replace(find, sites=(), cameras=tuple(dict.fromkeys(cameras)))


def told_of(there: Places, told: str) -> tuple[list[SiteRow], list[tuple[str, str]]]:
    """The same in two parts: whole sites and single cameras."""
    parts = told.split(",")
    some = [pair for one in parts if "/" in one for pair in query.read({"camera": [one]}).cameras]
    wanted = set(parts)
    return [site for site in there.sites if site.id in wanted], some


def _is_whole(site: SiteRow, cameras: set[str], find: query.Find) -> bool:
    """Whether all of the site is chosen: by itself, or by each of its cameras."""
    return cameras >= {camera.id for camera in site.cameras} if cameras else site.id in find.sites
