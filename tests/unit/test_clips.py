"""Which clips a range of footage gives, and where in them holes are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from vms.exports.folder import Asked, Folder
from vms.steps.clip import Clip, Footage, plan_clips

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def footage(first: float, last: float, name: str = "a") -> Footage:
    return Footage(Path(name), at(first), at(last), 640, 360, 10.0, has_sound=False)


def spans(clip: Clip) -> list[tuple[float, float]]:
    return [((first - NOON).total_seconds(), (last - NOON).total_seconds()) for first, last, _ in clip.parts]


def test_a_clip_goes_from_begin_to_end_whatever_the_order_of_files() -> None:
    (clip,) = plan_clips([footage(300, 600, "b"), footage(0, 300)], at(120), at(480))
    assert spans(clip) == [(120, 300), (300, 480)]
    assert list(clip.holes) == []
    assert clip.seconds == 360


def test_a_short_hole_is_in_the_clip_and_a_long_one_ends_it() -> None:
    some = [footage(0, 100), footage(130, 200), footage(261, 300), footage(300.2, 320)]
    one, two = plan_clips(some, at(0), at(1000))
    assert spans(one) == [(0, 100), (130, 200)]
    assert list(one.holes) == [(at(100), at(130))]
    assert spans(two) == [(261, 300), (300.2, 320)]
    assert list(two.holes) == []


def test_no_clip_begins_or_ends_with_a_hole() -> None:
    (clip,) = plan_clips([footage(10, 50)], at(0), at(90))
    assert (clip.begin, clip.end) == (at(10), at(50))


def test_a_moment_that_two_recordings_show_is_shown_once() -> None:
    (clip,) = plan_clips([footage(0, 100), footage(50, 150, "b"), footage(60, 90, "c")], at(0), at(200))
    assert spans(clip) == [(0, 100), (100, 150)]
    assert [one.path.name for *_, one in clip.parts] == ["a", "b"]


def test_nothing_gives_nothing() -> None:
    assert plan_clips([], at(0), at(10)) == []
    assert plan_clips([footage(20, 30), footage(0, 0.4)], at(0), at(10)) == []


def test_a_recording_that_is_in_no_clip_is_handed_over_though_clips_alone_were_asked_for(tmp_path: Path) -> None:
    """As of a recorder whose clock was put back: two files of one hour give a clip of one."""
    folder = Folder.opened(tmp_path, Asked("now", (), (), only_clips=True), "sari", NOON, {})
    for name in ("cut", "beside", "failed"):
        (tmp_path / name).write_bytes(b"x")
        camera = "gate" if name == "failed" else "lobby"
        folder.recordings.append({"file": name, "size_bytes": 1, "site": "ho", "camera": camera, "sha256": "0"})
    folder.clips += [{"file": "clips/a", "sha256": "1", "made_of": ["cut"]}]
    folder.clips += [{"file": "clips/b", "sha256": "2", "made_of": ["failed"]}]
    folder.failures.append({"site": "ho", "camera": "gate"})
    folder.mark_left_out()
    folder.remove_left_out()
    folder.close(complete=True)
    assert {one.name for one in tmp_path.iterdir()} == {"beside", "failed", "manifest.json", "SHA256SUMS"}
    assert [line.split()[1] for line in (tmp_path / "SHA256SUMS").read_text().splitlines()] == [
        "beside", "clips/a", "clips/b", "failed", "manifest.json",
    ]  # fmt: skip
