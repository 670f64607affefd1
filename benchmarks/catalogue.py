"""What the catalogue costs when it is big: every question of the product, and how fast it works through its stores.

Rows are made by the database itself in the product's own, migrated schema, partitions and all (catalogue_rows.py).
Each question (catalogue_queries.py) is asked once with its plans written down, EXPLAIN (ANALYZE, BUFFERS), and then
some times with other sites, cameras and days, by the clock of who asks. A question is red when it reads a big table
from end to end, or is one of a page and takes more than 50 ms in 95 of 100 times. Then come comparing a store with the
catalogue, purging, rebuilding, backup and restore (catalogue_rates.py).

    python benchmarks/catalogue.py                                # 10^5 recordings, some minutes
    python benchmarks/catalogue.py --sites 100 --days 186 --objects 1000000   # 10^8 rows, 40 GB of disk, hours
    python benchmarks/catalogue.py --only "page Find"             # some questions
    python benchmarks/catalogue.py --granted --only page          # as the pages of somebody who sees three sites
    python benchmarks/catalogue.py --keep DIR                     # keeps the rows there, and uses them again

Plans and figures go to --out. The server runs with the settings that the product gives its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import psycopg2.extensions

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / one) for one in ("include", "tests/integration", "tests/integration/stores")]

from catalogue_asking import AIM_MS, Question, World  # noqa: E402
from catalogue_plans import big_tables, explained, index_names  # noqa: E402
from catalogue_queries import QUESTIONS  # noqa: E402
from catalogue_rates import Rate, a_catalogue, purge_rates, rebuild_rates, reconcile_rates  # noqa: E402
from catalogue_rows import Scale, Tell, fill  # noqa: E402
from rich.box import MARKDOWN  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: E402
from rich.table import Table  # noqa: E402

from vms.catalogue import users  # noqa: E402
from vms.catalogue.connection import Connection, ask_for, connect, fetch_all, fetch_one  # noqa: E402
from vms.home import Home  # noqa: E402
from vms.stack import postgres as server  # noqa: E402

PATIENCE_S = 20.0
"""After so long a question is not asked once more."""

BYTES_EACH = 2400  # of a recording with all that belongs to it, indexes included


@dataclass(frozen=True)
class Answer:
    """How one question was answered. p50_ms, p95_ms: of `times`, everything included. query_p95_ms: of its slowest
    query alone, from asking until the answer is there. cpu_ms: what it costs on average, here and in the server,
    however busy the machine is. through: what was read from end to end;
    indexes: by the names that the schema gives them."""

    where: str
    name: str
    times: int
    p50_ms: float
    p95_ms: float
    query_p95_ms: float
    cpu_ms: float
    statements: int
    through: tuple[str, ...]
    indexes: tuple[str, ...]

    @property
    def is_red(self) -> bool:
        return bool(self.through) or (self.where.startswith("page") and self.p95_ms > AIM_MS)


def main() -> None:
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    result: dict[str, object] = {"cores": len(os.sched_getaffinity(0))}
    answers: list[Answer] = []
    rates: list[Rate] = []
    with _folder(options.keep) as folder, _progress() as (progress, tell):
        if not options.rates_only:
            with a_catalogue(folder / "big", undone=True) as (home, owner):
                scale, fill_s = _filled(owner, folder, options, tell)
                result |= _described(owner, scale, fill_s)
                answers = _ask_all(home, owner, scale, options, tell)
        if not options.questions_only:
            rates = _rates(options, folder, tell)
        progress.console.print("")
    result |= {"answers": [asdict(one) for one in answers], "rates": [asdict(one) for one in rates]}
    (options.out / "catalogue.json").write_text(json.dumps(result, indent=1, default=str))
    _show(result, answers, rates)
    if any(one.is_red for one in answers):
        raise SystemExit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=6, help="of 16 cameras; a twelfth of them has five-minute files")
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=30, help="how often each question is asked")
    parser.add_argument("--granted", action="store_true", help="pages are asked by somebody who sees three sites")
    parser.add_argument("--only", default="", help="only questions with this word in page or name")
    parser.add_argument("--objects", type=int, default=50_000, help="in the folder that is compared (0: none)")
    parser.add_argument("--in-bucket", type=int, default=5_000, help="in the bucket that is compared (0: none)")
    parser.add_argument("--listed", type=int, default=50_000, help="in a bucket that is only listed (0: none)")
    parser.add_argument("--purge", type=int, default=500, help="recordings purged from each kind of store")
    parser.add_argument("--rebuild", type=int, default=200, help="recordings that a catalogue is rebuilt from")
    parser.add_argument("--questions-only", action="store_true")
    parser.add_argument("--rates-only", action="store_true")
    parser.add_argument("--keep", type=Path, help="where the rows are, or shall stay")
    parser.add_argument("--out", type=Path, default=Path("catalogue-benchmark"), help="for plans and figures")
    return parser.parse_args()


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        keep.chmod(0o755)  # the account that the server drops to must get through
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="vms-catalogue-") as text:
        Path(text).chmod(0o755)
        yield Path(text)


def _filled(owner: Connection, folder: Path, options: argparse.Namespace, tell: Tell) -> tuple[Scale, float]:
    """Rows as asked for, or those that an earlier run has kept."""
    told = folder / "scale.json"
    if told.exists():
        kept = json.loads(told.read_text())
        return Scale(**{**kept["scale"], "now": datetime.fromisoformat(kept["scale"]["now"])}), kept["fill_s"]
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    scale = Scale(options.sites, math.ceil(options.sites / 12), options.days, now)
    room = shutil.disk_usage(folder).free
    if room < 1.3 * scale.recordings * BYTES_EACH:
        raise SystemExit(
            f"{folder} has {room / 1e9:.0f} GB left, {scale.recordings * BYTES_EACH / 1e9:.0f} are needed."
        )
    began = time.monotonic()
    fill(owner, scale, tell)
    fill_s = time.monotonic() - began
    told.write_text(json.dumps({"scale": {**asdict(scale), "now": now.isoformat()}, "fill_s": fill_s}))
    return scale, fill_s


def _described(owner: Connection, scale: Scale, fill_s: float) -> dict[str, object]:
    rows, size, version = fetch_one(
        owner,
        "SELECT sum(reltuples) FILTER (WHERE relkind = 'r' AND reltuples > 0)::bigint,"
        " pg_database_size(current_database()), current_setting('server_version') FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace",
        [],
    ) or (0, 0, "")
    (recordings,) = fetch_one(
        owner, "SELECT sum(reltuples)::bigint FROM pg_class WHERE relname ~ '^recording_\\d{4}_\\d\\d$'", []
    ) or (0,)
    return {
        "scale": asdict(scale), "recordings": recordings, "rows": rows, "bytes": size, "fill_s": round(fill_s),
        "postgres": version,
    }  # fmt: skip


def _ask_all(home: Home, owner: Connection, scale: Scale, options: argparse.Namespace, tell: Tell) -> list[Answer]:
    chosen = [one for one in QUESTIONS if options.only in f"{one.where}: {one.name}"]
    answers = []
    with (
        contextlib.closing(connect(server.role_url(home, "vms_viewer", "catalogue"))) as viewer,
        (options.out / "plans.txt").open("w") as evidence,
    ):
        if options.granted:
            ask_for(viewer, str(_granted(owner)))
        world = World(viewer, owner, scale.now, scale.keep, granted=options.granted)
        names, big = index_names(owner), big_tables(owner)
        for number, one in enumerate(chosen):
            tell(f"{one.where}: {one.name}", number / len(chosen))
            conn = viewer if one.is_page else owner
            answers.append(_asked(one, world, conn, options.rounds, names, big, evidence))
    return answers


def _granted(owner: Connection) -> int:
    """Somebody who sees three sites, the one with five-minute files among them: row level security decides about each
    row."""
    name = f"granted{time.time_ns()}"
    sites = [row[0] for row in fetch_all(owner, "SELECT slug FROM site ORDER BY slug LIMIT 3", [])]
    users.add_user(owner, name, "viewer", "", "benchmark", datetime.now(UTC), sees=[(site, "") for site in sites])
    (number,) = fetch_one(owner, "SELECT user_id FROM viewer_user WHERE name = %s", [name]) or (0,)
    return int(number)


def _asked(
    one: Question,
    world: World,
    conn: Connection,
    rounds: int,
    names: dict[str, str],
    big: set[str],
    evidence: TextIO,
) -> Answer:
    with explained(conn, measured=True) as plans:
        one.ask(world, conn)
    evidence.write(f"\n######## {one.where}: {one.name}\n")
    for plan in plans[:20]:
        evidence.write(f"\n{plan.statement.strip()}\n\n{plan.text}\n")
    if len(plans) > 20:
        evidence.write(f"\n({len(plans) - 20} more statements)\n")
    times: list[float] = []
    slowest: list[float] = []
    conn.cursor_factory = _Timed
    worked = _worked_s(conn)
    while len(times) < rounds and sum(times) < PATIENCE_S * 1000:
        _Timed.slowest_ms = 0.0
        began = time.perf_counter()
        one.ask(world, conn)
        times.append((time.perf_counter() - began) * 1000)
        slowest.append(_Timed.slowest_ms)
    worked = _worked_s(conn) - worked
    conn.cursor_factory = None
    return Answer(
        where=one.where,
        name=one.name,
        times=len(times),
        p50_ms=round(statistics.median(times), 2),
        p95_ms=_p95(times),
        query_p95_ms=_p95(slowest),
        cpu_ms=round(worked * 1000 / len(times), 2),
        statements=len(plans),
        through=tuple(sorted({name for plan in plans for name in plan.read_through(big)})),
        indexes=tuple(sorted({names.get(name, name) for plan in plans for name in plan.indexes})),
    )


class _Timed(psycopg2.extensions.cursor):
    """Times each query. slowest_ms: since it was set to 0."""

    slowest_ms = 0.0

    def execute(self, query: Any, vars: Any = None) -> None:
        began = time.perf_counter()
        super().execute(query, vars)
        _Timed.slowest_ms = max(_Timed.slowest_ms, (time.perf_counter() - began) * 1000)


def _p95(times: list[float]) -> float:
    return round(sorted(times)[max(0, math.ceil(0.95 * len(times)) - 1)], 2)


def _worked_s(conn: Connection) -> float:
    """Seconds that this process and the server's process behind this connection have worked."""
    server_ns = int(Path(f"/proc/{conn.info.backend_pid}/schedstat").read_text().split()[0])
    return time.process_time() + server_ns / 1e9


def _rates(options: argparse.Namespace, folder: Path, tell: Tell) -> list[Rate]:
    rates: list[Rate] = []
    work = folder / "rates"
    try:
        if options.objects or options.listed:
            rates += reconcile_rates(work / "reconcile", options.objects, options.in_bucket, options.listed, tell)
        if options.purge:
            rates += purge_rates(work / "purge", options.purge, tell)
        if options.rebuild:
            rates += rebuild_rates(work / "rebuild", options.rebuild, tell)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return rates


def _show(result: dict[str, object], answers: list[Answer], rates: list[Rate]) -> None:
    """The tables, as Markdown."""
    console = Console(width=160)
    if answers:
        table = Table("where", "question", "p50 ms", "p95 ms", "of a query", "CPU ms", "index", "", box=MARKDOWN)
        for one in answers:
            through = f"reads through {', '.join(one.through)}" if one.through else ""
            red = f"RED {through}".strip() if one.is_red else ""
            indexes = ", ".join(name for name in one.indexes if name.split("_")[0] in ("recording", "copy", "camera"))
            times = (f"{value:.1f}" for value in (one.p50_ms, one.p95_ms, one.query_p95_ms, one.cpu_ms))
            table.add_row(one.where, one.name, *times, indexes, red)
        console.print(table)
        console.print(
            f"{result['recordings']:,} recordings, {result['rows']:,} rows, {int(str(result['bytes'])) / 1e9:.1f} GB,"
            f" made in {result['fill_s']} s; PostgreSQL {result['postgres']}"
        )
    if rates:
        table = Table("", "done", "s", "a second", "", box=MARKDOWN)
        for rate in rates:
            done = f"{rate.things:,} {rate.unit}"
            table.add_row(rate.what, done, f"{rate.wall_s:.1f}", f"{rate.per_s:,.0f}", rate.note)
        console.print(table)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    console.print(f"{result['cores']} cores, load of the last 1, 5 and 15 minutes: {load}")


@contextlib.contextmanager
def _progress() -> Iterator[tuple[Progress, Tell]]:
    console = Console(file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Starting the server", total=1.0)
        yield progress, lambda what, share: progress.update(task, description=what, completed=share)


if __name__ == "__main__":
    main()
