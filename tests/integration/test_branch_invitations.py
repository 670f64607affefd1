"""Branches in the catalogue and by the command line: invited, joined, renewed, shut out; each told in the log."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from catalogue_world import opened
from vms.branches.authority import Issued, authority
from vms.branches.invitation import read_token
from vms.catalogue import branches
from vms.catalogue.branches import Asker
from vms.catalogue.connection import Connection, fetch_all, url
from vms.cli import doctor_containers
from vms.cli.app import main
from vms.config import load_config
from vms.errors import BranchError
from vms.home import Home

NOW = datetime(2026, 2, 1, 3, tzinfo=UTC)
DAY = timedelta(days=1)
SITES = """
defaults: {{ stores: [nas], time_zone: WIB }}
stores: {{ nas: {{ url: "file://{0}/nas" }} }}
sites: [{{ id: jkt, footage: {0}/jkt, runs_on: edge }}, {{ id: mks, footage: {0}/mks }}]
"""


def token(word: str) -> bytes:
    return hashlib.sha256(word.encode()).digest()


def asker(key: str = "a", machine: str = "nvr-1") -> Asker:
    return Asker("192.0.2.7", machine, "1.2.3", token(key))


def issued(number: int, until: datetime = NOW + 90 * DAY) -> Issued:
    return Issued(f"certificate {number}", format(number, "x"), until)


def invited(conn: Connection, site: str = "jkt", word: str = "secret") -> None:
    branches.invite(conn, site, token(word), NOW + DAY, "ani", NOW)


def log(conn: Connection) -> list[tuple[Any, ...]]:
    return fetch_all(conn, "SELECT who, action, detail, address FROM view_log ORDER BY view_no", [])


def test_the_life_of_a_branch(conn: Connection) -> None:
    invited(conn)
    assert [(one.site, one.state) for one in branches.list_branches(conn, NOW)] == [("jkt", "invited")]
    assert [one.state for one in branches.list_branches(conn, NOW + 2 * DAY)] == ["expired"]
    made, first = branches.join(conn, "jkt", token("secret"), asker(machine="nvr\n1\x1b[2J"), lambda: issued(1), NOW)
    assert (made.serial, first) == ("1", True)
    (row,) = branches.list_branches(conn, NOW)
    assert (row.state, row.machine, row.until, row.seen_from) == ("joined", "nvr1[2J", NOW + 90 * DAY, "192.0.2.7")
    assert branches.renew(conn, "jkt", asker(), lambda: issued(2, NOW + 150 * DAY), NOW + 60 * DAY).serial == "2"
    assert branches.counting_certificates(conn, NOW + 60 * DAY) == {"1": "jkt", "2": "jkt"}
    assert branches.counting_certificates(conn, NOW + 100 * DAY) == {"2": "jkt"}
    branches.note_seen(conn, {"jkt": (NOW + 3 * DAY, "192.0.2.8"), "gone": (NOW, "192.0.2.9")})
    assert branches.list_branches(conn, NOW)[0].seen_at == NOW + 3 * DAY
    branches.revoke(conn, "jkt", "ani", NOW + 61 * DAY)
    assert branches.counting_certificates(conn, NOW) == {}
    assert branches.list_branches(conn, NOW)[0].state == "revoked"
    with pytest.raises(BranchError, match="shut out"):
        branches.renew(conn, "jkt", asker(), lambda: issued(3), NOW)
    branches.invite(conn, "jkt", token("again"), NOW + 70 * DAY, "ani", NOW + 62 * DAY)
    assert branches.list_branches(conn, NOW + 62 * DAY)[0].state == "invited"
    branches.join(conn, "jkt", token("again"), asker("b"), lambda: issued(4, NOW + 200 * DAY), NOW + 63 * DAY)
    assert branches.counting_certificates(conn, NOW + 63 * DAY) == {"4": "jkt"}
    assert branches.list_branches(conn, NOW + 63 * DAY)[0].state == "joined"
    (over,) = branches.list_branches(conn, NOW + 201 * DAY)
    assert (over.state, over.until) == ("expired", NOW + 200 * DAY)
    assert [row[:2] for row in log(conn)] == [
        ("ani", "branch_invited"),
        ("branch-jkt", "branch_joined"),
        ("branch-jkt", "branch_renewed"),
        ("ani", "branch_revoked"),
        ("ani", "branch_invited"),
        ("branch-jkt", "branch_joined"),
    ]
    assert log(conn)[1][2:] == ({"site": "jkt", "machine": "nvr1[2J", "version": "1.2.3"}, "192.0.2.7")


def test_a_token_works_once_for_one_machine_one_site_and_one_day(conn: Connection) -> None:
    invited(conn)
    invited(conn, "mks", "other")
    made: list[int] = []

    def issue() -> Issued:
        made.append(1)
        return issued(len(made))

    for site, word, at, why in (
        ("jkt", "wrong", NOW, "lets nobody join"),
        ("jkt", "other", NOW, "lets nobody join"),
        ("nowhere", "secret", NOW, "lets nobody join"),
        ("jkt", "secret", NOW + 2 * DAY, "ended on 2026-02-02 at 03:00 UTC"),
    ):
        with pytest.raises(BranchError, match=why) as refused:
            branches.join(conn, site, token(word), asker(), issue, at)
        assert "vms branch invite" in refused.value.remedy
    assert not made, "nothing is issued before the token is known to be good"
    assert branches.join(conn, "jkt", token("secret"), asker("a"), issue, NOW)[1]
    again, first = branches.join(conn, "jkt", token("secret"), asker("a"), issue, NOW)
    assert (again.serial, first) == ("2", False), "whose answer was lost asks again"
    assert branches.counting_certificates(conn, NOW) == {"2": "jkt"}
    with pytest.raises(BranchError, match="used already, on 2026-02-01 at 03:00 UTC"):
        branches.join(conn, "jkt", token("secret"), asker("thief"), issue, NOW)
    invited(conn, word="newer")
    with pytest.raises(BranchError, match="a newer one was made"):
        branches.join(conn, "jkt", token("secret"), asker("a"), issue, NOW)
    branches.revoke(conn, "jkt", "ani", NOW)
    with pytest.raises(BranchError, match="ended on"):
        branches.join(conn, "jkt", token("newer"), asker("a"), issue, NOW + timedelta(seconds=1))


def test_a_stolen_certificate_does_not_fill_the_catalogue(conn: Connection) -> None:
    invited(conn)
    branches.join(conn, "jkt", token("secret"), asker(), lambda: issued(1), NOW)
    for number in range(2, branches.MOST_CERTIFICATES + 1):
        branches.renew(conn, "jkt", asker(), lambda number=number: issued(number), NOW)  # type: ignore[misc]
    with pytest.raises(BranchError, match="far too often"):
        branches.renew(conn, "jkt", asker(), lambda: issued(99), NOW)


def test_the_viewer_knows_nothing_of_branches(catalogue: tuple[Home, str]) -> None:
    with opened(url(catalogue[0], "viewer")) as viewer, viewer.cursor() as cursor:
        for table in ("branch", "branch_certificate"):
            with pytest.raises(Exception, match="permission denied"):
                cursor.execute(f"SELECT * FROM {table}")  # noqa: S608


def test_the_doctor_names_branches_that_were_not_seen_for_long(
    conn: Connection, catalogue: tuple[Home, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, address = catalogue
    monkeypatch.setenv("VMS_CATALOGUE_URL", address)
    (tmp_path / "sites.yaml").write_text(SITES.format(tmp_path))
    config = load_config(tmp_path / "sites.yaml")

    def told() -> tuple[bool, str]:
        (one,) = doctor_containers.branches("", home, config, NOW + DAY)
        return one.ok, one.what

    assert told() == (False, "jkt: its branch was never invited, so nobody does its tasks.")
    invited(conn)
    assert "is expired" in told()[1]
    branches.join(conn, "jkt", token("secret"), asker(), lambda: issued(1), NOW)
    branches.note_seen(conn, {"jkt": (NOW + DAY - timedelta(hours=3), "192.0.2.8")})
    assert told() == (False, "jkt: its branch was last seen 2026-02-02 00:00 UTC.")
    branches.note_seen(conn, {"jkt": (NOW + DAY - timedelta(minutes=3), "192.0.2.8")})
    assert told() == (True, "Branches seen lately: 1 of 1.")


def test_by_the_command_line(
    catalogue: tuple[Home, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, address = catalogue
    authority(home, NOW)  # as init makes it in containers
    (tmp_path / "sites.yaml").write_text(SITES.format(tmp_path))
    monkeypatch.setenv("VMS_HOME", str(home.root))
    monkeypatch.setenv("VMS_CATALOGUE_URL", address)
    monkeypatch.setenv("VMS_SITES", str(tmp_path / "sites.yaml"))
    monkeypatch.setenv("VMS_PARTS_AIRFLOW", "http://127.0.0.1:9")  # nobody is there
    monkeypatch.setenv("VMS_PARTS_VIEWER", "https://cctv.example.co.id")
    assert main(["branch", "invite", "jakarta"]) == 1
    assert "The sites are: jkt, mks" in capsys.readouterr().err
    assert main(["branch", "invite", "mks"]) == 1
    assert "Write runs_on: edge there first" in capsys.readouterr().err
    assert main(["branch", "invite", "jkt"]) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if "branch join" in one]
    assert line.split()[3] == "https://cctv.example.co.id:8444"
    made = read_token(line.split()[4])
    with opened(address) as conn:
        branches.join(conn, "jkt", made.hashed, asker(), lambda: issued(1, datetime.now(UTC) + DAY), datetime.now(UTC))
    assert main(["branch", "invite", "jkt", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["site"], told["url"]) == ("jkt", "https://cctv.example.co.id:8444")
    assert read_token(told["token"]).site == "jkt"
    assert datetime.fromisoformat(told["valid_until"]) > datetime.now(UTC) + timedelta(hours=23)
    assert main(["branch", "list", "--json"]) == 0
    (row,) = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert (row["site"], row["state"], row["machine"]) == ("jkt", "joined", "nvr-1")
    assert main(["branch", "revoke", "jkt"]) == 1, "Airflow is away: told, but the branch is out"
    assert "It is shut out, but its runs could not be ended" in capsys.readouterr().err
    assert main(["branch", "revoke", "jkt", "--json"]) == 1
    assert "It is shut out, but" in json.loads(capsys.readouterr().out)["error"]
    with opened(address) as conn:
        assert branches.counting_certificates(conn, datetime.now(UTC)) == {}
    assert main(["branch", "list"]) == 0
    assert "revoked" in capsys.readouterr().out
    assert main(["branch", "revoke", "mks"]) == 1
    assert "No branch was ever invited" in capsys.readouterr().err
