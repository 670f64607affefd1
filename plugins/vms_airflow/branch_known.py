"""What the gate of branches knows: the secret of their port, which certificates count, and of which site a task is.

Looked up in the catalogue and in Airflow's own database, and kept for a short time.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from vms_airflow.branch_rules import Branch, Refused, TaskFacts, as_uuid

log = logging.getLogger(__name__)

FRESH_S = 5.0
"""A certificate counts for so long after it was revoked."""

SEEN_S = 60.0
LOGGED_S = 60.0
"""The same refusal of the same branch is written into the catalogue's log once in so long."""

MOST_TASKS = 20_000
MOST_REFUSALS = 1_000
_MAP_INDEX = re.compile(r"-1|0|[1-9]\d{0,5}")


class Known:
    """What the gate looks up: its secret, certificates that count, and tasks. Kept for a short time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._conn: Any = None
        self._proxy = b""
        self._certificates: dict[str, str] = {}
        self._looked_at = float("-inf")
        self._seen: dict[str, tuple[datetime, str]] = {}
        self._noted_at = float("-inf")
        self._tasks: OrderedDict[str, TaskFacts] = OrderedDict()
        self._refused: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def require_proxy(self, said: dict[str, str]) -> None:
        """Raises Refused unless it says the secret of the proxy."""
        if not self._proxy:
            self._proxy = await asyncio.to_thread(_proxy_secret)
        if not hmac.compare_digest(said.get("proxy", "").encode(), self._proxy):
            raise Refused("Only the branches' own port speaks for branches.")

    async def branch(self, said: dict[str, str], address: str) -> Branch:
        """Whose certificate the proxy saw. Raises Refused when it does not count."""
        if said.get("verify") != "SUCCESS":
            raise Refused(
                "This needs a branch's certificate. If it had one, it is over, or of another installation: join again."
            )
        try:
            serial = format(int(said.get("serial", ""), 16), "x")
        except ValueError:
            raise Refused("The certificate has no number.") from None
        if time.monotonic() - self._looked_at > FRESH_S:
            await asyncio.to_thread(self._look)
        site = self._certificates.get(serial)
        if site is None:  # it may have been issued a moment ago
            await asyncio.to_thread(self._look)
            site = self._certificates.get(serial)
        if site is None:
            raise Refused("This certificate does not count any more: the branch was shut out, or has joined anew.")
        if said.get("name") != site:
            raise Refused("This certificate is of another site.")
        self._seen[site] = (datetime.now(UTC), address)
        return Branch(site, address)

    async def task(self, number: str) -> TaskFacts:
        """Of the task instance with this id. Raises Refused when there is none, as Airflow would say it."""
        known = self._tasks.get(number)
        if known is None:
            known = await asyncio.to_thread(_facts_of, number)
            if known is None:
                raise Refused("There is no such task (any more).", 404)
            self._tasks[number] = known
            while len(self._tasks) > MOST_TASKS:
                self._tasks.popitem(last=False)
        return known

    async def job(self, values: Mapping[str, str]) -> TaskFacts:
        """Of the task instance that the path of a job names. Raises Refused when there is none."""
        found = await asyncio.to_thread(_facts_of_job, values)
        if found is None:
            raise Refused("There is no such task (any more).", 404)
        return found

    async def note_refused(self, name: str, why: str, address: str) -> None:
        """In the log of who did what; never in the way of the answer."""
        key, now = (name, why), time.monotonic()
        if now - self._refused.get(key, float("-inf")) < LOGGED_S:
            return
        self._refused[key] = now
        self._refused.move_to_end(key)
        while len(self._refused) > MOST_REFUSALS:
            self._refused.popitem(last=False)
        try:
            await asyncio.to_thread(self._write_refused, f"branch-{name}" if name else "branch", why, address)
        except Exception:
            # the refusal itself stands
            log.warning("The refusal could not be written into the catalogue.", exc_info=True)

    def _look(self) -> None:
        from vms.catalogue import branches

        def ask(conn: Any) -> None:
            self._certificates = branches.counting_certificates(conn, datetime.now(UTC))
            self._looked_at = time.monotonic()
            if self._looked_at - self._noted_at > SEEN_S:
                seen, self._seen = self._seen, {}
                branches.note_seen(conn, seen)
                self._noted_at = self._looked_at

        self._with_catalogue(ask)

    def _write_refused(self, who: str, why: str, address: str) -> None:
        from vms.catalogue import branches

        self._with_catalogue(lambda conn: branches.log_refused(conn, who, why, address))

    def _with_catalogue(self, ask: Callable[[Any], None]) -> None:
        """One connection, taken anew after any trouble."""
        from vms.catalogue.connection import connect, url
        from vms.home import from_environment

        with self._lock:
            try:
                if self._conn is None:
                    self._conn = connect(url(from_environment(), "owner"))
                ask(self._conn)
            except BaseException:
                if self._conn is not None:
                    self._conn.close()
                self._conn = None
                raise


def _proxy_secret() -> bytes:
    from vms.branches.authority import authority
    from vms.home import from_environment

    return authority(from_environment(), datetime.now(UTC)).proxy.encode()


def _facts_of(number: str) -> TaskFacts | None:
    """Of a task instance, or of an earlier try: one that was cleared goes on asking until it is told to end."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskinstancehistory import TaskInstanceHistory
    from airflow.utils.session import create_session

    wanted = as_uuid(number)
    if wanted is None:
        return None
    with create_session() as session:
        for table, key in (
            (TaskInstance, TaskInstance.id),
            (TaskInstanceHistory, TaskInstanceHistory.task_instance_id),
        ):
            columns = (table.dag_id, table.queue, table.run_id, table.task_id, table.map_index)
            found = session.query(*columns).filter(key == wanted).first()
            if found is not None:
                return TaskFacts(found[0], found[1] or "", found[2], found[3], found[4])
    return None


def _facts_of_job(values: Mapping[str, str]) -> TaskFacts | None:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    named = (values["dag"], values["run"], values["task"], values["map"])
    if not _MAP_INDEX.fullmatch(named[3]):
        return None
    with create_session() as session:
        dag_id, run_id, task_id, map_index = (
            TaskInstance.dag_id,
            TaskInstance.run_id,
            TaskInstance.task_id,
            TaskInstance.map_index,
        )
        found = (
            session.query(TaskInstance.queue)
            .filter(dag_id == named[0], run_id == named[1], task_id == named[2], map_index == int(named[3]))
            .first()
        )
        return None if found is None else TaskFacts(named[0], found[0] or "", named[1], named[2], int(named[3]))
