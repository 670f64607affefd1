"""What is true of a world at a moment, read behind the product's back: files, objects with their bytes, and rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

STATES = ("planned", "archived", "released", "purged", "quarantined")
PARTS = ("rendition", "poster", "sprite")
LIVE, MARKED, GONE, BROKEN = 0, 1, 2, 3
"""Of copies."""

_KEY = re.compile(r"(?P<stem>[^.]+)(?P<beside>\.r\d+)?(?P<ending>(\.(poster|sprite))?\.[^.]+)")


@dataclass(frozen=True)
class RecordingFact:
    """custody: one of STATES."""

    recording_id: int
    custody: str
    source: str
    source_sha256: str
    rendition_sha256: str
    identity: tuple[Any, ...]
    reason: str
    lost: bool


@dataclass(frozen=True)
class CopyFact:
    recording_id: int
    store: str
    part: str
    state: int
    key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class EventFact:
    recording_id: int
    event: str
    detail: dict[str, Any]
    run: str


@dataclass(frozen=True)
class Facts:
    """put: the source files that were ever there, by path, with their SHA-256. there: those that are there now.

    names: under which each recording was seen; on_site: those under which a source lies there, as the catalogue knows.
    objects: by (store, key), with their SHA-256. told_strays: objects that the catalogue tells of as leftovers.
    wanted: (recording, store) that the catalogue still wants. min_copies: in how many stores a recording must be proven
    to count as archived. doing: what was going on, for messages.
    """

    put: dict[str, str]
    there: dict[str, str]
    objects: dict[tuple[str, str], str]
    sizes: dict[tuple[str, str], int]
    recordings: list[RecordingFact]
    copies: list[CopyFact]
    events: list[EventFact]
    names: dict[int, set[str]]
    on_site: set[str]
    told_strays: set[tuple[str, str]]
    wanted: set[tuple[int, str]]
    doing: str = ""
    min_copies: int = 1
    held: dict[tuple[str, str], str] = field(default_factory=dict)
    """Objects that were under a hold when it was made."""

    def source_of(self, recording_id: int) -> str:
        return next((one.source for one in self.recordings if one.recording_id == recording_id), f"#{recording_id}")

    def copies_of(self, recording_id: int) -> list[CopyFact]:
        return [one for one in self.copies if one.recording_id == recording_id]

    def events_of(self, recording_id: int) -> list[EventFact]:
        return [one for one in self.events if one.recording_id == recording_id]


def part_of(key: str) -> tuple[str, str]:
    """The identity that a key is made of, and which part of the recording it names."""
    match = _KEY.fullmatch(key)
    assert match, f"{key} is no key of ours"
    return match["stem"], match["ending"]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files_in(folder: Path) -> dict[str, str]:
    """Files below the folder with their SHA-256, without what begins with a dot."""
    found = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        below = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in below.parts):
            found[str(below)] = sha256(path.read_bytes())
    return found


Objects = Iterator[tuple[str, bytes]]


def look(
    owner_url: str,
    put: dict[str, str],
    footage: Path,
    stores: dict[str, Callable[[], Objects]],
    doing: str = "",
    held: dict[tuple[str, str], str] | None = None,
    min_copies: int = 1,
) -> Facts:
    """The facts now. stores: by name, what tells all its objects with their bytes."""
    objects, sizes = {}, {}
    for name, listed in stores.items():
        for key, data in listed():
            objects[name, key] = sha256(data)
            sizes[name, key] = len(data)
    conn = psycopg2.connect(owner_url)
    try:
        with conn, conn.cursor() as cursor:

            def ask(sql: str) -> list[tuple[Any, ...]]:
                cursor.execute(sql)
                return cursor.fetchall()

            recordings = [
                RecordingFact(
                    number, STATES[custody], source, source_sha or "", made_sha or "", tuple(identity), reason, lost
                )
                for number, custody, source, source_sha, made_sha, *identity, reason, lost in ask(
                    "SELECT r.recording_id, custody, source_name, encode(source_sha256, 'hex'),"
                    " encode(rendition_sha256, 'hex'), camera_id, fingerprint::text,"
                    " coalesce(q.reason, ''), lost_at IS NOT NULL FROM recording r"
                    " LEFT JOIN quarantine q USING (recording_id, start_at) ORDER BY 1"
                )
            ]
            copies = [
                CopyFact(number, store, PARTS[part], *rest)
                for number, store, part, *rest in ask(
                    "SELECT recording_id, s.name, part, state, key, size_bytes, encode(sha256, 'hex') FROM copy"
                    " JOIN store s USING (store_id) ORDER BY recording_id, store_id, part"
                )
            ]
            events = [
                EventFact(number, event, detail if isinstance(detail, dict) else json.loads(detail), run)
                for number, event, detail, run in ask(
                    "SELECT recording_id, event, detail, run_id FROM lineage WHERE recording_id > 0 ORDER BY lineage_id"
                )
            ]
            names: dict[int, set[str]] = {}
            on_site = set()
            for number, path, there_now in ask(
                "SELECT recording_id, path, released_at IS NULL AND replaced_at IS NULL FROM recording_source"
            ):
                names.setdefault(number, set()).add(path)
                if there_now:
                    on_site.add(path)
            strays = set(ask("SELECT s.name, key FROM stray_object JOIN store s USING (store_id)"))
            wanted = set(ask("SELECT recording_id, s.name FROM copy_wanted JOIN store s USING (store_id)"))
    finally:
        conn.close()
    there = files_in(footage)
    return Facts(
        *(put, there, objects, sizes, recordings, copies, events, names, on_site, strays, wanted),
        doing=doing,
        min_copies=min_copies,
        held=dict(held or {}),
    )
