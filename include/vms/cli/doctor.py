"""`vms doctor`: looks for what is wrong and says what to do about each."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from vms.cli import doctor_checks
from vms.cli.status import look
from vms.cli.wording import new_console, plain
from vms.home import from_environment


def register(app: typer.Typer) -> None:
    """Mount `doctor`."""
    app.command("doctor")(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON object with all findings.")] = False) -> None:
    """Find out what is wrong and what to do. Exit status 1 if something is wrong."""
    home = from_environment()
    console = new_console(soft_wrap=True)
    findings = []
    group = ""
    for finding in doctor_checks.examine(home, look(home)):
        findings.append(finding)
        if as_json:
            continue
        if finding.group != group:
            group = finding.group
            console.print(f"[bold]{group}[/]")
        console.print(f"  {'[green]✓[/]' if finding.ok else '[red]✗[/]'} {plain(finding.what)}")
        if finding.remedy:
            console.print(f"    [yellow]→[/] {plain(finding.remedy)}")
    wrong = [finding for finding in findings if not finding.ok]
    if as_json:
        data = {"ok": not wrong, "findings": [asdict(one) for one in findings]}
        sys.stdout.write(json.dumps(data, ensure_ascii=False) + "\n")
    else:
        words = "[bold green]Nothing is wrong.[/]" if not wrong else f"[bold red]Wrong: {len(wrong)}.[/]"
        console.print(words)
    raise typer.Exit(1 if wrong else 0)
