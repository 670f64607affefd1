"""A recording in full: player, facts and chain of custody. Pure data for the component."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlencode

from viewer import cards, formats, query
from viewer.i18n import Words
from vms.catalogue.rows import LineageRow, RecordingRow

_CODECS = {"av1": "av01.0.08M.08", "h264": "avc1.640028", "hevc": "hvc1.1.6.L120.B0", "vp9": "vp09.00.40.08"}
_CONTAINERS = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm"}
_CODEC_NAMES = {"av1": "AV1", "h264": "H.264", "hevc": "H.265 (HEVC)", "mpeg4": "MPEG-4", "mjpeg": "Motion JPEG"}
_HASHES = (
    ("source_sha256", "custody.source_hash"),
    ("rendition_sha256", "custody.rendition_hash"),
    ("sha256", "custody.rendition_hash"),
)
_EVENT_TEXTS = ("message", "why", "why_kept", "key", "source")
_ORDER = {"compressed": 1, "copied": 2, "archived": 3, "released": 4}
_EVENT_TONES = dict.fromkeys(("archived", "released", "repaired"), "green") | {"purged": "gray"}
_EVENT_TONES |= dict.fromkeys(("quarantined", "failed", "copy_lost", "copy_damaged", "copy_failed", "lost"), "orange")


def detail(
    links: cards.Links,
    words: Words,
    row: RecordingRow,
    lineage: list[LineageRow],
    find: query.Find,
    previous: RecordingRow | None,
    following: RecordingRow | None,
    *,
    may_download: bool = True,
    export: str = "",
    cold: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """All that the page of one recording shows. export: where it is ordered as a file for any player. cold: what is to
    be said of cold storage (`viewer.cold`)."""
    stored = row.state in ("archived", "released") and bool(row.rendition_bytes)
    asleep = cold is not None and cold["state"] != "ready"
    source = download = None
    expires = 0
    if stored and not asleep:
        source, expires = links.to(row, "rendition")
        download = links.to(row, "rendition", "attachment")[0] if may_download else None
    start = row.start_utc.astimezone(formats.zone(row.time_zone))
    offset = start.utcoffset()
    zone_name = formats.zone_name(start)
    codec = _CODEC_NAMES.get(row.codec, row.codec)
    return {
        "id": query.recording_text(row.id, row.start_utc),
        "href": cards.href(query.Find(), row),
        "watch": "/watch?" + urlencode(query.watch_params([(row.site, row.camera)], row.start_utc)) if stored else "",
        "camera": row.camera_name,
        "site": row.site_name,
        "when": formats.span(words, row.start_utc, cards.end_of(row), row.time_zone),
        "moment": f"{formats.day_short(words, start.date())} · "
        f"{formats.span(words, row.start_utc, cards.end_of(row), row.time_zone)}",
        "badge": words.one_of("state", row.state),
        "hint": words.one_of("state", f"{row.state}.hint"),
        "tone": cards.TONES[row.state],
        "marks": cards.marks(words, row),
        "src": source,
        "mime": mime(row) if stored else "",
        "poster": cards.poster(links, row),
        "sprite": cards.sprite(links, row),
        "download": download,
        "export": export if download else "",
        "name": "",
        "size": formats.size(words, row.rendition_bytes or 0),
        "expires": expires,
        "start_ms": round(row.start_utc.timestamp() * 1000),
        "offset_s": offset.total_seconds() if offset else 0,
        "zone": zone_name,
        "fps": row.fps,
        "damaged": row.damaged,
        "nothing": cold["text"]
        if cold and asleep
        else f"{words('recording.not_stored')} {words.one_of('state', f'{row.state}.hint')}.",
        "cold": cold,
        "problem": problem(words, row),
        "facts": facts(words, row),
        "copies": copies(words, row),
        "custody": [event(words, row, one) for one in told(lineage)],
        "previous": neighbour(words, previous, find),
        "next": neighbour(words, following, find),
        "lang": words.lang,
        "words": {
            "previous": words("recording.previous"),
            "next": words("recording.next"),
            "watch": words("recording.watch"),
            "download": words("recording.download"),
            "export": words("recording.export"),
            "converted": words("recording.converted"),
            "facts": words("recording.facts"),
            "copies": words("recording.copies", count=len(row.copies)),
            "show_utc": words("recording.utc"),
            "hide_utc": words("recording.utc.hide", zone=zone_name),
            "copy_link": words("recording.copy_link"),
            "copied": words("recording.copied"),
            "copy_hash": words("recording.copy_hash"),
            "damaged": words("recording.damaged"),
            "cannot_play": words("recording.cannot_play", codec=codec),
            "broken": words("recording.broken"),
            "retry": words("recording.retry"),
            "remedy": words("recording.remedy"),
            "custody": words("custody.title"),
            "custody_none": words("custody.none"),
            "keys": words("recording.keys"),
            "clock": words("recording.clock"),
            "play_from": words("recording.play_from", time="{time}"),
        },
    }


def mime(row: RecordingRow) -> str:
    """What to ask the browser whether it can play; a container that no browser plays is asked for as such."""
    suffix = PurePosixPath(row.copies[0].key).suffix.lower() if row.copies else ".mp4"
    container = _CONTAINERS.get(suffix)
    if container is None:
        return f"video/x-{suffix.lstrip('.') or 'unknown'}"
    return f'{container}; codecs="{_CODECS.get(row.codec, row.codec)}"'


def problem(words: Words, row: RecordingRow) -> dict[str, str] | None:
    """Why there is nothing to play, in words, with what was reported and what to do."""
    if row.state not in ("quarantined", "planned") or not row.reason:
        return None
    said = cards.reason(words, row)
    return {"text": said, "detail": cards.as_reported(words, row), "remedy": cards.remedy(words, row)}


def facts(words: Words, row: RecordingRow) -> list[dict[str, Any]]:
    """The list beside the player."""
    end = cards.end_of(row)
    basis = words.one_of("basis", row.time_basis, row.time_basis)
    doubts = "; ".join(words.one_of("mark", mark, mark) for mark in row.time_marks)
    made: list[dict[str, Any]] = [
        _moment(words, "recording.start", row, row.start_utc),
        *([_moment(words, "recording.end", row, end)] if end > row.start_utc else []),
        *(
            [{"label": words("recording.length"), "value": formats.length(words, row.duration_s)}]
            if row.duration_s > 0
            else []
        ),
        {"label": words("recording.basis"), "value": basis, "note": f"({doubts})" if doubts else ""},
        {
            "label": words("recording.source"),
            "value": row.source_name or words("recording.unnamed"),
            "long": True,
        },
        {"label": words("recording.size"), **_sizes(words, row)},
    ]
    picture = [_CODEC_NAMES.get(row.codec, row.codec)] if row.codec else []
    if row.width and row.height:
        picture.append(f"{row.width} \N{MULTIPLICATION SIGN} {row.height}")
    if row.fps:
        digits = 0 if abs(row.fps - round(row.fps)) < 0.005 else 2
        picture.append(f"{formats.number(words, row.fps, digits)} fps")
    if picture:
        kept = words.one_of("kind", row.kind)
        note = f"({kept})" if kept else ""
        made.append({"label": words("recording.video"), "value": " · ".join(picture), "note": note})
        made.append(
            {"label": words("recording.sound"), "value": row.audio_codec.upper() or words("recording.sound.none")}
        )
    return made


def copies(words: Words, row: RecordingRow) -> list[dict[str, str]]:
    """Each store that has proven its copy, with the checksum that it vouches for itself."""
    return [
        {
            "store": copy.store,
            "when": words("recording.copy", time=formats.moment(words, copy.verified_at, row.time_zone)),
            "utc": words("recording.copy", time=formats.moment(words, copy.verified_at, "UTC")),
            "size": formats.size(words, copy.size_bytes),
            "checksum": copy.checksum,
        }
        for copy in (row.copies if row.state != "purged" else ())
    ]


def told(lineage: list[LineageRow]) -> list[LineageRow]:
    """The events that are shown, in the order in which they happened.

    Copies of previews are left out. What one task reports at once carries one time and is put into its natural order.
    """
    shown = [one for one in lineage if one.detail.get("part") in (None, "rendition")]
    return sorted(shown, key=lambda one: (one.at, _ORDER.get(one.event, 0)))


def event(words: Words, row: RecordingRow, happened: LineageRow) -> dict[str, Any]:
    """One step of the chain of custody."""
    detail = happened.detail
    hashes = []
    for key, label in _HASHES:
        value = str(detail.get(key) or "")
        if value:
            hashes.append({"label": words(label), "value": value})
    run = f"{happened.dag_id} · {happened.run_id}" if happened.dag_id else ""
    task = happened.task_id if happened.map_index < 0 else f"{happened.task_id}[{happened.map_index}]"
    by = words("custody.by", task=task, host=happened.host) if task and happened.host else task or happened.host
    return {
        "title": words.one_of("custody", happened.event, happened.event),
        "when": formats.moment(words, happened.at, row.time_zone),
        "utc": formats.moment(words, happened.at, "UTC"),
        "by": " · ".join(part for part in (by, run) if part),
        "text": next((str(detail[key]) for key in _EVENT_TEXTS if detail.get(key)), ""),
        "hashes": hashes,
        "tone": _EVENT_TONES.get(happened.event, "blue"),
    }


def neighbour(words: Words, row: RecordingRow | None, find: query.Find) -> dict[str, str] | None:
    """The way to the recording before or after."""
    if row is None:
        return None
    return {
        "id": query.recording_text(row.id, row.start_utc),
        "href": cards.href(find, row),
        "when": formats.moment(words, row.start_utc, row.time_zone),
    }


def _moment(words: Words, key: str, row: RecordingRow, at: Any) -> dict[str, str]:
    return {
        "label": words(key),
        "value": formats.moment(words, at, row.time_zone),
        "utc": formats.moment(words, at, "UTC"),
    }


def _sizes(words: Words, row: RecordingRow) -> dict[str, str]:
    before, after = formats.size(words, row.source_bytes), row.rendition_bytes
    if not after:
        return {"value": before}
    if after >= row.source_bytes:
        return {"value": words("recording.kept_whole", size=formats.size(words, after))}
    saving = formats.saving(words, row.source_bytes, after)
    return {"value": f"{before} → {formats.size(words, after)}", "note": f"(\N{MINUS SIGN}{saving})"}
