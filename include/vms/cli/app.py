"""The `vms` command: which commands there are, and how errors reach a person or a script.

Only the module of the command that was asked for is imported, so that `vms status` starts at once.
"""

from __future__ import annotations

import errno
import importlib
import json
import logging
import os
import sys
from collections.abc import Sequence

import typer
from rich.text import Text

from vms.cli.wording import new_console
from vms.errors import StackError, VmsError

COMMANDS = {
    "up": "vms.cli.up",
    "down": "vms.cli.down",
    "status": "vms.cli.status",
    "doctor": "vms.cli.doctor",
    "upgrade": "vms.cli.upgrade",
    "sites": "vms.cli.sites",
    "stores": "vms.cli.stores",
    "copy": "vms.cli.copy",
    "run": "vms.cli.run",
    "recordings": "vms.cli.recordings",
    "export": "vms.cli.export",
    "evidence": "vms.cli.evidence",
    "import": "vms.cli.bring_in",
    "backfill": "vms.cli.backfill",
    "coverage": "vms.cli.coverage",
    "verify": "vms.cli.verify",
    "retry": "vms.cli.retry",
    "retention": "vms.cli.retention",
    "hold": "vms.cli.hold",
    "backup": "vms.cli.backup",
    "restore": "vms.cli.restore",
    "rebuild": "vms.cli.rebuild",
    "alerts": "vms.cli.alerts",
    "users": "vms.cli.users",
    "branch": "vms.cli.branch",
    "support-bundle": "vms.cli.support_bundle",
    "test": "vms.cli.test",
}


def build(arguments: Sequence[str]) -> typer.Typer:
    """The application, with the one command that the arguments name, or all of them (for the help text)."""
    app = typer.Typer(name="vms", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_about)
    asked = next((word for word in arguments if not word.startswith("-")), "")
    for name in [asked] if asked in COMMANDS else COMMANDS:
        module = importlib.import_module(COMMANDS[name])
        if hasattr(module, "register"):
            module.register(app)
        else:
            app.add_typer(module.app, name=name)
    return app


def main(arguments: Sequence[str]) -> int:
    """Run one command. Returns the exit status: 0 fine, 1 refused or failed, 2 wrong usage."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        build(arguments)(args=list(arguments), prog_name="vms")
    except VmsError as error:
        _show(error, as_json="--json" in arguments)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough: no further words
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except Exception as error:
        from vms.catalogue.connection import misfit  # only now: most commands start without a driver

        named = misfit(error) or _of_the_disk(error)
        if named is None:
            raise
        _show(named, as_json="--json" in arguments)
        return 1
    return 0


_OF_THE_DISK = {
    errno.ENOSPC: "Free some space (df -h), then give the command again.",
    errno.EDQUOT: "Free some space (df -h), then give the command again.",
    errno.EROFS: "It is mounted read-only: look at that disk and at the system's log.",
    errno.EIO: "That disk, or the line to it, fails: look at the system's log.",
    errno.EACCES: "Give the command as the user who runs the system (sudo -u USER ./vms ...), or mend the rights.",
    errno.EPERM: "Give the command as the user who runs the system (sudo -u USER ./vms ...), or mend the rights.",
}


def _of_the_disk(error: Exception) -> VmsError | None:
    """What to say when a file can't be read or written, whatever the command wanted with it; None for other errors."""
    if not isinstance(error, OSError) or error.errno not in _OF_THE_DISK:
        return None
    where = f"{error.filename}: " if error.filename else ""  # not known of a write to what was opened before
    return StackError(f"{where}{error.strerror}.", _OF_THE_DISK[error.errno])


def _about() -> None:
    """Backs up the footage of your cameras: compressed, proven in the store, findable, playable.

    Start with: ./vms up --demo
    """


def _show(error: VmsError, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"error": error.message, "remedy": error.remedy}, ensure_ascii=False) + "\n")
        return
    console = new_console(stderr=True, soft_wrap=not sys.stderr.isatty())
    console.print(Text(error.message, style="bold red"))
    if error.remedy:
        console.print(Text(error.remedy))
