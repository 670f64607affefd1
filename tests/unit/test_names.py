"""Names as recorders give them: every example of recorders.yaml, and the rules for clocks that jump."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from vms.config import CameraConfig, NamePattern
from vms.names import (
    NameReading,
    camera_without_pattern,
    local_to_utc,
    patterns_for,
    read_name,
    settle_start,
    slug,
)
from vms.recorders import recorder_entries

BERLIN = ZoneInfo("Europe/Berlin")
JAKARTA = ZoneInfo("Asia/Jakarta")
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
EXAMPLES = [(name, example) for name, entry in recorder_entries().items() for example in entry["examples"]]


def read(path: str, cameras: tuple[CameraConfig, ...] = ()) -> NameReading:
    reading = read_name(path, patterns_for("auto", ()), cameras)
    assert reading is not None, path
    return reading


def settle(reading: NameReading | None, zone: ZoneInfo = JAKARTA, **given):
    usual = {"duration_s": 300.0, "mtime": NOW, "container_time": None, "now": NOW}
    return settle_start(reading, zone, **{**usual, **given})


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[f"{name}-{one['path']}" for name, one in EXAMPLES])
def test_every_example_of_every_recorder_is_read_as_it_says(name, example):
    reading = read(example["path"])
    said = example["time"]
    assert (reading.pattern, reading.camera) == (name, example["camera"])
    assert reading.utc == (said.astimezone(UTC) if said and said.tzinfo else None)
    assert reading.local == (said if said and not said.tzinfo else None)
    assert reading.time_is == recorder_entries()[name].get("time_is", "start")


def test_more_than_ten_recorders_are_known():
    assert len(recorder_entries()) >= 20


@pytest.mark.parametrize("path", ["lobby/holiday.mp4", "lobby/20261331_250000.mp4", "lobby/12345.mp4", "a/1.mp4", ""])
def test_a_name_that_tells_no_time_is_not_guessed(path):
    assert read_name(path, patterns_for("auto", ())) is None


@pytest.mark.parametrize(
    ("path", "camera"),
    [
        ("lobby/it's him_20240519_103645.mp4", "lobby"),
        ("lobby/😀_20240519_103645.mp4", "lobby"),
        ("lobby/a%0Ab_20240519_103645.mp4", "lobby"),
        ("lobby/-rf_20240519_103645.mp4", "lobby"),
        ("lobby/000017_20240519_103645.mp4", "lobby"),
        ("lobby/clip12_20240519_103645.mp4", "lobby"),
        ("nvr1/ch02_20240519_103645.mp4", "nvr1-ch02"),
        ("20240519_103645.mp4", "camera-1"),
        ("2024-05-19/lobby/20240519_103645.mp4", "lobby"),
        (f"{'x' * 100}_20240519_103645.mp4", slug("x" * 100)),
    ],
)
def test_a_camera_is_named_by_its_folder_or_a_word_that_tells_cameras_apart(path, camera):
    assert read(path).camera == camera


def test_listed_cameras_are_found_by_their_word_and_strangers_keep_their_own_name():
    cameras = (CameraConfig("front", "Front", "ch01"), CameraConfig("front-left", "Left", "nvr/ch01 left"))
    assert read("ch01_20240519103645.mp4", cameras).camera == "front"
    assert read("ch09_20240519103645.mp4", cameras).camera == "ch09"
    assert camera_without_pattern("CH01/movie.mp4", cameras) == "front"
    assert camera_without_pattern("ch011/movie.mp4", cameras) == "ch011"
    assert camera_without_pattern("2024-05-19/gate/movie.mp4") == "gate"
    assert camera_without_pattern("movie.mp4") == "camera-1"


@pytest.mark.parametrize(
    ("text", "made"),
    [("Pos Jaga 2", "pos-jaga-2"), ("Büro", "buro"), ("--x--", "x"), ("a%0A%FFb", "a-b"), ("", "camera-1")],
)
def test_any_text_becomes_an_id(text, made):
    assert slug(text) == made


def test_ids_of_other_scripts_and_of_long_names_stay_apart():
    assert slug("门口") != slug("大厅")
    assert slug("门口").startswith("camera-")
    assert slug("x" * 60 + "a") != slug("x" * 60 + "b")
    assert len(slug("x" * 60)) <= 40


def test_an_own_pattern_reads_before_the_built_in_ones_and_alone_when_named():
    own = NamePattern("mine", r"^(?P<camera>\w+)!(?P<date>\d{8})(?P<time>\d{4})", "end", "utc")
    reading = read_name("gate!202405191036.avi", patterns_for("auto", (own,)))
    assert reading == NameReading("gate", None, datetime(2024, 5, 19, 10, 36, tzinfo=UTC), "end", "mine")
    assert read_name("lobby/20240519_103645.mp4", patterns_for("mine", (own,))) is None


def test_local_time_becomes_utc_by_the_sites_zone():
    start = settle(read("lobby/20240519_103645.mp4"), ZoneInfo("Asia/Makassar"))
    assert (start.utc, start.basis, start.marks) == (datetime(2024, 5, 19, 2, 36, 45, tzinfo=UTC), "name", ())


def test_an_end_time_in_the_name_gives_the_start():
    start = settle(read("Front/2024-05-19/2024-05-19T10-36-45 motion.mp4"), duration_s=45.0)
    assert (start.utc, start.basis) == (datetime(2024, 5, 19, 3, 36, tzinfo=UTC), "name_end")


def test_a_repeated_hour_takes_the_one_whose_end_is_near_the_mtime():
    local = datetime.fromisoformat("2025-10-26 02:30")
    first, second = datetime(2025, 10, 26, 0, 30, tzinfo=UTC), datetime(2025, 10, 26, 1, 30, tzinfo=UTC)
    length = timedelta(minutes=5)
    assert local_to_utc(local, BERLIN, length, first + length) == (first, "dst_repeated")
    assert local_to_utc(local, BERLIN, length, second + length) == (second, "dst_repeated")
    copied_later = second + timedelta(days=3)
    assert local_to_utc(local, BERLIN, length, copied_later) == (first, "dst_repeated")


def test_a_skipped_hour_moves_forward_by_the_gap():
    local = datetime.fromisoformat("2025-03-30 02:30")
    assert local_to_utc(local, BERLIN, timedelta(0), NOW) == (datetime(2025, 3, 30, 1, 30, tzinfo=UTC), "dst_skipped")
    assert local_to_utc(local + timedelta(hours=1), BERLIN, timedelta(0), NOW)[1] is None


def test_without_a_time_in_the_name_the_container_counts_then_the_mtime():
    made = datetime(2026, 5, 1, tzinfo=UTC)
    assert settle(None, container_time=made).basis == "container"
    for nonsense in (datetime(1904, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), NOW + timedelta(days=1)):
        start = settle(None, container_time=nonsense)
        assert (start.basis, start.utc) == ("mtime", NOW - timedelta(seconds=300))


def test_odd_starts_are_kept_and_marked():
    assert settle(read("a/20300101_000000.mp4")).marks == ("future",)
    assert settle(read("a/19991231_235959.mp4")).marks == ("before_2000",)
    assert settle(read("a/20260601_190500.mp4")).marks == ()


@pytest.mark.parametrize("zone", [JAKARTA, ZoneInfo("America/New_York")])
def test_a_clock_or_a_length_at_the_edge_of_the_calendar_stops_nothing(zone):
    edge = NameReading("lobby", datetime(9999, 12, 31, 23, 59, 59), None, "start", "own")  # noqa: DTZ001
    last = settle(edge, zone)
    assert (last.utc.year, last.basis, last.marks) == (9999, "name", ("future",))
    assert settle(edge, zone, duration_s=9e12).utc.year == 9999
    endless = settle(None, zone, duration_s=9e12)
    assert (endless.utc, endless.basis) == (NOW, "mtime")
