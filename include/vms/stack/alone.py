"""Whether all of the product runs on this machine, under one launcher: only there is anything started by it.

In a container a server of one part's own would be taken for everybody's, because all parts share the state folder. A
branch has no catalogue at all.
"""

from __future__ import annotations

from vms.errors import StackError
from vms.home import Home


def require_alone(home: Home) -> None:
    """Raises StackError in a container of the parts, and at a branch."""
    if why := elsewhere(home):
        raise StackError(*why)


def elsewhere(home: Home) -> tuple[str, str] | None:
    """What runs here instead, and how that is started; None where all of it runs on this machine."""
    if home.parts:
        return (
            "Each part runs in a container of its own; from inside one nothing is started or stopped.",
            "Outside, in the folder of docker-compose.yaml: docker compose up -d, or docker compose stop",
        )
    if home.branch:
        return (
            f"This machine is the branch {home.branch}: its agent runs here, and nothing of the centre.",
            "See ./vms branch status. It is started by ./vms branch run, or by systemd after ./vms branch install.",
        )
    return None
