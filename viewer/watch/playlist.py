"""One HLS playlist over many recordings of a camera: each fragment is a byte range of a stored rendition.

Nothing is copied or joined on the server. The recordings follow each other without their gaps; `Piece` says where each
lies in the playlist and in time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from vms.video.fragments import Fragment, FragmentIndex

SEGMENT_S = 6.0
"""Short fragments are put together up to this length, so that a player asks less often."""


@dataclass(frozen=True)
class Source:
    """A recording to be played. url: where its bytes are had. name: as the address names it.

    index: of what is stored, or the lengths (in seconds) of the pieces that stand in for it.
    """

    name: str
    start_utc: datetime
    url: str
    index: FragmentIndex | tuple[float, ...]

    @property
    def seconds(self) -> float:
        return self.index.seconds if isinstance(self.index, FragmentIndex) else sum(self.index)


@dataclass(frozen=True)
class Piece:
    """A recording in the playlist: it begins `at_s` seconds into it."""

    source: Source
    at_s: float

    @property
    def seconds(self) -> float:
        return self.source.seconds


def pieces(sources: Sequence[Source]) -> list[Piece]:
    """Where each recording lies in the playlist."""
    made, at_s = [], 0.0
    for source in sources:
        made.append(Piece(source, at_s))
        at_s += source.seconds
    return made


def write(sources: Sequence[Source]) -> str:
    """The playlist (RFC 8216, version 7): of what is stored, as fMP4 with byte ranges; of stand-ins, as pieces that are
    made when they are asked for, `<url>/<number>.ts`. All of one kind."""
    lines: list[str] = []
    longest = 1.0
    for number, source in enumerate(sources):
        lines += ["#EXT-X-DISCONTINUITY"] if number else []
        when = f"#EXT-X-PROGRAM-DATE-TIME:{source.start_utc.isoformat(timespec='milliseconds')}"
        if isinstance(source.index, FragmentIndex):
            lines += (f'#EXT-X-MAP:URI="{source.url}",BYTERANGE="{source.index.head_bytes}@0"', when)
            for one in segments(source.index.fragments):
                longest = max(longest, one.seconds)
                lines += (f"#EXTINF:{one.seconds:.6f},", f"#EXT-X-BYTERANGE:{one.size}@{one.start}", source.url)
            continue
        lines.append(when)
        for piece, seconds in enumerate(source.index):
            longest = max(longest, seconds)
            lines += (f"#EXTINF:{seconds:.6f},", f"{source.url}/{piece}.ts")
    head = ("#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-TARGETDURATION:{math.ceil(longest)}", "#EXT-X-PLAYLIST-TYPE:VOD")
    return "\n".join((*head, "#EXT-X-INDEPENDENT-SEGMENTS", *lines, "#EXT-X-ENDLIST", ""))


def segments(fragments: Sequence[Fragment]) -> Iterator[Fragment]:
    """The fragments, those that follow each other put together up to SEGMENT_S."""
    together: Fragment | None = None
    for one in fragments:
        if (
            together is not None
            and together.start + together.size == one.start
            and together.seconds + one.seconds <= SEGMENT_S + 1e-6
        ):
            together = Fragment(together.start, together.size + one.size, together.seconds + one.seconds)
            continue
        if together is not None:
            yield together
        together = one
    if together is not None:
        yield together
