"""What the player is given and tells: a playlist of what is stored or of stand-ins, and what was played of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from viewer import cold, query
from viewer.database import Pool
from viewer.i18n import Words
from viewer.media import Refusal
from viewer.visitor import Visitor
from viewer.watch import asked, playlist, spans, stand_in_links
from viewer.watch.heads import Heads
from viewer.watch.stand_ins import lengths_of
from viewer.watch.visit import Visit
from vms.catalogue import playables
from vms.video.fragments import FragmentIndex

_MOST_PIECES = 400
_AHEAD = timedelta(minutes=1)


def playlist_of(heads: Heads, visit: Visit) -> dict[str, Any]:
    """What to play from `from` to `to`: a playlist, what lies where in it, and what could not be put into it.

    It is of what is stored, or all of stand-ins: as the recording of the moment `at` needs it.
    """
    wanted = asked.stretch(visit.params, asked.MOST_PLAYED_H / 24)
    camera = asked.one_camera(visit.params)
    can = asked.codecs(visit.params)
    at = asked.moment(visit.params, "at") if "at" in visit.params else wanted.begin
    with visit.connection() as conn:
        found = playables.playable(conn, camera, wanted.begin, wanted.end, _MOST_PIECES)
        if len(found) == _MOST_PIECES and 2 * sum(one.end_utc > at for one in found) <= _MOST_PIECES:
            wanted = replace(wanted, begin=at)  # too many for both sides: those to come are what is played
            found = playables.playable(conn, camera, wanted.begin, wanted.end, _MOST_PIECES)
        if found:
            reach = {
                "reach_from": wanted.begin.isoformat(),
                "reach_to": _known_until(found, at, wanted.end).isoformat(),
            }
            visit.note(conn, "watch", {"camera": "/".join(camera), "at": at.isoformat(), **reach})
    low = asked.is_low(visit.params)
    indexes = heads.read(found)
    asleep = [(one.recording_id, one.start_utc) for one, why in zip(found, indexes, strict=True) if why == "cold"]
    if asleep:
        with visit.connection() as conn:
            cold.found(conn, asleep)
    stored = [one.codec in can and isinstance(index, FragmentIndex) for one, index in zip(found, indexes, strict=True)]
    here = [able for one, able in zip(found, stored, strict=True) if one.start_utc <= at < one.end_utc]
    as_stored = not low and (here[0] if here else any(stored) or not found)
    sources, left_out, expires = [], [], 0
    for one, index, able in zip(found, indexes, stored, strict=True):
        lengths = tuple(lengths_of(one, index))
        if as_stored and able and isinstance(index, FragmentIndex):
            url, expires = visit.link(one.recording_id, one.start_utc, "rendition")
            url += "?through=1" if "through" in visit.params else ""
            sources.append(playlist.Source(_name(one), one.start_utc, url, index))
        elif not as_stored and lengths:
            url, expires = visit.stand_in(one.recording_id, one.start_utc, "low" if low else "good")
            sources.append(playlist.Source(_name(one), one.start_utc, url, lengths))
        else:
            left_out.append(_left_out(visit.words, one, "codec" if isinstance(index, FragmentIndex) else index))
    by_name = {_name(one): one for one in found}
    return {
        "from": spans.milliseconds(wanted.begin),
        "to": spans.milliseconds(_known_until(found, at, wanted.end)),
        "playlist": playlist.write(sources) if sources else "",
        "as_stored": as_stored,
        "pieces": [
            {
                "id": piece.source.name,
                "from": spans.milliseconds(piece.source.start_utc),
                "at": round(piece.at_s, 3),
                "length": round(piece.seconds, 3),
                "damaged": by_name[piece.source.name].damaged,
                "fps": by_name[piece.source.name].fps,
            }
            for piece in playlist.pieces(sources)
        ],
        "left_out": left_out,
        "expires": expires,
    }


def _known_until(found: Sequence[playables.Playable], at: datetime, end: datetime) -> datetime:
    """Until when an answer with these says all there is: a full one ends with its last, and nobody knows what comes."""
    if len(found) == _MOST_PIECES:
        return found[-1].end_utc
    return min(end, max(datetime.now(UTC), at + _AHEAD, *(one.end_utc + _AHEAD for one in found)))


def piece_of(pool: Pool, grant: stand_in_links.Grant, person: Visitor) -> playables.Playable:
    """The recording of a link. Raises Refusal: not for this person, or not there any more."""
    if grant.mark != person.mark or not person.may("view"):
        raise Refusal(403, "media.forged")
    with pool.connection(person.scope) as conn:
        one = playables.playable_recording(conn, grant.recording_id, grant.start_utc)
    if one is None:
        raise Refusal(404, "media.missing")
    return one


def _name(one: playables.Playable) -> str:
    return query.recording_text(one.recording_id, one.start_utc)


def _left_out(words: Words, one: playables.Playable, why: str) -> dict[str, Any]:
    return {
        "id": _name(one),
        "from": spans.milliseconds(one.start_utc),
        "to": spans.milliseconds(one.end_utc),
        "why": why,
        "text": words.one_of("watch.left_out", why),
    }


def played(visit: Visit) -> dict[str, Any]:
    """The page tells what it has played, which is less than it was given to play; both are written down."""
    wanted = asked.stretch(visit.params)
    when = {"from": wanted.begin.isoformat(), "to": wanted.end.isoformat()}
    with visit.connection() as conn:
        for camera in wanted.cameras:
            if playables.playable(conn, camera, wanted.begin, wanted.end, 1):
                visit.note(conn, "watched", {"camera": "/".join(camera), **when})
    return {}


def snapshot(visit: Visit) -> dict[str, Any]:
    """A picture is about to be saved by the browser: for those who may take footage out, and written down."""
    camera = asked.one_camera(visit.params)
    at = asked.moment(visit.params, "at")
    if not visit.person.may("export"):
        raise Refusal(403, "app.not_allowed.text")
    with visit.connection() as conn:
        found = playables.playable(conn, camera, at, at + timedelta(milliseconds=1), 1)
        if found:
            visit.note(conn, "snapshot", {"camera": "/".join(camera), "at": at.isoformat()})
    if not found:
        raise Refusal(404, "watch.no_camera")
    return {"at": spans.milliseconds(at)}
