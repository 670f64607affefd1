"""One request of the page Watch: whose it is, in which language it is answered, and how it asks the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.datastructures import QueryParams

from viewer import cards, tokens
from viewer.database import Connection, Pool
from viewer.i18n import Words
from viewer.visitor import Visitor
from viewer.watch import stand_in_links
from viewer.watch.stand_ins import Quality
from vms.catalogue import reads
from vms.home import Home

PREFIX = "/api/watch"


@dataclass(frozen=True)
class Visit:
    """What an answer needs to know of its request."""

    home: Home
    words: Words
    params: QueryParams
    pool: Pool
    person: Visitor
    told: Mapping[str, Any] = field(default_factory=dict)
    """What was sent with it, as JSON."""

    @property
    def links(self) -> cards.Links:
        """Makes the media links of this person's session."""
        return cards.Links(self.home, self.person.mark)

    def connection(self) -> AbstractContextManager[Connection]:
        """A connection to the catalogue that shows what this person may see; give it back before anything slow."""
        return self.pool.connection(self.person.scope)

    def link(self, recording_id: int, start_utc: datetime, part: tokens.Part) -> tuple[str, int]:
        """(path of the link, its expiry in seconds since 1970)"""
        return tokens.issue(self.home, self.person.mark, recording_id, start_utc, part)

    def stand_in(self, recording_id: int, start_utc: datetime, quality: Quality) -> tuple[str, int]:
        """The same for pieces as H.264; the number of the piece comes behind."""
        return stand_in_links.issue(self.home, self.person.mark, recording_id, start_utc, quality, PREFIX)

    def note(self, conn: Connection, action: str, detail: dict[str, Any]) -> None:
        """Write into the log of views what this person does."""
        reads.log_view(conn, self.person.name, action, None, None, detail, self.person.address)
