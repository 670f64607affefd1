"""The systemd unit of a branch's agent."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from vms.errors import StackError
from vms.home import PROJECT_ROOT, Home

NAME = "vms-branch.service"

_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
_NO_PROXIES = ("NO_PROXY", "no_proxy")
_TAKEN_OVER = (*_PROXIES, *_NO_PROXIES, "VMS_LOG_FORMAT", "VMS_FFMPEG", "VMS_FFPROBE", "VMS_VENV")
"""What the service needs as the commands do, and what is no secret. `vms.home` knows the rest."""

_ASSIGNED = re.compile(r'^Environment="?(\w+)=', re.MULTILINE)

_TEXT = """\
[Unit]
Description=Video backup: branch agent
Documentation=file://{root}/docs/operations.md
Wants=network-online.target
After=network-online.target

[Service]
{account}WorkingDirectory={plain_root}
{environment}EnvironmentFile=-{secret_environment}
ExecStart={root}/vms branch run
Restart=always
RestartSec=15
# The agent tells the running tasks to stop, and waits until they have reported.
KillMode=mixed
TimeoutStopSec=60
Nice=5
IOSchedulingClass=idle
NoNewPrivileges=yes
UMask=0027
{protection}
[Install]
WantedBy={target}
"""

_PROTECTION = "ProtectSystem=full\nPrivateTmp=yes\nProtectKernelTunables=yes\nProtectControlGroups=yes\n"


def text(home: Home, user: str, environ: Mapping[str, str]) -> str:
    """user: as whom it runs, for the whole machine; "": for the user that installs it. environ: as it is here.

    Raises StackError when that holds a secret that has no place yet.
    """
    told = {"VMS_HOME": str(home.root)}
    if home.sites_file != home.root / "branch" / "sites.yaml":
        told["VMS_SITES"] = str(home.sites_file)
    told |= taken_over(home, environ)
    return _TEXT.format(
        root=_quoted(PROJECT_ROOT),
        plain_root=_plain(PROJECT_ROOT),
        environment="".join(f"Environment={_assigned(name, value)}\n" for name, value in told.items()),
        secret_environment=_plain(secret_environment(home)),
        account=f"User={user}\n" if user else "",
        protection=_PROTECTION if user else "",  # a user's own systemd may set none of it
        target="multi-user.target" if user else "default.target",
    )


def secret_environment(home: Home) -> Path:
    """More of the service's variables, in a file of the user's: a unit, and what systemd tells of it, is for all to
    read."""
    return home.secrets / "branch.env"


def taken_over(home: Home, environ: Mapping[str, str]) -> dict[str, str]:
    """What the service gets of these variables. Raises StackError like `text`."""
    found = {name: environ[name] for name in _TAKEN_OVER if environ.get(name)}
    secret = [name for name in _PROXIES if "@" in found.get(name, "")]  # a name alone may be a token, too
    place = secret_environment(home)
    if missing := [name for name in secret if name not in _kept(place)]:
        raise StackError(
            f"{' and '.join(missing)} would tell a secret to everybody on this machine, as all may read a unit.",
            f"Write {' and '.join(f'{name}=...' for name in missing)} into {place} (mode 0600), a line each, which"
            " the service reads. Then give this again.",
        )
    return {name: value for name, value in found.items() if name not in secret}


def lost(home: Home, there: str, new: str) -> list[str]:
    """The variables that the unit that is there tells the service, and of which it would hear no more by the new one.

    Of a proxy's name either spelling does.
    """
    stay = {name.lower() for name in (*_ASSIGNED.findall(new), *_kept(secret_environment(home)))}
    return [name for name in _ASSIGNED.findall(there) if name.lower() not in stay]


def _kept(place: Path) -> set[str]:
    """The variables to which the service's own file gives a value."""
    try:
        lines = place.read_text(errors="replace").splitlines()
    except OSError:
        return set()
    named = (line.partition("=") for line in lines if not line.lstrip().startswith(("#", ";")))
    return {name.strip() for name, _, value in named if value.strip(" \t\"'")}


def proxies(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that say by which proxy the centre is reached; none where it is reached without."""
    found = tuple(name for name in (*_PROXIES, *_NO_PROXIES) if environ.get(name))
    return found if any(name in _PROXIES for name in found) else ()


def path(*, system: bool) -> Path:
    if system:
        return Path("/etc/systemd/system") / NAME
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "systemd" / "user" / NAME


def commands(*, system: bool) -> tuple[tuple[str, ...], ...]:
    """What makes systemd run it."""
    systemctl = ("systemctl",) if system else ("systemctl", "--user")
    return ((*systemctl, "daemon-reload"), (*systemctl, "enable", NAME), (*systemctl, "restart", NAME))


def log_command(*, system: bool) -> str:
    return f"journalctl {'' if system else '--user '}-u {NAME} -f"


def _plain(path: Path) -> str:
    """As systemd reads a path to the line's end: % begins a specifier."""
    return str(path).replace("%", "%%")


def _quoted(path: Path) -> str:
    """As it reads a path among other words: a space would end it."""
    return _plain(path).replace("\\", "\\\\").replace(" ", "\\x20")


def _assigned(name: str, value: str) -> str:
    text = f"{name}={value}".replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return f'"{text}"'
