"""`vms import`: existing footage from any folder, or a Telegram Desktop export, into a site's archive."""

from __future__ import annotations

import getpass
import json
import socket
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from vms.cli.selection import nearest
from vms.cli.wording import clock_text, new_console, plain, size_text
from vms.config import Config, Site, load_config
from vms.errors import ConfigError, StagingFull, VmsError
from vms.home import from_environment
from vms.names import slug
from vms.steps.bring_in import Brought, Folder, Incoming, bring, look
from vms.telegram import messages

_NAMED = 10


@dataclass
class _Tally:
    """What has become of the files so far. known: brought in earlier, or there already."""

    linked: int = 0
    copied: int = 0
    known: int = 0
    failures: list[str] = field(default_factory=list)
    left: int = 0


def register(app: typer.Typer) -> None:
    """Mount `import`."""
    app.command("import")(import_)


def import_(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder with the footage. It is only read.")],
    site: Annotated[str, typer.Option(help="The site (its id) that the footage belongs to.")],
    camera: Annotated[str, typer.Option(help="All of it is of this camera; else names or the chat tell.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come in, and from when.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: what became of it.")] = False,
) -> None:
    """Put existing footage into the site's footage folder, from where its runs archive it. Sources stay where they are.

    The same command again goes on, and skips what came in before. Exit status 1 when a file could not be taken.
    """
    home, console = from_environment(), new_console(stderr=as_json)
    config = load_config(home.sites_file)
    chosen = _site(config, site)
    _must_be_apart(folder, chosen)
    if camera and slug(camera) != camera:
        raise typer.BadParameter(f"An id of a camera is wanted, such as {slug(camera)}.", param_hint="--camera")
    with console.status(f"looking into {plain(str(folder))} ..."):
        found = look(folder, chosen, config, camera, messages(folder), now=datetime.now(UTC))
    brought = Brought(home, chosen)
    new = [one for one in found.incoming if not brought.has(one, folder)]
    tally = _Tally(known=len(found.incoming) - len(new), left=len(new))
    if not as_json:
        _show(found, new, chosen, console)
    stopped = False
    if not dry_run:
        try:
            _bring(new, folder, chosen, brought, tally, console, quiet=as_json)
        except KeyboardInterrupt:
            stopped = True
    _tell(found, tally, chosen, console, dry_run=dry_run, as_json=as_json)
    if stopped:
        console.print("Stopped. The same command goes on from there.")
        raise typer.Exit(130)
    if tally.failures or found.unreadable:
        raise typer.Exit(1)


def _site(config: Config, word: str) -> Site:
    known = [one.id for one in config.sites]
    if word not in known:
        raise ConfigError(
            f'There is no site "{word}" in sites.yaml.{nearest(word, known)}', f"Known: {', '.join(known) or 'none'}."
        )
    return config.site(word)


def _must_be_apart(folder: Path, site: Site) -> None:
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder.", "Name the folder that holds the footage.")
    if not site.footage.is_dir():
        raise ConfigError(
            f"{site.id}: its footage folder {site.footage} is not on this machine.",
            "Give the command on the site's machine, with the share mounted.",
        )
    one, other = folder.resolve(), site.footage.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise ConfigError(
            f"{folder} and the footage folder {site.footage} lie in one another.",
            f"What lies in the footage folder is archived by itself: `vms run {site.id}`.",
        )


def _bring(
    new: list[Incoming], folder: Path, site: Site, brought: Brought, tally: _Tally, console: Console, *, quiet: bool
) -> None:
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    hidden = quiet or not console.is_terminal
    for one in track(new, "Files", console=console, disable=hidden, transient=True):
        try:
            how = bring(one, folder, site)
        except StagingFull as error:
            tally.failures.append(str(error))
            return
        except VmsError as error:
            tally.failures.append(str(error))
        except OSError as error:
            tally.failures.append(f"{one.found.path}: {error.strerror}.")
        else:
            brought.add(one, folder, who)
            tally.linked += how == "linked"
            tally.copied += how == "copied"
            tally.known += how == "there"
        tally.left -= 1


def _show(found: Folder, new: list[Incoming], site: Site, console: Console) -> None:
    by_camera: dict[str, list[Incoming]] = defaultdict(list)
    for one in new:
        by_camera[one.camera].append(one)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("camera", "files", "size", "first", "last", "time is a guess"):
        table.add_column(title, justify="right" if title in ("files", "size", "time is a guess") else "left")
    for camera, some in sorted(by_camera.items()):
        starts = [one.start.utc for one in some]
        size = sum(one.found.size_bytes for one in some)
        guessed = sum(one.start.basis not in ("name", "name_end") for one in some)
        ends = (clock_text(min(starts), site.time_zone), clock_text(max(starts), site.time_zone))
        table.add_row(plain(camera), str(len(some)), size_text(size), *ends, str(guessed))
    if new:
        console.print(table)
    for path, why in found.waiting[:_NAMED]:
        console.print(f"[yellow]waits[/] {plain(path)}: {plain(why)}")
    for path in found.unreadable[:_NAMED]:
        console.print(f"[red]not taken[/] {plain(path)}: it can't be read, or no name for it fits the site's pattern")


def _tell(found: Folder, tally: _Tally, site: Site, console: Console, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        told = {
            "site": site.id,
            "dry_run": dry_run,
            "found": len(found.incoming),
            "came_in": tally.linked + tally.copied,
            "known_already": tally.known,
            "left": tally.left,
            "failures": tally.failures,
            "waiting": [path for path, _ in found.waiting],
            "not_taken": list(found.unreadable),
            "ignored": found.ignored,
        }
        sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
        return
    for line in tally.failures[:_NAMED]:
        console.print(f"[red]not taken[/] {plain(line)}")
    if dry_run:
        console.print(f"{tally.left} files would come in; {tally.known} came in before.")
        return
    came = tally.linked + tally.copied
    console.print(f"{came} files came in ({tally.linked} as links, {tally.copied} copied), {tally.known} before.")
    if came:
        console.print(f"The site's next runs archive them; now: ./vms run {site.id}")
