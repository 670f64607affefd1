"""`vms test`: what a change must pass: style, types, and the tests (one of them holds who may import whom)."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Annotated

import typer

from vms.cli.wording import new_console
from vms.home import PROJECT_ROOT


def register(app: typer.Typer) -> None:
    """Mount `test`."""
    app.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(run_tests)


def run_tests(
    context: typer.Context,
    fast: Annotated[bool, typer.Option("--fast", help="Style and unit tests only, under a minute.")] = False,
) -> None:
    """Check the code and run the tests. Further words go to pytest, which then runs alone."""
    python = sys.executable
    checks: list[tuple[str, list[str]]] = [
        ("ruff", [python, "-m", "ruff", "check", "."]),
        ("ruff format", [python, "-m", "ruff", "format", "--check", "."]),
    ]
    if not fast:
        checks.append(("mypy", [python, "-m", "mypy"]))
    if context.args:
        checks, chosen = [], context.args
    elif fast:
        chosen = ["-m", "not slow", "tests/unit"]
    else:  # end-to-end tests wait for most of their time: two processes, file by file, take little more than half of it
        chosen = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    checks.append(("tests", [python, "-m", "pytest", *chosen]))
    console = new_console()
    failed = []
    for name, argv in checks:
        began = time.monotonic()
        if subprocess.run(argv, cwd=PROJECT_ROOT, check=False).returncode != 0:
            failed.append(name)
        console.print(f"[{'red' if name in failed else 'green'}]{name}[/] {time.monotonic() - began:.0f} s")
    if failed:
        console.print(f"[bold red]Failed: {', '.join(failed)}[/]")
        raise typer.Exit(1)
