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
    """A recording to be played. url: where its bytes are had. name: as the address names it."""

    name: str
    start_utc: datetime
    url: str
    index: FragmentIndex


@dataclass(frozen=True)
class Piece:
    """A recording in the playlist: it begins `at_s` seconds into it."""

    source: Source
    at_s: float

    @property
    def seconds(self) -> float:
        return self.source.index.seconds


def pieces(sources: Sequence[Source]) -> list[Piece]:
    """Where each recording lies in the playlist."""
    made, at_s = [], 0.0
    for source in sources:
        made.append(Piece(source, at_s))
        at_s += source.index.seconds
    return made


def write(sources: Sequence[Source]) -> str:
    """The playlist of what is stored (RFC 8216, version 7: fMP4 with byte ranges)."""
    parts = [list(segments(source.index.fragments)) for source in sources]
    lines = _beginning(parts)
    for number, (source, some) in enumerate(zip(sources, parts, strict=True)):
        lines += ["#EXT-X-DISCONTINUITY"] if number else []
        lines.append(f'#EXT-X-MAP:URI="{source.url}",BYTERANGE="{source.index.head_bytes}@0"')
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{source.start_utc.isoformat(timespec='milliseconds')}")
        for one in some:
            lines += (f"#EXTINF:{one.seconds:.6f},", f"#EXT-X-BYTERANGE:{one.size}@{one.start}", source.url)
    return "\n".join((*lines, "#EXT-X-ENDLIST", ""))


def write_stand_ins(sources: Sequence[Source]) -> str:
    """The same of pieces that are made when they are asked for: `<url>/<number>.ts`, numbered as `segments` gives."""
    parts = [list(segments(source.index.fragments)) for source in sources]
    lines = _beginning(parts)
    for number, (source, some) in enumerate(zip(sources, parts, strict=True)):
        lines += ["#EXT-X-DISCONTINUITY"] if number else []
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{source.start_utc.isoformat(timespec='milliseconds')}")
        for piece, one in enumerate(some):
            lines += (f"#EXTINF:{one.seconds:.6f},", f"{source.url}/{piece}.ts")
    return "\n".join((*lines, "#EXT-X-ENDLIST", ""))


def _beginning(parts: Sequence[Sequence[Fragment]]) -> list[str]:
    longest = max((one.seconds for some in parts for one in some), default=1.0)
    return [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{max(1, math.ceil(longest))}",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
    ]


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
