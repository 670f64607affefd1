"""What an upload does when stores did not take everything: go on, wait, try again, or fail at once.

A store that is away or full is waited for without using up the task's tries: the task gives its place back and is
called again after a while. So a line that is down for half an hour turns nothing red. After WAIT_MOST the run ends, so
that what the recorder has left meanwhile is compressed, too, and the operator sees red; the next run goes on.
"""

from __future__ import annotations

import logging
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

from vms.errors import StoreUnreachable
from vms.home import Home

if TYPE_CHECKING:
    from vms.steps.upload import Missing

log = logging.getLogger(__name__)

WAIT_MOST = timedelta(hours=1)
_SHORTEST = timedelta(seconds=20)
_LONGEST = timedelta(minutes=5)
_WHAT = "upload"


def wait_for_stores(context: Context, home: Home, site: str, missing: Missing) -> None:
    """Return when enough is proven. Raises AirflowFailException, AirflowRescheduleException or StoreUnreachable."""
    from vms.steps.waiting import no_longer_waiting, now_waiting

    text = "\n".join(missing.lines)
    if missing.lines and not missing.act and not missing.enough and missing.line:
        now = datetime.now(UTC)
        began = context["ti"].get_first_reschedule_date(context) or now
        if now - began < WAIT_MOST:
            pause = min(max(now - began, _SHORTEST), _LONGEST) * random.uniform(0.8, 1.2)  # noqa: S311 - not a secret
            log.warning("%s\nIt is looked again in %.0f s; no try is used up.", text, pause.total_seconds())
            now_waiting(home, site, _WHAT, f"{site}: {text}", until=now + pause + timedelta(minutes=5))
            raise AirflowRescheduleException(now + pause + _behind(home))
        text = f"{text}\nIt was waited for since {began:%Y-%m-%d %H:%M} UTC; the next run goes on with it."
    no_longer_waiting(home, site, _WHAT)
    if not missing.lines:
        return
    if missing.act or (missing.line and not missing.enough):
        raise AirflowFailException(text)
    if not missing.enough:
        raise StoreUnreachable(text, "What the other stores confirmed is kept; a retry only sends what is missing.")
    log.warning("%s\nEnough other stores hold these files; what is missing is copied by a later run.", text)


def _behind(home: Home) -> timedelta:
    """How much a branch's clock is behind the centre's, by which it is called again: else it would be at once, over and
    over, or much too late."""
    from vms.branches import membership

    return timedelta(seconds=membership.load(home).clock_off_s) if home.branch else timedelta()
