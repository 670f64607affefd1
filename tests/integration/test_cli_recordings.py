"""`vms recordings` and `vms retry` over a real catalogue."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from catalogue_world import (
    NOW,
    START,
    a_run,
    a_site,
    five_minute_files,
    receipts_for,
    refused,
    seen,
    sensed,
    sha,
)
from vms.catalogue.connection import Connection
from vms.catalogue.custody import record_receipts
from vms.catalogue.planning import plan_run
from vms.cli import recordings, retry, selection
from vms.cli.app import main
from vms.errors import CatalogueError
from vms.footage import Found
from vms.home import Home
from vms.ledger import Ledger
from vms.sightings import SourceSeen

FIELDS = {
    "id", "site", "camera", "start_utc", "end_utc", "duration_s", "state", "reason", "message", "remedy",
    "source_name", "source_bytes", "source_sha256", "rendition_bytes", "codec", "profile", "time_basis", "copies",
}  # fmt: skip

Vms = Callable[..., Result]


@pytest.fixture
def vms(catalogue: tuple[Home, str], monkeypatch: pytest.MonkeyPatch) -> Vms:
    """Calls a command of ours as the shell would."""
    home = catalogue[0]
    monkeypatch.setenv("VMS_HOME", str(home.root))
    monkeypatch.setenv("VMS_SITES", str(home.sites_file))
    app = typer.Typer()
    recordings.register(app)
    retry.register(app)
    return lambda *words: CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


def fill(conn: Connection) -> None:
    """Two archived and one planned at the head office, one quarantined at the branch."""
    plan = plan_run(conn, a_site(), sensed(*five_minute_files(2)), a_run(1), NOW)
    record_receipts(conn, plan.batches[0], receipts_for(plan.batches[0]), a_run(1), NOW, None)
    late = seen("gate/9.mp4", camera="gate", start=START + timedelta(hours=2))
    plan_run(conn, a_site(), sensed(late), a_run(2), NOW)
    branch = a_site(id="jayapura", name="Jayapura", time_zone="Asia/Jayapura")
    bad = refused("[red]b\nad.mp4", start=START + timedelta(hours=1))
    plan_run(conn, branch, sensed(bad, site="jayapura"), a_run(3, dag_id="footage_jayapura"), NOW)


def objects(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_json_has_exactly_the_promised_fields(conn: Connection, vms: Vms) -> None:
    fill(conn)
    rows = objects(vms("recordings", "--json"))
    assert [(row["site"], row["camera"], row["state"]) for row in rows] == [
        ("ho", "gate", "planned"),
        ("jayapura", "lobby", "quarantined"),
        ("ho", "lobby", "archived"),
        ("ho", "lobby", "archived"),
    ]
    assert all(set(row) == FIELDS for row in rows)
    first = rows[-1]
    assert (first["start_utc"], first["end_utc"]) == ("2026-01-31T01:00:00Z", "2026-01-31T01:04:59.500000Z")
    assert first["source_sha256"] == sha("source " + sha("lobby/000.mp4")[:32])
    assert (first["codec"], first["profile"], first["time_basis"], first["reason"]) == ("av1", "av1", "name", None)
    digest = sha("rendition " + sha("lobby/000.mp4")[:32])
    key = f"ho/lobby/2026/01/31/20260131T010000Z_{sha('lobby/000.mp4')[:12]}.mp4"
    assert first["copies"] == [
        {
            "store": "nas",
            "key": key,
            "size_bytes": first["rendition_bytes"],
            "checksum": f"sha256:{digest}",
            "verified_at": "2026-02-01T03:00:00Z",
        }
    ]
    assert (rows[1]["reason"], rows[1]["copies"], rows[1]["rendition_bytes"], rows[1]["codec"]) == (
        "no_video_stream", [], None, None,
    )  # fmt: skip


def test_filters(conn: Connection, vms: Vms) -> None:
    fill(conn)
    names = lambda *words: [row["source_name"] for row in objects(vms("recordings", "--json", *words))]  # noqa: E731
    assert names("--site", "ho", "--camera", "lobby") == ["lobby/001.mp4", "lobby/000.mp4"]
    assert names("--state", "planned") == ["gate/9.mp4"]
    assert len(names("--state", "planned", "--state", "quarantined")) == 2
    assert names("--from", "2026-01-31T10:00", "--site", "ho") == ["gate/9.mp4"]  # 10:00 in Jakarta
    assert len(names("--from", "2026-01-31", "--to", "2026-01-31")) == 4
    assert len(names("--to", "2026-01-30")) == 0
    # at 08:00 nothing had begun in Jakarta; in Jayapura that is two hours earlier still
    assert names("--to", "2026-01-31T08:00") == []
    assert len(names("--to", "2026-01-31T11:01")) == 4
    assert names("--limit", "1") == ["gate/9.mp4"]


def test_pages_join_without_gap_or_repeat(conn: Connection, vms: Vms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "PAGE", 3)
    same_start = [seen(f"cam{number}/x.mp4", camera=f"cam{number}") for number in range(10)]
    plan_run(conn, a_site(), sensed(*same_start), a_run(1), NOW)
    rows = objects(vms("recordings", "--json"))
    assert len(rows) == len({row["id"] for row in rows}) == 10
    begun = objects(vms("recordings", "--json", "--from", "2026-01-31", "--limit", "7"))
    assert [row["id"] for row in begun] == [row["id"] for row in rows][:7]


def test_table_is_on_the_sites_clock_and_takes_names_as_text(conn: Connection, vms: Vms) -> None:
    fill(conn)
    text = vms("recordings").output
    assert "2026-01-31 08:00:00 WIB" in text
    assert "2026-01-31 11:00:00 WIT" in text
    assert "[red]b%0Aad.mp4" in text or "[red]b?ad.mp4" in text
    assert "no_video_stream" in text
    (bad,) = objects(vms("recordings", "--json", "--state", "quarantined"))
    assert bad["message"]
    assert bad["remedy"]
    assert f"  {bad['message']}\n  What to do: {bad['remedy']}" in text  # why, and what to do
    assert "there are more" in vms("recordings", "--limit", "2").output


def test_all_about_one(conn: Connection, vms: Vms) -> None:
    fill(conn)
    first = objects(vms("recordings", "--json"))[-1]
    told = objects(vms("recordings", "--json", "--id", str(first["id"])))[0]
    lineage = told.pop("lineage")
    assert told == first
    assert isinstance(lineage, list)
    assert {"planned", "archived"} <= {event["event"] for event in lineage}
    text = vms("recordings", "--id", str(first["id"])).output
    assert "2026-01-31 08:00:00 WIB" in text
    (copy,) = first["copies"]  # type: ignore[misc]
    for part in (first["source_sha256"], copy["key"], copy["checksum"], "archived"):  # type: ignore[index]
        assert str(part) in text
    assert isinstance(vms("recordings", "--id", "999").exception, CatalogueError)
    assert vms("recordings", "--id", "1", "--site", "ho").exit_code == 2


def test_wrong_words(conn: Connection, vms: Vms) -> None:
    fill(conn)
    unknown = vms("recordings", "--site", "jayapur")
    assert isinstance(unknown.exception, CatalogueError)
    assert 'Did you mean "jayapura"?' in str(unknown.exception)
    assert vms("recordings", "--from", "yesterday").exit_code == 2
    assert vms("recordings", "--state", "gone").exit_code == 2
    assert vms("recordings", "--site", "ho", "--from", "2026-02-01", "--to", "2026-01-01").exit_code == 2


def test_a_configured_site_without_footage_is_no_error(catalogue: tuple[Home, str], vms: Vms, tmp_path: Path) -> None:
    catalogue[0].sites_file.write_text(f"sites:\n- id: new\n  time_zone: WIB\n  footage: {tmp_path}/nvr\n")
    assert objects(vms("recordings", "--json", "--site", "new")) == []
    assert "No recording fits" in vms("recordings", "--site", "new").output
    assert "nothing to try again" in vms("retry", "new").output


def test_retry_asks_once_and_has_the_file_looked_at_again(
    catalogue: tuple[Home, str], conn: Connection, vms: Vms, tmp_path: Path
) -> None:
    fill(conn)
    home = catalogue[0]
    home.sites_file.write_text(f"sites:\n- id: jayapura\n  time_zone: WIT\n  footage: {tmp_path}/nvr\n")
    (bad,) = objects(vms("recordings", "--json", "--state", "quarantined"))
    ledger = Ledger(home.site_staging("jayapura"))
    ledger.settle([SourceSeen(str(bad["source_name"]), 1, 1), SourceSeen("other.mp4", 1, 1)], "quarantined")

    def settled() -> set[str]:
        found = [Found(str(name), 1, 1, "file", True) for name in (bad["source_name"], "other.mp4")]
        return {path for path, known in ledger.look(found, 0.0).items() if known.settled}

    assert "nothing to try again" in vms("retry", "ho").output
    assert settled() == {bad["source_name"], "other.mp4"}
    told = vms("retry", "jayapura", "lobby")
    assert told.exit_code == 0
    assert "jayapura: 1 file tried again by the next run." in told.output
    assert settled() == {"other.mp4"}
    again = objects(vms("retry", "--all", "--json"))
    assert [(one["site"], one["quarantined"], one["asked"]) for one in again] == [("ho", 0, 0), ("jayapura", 1, 0)]
    assert "asked for before" in vms("retry", "jayapura", "--id", str(bad["id"])).output
    assert isinstance(vms("retry", "ho", "--id", str(bad["id"])).exception, CatalogueError)
    assert vms("retry").exit_code == 2
    assert vms("retry", "ho", "--all").exit_code == 2


def test_a_catalogue_of_another_version_is_told_with_what_to_do(
    vms: Vms, conn: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert vms("recordings").exit_code == 0  # and the environment is this home's
    with conn.cursor() as cursor:
        cursor.execute("ALTER TABLE site RENAME TO former")
    assert main(["recordings"]) == 1
    told = capsys.readouterr().err
    assert "not of the same version" in told
    assert "./vms down" in told
    assert "Traceback" not in told
