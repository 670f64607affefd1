"""Stretches of time as pairs of whole numbers, for what is added up thousands of times to draw one page.

Sums over datetimes cost some twenty times as much; a month of 200 cameras would take most of a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

Piece = tuple[int, int]
"""Begin and end in microseconds since 1970 (UTC), the end not included."""

SECOND, MINUTE, DAY = 1_000_000, 60_000_000, 86_400_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """This moment (aware) as a piece counts it."""
    return (at - _EPOCH) // _ONE


def moment(at: int) -> datetime:
    """As `micros`, the other way, in UTC."""
    return _EPOCH + timedelta(microseconds=at)


def overlaps(some: Iterable[Piece], others: Sequence[Piece]) -> Iterator[Piece]:
    """Where both are; each is in order and does not overlap itself."""
    at = 0
    for begin, end in some:
        while at < len(others) and others[at][1] <= begin:
            at += 1
        step = at
        while step < len(others) and others[step][0] < end:
            yield max(begin, others[step][0]), min(end, others[step][1])
            step += 1


def holes(covered: Iterable[Piece], begin: int, end: int, tolerance: int) -> list[Piece]:
    """Within [begin, end): where nothing is covered for longer than the tolerance. What lies outside counts, too.

    covered: by their begin; they may overlap.
    """
    found: list[Piece] = []
    reached = begin - tolerance - 1  # what is missing at the begin counts however short it is
    for first, last in covered:  # a month of cameras is thousands of pieces: no call for each of them
        if first > reached + tolerance and first > begin and reached < end:
            found.append((reached if reached > begin else begin, first if first < end else end))
        if last > reached:
            reached = last
    if reached < end:
        found.append((reached if reached > begin else begin, end))
    return [one for one in found if one[0] < one[1]]


def joined(some: Iterable[Piece], within: int) -> list[Piece]:
    """Pieces in the order of their begin; those that are no further apart than this as one."""
    made: list[Piece] = []
    for begin, end in some:
        if made and begin <= made[-1][1] + within:
            if end > made[-1][1]:
                made[-1] = (made[-1][0], end)
        else:
            made.append((begin, end))
    return made
