"""`vms users`: who may sign in to the viewer, and what they may do there.

Passwords are asked for, or read from the standard input of a script; never taken from the command line, where other
users of the machine and the shell's history would see them.
"""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vms import passwords, users
from vms.catalogue import users as kept
from vms.catalogue.connection import Connection, connect, url
from vms.cli.retention import who
from vms.cli.wording import new_console, plain, utc_text
from vms.errors import UserError
from vms.home import Home, from_environment
from vms.rights import EVERYWHERE, RIGHTS, Role

app = typer.Typer(help="Who may sign in to the viewer.", no_args_is_help=True)

_Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, times UTC.")]
_JsonOfOne = Annotated[bool, typer.Option("--json", help="One JSON object: the user, as `list --json` has them.")]
_Name = Annotated[str, typer.Argument(metavar="USER", help="Name of the user.", show_default=False)]
_Role = Annotated[Role, typer.Option(help="; ".join(f"{role}: {', '.join(sorted(RIGHTS[role]))}" for role in RIGHTS))]
_MadeUp = Annotated[
    bool, typer.Option("--make-up", help="Make up a password, keep it in a file of the state folder and say where.")
]

_Sites = Annotated[list[str] | None, typer.Option("--site", help="All of this site (its id); may be repeated.")]
_Cameras = Annotated[
    list[str] | None, typer.Option("--camera", metavar="SITE/CAMERA", help="This camera; may be repeated.")
]
_Everywhere = Annotated[bool, typer.Option("--everywhere", help="Every site, also those that come later.")]


@app.command()
def add(
    name: _Name,
    role: _Role,
    site: _Sites = None,
    camera: _Cameras = None,
    everywhere: _Everywhere = False,
    make_up: _MadeUp = False,
    provider: Annotated[
        bool, typer.Option("--provider", help="No password: the identity provider of sites.yaml lets them in.")
    ] = False,
    as_json: _JsonOfOne = False,
) -> None:
    """Let somebody sign in, and see these sites. The password is asked for, or read from the standard input."""
    if provider and make_up:
        raise typer.BadParameter("Either the provider lets them in or a password; leave out one.")
    home = from_environment()
    places = _places(site, camera)
    everywhere = everywhere or role in EVERYWHERE
    with _opened(home) as conn:
        password = None if provider else _password(name, make_up=make_up)
        hashed, now = passwords.hashed(password) if password else None, datetime.now(UTC)
        kept.add_user(conn, name, role, hashed, who(), now, everywhere=everywhere, sees=places)
        sees = "everything" if everywhere else _names(places) or "nothing yet (`vms users grant`)"
        file = _keep(home, name, password if make_up else None)
        _told(conn, name, f"{name} may sign in as {role} and sees {sees}.", file, as_json=as_json)


@app.command("list")
def list_all(as_json: _Json = False) -> None:
    """All users, their roles, and when they last did something."""
    with closing(connect(url(from_environment(), "viewer"))) as conn:
        rows = kept.list_users(conn)
    if as_json:
        for row in rows:
            _write(row)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("user", "role", "sees", "made (UTC)", "by", "sessions", "last seen (UTC)", "signs in by", "state"):
        table.add_column(title)
    for row in rows:
        seen = f"{row.last_seen:%Y-%m-%d %H:%M}" if row.last_seen else ""
        state = f"disabled {row.disabled_at:%Y-%m-%d}" if row.disabled_at else ""
        made = f"{row.made_at:%Y-%m-%d}"
        sees = "everything" if row.everywhere else _names(row.grants) or "nothing"
        table.add_row(
            row.name, row.role, plain(sees), made, plain(row.made_by), str(row.sessions), seen, _ways(row), state
        )
    new_console().print(table if rows else "There is no user yet; `vms up` makes the first administrator.")


@app.command()
def passwd(name: _Name, make_up: _MadeUp = False, as_json: _JsonOfOne = False) -> None:
    """Give a user another password. What they have open ends."""
    home = from_environment()
    with _opened(home) as conn:
        password = _password(name, make_up=make_up)
        kept.set_password(conn, name, passwords.hashed(password), who())
        file = _keep(home, name, password if make_up else None)
        _told(conn, name, f"{name} has another password; what they had open has ended.", file, as_json=as_json)


@app.command()
def role(
    name: _Name,
    role: Annotated[Role, typer.Argument(metavar="ROLE", help=", ".join(RIGHTS))],
    as_json: _JsonOfOne = False,
) -> None:
    """Give a user another role. What they have open ends."""
    sees = "and sees everything" if role in EVERYWHERE else "and sees what is granted (`vms users list`)"
    with _opened(from_environment()) as conn:
        kept.set_role(conn, name, role, who(), everywhere=role in EVERYWHERE)
        _told(conn, name, f"{name} is {role} from now on, {sees}.", as_json=as_json)


@app.command()
def grant(
    name: _Name,
    site: _Sites = None,
    camera: _Cameras = None,
    everywhere: _Everywhere = False,
    as_json: _JsonOfOne = False,
) -> None:
    """Let a user see more sites or cameras."""
    places = _some(site, camera, everywhere=everywhere)
    with _opened(from_environment()) as conn:
        kept.grant(conn, name, places, who(), everywhere=everywhere)
        sees = "everything" if everywhere else _names(places)
        _told(conn, name, f"{name} sees {sees} from now on.", as_json=as_json)


@app.command()
def revoke(
    name: _Name,
    site: _Sites = None,
    camera: _Cameras = None,
    everywhere: _Everywhere = False,
    as_json: _JsonOfOne = False,
) -> None:
    """Take back what was granted. What the user has open ends at once."""
    places = _some(site, camera, everywhere=everywhere)
    with _opened(from_environment()) as conn:
        kept.revoke(conn, name, places, who(), everywhere=everywhere)
        _told(conn, name, f"Taken back; what {name} had open has ended.", as_json=as_json)


@app.command()
def link(name: _Name, as_json: _JsonOfOne = False) -> None:
    """Let the identity provider let a user in: whoever comes next under this name there is them, for ever."""
    with _opened(from_environment()) as conn:
        kept.link(conn, name, who())
        _told(conn, name, f"The provider may let {name} in; what they had open has ended.", as_json=as_json)


@app.command()
def unlink(name: _Name, as_json: _JsonOfOne = False) -> None:
    """The identity provider does not let a user in any more. What they have open ends at once."""
    with _opened(from_environment()) as conn:
        kept.unlink(conn, name, who())
        _told(
            conn, name, f"The provider does not let {name} in any more; what they had open has ended.", as_json=as_json
        )


@app.command()
def disable(name: _Name, as_json: _JsonOfOne = False) -> None:
    """Shut a user out. What they have open ends at once."""
    with _opened(from_environment()) as conn:
        kept.set_disabled(conn, name, datetime.now(UTC), who())
        _told(conn, name, f"{name} can't sign in any more; what they had open has ended.", as_json=as_json)


@app.command()
def enable(name: _Name, as_json: _JsonOfOne = False) -> None:
    """Let a user who was shut out sign in again."""
    with _opened(from_environment()) as conn:
        kept.set_disabled(conn, name, None, who())
        _told(conn, name, f"{name} may sign in again.", as_json=as_json)


def _places(sites: list[str] | None, cameras: list[str] | None) -> list[tuple[str, str]]:
    """(site, camera) ids; camera "" for all of the site. Raises typer.BadParameter."""
    split = [one.partition("/") for one in cameras or []]
    if any(not (site and camera) for site, _, camera in split):
        raise typer.BadParameter("Write a camera as SITE/CAMERA.", param_hint="--camera")
    return [*((site, "") for site in sites or []), *((site, camera) for site, _, camera in split)]


def _some(sites: list[str] | None, cameras: list[str] | None, *, everywhere: bool) -> list[tuple[str, str]]:
    places = _places(sites, cameras)
    if not places and not everywhere:
        raise typer.BadParameter("Say what: --site, --camera or --everywhere.")
    return places


def _ways(row: kept.UserRow) -> str:
    provider = {"": "", "awaited": "provider (not yet)"}.get(row.provider, "provider")
    return ", ".join(filter(None, ("password" if row.has_password else "", provider))) or "nothing"


def _names(places: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{site}/{camera}" if camera else site for site, camera in places)


def _opened(home: Home) -> closing[Connection]:
    return closing(connect(url(home, "owner")))


def _password(name: str, *, make_up: bool) -> str:
    """Made up, or as the person types it twice, or as a script hands it over. Raises UserError when it will not do."""
    if make_up:
        return passwords.made_up()
    if sys.stdin.isatty():
        password = getpass.getpass(f"Password for {name}: ")
        passwords.check_new(password, name)
        if getpass.getpass("Once more: ") != password:
            raise UserError("The two passwords differ.", "Nothing was changed. Give the command again.")
        return password
    password = sys.stdin.readline().rstrip("\r\n")
    passwords.check_new(password, name)
    return password


def _told(conn: Connection, name: str, words: str, file: Path | None = None, *, as_json: bool) -> None:
    """What was done. file: where a password that was made up lies."""
    if as_json:
        _write(
            next(row for row in kept.list_users(conn) if row.name == name), password_file=str(file) if file else None
        )
        return
    new_console().print(plain(words))
    if file is not None:
        new_console(soft_wrap=True).print(
            f"Their password lies in {plain(str(file))}; delete it once it is handed over."
        )


def _write(row: kept.UserRow, **more: str | None) -> None:
    times = {key: utc_text(at) for key, at in asdict(row).items() if isinstance(at, datetime)}
    sys.stdout.write(json.dumps(asdict(row) | times | more, ensure_ascii=False) + "\n")


def _keep(home: Home, name: str, password: str | None) -> Path | None:
    """Keep a password that was made up where only this account of the machine reads it; forget an older one."""
    path = users.made_up_password_file(home, name)
    path.unlink(missing_ok=True)
    if password is None:
        return None
    path.touch(mode=0o600)
    path.write_text(password + "\n")
    return path
