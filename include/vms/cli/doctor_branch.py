"""What `vms doctor` finds at a branch: its agent, its word with the centre, its certificate and clock, its footage. It
needs neither the catalogue nor the line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from vms.branches import agent, membership, turn, view
from vms.cli.doctor_finding import Finding
from vms.cli.wording import size_text
from vms.config import Config
from vms.errors import BranchError
from vms.home import Home

LATELY = timedelta(minutes=5)
CERTIFICATE_LEFT = timedelta(days=14)
"""It is renewed when thirty days are left."""

_START = "./vms branch run, or ./vms branch install for systemd; in its container, from outside: docker compose up -d"
_LINE = "Check the line, and that both firewalls let this port through; what is begun here goes on without it."


def branch(home: Home, config: Config | None) -> Iterator[Finding]:
    """All that `vms branch status` knows, as findings."""
    group, now = "Branch", datetime.now(UTC)
    try:
        joined = membership.load(home)
    except BranchError as error:
        yield Finding(group, False, error.message, error.remedy)
        return
    yield _agent(group, home, joined.site)
    yield _centre(group, joined, agent.last_word(home), now)
    if other := agent.other_version(joined):
        yield Finding(group, True, other)
    if config and (unknown := agent.unknown_keys(config)):
        yield Finding(group, False, unknown, "Bring this branch to the centre's version: docs/operations.md, Branches.")
    if joined.clock_warning:
        yield Finding(group, False, joined.clock_warning, "timedatectl set-ntp true, or set it by hand.")
    yield _certificate(group, home, now)
    for site in config.sites if config else ():
        seen = view.look(home, site)
        if not seen.unreadable:  # else the footage folder is told of by itself
            words = f"{_heap(seen.waiting)} wait here, {_heap(seen.unproven)} are sent and not confirmed yet"
            yield Finding(group, True, f"{site.id}: {words}, {_heap(seen.proven)} are proven.")


def _agent(group: str, home: Home, site: str) -> Finding:
    if turn.is_at_work(home):
        return Finding(group, True, f"The agent of the branch {site} runs.")
    if turn.is_running(home):
        words = f"The agent of the branch {site} has not got on for {turn.SILENT_S / 60:.0f} minutes or more."
        return Finding(
            group, False, words, "Its log says why; restart it: systemctl restart vms-branch, or its container."
        )
    return Finding(group, False, f"The agent of the branch {site} does not run.", _START)


def _centre(group: str, joined: membership.Membership, word: agent.Word, now: datetime) -> Finding:
    if word.refused:
        remedy = "Revoked, or another machine joined: vms branch invite at the centre, and join again."
        return Finding(group, False, f"The centre does not let this branch in: {word.problem}", remedy)
    if not joined.asked_at:
        return Finding(group, False, f"The centre has not answered since joining. {word.problem}".strip(), _LINE)
    at = datetime.fromisoformat(joined.asked_at)
    if word.problem or now - at > LATELY:
        words = f"{joined.url} last answered {at:%Y-%m-%d %H:%M} UTC. {word.problem}".strip()
        return Finding(group, False, words, _LINE)
    return Finding(group, True, f"{joined.url} answers.")


def _certificate(group: str, home: Home, now: datetime) -> Finding:
    try:
        until = membership.certificate_until(home)
    except BranchError as error:
        return Finding(group, False, error.message, error.remedy)
    left = until - now
    words = f"The certificate counts until {until:%Y-%m-%d %H:%M} UTC."
    if left <= timedelta():
        words = f"The certificate is over since {until:%Y-%m-%d %H:%M} UTC."
        return Finding(group, False, words, "vms branch invite at the centre, and join again.")
    well = left > CERTIFICATE_LEFT
    remedy = "" if well else "It is renewed as soon as the centre answers: mend that before then."
    return Finding(group, well, words, remedy)


def _heap(heap: view.Heap) -> str:
    return f"{heap.count} ({size_text(heap.size_bytes)})" if heap.count else "none"
