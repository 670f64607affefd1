"""The sites and cameras that a person sees, kept between reruns, and searched by words: a fleet has 16,000 cameras."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import streamlit as st

from viewer import database, frame
from viewer.visitor import Visitor
from vms.catalogue import reads_sites
from vms.catalogue.rows import CameraRow, SiteRow

MOST_FOUND, MOST_CAMERAS = 40, 12
"""Sites, and cameras of each, that one search for words answers with."""

_LONGEST = 100


@dataclass(frozen=True)
class Found:
    """What a search for words found: sites, each with its cameras that fit (none where the site itself does), and how
    many sites there are beside these."""

    sites: tuple[tuple[SiteRow, tuple[CameraRow, ...]], ...]
    left: int


@dataclass(frozen=True)
class Places:
    """Every site that a person sees, by name, with those of its cameras that they see. labels: (region, tier) of sites
    by id, as sites.yaml says."""

    sites: tuple[SiteRow, ...]
    labels: dict[str, tuple[str, str]]

    @cached_property
    def by_id(self) -> dict[str, SiteRow]:
        return {site.id: site for site in self.sites}

    @cached_property
    def names(self) -> dict[tuple[str, str], str]:
        """Of every camera with its site, by their ids."""
        return {(site.id, one.id): f"{one.name} · {site.name}" for site in self.sites for one in site.cameras}

    @cached_property
    def cameras(self) -> int:
        """How many there are."""
        return sum(len(site.cameras) for site in self.sites)

    @cached_property
    def _texts(self) -> list[tuple[SiteRow, str]]:
        return [(one, text_of(one.name, one.id, *self.labels.get(one.id, ()))) for one in self.sites]

    def find(self, asked: str) -> Found:
        """Sites that have all the words in name, id, region or tier, or that have them together with a camera."""
        wanted = asked[:_LONGEST].casefold().split()
        found = []
        for site, text in self._texts:
            missing = [word for word in wanted if word not in text]
            cameras = tuple(_with(site.cameras, missing)) if missing else ()
            if cameras or not missing:
                found.append((site, cameras[:MOST_CAMERAS]))
        return Found(tuple(found[:MOST_FOUND]), max(0, len(found) - MOST_FOUND))


def text_of(*parts: str) -> str:
    """What words are looked for in."""
    return " ".join(parts).casefold()


def _with(cameras: Iterable[CameraRow], words: Sequence[str]) -> Iterator[CameraRow]:
    for one in cameras:
        text = text_of(one.name, one.id)
        if all(word in text for word in words):
            yield one


def seen_by(person: Visitor) -> Places:
    """What this person sees, as it was a moment ago."""
    return _seen(person.scope)


@st.cache_resource(ttl=20, max_entries=30, show_spinner=False)  # cache_data would copy all of it at each rerun
def _seen(scope: str) -> Places:
    with database.pool().connection(scope) as conn:
        return Places(tuple(reads_sites.list_sites(conn)), frame.installation().labels)
