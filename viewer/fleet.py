"""Many sites at a glance: how each is judged, which are asked for, and the map of them by region. Pure data.

The worst come first everywhere. What is asked for stands in the address: ?q=...&region=...&tier=...&state=...
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from viewer import formats
from viewer.i18n import Words
from viewer.places import text_of
from vms.catalogue.pace import Backlog
from vms.catalogue.rows import SiteOverview, StoreStateRow

FEW = 12
"""So many sites are simply all shown."""

NOTHING = Backlog(0, 0.0, 0, None, False)
LATE = timedelta(days=1)
"""How old the newest archived footage of a site may be while more of it waits."""

_HOUR = timedelta(hours=1)
_LONGEST = 100

KINDS: dict[str, tuple[str, str, str]] = {
    "away": ("red", "!", "fleet.away"),
    "silent": ("red", "?", "fleet.silent"),
    "growing": ("orange", "\N{UPWARDS ARROW}", "ops.growing"),
    "late": ("orange", "←", "fleet.late"),
    "attention": ("orange", "\N{MULTIPLICATION SIGN}", "sites.attention"),
    "waits": ("blue", "\N{HORIZONTAL ELLIPSIS}", "ops.waits"),
    "paused": ("gray", "\N{EN DASH}", "ops.paused"),
    "quiet": ("gray", "", "sites.quiet"),
    "ok": ("green", "", "sites.ok"),
}
"""How a site can be, the worst first: tone, sign (colour alone does not reach everybody) and word."""

NEEDS_A_PERSON = ("away", "silent", "growing", "late", "attention")
STATES = ("bad", *KINDS)


@dataclass(frozen=True)
class Asked:
    """Which sites are asked for. state: a key of KINDS, "bad" for those that need a person, "" for all."""

    words: str = ""
    region: str = ""
    tier: str = ""
    state: str = ""


@dataclass(frozen=True)
class Judged:
    """A site, how it is, and by what people sort it."""

    site: SiteOverview
    kind: str
    backlog: Backlog = NOTHING
    region: str = ""
    tier: str = ""

    @property
    def look(self) -> tuple[str, str]:
        """Tone, and the key of its word."""
        tone, _, word = KINDS[self.kind]
        return tone, word


def read(params: Mapping[str, str]) -> Asked:
    """What an address asks for; it is untrusted."""
    words, region, tier, state = (params.get(name, "").strip()[:_LONGEST] for name in ("q", "region", "tier", "state"))
    return Asked(words, region, tier, state if state in STATES else "")


def write(asked: Asked) -> dict[str, str]:
    """The address parameters of what is asked for."""
    made = {"q": asked.words, "region": asked.region, "tier": asked.tier, "state": asked.state}
    return {name: text for name, text in made.items() if text}


def judge(
    site: SiteOverview,
    now: datetime,
    *,
    backlog: Backlog = NOTHING,
    store_out: bool = False,
    waits: bool = False,
    paused: bool = False,
) -> str:
    """How a site is: a key of KINDS. What a person has stopped is no trouble; else the worst counts."""
    if paused:
        return "paused"
    if store_out:
        return "away"
    if waits:
        return "waits"
    looked_at = site.last_sensed or site.awaited_since
    if looked_at is not None and now - looked_at > max(_HOUR, 3 * timedelta(seconds=site.every_s)):
        return "silent"
    if backlog.falls_behind:
        return "growing"
    if site.counts.get("planned") and (site.newest_archived is None or now - site.newest_archived > LATE):
        return "late"
    if site.counts.get("quarantined"):
        return "attention"
    return "quiet" if site.last_sensed is None else "ok"


def judged(
    sites: Iterable[SiteOverview],
    backlogs: Mapping[str, Backlog],
    answers: Iterable[StoreStateRow],
    labels: Mapping[str, tuple[str, str]],
    now: datetime,
    waiting: frozenset[str] = frozenset(),
    paused: frozenset[str] = frozenset(),
) -> list[Judged]:
    """All of them, the worst first, then by name. waiting, paused: ids of sites whose runs wait or start nothing."""
    out = {one.site for one in answers if one.state != "ok"}
    found = []
    for site in sites:
        backlog = backlogs.get(site.site, NOTHING)
        kind = judge(
            site,
            now,
            backlog=backlog,
            store_out=site.site in out,
            waits=site.site in waiting,
            paused=site.site in paused,
        )
        found.append(Judged(site, kind, backlog, *labels.get(site.site, ("", ""))))
    order = list(KINDS)
    return sorted(found, key=lambda one: (order.index(one.kind), one.site.name.casefold(), one.site.site))


def fitting(sites: Iterable[Judged], asked: Asked) -> list[Judged]:
    """Those that are asked for, in their order."""
    wanted = asked.words.casefold().split()
    return [
        one
        for one in sites
        if (not asked.region or one.region == asked.region)
        and (not asked.tier or one.tier == asked.tier)
        and (not asked.state or one.kind == asked.state or (asked.state == "bad" and one.kind in NEEDS_A_PERSON))
        and all(word in text_of(one.site.name, one.site.site, one.region, one.tier) for word in wanted)
    ]


def page(words: Words, sites: Sequence[Judged], now: datetime, href: str, region_href: str) -> dict[str, Any]:
    """The map: a block for each region with its sums and a tile for each site. href, region_href: of a site and of a
    region, to be followed by its id or name."""
    kinds = list(KINDS)
    by_region: dict[str, list[Judged]] = {}
    for one in sites:
        by_region.setdefault(one.region, []).append(one)
    names = sorted(by_region, key=lambda name: (not name, name.casefold()))
    several = len(names) > 1 or any(names)
    there = [kind for kind in kinds if any(one.kind == kind for one in sites)]
    return {
        "lang": words.lang,
        "href": href,
        "region_href": region_href,
        "kinds": [{"tone": tone, "sign": sign, "text": words(word)} for tone, sign, word in KINDS.values()],
        "legend": [kinds.index(kind) for kind in there],
        "regions": [
            {
                "id": name,
                "name": (name or words("fleet.no_region")) if several else "",
                "facts": _facts(words, by_region[name], now),
                "counts": _counts(words, by_region[name]),
                "tiles": [[one.site.site, one.site.name, kinds.index(one.kind)] for one in by_region[name]],
            }
            for name in names
        ],
        "words": {"map": words("fleet.map"), "keys": words("fleet.keys")},
    }


def _counts(words: Words, sites: Sequence[Judged]) -> list[list[Any]]:
    """[place in kinds, how many], of those that there are."""
    counted = [sum(one.kind == kind for one in sites) for kind in KINDS]
    return [[place, formats.number(words, count)] for place, count in enumerate(counted) if count]


def _facts(words: Words, sites: Sequence[Judged], now: datetime) -> list[dict[str, str]]:
    waits_s = sum(one.backlog.footage_s for one in sites)
    ends = (end for one in sites for end in (one.site.last_footage, one.site.newest_archived))
    newest = max((end for end in ends if end and end <= now), default=None)  # a clock that is ahead hides no silence
    facts = (
        ("fleet.sites", formats.number(words, len(sites))),
        ("fleet.backlog", formats.length(words, waits_s) if waits_s else words("ops.backlog.none")),
        ("sites.last_footage", formats.age(words, newest, now) if newest else words("sites.never")),
    )
    return [{"label": words(key), "value": value} for key, value in facts]
