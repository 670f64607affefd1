"""Batches: one camera each, newest first, bounded, titled for people. Pure, no services."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from vms.catalogue.batching import BATCH_BYTES, BATCH_FILES, BATCH_VIDEO_S, Candidate, cut, title

START = datetime(2026, 1, 31, 1, 0, tzinfo=UTC)
JAKARTA = ZoneInfo("Asia/Jakarta")


def candidate(
    number: int, *, camera: int = 1, minutes: int = 0, duration_s: float = 300, size: int = 10**7
) -> Candidate:
    return Candidate(number, START + timedelta(minutes=minutes), camera, f"cam{camera}", duration_s, size)


candidates = st.builds(
    candidate,
    st.integers(1, 10**6),
    camera=st.integers(1, 4),
    minutes=st.integers(-(10**5), 10**5),
    duration_s=st.floats(0, 10**5),
    size=st.integers(0, 2 * BATCH_BYTES),
)


@given(st.lists(candidates, max_size=120, unique_by=lambda one: one.recording_id))
def test_every_candidate_is_in_one_bounded_batch_of_its_camera_newest_first(given_: list[Candidate]) -> None:
    batches = cut(given_)
    assert sorted(one.recording_id for batch in batches for one in batch) == sorted(one.recording_id for one in given_)
    for batch in batches:
        assert len({one.camera_id for one in batch}) == 1
        assert batch == sorted(batch, key=lambda one: (one.start_utc, one.recording_id), reverse=True)
        assert len(batch) <= BATCH_FILES
        if len(batch) > 1:
            assert sum(one.duration_s for one in batch) <= BATCH_VIDEO_S + 1e-6
            assert sum(one.size_bytes for one in batch) <= BATCH_BYTES
    newest = [batch[0].start_utc for batch in batches]
    assert newest == sorted(newest, reverse=True)


def test_an_hour_of_five_minute_files_is_one_batch() -> None:
    assert [len(batch) for batch in cut([candidate(one, minutes=5 * one) for one in range(24)])] == [12, 12]


def test_many_short_files_are_bounded_by_number() -> None:
    assert [len(batch) for batch in cut([candidate(one, minutes=one, duration_s=10) for one in range(50)])] == [
        24,
        24,
        2,
    ]


def test_titles_say_the_local_time() -> None:
    assert title([candidate(1)], JAKARTA) == "cam1 31 Jan 08:00-08:05 WIB, 1 file"
    assert (
        title([candidate(1), candidate(2, minutes=24 * 60)], JAKARTA) == "cam1 31 Jan 08:00 - 1 Feb 08:05 WIB, 2 files"
    )
