"""A dump of the catalogue (pg_dump's custom format) and its manifest (JSON): made, and read back row by row."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from vms.catalogue.whole import held_still
from vms.errors import CatalogueError
from vms.home import Home
from vms.stack.postgres_tools import Tools, find_tools, read_dump, run_tool

NAME = re.compile(r"\d{8}T\d{6}Z_[0-9a-f]{12}")
_COPY = re.compile(rb"COPY public\.\"?([^\" ]+)\"? ")
_VERBOSE = re.compile(r'(?:dumping contents of table|processing data for table) "(.+)"')

Moved = Callable[[str, float], None]
"""Told what is being done, and how far it is, from 0 to 1."""


@dataclass(frozen=True)
class Manifest:
    """What a dump is. rows: of each table; revision: of the schema; sites_yaml: the file as it was, "" without one."""

    name: str
    made_at: datetime
    size_bytes: int
    sha256: str
    revision: str
    server_major: int
    rows: dict[str, int]
    sites_yaml: str

    @property
    def dump_name(self) -> str:
        return f"{self.name}.dump"

    @property
    def manifest_name(self) -> str:
        return f"{self.name}.json"


def dump(home: Home, address: str, fresh: Path, now: datetime, moved: Moved) -> Manifest:
    """Dump the catalogue at this address into this file, and read every row back out of it.

    Raises CatalogueError when there is no catalogue or the dump has other rows, and StackError.
    """
    moved("counting", 0.0)
    with held_still(address) as still:
        tools = find_tools(still.server_major)
        if not still.revision:
            raise CatalogueError("There is no catalogue to back up.", "Start the system once: ./vms up")
        fresh.touch(mode=0o600)
        words = ("--format=custom", "--no-owner", "--no-privileges", "--schema=public", f"--snapshot={still.name}")
        listener = steps(len(still.rows), "dumping", moved)
        run_tool(tools, "pg_dump", [*words, "--verbose", f"--file={fresh}"], address, listener)
    done: list[str] = []

    def read(table: str) -> None:
        done.append(table)
        moved("reading it back", len(done) / max(len(still.rows), 1))

    counts = count_dump(tools, fresh, read)
    if counts != still.rows:
        odd = sorted(name for name in counts.keys() | still.rows if counts.get(name) != still.rows.get(name))
        raise CatalogueError(
            f"The dump has not the rows that the catalogue had: {', '.join(odd[:5])}.", "Try again; check the disk."
        )
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    digest, size = hashed(fresh)
    try:
        sites = home.sites_file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        sites = ""
    name = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}_{digest[:12]}"
    return Manifest(name, now.astimezone(UTC), size, digest, still.revision, still.server_major, still.rows, sites)


def count_dump(tools: Tools, file: Path, moved: Callable[[str], None] = lambda _: None) -> dict[str, int]:
    """Rows of each table in a dump, every one read. Raises CatalogueError when it can't be read to its end."""
    counts: dict[str, int] = {}
    table = ""
    with read_dump(tools, file, "--data-only") as lines:
        for line in lines:
            if table and line == b"\\.\n":
                table = ""
            elif table:
                counts[table] += 1
            elif found := _COPY.match(line):
                table = found[1].decode()
                counts[table] = 0
                moved(table)
    return counts


def dump_revision(tools: Tools, file: Path) -> str:
    """The revision of the schema in a dump; "" when it holds no catalogue. Raises CatalogueError for no dump at all."""
    with read_dump(tools, file, "--data-only", "--table=alembic_version") as lines:
        rows = iter(lines)
        for line in rows:
            if _COPY.match(line):
                return next(rows, b"").decode().strip()
    return ""


def read_manifest(data: bytes) -> Manifest:
    """Raises CatalogueError when it is none."""
    try:
        told = json.loads(data)
        made = Manifest(**{**told, "made_at": datetime.fromisoformat(told["made_at"])})
    except (ValueError, TypeError, KeyError) as error:
        raise CatalogueError("This is no manifest of a backup.", "Take another backup.") from error
    if not NAME.fullmatch(made.name):
        raise CatalogueError("This manifest names no backup of ours.", "Take another backup.")
    return made


def manifest_text(made: Manifest) -> str:
    return json.dumps({**asdict(made), "made_at": made.made_at.isoformat()}, indent=1)


def steps(total: int, what: str, moved: Moved) -> Callable[[str], None]:
    """Turns what pg_dump and pg_restore say on the way into progress over so many tables."""
    seen: set[str] = set()

    def line(text: str) -> None:
        if found := _VERBOSE.search(text):
            seen.add(found[1])
            moved(what, min(1.0, len(seen) / max(total, 1)))

    return line


def hashed(path: Path) -> tuple[str, int]:
    """The SHA-256 of a file, and its size in bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
