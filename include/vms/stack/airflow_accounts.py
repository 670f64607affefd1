"""Who may do what in Airflow when it runs in containers: a person's account, and one for each part that asks it.

On one machine Airflow's simple sign-in knows the accounts of a file and few roles; see `vms.stack.airflow_env`.
"""

from __future__ import annotations

import json

from vms.home import Home
from vms.stack.airflow_env import ADMIN_USER, COMMANDS_USER, VIEWER_USER, password_of

LOOKS = (("can_read", "DAGs"), ("can_read", "DAG Runs"), ("can_read", "Task Instances"))
STARTS = (
    ("can_create", "DAG Runs"),
    ("can_edit", "DAGs"),  # Airflow asks for it of who starts a run; it can't be told from the right to pause a DAG
)
VIEWER_RIGHTS = (*LOOKS, *STARTS)
COMMANDS_RIGHTS = (
    *VIEWER_RIGHTS,
    ("can_edit", "DAG Runs"),  # to end one
    ("can_edit", "Task Instances"),  # to have failed ones done again
    ("can_read", "HITL Detail"),
    ("can_edit", "HITL Detail"),  # to answer whether a purge may begin
    ("can_read", "Task Logs"),
    ("can_read", "ImportError"),
)
ROLES = {"Video viewer": VIEWER_RIGHTS, "Video commands": COMMANDS_RIGHTS}


def wanted(home: Home) -> str:
    """What `vms_airflow.accounts` is told, passwords included."""
    accounts = [
        _account(home, ADMIN_USER, "Administrator", "Admin", is_person=True),
        _account(home, VIEWER_USER, "Viewer", "Video viewer"),
        _account(home, COMMANDS_USER, "Commands", "Video commands"),
    ]
    return json.dumps({"roles": ROLES, "accounts": accounts})


def _account(home: Home, user: str, name: str, role: str, *, is_person: bool = False) -> dict[str, str | bool]:
    password = password_of(home, user)
    return {"user": user, "name": name, "role": role, "password": password, "is_person": is_person}
