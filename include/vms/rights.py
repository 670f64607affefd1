"""Roles of the viewer's users, and what each may do."""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["administrator", "investigator", "viewer", "auditor"]
Right = Literal["view", "export", "hold", "release", "retry", "log"]
"""view: find and watch. export: take footage out. hold: keep footage. release: end a hold. retry: have files that could
not be archived tried again.

log: read who did what. Auditors read it and see no footage.
"""

RIGHTS: dict[str, frozenset[Right]] = {
    "administrator": frozenset(get_args(Right)),
    "investigator": frozenset({"view", "export", "hold", "retry"}),
    "viewer": frozenset({"view"}),
    "auditor": frozenset({"log"}),
}

EVERYWHERE = frozenset({"administrator", "auditor"})
"""Roles that see every site without a grant."""
