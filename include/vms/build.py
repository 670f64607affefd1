"""Which commit the files of this installation are of, read from what git keeps beside them, without git.

An image has only these few files of it (Dockerfile). What was unpacked from an archive has none, and no commit.
"""

from __future__ import annotations

import re
from pathlib import Path

_SHOWN = 9
_HASH = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def commit(root: Path) -> str:
    """The first letters of the commit, "" when it is not known."""
    try:
        own = root / ".git"
        if own.is_file():  # a further working tree says where its own part lies
            own = root / own.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (own / "HEAD").read_text(encoding="utf-8").strip()
        common = own / "commondir"
        shared = own / common.read_text(encoding="utf-8").strip() if common.is_file() else own
        found = _commit_of(shared, head.removeprefix("ref:").strip()) if head.startswith("ref:") else head
    except (OSError, ValueError):
        return ""
    return found[:_SHOWN] if _HASH.fullmatch(found) else ""


def _commit_of(folder: Path, ref: str) -> str:
    loose = folder / ref
    if loose.is_file():
        return loose.read_text(encoding="utf-8").strip()
    packed = folder / "packed-refs"
    lines = packed.read_text(encoding="utf-8").splitlines() if packed.is_file() else []
    return next((line.split(" ", 1)[0] for line in lines if line.endswith(f" {ref}")), "")
