"""`vms branch run`, `install` and `status`: at a branch. None of them needs anything of the centre but its line."""

from __future__ import annotations

import json
import logging
import os
import pwd
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

import vms
from vms import logs
from vms.branches import agent, membership, turn, unit, view
from vms.branches.membership import Membership
from vms.cli.wording import new_console, plain, size_text, utc_text
from vms.config import Config, Site, load_config
from vms.errors import BranchError, ConfigError, StackError
from vms.home import Home, from_environment

LATELY = timedelta(minutes=5)


def register(app: typer.Typer) -> None:
    """Add the commands to `vms branch`."""
    app.command()(run)
    app.command()(install)
    app.command()(status)


def run() -> None:
    """At the branch: work for the centre until told to stop. As a service: `vms branch install`."""
    logs.set_up()
    logging.getLogger("vms").setLevel(logging.INFO)
    raise typer.Exit(agent.run(from_environment()))


def install(
    system: Annotated[
        bool, typer.Option("--system", help="For the whole machine: needs root, starts before anybody signs in.")
    ] = False,
    user: Annotated[str, typer.Option(help="With --system: as whom it runs.", show_default=False)] = "",
    print_only: Annotated[bool, typer.Option("--print", help="Show the unit, install nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: unit, log_command, settings.")] = False,
) -> None:
    """At the branch: let systemd run it, from now on and after each start of the machine."""
    home = from_environment()
    membership.load(home)
    runs_as = (user or os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name) if system else ""
    text = unit.text(home, runs_as, os.environ)
    if print_only:
        sys.stdout.write(text)
        return
    path = unit.path(system=system)
    _lose_nothing(home, path, text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise StackError(
            f"{path} can't be written ({error.strerror}).",
            "With sudo, or without --system for this user alone; --print shows what to put there.",
        ) from error
    console = new_console(soft_wrap=True)
    for words in unit.commands(system=system):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StackError(
                f"{path} is written, but `{' '.join(words)}` failed: {(done.stderr or done.stdout).strip()}",
                "Is systemd there, and is this user signed in? Run it by hand, or `./vms branch run` in another way.",
            )
    if as_json:
        settings = sorted(unit.taken_over(home, os.environ))
        told = {"unit": str(path), "log_command": unit.log_command(system=system), "settings": settings}
        sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
        return
    console.print(f"[green]✓[/] {plain(str(path))} runs. Its log: {plain(unit.log_command(system=system))}")
    if taken := unit.taken_over(home, os.environ):
        console.print(f"It goes by what is set here of {plain(', '.join(taken))}.")
    if not system:
        console.print("So that it starts without anybody signing in: sudo loginctl enable-linger $USER")


def _lose_nothing(home: Home, path: Path, text: str) -> None:
    """Raises StackError when the unit that is there tells the service more: sudo, for one, drops most variables, and
    without its proxy a branch reaches nobody."""
    try:
        there = path.read_text(errors="replace")
    except OSError:
        return
    if lost := unit.lost(home, there, text):
        names = " and ".join(lost)
        raise StackError(
            f"{path} has {names}, which {'is' if len(lost) == 1 else 'are'} not set here: the service would lose it.",
            f"Set it here as well, with sudo by: sudo --preserve-env={','.join(lost)} ./vms branch install ..., or"
            f" write it into {unit.secret_environment(home)}. To do without it, delete {path} first.",
        )


def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON object, times UTC.")] = False) -> None:
    """At the branch: what waits here, what was sent, what was proven. Works without the line."""
    home = from_environment()
    if as_json:
        sys.stdout.write(json.dumps(as_object(home), ensure_ascii=False) + "\n")
        return
    joined = membership.load(home)
    config, site = _told(home, joined)
    name = joined.site if isinstance(site, ConfigError) else site.name
    seen, runs, unknown = view.look(home, site), _agent_text(home), agent.unknown_keys(config) if config else ""
    warnings = (agent.other_version(joined), unknown, joined.clock_warning, joined.move_note)
    _show(joined, name, runs, agent.last_word(home), warnings, seen, _certificate_until(home), datetime.now(UTC))


def _told(home: Home, joined: Membership) -> tuple[Config | None, Site | ConfigError]:
    """What the centre said of this site; or why that can't be read, as when its version is newer: the rest is worth
    telling all the same, then above all."""
    config = None
    try:
        config = load_config(home.sites_file)
        return config, config.site(joined.site)
    except ConfigError as error:
        return config, error


def as_object(home: Home) -> dict[str, Any]:
    """What this branch knows, as scripts get it. Raises VmsError when it is none."""
    joined, word, until = membership.load(home), agent.last_word(home), _certificate_until(home)
    config, site = _told(home, joined)
    seen = view.look(home, site)
    told: dict[str, Any] = {
        "site": joined.site,
        "centre": joined.url,
        "moves_to": joined.moves_to or None,
        "running": turn.is_running(home),
        "at_work": turn.is_at_work(home),
        "answered_at": joined.asked_at or None,
        "refused": word.refused,
        "problem": word.problem,
        "version": vms.__version__,
        "centre_version": joined.version,
        "unknown_keys": config.unknown if config else (),
        "clock_off_s": joined.clock_off_s,
        "certificate_until": utc_text(until) if until else None,
        "last_sent": utc_text(seen.last_sent) if seen.last_sent else None,
        "unreadable": seen.unreadable,
    }
    return told | {name: _heap_object(getattr(seen, name)) for name in ("waiting", "unproven", "proven")}


def _agent_text(home: Home) -> str:
    if turn.is_at_work(home):
        return "[green]runs[/]"
    if turn.is_running(home):
        return f"[red]does not get on[/] since {turn.SILENT_S / 60:.0f} minutes or more: see its log, and restart it"
    return "[red]does not run[/]: ./vms branch run, or install"


def _certificate_until(home: Home) -> datetime | None:
    try:
        return membership.certificate_until(home)
    except BranchError:
        return None


def _heap_object(heap: view.Heap) -> dict[str, Any]:
    return {
        "count": heap.count,
        "size_bytes": heap.size_bytes,
        "oldest": utc_text(heap.oldest) if heap.oldest else None,
        "newest": utc_text(heap.newest) if heap.newest else None,
    }


def _show(
    joined: Membership,
    name: str,
    runs: str,
    word: agent.Word,
    warnings: tuple[str, ...],
    seen: view.View,
    until: datetime | None,
    now: datetime,
) -> None:
    console = new_console(soft_wrap=True)
    console.print(f"[bold]{plain(name)}[/], a branch of {plain(joined.url)}")
    console.print(f"Agent        {runs}")
    if word.refused:
        console.print(f"Centre       [red]does not let this branch in[/]: {plain(word.problem)}")
    elif joined.asked_at:
        gone = now - datetime.fromisoformat(joined.asked_at)
        fresh = gone < LATELY and not word.problem
        console.print(f"Centre       {'[green]answered' if fresh else '[yellow]last answered'} {_ago(gone)} ago[/]")
        if word.problem:
            console.print(f"             {plain(word.problem)}")
    else:
        console.print(f"Centre       [yellow]has not answered since joining[/] {plain(word.problem)}")
    for warning in warnings:
        if warning:
            console.print(f"             [yellow]{plain(warning)}[/]")
    if until:
        left = until - now
        color = "green" if left.days >= 7 else "yellow" if left.total_seconds() > 0 else "red"
        console.print(f"Certificate  [{color}]until {until:%Y-%m-%d %H:%M} UTC[/], renewed by itself")
    if seen.unreadable:
        console.print(f"Waiting      [red]unknown[/]: {plain(seen.unreadable)}")
    else:
        since = f", the oldest from {seen.waiting.oldest:%Y-%m-%d %H:%M} UTC" if seen.waiting.oldest else ""
        console.print(f"Waiting      {_heap(seen.waiting)}{since}")
    last = f", the last {_ago(now - seen.last_sent)} ago" if seen.last_sent else ""
    console.print(f"Unconfirmed  {_heap(seen.unproven)} of what was sent{last}")
    newest = f", the newest from {seen.proven.newest:%Y-%m-%d %H:%M} UTC" if seen.proven.newest else ""
    console.print(f"Proven       {_heap(seen.proven)}{newest}")


def _heap(heap: view.Heap) -> str:
    return (
        f"{heap.count} file{'s' if heap.count != 1 else ''}, {size_text(heap.size_bytes)}" if heap.count else "nothing"
    )


def _ago(gone: timedelta) -> str:
    seconds = max(0, int(gone.total_seconds()))
    for unit_s, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{seconds // unit_s} {word}"
    return f"{seconds} s"
