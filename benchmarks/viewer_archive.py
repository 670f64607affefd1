"""An archive for the viewer's benchmark: a catalogue of many recordings, and on a NAS the files of its last two days.

Rows are made by the database (catalogue_rows.py). Every recording of the last two days has its rendition, poster and
sprite sheet under the keys that the rows say: links to one clip of five minutes, H.264, so that any browser plays it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from catalogue_rates import a_catalogue
from catalogue_rows import DENSE_S, Scale, Tell, fill

from viewer_world import SignedIn, sign_in
from vms.catalogue.connection import Connection, fetch_all
from vms.home import Home
from vms.stack.postgres import free_port
from vms.stores import open_store
from vms.video.binaries import binaries

ROOT = Path(__file__).resolve().parents[1]
WITH_FILES = timedelta(days=2)
BIG_BYTES = 2_000_000_000
DENSE_SITE = "site000"

_SITES = "company: PT Uji\nstores: {{nas: {{url: 'file://{nas}'}}}}\ndefaults: {{stores: [nas]}}\nsites:\n"
_SITE = """  - id: {id}
    name: {name}
    time_zone: {zone}
    footage: {footage}
    cameras: [{cameras}]
"""


@dataclass(frozen=True)
class Archive:
    """A served installation. now: when its catalogue stands still. big: (id, start) of a recording of BIG_BYTES."""

    home: Home
    url: str
    process: subprocess.Popen[bytes]
    now: datetime
    sites: tuple[str, ...]
    recordings: int
    clip_bytes: int
    big: tuple[int, datetime]
    log: Path

    def person(self, name: str, role: str, sees: list[tuple[str, str]] | None) -> SignedIn:
        return sign_in(self.home, name, role, sees)

    @property
    def cookie(self) -> str:
        return f"vms_{self.url.rpartition(':')[2]}"


@contextlib.contextmanager
def served_archive(folder: Path, sites: int, days: int, tell: Tell) -> Iterator[Archive]:
    """Make it, serve it, and end it. Everything lies in the folder."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    scale = Scale(sites, 1, days, now)
    with a_catalogue(folder, undone=True) as (home, owner):
        fill(owner, scale, tell)
        tell("files", 0.97)
        nas = folder / "nas"
        size = _put_files(home, owner, nas, now)
        big = _put_big(owner, nas, now)
        names = _write_sites(home, owner, folder, nas)
        with served(home, folder / "viewer.log") as (url, process):
            yield Archive(home, url, process, now, names, scale.recordings, size, big, folder / "viewer.log")


@contextlib.contextmanager
def served(home: Home, log: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The viewer as it is served, on a free port: its address and its process."""
    port = free_port()
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "viewer.serve"], cwd=ROOT, env=_environment(home, port), stdout=file, stderr=file
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(process, f"{url}/_stcore/health", log)
        yield url, process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _environment(home: Home, port: int) -> dict[str, str]:
    paths = os.pathsep.join(str(ROOT / one) for one in ("include", "plugins"))
    return os.environ | {
        "VMS_HOME": str(home.root),
        "VMS_SITES": str(home.sites_file),
        "VMS_VIEWER_PORT": str(port),
        "PYTHONPATH": paths,
    }


def _put_files(home: Home, owner: Connection, nas: Path, now: datetime) -> int:
    """Returns the size of the clip. Every file of a kind is one and the same on the disk."""
    nas.mkdir()
    identity = open_store("nas", f"file://{nas}").identify(None)
    clips = nas.with_name("clips")
    clips.mkdir()
    parts = [clips / name for name in ("clip.mp4", "poster.jpg", "sprite.jpg")]
    source = ["-f", "lavfi", "-i", f"testsrc2=size=640x360:rate=10:duration={DENSE_S}"]
    h264 = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "34", "-g", "20", "-pix_fmt", "yuv420p"]
    form = ["-movflags", "+frag_keyframe+empty_moov+default_base_moof+global_sidx"]
    for arguments in (
        [*source, *h264, *form, str(parts[0])],
        [*source, "-vf", "scale=480:270", "-frames:v", "1", str(parts[1])],
        [*source, "-vf", "fps=1/10,scale=160:90,tile=6x5", "-frames:v", "1", str(parts[2])],
    ):
        ffmpeg = str(binaries(home).ffmpeg)
        subprocess.run([ffmpeg, "-v", "error", "-y", *arguments], check=True, timeout=300)
    sizes = [one.stat().st_size for one in parts]
    since = now - WITH_FILES - timedelta(hours=1)
    with owner, owner.cursor() as cursor:
        cursor.execute("UPDATE store SET url = %s, identity = %s WHERE name = 'nas'", (f"file://{nas}", identity))
        cursor.execute(
            "UPDATE recording SET codec = 'h264', width = 640, height = 360, fps = 10, rendition_bytes = %s"
            " WHERE start_at >= %s AND custody IN (1, 2)",
            (sizes[0], since),
        )
        cursor.execute(
            "UPDATE copy SET size_bytes = (%s::int[])[part + 1] WHERE start_at >= %s AND state = 0", (sizes, since)
        )
    for key, part in fetch_all(owner, "SELECT key, part FROM copy WHERE start_at >= %s AND state = 0", [since]):
        path = nas / key
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(parts[part], path)
    return sizes[0]


def _put_big(owner: Connection, nas: Path, now: datetime) -> tuple[int, datetime]:
    """Make one rendition a file of BIG_BYTES with a hole in it."""
    ((number, start, key),) = fetch_all(
        owner,
        "SELECT recording_id, start_at, key FROM copy JOIN recording USING (recording_id, start_at)"
        " WHERE start_at BETWEEN %s AND %s AND part = 0 AND state = 0 AND site_id = 2 ORDER BY start_at LIMIT 1",
        [now - timedelta(days=1), now],
    )
    (nas / key).unlink()
    with (nas / key).open("wb") as file:
        file.write((nas.with_name("clips") / "clip.mp4").read_bytes())
        file.truncate(BIG_BYTES)
    with owner, owner.cursor() as cursor:
        place = (BIG_BYTES, number, start)
        cursor.execute("UPDATE copy SET size_bytes = %s WHERE recording_id = %s AND start_at = %s AND part = 0", place)
        cursor.execute("UPDATE recording SET rendition_bytes = %s WHERE recording_id = %s AND start_at = %s", place)
    return number, start


def _write_sites(home: Home, owner: Connection, folder: Path, nas: Path) -> tuple[str, ...]:
    text = _SITES.format(nas=nas)
    footage = folder / "footage"
    footage.mkdir()
    rows = fetch_all(
        owner,
        "SELECT s.slug, s.name, s.tz, array_agg(c.slug ORDER BY c.slug) FROM site s JOIN camera c USING (site_id)"
        " GROUP BY s.site_id ORDER BY s.slug",
        [],
    )
    for slug, name, zone, cameras in rows:
        each = ", ".join(f"{{id: {one}, name: 'Camera {one}', match: {one}}}" for one in cameras)
        text += _SITE.format(id=slug, name=name, zone=zone, footage=footage, cameras=each)
    home.sites_file.write_text(text)
    return tuple(row[0] for row in rows)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError, urllib.error.URLError), urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own loopback address
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"The viewer did not start:\n{log.read_text()}")
