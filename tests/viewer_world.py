"""An archive for the viewer's tests: a real catalogue, a real store, and real AV1 footage, with hostile names in it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from vms import passwords
from vms.catalogue import sessions, users
from vms.catalogue.connection import Connection, connect
from vms.catalogue.custody import record_receipts
from vms.catalogue.planning import plan_run
from vms.catalogue.reads import RecordingFilter, RecordingRow, find_recordings
from vms.config import Config, load_config
from vms.home import Home
from vms.model import Batch, BatchItem, RunRef, StoreOptions, dump
from vms.receipts import CopyReceipt, Preview, Receipt, Rendition
from vms.sightings import Fault, Rejection, Sensed, Sighting, SourceSeen
from vms.stores import open_store
from vms.video.binaries import binaries

START = datetime(2026, 1, 31, 1, 0, tzinfo=UTC)
"""08:00 in Jakarta, 09:00 in Makassar."""

NOW = datetime(2026, 2, 1, 3, 0, tzinfo=UTC)
RUN = RunRef("footage_ho", "scheduled__2026-02-01T03:00:00+00:00", "record", 0, 1, "branch")
LENGTH_S = 4.0
ATTACK = "<img src=x onerror=window.hacked=1>"

_SITES = """
company: 'PT Uji {attack}'
stores: {{nas: {{url: 'file://{nas}'}}}}
defaults: {{stores: [nas], keep_source: 7d}}
sites:
  - id: ho
    name: 'Kantor Pusat {attack}'
    time_zone: WIB
    footage: {footage}
    cameras:
      - {{id: lobby, name: 'Lobi {attack}', match: lobby}}
      - {{id: gate, name: Gerbang, match: gate}}
  - id: makassar
    name: Cabang Makassar
    time_zone: WITA
    footage: {footage}
    cameras: [{{id: cashier, name: Kasir, match: cashier}}]
  - id: broken
    time_zone: Mars/Olympus
    footage: {footage}
"""


@dataclass(frozen=True)
class Clip:
    """One rendition with its previews, as files."""

    video: Path
    poster: Path
    sprite: Path
    rate: int = 10


@dataclass(frozen=True)
class World:
    """An installation with footage in it."""

    home: Home
    clip: Clip
    nas: Path

    def rows(self) -> list[RecordingRow]:
        """All recordings, oldest first."""
        with closing(owner(self.home)) as conn:
            return find_recordings(conn, RecordingFilter(), newest_first=False)


@dataclass(frozen=True)
class SignedIn:
    """Somebody with an open session. token: what the browser's cookie holds."""

    name: str
    token: str

    @property
    def session(self) -> str:
        """As the gate tells it to the app."""
        return sessions.hash_of(self.token).hex()

    @property
    def mark(self) -> str:
        return self.session[:16]


PASSWORD = "kuda hijau minum kopi"


@lru_cache(maxsize=1)
def _kept() -> str:
    return passwords.hashed(PASSWORD)


def add_user(home: Home, name: str, role: str = "administrator", sees: Sequence[tuple[str, str]] | None = None) -> None:
    """A user whose password is PASSWORD. sees: only these (site, camera) ids, None: everything."""
    with closing(owner(home)) as conn:
        now = datetime.now(UTC)
        users.add_user(conn, name, role, _kept(), "test", now, everywhere=sees is None, sees=sees or ())


def sign_in(
    home: Home, name: str = "sari", role: str = "administrator", sees: Sequence[tuple[str, str]] | None = None
) -> SignedIn:
    """Make the user and open a session, without the form."""
    add_user(home, name, role, sees)
    with closing(owner(home)) as conn:
        (user,) = [one for one in users.list_users(conn) if one.name == name]
        return SignedIn(name, sessions.begin_session(conn, user.user_id, "192.0.2.7"))


def eventually(true: Callable[[], object]) -> None:
    """Wait until it is true; the limit only ends a hang."""
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.1)


def owner(home: Home) -> Connection:
    from vms.stack.postgres import role_url

    return connect(role_url(home, "vms_owner", "catalogue"))


def make_clip(folder: Path, home: Home, rate: int = 10) -> Clip:
    """Four seconds of AV1 in fragmented MP4 as the product stores it, a poster, and a sprite sheet of two tiles."""
    clip = Clip(folder / "clip.mp4", folder / "poster.jpg", folder / "sprite.jpg", rate)
    source = ["-f", "lavfi", "-i", f"testsrc2=size=320x180:rate={rate}:duration={LENGTH_S}"]
    av1 = ["-c:v", "libsvtav1", "-preset", "12", "-crf", "45", "-g", "20", "-pix_fmt", "yuv420p"]
    _ffmpeg(
        home, *source, *av1, "-movflags", "+frag_keyframe+empty_moov+default_base_moof+global_sidx", str(clip.video)
    )
    _ffmpeg(home, *source, "-frames:v", "1", str(clip.poster))
    _ffmpeg(home, *source, "-vf", "fps=1/2,scale=160:90,tile=2x1", "-frames:v", "1", str(clip.sprite))
    return clip


def build(home: Home, clip: Clip) -> World:
    """Three recordings of the lobby, one of another site, one that no browser plays, one quarantined, one waiting."""
    nas = home.root / "nas"
    nas.mkdir(parents=True, exist_ok=True)
    footage = home.root / "footage"
    footage.mkdir(exist_ok=True)
    home.sites_file.write_text(_SITES.format(attack=ATTACK, nas=nas, footage=footage))
    config = load_config(home.sites_file)
    lobby = [
        _seen(f"lobby/{number} {ATTACK}.mp4", "lobby", START + number * timedelta(minutes=5)) for number in range(3)
    ]
    dav = _seen("gate/1.dav", "gate", START)
    late = _seen("gate/late.mp4", "gate", START + timedelta(hours=2))
    bad = _refused(f"lobby/bad {ATTACK}.mp4", "lobby", START + timedelta(hours=1))
    with closing(owner(home)) as conn:
        _archive(conn, config, clip, "ho", (*lobby, dav, late, bad), unfinished="gate/late.mp4")
        _archive(conn, config, clip, "makassar", (_seen("cashier/1.mp4", "cashier", START),))
    return World(home, clip, nas)


def archive_more(world: World, camera: str, start: datetime) -> None:
    """One more recording of a camera of the head office, archived now."""
    with closing(owner(world.home)) as conn:
        seen = _seen(f"{camera}/{start:%H%M%S}.mp4", camera, start)
        _archive(conn, load_config(world.home.sites_file), world.clip, "ho", (seen,), run_id=f"manual__{start:%H%M%S}")


def more_cameras(world: World, count: int) -> None:
    """Cameras c1, c2, ... of the head office, each with all that the lobby has."""
    camera = """
    INSERT INTO camera OVERRIDING SYSTEM VALUE
    SELECT (jsonb_populate_record(c, jsonb_build_object(
        'camera_id', 100 + n, 'slug', 'c' || n, 'name', 'Kamera ' || n)
    )).*
    FROM camera c, generate_series(1, %s) n WHERE c.slug = 'lobby'
    """
    footage = """
    INSERT INTO {table} OVERRIDING SYSTEM VALUE
    SELECT (jsonb_populate_record(t, jsonb_build_object(
        'recording_id', 200000 + 1000 * n + t.recording_id) || {more}
    )).*
    FROM {table} t, generate_series(1, %s) n
    WHERE recording_id IN (
        SELECT recording_id FROM recording JOIN camera USING (camera_id) WHERE slug = 'lobby' AND custody = 1
    )
    """
    with closing(owner(world.home)) as conn, conn, conn.cursor() as cursor:
        cursor.execute(camera, (count,))
        cursor.execute(footage.format(table="copy", more="'{}'"), (count,))
        cursor.execute(footage.format(table="recording", more="jsonb_build_object('camera_id', 100 + n)"), (count,))


def fleet(world: World, count: int, cameras: int) -> None:
    """Sites s01, s02, ... in two regions, each with so many cameras; the first of them has footage. All were looked at
    now, but s03 and those of the world before."""
    text = world.home.sites_file.read_text().rstrip()
    for number in range(1, count + 1):
        region = f"Sumatra {ATTACK}" if number % 2 else "Jawa Timur"
        text += (
            f"\n  - {{id: s{number:02}, name: 'Cabang {number:02} {ATTACK}', time_zone: WIB, region: '{region}',"
            f" tier: {'kios' if number > 9 else 'cabang'}, footage: {world.home.root / 'footage'},"
            f" cameras: [{{id: c1, name: 'Kasir {ATTACK}', match: c1}}]}}"
        )
    world.home.sites_file.write_text(f"{text}\n")
    config = load_config(world.home.sites_file)
    more = """
    INSERT INTO camera OVERRIDING SYSTEM VALUE
    SELECT (jsonb_populate_record(c, jsonb_build_object(
        'camera_id', 1000 * c.camera_id + n, 'slug', 'c' || n, 'name', 'Kamera ' || n)
    )).*
    FROM camera c JOIN site s USING (site_id), generate_series(2, %s) n WHERE s.slug LIKE 's__' AND c.slug = 'c1'
    """
    with closing(owner(world.home)) as conn:
        for number in range(1, count + 1):
            _archive(conn, config, world.clip, f"s{number:02}", (_seen(f"s{number}/c1/1.mp4", "c1", START),))
        with conn, conn.cursor() as cursor:
            cursor.execute(more, (cameras,))
            cursor.execute("UPDATE site SET last_sensed = now() WHERE slug LIKE 's__' AND slug <> 's03'")


def many_files(world: World, camera: str, count: int) -> None:
    """This camera has footage without a gap, in `count` short files."""
    one_more = """
    INSERT INTO {table} OVERRIDING SYSTEM VALUE
    SELECT (jsonb_populate_record({table}, jsonb_build_object(
        'recording_id', 100000 * recording_id + n, 'start_at', start_at + n * %s) || {more}
    )).*
    FROM {table}, generate_series(1, %s) n
    WHERE recording_id = (
        SELECT recording_id FROM recording JOIN camera USING (camera_id) WHERE slug = %s AND custody = 1
        ORDER BY start_at LIMIT 1
    )
    """
    recordings = "jsonb_build_object('end_at', end_at + n * %s, 'fingerprint', gen_random_uuid())"
    length = timedelta(seconds=LENGTH_S)
    with closing(owner(world.home)) as conn, conn, conn.cursor() as cursor:
        cursor.execute(one_more.format(table="copy", more="'{}'"), (length, count - 1, camera))
        cursor.execute(one_more.format(table="recording", more=recordings), (length, length, count - 1, camera))


def move_to_bucket(world: World, url: str, conn_id: str, viewer: str = "redirect", storage_class: str = "") -> None:
    """From now on the world's store lies in this bucket, with the same objects. viewer: as sites.yaml says it."""
    options = StoreOptions(storage_class=storage_class)
    bucket = open_store("nas", url, conn_id=conn_id, options=options)
    identity = bucket.identify(None)
    for file in (one for one in world.nas.rglob("*.*") if not one.name.startswith(".")):
        key = str(file.relative_to(world.nas))
        is_preview = file.suffix == ".jpg"
        bucket.put(file, key, sha256=_sha256(file), size_bytes=file.stat().st_size, preview=is_preview)
    with closing(owner(world.home)) as conn, conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE store SET url = %s, conn_id = %s, identity = %s, options = %s",
            (url, conn_id, identity, json.dumps(dump(options))),
        )
    text = world.home.sites_file.read_text()
    asked = f"url: '{url}', conn_id: {conn_id}, viewer: '{viewer}'"
    world.home.sites_file.write_text(text.replace(f"url: 'file://{world.nas}'", asked))


def _archive(
    conn: Connection,
    config: Config,
    clip: Clip,
    site_id: str,
    files: Sequence[Sighting | Rejection],
    unfinished: str = "",
    run_id: str = RUN.run_id,
) -> None:
    site = config.site(site_id)
    sightings = tuple(one for one in files if isinstance(one, Sighting))
    rejections = tuple(one for one in files if isinstance(one, Rejection))
    run = replace(RUN, dag_id=f"footage_{site_id}", run_id=run_id)
    plan = plan_run(conn, site, Sensed(site_id, NOW, len(files), 0, 0, 0, (), sightings, rejections), run, NOW)
    for batch in plan.batches:
        receipts = [_store(batch, item, clip) for item in batch.items if item.sources[0].path != unfinished]
        record_receipts(conn, batch, receipts, run, NOW, site.keep_source)


def _store(batch: Batch, item: BatchItem, clip: Clip) -> Receipt:
    """Put the clip into the store under the item's keys and report it, as compress and upload would."""
    original = item.sources[0].path.endswith(".dav")
    suffix = ".dav" if original else ".mp4"
    target = batch.stores[0]
    store = open_store(target.name, target.url)
    identity = store.identify(None)
    copies = []
    for part, file, ending in (
        ("rendition", clip.video, suffix),
        ("poster", clip.poster, ".poster.jpg"),
        ("sprite", clip.sprite, ".sprite.jpg"),
    ):
        size, digest = file.stat().st_size, _sha256(file)
        stored = store.put(file, item.key_stem + ending, sha256=digest, size_bytes=size)
        copies.append(CopyReceipt(target.store_id, part, stored.key, size, digest, stored.checksum, NOW, size))
    rendition = Rendition(
        kind="original" if original else "encoded",
        file=f"{item.staging_stem}{suffix}",
        suffix=suffix,
        size_bytes=clip.video.stat().st_size,
        sha256=_sha256(clip.video),
        codec="hevc" if original else "av1",
        audio_codec=None,
        width=320,
        height=180,
        fps=float(clip.rate),
        duration_s=LENGTH_S,
        frames=int(LENGTH_S * clip.rate),
        profile="av1",
        why_kept="It could not be decoded." if original else "",
        damaged="",
        argv=("ffmpeg",),
        ffmpeg="test",
        wall_s=1.0,
        cpu_s=1.0,
    )
    poster = Preview("poster", "p", ".poster.jpg", "image/jpeg", clip.poster.stat().st_size, _sha256(clip.poster))
    sheet = Preview(
        "sprite", "s", ".sprite.jpg", "image/jpeg", clip.sprite.stat().st_size, _sha256(clip.sprite), 160, 90, 2, 2, 2.0
    )
    return Receipt(
        recording_id=item.recording_id,
        start_utc=item.start_utc,
        source=item.sources[0],
        host="branch",
        started_at=NOW,
        finished_at=NOW,
        source_sha256=hashlib.sha256(item.fingerprint.encode()).hexdigest(),
        rendition=rendition,
        previews=(poster, sheet),
        copies=tuple(copies),
        store_identities={str(target.store_id): identity},
    )


def _seen(path: str, camera: str, start: datetime) -> Sighting:
    return Sighting(
        source=SourceSeen(path, 1_000_000, 1),
        camera=camera,
        fingerprint=hashlib.sha256(path.encode()).hexdigest()[:32],
        start_utc=start,
        duration_s=LENGTH_S,
        time_basis="name",
        time_marks=(),
        pattern="test",
        codec="h264",
        width=320,
        height=180,
        fps=10.0,
        audio_codec=None,
    )


def _refused(path: str, camera: str, start: datetime) -> Rejection:
    seen = _seen(path, camera, start)
    fault = Fault("no_moov", f"ho/{path}: no moov atom {ATTACK}.", f"Export it again {ATTACK}.", permanent=True)
    return Rejection(seen.source, camera, seen.fingerprint, start, "name", fault)


def _ffmpeg(home: Home, *options: str) -> None:
    done = subprocess.run([binaries(home).ffmpeg, "-v", "error", "-y", *options], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
