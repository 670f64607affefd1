"""`vms down`: stop everything, whoever started it."""

from __future__ import annotations

import typer
from rich.console import Console

from vms.home import from_environment
from vms.stack import launch


def register(app: typer.Typer) -> None:
    """Mount `down`."""
    app.command("down")(down)


def down() -> None:
    """Stop the system. Files that are being worked on are taken up again at the next start."""
    stopped = launch.stop(from_environment())
    Console().print("Everything is stopped." if stopped else "Nothing was running.")
