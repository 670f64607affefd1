"""A recording as a card of the list: what is shown, in the person's language and the site's zone. Pure data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlencode

from viewer import formats, query, tokens
from viewer.i18n import Words
from vms.catalogue.bookmarks import BookmarkRow
from vms.catalogue.rows import RecordingRow
from vms.home import Home


@dataclass(frozen=True)
class Links:
    """Makes the media links of one session. mark: of that session."""

    home: Home
    mark: str

    def to(self, row: RecordingRow, part: tokens.Part, how: tokens.Disposition = "inline") -> tuple[str, int]:
        """(path of the link, its expiry in seconds since 1970)"""
        return tokens.issue(self.home, self.mark, row.id, row.start_utc, part, how)


TONES = {"planned": "blue", "archived": "green", "released": "green", "purged": "gray", "quarantined": "orange"}


def grouped_cards(
    links: Links,
    words: Words,
    rows: list[RecordingRow],
    find: query.Find,
    zone_id: str,
    marked: Sequence[BookmarkRow] = (),
) -> dict[str, Any]:
    """The cards under the headings of their days (as days pass in this zone), in the order of the rows, with those of
    the bookmarks that lie in them."""

    def day(row: RecordingRow) -> date:
        return row.start_utc.astimezone(formats.zone(zone_id)).date()

    return {
        "groups": [
            {
                "day": formats.day_long(words, heading),
                "cards": [_with_bookmarks(words, card(links, words, row, find, heading), row, marked) for row in group],
            }
            for heading, group in groupby(rows, key=day)
        ],
        "columns": [words.one_of("column", name) for name in ("time", "camera", "site", "length", "size", "state")],
        "lang": words.lang,
        "words": {"no_picture": words("card.no_picture")},
    }


def _with_bookmarks(
    words: Words, made: dict[str, Any], row: RecordingRow, marked: Sequence[BookmarkRow]
) -> dict[str, Any]:
    here = [
        one
        for one in marked
        if (row.site, row.camera) in one.cameras and one.from_utc < end_of(row) and one.to_utc >= row.start_utc
    ]
    if here:
        hint = " · ".join(one.note or ", ".join(one.tags) for one in here)
        made["marks"] = [*made["marks"], {"text": words("card.bookmark"), "hint": hint, "tone": "violet"}]
    return made


def card(links: Links, words: Words, row: RecordingRow, find: query.Find, heading: date) -> dict[str, Any]:
    """One card. heading: the day under which it stands; where the site's own day is another, the card says so."""
    when = formats.span(words, row.start_utc, end_of(row), row.time_zone)
    local_day = row.start_utc.astimezone(formats.zone(row.time_zone)).date()
    if local_day != heading:
        when = f"{formats.day_short(words, local_day)} {when}"
    stored = row.state in ("archived", "released")
    after = row.rendition_bytes or 0
    return {
        "id": query.recording_text(row.id, row.start_utc),
        "href": href(find, row),
        "camera": row.camera_name,
        "site": row.site_name,
        "when": when,
        "badge": words.one_of("state", row.state),
        "hint": words.one_of("state", f"{row.state}.hint"),
        "tone": TONES[row.state],
        "length": formats.stopwatch(row.duration_s) if row.duration_s > 0 else "",
        "poster": poster(links, row),
        "sprite": sprite(links, row),
        "before": formats.size(words, row.source_bytes),
        "after": formats.size(words, after) if stored and after else "",
        "saving": formats.saving(words, row.source_bytes, after) if stored else "",
        "marks": marks(words, row),
        "note": note(words, row),
        "label": words("card.open", camera=f"{row.camera_name}, {row.site_name}", time=when),
    }


def end_of(row: RecordingRow) -> datetime:
    """When the footage ends."""
    return max(row.end_utc, row.start_utc)


def href(find: query.Find, row: RecordingRow) -> str:
    """The address of this recording within a search."""
    return "/?" + urlencode({**query.write(find), "recording": query.recording_text(row.id, row.start_utc)})


def poster(links: Links, row: RecordingRow) -> str | None:
    """The link to the poster, None when there is none."""
    if not row.has_poster or row.state == "purged":
        return None
    return links.to(row, "poster")[0]


def sprite(links: Links, row: RecordingRow) -> dict[str, Any] | None:
    """The sprite sheet as the components draw it: link, size of a tile, how many, seconds between two."""
    info = row.sprite
    if info is None or row.state == "purged" or min(info.tile_width, info.tile_height, info.columns, info.tiles) < 1:
        return None
    return {
        "url": links.to(row, "sprite")[0],
        "width": info.tile_width,
        "height": info.tile_height,
        "columns": info.columns,
        "tiles": info.tiles,
        "interval": info.interval_s,
    }


def marks(words: Words, row: RecordingRow) -> list[dict[str, str]]:
    """What a person should know before trusting it: damaged footage, an unsure clock."""
    found = []
    if row.damaged:
        found.append({"text": words("card.damaged"), "hint": row.damaged})
    if row.time_marks:
        hint = "; ".join(words.one_of("mark", mark, mark) for mark in row.time_marks)
        found.append({"text": words("card.clock"), "hint": hint})
    return found


def note(words: Words, row: RecordingRow) -> str:
    """Why it is not archived, with the recorder's file name; "" when it is or nothing is known."""
    if row.state not in ("quarantined", "planned") or not row.reason:
        return ""
    name = PurePosixPath(row.source_name).name
    why = reason(words, row)
    return f"{name}: {why}" if name else why


def reason(words: Words, row: RecordingRow) -> str:
    """The reason in the person's language; reasons that have no words of their own are told as they were reported."""
    return words.one_of("reason", row.reason, row.message or words("reason.other"))


def remedy(words: Words, row: RecordingRow) -> str:
    """What to do about it, in the person's language, or as it was reported."""
    return words.one_of("remedy", row.reason, row.remedy)


def as_reported(words: Words, row: RecordingRow) -> str:
    """What the step itself reported, as small print for whoever has to ask further; "" when it is already said."""
    return words("recording.reported", text=row.message) if row.message not in ("", reason(words, row)) else ""
