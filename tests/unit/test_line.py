"""The line of a site, shared by threads and processes: never more than the cap, and nothing that stops it for long."""

from __future__ import annotations

import fcntl
import itertools
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vms import line as line_module
from vms.line import FILE, Clock, Line
from vms.steps.upload import FILES_IN_FLIGHT
from vms.uplink import LEAST, parse
from vms.video.ffmpeg import Stopped

ZONE = ZoneInfo("Asia/Jakarta")
NOON = datetime(2026, 3, 2, 5, tzinfo=UTC)
BURST_S, MOST_PIECE = 0.25, 64 << 10
FORK = multiprocessing.get_context("fork")


@dataclass
class Simulated:
    """A clock that moves only when somebody waits."""

    begin: datetime = NOON
    passed: float = 0.0
    waits: list[float] = field(default_factory=list)

    def clock(self) -> Clock:
        return Clock(lambda: self.begin + timedelta(seconds=self.passed), lambda: 1000 + self.passed, self._wait)

    def _wait(self, stop: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        self.passed += seconds
        return stop.is_set()

    def line(self, uplink: str, folder: Path) -> Line:
        return Line(parse(uplink), ZONE, folder, threading.Event(), self.clock())


def send(line: Callable[[int], int], size: int) -> None:
    while size > 0:
        went = line(min(size, 128 << 10))
        assert 0 < went <= size
        size -= went


def test_a_file_takes_as_long_as_the_cap_says(tmp_path: Path) -> None:
    time_ = Simulated()
    send(time_.line("800 kbit/s", tmp_path), 1_000_000)
    assert 9.5 < time_.passed < 10.1


def test_a_line_that_was_idle_carries_no_more_than_a_short_burst_at_once(tmp_path: Path) -> None:
    time_ = Simulated()
    line = time_.line("800 kbit/s", tmp_path)
    send(line, 1000)
    time_.passed += 3600
    before = time_.passed
    send(line, 200_000)
    assert time_.passed - before > 1.5


def test_the_hour_turns_while_a_file_is_sent(tmp_path: Path) -> None:
    time_ = Simulated(datetime(2026, 3, 2, 10, 59, 50, tzinfo=UTC))  # 17:59:50 on the site's clock
    line = time_.line("07:00-18:00 800 kbit/s, else 8 Mbit/s", tmp_path)
    sent: list[tuple[float, int]] = []
    left = 6_000_000
    while left > 0:
        went = line(min(left, 128 << 10))
        sent.append((time_.passed, went))
        left -= went
    before = sum(size for when, size in sent if when <= 10)
    assert 950_000 < before < 1_100_000
    assert 14.5 < time_.passed < 16


def test_it_is_paced_again_when_the_hours_of_the_cap_begin(tmp_path: Path) -> None:
    time_ = Simulated(datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC))  # 06:59:59
    line = time_.line("07:00-18:00 800 kbit/s, else unlimited", tmp_path)
    send(line, 50_000_000)
    assert time_.passed == 0
    time_.passed = 1
    send(line, 500_000)
    assert time_.passed > 5


def test_who_waits_goes_at_once_when_the_cap_ends(tmp_path: Path) -> None:
    time_ = Simulated(datetime(2026, 3, 2, 10, 59, 57, tzinfo=UTC))
    line = time_.line("07:00-18:00 128 kbit/s, else unlimited", tmp_path)
    (tmp_path / FILE).write_text("1000 1000000 0")
    send(line, 10_000_000)
    assert 3 <= time_.passed < 4


def test_nobody_looks_away_for_longer_than_a_second(tmp_path: Path) -> None:
    time_ = Simulated()
    (tmp_path / FILE).write_text("1000 1000000 0")
    time_.line("128 kbit/s", tmp_path)(1000)
    assert max(time_.waits) <= 1


def test_hours_without_a_cap_cost_no_look_at_the_account(tmp_path: Path) -> None:
    line = Simulated().line("22:00-23:00 1 Mbit/s, else unlimited", tmp_path)
    assert line(1 << 30) == 1 << 30
    assert list(tmp_path.iterdir()) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    steps=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 300_000)), max_size=12), kilobits=st.integers(128, 9000)
)
def test_in_no_stretch_of_time_goes_more_than_the_cap_and_the_burst(tmp_path: Path, steps, kilobits) -> None:
    time_ = Simulated()
    (tmp_path / FILE).unlink(missing_ok=True)
    lines = [time_.line(f"{kilobits} kbit/s", tmp_path) for _ in range(2)]
    sent: list[tuple[float, int]] = []
    for (idle, size), line in zip(steps, itertools.cycle(lines)):
        time_.passed += idle
        left = size
        while left > 0:
            went = line(left)
            sent.append((time_.passed, went))
            left -= went
    rate = kilobits * 125
    for first, (begin, _) in enumerate(sent):
        total = 0
        for when, size in sent[first:]:
            total += size
            assert total <= rate * (when - begin + BURST_S) + min(MOST_PIECE, max(4 << 10, rate * 0.05)) + 10


def _sender(folder: str, size: int) -> None:
    send(Line(parse("1.6 Mbit/s"), ZONE, Path(folder), threading.Event()), size)


def test_two_processes_share_one_line(tmp_path: Path) -> None:
    began = time.monotonic()
    senders = [FORK.Process(target=_sender, args=(str(tmp_path), 200_000)) for _ in range(2)]
    for one in senders:
        one.start()
    for one in senders:
        one.join()
    assert [one.exitcode for one in senders] == [0, 0]
    assert time.monotonic() - began >= (400_000 - 2 * 10_000) / 200_000 - BURST_S
    assert float((tmp_path / FILE).read_text().split()[1]) == 400_000


def _asker(folder: str, times: int) -> None:
    line = Line(parse("8 Gbit/s"), ZONE, Path(folder), threading.Event())
    for _ in range(times):
        line(1)


def test_no_booking_is_lost_when_processes_book_at_the_same_time(tmp_path: Path) -> None:
    askers = [FORK.Process(target=_asker, args=(str(tmp_path), 2000)) for _ in range(3)]
    for one in askers:
        one.start()
    for one in askers:
        one.join()
    assert float((tmp_path / FILE).read_text().split()[1]) == 6000


def test_threads_share_one_line(tmp_path: Path) -> None:
    line = Line(parse("1.6 Mbit/s"), ZONE, tmp_path, threading.Event())
    began = time.monotonic()
    senders = [threading.Thread(target=send, args=(line, 50_000)) for _ in range(8)]
    for one in senders:
        one.start()
    for one in senders:
        one.join()
    assert time.monotonic() - began >= (400_000 - 8 * 10_000) / 200_000 - BURST_S
    assert float((tmp_path / FILE).read_text().split()[1]) == 400_000


def test_who_is_killed_leaves_the_line_to_the_others(tmp_path: Path) -> None:
    sender = FORK.Process(target=_sender, args=(str(tmp_path), 1 << 30))
    sender.start()
    while not (tmp_path / FILE).exists():
        time.sleep(0.01)
    os.kill(sender.pid or 0, signal.SIGKILL)
    sender.join()
    time_ = Simulated()
    (tmp_path / FILE).write_text(f"1000 {' '.join((tmp_path / FILE).read_text().split()[1:])}")
    send(time_.line("1.6 Mbit/s", tmp_path), 100_000)
    assert time_.passed < 1


def test_a_stop_ends_the_wait(tmp_path: Path) -> None:
    stop, waits = threading.Event(), threading.Event()
    ended: list[str] = []

    def wait(event: threading.Event, seconds: float) -> bool:
        waits.set()
        return event.wait(seconds)

    line = Line(parse("128 kbit/s"), ZONE, tmp_path, stop, Clock(wait=wait))
    (tmp_path / FILE).write_text(f"{time.monotonic()} 1000000 0")

    def sender() -> None:
        try:
            send(line, 100_000)
        except Stopped:
            ended.append("stopped")

    thread = threading.Thread(target=sender)
    thread.start()
    waits.wait(10)
    stop.set()
    thread.join()
    assert ended == ["stopped"]
    with pytest.raises(Stopped):
        line(1)


@pytest.mark.parametrize(
    "text",
    ["", "rubbish", "1 2", "1 2 3 4", "nan nan nan", "inf inf inf", "-1 -1 -1", "1e30 1e30 0", "\0" * 200],
)
def test_an_account_that_makes_no_sense_is_opened_anew(tmp_path: Path, text: str) -> None:
    time_ = Simulated()
    (tmp_path / FILE).write_text(text)
    send(time_.line("800 kbit/s", tmp_path), 1_000_000)
    assert 9.5 < time_.passed < 10.1


@pytest.mark.parametrize("text", ["0 1e17 0", "5000 0 1e17", "1e17 1e17 0"])
def test_an_account_far_off_delays_and_does_not_stop(tmp_path: Path, text: str) -> None:
    time_ = Simulated()
    (tmp_path / FILE).write_text(text)
    send(time_.line("800 kbit/s", tmp_path), 1_000_000)
    assert 9.5 < time_.passed < 25.5


def test_after_a_restart_of_the_machine_its_clock_begins_anew(tmp_path: Path) -> None:
    time_ = Simulated()
    (tmp_path / FILE).write_text("9000000 5000 5000")
    send(time_.line("800 kbit/s", tmp_path), 1_000_000)
    assert 9.5 < time_.passed < 10.1


def test_where_the_account_can_not_be_kept_each_keeps_to_the_cap_alone(tmp_path: Path, caplog) -> None:
    (tmp_path / FILE).mkdir()
    time_ = Simulated()
    with caplog.at_level(logging.WARNING):
        send(time_.line("800 kbit/s", tmp_path), 1_000_000)
    assert 9.5 < time_.passed < 10.1
    (warning,) = caplog.records
    assert "can't be used (Is a directory)" in warning.getMessage()


def test_who_never_lets_go_of_the_account_is_not_waited_for(tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(line_module, "_LOCK_S", 0.05)
    time_ = Simulated()
    with (tmp_path / FILE).open("w") as held, caplog.at_level(logging.WARNING):
        fcntl.flock(held, fcntl.LOCK_EX)
        send(time_.line("800 kbit/s", tmp_path), 1_000_000)
    assert 9.5 < time_.passed < 10.1
    assert "does not let go" in caplog.text


def test_a_link_in_the_place_of_the_account_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / FILE).symlink_to(tmp_path / "target")
    send(Simulated().line("800 kbit/s", tmp_path), 100_000)
    assert (tmp_path / "target").read_text() == "precious"


def test_at_the_lowest_cap_no_connection_stands_still_until_its_server_gives_up() -> None:
    """Turns come in the order of asking, so a file waits for one piece of each other file. S3 gives up after 20 s."""
    in_flight = 2 * FILES_IN_FLIGHT  # two upload tasks of a site run at once
    assert in_flight * line_module._LEAST_PIECE / LEAST < 5
    assert line_module._MOST_WAIT_S < 20  # whatever was booked at a high cap, when the lowest has just begun


def test_however_many_are_before_it_a_piece_goes_in_time(tmp_path: Path) -> None:
    time_ = Simulated()
    (tmp_path / FILE).write_text("1000 100000000 0")
    time_.line("128 kbit/s", tmp_path)(1000)
    assert time_.passed <= 15.5
