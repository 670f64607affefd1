"""The sheet of an evidence package: one HTML page, in English and Indonesian, that needs no network and runs nothing.

Everything on it comes from the package's manifest; texts from outside are escaped, pictures lie in the page itself.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.5rem;margin:0 0 .2rem}h2{font-size:1.1rem;margin:2rem 0 .5rem;border-bottom:1px solid #c9d1d9}
i{color:#57606a;font-style:normal}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:.5rem 0}
dt{color:#57606a}dd{margin:0;overflow-wrap:anywhere}code{font:12.5px/1.4 ui-monospace,monospace;overflow-wrap:anywhere}
article{border:1px solid #c9d1d9;border-radius:6px;padding:.8rem 1rem;margin:0 0 1rem;break-inside:avoid}
article h3{margin:0 0 .5rem;font-size:1rem}figure{display:inline-block;margin:0 .6rem .4rem 0}
img{max-width:100%;width:20rem;display:block;border-radius:4px}figcaption{font-size:.8rem;color:#57606a}
table{border-collapse:collapse;width:100%;font-size:.9rem}
td,th{border-bottom:1px solid #d8dee4;padding:.25rem .6rem .25rem 0;
text-align:left;vertical-align:top}.bad{color:#a40e26;font-weight:600}@media(max-width:600px){dl{display:block}}
"""

_REASONS = {
    "lost": ("archived, but no store has a good copy any more", "sudah diarsipkan, tetapi tidak ada salinan yang baik"),
    "never_arrived": ("gone before it could be archived", "hilang sebelum sempat diarsipkan"),
    "quarantined": ("the file could not be used", "berkas tidak dapat dipakai"),
    "camera_silent": ("the camera left no footage", "kamera tidak meninggalkan rekaman"),
    "clock_jump": ("the recorder's clock was wrong", "jam perekam salah"),
    "not_looked": ("the site was not looked at", "lokasi tidak diperiksa"),
    "waiting": ("not archived yet", "belum diarsipkan"),
    "purged": ("deleted when its retention had passed", "dihapus setelah masa simpan habis"),
    "acknowledged": ("explained by a person", "sudah dijelaskan seseorang"),
}  # fmt: skip

_CLOCKS = {
    "name": ("from the name that the recorder gave the file", "dari nama berkas yang diberikan perekam"),
    "name_end": ("from the name, which tells when it ended", "dari nama berkas, yang menyebut waktu selesai"),
    "container": ("from inside of the file", "dari dalam berkas"),
    "mtime": ("from when the file was last written", "dari waktu berkas terakhir ditulis"),
}


def render(told: Mapping[str, Any], stills: Mapping[str, Sequence[tuple[str, bytes]]], mark: str) -> str:
    """The page. told: the manifest; stills: by file, (what to write below it, JPEG); mark: the key's fingerprint."""
    asked, evidence = told["asked"], told["evidence"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<meta http-equiv=Content-Security-Policy"
        " content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>Evidence package · Paket bukti</title><style>{_STYLE}</style>",
        "<h1>Evidence package <i>· Paket bukti</i></h1>",
        _facts(
            ("Range", "Rentang", asked["range"]),
            ("Sites, cameras", "Lokasi, kamera", ", ".join([*asked["sites"], *asked["cameras"]]) or "all · semua"),
            ("Made by", "Dibuat oleh", told["exported_by"]),
            ("Made at", "Dibuat pada", told["exported_at"]),
            ("Reason", "Alasan", evidence["reason"]),
            ("Signed with the key", "Ditandatangani dengan kunci", mark),
        ),
        "<p>Whether anything was changed since: <i>Apakah ada yang berubah sejak itu:</i>"
        " <code>python3 verify.py</code></p>",
    ]
    if not told["complete"]:
        parts.append(
            "<p class=bad>Not everything that was asked for could be written; what is missing stands below."
            " · Tidak semua yang diminta dapat ditulis; yang kurang ada di bawah.</p>"
        )
    parts.append(_heading("Recordings", "Rekaman", len(told["recordings"])))
    parts += [_recording(one, stills.get(one["file"], ())) for one in told["recordings"]]
    if any("left_out" in one for one in told["recordings"]):
        parts.append(
            "<p>Only clips were asked for: recordings that are marked so are not in this package; they stay in the"
            " archive, where they can be had whole. · Hanya klip yang diminta: rekaman yang ditandai tidak disertakan;"
            " rekaman itu tetap di arsip dan dapat diminta utuh.</p>"
        )
    if told.get("clips"):
        parts += [_heading("Clips for watching", "Klip untuk ditonton", len(told["clips"])), _clips(told["clips"])]
    parts.append(_heading("Missing", "Yang tidak ada", len(told["gaps"])))
    parts.append(_gaps(told["gaps"]))
    for title, indonesian, rows in (
        ("Known, but in no store", "Tercatat, tetapi tidak ada di penyimpanan", told["not_in_a_store"]),
        ("Could not be written", "Tidak dapat ditulis", told["failed"]),
    ):
        if rows:
            parts += [_heading(title, indonesian, len(rows)), _others(rows)]
    return "\n".join(parts) + "\n"


def _heading(title: str, indonesian: str, count: int) -> str:
    return f"<h2>{title} <i>· {indonesian} · {count}</i></h2>"


def _facts(*facts: tuple[str, str, object]) -> str:
    rows = (
        f"<dt>{name} · {indonesian}</dt><dd>{escape(str(value))}</dd>"
        for name, indonesian, value in facts
        if value not in (None, "")
    )
    return f"<dl>{''.join(rows)}</dl>"


def _recording(one: Mapping[str, Any], pictures: Sequence[tuple[str, bytes]]) -> str:
    clock, jam = _CLOCKS.get(one["time_basis"], (one["time_basis"], ""))
    marks = f" ({', '.join(one['time_marks'])})" if one["time_marks"] else ""
    rendition = one["rendition"]
    made = f"{rendition['kind']}, {rendition['codec']}, {rendition['width']} x {rendition['height']}"
    figures = "".join(
        f"<figure><img alt='{escape(label)}' src='data:image/jpeg;base64,{base64.b64encode(data).decode()}'>"
        f"<figcaption>{escape(label)}</figcaption></figure>"
        for label, data in pictures
    )
    facts = _facts(
        ("From", "Mulai", _clock(one["start"], one["time_zone"])),
        ("To", "Sampai", _clock(one["end"], one["time_zone"])),
        ("Clock", "Asal jam", f"{clock}{f' · {jam}' if jam else ''}{marks}"),
        ("File", "Berkas", one["file"] + (" (not in this package · tidak disertakan)" if "left_out" in one else "")),
        ("SHA-256", "SHA-256", one["sha256"]),
        ("Recorder's file", "Berkas perekam", f"{one['source']['name']} ({one['source']['size_bytes']} bytes)"),
        ("Its SHA-256", "SHA-256-nya", one["source"]["sha256"]),
        ("Stored as", "Disimpan sebagai", made),
        ("Damage", "Kerusakan", one["damaged"]),
    )
    title = escape(f"{one['site_name']} · {one['camera_name']}")
    return f"<article><h3>{title}</h3>{figures}{facts}{_custody(one.get('custody', ()))}</article>"


def _custody(events: Sequence[Mapping[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(one['at'])}<td>{escape(one['event'])}<td>{escape(one['by'])}<td>{escape(one['host'])}"
        for one in events
    )
    return (
        f"<details><summary>Custody · Riwayat ({len(events)})</summary>"
        f"<table><tr><th>UTC<th>event · kejadian<th>by · oleh<th>host{rows}</table></details>"
    )


def _gaps(gaps: Sequence[Mapping[str, Any]]) -> str:
    if not gaps:
        return "<p>Nothing. <i>Tidak ada.</i></p>"
    rows = []
    for one in gaps:
        reason, alasan = _REASONS.get(one["reason"], (one["reason"], ""))
        detail = f" ({one['detail']})" if one["detail"] else ""
        rows.append(
            f"<tr><td>{escape(one['site'])}/{escape(one['camera'])}<td>{escape(one['start'])}<td>{escape(one['end'])}"
            f"<td>{escape(reason + detail)} <i>· {escape(alasan)}</i>"
        )
    return (
        "<table><tr><th>camera · kamera<th>from · mulai<th>to · sampai<th>reason · alasan" + "".join(rows) + "</table>"
    )


def _clips(clips: Sequence[Mapping[str, Any]]) -> str:
    lines = "".join(
        f"<tr><td>{escape(one['site'])}/{escape(one['camera'])}<td>{escape(one['start'])}<td>{escape(one['end'])}"
        f"<td><code>{escape(one['file'])}<br>{escape(one['sha256'])}</code>"
        for one in clips
    )
    return (
        "<p>Made anew of the recordings above, which are the evidence."
        " <i>Dibuat ulang dari rekaman di atas; rekaman itulah buktinya.</i></p>"
        f"<table><tr><th>camera · kamera<th>from · mulai<th>to · sampai<th>file · berkas, SHA-256{lines}</table>"
    )


def _others(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = "".join(
        f"<tr><td>{escape(one['site'])}/{escape(one['camera'])}<td>{escape(one['start'])}<td>{escape(one['end'])}"
        f"<td>{escape(str(one.get('message') or one.get('reason') or ''))}"
        for one in rows
    )
    return f"<table><tr><th>camera · kamera<th>from · mulai<th>to · sampai<th>reason · alasan{lines}</table>"


def _clock(text: str, zone: str) -> str:
    return f"{text.replace('T', ' ')} ({zone})"
