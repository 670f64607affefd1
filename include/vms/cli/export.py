"""`vms export`: recordings of a time range as plain files, proven, with hash list and manifest. It needs no Airflow."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vms.catalogue.connection import connect, naming_loss, url
from vms.catalogue.reads import count_recordings
from vms.cli.export_report import Bars, Range, show_end
from vms.cli.selection import filters, known_sites, moment_of
from vms.cli.wording import new_console, plain, size_text
from vms.errors import ConfigError, StoreFull
from vms.exports import archive
from vms.exports.clips import What
from vms.exports.folder import MANIFEST, Folder
from vms.exports.locking import SHORTEST_PASSWORD
from vms.exports.making import KEPT, SPARE_BYTES, make
from vms.home import from_environment
from vms.model import Cut, Gaps

ZIP_PASSWORD = "VMS_ZIP_PASSWORD"  # noqa: S105  # the name of a variable


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
            help="Also make of each camera one H.264 MP4 that every player opens, cut to the very frame of the range.",
        ),
    ] = False,
    burn_in: Annotated[
        bool, typer.Option("--burn-in", help="With --clip: write camera and running clock below the picture.")
    ] = False,
    cut: Annotated[
        Cut,
        typer.Option(
            help="With --clip: exact, or fast: not encoded but as stored, from the picture ahead of the range on, which"
            " takes no time; each gap begins a new file.",
        ),
    ] = "exact",
    gaps: Annotated[
        Gaps,
        typer.Option(
            help="With --clip: short gaps (up to a minute) are black, longer ones begin a new file; or all are black,"
            " which makes one file; or each begins a separate file.",
        ),
    ] = "short",
    only_clips: Annotated[
        bool,
        typer.Option(
            "--only-clips",
            help="With --clip: leave the recordings themselves out, which may be far longer than the range; the"
            " manifest names them with their hashes.",
        ),
    ] = False,
    evidence: Annotated[
        bool,
        typer.Option(
            "--evidence",
            help="Make an evidence package: custody of each recording, a sheet with stills, a verifier, all signed.",
        ),
    ] = False,
    zip_file: Annotated[
        Path | None,
        typer.Option(
            "--zip",
            metavar="FILE",
            help="Also pack all of it into one ZIP under a password (AES-256), which is asked for, or taken from"
            f" {ZIP_PASSWORD} in the environment.",
        ),
    ] = None,
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
    if (cut, gaps) != ("exact", "short") and not clip:
        raise typer.BadParameter("Only clips are cut: give --clip, too.", param_hint="--cut --gaps")
    if only_clips and not clip:
        raise typer.BadParameter("Without clips nothing would be left: give --clip, too.", param_hint="--only-clips")
    if cut == "fast" and (burn_in or gaps != "short"):
        raise typer.BadParameter(
            "What is not encoded can't be written into, and has no black in it: leave --burn-in and --gaps out, or cut"
            " exactly.",
            param_hint="--cut fast",
        )
    password = _zip_password(zip_file, to) if zip_file and not dry_run else ""
    asked = replace(parse_range(range_, site or [], camera or []), only_clips=only_clips)
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
        totals = [count_recordings(conn, replace(one, states=KEPT)) for one in wanted]
        files, size = sum(one.count for one in totals), sum(one.rendition_bytes for one in totals)
        if not as_json:
            console.print(f"{files} recordings, {size_text(size)}, to {plain(str(to))}")
        if dry_run:
            if as_json:
                sys.stdout.write(json.dumps({"planned": files, "planned_bytes": size}) + "\n")
            return
        folder = _folder(to, asked, size)
        what = What(clip, burn_in, cut, gaps, only_clips, reason.strip())
        with Bars(console, quiet=as_json) as bars:
            stopped = not make(home, conn, folder, wanted, what, bars)
    if zip_file and not stopped:
        _pack(folder.root, zip_file, password)
    _tell(folder, console, stopped=stopped, as_json=as_json)


def _zip_password(file: Path, to: Path) -> str:
    """The password, before any work is done for it. Raises typer.BadParameter."""
    if file.exists():
        raise typer.BadParameter(f"{file} is there already.", param_hint="--zip")
    if file.resolve().is_relative_to(to.resolve()):
        raise typer.BadParameter("Give it a place outside of the folder that it packs.", param_hint="--zip")
    said = os.environ.get(ZIP_PASSWORD) or typer.prompt(
        "Password for the ZIP", hide_input=True, confirmation_prompt=True
    )
    if len(said) < SHORTEST_PASSWORD:
        raise typer.BadParameter(f"Give the password at least {SHORTEST_PASSWORD} characters.", param_hint="--zip")
    return str(said)


def _pack(root: Path, file: Path, password: str) -> None:
    begun = file.with_name(f".{file.name}.part")
    try:
        entries = archive.listed(root, lambda *_: None, lambda *_: None, threading.Event())
        with begun.open("wb") as packed:
            for piece in archive.stream(root, entries, password):
                packed.write(piece)
        begun.replace(file)
    except OSError as error:
        begun.unlink(missing_ok=True)
        raise StoreFull(
            f"{file} can't be written ({error.strerror}).", "Make room there; the folder is whole."
        ) from error


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
    return Range(text, tuple(sites), tuple(cameras), begin, end)


def _folder(to: Path, asked: Range, size: int) -> Folder:
    try:
        to.mkdir(parents=True, exist_ok=True)
        begun = (to / MANIFEST).exists()
        free = shutil.disk_usage(to).free
        if not begun and size + SPARE_BYTES > free:
            raise StoreFull(
                f"{to} has {size_text(free)} free; the export needs {size_text(size)}.",
                "Choose another disk, or a shorter range.",
            )
        return Folder.opened(
            to,
            asked,
            f"{getpass.getuser()}@{socket.gethostname()}",
            datetime.now(UTC).replace(microsecond=0),
            {"to": str(to)},
        )
    except OSError as error:
        raise ConfigError(
            f"--to: {to} can't be written to ({error.strerror}).", "Choose a folder of your own."
        ) from error


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
