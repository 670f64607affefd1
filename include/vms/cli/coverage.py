"""`vms coverage`: is everything there? A heat map of cameras and days, the gaps with their reasons, notes on them."""

from __future__ import annotations

import getpass
import json
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from typer.core import TyperGroup

from vms.catalogue.connection import connect, url
from vms.catalogue.coverage import load_facts
from vms.catalogue.gap_notes import GapNote, add_note, list_notes, withdraw_note
from vms.catalogue.reads import SiteRow, list_sites
from vms.cli.coverage_map import Asked, legend, show_site
from vms.cli.selection import Moment, moment, nearest
from vms.cli.wording import clock_text, new_console, plain, utc_text
from vms.coverage import OPEN, REMEDIES, CameraFacts, DayCoverage, Gap, by_day, find_gaps
from vms.errors import CatalogueError
from vms.home import from_environment

_DAYS = 14
_MOST_DAYS = 400


class _ShowFirst(TyperGroup):
    """`vms coverage` and `vms coverage ho` mean `vms coverage show`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_ShowFirst, help="What should be there against what is: by camera and day, with every gap.")

FromOption = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="TIME", help="From this day or time on, on the site's clock: 2026-11-24 or ...T08:00."
    ),
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Up to this time; a day alone is included.")]


@app.command("show")
def show(
    site: Annotated[str, typer.Argument(help="Only this site (its id).", metavar="[SITE]")] = "",
    camera: Annotated[list[str] | None, typer.Option(help="Only this camera (its id); may be repeated.")] = None,
    from_: FromOption = None,
    to: ToOption = None,
    days: Annotated[
        int, typer.Option(min=1, max=_MOST_DAYS, help="The last so many days, where --from is not given.")
    ] = _DAYS,
    list_gaps: Annotated[bool, typer.Option("--gaps", help="List every gap, with its reason and what to do.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit status 1 if a gap needs a person.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line and camera-day; with --gaps one a gap. Times UTC.")
    ] = False,
) -> None:
    """Heat map of cameras and days: how much of what was expected is there. Also as `vms coverage [SITE]`."""
    begin, end = _moment(from_, "--from"), _moment(to, "--to")
    console, now = new_console(), datetime.now(UTC)
    needs_person = 0
    with closing(connect(url(from_environment(), "viewer"))) as conn:
        chosen = _chosen(list_sites(conn), site, camera or [])
        quiet = as_json or not sys.stderr.isatty()
        for one in track(chosen, "Sites", console=Console(stderr=True), disable=quiet, transient=True):
            asked = _asked(begin, end, days, ZoneInfo(one.time_zone), now)
            pairs = [(one.id, each.id) for each in one.cameras if not camera or each.id in camera]
            facts = load_facts(conn, asked.first, asked.last, cameras=pairs, now=now) if pairs else []
            facts = [each for each in facts if each.since is not None]
            found = [(each, gap) for each in facts for gap in find_gaps(each, asked.begin, asked.end)]
            needs_person += sum(gap.reason in OPEN for _, gap in found)
            mapped = [by_day(each, asked.first, asked.last) for each in facts]
            if as_json:
                _write_json(facts, mapped, found, list_gaps)
            else:
                show_site(console, one, asked, facts, mapped, found, list_gaps)
        if not as_json and chosen:
            console.print(legend())
        if not chosen and not as_json:
            console.print("No site has been looked at yet: `vms run SITE` archives its footage.")
    if strict and needs_person:
        raise typer.Exit(1)


@app.command()
def note(
    site: Annotated[str, typer.Argument(help="Id of the site.", metavar="SITE")],
    camera: Annotated[str, typer.Argument(help="Id of the camera.", metavar="CAMERA")],
    text: Annotated[str, typer.Argument(help="What you found out.", metavar="TEXT")],
    from_: FromOption = None,
    to: ToOption = None,
    by: Annotated[str, typer.Option(help="Your name; else the account's.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, as `notes --json` has it.")] = False,
) -> None:
    """Acknowledge missing footage: why it is missing, kept with your name. It no longer counts as needing a person."""
    begin, end = _moment(from_, "--from"), _moment(to, "--to")
    if begin is None or end is None:
        raise typer.BadParameter("Give --from and --to: the note covers that time.")
    if not text.strip():
        raise typer.BadParameter("The note is empty.")
    home = from_environment()
    with closing(connect(url(home, "owner"))) as conn:
        (place,) = _chosen(list_sites(conn), site, [camera])
        zone = ZoneInfo(place.time_zone)
        first, last = begin.begins(zone), end.ends(zone)
        if first >= last:
            raise typer.BadParameter("--to is not later than --from.")
        who = by.strip() or f"{getpass.getuser()}@{socket.gethostname()}"
        number = add_note(conn, site, camera, first, last, text.strip(), who, datetime.now(UTC))
        if as_json:
            _write_note(next(one for one in list_notes(conn, (site,)) if one.id == number))
            return
    span = f"{clock_text(first, place.time_zone)} to {clock_text(last, place.time_zone)}"
    new_console().print(f"Note {number} of {plain(who)} on {plain(site)}/{plain(camera)}, {span}.")


@app.command()
def notes(
    site: Annotated[str, typer.Argument(help="Only this site (its id).", metavar="[SITE]")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, times UTC.")] = False,
) -> None:
    """List the notes on gaps."""
    with closing(connect(url(from_environment(), "viewer"))) as conn:
        zones = {one.id: one.time_zone for one in _chosen(list_sites(conn), site, [])}
        found = list_notes(conn, (site,) if site else ())
    if as_json:
        for one in found:
            _write_note(one)
        return
    table = Table("id", "camera", "from", "to", "note", "who", box=None, header_style="bold")
    for one in found:
        zone = zones.get(one.site, "UTC")
        span = (clock_text(one.from_utc, zone), clock_text(one.to_utc, zone))
        table.add_row(str(one.id), plain(f"{one.site}/{one.camera}"), *span, plain(one.note), plain(one.who))
    new_console().print(table if found else "There is no note.")


@app.command()
def withdraw(
    note_id: Annotated[int, typer.Argument(help="Number of the note.", metavar="ID")],
    by: Annotated[str, typer.Option(help="Your name; else the account's.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: id, withdrawn, who.")] = False,
) -> None:
    """Take a note back: the gap counts again. The note and who withdrew it stay in the catalogue."""
    who = by.strip() or f"{getpass.getuser()}@{socket.gethostname()}"
    with closing(connect(url(from_environment(), "owner"))) as conn:
        withdraw_note(conn, note_id, who, datetime.now(UTC))
    if as_json:
        sys.stdout.write(json.dumps({"id": note_id, "withdrawn": True, "who": who}, ensure_ascii=False) + "\n")
        return
    new_console().print(f"Note {note_id} no longer counts.")


def _write_note(one: GapNote) -> None:
    times = {"from_utc": utc_text(one.from_utc), "to_utc": utc_text(one.to_utc), "made_at": utc_text(one.made_at)}
    known = {"id": one.id, "site": one.site, "camera": one.camera, "note": one.note, "who": one.who}
    sys.stdout.write(json.dumps(known | times, ensure_ascii=False) + "\n")


def _chosen(known: Sequence[SiteRow], site: str, cameras: Sequence[str]) -> list[SiteRow]:
    chosen = [one for one in known if site in ("", one.id)]
    if site and not chosen:
        ids = [one.id for one in known]
        remedy = f"Known: {', '.join(ids)}." if ids else "No site has been looked at yet: `vms run SITE`."
        raise CatalogueError(f'There is no site "{site}" in the catalogue.{nearest(site, ids)}', remedy)
    there = [one.id for each in chosen for one in each.cameras]
    for camera in cameras:
        if camera not in there:
            listed = ", ".join(sorted(set(there))[:20])
            raise CatalogueError(f'There is no camera "{camera}".{nearest(camera, there)}', f"Known: {listed}.")
    return [one for one in chosen if not cameras or any(each.id in cameras for each in one.cameras)]


def _asked(begin: Moment | None, end: Moment | None, days: int, zone: ZoneInfo, now: datetime) -> Asked:
    until = end.ends(zone) if end else now
    since = begin.begins(zone) if begin else None
    last = (until - timedelta(microseconds=1)).astimezone(zone).date()
    first = since.astimezone(zone).date() if since else last - timedelta(days=days - 1)
    if since and since >= until:
        raise typer.BadParameter("--to is not later than --from.")
    if (last - first).days >= _MOST_DAYS:
        raise typer.BadParameter(f"That is more than {_MOST_DAYS} days; ask for a shorter time.")
    return Asked(first, last, since or datetime(first.year, first.month, first.day, tzinfo=zone).astimezone(UTC), until)


def _write_json(
    facts: Sequence[CameraFacts],
    mapped: Sequence[Sequence[DayCoverage]],
    found: Sequence[tuple[CameraFacts, Gap]],
    list_gaps: bool,
) -> None:
    for line in _gap_lines(found) if list_gaps else _day_lines(facts, mapped):
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")


def _day_lines(facts: Sequence[CameraFacts], mapped: Sequence[Sequence[DayCoverage]]) -> Iterator[dict[str, Any]]:
    for each, days in zip(facts, mapped, strict=True):
        for day in days:
            yield {
                "site": day.site,
                "camera": day.camera,
                "day": day.day.isoformat(),
                "time_zone": each.time_zone,
                "expected_s": day.expected_s,
                "present_s": day.present_s,
                "percent": None if day.percent is None else round(day.percent, 4),
                "missing_s": day.missing_s,
                "reason": day.reason,
            }


def _gap_lines(found: Sequence[tuple[CameraFacts, Gap]]) -> Iterator[dict[str, Any]]:
    for facts, gap in found:
        yield {
            "site": facts.site,
            "camera": facts.camera,
            "start_utc": utc_text(gap.start),
            "end_utc": utc_text(gap.end),
            "seconds": gap.seconds,
            "reason": gap.reason,
            "detail": gap.detail or None,
            "needs_person": gap.reason in OPEN,
            "remedy": REMEDIES[gap.reason],
        }


def _moment(text: str | None, option: str) -> Moment | None:
    if text is None:
        return None
    try:
        return moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
