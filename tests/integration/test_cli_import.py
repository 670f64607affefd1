"""`vms import`: files from a foreign folder come into the footage folder and read there as they should."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from typer import Typer
from typer.testing import CliRunner

from vms.cli import bring_in
from vms.config import load_config
from vms.errors import ConfigError
from vms.examine import Judged, judge
from vms.footage import list_footage

Vms = Callable[..., Result]
OLD = datetime(2026, 4, 1, tzinfo=UTC).timestamp()
SENT = datetime(2026, 4, 2, 3, 0, tzinfo=UTC)


@pytest.fixture
def vms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vms:
    (tmp_path / "nvr").mkdir()
    (tmp_path / "old").mkdir()
    monkeypatch.setenv("VMS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VMS_SITES", str(tmp_path / "sites.yaml"))
    (tmp_path / "sites.yaml").write_text(
        f"sites:\n- id: ho\n  name: Head office\n  time_zone: WIB\n  footage: {tmp_path}/nvr\n"
    )
    app = Typer()
    app.callback()(lambda: None)
    bring_in.register(app)
    return lambda *words: CliRunner().invoke(app, ["import", *words], env={"COLUMNS": "200"})


def put(path: Path, data: bytes = b"footage") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data + path.name.encode())
    os.utime(path, (OLD, OLD))
    return path


def reads(tmp_path: Path) -> dict[str, Judged]:
    """What the site makes of its footage folder now."""
    config = load_config(tmp_path / "sites.yaml")
    found = list_footage(tmp_path / "nvr", "ho").found
    now = datetime.now(UTC)
    return {one.found.path: one for one in judge(found, config.site("ho"), config, {}, now, now.timestamp())}


def started(one: Judged) -> datetime | None:
    return one.reading.local if one.reading else None


def test_brings_in_once_and_leaves_the_source(vms: Vms, tmp_path: Path) -> None:
    source = put(tmp_path / "old" / "gate" / "gate_20260401_080000.mp4")
    looked = vms(str(tmp_path / "old"), "--site", "ho", "--dry-run")
    assert looked.exit_code == 0, looked.output
    assert "2026-04-01 08:00:00 WIB" in looked.stdout
    assert not list((tmp_path / "nvr").iterdir())

    assert vms(str(tmp_path / "old"), "--site", "ho").exit_code == 0
    ((path, one),) = reads(tmp_path).items()
    assert (one.camera, started(one)) == ("gate", datetime(2026, 4, 1, 8))  # noqa: DTZ001
    came = tmp_path / "nvr" / path
    assert came.read_bytes() == source.read_bytes()

    came.unlink()  # archived and released
    again = json.loads(vms(str(tmp_path / "old"), "--site", "ho", "--json").stdout)
    assert (again["came_in"], again["known_already"]) == (0, 1)
    assert source.exists()
    assert not list((tmp_path / "nvr").rglob("*.mp4"))


def test_the_named_camera_counts_more_than_the_name(vms: Vms, tmp_path: Path) -> None:
    put(tmp_path / "old" / "gate" / "gate_20260401_080000.mp4")
    put(tmp_path / "old" / "whatever.mp4")
    put(tmp_path / "old" / "another" / "whatever.mp4", b"another")
    done = vms(str(tmp_path / "old"), "--site", "ho", "--camera", "dock")
    assert done.exit_code == 0, done.output
    assert {one.camera for one in reads(tmp_path).values()} == {"dock"}
    assert {started(one) for one in reads(tmp_path).values()} == {None, datetime(2026, 4, 1, 8)}  # noqa: DTZ001
    assert len(reads(tmp_path)) == 3
    assert {path.stat().st_mtime for path in (tmp_path / "nvr").rglob("*.mp4")} == {OLD}


@pytest.mark.parametrize("whole_account", [False, True])
def test_a_telegram_export_tells_camera_and_time(vms: Vms, tmp_path: Path, whole_account: bool) -> None:
    made_up = "video_files/video_1@02-04-2026_10-00-00.mp4"
    named = "video_files/gate_20260401_080000.mp4"
    sources = [put(tmp_path / "old" / one) for one in (made_up, named)]
    listed = [
        {"id": number, "date": "2026-04-02T10:00:00", "date_unixtime": str(int(SENT.timestamp())), "file": file}
        for number, file in enumerate((made_up, named, "(File not included.)"), 7)
    ]
    chat = {"name": "Pos Jaga", "messages": [*listed, {"id": 1, "text": "hello"}]}
    data = {"chats": {"list": [chat]}} if whole_account else chat
    (tmp_path / "old" / "result.json").write_text(json.dumps(data))
    done = vms(str(tmp_path / "old"), "--site", "ho")
    assert done.exit_code == 0, done.output
    found = reads(tmp_path)
    assert {one.camera for one in found.values()} == {"pos-jaga"}
    assert {started(one) for one in found.values()} == {None, datetime(2026, 4, 1, 8)}  # noqa: DTZ001
    (guessed,) = (path for path, one in found.items() if started(one) is None)
    assert (tmp_path / "nvr" / guessed).stat().st_mtime == SENT.timestamp()
    assert {one.stat().st_mtime for one in sources} == {OLD}


def test_what_is_being_written_waits_and_what_is_there_stays(vms: Vms, tmp_path: Path) -> None:
    fresh = put(tmp_path / "old" / "gate" / "gate_20260401_090000.mp4")
    now = datetime.now(UTC) - timedelta(seconds=1)
    os.utime(fresh, (now.timestamp(), now.timestamp()))
    put(tmp_path / "old" / "gate" / "gate_20260401_080000.mp4")
    other = put(tmp_path / "nvr" / "gate" / "gate_20260401_080000.mp4", b"another")
    before = other.read_bytes()
    done = json.loads(vms(str(tmp_path / "old"), "--site", "ho", "--json").stdout)
    assert done["waiting"] == ["gate/gate_20260401_090000.mp4"]
    assert "not overwritten" in done["failures"][0]
    assert other.read_bytes() == before


def test_refuses_in_clear_words(vms: Vms, tmp_path: Path) -> None:
    for words, said in (
        ((str(tmp_path / "none"), "--site", "ho"), "is no folder"),
        ((str(tmp_path / "old"), "--site", "hoo"), 'Did you mean "ho"?'),
        ((str(tmp_path / "nvr"), "--site", "ho"), "lie in one another"),
    ):
        refused = vms(*words)
        assert isinstance(refused.exception, ConfigError)
        assert said in refused.exception.message
