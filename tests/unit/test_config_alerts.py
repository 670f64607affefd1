"""The alerts section of sites.yaml: what it may say, and that a secret in it is refused and never repeated."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from vms.config import Config, load_config
from vms.config_alerts import AlertPolicy

SITES = "sites:\n- id: ho\n  time_zone: WIB\n  footage: /footage/ho\n"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def load(text: str) -> Config:
        monkeypatch.setenv("VMS_HOME", str(tmp_path))
        path = tmp_path / "sites.yaml"
        path.write_text(text + SITES)
        return load_config(path)

    return load


def test_all_keys_are_read(told) -> None:
    config = told(
        "defaults:\n  time_zone: WITA\nalerts:\n  targets:\n    operations:\n      conn_id: alerts_telegram\n"
        "    boss: mail\n  language: id\n  quiet_hours: 22:00-06:00\n  digest: 06:30\n  camera_silent: 4\n"
        "  backlog: 1d\n  free_space: 20GB\n  full_within: 10d\n  backup_age: 3d\n"
        "  maintenance:\n  - site: ho\n    from: 2026-11-24 08:00\n"
        "    to: 2026-11-24T12:00:00+07:00\n"
    )
    assert config.errors == ()
    alerts = config.alerts
    assert [(one.name, one.conn_id) for one in alerts.targets] == [("operations", "alerts_telegram"), ("boss", "mail")]
    assert (alerts.language, alerts.digest, alerts.camera_silent) == ("id", time(6, 30), 4)
    assert (alerts.backlog, alerts.free_space, alerts.time_zone) == (timedelta(days=1), 20 * 10**9, "Asia/Makassar")
    assert alerts.backup_age == timedelta(days=3)
    (window,) = alerts.maintenance
    zone = ZoneInfo("Asia/Jakarta")
    assert window.covers("ho", zone, datetime(2026, 11, 24, 1, 0, tzinfo=UTC))
    assert not window.covers("ho", zone, datetime(2026, 11, 24, 0, 59, tzinfo=UTC))
    assert not window.covers("ho", zone, datetime(2026, 11, 24, 5, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    "target",
    [
        "    ops: tgram://123:SECRET/1\n",
        "    ops:\n      conn_id: tgram://123:SECRET/1\n",
        "    ops:\n      url: tgram://123:SECRET/1\n",
    ],
)
def test_an_address_is_refused_with_the_right_way_and_never_repeated(told, target: str) -> None:
    config = told(f"alerts:\n  targets:\n{target}")
    (error,) = config.errors
    assert error.id == ""
    assert "connections.json" in error.message
    assert "SECRET" not in error.message
    assert config.alerts.wrong
    assert [site.id for site in config.sites] == ["ho"]


@pytest.mark.parametrize(
    ("line", "place", "words"),
    [
        ("  langage: id\n", ":2:3:", 'Did you mean "language"'),
        ("  language: fr\n", ":2:13:", "id, en"),
        ("  digest: 25:00\n", ":2:11:", "07:00"),
        ("  camera_silent: 1\n", ":2:18:", "2 to 500"),
        ("  quiet_hours: night\n", ":2:16:", "07:00-19:00"),
        ("  maintenance:\n  - {site: hq, from: 2026-01-01, to: 2026-01-02}\n", ":3:12:", "no site"),
        ("  maintenance:\n  - {site: ho, from: 2026-01-02, to: 2026-01-01}\n", ":3:", "later than from"),
        ("  targets: tgram://SECRET\n", ":2:12:", "found an address"),
    ],
)
def test_a_mistake_has_its_place(told, line: str, place: str, words: str) -> None:
    (error,) = told(f"alerts:\n{line}").errors
    assert place in error.message
    assert words in error.message
    assert "SECRET" not in error.message


def test_quiet_hours_reach_over_midnight() -> None:
    policy = AlertPolicy(quiet_hours="22:00-06:00")
    assert [policy.is_quiet(datetime(2026, 1, 1, hour, tzinfo=UTC)) for hour in (14, 15, 22, 23)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert not AlertPolicy().is_quiet(datetime(2026, 1, 1, 16, tzinfo=UTC))
