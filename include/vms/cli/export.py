"""`vms export`: recordings of a time range as plain files, proven, with hash list and manifest. It needs no Airflow."""

from __future__ import annotations

import errno
import getpass
import json
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vms.catalogue.connection import Connection, connect, naming_loss, url
from vms.catalogue.copying import held_of, known_stores
from vms.catalogue.coverage import load_facts
from vms.catalogue.reads import RecordingFilter, RecordingRow, count_recordings, find_recordings, log_view
from vms.cli.export_clips import write_clips
from vms.cli.export_report import MANIFEST, Bar, Folder, Range, bar, gap_object, making_bar, show_end
from vms.cli.selection import PAGE, filters, known_sites, moment_of
from vms.cli.wording import clock_text, new_console, plain, size_text
from vms.config import load_config
from vms.coverage import find_gaps
from vms.errors import ConfigError, StoreFull, VmsError
from vms.evidence.package import add_custody, furnish, unseal
from vms.evidence.signing import key_fingerprint, sign
from vms.home import Home, from_environment
from vms.model import State, StoreTarget
from vms.steps.export import Exporter

_KEPT: tuple[State, ...] = ("archived", "released")
_SPARE_BYTES = 50_000_000


def register(app: typer.Typer) -> None:
    """Mount `export`."""
    app.command("export")(export)


def export(
    range_: Annotated[
        str,
        typer.Argument(
            metavar="RANGE",
            help="A day (2026-11-24) or FROM..TO, such as 2026-11-24T08:00..2026-11-24T09:30, on the clock of each"
            " site; with offsets, such as ...T08:00+07:00, one instant for all. FROM.. and ..TO are open at one end.",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to write into; made when missing.")],
    site: Annotated[list[str] | None, typer.Option(help="Only this site (its id); may be repeated.")] = None,
    camera: Annotated[list[str] | None, typer.Option(help="Only this camera (its id); may be repeated.")] = None,
    clip: Annotated[
        bool,
        typer.Option(
            "--clip",
            help="Also make of each camera one H.264 MP4 that every player opens, cut to the range; short gaps are"
            " black in it, long ones begin a new file.",
        ),
    ] = False,
    burn_in: Annotated[
        bool, typer.Option("--burn-in", help="With --clip: write camera and running clock below the picture.")
    ] = False,
    evidence: Annotated[
        bool,
        typer.Option(
            "--evidence",
            help="Make an evidence package: custody of each recording, a sheet with stills, a verifier, all signed.",
        ),
    ] = False,
    reason: Annotated[str, typer.Option(help="Why an evidence package is made; it stands in it and in the log.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: what became of it.")] = False,
) -> None:
    """Write the recordings of a range as files, SHA-256 verified, with SHA256SUMS and a manifest that names the gaps.

    Ctrl-C stops it, and the same command goes on from there. Exit status 1 when a kept recording could not be written.
    """
    if evidence != bool(reason.strip()):
        raise typer.BadParameter(
            "An evidence package needs the reason for which it is made, and only it has one: give both.",
            param_hint="--evidence --reason",
        )
    if burn_in and not clip:
        raise typer.BadParameter("Only clips can be written into: give --clip, too.", param_hint="--burn-in")
    asked = parse_range(range_, site or [], camera or [])
    home, console = from_environment(), new_console(stderr=as_json)
    with closing(connect(url(home, "viewer"))) as conn, naming_loss():
        wanted = filters(
            known_sites(conn, home),
            sites=asked.sites,
            cameras=asked.cameras,
            begin=asked.begin,
            end=asked.end,
            states=[],
        )
        if any(one.from_utc and one.to_utc and one.from_utc >= one.to_utc for one in wanted):
            raise typer.BadParameter("The end of the range is not later than its begin.", param_hint="RANGE")
        totals = [count_recordings(conn, replace(one, states=_KEPT)) for one in wanted]
        files, size = sum(one.count for one in totals), sum(one.rendition_bytes for one in totals)
        if not as_json:
            console.print(f"{files} recordings, {size_text(size)}, to {plain(str(to))}")
        if dry_run:
            if as_json:
                sys.stdout.write(json.dumps({"planned": files, "planned_bytes": size}) + "\n")
            return
        folder = _folder(to, asked, size)
        unseal(to)
        stopped = False
        with bar(files, size, console, quiet=as_json) as drawn:
            try:
                _write(conn, wanted, folder, home, drawn, console, quiet=as_json)
            except KeyboardInterrupt:
                stopped = True
        if clip and not stopped:
            try:
                write_clips(home, folder, wanted, console, burn_in=burn_in, quiet=as_json)
            except KeyboardInterrupt:
                stopped = True
        folder.gaps = [] if stopped else _gaps(conn, wanted, folder)
        complete = not stopped and not folder.failures
        if evidence and not stopped:
            _seal(conn, home, folder, console, reason.strip(), complete=complete, quiet=as_json)
        else:
            folder.close(complete=complete)
    _tell(folder, console, stopped=stopped, as_json=as_json)


def parse_range(text: str, sites: Sequence[str], cameras: Sequence[str]) -> Range:
    """What the words mean. Raises typer.BadParameter."""
    first, dots, last = text.partition("..")
    begin, end = (moment_of(one.strip() or None, "RANGE") for one in (first, last))
    if not dots:
        if begin is None or not begin.whole_day:
            raise typer.BadParameter("Give a whole day, or FROM..TO.", param_hint="RANGE")
        end = begin
    if begin is None and end is None:
        raise typer.BadParameter("Give at least one end: FROM.. or ..TO.", param_hint="RANGE")
    return Range(text, begin, end, tuple(sites), tuple(cameras))


def _folder(to: Path, asked: Range, size: int) -> Folder:
    try:
        to.mkdir(parents=True, exist_ok=True)
        begun = (to / MANIFEST).exists()
        free = shutil.disk_usage(to).free
        if not begun and size + _SPARE_BYTES > free:
            raise StoreFull(
                f"{to} has {size_text(free)} free; the export needs {size_text(size)}.",
                "Choose another disk, or a shorter range.",
            )
        return Folder.opened(
            to, asked, f"{getpass.getuser()}@{socket.gethostname()}", datetime.now(UTC).replace(microsecond=0)
        )
    except OSError as error:
        raise ConfigError(
            f"--to: {to} can't be written to ({error.strerror}).", "Choose a folder of your own."
        ) from error


def _write(
    conn: Connection,
    wanted: Sequence[RecordingFilter],
    folder: Folder,
    home: Home,
    drawn: Bar,
    console: Console,
    *,
    quiet: bool,
) -> None:
    exporter = Exporter(_stores(conn, home))
    for page in (page for one in wanted for page in _pages(conn, one)):
        held = held_of(conn, [(row.id, row.start_utc) for row in page if row.state in _KEPT])
        for row in page:
            order = held.get(row.id)
            if order is None:
                folder.lacks(row)
                continue
            path = folder.path_of(row, order)
            try:
                done = exporter.export(order, path, drawn.moved)
            except VmsError as error:
                folder.failed(row, error)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
                    raise StoreFull(
                        f"{path} can't be written ({error.strerror}).",
                        "Make room on the disk, then give the same command again: it goes on from there.",
                    ) from error
                folder.failed(row, VmsError(f"{path} can't be written ({error.strerror}).", "See to that folder."))
            else:
                folder.has(row, path, done)
                log_view(
                    conn, folder.by, "export", row.id, row.start_utc, {"to": str(path), "sha256": done.copy.sha256}
                )
                if not quiet and not console.is_terminal:
                    console.print(
                        f"{row.site}/{row.camera} {clock_text(row.start_utc, row.time_zone)}"
                        f"  {size_text(done.copy.size_bytes)} {done.how}{f' from {done.store}' if done.store else ''}",
                        markup=False,
                    )
            drawn.end(row)


def _stores(conn: Connection, home: Home) -> dict[int, StoreTarget]:
    """Every store by number, as sites.yaml describes it now; one that is no longer in it as it was known."""
    known = known_stores(conn)
    try:
        for now in load_config(home.sites_file).stores:
            if now.name in known:
                known[now.name] = replace(known[now.name], url=now.url, conn_id=now.conn_id, options=now.options)
    except ConfigError:  # what is archived can be taken out while sites.yaml is being mended
        pass
    return {target.store_id: target for target in known.values()}


def _pages(conn: Connection, wanted: RecordingFilter) -> Iterator[list[RecordingRow]]:
    after: tuple[datetime, int] | None = None
    while page := find_recordings(conn, wanted, limit=PAGE, after=after, newest_first=False):
        yield page
        after = (page[-1].start_utc, page[-1].id)


def _gaps(conn: Connection, wanted: Sequence[RecordingFilter], folder: Folder) -> list[dict[str, object]]:
    """Where footage was expected and is missing, for each camera meant; an open end is that of the footage found."""
    found = []
    for one in wanted:
        begin, end = one.from_utc or folder.first, one.to_utc or folder.last
        if begin is None or end is None:
            continue
        days: tuple[date, date] = (begin.date(), end.date())
        for facts in load_facts(conn, *days, sites=one.sites, cameras=one.cameras):
            found += [gap_object(facts, gap) for gap in find_gaps(facts, begin, end)]
    return found


def _seal(
    conn: Connection, home: Home, folder: Folder, console: Console, reason: str, *, complete: bool, quiet: bool
) -> None:
    """Make an evidence package of the folder and sign it."""
    mark = key_fingerprint(home)
    folder.evidence = {"reason": reason, "fingerprint": mark}
    add_custody(conn, folder.recordings)
    told = folder.as_manifest(complete=complete)
    with making_bar("stills", len(folder.recordings), console, quiet=quiet) as moved:
        attached = furnish(home, folder.root, told, mark, moved)
    folder.close(complete=complete, attached=attached)
    sign(home, folder.root)
    log_view(conn, folder.by, "evidence", None, None, {"to": str(folder.root), "reason": reason, **folder.counts()})


def _tell(folder: Folder, console: Console, *, stopped: bool, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(folder.summary() | {"stopped": stopped}, ensure_ascii=False) + "\n")
    else:
        show_end(folder, console)
    if stopped:
        console.print("Stopped. The same command goes on from there.")
        raise typer.Exit(130)
    if folder.failures:
        raise typer.Exit(1)
