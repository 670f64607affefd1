"""The gate before what workers ask of Airflow's API server: who a branch is, and whether what it asks for is its own.

A branch comes through the proxy of its own port, which proves itself by a secret and says whose certificate it saw.
What it may ask is a list (`branch_rules`). Whoever comes another way can't reach what is for branches, and can't pass
for the proxy; tasks of the centre go on reaching the execution API as ever.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from vms_airflow.branch_rules import (
    GUARDED,
    MB,
    OPEN,
    PAGES,
    Branch,
    Refused,
    TaskFacts,
    as_uuid,
    check,
    parts_of,
    read_body,
    read_query,
    rule_for,
    task_ids,
)

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FRESH_S = 5.0
"""A certificate counts for so long after it was revoked."""

SEEN_S = 60.0
LOGGED_S = 60.0
"""The same refusal of the same branch is written into the catalogue's log once in so long."""

JOINING = 64 * 1024
"""The largest body of who has no certificate yet."""

SMALL = 1024 * 1024
"""Of a larger body a branch has one at a time here: read as JSON it takes twenty times its size."""

MOST_SPENT = 512 * MB
SPENT_S = 3600.0
"""What a branch may send within it: ten times what a day's backlog makes of logs and of what tasks hand on."""

MOST_TASKS = 20_000
MOST_REFUSALS = 1_000
_MAP_INDEX = re.compile(r"-1|0|[1-9]\d{0,5}")
_HEADER = b"x-vms-branch-"
BRANCH = "vms.branch"
"""Where in the ASGI scope an app finds the branch that asks; None: somebody without a certificate, by the proxy."""


class BranchGate:
    """The middleware. Nothing is looked up before the first request of a branch."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], known: Known | None = None) -> None:
        self._app = app
        self._known = known or Known()
        self._room: dict[str, asyncio.Semaphore] = {}
        self._sent: dict[str, tuple[float, int]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        async with AsyncExitStack() as held:
            try:
                receive = await self._let_in(scope, receive, held)
            except Refused as refused:
                await _answer(scope, send, refused)
                return
            except Exception:
                log.exception("The gate could not look up who asks.")
                await _answer(scope, send, Refused("Who asks can't be looked up now. Try again.", 503))
                return
            await self._app(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, held: AsyncExitStack) -> Receive:
        said = _said(scope)
        path = _routed(scope)
        scope.pop(BRANCH, None)
        if said is None:
            _require_not_for_branches(path)
            return receive
        address = (scope.get("client") or ("", 0))[0]
        name = ""  # nobody's word counts before the proxy has proven itself
        try:
            await self._known.require_proxy(said)
            name = said.get("name", "")
            return await self._of_branch(scope, receive, said, path, address, held)
        except Refused as refused:
            log.warning("Refused to %s at %s: %s %s: %s", name or "somebody", address, *_what(scope), refused)
            await self._known.note_refused(name, str(refused), address)
            raise

    async def _of_branch(
        self, scope: Scope, receive: Receive, said: dict[str, str], path: str, address: str, held: AsyncExitStack
    ) -> Receive:
        """held: what the request keeps until it is answered."""
        if scope["type"] != "http":
            raise Refused("A branch asks by plain requests.")
        parts = parts_of(path)
        method = scope["method"]
        if (method, path) in OPEN:
            scope[BRANCH] = None
            return _again(await _read(scope, receive, JOINING), receive)
        branch = await self._known.branch(said, address)
        rule, values = rule_for(method, parts)
        query = read_query(rule, scope.get("query_string", b""))
        if rule.largest > SMALL and _length(scope) > SMALL:
            await held.enter_async_context(self._room.setdefault(branch.site, asyncio.Semaphore()))
        raw = await _read(scope, receive, rule.largest)
        self._spend(branch.site, len(raw))
        body = read_body(raw)
        named = [await self._known.task(one) for one in task_ids(rule, values, query, body)]
        if not named and "job" in rule.checks:  # an Airflow that gives its jobs no ids; their path says which
            named = [await self._known.job(values)]
        token = await self._known.task(_token_of(scope)) if parts[0] == "execution" else None
        check(branch, rule, values, query, body, named, token)
        scope[BRANCH] = branch
        return _again(raw, receive)

    def _spend(self, site: str, size: int) -> None:
        """Raises Refused for a branch that sends far more than one has to tell: all of it is kept at the centre."""
        now = time.monotonic()
        began, before = self._sent.get(site, (now, 0))
        if now - began > SPENT_S:
            began, before = now, 0
        self._sent[site] = (began, before + size)
        if before + size > MOST_SPENT:
            raise Refused(f"The branch {site} has sent more than {MOST_SPENT // MB} MB within the hour.", 429)


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


def _said(scope: Scope) -> dict[str, str] | None:
    """What the proxy said of who asks; None when nothing says that it was the proxy."""
    said: dict[str, str] = {}
    found = [(name, value) for name, value in scope.get("headers", []) if name.lower().startswith(_HEADER)]
    for name, value in found:
        said[name.lower().removeprefix(_HEADER).decode("latin-1")] = value.decode("latin-1")
    if len(said) != len(found):
        raise Refused("Only the branches' own port speaks for branches.")
    return said if found else None


def _routed(scope: Scope) -> str:
    """The path as the router of the app sees it."""
    from starlette.routing import get_route_path

    path: str = get_route_path(scope)
    return path


def _require_not_for_branches(path: str) -> None:
    """Spelled in whichever way: what looks like a path of branches is none of the people's, or the centre's tasks'."""
    first, _, rest = path.lstrip("/").partition("/")
    if first.rstrip(". ").lower() not in GUARDED:
        return
    if path.startswith("/execution/"):
        return  # its own tokens say who may, and only the centre's tasks get here
    if path.startswith(tuple(f"/edge_worker/{page}/" for page in PAGES)) and ".." not in rest:
        return
    raise Refused("This is for branches alone, by their own port.")


def _length(scope: Scope) -> float:
    """Of the body, as it is announced."""
    said = [value for name, value in scope.get("headers", []) if name.lower() == b"content-length"]
    return int(said[0]) if said and said[0].isdigit() else float("inf")


async def _read(scope: Scope, receive: Receive, largest: int) -> bytes:
    for name, value in scope.get("headers", []):
        if name.lower() == b"content-length" and value.isdigit() and int(value) > largest:
            raise Refused("This is more than a branch sends at once.", 413)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused("The line broke.", 400)
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > largest:
            raise Refused("This is more than a branch sends at once.", 413)
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


def _again(raw: bytes, receive: Receive) -> Receive:
    """What was read is read once more by whom it is for."""
    waiting = [{"type": "http.request", "body": raw, "more_body": False}]

    async def once_more() -> MutableMapping[str, Any]:
        return waiting.pop() if waiting else await receive()

    return once_more


def _token_of(scope: Scope) -> str:
    """The id of the task whose token this is, as it says itself; Airflow looks at the signature. Raises Refused."""
    from jwt import PyJWTError, decode

    given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
    try:
        kind, _, token = given[0].decode("ascii").partition(" ")
        number = decode(token, options={"verify_signature": False})["sub"]
    except (IndexError, UnicodeError, PyJWTError, KeyError):
        raise Refused("This request has no task's token.") from None
    if len(given) != 1 or kind.lower() != "bearer" or not isinstance(number, str) or as_uuid(number) is None:
        raise Refused("This request has no task's token.")
    return number


def _what(scope: Scope) -> tuple[str, str]:
    return str(scope.get("method", scope["type"])), repr(scope.get("path", ""))[:300]


async def _answer(scope: Scope, send: Send, refused: Refused) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
        return
    body = json.dumps({"detail": str(refused)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refused.status in (429, 503):
        headers.append((b"retry-after", b"10" if refused.status == 503 else b"600"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else body})
