"""HTTP byte ranges (RFC 9110, section 14): which bytes of an object a request asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SINGLE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*\Z", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range lies wholly outside the object: 416."""


@dataclass(frozen=True)
class Range:
    """Bytes start to start + length - 1."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def parse(header: str | None, size: int) -> Range | None:
    """The one range asked for, cut to the object; None when the whole object is to be sent.

    Several ranges at once, other units and malformed headers are answered with the whole object, as the RFC allows.
    Raises Unsatisfiable.
    """
    match = _SINGLE.match((header or "").strip())
    if not match or match.group(1) == match.group(2) == "":
        return None
    first, last = match.group(1), match.group(2)
    if first == "":
        length = min(int(last), size)
        if length == 0:
            raise Unsatisfiable
        return Range(size - length, length)
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    end = min(int(last), size - 1) if last else size - 1
    return Range(start, end - start + 1)
