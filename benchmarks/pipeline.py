"""The seed's way is one FFmpeg after the other with libx264, preset medium, crf 28, and FFmpeg's own threads. The
product's is `compress_batch` as a task runs it, with hashing, previews, the full decode check and receipts. Both run
in turns, round by round; medians are printed.

    python benchmarks/pipeline.py [--footage DIR] [--pieces 2] [--seconds 20] [--rounds 2] [--json]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "include"))

from vms.config import Profile, Site  # noqa: E402
from vms.footage import fingerprint  # noqa: E402
from vms.home import from_environment  # noqa: E402
from vms.model import Batch, BatchItem  # noqa: E402
from vms.receipts import Receipt  # noqa: E402
from vms.sightings import SourceSeen  # noqa: E402
from vms.steps.compress import compress_batch  # noqa: E402
from vms.video.binaries import binaries, version  # noqa: E402
from vms.video.ffmpeg import file_url, run  # noqa: E402
from vms.video.probe import probe  # noqa: E402

SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".ts")
LIMIT_S = 3600.0


@dataclass(frozen=True)
class Pass:
    """One way, once over all masters. bytes_out and vmaf are in the masters' order."""

    wall_s: float
    cpu_s: float
    bytes_out: tuple[int, ...]
    not_ffmpeg: float


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="pipeline-", dir=options.work) as name:
        folder = Path(name)
        _tell(options, f"Masters of {options.seconds} s ...")
        masters = make_masters(options.footage, folder, options.pieces, options.seconds)
        seed, product = [], []
        for number in range(1, options.rounds + 1):
            _tell(options, f"Round {number} of {options.rounds}: the seed's way ...")
            seed.append(run_seed(masters, folder / "seed"))
            _tell(options, f"Round {number} of {options.rounds}: the product ...")
            product.append(run_product(masters, folder / f"product-{number}"))
        _tell(options, "VMAF against the masters, every 5th frame ...")
        outputs = sorted((folder / f"product-{options.rounds}" / "staging" / "bench").glob("*.mp4"))
        quality = [
            (vmaf(folder / "seed" / f"{master.stem}.mp4", master, folder), vmaf(output, master, folder))
            for master, output in zip(masters, outputs, strict=True)
        ]
        result = summary(masters, seed, product, quality)
    print(json.dumps(result, indent=1) if options.json else table(result))


def _options() -> argparse.Namespace:
    default = ROOT.parent / "shared" / "footage"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--footage", type=Path, default=default if default.is_dir() else None, help="folder of clips")
    parser.add_argument("--pieces", type=int, default=2, help="pieces of each clip")
    parser.add_argument("--seconds", type=int, default=20, help="length of a piece")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--work", type=Path, default=None, help="folder for temporary files")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def make_masters(footage: Path | None, folder: Path, pieces: int, seconds: int) -> list[Path]:
    """What a recorder writes, from each clip: 1080p at 15 fps, light noise, H.264 High without B-frames, 4 Mbit/s."""
    target = folder / "masters"
    target.mkdir()
    camera = ["-c:v", "libx264", "-profile:v", "high", "-preset", "veryfast", "-bf", "0", "-refs", "1", "-g", "30"]
    camera += ["-b:v", "4M", "-maxrate", "6M", "-bufsize", "8M", "-pix_fmt", "yuv420p", "-an"]
    looks = "scale=1920:1080:flags=bicubic,setsar=1,noise=alls=5:allf=t"
    clips = sorted(path for path in footage.iterdir() if path.suffix in SUFFIXES) if footage else []
    masters = []
    for clip in clips:
        slowness = 15 / (probe(clip).video.fps or 15)
        for piece in range(pieces):
            begin = (probe(clip).duration_s - seconds * 15 / 10) * piece / max(1, pieces)
            master = target / f"{clip.stem}-{piece}.mp4"
            rate = f"setpts=PTS*{1 / slowness:.6f},fps=15," if slowness > 1.2 else "fps=15,"
            source = ["-ss", f"{max(0.0, begin):.2f}", "-i", file_url(clip), "-t", str(seconds)]
            _ffmpeg(*source, "-vf", rate + looks, *camera, file_url(master))
            masters.append(master)
    for piece in range(0 if clips else 2 * pieces):
        master = target / f"synthetic-{piece}.mp4"
        scene = f"testsrc2=s=960x540:r=15:d={seconds},hue=s=0.4,rotate={piece}*PI/2"
        _ffmpeg("-f", "lavfi", "-i", scene, "-vf", looks, *camera, file_url(master))
        masters.append(master)
    return sorted(masters)


def run_seed(masters: list[Path], folder: Path) -> Pass:
    """One file after the other."""
    folder.mkdir(exist_ok=True)
    began, cpu_s, sizes = time.monotonic(), 0.0, []
    for master in masters:
        target = folder / f"{master.stem}.mp4"
        words = ["-i", file_url(master), "-c:v", "libx264", "-preset", "medium", "-crf", "28", file_url(target)]
        cpu_s += _ffmpeg(*words)
        sizes.append(target.stat().st_size)
    return Pass(time.monotonic() - began, cpu_s, tuple(sizes), 0.0)


def run_product(masters: list[Path], root: Path) -> Pass:
    """One batch, as a task runs it."""
    home = from_environment({**os.environ, "VMS_HOME": str(root)})
    home.prepare()
    batch, site = _batch(masters)
    began, cpu_before = time.monotonic(), _cpu_s()
    receipts = compress_batch(batch, site, home, report=lambda _: None)
    wall_s, cpu_s = time.monotonic() - began, _cpu_s() - cpu_before
    faults = [receipt.fault for receipt in receipts if receipt.fault]
    if faults:
        raise SystemExit(f"The product refused a master: {faults[0].message}")
    return Pass(wall_s, cpu_s, tuple(_size(receipt) for receipt in receipts), _share_not_ffmpeg(receipts))


def _batch(masters: list[Path]) -> tuple[Batch, Site]:
    start = datetime(2026, 1, 31, tzinfo=UTC)
    items = []
    for number, master in enumerate(masters):
        status = master.stat()
        seen = SourceSeen(master.name, status.st_size, status.st_mtime_ns)
        at = start + timedelta(minutes=number)
        items.append(BatchItem(number, "bench", "camera", at, fingerprint(master), 20.0, "name", (seen,)))
    site = Site(
        id="bench",
        name="Benchmark",
        time_zone="UTC",
        footage=masters[0].parent,
        cameras=(),
        pattern="auto",
        stores=(),
        profile=Profile("av1", "av1", "9", 36, 10.0, "yuv420p"),
        keep_source=None,
        retention=timedelta(days=180),
        every=timedelta(minutes=10),
        enabled=True,
        staging=None,
    )
    return Batch(1, "bench", "camera", "benchmark", (), tuple(items)), site


def _size(receipt: Receipt) -> int:
    return receipt.rendition.size_bytes if receipt.rendition else 0


def _share_not_ffmpeg(receipts: tuple[Receipt, ...]) -> float:
    whole = sum((receipt.finished_at - receipt.started_at).total_seconds() for receipt in receipts)
    return 1 - sum(receipt.rendition.wall_s for receipt in receipts if receipt.rendition) / whole


def _cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def vmaf(output: Path, master: Path, folder: Path) -> float:
    """VMAF of the output against the master, mean over every 5th frame."""
    log = folder / "vmaf.json"
    same = "settb=AVTB,setpts=N/15/TB,format=yuv420p"
    graph = f"[0:v]{same}[a];[1:v]{same}[b];[a][b]libvmaf=n_subsample=5:n_threads=2:log_fmt=json:log_path={log}"
    _ffmpeg("-i", file_url(output), "-i", file_url(master), "-lavfi", graph, "-f", "null", "-")
    return float(json.loads(log.read_text())["pooled_metrics"]["vmaf"]["mean"])


def _ffmpeg(*words: str) -> float:
    argv = [binaries().ffmpeg, "-nostdin", "-hide_banner", "-y", "-v", "error", "-progress", "pipe:1", *words]
    done = run(argv, wall_limit_s=LIMIT_S)
    if done.returncode != 0:
        raise SystemExit(f"FFmpeg failed: {done.last_words}")
    return done.cpu_s


def summary(
    masters: list[Path], seed: list[Pass], product: list[Pass], quality: list[tuple[float, float]]
) -> dict[str, object]:
    """Medians over the rounds, and each file's bytes and VMAF."""
    files = [
        {
            "file": master.name,
            "master_bytes": master.stat().st_size,
            "seed_bytes": seed[-1].bytes_out[at],
            "product_bytes": product[-1].bytes_out[at],
            "seed_vmaf": round(quality[at][0], 2),
            "product_vmaf": round(quality[at][1], 2),
        }
        for at, master in enumerate(masters)
    ]
    ways = {name: _medians(passes) for name, passes in (("seed", seed), ("product", product))}
    ratios = [product[-1].bytes_out[at] / seed[-1].bytes_out[at] for at in range(len(masters))]
    return {
        "ffmpeg": version(binaries().ffmpeg),
        "cores": len(os.sched_getaffinity(0)),
        "load": [round(one, 2) for one in os.getloadavg()],
        "rounds": len(seed),
        "files": files,
        **ways,
        "ratio": {
            "bytes": round(sum(product[-1].bytes_out) / sum(seed[-1].bytes_out), 3),
            "bytes_geometric_mean": round(math.exp(statistics.fmean(map(math.log, ratios))), 3),
            "cpu": round(ways["product"]["cpu_s"] / ways["seed"]["cpu_s"], 3),
            "files_per_hour": round(ways["seed"]["wall_s"] / ways["product"]["wall_s"], 2),
            "vmaf_difference": round(statistics.fmean(after - before for before, after in quality), 2),
        },
    }


def _medians(passes: list[Pass]) -> dict[str, float]:
    wall_s = statistics.median(one.wall_s for one in passes)
    return {
        "wall_s": round(wall_s, 2),
        "cpu_s": round(statistics.median(one.cpu_s for one in passes), 2),
        "files_per_hour": round(len(passes[0].bytes_out) * 3600 / wall_s, 1),
        "bytes": float(sum(passes[-1].bytes_out)),
        "not_ffmpeg": round(statistics.median(one.not_ffmpeg for one in passes), 4),
    }


def table(result: dict[str, object]) -> str:
    """The same for people, as Markdown."""
    files, ratio = result["files"], result["ratio"]
    seed, product = result["seed"], result["product"]
    assert isinstance(files, list)
    assert isinstance(ratio, dict)
    assert isinstance(seed, dict)
    assert isinstance(product, dict)
    lines = [
        "| file | master | seed | product | product / seed | VMAF seed | VMAF product |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one['file']} | {one['master_bytes'] / 1e6:.2f} MB | {one['seed_bytes'] / 1e6:.2f} MB "
        f"| {one['product_bytes'] / 1e6:.2f} MB | {one['product_bytes'] / one['seed_bytes']:.2f} "
        f"| {one['seed_vmaf']:.1f} | {one['product_vmaf']:.1f} |"
        for one in files
    ]
    lines += [
        "",
        "| | seed | product | product / seed |",
        "|---|---|---|---|",
        f"| bytes | {seed['bytes'] / 1e6:.2f} MB | {product['bytes'] / 1e6:.2f} MB | {ratio['bytes']:.2f} "
        f"(geometric mean {ratio['bytes_geometric_mean']:.2f}) |",
        f"| CPU seconds | {seed['cpu_s']:.1f} | {product['cpu_s']:.1f} | {ratio['cpu']:.2f} |",
        f"| files an hour | {seed['files_per_hour']:.0f} | {product['files_per_hour']:.0f} "
        f"| {ratio['files_per_hour']:.2f} |",
        f"| VMAF difference | | | {ratio['vmaf_difference']:+.2f} |",
        f"| time that is not FFmpeg | | {product['not_ffmpeg']:.1%} | |",
        "",
        f"FFmpeg {result['ffmpeg']}, {result['cores']} cores, load {result['load']}, "
        f"{result['rounds']} rounds, medians.",
    ]
    return "\n".join(lines)


def _tell(options: argparse.Namespace, line: str) -> None:
    if not options.json:
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
