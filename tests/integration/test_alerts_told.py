"""Alerts against a real catalogue and a stand-in that speaks Telegram's HTTP: beginning, end, digest, and failures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from pathlib import Path

import pytest
from apprise.plugins.telegram import NotifyTelegram

from catalogue_world import (
    NOW,
    START,
    a_run,
    a_site,
    ask,
    five_minute_files,
    opened,
    receipts_for,
    refused,
    seen,
    sensed,
)
from telegram_server import Telegram
from vms.alerts import round as rounds
from vms.alerts.round import Round, run_round
from vms.branches.authority import Issued
from vms.catalogue import branches
from vms.catalogue.alerts import list_alerts, looked_at, one_round, unsent, waiting_messages
from vms.catalogue.connection import Connection, connect
from vms.catalogue.custody import record_receipts
from vms.catalogue.planning import plan_run
from vms.catalogue.reads_sites import site_overviews
from vms.cli.app import main
from vms.cli.status import as_object, look
from vms.config import Config, Profile, Site
from vms.config_alerts import AlertPolicy, AlertTarget, Maintenance
from vms.errors import CatalogueError, ConfigError
from vms.home import Home
from vms.stores.connections import keep_in_file

TOKEN = "123456789:AAexampleexampleexampleexampleexampl"
POLICY = AlertPolicy(
    targets=(AlertTarget("operations", "alerts_telegram"),), digest=None, free_space=0, full_within=timedelta(days=1)
)


@pytest.fixture
def telegram(monkeypatch: pytest.MonkeyPatch) -> Iterator[Telegram]:
    server = Telegram()
    monkeypatch.setattr(NotifyTelegram, "notify_url", server.url)
    monkeypatch.setattr(NotifyTelegram, "request_rate_per_sec", 0)
    yield server
    server.stop()


@dataclass
class World:
    """One site with a camera, five-minute files and nothing wrong."""

    conn: Connection
    url: str
    home: Home
    site: Site

    def look(self, at: datetime, *files: object) -> None:
        plan = plan_run(
            self.conn,
            self.site,
            sensed(*files, at=at),
            a_run(int(at.timestamp())),
            at,  # type: ignore[arg-type]
        )
        for batch in plan.batches:
            record_receipts(self.conn, batch, receipts_for(batch), a_run(), at, None)

    def round(self, at: datetime, policy: AlertPolicy = POLICY) -> Round:
        config = Config("", (self.site,), self.site.stores, (Profile("av1", "av1", "8", 35, 2.0, "yuv420p"),), (), ())
        return run_round(self.conn, self.home, replace(config, alerts=policy), at, lambda _: None)


@pytest.fixture
def world(catalogue: tuple[Home, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    home, url = catalogue
    monkeypatch.setenv("VMS_HOME", str(home.root))
    keep_in_file(home, "alerts_telegram", {"conn_type": "apprise", "password": f"tgram://{TOKEN}/-100123"})
    with opened(url) as conn:
        made = World(conn, url, home, a_site(footage=tmp_path / "footage"))
        made.look(NOW, *five_minute_files(24, start=NOW - timedelta(hours=2)))
        yield made


def minutes(count: int) -> datetime:
    return NOW + timedelta(minutes=count)


@pytest.mark.usefixtures("telegram")
def test_a_camera_that_was_taken_down_is_told_of_no_more(world: World) -> None:
    for count in range(15, 121, 15):
        world.look(minutes(count))
    assert world.round(minutes(92)).open == 1
    assert main(["coverage", "note", "ho", "lobby", "taken down", "--from", "2026-02-01", "--to", "2099-12-31"]) == 0
    world.round(minutes(95))
    assert world.round(minutes(120)).open == 0
    world.look(NOW + timedelta(days=40))
    assert world.round(NOW + timedelta(days=40, minutes=1)).open == 0


def test_one_message_when_it_begins_one_when_it_ends_whatever_restarts(world: World, telegram: Telegram) -> None:
    for count in range(15, 91, 15):
        world.look(minutes(count))
    assert world.round(minutes(91), replace(POLICY, camera_silent=500)).open == 0
    assert world.round(minutes(92)).sent == 1
    (text,) = telegram.texts
    assert "ho: camera Lobby has sent nothing since 2026-02-01 10:00 WIB" in text
    for count in (97, 102):
        world.look(minutes(count))
        assert world.round(minutes(count)) == Round(1, 0, 0, {})
    late = [seen(f"lobby/late{number}.mp4", start=minutes(5 * number)) for number in range(20)]
    world.look(minutes(111), *late)
    assert world.round(minutes(112)).sent == 1
    assert "camera Lobby sends footage again" in telegram.texts[1]
    assert [row.closed_at for row in list_alerts(world.conn, NOW)] == [minutes(112)]


def test_a_site_that_is_away_is_one_alert_and_says_nothing_of_its_cameras(world: World, telegram: Telegram) -> None:
    world.round(minutes(31))
    assert looked_at(world.conn) == minutes(31)
    assert [row.kind for row in list_alerts(world.conn)] == ["site_unreachable"]
    assert len(telegram.texts) == 1
    assert "ho: the footage folder was last seen at" in telegram.texts[0]


def test_a_site_that_was_never_looked_at_is_told_of_from_the_first_round_that_knew_it(
    world: World, telegram: Telegram
) -> None:
    def awaited() -> dict[str, datetime | None]:
        return {one.site: one.awaited_since for one in site_overviews(world.conn)}

    looked_at, world.site = world.site, replace(world.site, id="mks", name="Makassar")
    assert world.round(minutes(1)).open == 0, "it is new"
    assert awaited() == {"ho": None, "mks": minutes(1)}
    assert world.round(minutes(31)).open == 0
    right = {"name": "Makassar Port", "time_zone": "Asia/Makassar", "every": timedelta(hours=1)}
    world.site = replace(world.site, **right)
    world.round(minutes(31))
    (row,) = (one for one in site_overviews(world.conn) if one.site == "mks")
    assert (row.name, row.time_zone, row.every_s) == ("Makassar Port", "Asia/Makassar", 3600), "as it was corrected"
    world.site = replace(looked_at, id="mks", name="Makassar")
    world.site = replace(world.site, enabled=False)
    world.round(minutes(32))
    assert awaited()["mks"] is None, "nobody waits for it"
    world.site = replace(world.site, enabled=True)
    assert world.round(minutes(33)).open == 0
    assert world.round(minutes(64)).sent == 1
    assert world.round(minutes(69)).sent == 0
    assert (
        "mks: the footage folder was never looked at, which has been waited for since 2026-02-01 10:33 WIB"
        in (telegram.texts[0])
    )
    world.look(minutes(70))
    assert world.round(minutes(79)).sent == 1
    assert "mks: the footage folder is looked at now." in telegram.texts[1]
    assert awaited() == {"ho": None, "mks": None}
    assert [row.kind for row in list_alerts(world.conn)] == []
    world.site = looked_at


def test_alerts_of_a_site_that_is_switched_off_end_without_a_word(world: World, telegram: Telegram) -> None:
    world.round(minutes(31))
    world.site = replace(world.site, enabled=False)
    assert world.round(minutes(45)) == Round(0, 0, 0, {})
    assert len(telegram.texts) == 1


def test_many_quarantined_files_are_one_message(world: World, telegram: Telegram) -> None:
    files = [refused(f"lobby/bad{number}.mp4", start=START + timedelta(seconds=number)) for number in range(9)]
    world.look(minutes(1), *files)
    policy = replace(POLICY, camera_silent=500, language="id")
    world.round(minutes(2), policy)
    world.round(minutes(7), policy)
    (text,) = telegram.texts
    assert "ho: 9 berkas tidak dapat diarsipkan" in text


def test_what_could_not_be_sent_is_shown_tried_later_and_sent_once(world: World, telegram: Telegram) -> None:
    telegram.status = 401
    failed = world.round(minutes(31))
    assert "401" in failed.errors["operations"]
    assert TOKEN not in failed.errors["operations"]
    (line,) = unsent(waiting_messages(world.conn))
    assert line.startswith("1 alerts to operations not sent since 2026-02-01 03:31 UTC")
    telegram.status = 200
    assert world.round(minutes(33)).errors  # not due yet, and still red
    assert telegram.texts == []
    assert world.round(minutes(36)) == Round(1, 1, 0, {})
    assert world.round(minutes(41)).sent == 0
    assert len(telegram.texts) == 1


def test_killed_between_sending_and_noting_it_comes_again_and_is_no_second_alert(
    world: World, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr(rounds.kept, "note_sent", kill)
        with pytest.raises(Killed):
            world.round(minutes(31))
    with closing(connect(world.url)) as conn:
        again = replace(world, conn=conn)
        assert again.round(minutes(36)).sent == 1
        assert again.round(minutes(41)).sent == 0
        assert len(list_alerts(conn, NOW)) == 1
    assert len(telegram.texts) == 2


def test_quiet_hours_hold_back_and_the_sum_comes_after(world: World, telegram: Telegram) -> None:
    policy = replace(POLICY, quiet_hours="10:00-12:00", camera_silent=500)  # NOW is 10:00 there
    assert world.round(minutes(31), policy) == Round(1, 0, 1, {})
    world.look(minutes(40))
    assert world.round(minutes(41), policy) == Round(0, 0, 2, {})
    assert telegram.texts == []
    world.look(minutes(119))
    assert world.round(minutes(121), policy).sent == 2
    (text,) = telegram.texts
    assert "2 messages" in text
    assert "was last seen at" in text
    assert "is back" in text


def test_maintenance_keeps_an_alert_from_beginning_and_from_ending(world: World, telegram: Telegram) -> None:
    window = Maintenance("ho", datetime(2026, 2, 1, 10, 0), datetime(2026, 2, 1, 11, 0))  # noqa: DTZ001 (site's clock)
    assert world.round(minutes(31), replace(POLICY, maintenance=(window,))).open == 0
    assert world.round(minutes(32)).open == 1
    assert world.round(minutes(59), replace(POLICY, maintenance=(window,))).open == 1
    assert len(telegram.texts) == 1


def test_the_digest_comes_once_a_day_with_a_picture(world: World, telegram: Telegram) -> None:
    policy = replace(POLICY, digest=time(10, 30), camera_silent=500)
    earlier = [seen(f"lobby/a{number}.mp4", start=START + number * timedelta(minutes=5)) for number in range(24)]
    world.look(minutes(25), *earlier)
    assert world.round(minutes(29), policy).sent == 0
    assert world.round(minutes(31), policy).sent == 1
    assert world.round(minutes(36), policy).sent == 0
    (picture,) = telegram.pictures
    assert b"\x89PNG" in picture
    assert b"ho, 2026-01-31" in picture
    assert b"lobby: 12.5%" in picture  # two of the sixteen hours since its first footage


def test_an_overdue_backup_is_told_once_and_so_is_its_end(
    world: World, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = replace(POLICY, camera_silent=500, language="id")
    made = [NOW - timedelta(days=2)]
    monkeypatch.setattr(rounds, "not_backed_up_since", lambda _home: made[0])
    assert world.round(minutes(0), policy).open == 0
    for count in (1, 6, 11):
        world.look(minutes(count))
        assert world.round(minutes(count), policy).open == 1
    made[0] = minutes(12)
    for count in (12, 21, 26):
        world.look(minutes(count))
        world.round(minutes(count), policy)
    begun, over = telegram.texts
    assert "Katalog belum dicadangkan sejak 2026-01-30 10:00 WIB" in begun
    assert "Katalog sudah dicadangkan lagi." in over


def test_two_rounds_at_once_and_a_broken_section_are_refused(world: World) -> None:
    with closing(connect(world.url)) as other, one_round(other), pytest.raises(CatalogueError, match="another run"):
        world.round(NOW)
    with pytest.raises(ConfigError):
        world.round(NOW, AlertPolicy(wrong=True))


def test_the_command_line_tries_targets_lists_and_shows_what_was_not_sent(
    world: World,
    telegram: Telegram,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    path = tmp_path / "sites.yaml"
    path.write_text(
        "alerts:\n  language: id\n  targets:\n    operations: alerts_telegram\nstores:\n  nas:\n    url: file:///nas\n"
        f"sites:\n- {{id: ho, time_zone: WIB, footage: {tmp_path}/footage}}\n"
    )
    monkeypatch.setenv("VMS_SITES", str(path))
    assert main(["alerts", "test"]) == 0
    assert "Uji coba" in telegram.texts[0]
    assert "sent to operations" in capsys.readouterr().out
    telegram.status = 500
    assert main(["alerts", "test"]) == 1
    assert main(["alerts", "test", "nobody"]) == 1
    assert main(["alerts", "check"]) == 1
    capsys.readouterr()
    assert main(["alerts", "check", "--json"]) == 1
    done = json.loads(capsys.readouterr().out)
    assert done["open"] == 1
    assert "500" in done["errors"]["operations"]
    assert main(["alerts", "list"]) == 0
    listed = capsys.readouterr().out
    assert "ho: the footage folder was last seen at" in listed
    assert "to operations not sent since" in listed
    assert main(["alerts", "list", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "site_unreachable" in {row["kind"] for row in rows}
    seen_now = look(replace(world.home, postgres_url="set", sites_file=path))
    assert "not sent since" in as_object(seen_now)["alerts_not_sent"][0]
    assert TOKEN not in listed + str(as_object(seen_now))


def test_a_bot_server_of_ones_own_takes_the_messages(
    world: World, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NotifyTelegram, "notify_url", "http://127.0.0.1:9/bot")  # Telegram's own is out of reach
    address = {"conn_type": "apprise", "password": f"tgram://{TOKEN}/-100123"}
    api = telegram.url.removesuffix("/bot")
    keep_in_file(world.home, "alerts_telegram", address | {"extra": {"telegram_api": f"{api}/"}})
    assert world.round(minutes(31)) == Round(1, 1, 0, {})
    assert len(telegram.texts) == 1
    keep_in_file(world.home, "alerts_telegram", address | {"extra": {"telegram_api": "here"}})
    assert "no address" in world.round(minutes(42), replace(POLICY, language="id", targets=POLICY.targets)).errors.get(
        "operations", "no address"
    )


def test_the_viewer_may_read_alerts_and_not_write_them(world: World) -> None:
    found = ask(world.conn, "SELECT privilege_type FROM information_schema.role_table_grants"
                " WHERE grantee = 'vms_viewer' AND table_name = 'alert'")  # fmt: skip
    assert found == [("SELECT",)]


def test_a_branch_that_does_not_renew_its_certificate_is_told_of(world: World, telegram: Telegram) -> None:
    def told(at: datetime) -> set[tuple[str, bool]]:
        world.round(at)
        return {(one.subject, one.closed_at is None) for one in list_alerts(world.conn) if one.kind == "expiring"}

    def issued(serial: str, until: datetime) -> Issued:
        return Issued("", serial, until)

    who = branches.Asker("192.0.2.7", "nvr", "1", bytes(32))
    branches.invite(world.conn, "ho", bytes(32), NOW + timedelta(days=1), "ani", NOW)
    branches.join(world.conn, "ho", bytes(32), who, lambda: issued("a", NOW + timedelta(days=30)), NOW)
    assert told(NOW) == set()
    assert told(NOW + timedelta(days=10)) == {("branch ho", True)}
    assert told(NOW + timedelta(days=40)) == {("branch ho", True)}, "it is over, and nobody has looked after it"
    branches.invite(world.conn, "ho", bytes(32), NOW + timedelta(days=41), "ani", NOW + timedelta(days=40))
    later = NOW + timedelta(days=41)
    branches.join(world.conn, "ho", bytes(32), who, lambda: issued("b", later + timedelta(days=90)), later)
    assert told(NOW + timedelta(days=42)) == set()
    said = [one for one in telegram.texts if "branch ho" in one]
    assert "certificate of the branch ho is valid until" in said[0]
    assert "does not end soon any more" in said[-1]
