"""Monitoring against a real catalogue and a real store: who gets the figures, what they say, what probes are told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from viewer import figures, visitor
from viewer.database import Pool
from viewer.gate import Gate
from viewer.security import Guard
from viewer_world import Clip, World, build, owner
from vms.catalogue import alerts, users
from vms.catalogue.places import keep_site
from vms.config import load_config
from vms.home import Home, Parts

Figures = dict[tuple[str, ...], float]


@pytest.fixture
def world(catalogue: tuple[Home, str], viewer_clip: Clip) -> World:
    return build(catalogue[0], viewer_clip)


@pytest.fixture
def client(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Somebody who has not signed in."""
    monkeypatch.setattr(figures, "FRESH_S", 0.0)
    monkeypatch.setattr(figures, "READY_FRESH_S", 0.0)
    monkeypatch.setattr(figures, "FULL_PATIENCE_S", 60.0)  # a machine may be busy
    pool = Pool(world.home)
    app = Starlette(
        routes=figures.routes(world.home, pool),
        middleware=[
            Middleware(Guard, only_tls=True),
            Middleware(Gate, sessions=visitor.of(pool), port=world.home.viewer_port),
        ],
    )
    with TestClient(app, base_url="https://127.0.0.1:5000", follow_redirects=False) as made:
        yield made
    pool.close()


def with_token(home: Home) -> dict[str, str]:
    return {"Authorization": f"Bearer {home.secret(figures.TOKEN)}"}


def ask(client: TestClient, world: World) -> Figures:
    answer = client.get("/metrics", headers=with_token(world.home))
    assert answer.status_code == 200, answer.text
    samples = [one for family in text_string_to_metric_families(answer.text) for one in family.samples]
    return {(one.name, *(one.labels[label] for label in figures.NAMES[one.name][1])): one.value for one in samples}


def test_the_figures_are_for_who_has_the_token(client: TestClient, world: World) -> None:
    assert (world.home.secrets / figures.TOKEN).exists(), "before anybody has asked"
    assert client.get("/metrics").status_code == 401
    secret = world.home.secret(figures.TOKEN)
    for given in ("Bearer", "Bearer wrong", f"Basic {secret}", secret, f"Bearer {secret}x"):
        refused = client.get("/metrics", headers={"Authorization": given})
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert "vms_" not in refused.text
    assert client.get("/metrics", params={"token": secret}).status_code == 401
    plain = client.get("http://127.0.0.1:5000/metrics", headers=with_token(world.home))
    assert plain.status_code == 403, "a token does not cross the network bare"
    assert client.get("/metrics", headers=with_token(world.home)).status_code == 200


def test_the_figures_are_those_of_the_catalogue(client: TestClient, world: World) -> None:
    found = ask(client, world)
    assert found["vms_catalogue_up",] == 1
    assert found["vms_site_recordings", "ho", "archived"] == 4
    assert found["vms_site_backlog_files", "ho"] == found["vms_site_quarantined_files", "ho"] == 1
    assert found["vms_site_backlog_files", "makassar"] == 0
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT source_bytes FROM recording WHERE custody = 0")
        ((waiting,),) = cursor.fetchall()
        cursor.execute("SELECT sum(size_bytes) FROM copy")
        ((stored,),) = cursor.fetchall()
        cursor.execute("SELECT count(*) FROM copy WHERE part = 0")
        ((copies,),) = cursor.fetchall()
    assert found["vms_site_backlog_bytes", "ho"] == waiting > 0
    assert found["vms_site_backlog_oldest_seconds", "ho"] > 86_400
    assert found["vms_store_bytes", "nas"] == stored > 0
    assert found["vms_store_copies", "nas"] == copies
    assert found["vms_store_free_bytes", "nas"] == pytest.approx(shutil.disk_usage(world.nas).free, rel=0.2)
    assert found["vms_site_cameras", "ho"] == 2
    assert found["vms_site_proven_minutes", "ho", "yesterday"] == 0
    assert found["vms_site_expected_minutes", "ho", "yesterday"] == 2 * 1440
    assert {key[2] for key in found if key[:2] == ("vms_site_stage_seconds", "ho")} == {"wait", "compress", "store"}
    assert found["vms_site_period_seconds", "ho"] == 600
    assert found["vms_backup_period_seconds",] == 86_400
    untold = figures.NAMES.keys() - {key[0] for key in found}
    of_services = {"vms_service_up", "vms_service_restarts"}
    not_yet = {"vms_alerts_open", "vms_alerts_looked_age_seconds", "vms_store_broken_copies"}
    assert untold == of_services | not_yet, "that no backup was ever made grows old, too"


def test_footage_of_today_stores_that_are_out_and_missing_copies_are_told(client: TestClient, world: World) -> None:
    now = datetime.now(UTC)
    with closing(owner(world.home)) as conn, conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO camera_day (camera_id, day, archived, released, purged, secs, bytes_in, bytes_out)"
            " SELECT c.camera_id, (now() AT TIME ZONE s.tz)::date - ago, 1, 0, 0, 600 * (1 + ago), 1, 1"
            " FROM camera c JOIN site s USING (site_id), generate_series(0, 2) ago WHERE s.slug = 'ho'"
        )
        cursor.execute(
            "UPDATE store_state SET state = 'unreachable', since = %s"
            " WHERE site_id = (SELECT site_id FROM site WHERE slug = 'ho')",
            (now - timedelta(hours=2),),
        )
        cursor.execute(
            "INSERT INTO copy_wanted (site_id, store_id, recording_id, start_at, since)"
            " SELECT r.site_id, store_id, recording_id, start_at, now() FROM recording r, store WHERE custody = 1"
        )
    found = ask(client, world)
    assert found["vms_site_proven_minutes", "ho", "today"] == 20
    assert found["vms_site_proven_minutes", "ho", "yesterday"] == 40
    assert found["vms_store_out_seconds", "ho", "nas"] == pytest.approx(7200, abs=600)
    assert found["vms_store_missing_copies", "ho", "nas"] == 4
    assert found["vms_store_missing_copies", "makassar", "nas"] == 1


def test_only_the_hours_in_which_a_camera_should_record_are_missed(client: TestClient, world: World) -> None:
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute(
            "UPDATE camera SET schedule = '07:00-19:00' WHERE camera_id = (SELECT min(camera_id) FROM camera)"
        )
        cursor.execute("SELECT s.slug FROM camera JOIN site s USING (site_id) ORDER BY camera_id LIMIT 1")
        ((site,),) = cursor.fetchall()
        conn.commit()
    found = ask(client, world)
    cameras = found["vms_site_cameras", site]
    assert found["vms_site_expected_minutes", site, "yesterday"] == (cameras - 1) * 1440 + 720
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO gap_note (camera_id, from_at, to_at, note, who, made_at)"
            " SELECT min(camera_id), now() - interval '9 days', '2100-01-01', 'taken down', 'Ani', now() FROM camera"
        )
        conn.commit()
    found = ask(client, world)
    assert found["vms_site_expected_minutes", site, "yesterday"] == (cameras - 1) * 1440


def test_a_site_that_was_never_looked_at_grows_old_and_how_often_is_told(client: TestClient, world: World) -> None:
    known = yaml.safe_load(world.home.sites_file.read_text())
    world.home.sites_file.write_text(yaml.safe_dump(known | {"backup": {"every": "2d"}}))
    new = replace(load_config(world.home.sites_file).site("ho"), id="makassar", every=timedelta(hours=2))
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        with conn:
            cursor.execute("UPDATE site SET last_sensed = NULL WHERE slug = 'makassar' RETURNING site_id")
            keep_site(cursor, new)
        assert ("vms_site_sensed_age_seconds", "makassar") not in ask(client, world), "nobody waits for it yet"
        alerts.keep_awaited(conn, [new], ["makassar"], datetime.now(UTC) - timedelta(hours=3))
        made_at = datetime.now(UTC) - timedelta(days=1)
        users.add_user(conn, "sari", "viewer", "", "test", made_at)
        assert alerts.looked_at(conn) == made_at, "no task ever ran, and that is told"
        alerts.note_done(conn, "look", datetime.now(UTC) - timedelta(hours=1))
    found = ask(client, world)
    assert found["vms_alerts_looked_age_seconds",] == pytest.approx(3600, abs=600)
    assert found["vms_site_sensed_age_seconds", "makassar"] == pytest.approx(10_800, abs=600)
    assert found["vms_site_period_seconds", "makassar"] == 7200
    assert found["vms_backup_period_seconds",] == 2 * 86_400


def test_nobody_is_late_with_a_site_that_is_not_in_use(client: TestClient, world: World) -> None:
    with closing(owner(world.home)) as conn, conn, conn.cursor() as cursor:
        cursor.execute("UPDATE site SET last_sensed = now() - interval '9 days'")
    sites = world.home.sites_file.read_text()
    known = yaml.safe_load(sites)

    def told(what: str) -> set[str]:
        """The sites of which it is told. what: makes another sites.yaml."""
        world.home.sites_file.write_text(what)
        stamp = next(stamps)
        os.utime(world.home.sites_file, (stamp, stamp))
        return {key[1] for key in ask(client, world) if key[0] == "vms_site_sensed_age_seconds"}

    stamps = iter(range(1_900_000_000, 1_900_000_009))
    assert told(sites) == {"ho", "makassar"}
    resting = [one | {"enabled": False} if one["id"] == "makassar" else one for one in known["sites"]]
    assert told(yaml.safe_dump(known | {"sites": resting})) == {"ho"}
    assert told(yaml.safe_dump(known | {"sites": [one for one in resting if one["id"] == "ho"]})) == {"ho"}
    wrong = [one | {"time_zone": "WIBB"} for one in known["sites"]]
    assert told(yaml.safe_dump(known | {"sites": wrong})) == {"ho", "makassar"}, "a mistake hides nothing"
    assert told("sites: [") == {"ho", "makassar"}


def test_in_containers_the_parts_are_told_of(world: World) -> None:
    pool = Pool(world.home)
    parts = Parts("http://127.0.0.1:9", "", "", "", viewer_inside="http://127.0.0.1:9")
    text = figures.Figures(replace(world.home, parts=parts), pool).text().decode()
    pool.close()
    up = {line.split('"')[1]: line.split()[-1] for line in text.splitlines() if line.startswith("vms_service_up{")}
    assert up.pop("postgres") == "1.0"
    parts_of_airflow = ("api-server", "scheduler", "dag-processor", "triggerer")
    assert up == dict.fromkeys((*parts_of_airflow, "viewer", "exports"), "0.0")
    assert "vms_service_restarts{" not in text


def test_a_store_whose_mount_is_missing_has_no_free_space(client: TestClient, world: World) -> None:
    world.nas.rename(world.nas.with_name("unplugged"))
    world.nas.mkdir()
    assert ("vms_store_free_bytes", "nas") not in ask(client, world)


def test_probes_are_told_whether_it_runs_and_whether_it_serves(
    client: TestClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scheme in ("https", "http"):
        assert client.get(f"{scheme}://127.0.0.1:5000/healthz").status_code == 200
        assert client.get(f"{scheme}://127.0.0.1:5000/readyz").status_code == 200
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute("ALTER TABLE site RENAME TO not_there")
    try:
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        found = ask(client, world)
        assert found["vms_catalogue_up",] == 0
        assert found["vms_disk_free_bytes",] > 0
        assert not [key for key in found if key[0].startswith("vms_site")]
    finally:
        with closing(owner(world.home)) as conn, conn.cursor() as cursor:
            cursor.execute("ALTER TABLE not_there RENAME TO site")
    assert client.get("/readyz").status_code == 200
    monkeypatch.setattr(figures, "FRESH_S", 3600.0)
    before = ask(client, world)
    world.nas.rename(world.nas.with_name("gone"))
    assert ask(client, world) == before, "one answer serves everybody who asks within a while"
