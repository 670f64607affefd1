"""`vms sites`: is sites.yaml right, and how would the files of a site be read? Neither changes anything."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from vms import footage, names, queues
from vms.cli.wording import clock_text, new_console, plain, utc_text
from vms.config import Site, load_config
from vms.errors import ConfigError
from vms.examine import Judged, examine, judge, mtime_of, second_look, why_waits
from vms.home import from_environment
from vms.sightings import Rejection, Sighting, TimeMark
from vms.time_limit import Hung, within
from vms.uplink import until_text

app = typer.Typer(help="Check sites.yaml, and try how a site's files are read.", no_args_is_help=True)

_TRIED = 200
_FOLDER_S = 5.0  # a hung mount must not hang the check
_COLORS = {"recording": "green", "waiting": "yellow", "quarantined": "red", "ignored": "dim"}


@dataclass(frozen=True)
class Tried:
    """How one file would be read. outcome: recording, waiting, quarantined or ignored; closed: the recorder is done."""

    path: str
    camera: str
    start_utc: datetime
    pattern: str
    time_basis: str
    time_marks: tuple[TimeMark, ...]
    size_bytes: int
    duration_s: float | None
    codec: str
    closed: bool
    outcome: str
    reason: str
    why: str
    remedy: str


@app.command()
def check(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: ok, file, sites, errors.")] = False,
) -> None:
    """Check sites.yaml: every mistake with line, column, what is allowed and the nearest word. Exit 1 if any."""
    home = from_environment()
    errors: list[dict[str, str]] = []
    sites: list[Site] = []
    try:
        config = load_config(home.sites_file)
        sites = list(config.sites)
        errors = [{"site": error.id, "message": error.message} for error in config.errors]
    except ConfigError as error:
        errors = [{"site": "", "message": str(error)}]
    if as_json:
        answer = {
            "ok": not errors,
            "file": str(home.sites_file),
            "sites": [site.id for site in sites],
            "errors": errors,
        }
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
    else:
        _show_check(str(home.sites_file), sites, errors)
    if errors:
        raise typer.Exit(1)


@app.command("try")
def try_site(
    site: Annotated[str, typer.Argument(help="Id of the site.", metavar="SITE")],
    limit: Annotated[int, typer.Option(min=1, help="Look into at most so many files, the newest first.")] = _TRIED,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, times UTC and local.")] = False,
) -> None:
    """Show how each file of a site's footage folder would be read, and why some would wait. Touches nothing."""
    home = from_environment()
    config = load_config(home.sites_file)
    chosen = config.site(site)
    listing = footage.list_footage(chosen.footage, chosen.id)
    now = datetime.now(UTC)
    judged = judge(listing.found, chosen, config, {}, now, None)
    judged = sorted(judged, key=lambda one: one.order, reverse=True)
    tried = [_try(one, chosen, now) for one in second_look(judged[:limit], chosen)]
    left = max(0, len(judged) - limit)
    if as_json:
        for one in tried:
            sys.stdout.write(json.dumps(_as_object(one, chosen), ensure_ascii=False) + "\n")
        if left:
            sys.stderr.write(f"{left} older files were not looked into; raise --limit to see them.\n")
    else:
        _show_tried(tried, chosen, listing.ignored, left)


def _try(one: Judged, site: Site, now: datetime) -> Tried:
    waits = why_waits(one)
    result = None if waits else examine(one, site, now)
    named = names.settle_start(
        one.reading, site.zone, duration_s=0, mtime=mtime_of(one.found, now), container_time=None, now=now
    )
    start, basis, marks = named.utc, named.basis, named.marks
    outcome, reason, why, remedy, duration, codec = "waiting", "", waits, "", None, ""
    if isinstance(result, Sighting):
        start, basis, marks = result.start_utc, result.time_basis, result.time_marks
        outcome, duration, codec = "recording", result.duration_s, result.codec
    elif isinstance(result, Rejection):
        outcome, reason, why, remedy = "quarantined", result.fault.reason, result.fault.message, result.fault.remedy
    elif result is not None:
        outcome, why = ("waiting", result.wait) if result.wait else ("ignored", "its bytes are not those of a video")
    return Tried(
        path=one.found.path,
        camera=one.camera,
        start_utc=start,
        pattern=one.reading.pattern if one.reading else "",
        time_basis=basis,
        time_marks=marks,
        size_bytes=one.found.size_bytes,
        duration_s=duration,
        codec=codec,
        closed=outcome != "waiting",
        outcome=outcome,
        reason=reason,
        why=why,
        remedy=remedy,
    )


def _as_object(one: Tried, site: Site) -> dict[str, Any]:
    listed = {camera.id for camera in site.cameras}
    return {
        "site": site.id,
        "path": one.path,
        "camera": one.camera,
        "camera_listed": one.camera in listed if listed else None,
        "start_utc": utc_text(one.start_utc),
        "start_local": one.start_utc.astimezone(ZoneInfo(site.time_zone)).isoformat(),
        "time_zone": site.time_zone,
        "pattern": one.pattern or None,
        "time_basis": one.time_basis,
        "time_marks": list(one.time_marks),
        "size_bytes": one.size_bytes,
        "duration_s": one.duration_s,
        "codec": one.codec or None,
        "closed": one.closed,
        "outcome": one.outcome,
        "reason": one.reason or None,
        "why": one.why or None,
        "remedy": one.remedy or None,
    }


def _show_check(file: str, sites: list[Site], errors: list[dict[str, str]]) -> None:
    console = new_console(soft_wrap=True)
    lines = dict.fromkeys(line for error in errors for line in error["message"].splitlines())
    for line in lines:
        console.print(f"[red]✗[/] {plain(line)}")
    for site in sites:
        note = "" if site.enabled else " [dim](not enabled)[/]"
        away = f" [dim](runs on {site.runs_on})[/]"
        missing = " [yellow](this folder is not there now)[/]"
        missing = away if queues.has_own_machine(site) else "" if _is_there(site) else missing
        console.print(f"[green]✓[/] {plain(site.id)}: {plain(site.name)}, {plain(str(site.footage))}{missing}{note}")
        if not site.uplink.is_unlimited:
            now = until_text(site.uplink, datetime.now(UTC), site.zone)
            console.print(f"  uplink: {plain(str(site.uplink))} [dim](now {plain(now)})[/]")
    count = f"{len(lines)} mistake{'s' if len(lines) != 1 else ''}" if lines else "No mistake"
    console.print(f"{count} in {plain(file)}.")


def _is_there(site: Site) -> bool:
    try:
        return within(_FOLDER_S, lambda _: site.footage.is_dir())
    except Hung:
        return False


def _show_tried(tried: list[Tried], site: Site, ignored: int, left: int) -> None:
    console = new_console()
    if not tried:
        console.print(f"There is no video file in {plain(str(site.footage))} ({ignored} others).")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("file", "camera", "start (the site's clock)", "UTC", "read by", "outcome"):
        table.add_column(title, overflow="fold", no_wrap=title in ("start (the site's clock)", "UTC"))
    listed = {camera.id for camera in site.cameras}
    for one in tried:
        outcome = f"[{_COLORS[one.outcome]}]{one.outcome}[/]"
        if one.why:
            outcome += f": {plain(one.why)}"
        stranger = " [yellow](not listed)[/]" if listed and one.camera not in listed else ""
        marks = f" [yellow]({', '.join(one.time_marks)})[/]" if one.time_marks else ""
        table.add_row(
            plain(one.path),
            plain(one.camera) + stranger,
            clock_text(one.start_utc, site.time_zone) + marks,
            f"{one.start_utc:%Y-%m-%d %H:%M:%S}",
            plain(one.pattern) if one.time_basis in ("name", "name_end") else f"{one.time_basis} of the file",
            outcome,
        )
    console.print(table)
    counts = Counter(one.outcome for one in tried)
    console.print(
        ", ".join(f"{number} {word}" for word, number in counts.items()) + f"; {ignored} other files ignored."
    )
    if left:
        console.print(f"[dim]{left} older files were not looked into; --limit N shows more.[/]")
