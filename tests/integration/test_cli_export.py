"""`vms export` over real stores and a real catalogue: proven files, a hash list that sha256sum takes, a manifest."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pyzipper
from click.testing import Result
from typer import Typer
from typer.testing import CliRunner

from catalogue_world import ask
from test_cli_copy import archive, sites_yaml
from vms.catalogue.connection import Connection
from vms.cli import copy, export
from vms.errors import CatalogueError, ConfigError
from vms.home import Home

Vms = Callable[..., Result]


@pytest.fixture
def vms(catalogue: tuple[Home, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vms:
    monkeypatch.setenv("VMS_HOME", str(catalogue[0].root))
    monkeypatch.setenv("VMS_SITES", str(tmp_path / "sites.yaml"))
    sites_yaml(tmp_path)
    app = Typer()
    app.callback()(lambda: None)
    copy.register(app)
    export.register(app)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def sums_hold(folder: Path) -> bool:
    return (
        subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=False).returncode
        == 0
    )


def manifest(folder: Path) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads((folder / "manifest.json").read_text())
    return found


def test_writes_the_range_with_hashes_and_manifest(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    archive(conn, tmp_path)
    to = tmp_path / "out"
    window = "2026-01-31T08:05..2026-01-31T08:15"
    looked = vms("export", window, "--to", str(to), "--dry-run")
    assert looked.exit_code == 0, looked.output
    assert not to.exists()

    done = vms("export", window, "--to", str(to), "--site", "ho", "--camera", "lobby")
    assert done.exit_code == 0, done.output
    files = sorted(one.name for one in to.rglob("*.mp4"))
    assert files == ["ho_lobby_2026-01-31_08-05-00_WIB.mp4", "ho_lobby_2026-01-31_08-10-00_WIB.mp4"]
    assert sums_hold(to)
    told = manifest(to)
    assert told["complete"] is True
    assert [one["start"] for one in told["recordings"]] == ["2026-01-31T08:05:00+07:00", "2026-01-31T08:10:00+07:00"]
    assert len(str(told["recordings"][0]["source"]["sha256"])) == 64  # type: ignore[index]
    assert ask(conn, "SELECT count(*), min(action) FROM view_log") == [(2, "export")]

    (to / "ho").rename(tmp_path / "moved")
    assert not sums_hold(to)


def test_goes_on_from_what_is_there(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    archive(conn, tmp_path)
    to = tmp_path / "out"
    assert vms("export", "2026-01-31", "--to", str(to)).exit_code == 0
    files = sorted(to.rglob("*.mp4"))
    whole = files[2].read_bytes()
    digest = next(one["sha256"] for one in manifest(to)["recordings"] if str(one["file"]).endswith(files[2].name))
    files[2].unlink()
    files[2].with_name(f".{files[2].name}.{str(digest)[:12]}.part").write_bytes(whole[:1000])
    files[3].unlink()

    again = json.loads(vms("export", "2026-01-31", "--to", str(to), "--json").stdout)
    assert (again["written"], again["already_there"], again["failed"]) == (2, 3, [])
    assert files[2].read_bytes() == whole
    assert not list(to.rglob(".*"))
    assert sums_hold(to)


def test_takes_the_next_store_when_one_is_damaged_or_away(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    archive(conn, tmp_path)
    assert vms("copy", "--from", "nas", "--to", "cloud").exit_code == 0
    damaged, *_ = sorted((tmp_path / "nas").rglob("*.mp4"))
    damaged.write_bytes(bytes(damaged.stat().st_size))
    done = json.loads(vms("export", "2026-01-31", "--to", str(tmp_path / "one"), "--json").stdout)
    assert done["written"] == 5
    assert "nas" in done["stores_that_failed"][0]
    assert sums_hold(tmp_path / "one")

    (tmp_path / "nas").rename(tmp_path / "unplugged")
    assert vms("export", "2026-01-31", "--to", str(tmp_path / "two")).exit_code == 0
    assert sums_hold(tmp_path / "two")


def test_says_what_it_could_not_write(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    archive(conn, tmp_path)
    damaged, *_ = sorted((tmp_path / "nas").rglob("*.mp4"))
    damaged.write_bytes(bytes(damaged.stat().st_size))
    to = tmp_path / "out"
    done = vms("export", "2026-01-31", "--to", str(to))
    assert done.exit_code == 1
    assert "not written" in done.stdout
    assert len(list(to.rglob("*.mp4"))) == 4
    assert len(manifest(to)["failed"]) == 1
    assert manifest(to)["complete"] is False
    assert sums_hold(to)


def test_never_overwrites_another_file(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    archive(conn, tmp_path)
    to = tmp_path / "out"
    foreign = to / "ho" / "lobby" / "2026-01-31" / "ho_lobby_2026-01-31_08-05-00_WIB.mp4"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"evidence of somebody else")
    done = vms("export", "2026-01-31", "--to", str(to))
    assert done.exit_code == 1
    assert foreign.read_bytes() == b"evidence of somebody else"
    other = vms("export", "2026-02-01", "--to", str(to))
    assert isinstance(other.exception, ConfigError)
    assert "another range" in other.exception.message


def test_names_what_no_store_has(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    archive(conn, tmp_path)
    at = datetime(2026, 1, 31, 1, 5, tzinfo=UTC)
    with conn.cursor() as cursor:
        cursor.execute("UPDATE copy SET state = 2 WHERE start_at = %s", (at,))
        cursor.execute("UPDATE recording SET custody = 3 WHERE start_at = %s", (at,))
    conn.commit()
    to = tmp_path / "out"
    assert vms("export", "2026-01-31", "--to", str(to)).exit_code == 0
    assert [one["state"] for one in manifest(to)["not_in_a_store"]] == ["purged"]
    assert len(manifest(to)["recordings"]) == 4


@pytest.mark.parametrize("words", ["2026-01-31T08:00", "..", "yesterday", "2026-02-01..2026-01-01"])
def test_refuses_what_is_no_range(vms: Vms, conn: Connection, tmp_path: Path, words: str) -> None:
    archive(conn, tmp_path, count=1)
    refused = vms("export", words, "--to", str(tmp_path / "out"))
    assert refused.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_refuses_an_unknown_site(vms: Vms, conn: Connection, tmp_path: Path) -> None:
    archive(conn, tmp_path)
    refused = vms("export", "2026-01-31", "--to", str(tmp_path / "out"), "--site", "hoo")
    assert isinstance(refused.exception, CatalogueError)
    assert 'Did you mean "ho"?' in refused.exception.message


def test_all_of_it_goes_into_a_zip_under_a_password(
    vms: Vms, conn: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(conn, tmp_path)
    to, packed = tmp_path / "out", tmp_path / "export.zip"
    monkeypatch.setenv("VMS_ZIP_PASSWORD", "too short")
    assert vms("export", "2026-01-31", "--to", str(to), "--zip", str(packed)).exit_code == 2
    assert not to.exists(), "refused before any work"
    monkeypatch.setenv("VMS_ZIP_PASSWORD", "kopi tubruk dan gula")
    assert vms("export", "2026-01-31", "--to", str(to), "--zip", str(to / "in.zip")).exit_code == 2
    done = vms("export", "2026-01-31", "--to", str(to), "--zip", str(packed))
    assert done.exit_code == 0, done.output
    assert "tubruk" not in done.output
    with pyzipper.AESZipFile(packed) as opened:
        files = {one.relative_to(to).as_posix() for one in to.rglob("*") if one.is_file()}
        assert set(opened.namelist()) == files
        for name in files:
            assert opened.read(name, pwd=b"kopi tubruk dan gula") == (to / name).read_bytes()
    assert vms("export", "2026-01-31", "--to", str(to), "--zip", str(packed)).exit_code == 2, "it is there already"
