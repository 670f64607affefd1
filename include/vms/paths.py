"""Names from disk as text that travels: any bytes a file system can hold, through JSON and Postgres and back.

Disk names are bytes. Valid UTF-8 without control characters stays as it is; every other byte, and the percent sign,
becomes %XX. The mapping is exact both ways.
"""

import os
import re

_ESCAPED = re.compile(rb"%([0-9A-F]{2})")


def to_text(path: str | bytes) -> str:
    """`lobby/a b.mp4` stays; a latin-1 byte E9 becomes %E9, a newline %0A, a percent sign %25."""
    out: list[str] = []
    for char in os.fsencode(path).decode("utf-8", "surrogateescape"):
        if "\udc80" <= char <= "\udcff":
            out.append(f"%{ord(char) - 0xDC00:02X}")
        elif char == "%" or (not char.isprintable() and char != " "):
            out.extend(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
        else:
            out.append(char)
    return "".join(out)


def from_text(text: str) -> str:
    """The file-system path (str with surrogateescape, as os functions take it) that `to_text` made `text` from."""
    raw = text.encode("utf-8")
    return os.fsdecode(_ESCAPED.sub(lambda match: bytes([int(match.group(1), 16)]), raw))
