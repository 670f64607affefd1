"""What a monitoring system asks the viewer: figures at /metrics, whether it lives at /healthz, whether it serves at
/readyz.

The two latter say nothing but yes or no and are open to everybody, as container platforms and proxies ask them without
a password. The figures name sites and stores and say when nobody is watching, so they are for who has the token in the
state folder, whatever address the question comes from: behind a proxy or a tunnel everybody comes from this machine.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import platform
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import vms
from viewer.database import AWAY, Pool
from vms.backups import not_backed_up_since
from vms.catalogue import alerts, reads_figures, reads_sites, reads_stores, whole
from vms.catalogue.connection import Connection
from vms.catalogue.rows import StoreOverview
from vms.config import BackupPolicy, load_config
from vms.errors import VmsError
from vms.home import Home
from vms.model import State
from vms.stack.services import containers_now
from vms.stack.state import as_seen_now, read_state
from vms.stores import open_store

log = logging.getLogger(__name__)

METRICS, HEALTH, READY = "/metrics", "/healthz", "/readyz"
OPEN = frozenset({METRICS, HEALTH, READY})
"""Paths that need no session; METRICS asks for its own token."""

TOKEN = "metrics_token"  # noqa: S105 - the name of a secret, not the secret
FRESH_S = 15.0
"""So long an answer serves everybody who asks: Prometheus twice, or somebody who reloads the page."""

READY_FRESH_S = 2.0
FULL_PATIENCE_S = 3.0
FULL_FRESH_S = 300.0

_BY_SITE, _BY_STORE = ("site",), ("store",)

NAMES: dict[str, tuple[str, tuple[str, ...]]] = {
    "vms_build_info": ("Version of the program and of the catalogue's schema.", ("version", "python", "schema")),
    "vms_catalogue_up": ("1 while the catalogue answers; without it there are no figures of sites and stores.", ()),
    "vms_service_up": ("1 while a service of this machine, or a part in containers, runs.", ("service",)),
    "vms_service_restarts": ("How often a service was started again after it had ended by itself.", ("service",)),
    "vms_disk_free_bytes": ("Free space where the state folder lies.", ()),
    "vms_backup_timestamp_seconds": ("When the catalogue was last backed up, or since when that is awaited.", ()),
    "vms_backup_period_seconds": ("How often the catalogue is backed up.", ()),
    "vms_alerts_looked_age_seconds": ("How long ago the product's own alerts last looked, by a task of its own.", ()),
    "vms_alerts_open": ("Alerts that are open, by kind.", ("kind",)),
    "vms_site_recordings": ("Recordings by what became of them.", ("site", "state")),
    "vms_site_backlog_files": ("Source files that are known and not archived yet.", _BY_SITE),
    "vms_site_backlog_bytes": ("Bytes of these source files.", _BY_SITE),
    "vms_site_backlog_oldest_seconds": ("Age of the oldest footage among them, 0 without any.", _BY_SITE),
    "vms_site_quarantined_files": ("Source files that could not be archived and wait for a person.", _BY_SITE),
    "vms_site_archived_bytes": ("Bytes of all renditions that were ever archived.", _BY_SITE),
    "vms_site_source_bytes": ("Bytes of the source files that they were made from.", _BY_SITE),
    "vms_site_cameras": ("Cameras that are known.", _BY_SITE),
    "vms_site_proven_minutes": ("Minutes of footage that are kept and proven, over all cameras.", ("site", "day")),
    "vms_site_expected_minutes": ("Minutes in which cameras should have recorded, all together.", ("site", "day")),
    "vms_site_newest_archived_age_seconds": ("Age of the end of the newest archived footage.", _BY_SITE),
    "vms_site_newest_footage_age_seconds": ("Age of the end of the newest footage known, archived or not.", _BY_SITE),
    "vms_site_sensed_age_seconds": ("How long ago its folder was looked at, or how long that is awaited.", _BY_SITE),
    "vms_site_period_seconds": ("How often the footage folder is looked at.", _BY_SITE),
    "vms_site_stage_seconds": ("Time that the newest recordings took in a stage, on average.", ("site", "stage")),
    "vms_store_copies": ("Proven renditions that a store holds.", _BY_STORE),
    "vms_store_bytes": ("Bytes that a store holds, previews included.", _BY_STORE),
    "vms_store_free_bytes": ("Free space of a store that is a folder.", _BY_STORE),
    "vms_store_broken_copies": ("Copies that turned out to be lost or damaged and are not made good yet.", _BY_STORE),
    "vms_store_missing_copies": ("Copies of archived recordings that are still to be made.", ("site", "store")),
    "vms_store_out_seconds": ("How long a store has been out for a site, 0 when it is not.", ("site", "store")),
}  # fmt: skip
"""Every figure: what it says, and by what it is told apart."""


def routes(home: Home, pool: Pool) -> list[Route]:
    """The three questions."""
    figures = Figures(home, pool)
    with contextlib.suppress(VmsError, OSError):  # else at the first question
        home.secret(TOKEN)  # there to be copied before anybody asks

    async def metrics(request: Request) -> Response:
        if not _has_token(home, request):
            text = "The figures need the token of this installation: see docs/operations.md.\n"
            return PlainTextResponse(text, 401, {"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"})
        text = await run_in_threadpool(figures.text)
        return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4, headers={"Cache-Control": "no-store"})

    async def health(_request: Request) -> Response:
        return PlainTextResponse("It runs.\n", headers={"Cache-Control": "no-store"})

    async def ready(_request: Request) -> Response:
        well = await run_in_threadpool(figures.is_ready)
        text = "It serves.\n" if well else "The catalogue is away.\n"
        return PlainTextResponse(text, 200 if well else 503, {"Cache-Control": "no-store"})

    return [Route(METRICS, metrics), Route(HEALTH, health), Route(READY, ready)]


def _has_token(home: Home, request: Request) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    right = hmac.compare_digest(given.strip().encode(), home.secret(TOKEN).encode())
    return scheme.lower() == "bearer" and right


class Figures:
    """Asks the catalogue at most once in FRESH_S, however many ask at once."""

    def __init__(self, home: Home, pool: Pool) -> None:
        self._home = home
        self._pool = pool
        self._asking = threading.Lock()
        self._text, self._text_until = b"", 0.0
        self._ready, self._ready_until = False, 0.0
        self._looking = threading.Lock()
        self._free: dict[str, tuple[int, float]] = {}
        self._hangs: dict[str, threading.Thread] = {}
        self._wanted: tuple[int, frozenset[str]] | None = None
        self._backup_every = BackupPolicy().every

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        with self._asking:
            if time.monotonic() >= self._text_until:
                registry = CollectorRegistry(auto_describe=False)
                registry.register(self)
                self._text = generate_latest(registry)
                self._text_until = time.monotonic() + FRESH_S
            return self._text

    def is_ready(self) -> bool:
        """Whether the catalogue answers."""
        with self._looking:
            if time.monotonic() >= self._ready_until:
                try:
                    self._pool.ping()
                    self._ready = True
                except AWAY:
                    self._ready = False
                self._ready_until = time.monotonic() + READY_FRESH_S
            return self._ready

    def describe(self) -> Iterable[Gauge]:
        """Nothing beforehand: so that registering asks nothing."""
        return ()

    def collect(self) -> Iterator[Gauge]:
        """Every figure that is known at this moment."""
        all_of = {name: Gauge(name, text, labels=labels) for name, (text, labels) in NAMES.items()}
        now = datetime.now(UTC)
        schema = ""
        try:
            with self._pool.connection("*") as conn:
                schema = whole.revision(conn)
                in_use = self._in_use()
                _add_sites(all_of, conn, now, in_use)
                self._add_stores(all_of, conn, now, in_use)
                looked_at = alerts.looked_at(conn)
                if looked_at is not None:
                    age_s = max(0.0, (now - looked_at).total_seconds())
                    all_of["vms_alerts_looked_age_seconds"].add_metric([], age_s)
                for kind, many in Counter(one.kind for one in alerts.list_alerts(conn)).items():
                    all_of["vms_alerts_open"].add_metric([kind], many)
            all_of["vms_catalogue_up"].add_metric([], 1)
        except AWAY as error:
            log.warning("There are no figures of sites and stores, the catalogue does not answer: %s", error)
            all_of["vms_catalogue_up"].add_metric([], 0)
        all_of["vms_build_info"].add_metric([vms.__version__, platform.python_version(), schema], 1)
        self._add_machine(all_of)
        yield from (one for one in all_of.values() if one.samples)

    def _add_machine(self, all_of: dict[str, Gauge]) -> None:
        home, written = self._home, read_state(self._home)
        stack = containers_now(home) if home.parts else as_seen_now(written) if written else None
        for service in stack.services if stack else ():
            all_of["vms_service_up"].add_metric([service.name], service.state == "ready")
            if not home.parts:  # there it is the container engine that starts them again, and counts
                all_of["vms_service_restarts"].add_metric([service.name], service.restarts)
        all_of["vms_disk_free_bytes"].add_metric([], shutil.disk_usage(self._home.root).free)
        all_of["vms_backup_period_seconds"].add_metric([], self._backup_every.total_seconds())
        backed_up_at = not_backed_up_since(self._home)
        if backed_up_at is not None:
            all_of["vms_backup_timestamp_seconds"].add_metric([], backed_up_at.timestamp())

    def _in_use(self) -> Callable[[str], bool]:
        """Whether a site is looked at: one that is taken out or not enabled grows old without anybody's fault. A site
        whose part of sites.yaml is wrong is wanted all the same."""
        file = self._home.sites_file
        try:
            stamp = file.stat().st_mtime_ns
            if self._wanted is None or self._wanted[0] != stamp:
                config = load_config(file)
                wanted = {site.id for site in config.sites if site.enabled} | {error.id for error in config.errors}
                self._wanted = (stamp, frozenset(wanted))
                self._backup_every = config.backup.every
        except (VmsError, OSError):
            return lambda _site: True
        return self._wanted[1].__contains__

    def _add_stores(
        self, all_of: dict[str, Gauge], conn: Connection, now: datetime, in_use: Callable[[str], bool]
    ) -> None:
        for store in reads_stores.store_overviews(conn):
            all_of["vms_store_copies"].add_metric([store.name], store.copies)
            all_of["vms_store_bytes"].add_metric([store.name], store.size_bytes)
            free = self._free_bytes(store)
            if free is not None:
                all_of["vms_store_free_bytes"].add_metric([store.name], free)
        for name, many in alerts.broken_by_store(conn).items():
            all_of["vms_store_broken_copies"].add_metric([name], many)
        missing = reads_figures.missing_copies(conn)
        for answer in reads_stores.store_states(conn):
            if not in_use(answer.site):
                continue
            pair = (answer.site, answer.store)
            out = 0.0 if answer.state == "ok" else (now - answer.since).total_seconds()
            all_of["vms_store_out_seconds"].add_metric(pair, out)
            missing.setdefault(pair, 0)
        for pair, many in missing.items():
            all_of["vms_store_missing_copies"].add_metric(pair, many)

    def _free_bytes(self, store: StoreOverview) -> int | None:
        """Of a folder that is the store; the disk below a mount that is missing is not. A mount that hangs must not
        hang the figures: one thread waits for it, and no second one."""
        url = store.url
        if store.identity is None or not url.startswith("file:"):
            return None
        known = self._free.get(url)
        if known is not None and time.monotonic() - known[1] < FULL_FRESH_S:
            return known[0]

        def look() -> None:
            try:
                opened = open_store(store.name, url, options=store.options)
                opened.identify(store.identity)
                free = opened.free_bytes()
            except (VmsError, OSError):
                return
            if free is not None:
                self._free[url] = (free, time.monotonic())

        if url not in self._hangs or not self._hangs[url].is_alive():
            self._free.pop(url, None)
            self._hangs[url] = threading.Thread(target=look, daemon=True)
            self._hangs[url].start()
            self._hangs[url].join(FULL_PATIENCE_S)
        fresh = self._free.get(url)
        return fresh[0] if fresh else None


def _add_sites(all_of: dict[str, Gauge], conn: Connection, now: datetime, in_use: Callable[[str], bool]) -> None:
    def age(at: datetime | None) -> float | None:
        return None if at is None else max(timedelta(0), now - at).total_seconds()

    for site in reads_sites.site_overviews(conn):
        for state in get_args(State):
            all_of["vms_site_recordings"].add_metric([site.site, state], site.counts.get(state, 0))
        facts: dict[str, float | None] = {
            "vms_site_backlog_files": site.counts.get("planned", 0),
            "vms_site_quarantined_files": site.counts.get("quarantined", 0),
            "vms_site_archived_bytes": site.bytes_out,
            "vms_site_source_bytes": site.bytes_in,
        }
        if in_use(site.site):
            facts |= {
                "vms_site_backlog_oldest_seconds": age(site.oldest_waiting) or 0,
                "vms_site_newest_archived_age_seconds": age(site.newest_archived),
                "vms_site_newest_footage_age_seconds": age(site.last_footage),
                "vms_site_sensed_age_seconds": age(site.last_sensed or site.awaited_since),
                "vms_site_period_seconds": site.every_s,
            }
        for name, value in facts.items():
            if value is not None:
                all_of[name].add_metric([site.site], value)
    for work in reads_figures.site_work(conn, now):
        all_of["vms_site_backlog_bytes"].add_metric([work.site], work.waiting_bytes)
        all_of["vms_site_cameras"].add_metric([work.site], work.cameras)
        if in_use(work.site):
            all_of["vms_site_proven_minutes"].add_metric([work.site, "today"], work.today_s / 60)
            all_of["vms_site_proven_minutes"].add_metric([work.site, "yesterday"], work.yesterday_s / 60)
            all_of["vms_site_expected_minutes"].add_metric([work.site, "yesterday"], work.expected_s / 60)
    for took in reads_figures.stage_times(conn):
        for stage, value in (("wait", took.wait_s), ("compress", took.compress_s), ("store", took.store_s)):
            all_of["vms_site_stage_seconds"].add_metric([took.site, stage], value)
