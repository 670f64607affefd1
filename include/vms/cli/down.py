"""`vms down`: stop everything, whoever started it."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from vms.cli.wording import new_console
from vms.home import from_environment
from vms.stack import launch
from vms.stack.alone import require_alone


def register(app: typer.Typer) -> None:
    """Mount `down`."""
    app.command("down")(down)


def down(as_json: Annotated[bool, typer.Option("--json", help="One JSON object: stopped.")] = False) -> None:
    """Stop the system. Files that are being worked on are taken up again at the next start."""
    home = from_environment()
    stopped = launch.stop(home)
    if not stopped:
        require_alone(home)
    if as_json:
        sys.stdout.write(json.dumps({"stopped": stopped}) + "\n")
        return
    new_console().print("Everything is stopped." if stopped else "Nothing was running.")
