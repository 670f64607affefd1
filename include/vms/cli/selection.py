"""Which recordings a person means: words and wall-clock times of the command line as filters of the catalogue.

A time without an offset is on the clock of the site, so the same words mean another instant at another branch: sites
of one time zone share a filter, and the answers are merged.
"""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import typer

from vms.catalogue.connection import Connection
from vms.catalogue.reads import CameraRow, RecordingFilter, RecordingRow, SiteRow, find_recordings, list_sites
from vms.config import load_config
from vms.errors import CatalogueError, ConfigError
from vms.home import Home
from vms.model import State

PAGE = 500


@dataclass(frozen=True)
class Moment:
    """A time as a person wrote it: a whole day, or an instant; zone None means the site's own clock."""

    at: datetime
    whole_day: bool

    def begins(self, zone: ZoneInfo) -> datetime:
        """Its first instant in UTC, with `zone` where none was written."""
        return self._utc(self.at, zone)

    def ends(self, zone: ZoneInfo) -> datetime:
        """As an end in UTC: the end of the day when a whole day was written, else the instant itself."""
        return self._utc(self.at + timedelta(days=1) if self.whole_day else self.at, zone)

    @staticmethod
    def _utc(at: datetime, zone: ZoneInfo) -> datetime:
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)


def moment(text: str) -> Moment:
    """`2026-11-24`, `2026-11-24T08:00`, `2026-11-24 08:00:30`, `2026-11-24T08:00+07:00` or `...Z`. ValueError else."""
    try:
        whole_day = len(text) == 10
        at = datetime.combine(date.fromisoformat(text), datetime.min.time()) if whole_day else _instant(text)
        # the first and the last days that Python knows have no room for a zone
        for zone in (ZoneInfo("Pacific/Pago_Pago"), ZoneInfo("Pacific/Kiritimati")):
            Moment(at, whole_day).begins(zone), Moment(at, whole_day).ends(zone)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no time; write 2026-11-24, 2026-11-24T08:00 or, with an offset, 2026-11-24T08:00+07:00."
        ) from None
    return Moment(at, whole_day)


def _instant(text: str) -> datetime:
    if len(text) < 13:  # "2026-W48" and the like, which Python would take too
        raise ValueError(text)
    return datetime.fromisoformat(text)


def moment_of(text: str | None, option: str) -> Moment | None:
    """The value of this option, if it was given. Raises typer.BadParameter."""
    try:
        return None if text is None else moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def known_sites(conn: Connection, home: Home) -> tuple[SiteRow, ...]:
    """The sites of the catalogue, and those of sites.yaml that have no footage yet."""
    known = {site.id: site for site in list_sites(conn)}
    try:
        for site in load_config(home.sites_file).sites:
            cameras = tuple(CameraRow(camera.id, camera.name) for camera in site.cameras)
            known.setdefault(site.id, SiteRow(site.id, site.name, site.time_zone, cameras))
    except ConfigError:  # what is archived can be listed while sites.yaml is being mended
        pass
    return tuple(known.values())


def filters(
    known: Sequence[SiteRow],
    *,
    sites: Sequence[str],
    cameras: Sequence[str],
    begin: Moment | None,
    end: Moment | None,
    states: Sequence[State],
) -> tuple[RecordingFilter, ...]:
    """One filter per time zone that matters, none when nothing can match.

    sites, cameras: ids; empty means all. Raises CatalogueError for a word that is not known, with the nearest one.
    """
    _all_known("site", sites, [site.id for site in known])
    meant = [site for site in known if not sites or site.id in sites]
    where = f" at {', '.join(sites)}" if sites else ""
    _all_known("camera", cameras, [camera.id for site in meant for camera in site.cameras], where)
    by_zone: dict[str, list[SiteRow]] = {}
    naive = any(one is not None and one.at.tzinfo is None for one in (begin, end))
    for site in meant:
        by_zone.setdefault(site.time_zone if naive else "UTC", []).append(site)
    made = []
    for name, of_zone in by_zone.items():
        zone = ZoneInfo(name)
        pairs = tuple((site.id, one.id) for site in of_zone for one in site.cameras if one.id in cameras)
        if cameras and not pairs:
            continue
        every_site = not sites and len(by_zone) == 1
        made.append(
            RecordingFilter(
                sites=() if every_site else tuple(site.id for site in of_zone),
                cameras=pairs,
                from_utc=begin.begins(zone) if begin else None,
                to_utc=end.ends(zone) if end else None,
                states=tuple(states),
            )
        )
    return tuple(made)


def stream(conn: Connection, wanted: Iterable[RecordingFilter], limit: int | None) -> Iterator[RecordingRow]:
    """The recordings of all filters, the newest first, read page by page: memory does not grow with their number."""
    pages = [_pages(conn, one, PAGE if limit is None else min(PAGE, limit)) for one in wanted]
    merged = heapq.merge(*pages, key=lambda row: (row.start_utc, row.id), reverse=True)
    return islice(merged, limit)


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean "x"?` for the nearest known word, "" when none is near."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f' Did you mean "{close[0]}"?' if close else ""


def _pages(conn: Connection, wanted: RecordingFilter, size: int) -> Iterator[RecordingRow]:
    after: tuple[datetime, int] | None = None
    while True:
        page = find_recordings(conn, wanted, limit=size, after=after)
        yield from page
        if len(page) < size:
            return
        after = (page[-1].start_utc, page[-1].id)


def _all_known(kind: str, words: Sequence[str], known: Sequence[str], where: str = "") -> None:
    for word in words:
        if word not in known:
            listed = ", ".join(sorted(set(known))[:20])
            remedy = f"Known: {listed}." if listed else f"No {kind} is known yet: `vms run SITE` archives its footage."
            raise CatalogueError(f'There is no {kind} "{word}"{where}.{nearest(word, known)}', remedy)
