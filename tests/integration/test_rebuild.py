"""The catalogue lost with every backup of it, and rebuilt from the stores alone: the same recordings and copies."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import video_clips as clips
import weed
from catalogue_world import ask, opened
from vms.backups import make_backup, put_into_store
from vms.catalogue import adopting, migrate
from vms.catalogue.connection import Connection, connect
from vms.catalogue.custody import record_receipts
from vms.catalogue.integrity import stores_in_use
from vms.catalogue.planning import plan_run
from vms.cli.app import main
from vms.config import Config, load_config
from vms.errors import StoreError
from vms.home import Home
from vms.model import RunRef
from vms.steps import rebuild as rebuilding
from vms.steps import reconcile as reconciling
from vms.steps.compress import compress_batch
from vms.steps.rebuild import Rebuilt, rebuild
from vms.steps.sense import sense
from vms.steps.upload import upload_batch

RUN = RunRef("", "", "vms rebuild", host="centre")

SITES = """
profiles:
  quick: {{codec: h264, preset: ultrafast, crf: 40}}
stores:
  nas: {{url: 'file://{folder}/nas'}}
  cloud: {{url: 's3://{bucket}/{prefix}', conn_id: office_s3}}
sites:
  - {{id: ho, name: Head office, footage: {folder}/footage, time_zone: WIB, stores: [nas, cloud], profile: quick}}
"""

RECORDINGS = """
SELECT s.slug, c.slug, start_at, end_at, fingerprint, source_bytes, duration_s, round(fps::numeric), width, height,
       r.codec, audio_codec, kind, time_marks, encode(source_sha256, 'hex'), encode(rendition_sha256, 'hex'),
       rendition_bytes, sprite::text,
       CASE WHEN kind <> 'original' THEN (profile, time_basis, source_name, damaged)::text END
FROM recording r JOIN camera c USING (camera_id) JOIN site s ON s.site_id = r.site_id ORDER BY start_at
"""
"""Of an original, profile, time basis, first name and damage stand in the catalogue only. Frames a second are those of
the rendition, within a few percent of the source's."""

COPIES = """
SELECT st.name, part, k.key, size_bytes, encode(k.sha256, 'hex'), checksum, state
FROM copy k JOIN store st USING (store_id) ORDER BY st.name, k.key
"""
DAYS = """
SELECT c.slug, day, archived + released, secs, bytes_in, bytes_out FROM camera_day d JOIN camera c USING (camera_id)
"""


@pytest.fixture
def archived(
    catalogue: tuple[Home, str], s3_server: weed.S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Home, str, Config]:
    """Four clips of two cameras, archived into both stores by the real steps; one could only be kept as it was."""
    home, address = catalogue
    monkeypatch.setenv("AIRFLOW_CONN_OFFICE_S3", weed.connection_text(s3_server.endpoint))
    monkeypatch.setenv("VMS_HOME", str(home.root))
    monkeypatch.setenv("VMS_SITES", str(home.sites_file))
    home.sites_file.write_text(SITES.format(folder=tmp_path, bucket=weed.BUCKET, prefix=tmp_path.name))
    footage = tmp_path / "footage"
    for folder in ("lobby", "gate"):
        (footage / folder).mkdir(parents=True)
    clips.camera(footage / "lobby" / "20260131_080000.mp4", 5, sound="aac")
    clips.camera(footage / "lobby" / "20260131_080500.mp4", 4, fps=5)
    clips.camera(footage / "gate" / "20260131_080000.mp4", 3)
    clips.rotten(footage / "gate" / "20260131_081000.mp4")
    for path in footage.rglob("*.mp4"):
        os.utime(path, (time.time() - 3600,) * 2)
    config, now = load_config(home.sites_file), datetime.now(UTC)
    site, run = config.site("ho"), RunRef("footage_ho", "run 1", "plan", -1, 1, "centre")
    with opened(address) as conn:
        plan = plan_run(conn, site, sense(site, config, home, now=now), run, now)
        for batch in plan.batches:
            receipts = compress_batch(batch, site, home, report=print)
            receipts = upload_batch(batch, receipts, site, home, report=print)
            done = record_receipts(conn, batch, receipts, run, now, None)
            assert not done.unfinished
            assert not done.quarantined
    return home, address, config


def facts(address: str) -> tuple[list[tuple[object, ...]], ...]:
    with opened(address) as conn:
        return ask(conn, RECORDINGS), ask(conn, COPIES), sorted(ask(conn, DAYS))


def same(now: tuple[list[tuple[object, ...]], ...], before: tuple[list[tuple[object, ...]], ...]) -> None:
    """Row by row and column by column, so that what differs is seen."""
    for rows, former in zip(now, before, strict=True):
        assert len(rows) == len(former)
        for row, old in zip(rows, former, strict=True):
            assert [(a, b) for a, b in zip(row, old, strict=True) if a != b] == [], old


def lose(address: str) -> None:
    with closing(connect(address)) as conn, conn.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    migrate.upgrade(address)


def rebuilt(home: Home, address: str, config: Config, name: str, *, dry_run: bool = False) -> tuple[Rebuilt, list[str]]:
    said: list[str] = []
    store = next(one for one in config.stores if one.name == name)
    with opened(address) as conn:
        return rebuild(conn, config, store, home, RUN, dry_run=dry_run, report=said.append), said


def test_what_is_rebuilt_from_two_stores_equals_what_was_lost(archived: tuple[Home, str, Config]) -> None:
    home, address, config = archived
    before = facts(address)
    assert [len(rows) for rows in before] == [4, 24, 2]
    assert [row[12] for row in before[0]].count("original") == 1
    made = make_backup(home, address, datetime.now(UTC))
    with opened(address) as conn:
        identities = dict(ask(conn, "SELECT name, identity FROM store"))
    for store in config.stores:
        put_into_store(home, made, store, identities[store.name])
    lose(address)

    dry, _ = rebuilt(home, address, config, "cloud", dry_run=True)
    assert facts(address) == ([], [], [])
    assert (dry.objects, dry.recordings, dry.originals, dry.copies, dry.foreign) == (12, 4, 1, 8, 0)

    cloud, said = rebuilt(home, address, config, "cloud")
    assert replace(cloud, bytes_read=0) == replace(dry, bytes_read=0)
    assert [line for line in said if "an original" in line] == said[:1]
    nas, _ = rebuilt(home, address, config, "nas")
    assert (nas.objects, nas.recordings, nas.copies, nas.foreign) == (12, 0, 12, 0)
    same(facts(address), before)
    with opened(address) as conn:
        assert dict(ask(conn, "SELECT name, identity FROM store")) == identities
        assert ask(conn, "SELECT DISTINCT event FROM lineage ORDER BY 1") == [("adopted",), ("copied",)]
    again, said = rebuilt(home, address, config, "nas")
    assert (again.known, again.recordings, again.copies, again.bytes_read, said) == (12, 0, 0, 0, [])

    # the sources on site are seen again: nothing is doubled, nothing is archived anew
    site, now = config.site("ho"), datetime.now(UTC)
    with opened(address) as conn:
        run = RunRef("footage_ho", "run 2", "plan", -1, 1, "centre")
        assert plan_run(conn, site, sense(site, config, home, now=now), run, now).batches == ()
    same(facts(address), before)


def test_the_nightly_check_takes_in_as_much_as_a_rebuild(
    archived: tuple[Home, str, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the restore of an old dump: stores and sites are known, objects have no rows; a stranger lies there."""
    home, address, config = archived
    before = facts(address)
    stranger = config.stores[0].url.removeprefix("file://") + "/ho/gate/2026/01/31/20260131T011000Z_0123456789ab.mp4"
    shutil.copyfile(clips_made(home)[0], stranger)
    monkeypatch.setattr(reconciling, "_YOUNG", timedelta(seconds=-5))
    with opened(address) as conn:
        for table in ("copy", "recording_source", "recording", "camera_day"):
            ask(conn, f"DELETE FROM {table} RETURNING 1")  # noqa: S608
        said: list[str] = []
        stores = stores_in_use(conn)
        found = [
            reconciling.reconcile(conn, stores[name], home, RUN, budget_s=600.0, report=said.append)
            for name in ("nas", "cloud")
        ]
        assert [(one.adopted, one.foreign, one.lost, one.error) for one in found] == [(12, 1, 0, ""), (12, 0, 0, "")]
        assert [line for line in said if "foreign" in line] == [
            f"{stranger.partition('/nas/')[2]} in nas is foreign: it does not say which recording it is."
            " It is left as it is"
        ]
    assert Path(stranger).exists()
    same(facts(address), before)


def clips_made(home: Home) -> list[Path]:
    return sorted((home.sites_file.parent).rglob("footage/*/*.mp4"))


def test_a_bucket_tells_all_by_the_heads_of_its_objects(
    archived: tuple[Home, str, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, address, config = archived
    lose(address)
    asked: list[tuple[str, int, int | None]] = []
    from vms.stores.s3 import S3Store

    whole = S3Store.open_range

    def noting(self: S3Store, key: str, start: int = 0, length: int | None = None) -> object:
        asked.append((key, start, length))
        return whole(self, key, start, length)

    monkeypatch.setattr(S3Store, "open_range", noting)
    rebuilt(home, address, config, "cloud")
    read_whole = {key for key, _, length in asked if length is None and not key.endswith(".jpg")}
    assert len(read_whole) == 1, "the original, which has no words of its own"


def test_a_rebuild_that_was_stopped_goes_on(
    archived: tuple[Home, str, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, address, config = archived
    before = facts(address)
    lose(address)
    left = [3]
    take: Callable[..., None] = adopting.add_recording

    def stopping(conn: Connection, *rest: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        take(conn, *rest)

    with monkeypatch.context() as stopped:
        stopped.setattr(adopting, "add_recording", stopping)
        with pytest.raises(KeyboardInterrupt):
            rebuilt(home, address, config, "nas")
    monkeypatch.setattr(rebuilding, "PAGE", 2)  # of parts of one recording on two pages, too
    dry, _ = rebuilt(home, address, config, "nas", dry_run=True)
    on, _ = rebuilt(home, address, config, "nas")
    assert (on.known, on.recordings, on.foreign) == (2, 2, 0)
    assert (dry.recordings, dry.copies, dry.foreign) == (on.recordings, on.copies, on.foreign)
    rebuilt(home, address, config, "cloud")
    same(facts(address), before)


def test_what_is_not_ours_is_told_and_left(archived: tuple[Home, str, Config], tmp_path: Path) -> None:
    home, address, config = archived
    nas = tmp_path / "nas"
    (rendition,) = [path for path in nas.rglob("*.mp4") if "/gate/" in str(path) and "T010000Z" in path.name]
    stranger = rendition.parent / rendition.name.replace("T010000Z", "T010001Z")
    stranger.write_bytes(rendition.read_bytes())
    (nas / "holiday.mp4").write_bytes(b"beach")
    gone = nas / "kiosk" / "till" / "2026" / "01" / "31" / rendition.name
    gone.parent.mkdir(parents=True)
    gone.write_bytes(rendition.read_bytes())
    lose(address)
    found, said = rebuilt(home, address, config, "nas")
    assert (found.recordings, found.foreign) == (4, 3)
    text = "\n".join(said)
    for words in ("another recording than its key", "none of ours", "a site kiosk that sites.yaml does not have"):
        assert words in text
    assert stranger.exists()
    assert gone.exists()


def test_the_repaired_object_counts_not_the_damaged_one_beside_it(
    archived: tuple[Home, str, Config], tmp_path: Path
) -> None:
    home, address, config = archived
    (rendition,) = [path for path in (tmp_path / "nas" / "ho" / "gate").rglob("*.mp4") if "T010000Z" in path.name]
    good = rendition.read_bytes()
    rendition.with_name(rendition.name.replace(".mp4", ".r1.mp4")).write_bytes(good)
    rendition.chmod(0o644)
    rendition.write_bytes(bytes([*good[:-9], good[-9] ^ 1, *good[-8:]]))
    lose(address)
    found, _ = rebuilt(home, address, config, "nas")
    assert (found.recordings, found.foreign) == (4, 1)
    with opened(address) as conn:
        assert ask(conn, "SELECT count(*) FROM copy WHERE right(key, 7) = '.r1.mp4'") == [(1,)]


def test_the_command_and_a_store_that_is_empty(
    archived: tuple[Home, str, Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, address, config = archived
    lose(address)
    assert main(["rebuild", "--store", "nas", "--dry-run"]) == 0
    assert "4 recordings would come back" in capsys.readouterr().out
    assert main(["rebuild", "--store", "nas", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["recordings"], told["copies"], told["dry_run"]) == (4, 8, False)
    assert main(["rebuild", "--store", "naas"]) == 1
    (tmp_path / "empty").mkdir()
    empty = replace(config.stores[0], name="empty", url=f"file://{tmp_path}/empty")
    with opened(address) as conn, pytest.raises(StoreError, match="holds nothing"):
        rebuild(conn, config, empty, home, RUN, dry_run=False, report=print)
