"""`vms upgrade`: to a newer version and, when need be, back.

The command runs twice: the old program backs up, stops the system and brings the new files in; then it becomes ./vms
again, which installs what those pin, and the new program does the rest. The journal tells the two apart.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from vms.catalogue import migrate
from vms.cli import doctor_checks
from vms.cli.backup import progress
from vms.cli.doctor_finding import Finding
from vms.cli.status import look
from vms.cli.wording import new_console, plain
from vms.errors import StackError, VmsError
from vms.home import PROJECT_ROOT, Home, from_environment
from vms.restoring import running_server
from vms.stack import launch, upgrade_journal, upgrading
from vms.stack.addresses import viewer_url
from vms.stack.program import Program, Version
from vms.stack.state import StackState
from vms.stack.upgrade_journal import Journal

_BACK = """
put_back=$1 told=$3
exec 3>&1
if [ -n "$told" ]; then exec 1>&2; fi
if [ -n "$put_back" ]; then ./vms restore "$put_back" --replace; fi
if [ "$2" = start ]; then ./vms up --detach; fi
if [ -n "$told" ]; then printf '%s\n' "$told" >&3; fi
"""


def register(app: typer.Typer) -> None:
    """Mount `upgrade`."""
    app.command("upgrade")(upgrade)


def upgrade(
    to: Annotated[
        str, typer.Option("--to", metavar="TAG", help="A version by its tag or commit, instead of the newest.")
    ] = "",
    here: Annotated[
        bool, typer.Option("--here", help="Fetch nothing: the files of the new version are in place.")
    ] = False,
    start: Annotated[
        bool, typer.Option("--start/--no-start", help="Whether to start the system at the end, or leave that to you.")
    ] = True,
    back: Annotated[bool, typer.Option("--back", help="To where the last upgrade began.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --back: do not ask.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object at the end: what was done; steps go to stderr.")
    ] = False,
) -> None:
    """Back up the catalogue, stop, bring in the new version, migrate, start, and look whether all is well.

    Give it again after it was ended in the middle. Exit status 1 when it failed, or something is wrong that was not
    wrong before.
    """
    home, program, console = from_environment(), Program(), new_console(stderr=as_json, soft_wrap=True)
    if home.parts:
        raise StackError(
            "Containers are upgraded from outside.",
            'docs/operations.md, "Containers", "Upgrade".',
        )
    if home.branch:
        raise StackError(
            f"This machine is the branch {home.branch}; what is upgraded here is its agent.",
            'docs/operations.md, "Branches": git pull (or a new image), then restart the agent. The centre goes first.',
        )
    if (to and here) or (back and (to or here)):
        raise typer.BadParameter("only one of --to, --here and --back")
    if back:
        _go_back(home, program, console, yes=yes, start=start, as_json=as_json)
    journal = upgrade_journal.under_way(home)
    if journal is None:
        if _begin(home, program, console, to=to, here=here):
            _bring_in(home, program, console, start=start, as_json=as_json)
        if as_json:
            _write({"upgraded": False, "to": program.here() or None})
        return
    console.print("Going on with the upgrade.")
    if journal.target not in ("", program.here()):
        _bring_in(home, program, console, start=start, as_json=as_json)
    try:
        new = _finish(home, journal, console, start=start)
    except VmsError as error:
        raise type(error)(error.message, f"{error.remedy} {_way_out(journal)}".strip()) from error
    if as_json:
        told = {"upgraded": True, "from": journal.commit or None, "to": program.here() or None}
        schemas = {"schema_before": journal.revision or None, "schema": migrate.newest()}
        wrong = [asdict(one) for one in new]
        _write(told | schemas | {"backup": journal.backup or None, "started": start, "wrong_since": wrong})
    raise typer.Exit(1 if new else 0)


def _begin(home: Home, program: Program, console: Console, *, to: str, here: bool) -> bool:
    """Look what there is to do, back up, write the journal. Returns whether there is anything to do."""
    if not program.is_clone and to:
        raise StackError("This is no git clone.", "Put the files of the new version in place, then give --here.")
    target: Version | None = None
    commit = program.here()
    if program.is_clone and not here:
        target = program.newer(to)
        if not target.upgrades:
            raise StackError(
                f"{target.label} is from before this command.",
                "To go back to where the last upgrade began: ./vms upgrade --back",
            )
    if upgrading.is_there_already(home, program, target):
        console.print("This is the newest version already; nothing was done.")
        return False
    revision, dump, looked = "", "", False
    wrong: tuple[str, ...] = ()
    if upgrading.has_catalogue(home):
        with progress(quiet=False) as moved, running_server(home):
            revision = upgrading.revision_of(home)
            upgrading.refuse_newer_catalogue(revision, target)
            looked, wrong = _wrong_now(home, revision)
            made = upgrading.back_up(home, datetime.now(UTC), moved) if revision else None
        if made:
            dump = str(home.backups / made.dump_name)
            _said(console, f"Backup of the catalogue: {dump}")
    home.prepare()
    branch = program.branch() if commit else ""
    goal = target.commit if target else ""
    upgrade_journal.begin(home, Journal(commit, branch, goal, bool(to), revision, dump, looked, wrong))
    return True


def _wrong_now(home: Home, revision: str) -> tuple[bool, tuple[str, ...]]:
    """Whether the doctor could look, and what he finds. Where the files are the new ones already, the program that
    would look is not the one that runs."""
    if revision != migrate.newest() or not (seen := look(home)).usable:
        return False, ()
    return True, tuple(_key(one) for one in doctor_checks.examine(home, seen) if not one.ok)


def _bring_in(home: Home, program: Program, console: Console, *, start: bool, as_json: bool) -> NoReturn:
    """Stop, put the files of the new version in place, and become it."""
    journal = upgrade_journal.under_way(home)
    if launch.stop(home):
        _said(console, "The system is stopped")
    if journal and journal.target not in ("", program.here()):
        program.take(journal.target, named=journal.named)
        _said(console, f"The program: {journal.commit[:10]} → {journal.target[:10]}")
    sys.stdout.flush()
    words = ("vms", "upgrade", "--start" if start else "--no-start", *(("--json",) if as_json else ()))
    os.execv(PROJECT_ROOT / "vms", words)  # noqa: S606 - ourselves


def _finish(home: Home, journal: Journal, console: Console, *, start: bool) -> list[Finding]:
    """With the new program: migrate, start, look. Returns what is wrong and was not before."""
    launch.stop(home)
    done = upgrading.migrate_all(
        home, datetime.now(UTC), lambda text: _said(console, text), backed_up=bool(journal.backup)
    )
    if not done.before and not journal.revision:
        _said(console, "There is no catalogue yet: the first start makes it")
    if not start:
        upgrade_journal.end(home)
        console.print("[bold green]Upgraded.[/] Start the system, then look: ./vms doctor")
        return []
    told: set[str] = set()

    def changed(state: StackState) -> None:
        for step in state.steps:
            if step.seconds is not None and step.title not in told:
                told.add(step.title)
                _said(console, f"{step.title} [dim]{step.seconds:.1f} s[/]", markup=True)

    launch.start_detached(home, changed=changed)
    new = [one for one in doctor_checks.examine(home, look(home)) if not one.ok and _key(one) not in journal.wrong]
    for one in new if journal.looked else ():
        console.print(f"  [red]✗[/] {plain(one.group)}: {plain(one.what)}")
        if one.remedy:
            console.print(f"    [yellow]→[/] {plain(one.remedy)}")
    if new and journal.looked:
        console.print(f"[bold red]Upgraded, and wrong since then: {len(new)}.[/] {plain(_way_out(journal))}")
        return new
    console.print(f"[bold green]Upgraded.[/] {viewer_url(home)}")
    if new:
        console.print("What ./vms doctor finds now may be older than the upgrade.")
    return []


def _go_back(home: Home, program: Program, console: Console, *, yes: bool, start: bool, as_json: bool) -> NoReturn:
    """Stop, put files and catalogue back, start: the last two by the older program."""
    journal = upgrade_journal.last(home)
    if journal is None:
        raise StackError("No upgrade is known here.", "./vms backup list shows the backups; ./vms restore takes one.")
    put_back = ""
    if upgrading.has_catalogue(home):
        with running_server(home):
            if upgrading.revision_of(home) != journal.revision:
                put_back = journal.backup
    here = program.here()
    moves = bool(journal.commit) and journal.commit != here
    console.print(f"The program goes back to {journal.commit[:10]}." if moves else "The program's files stay.")
    if put_back:
        console.print(f"The catalogue becomes what it was in {plain(put_back)}; what it is now is backed up first.")
        console.print("Footage archived since stays in the stores; ./vms rebuild --store NAME takes it in again.")
    if not yes and (as_json or not (sys.stdin.isatty() and typer.confirm("Go back?"))):
        raise StackError("Nothing was done.", "To do it: ./vms upgrade --back --yes")
    launch.stop(home)
    if moves:
        program.go_back(journal.commit, journal.branch)
    upgrade_journal.forget(home)
    sys.stdout.flush()
    os.chdir(PROJECT_ROOT)
    told = {"went_back": True, "from": here or None, "to": journal.commit or None, "restored": put_back or None}
    said = json.dumps(told | {"started": start}) if as_json else ""
    words = ("sh", "-ec", _BACK, "sh", put_back, "start" if start else "", said)
    os.execv("/bin/sh", words)  # noqa: S606 - our own launcher


def _write(told: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")


def _way_out(journal: Journal) -> str:
    """What to do when it did not end well."""
    if not journal.commit and not journal.backup:
        return "Once that is mended: ./vms upgrade"
    return "Once that is mended: ./vms upgrade. To where it was before: ./vms upgrade --back"


def _said(console: Console, text: str, *, markup: bool = False) -> None:
    console.print(f"  [green]✓[/] {text if markup else plain(text)}")


def _key(finding: Finding) -> str:
    """The same trouble, whatever the numbers in it are by now."""
    return f"{finding.group}: {re.sub(r'[0-9][0-9.,:-]*', '#', finding.what)}"
