"""Exports as the page tells them: what one holds, how far it is, why it failed. Pure data and words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from html import escape

from viewer import formats
from viewer.i18n import Words
from vms.catalogue.exports import ExportRow
from vms.catalogue.rows import SiteRow
from vms.catalogue.shares import ShareRow

_CLOCK = re.compile(r"\s*(\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?\s*\Z")
_SHARE_OF_STEP = {"files": (0.0, 0.5), "clips": (0.5, 0.85), "stills": (0.85, 0.92), "packing": (0.92, 1.0)}
_WITHOUT_CLIPS = {"files": (0.0, 0.8), "stills": (0.8, 0.9), "packing": (0.9, 1.0)}


def clock(text: str) -> time | None:
    """08:05, 08:05:30 or, as in Indonesia, 08.05.30; None for what is no time of a day."""
    found = _CLOCK.match(text)
    try:
        return time(*(int(part or 0) for part in found.groups())) if found else None
    except ValueError:
        return None


def zones_of(sites: Sequence[SiteRow], places: Sequence[str]) -> list[str]:
    """The time zones of these sites (ids), each once, in order. Forms go by the clock of the first, as Watch does."""
    zones = {site.id: site.time_zone for site in sites}
    return list(dict.fromkeys(zones[one] for one in places if one in zones))


def instant(day: date, at: time, zone_id: str) -> datetime:
    """This moment of the site's clock, in its zone."""
    return datetime.combine(day, at, formats.zone(zone_id))


def share_done(row: ExportRow) -> float:
    """How much of all of it is made, 0 to 1; each step has its usual share of the time."""
    first, last = (_SHARE_OF_STEP if row.clip else _WITHOUT_CLIPS).get(row.step, (0.0, 0.0))
    part = min(1.0, row.done / row.total) if row.total > 0 else 0.0
    return first + (last - first) * part


def progress_text(words: Words, row: ExportRow) -> str:
    """How far it is, as the bar says it."""
    if row.cancel_at is not None:
        return words("exports.cancelling")
    if row.state == "queued" or not row.step:
        return words.one_of("exports.state", row.state)
    step = words.one_of("exports.step", row.step, row.step)
    done = formats.number(words, min(row.files_done + 1, row.files))
    return words("exports.progress", step=step, files_done=done, files=formats.number(words, row.files))


def card(words: Words, row: ExportRow, names: Mapping[tuple[str, str], str], zone: str, *, somebody_elses: bool) -> str:
    """An export as HTML. All texts are escaped here."""
    contents = [] if row.only_clips else [words("exports.what.files")]
    if row.clip:
        made = [words("exports.what.clip" if row.cut == "exact" else "exports.what.fast")]
        made += [words("exports.what.burn_in")] if row.burn_in else []
        made += [f"({words.one_of('exports.gaps', row.gaps)})"] if row.gaps != "short" else []
        contents.append(" ".join(made))
    if row.evidence:
        contents.append(words("exports.what.evidence"))
    who = f"{row.who}, " if somebody_elses else ""
    facts = [
        (words("exports.cameras"), ", ".join(names.get(one, "/".join(one)) for one in row.cameras)),
        (
            words("exports.time"),
            f"{formats.moment(words, row.from_utc, zone)} \N{EN DASH} {formats.moment(words, row.to_utc, zone)}",
        ),
        (words("exports.what"), ", ".join(contents)),
        (words("exports.reason"), row.reason),
        (words("exports.by"), f"{who}{formats.moment(words, row.made_at, zone)}"),
    ]
    if row.state == "done" and row.size_bytes is not None and row.kept_until is not None:
        facts.append((words("exports.size"), formats.size(words, row.size_bytes)))
        facts.append((words("exports.kept"), formats.moment(words, row.kept_until, zone)))
    if row.fault:
        facts.append((words("exports.hint"), words.one_of("exports.fault", row.fault, row.message)))
    if not row.all_granted:
        facts.append((words("exports.hint"), words("exports.not_granted")))
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    tone = {"done": "good", "failed": "on"}.get(row.state, "off")
    return (
        f'<section class="hold" data-export="{row.export_id}" data-state="{row.state}">'
        f"<h2>{escape(words('exports.number', number=row.export_id))}"
        f' <span class="{tone}">{escape(words.one_of("exports.state", row.state))}</span></h2>'
        f"<dl>{lines}</dl></section>"
    )


def share_line(words: Words, share: ShareRow, zone: str, now: datetime) -> tuple[str, bool]:
    """A link in a line, and whether it is open."""
    text = words(
        "exports.share.line",
        number=share.share_id,
        who=share.made_by,
        until=formats.moment(words, share.expires_at, zone),
        opened=formats.number(words, share.opened),
        taken=formats.number(words, share.taken),
        wrong=formats.number(words, share.wrong),
    )
    notes = [words("exports.share.pin_set")] if share.has_pin else []
    ended = ""
    if share.revoked_at is not None:
        ended = words("exports.share.revoked")
    elif share.is_locked:
        ended = words("exports.share.locked")
    elif share.expires_at <= now:
        ended = words("exports.share.over")
    notes += [ended] if ended else []
    return text + (f" ({', '.join(notes)})" if notes else ""), not ended
