"""How fast the product works through what it has: comparing a store with the catalogue, purging, rebuilding, backups.

Real code over real stores and a real server each time; how the stores were filled is a short cut, told at each.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gcs_server
import psutil
from catalogue_rows import Scale, Tell, fill
from psycopg2.extensions import cursor as Cursor  # noqa: N812

import weed
from integrity_world import RUN, an_archive
from purge_world import PURGE_RUN, a_world
from vms.backups import make_backup
from vms.catalogue import integrity, migrate, purge_facts, purge_plans
from vms.catalogue.connection import Connection, connect, fetch_all, fetch_one
from vms.catalogue.planning import FILES_PER_RUN
from vms.config import Config, RetentionPolicy, StoreConfig
from vms.home import Home, from_environment
from vms.purge import apply_in_store, make_plan
from vms.restoring import restore
from vms.stack import postgres as server
from vms.steps.rebuild import rebuild
from vms.steps.reconcile import Reconciled, reconcile
from vms.stores import open_store
from vms.stores.identity import IDENTITY_FILE, new_identity


@dataclass(frozen=True)
class Rate:
    """So many things were done in so many seconds, by the clock. what: with the kind of store."""

    what: str
    things: int
    unit: str
    wall_s: float
    note: str = ""

    @property
    def per_s(self) -> float:
        return self.things / self.wall_s if self.wall_s else 0.0


@contextlib.contextmanager
def a_catalogue(folder: Path, *, undone: bool = False) -> Iterator[tuple[Home, Connection]]:
    """A server of its own with an empty catalogue, and the owner's connection. undone: nothing of it has to survive a
    power cut, so that filling it is quicker."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # the account that the server drops to must get through
    home = from_environment({"VMS_HOME": str(folder / "home"), "VMS_SITES": str(folder / "sites.yaml")})
    child = server.start(home)
    try:
        server.prepare_databases(home)
        if undone:
            with contextlib.closing(connect(server.admin_url(home))) as admin, admin.cursor() as cursor:
                for setting in ("wal_level = minimal", "max_wal_senders = 0", "fsync = off"):
                    cursor.execute(f"ALTER SYSTEM SET {setting}")
            server.stop(child)
            child = server.start(home)
        address = server.role_url(home, "vms_owner", "catalogue")
        migrate.upgrade(address)
        with contextlib.closing(connect(address)) as conn:
            yield home, conn
    finally:
        server.stop(child)


def reconcile_rates(folder: Path, objects: int, in_bucket: int, listed: int, tell: Tell) -> list[Rate]:
    """A store that holds what the catalogue says. NAS: files of the right size without content, made by hand, which the
    listing can't tell from whole ones. Bucket: objects of one byte, put by a plain client; and a listing of objects
    that nobody has to put (listing_server.py)."""
    rates = []
    days = _days_for(max(objects, listed))
    scale = Scale(12, 1, days, datetime.now(UTC).replace(minute=0, second=0, microsecond=0))
    with a_catalogue(folder, undone=True) as (home, conn), contextlib.ExitStack() as stack:
        fill(conn, scale, tell)
        keys = fetch_all(conn, "SELECT key, size_bytes FROM copy WHERE store_id = 1 AND state = 0 ORDER BY key", [])
        if objects:
            nas = folder / "nas"
            _identify(conn, "nas", f"file://{nas}", "")
            _make_files(nas, keys, tell)
            rates.append(_reconciled("NAS", conn, home, "nas", tell))
        program = weed.binary()
        if program is not None and in_bucket:
            s3 = stack.enter_context(weed.run_weed(program))
            os.environ["AIRFLOW_CONN_BENCH_S3"] = weed.connection_text(s3.endpoint)
            _identify(conn, "cloud", f"s3://{weed.BUCKET}/r", "bench_s3")
            some = [key for key, _ in keys[:in_bucket]]
            client = s3.client()
            with ThreadPoolExecutor(8) as pool:
                puts = pool.map(lambda key: client.put_object(Bucket=weed.BUCKET, Key=f"r/{key}", Body=b"x"), some)
                for number, _ in enumerate(puts):
                    if number % 1000 == 0:
                        tell(f"objects {number:,}", number / len(some))
            _also_in(conn, 2, some, "1")
            rates.append(_reconciled("S3", conn, home, "cloud", tell))
        if listed:
            rates.append(_reconciled_listing(conn, home, folder, keys[:listed], tell))
        if objects:
            rates += _backup_rates(folder, home, conn, tell)
    return rates


def _make_files(nas: Path, keys: list[Any], tell: Tell) -> None:
    for number, (key, size) in enumerate(keys):
        path = nas / key
        if number % 10_000 == 0:
            tell(f"files {number:,}", number / len(keys))
        try:
            file = path.open("wb")
        except FileNotFoundError:
            path.parent.mkdir(parents=True)
            file = path.open("wb")
        with file:
            file.truncate(size)


def _also_in(conn: Connection, store_id: int, keys: list[str], size: str) -> None:
    """The catalogue says that these objects of the first store lie in another one, too, and nothing else does. What
    keeps its sums up to date sleeps meanwhile: comparing does not ask for them."""
    with conn, conn.cursor() as cursor:
        cursor.execute("ALTER TABLE copy DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM copy WHERE store_id = %s", (store_id,))
        cursor.execute(
            "INSERT INTO copy (recording_id, start_at, size_bytes, stored_at, verified_at, store_id, part,"  # noqa: S608
            f" sha256, key, checksum) SELECT recording_id, start_at, {size}, stored_at, verified_at, %s, part, sha256,"
            " key, checksum FROM copy WHERE store_id = 1 AND key = ANY(%s)",
            (store_id, keys),
        )
        cursor.execute("ALTER TABLE copy ENABLE TRIGGER USER")
        cursor.execute("ANALYZE copy")


def _reconciled_listing(conn: Connection, home: Home, folder: Path, keys: list[Any], tell: Tell) -> Rate:
    names = folder / "names"
    identity = folder / IDENTITY_FILE
    identity.write_bytes(new_identity()[1])
    names.write_text("".join(f"l/{key}\t{size}\n" for key, size in keys))
    _also_in(conn, 2, [key for key, _ in keys], "size_bytes")
    command = [sys.executable, str(Path(__file__).with_name("listing_server.py")), str(names), str(identity)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            endpoint = f"http://127.0.0.1:{int(server.stdout.readline())}"
            os.environ["AIRFLOW_CONN_BENCH_LISTING"] = weed.connection_text(endpoint)
            _identify(conn, "cloud", f"s3://{weed.BUCKET}/l", "bench_listing")
            rate = _reconciled("S3 (a listing, nothing in it)", conn, home, "cloud", tell)
            with urllib.request.urlopen(f"{endpoint}/requests") as answer:  # noqa: S310 (ours, on this machine)
                requests = int(answer.read())
        finally:
            server.kill()
    return replace(rate, note=f"{requests:,} requests, {rate.note}")


def _days_for(objects: int) -> int:
    per_day = Scale(12, 1, 1, datetime.now(UTC)).recordings * 3
    return max(5, round(objects / per_day) + 2)


def _identify(conn: Connection, name: str, url: str, conn_id: str) -> None:
    identity = open_store(name, url, conn_id=conn_id).identify(None)
    with conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE store SET url = %s, conn_id = %s, identity = %s WHERE name = %s", (url, conn_id, identity, name)
        )


def _reconciled(kind: str, conn: Connection, home: Home, name: str, tell: Tell) -> Rate:
    target = integrity.stores_in_use(conn)[name]
    memory: list[int] = []
    statements = [0]

    class Counting(Cursor):
        def execute(self, sql: Any, params: Any = None) -> None:
            statements[0] += 1
            super().execute(sql, params)

    def moved(so_far: Reconciled) -> None:
        memory.append(psutil.Process().memory_info().rss)
        tell(f"{so_far.objects:,} objects compared", 0.5)

    before, conn.cursor_factory = conn.cursor_factory, Counting
    began = time.monotonic()
    done = reconcile(conn, target, home, RUN, budget_s=1e9, report=print, moved=moved)
    wall_s = time.monotonic() - began
    conn.cursor_factory = before
    assert done.finished, done
    assert (done.lost, done.damaged, done.foreign) == (0, 0, 0), done
    grown = (max(memory) - memory[0]) / 1e6
    note = f"{statements[0]:,} statements, {grown:.1f} MB more than after the first page"
    return Rate(f"reconcile, {kind}", done.objects, "objects", wall_s, note)


def _backup_rates(folder: Path, home: Home, conn: Connection, tell: Tell) -> list[Rate]:
    address = server.role_url(home, "vms_owner", "catalogue")
    began = time.monotonic()
    made = make_backup(home, address, datetime.now(UTC), tell)
    backed_up_s = time.monotonic() - began
    rows = sum(made.rows.values())
    note = f"{made.size_bytes / rows:.0f} bytes a row in the file"
    conn.close()  # restoring refuses while anybody is connected
    with a_catalogue(folder / "restored") as (other, unused):
        unused.close()
        began = time.monotonic()
        restored = restore(other, home.backups / made.dump_name, datetime.now(UTC), tell, replace=True)
        restored_s = time.monotonic() - began
    assert restored.rows == rows, (restored.rows, rows)
    return [
        Rate("backup, with every row read back", rows, "rows", backed_up_s, note),
        Rate("restore, with every row counted", rows, "rows", restored_s),
    ]


def purge_rates(folder: Path, recordings: int, tell: Tell) -> list[Rate]:
    """Plans applied by the product in each kind of store. The recordings were archived by it as well, three objects
    each, of some bytes."""
    rates = []
    with a_catalogue(folder) as (_, conn), contextlib.ExitStack() as stack:
        for number, (kind, config) in enumerate(_stores(folder, stack)):
            tell(f"archiving {recordings:,} recordings in {kind}", number / 3)
            world = a_world(conn, folder, [config])
            world.configure(id=f"ho{number}")
            world.runs = 1000 * number
            if not number:
                world.steady()
            for portion in range(0, recordings, FILES_PER_RUN):  # more than a run takes on would be left waiting
                world.archive(min(FILES_PER_RUN, recordings - portion), 210 + 3 * portion / FILES_PER_RUN)
            plan = make_plan(conn, world.config, "benchmark", world.now)
            if plan.state == "waiting":
                plan = purge_plans.answer_plan(conn, plan.plan_id, "approved", "benchmark", "by hand", world.now)
            tell(f"purging in {kind}", number / 3)
            (store,) = (one for one in purge_facts.stores_of_plan(conn, plan.plan_id) if one.name == config.name)
            began = time.monotonic()
            done = apply_in_store(conn, world.config, plan.plan_id, store, PURGE_RUN, world.now, report=lambda _: None)
            wall_s = time.monotonic() - began
            assert done.gone == recordings, done
            purge_plans.finish_applying(conn, plan.plan_id, world.now)
            rates.append(Rate(f"purge, {kind}", 3 * recordings, "objects", wall_s))
    return rates


def _stores(folder: Path, stack: contextlib.ExitStack) -> Iterator[tuple[str, StoreConfig]]:
    yield "NAS", StoreConfig("nas", f"file://{folder}/purged")
    program = weed.binary()
    if program is not None:
        s3 = stack.enter_context(weed.run_weed(program))
        os.environ["AIRFLOW_CONN_BENCH_S3"] = weed.connection_text(s3.endpoint)
        yield "S3", StoreConfig("cloud", f"s3://{weed.BUCKET}/purged", "bench_s3")
    said = stack.enter_context(io.StringIO())  # the emulator talks about each request
    stack.enter_context(contextlib.redirect_stdout(said))
    stack.enter_context(contextlib.redirect_stderr(said))
    google = stack.enter_context(gcs_server.run_gcs())
    os.environ["STORAGE_EMULATOR_HOST"] = google.endpoint
    os.environ["AIRFLOW_CONN_BENCH_GS"] = gcs_server.CONNECTION
    google.make_bucket()
    yield "GCS (emulator)", StoreConfig("google", f"gs://{gcs_server.BUCKET}/purged", "bench_gs")


def rebuild_rates(folder: Path, recordings: int, tell: Tell) -> list[Rate]:
    """Renditions that really carry their identity, in a folder; the catalogue that they are taken into is empty."""
    with a_catalogue(folder / "first", undone=True) as (home, conn):
        tell(f"archiving {recordings:,} recordings", 0.0)
        archive = an_archive(conn, home, folder, recordings)
    store = StoreConfig("nas", f"file://{folder}/nas")
    config = Config("", (archive.site,), (store,), (archive.site.profile,), (), (), RetentionPolicy())
    with a_catalogue(folder / "second") as (home, conn):
        began = time.monotonic()
        done = rebuild(
            conn, config, store, home, RUN, dry_run=False, report=lambda _: None,
            moved=lambda so_far: tell(f"{so_far.recordings:,} recordings back", so_far.recordings / recordings),
        )  # fmt: skip
        wall_s = time.monotonic() - began
        (known,) = fetch_one(conn, "SELECT count(*) FROM recording", []) or (0,)
    assert done.recordings == known == recordings, done
    read = f"{done.bytes_read / recordings / 1e3:.0f} kB read of each"
    return [Rate("rebuild from a NAS", recordings, "recordings", wall_s, read)]
