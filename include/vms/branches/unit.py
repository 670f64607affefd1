"""The systemd unit of a branch's agent."""

from __future__ import annotations

import os
from pathlib import Path

from vms.home import PROJECT_ROOT, Home

NAME = "vms-branch.service"

_TEXT = """\
[Unit]
Description=Video backup: branch agent
Documentation=file://{root}/docs/operations.md
Wants=network-online.target
After=network-online.target

[Service]
{account}WorkingDirectory={root}
Environment=VMS_HOME={home}{sites}
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


def text(home: Home, user: str) -> str:
    """user: as whom it runs, for the whole machine; "": for the user that installs it."""
    branch_sites = home.root / "branch" / "sites.yaml"
    sites = "" if home.sites_file == branch_sites else f"\nEnvironment=VMS_SITES={_quoted(home.sites_file)}"
    return _TEXT.format(
        root=_quoted(PROJECT_ROOT),
        home=_quoted(home.root),
        sites=sites,
        account=f"User={user}\n" if user else "",
        protection=_PROTECTION if user else "",  # a user's own systemd may set none of it
        target="multi-user.target" if user else "default.target",
    )


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


def _quoted(path: Path) -> str:
    """As systemd reads it: % begins a specifier, and a space would end the word."""
    return str(path).replace("%", "%%").replace(" ", "\\x20")
