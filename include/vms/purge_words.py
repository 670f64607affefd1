"""A plan in words: for the log of a run, for the person who is asked to approve it, and for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from vms.catalogue.purge_plans import PurgePlan
from vms.wording import counted

KEPT: Mapping[str, str] = {
    "held": "kept by holds",
    "late": "too old already when they arrived; they go some time after, or when asked for (--late)",
    "only_copy": "kept, as no other copy is left of footage that must be kept longer",
    "no_rule": "kept, as their site is not in sites.yaml or has a mistake there",
    "store_away": "kept, as their store does not answer or is not itself",
}


def headline(plan: PurgePlan) -> str:
    """What the plan would do, in one sentence."""
    if not plan.copies:
        return f"Plan {plan.plan_id}: nothing has expired."
    span = f", footage of {_day(plan.oldest)} to {_day(plan.newest)}" if plan.oldest and plan.newest else ""
    return (
        f"Plan {plan.plan_id}: {_copies(plan.copies)}, {gigabytes(plan.bytes)}{span};"
        f" {counted(plan.recordings, 'recording')} {'loses its' if plan.recordings == 1 else 'lose their'} last copy."
    )


def lines(plan: PurgePlan) -> Iterator[str]:
    """The whole plan: what is unusual, per site, per store, what stays and why, what became of it."""
    for alarm in plan.alarms:
        yield f"UNUSUAL: {alarm.message}"
    for name, site in plan.per_site.items():
        recordings = counted(site["recordings"], "recording")
        yield f"site {name}: {_copies(site['copies'])}, {gigabytes(site['bytes'])}, {recordings}"
    for name, store in plan.per_store.items():
        yield f"store {name}: {_copies(store['copies'])}, {gigabytes(store['bytes'])}"
    for why, sums in plan.kept.items():
        told = KEPT.get(why, why)
        yield f"stays: {_copies(sums['copies'])}, {gigabytes(sums['bytes'])}, {told}"
    for hold_id, many in plan.held.items():
        yield f"hold {hold_id} keeps back {counted(many, 'recording')}"
    if plan.outcome:
        yield f"outcome: {outcome(plan.outcome)}"


def outcome(found: Mapping[str, Any]) -> str:
    """What became of a plan's copies."""
    told = [f"{found[what]:,} {what}" for what in _OUTCOMES if found.get(what)]
    until = f", until {found['locked_until'][:16].replace('T', ' ')} UTC at least" if found.get("locked_until") else ""
    freed = f", {gigabytes(found['bytes'])} deleted" if found.get("bytes") else ""
    return (", ".join(told) or "nothing was to be done") + until + freed


def gigabytes(size_bytes: int) -> str:
    """12.3 GB (10^9 bytes)."""
    return f"{size_bytes / 1e9:,.1f} GB" if size_bytes >= 10**8 else f"{size_bytes / 1e6:,.1f} MB"


_OUTCOMES = ("gone", "held", "kept", "refused", "locked", "undone", "open")


def _copies(many: int) -> str:
    return counted(many, "copy", "copies")


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
