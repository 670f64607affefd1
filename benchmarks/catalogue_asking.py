"""What a question of the catalogue is, the world that it asks of, and how recordings are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from vms.catalogue import reads
from vms.catalogue.connection import Connection
from vms.catalogue.reads import RecordingFilter, RecordingRow, SiteRow
from vms.retention import Rules

PAGE, MOST_COUNTED = 24, 5000  # as the page Find
AIM_MS = 50.0
ARCHIVED: Any = ("archived", "released")


@dataclass(frozen=True)
class Question:
    """One way to ask. where: the page or command; pages are answered as the viewer's role and have AIM_MS."""

    where: str
    name: str
    ask: Callable[[World, Connection], object]

    @property
    def is_page(self) -> bool:
        return self.where.startswith("page")


@dataclass
class World:
    """What there is to ask about. now, keep: as the rows were made (catalogue_rows.Scale).

    granted: the viewer asks for somebody who sees some whole sites; as the page Find does, it then names them.
    """

    viewer: Connection
    owner: Connection
    now: datetime
    keep: timedelta
    random: Random = field(default_factory=lambda: Random(7))
    sites: list[SiteRow] = field(default_factory=list)
    turn: Iterator[int] = field(default_factory=count)
    granted: bool = False

    def __post_init__(self) -> None:
        self.sites = sorted(reads.list_sites(self.viewer), key=lambda site: site.id)

    @property
    def dense(self) -> SiteRow:
        """A site with a file each five minutes."""
        return self.sites[0]

    @property
    def rules(self) -> Rules:
        return Rules({site.id: self.keep for site in self.sites}, {}, {}, timedelta(days=7))

    def site(self) -> SiteRow:
        return self.random.choice(self.sites)

    def camera(self, site: SiteRow | None = None) -> tuple[str, str]:
        site = site or self.site()
        return site.id, self.random.choice(site.cameras).id

    def day(self, ago: int | None = None) -> tuple[datetime, datetime]:
        """A day, by default any that is kept and over."""
        ago = self.random.randint(1, self.keep.days - 1) if ago is None else ago
        end = self.now - timedelta(days=ago) + timedelta(hours=self.random.randint(0, 3))
        return end - timedelta(days=1), end

    def recording(self, conn: Connection, state: Any = ARCHIVED) -> RecordingRow:
        """Any one that is kept (or purged, when that is asked for)."""
        begin, end = self.day()
        wanted = RecordingFilter(cameras=(self.camera(self.dense),), from_utc=begin, to_utc=end, states=state)
        if state != ARCHIVED:
            wanted = RecordingFilter(cameras=wanted.cameras, to_utc=self.now - self.keep, states=state)
        return reads.find_recordings(conn, wanted, limit=1)[0]


def find(limit: int = PAGE, *, newest_first: bool = True, **wanted: Any) -> Callable[[World, Connection], object]:
    """A search; values that are functions are asked of the world first."""

    def ask(world: World, conn: Connection) -> object:
        return reads.find_recordings(conn, filter_of(world, wanted), limit=limit, newest_first=newest_first)

    return ask


def filter_of(world: World, wanted: dict[str, Any]) -> RecordingFilter:
    made = {name: value(world) if callable(value) else value for name, value in wanted.items()}
    if "day" in made:
        made["from_utc"], made["to_utc"] = made.pop("day")
    if world.granted and not made.keys() & {"cameras", "run"}:
        made["sites"] = made.get("sites") or tuple(site.id for site in world.sites)
    return RecordingFilter(**made)


def of_recording(read: Callable[[Connection, RecordingRow], object]) -> Callable[[World, Connection], object]:
    return lambda world, conn: read(conn, world.recording(conn))


def one_site(world: World) -> tuple[str, ...]:
    return (world.site().id,)


def dense_site(world: World) -> tuple[str, ...]:
    return (world.dense.id,)


def a_day(world: World) -> tuple[datetime, datetime]:
    return world.day()


def a_user(world: World) -> int:
    with world.owner.cursor() as cursor:
        cursor.execute(
            "INSERT INTO viewer_user (name, role, password, made_at, made_by, everywhere) VALUES"
            " ('u' || floor(random() * 1e9)::text, 'investigator', '', now(), 'test', true) RETURNING user_id"
        )
        (user_id,) = cursor.fetchone() or (0,)
    return int(user_id)
