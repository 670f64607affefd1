"""A person sees what was granted, whatever is asked: held by the database, not by each query's conditions."""

from __future__ import annotations

import ast
import inspect
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from streamlit.testing.v1 import AppTest

from media_world import gated
from shown_page import html
from viewer import database, media, query, tokens, visitor
from viewer.database import Pool
from viewer_world import NOW, SignedIn, World, owner, sign_in
from vms.catalogue import alerts, coverage, holds, migrate, reads, reads_sites, users
from vms.catalogue.connection import Connection
from vms.catalogue.rows import RecordingFilter
from vms.stack.postgres import role_url

SCRIPT = Path(__file__).resolve().parents[2] / "viewer" / "entry" / "script.py"
VIEWER = SCRIPT.parents[1]
OPEN_TO_ALL = {
    "store": "names and addresses of stores, which links are made from",
    "alembic_version": "the schema's version",
    "alert_round": "when something was last done",
    "viewer_user": "read to sign in, never shown",
    "viewer_session": "read to sign in, never shown",
    "viewer_grant": "read to sign in, never shown",
    "viewer_identity": "read to sign in, never shown",
    "sign_in_try": "read to sign in, never shown",
}


def _as(world: World, person: SignedIn) -> str:
    """The scope of this person."""
    found = visitor.of(database.pool(world.home)).find(bytes.fromhex(person.session))
    assert found
    return found.scope


def _seen(world: World, scope: str) -> set[tuple[str, str]]:
    with database.pool(world.home).connection(scope) as conn:
        return {(row.site, row.camera) for row in reads.find_recordings(conn, RecordingFilter())}


@pytest.mark.parametrize(
    ("sees", "cameras"),
    [
        (None, {("ho", "lobby"), ("ho", "gate"), ("makassar", "cashier")}),
        ([("makassar", "")], {("makassar", "cashier")}),
        ([("ho", "lobby")], {("ho", "lobby")}),
        ([("ho", "lobby"), ("makassar", "")], {("ho", "lobby"), ("makassar", "cashier")}),
        ([], set()),
    ],
)
def test_every_question_shows_only_what_was_granted(
    world: World, sees: list[tuple[str, str]] | None, cameras: set[tuple[str, str]]
) -> None:
    with closing(owner(world.home)) as conn:
        now = datetime.now(UTC)
        holds.add_hold(conn, [("ho", "")], NOW - timedelta(days=2), NOW, "all of ho", "test", now)
        holds.add_hold(conn, [("makassar", "cashier")], NOW - timedelta(days=2), NOW, "cashier", "test", now)
        found = [("camera_silent", "ho", "lobby", {}), ("camera_silent", "makassar", "cashier", {})]
        alerts.keep_alerts(conn, [*found, ("free_space", "", "/", {})], [], ["ho", "makassar"], ["chat"], now)
    sites = {site for site, _ in cameras}
    scope = _as(world, sign_in(world.home, "budi", "viewer", sees))
    assert _seen(world, scope) == cameras
    all_rows = world.rows()
    with database.pool(world.home).connection(scope) as conn:
        listed = {(site.id, camera.id) for site in reads_sites.list_sites(conn) for camera in site.cameras}
        assert listed == cameras
        assert reads_sites.wholly_granted(conn) == {site for site, camera in sees or () if not camera}
        assert {one.site for one in reads_sites.site_overviews(conn)} == sites
        assert {
            (d.site, d.camera) for d in reads_sites.camera_days(conn, (), date(2026, 1, 1), date(2026, 2, 2))
        } <= cameras
        facts = coverage.load_facts(
            conn, date(2026, 1, 30), date(2026, 2, 1), cameras=[(r.site, r.camera) for r in all_rows]
        )
        assert {(one.site, one.camera) for one in facts} == cameras
        kept = coverage.kept_footage(conn, NOW - timedelta(days=3), NOW, sorted(sites))
        assert {(site, camera) for site, some in kept.items() for camera in some} <= cameras
        total = sum((row.site, row.camera) in cameras for row in all_rows)
        assert reads.count_recordings(conn, RecordingFilter()).count == total
        for row in all_rows:
            allowed = (row.site, row.camera) in cameras
            assert (reads.get_recording(conn, row.id, row.start_utc) is not None) == allowed
            assert bool(reads.lineage_of(conn, row.id, row.start_utc)) == allowed
            assert bool(reads.locate(conn, row.id, row.start_utc, "rendition")) == (allowed and bool(row.copies))
        assert {one.reason for one in holds.list_holds(conn)} == {
            reason for reason, site in (("all of ho", "ho"), ("cashier", "makassar")) if site in sites
        }
        assert {one.site for one in alerts.list_alerts(conn)} == sites | ({""} if sees is None else set())
        assert len(alerts.waiting_messages(conn)) == len(sites) + (sees is None)


def test_no_table_is_open_by_mistake(world: World) -> None:
    """A new table is closed until somebody decides who sees it."""
    migrate.upgrade(role_url(world.home, "vms_owner", "catalogue"))  # as at each start: now there are partitions
    with closing(owner(world.home)) as conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT relname, relrowsecurity OR NOT has_table_privilege('vms_viewer', oid, 'SELECT') FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
        )
        assert {name for name, closed in cursor.fetchall() if not closed} == set(OPEN_TO_ALL)
    pool = Pool(world.home)
    with pool.connection("") as conn, conn.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relrowsecurity AND has_table_privilege(oid, 'SELECT')")
        for (name,) in cursor.fetchall():
            cursor.execute(f"SELECT count(*) FROM {name}")  # noqa: S608  # names of our tables
            assert cursor.fetchone() == (0,), f"{name} shows something to nobody"
    past_its_parent = pytest.raises(psycopg2.errors.InsufficientPrivilege)
    with pool.connection("*") as conn, conn.cursor() as cursor, past_its_parent:
        cursor.execute("SELECT * FROM recording_2026_01")
    pool.close()


def test_a_connection_forgets_for_whom_it_asked(world: World) -> None:
    pool = Pool(world.home, most=1)
    scope = _as(world, sign_in(world.home, "budi", "viewer", [("ho", "lobby")]))

    def many(conn: Connection) -> int:
        return reads.count_recordings(conn, RecordingFilter()).count

    with pool.connection("*") as conn:
        everything = many(conn)
    with pool.connection(scope) as conn:
        assert 0 < many(conn) < everything
    with pool.connection("") as conn:
        assert many(conn) == 0
    with pool.connection("*") as conn:
        assert many(conn) == everything
    for forged in ("1 OR 1=1", "'*'", "-1", "99999999999999999999", "* "):
        with pool.connection(forged) as conn:
            assert many(conn) == 0, forged
    pool.close()


def test_a_grant_taken_back_counts_at_once(world: World) -> None:
    budi = sign_in(world.home, "budi", "viewer", [("ho", ""), ("makassar", "")])
    before = _as(world, budi)
    assert _seen(world, before) == {("ho", "lobby"), ("ho", "gate"), ("makassar", "cashier")}
    with closing(owner(world.home)) as conn:
        users.revoke(conn, "budi", [("ho", "")], "test")
    assert visitor.of(database.pool(world.home)).find(bytes.fromhex(budi.session)) is None
    assert _seen(world, before) == {("makassar", "cashier")}
    with closing(owner(world.home)) as conn:
        users.grant(conn, "budi", [("ho", "gate")], "test")
        from vms.catalogue import sessions

        (row,) = [one for one in users.list_users(conn) if one.name == "budi"]
        again = SignedIn("budi", sessions.begin_session(conn, row.user_id, ""))
    assert _as(world, again) != before, "what was cached for the old grants is not shown"


def test_a_link_to_what_is_not_granted_gives_nothing(world: World) -> None:
    """Even a link that is signed for this very session."""
    budi = sign_in(world.home, "budi", "investigator", [("makassar", "")])
    with gated(world, budi, media.routes) as client:
        for row in (one for one in world.rows() if one.copies):
            for part in ("rendition", "poster", "sprite"):
                link, _ = tokens.issue(world.home, budi.mark, row.id, row.start_utc, part)  # type: ignore[arg-type]
                assert client.get(link).status_code == (200 if row.site == "makassar" else 404)


def _run(**params: str) -> AppTest:
    app = AppTest.from_file(str(SCRIPT), default_timeout=120)
    for name, value in params.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def test_pages_show_what_was_granted_also_right_after_somebody_who_sees_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    budi = sign_in(world.home, "budi", "viewer", [("makassar", "")])
    sari = sign_in(world.home, "sari")
    lobby = next(row for row in world.rows() if row.camera == "lobby")
    opened = query.recording_text(lobby.id, lobby.start_utc)
    for person, total in ((sari, "5 recordings"), (budi, "1 recording<"), (sari, "5 recordings")):
        monkeypatch.setattr(visitor, "_session_of_request", lambda person=person: f"{person.session} ")
        assert total in html(_run(lang="en"))
        assert ("not in the catalogue" in html(_run(lang="en", recording=opened))) == (person is budi)
    assert "Nothing found" in html(_run(lang="en", site="ho", **{"from": "2026-01-31"})) or "1 recording" not in html(
        _run(lang="en", site="ho")
    )


def test_without_a_session_a_page_shows_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    for told in ("", f"{'00' * 32} 192.0.2.1"):
        monkeypatch.setattr(visitor, "_session_of_request", lambda told=told: told)
        assert "Please sign in" in html(_run(lang="en"))


def test_what_is_cached_is_cached_for_those_who_see_the_same() -> None:
    """Each cached function that asks the catalogue has the scope in its key, and asks with it."""
    found = 0
    for path in VIEWER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef) or not any(
                "cache_" in ast.unparse(one) for one in node.decorator_list
            ):
                continue
            body = ast.unparse(ast.Module(node.body, []))
            assert "visitor" not in body, f"{path.name}: {node.name} looks at who asks, which is not in its key"
            if "pool()" in body:
                found += 1
                assert node.args.args[0].arg == "scope", f"{path.name}: {node.name} caches for everybody"
                assert ".connection(scope)" in body, f"{path.name}: {node.name} asks for somebody else"
    assert found >= 6


def test_the_pool_does_not_work_without_saying_for_whom() -> None:
    parameters: Any = inspect.signature(Pool.connection).parameters
    assert parameters["scope"].default is inspect.Parameter.empty
