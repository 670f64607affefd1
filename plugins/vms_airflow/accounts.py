"""Airflow's accounts in containers: roles that hold what they are made to hold and no more, service accounts whose
passwords are those that the installation knows. `python -m vms_airflow.accounts`, told by JSON on its standard input;
see `vms.stack.airflow_accounts`.

A program and not a dozen calls of Airflow's command line, each of which takes seconds; it does what they do.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow.utils.providers_configuration_loader import providers_configuration_loaded

EVERYONE = ("can_read", "Website")
"""What Airflow itself gives to each role at each start."""


def keep(known: Any, roles: dict[str, list[list[str]]], accounts: list[dict[str, Any]]) -> None:
    """Make what is missing and mend what differs. Of a person's account only that there is one: all else is theirs.

    known: Airflow's list of accounts, its `security_manager`.
    """
    for name, rights in roles.items():
        _keep_role(known, name, {(action, resource) for action, resource in rights} | {EVERYONE})
    for one in accounts:
        _keep_account(known, **one)


def _keep_role(known: Any, name: str, rights: set[tuple[str, str]]) -> None:
    role = known.add_role(name)
    for right in list(role.permissions):
        if (right.action.name, right.resource.name) not in rights:
            known.remove_permission_from_role(role, right)
    for action, resource in sorted(rights):
        known.add_permission_to_role(role, known.create_permission(action, resource))


def _keep_account(known: Any, user: str, name: str, role: str, password: str, *, is_person: bool) -> None:
    found = known.find_user(username=user)
    wanted = known.find_role(role)
    if found is None:
        if not known.add_user(user, name, "-", f"{user}@localhost", wanted, password):
            raise SystemExit(f"Airflow does not make the user {user}.")
        return
    if is_person:
        return
    found.roles, found.active = [wanted], True
    if not (known.update_user(found) and known.reset_password(found.id, password)):
        raise SystemExit(f"Airflow does not change the user {user}.")


@providers_configuration_loaded
def main() -> None:
    from airflow.providers.fab.auth_manager.cli_commands.utils import (
        get_application_builder,
    )  # containers have it alone

    with get_application_builder() as builder:
        keep(builder.sm, **json.load(sys.stdin))


if __name__ == "__main__":
    main()
