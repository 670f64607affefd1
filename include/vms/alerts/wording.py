"""What people are told, in Indonesian and English. A test holds that neither language lacks a word.

Times are on the clock of the site, or of the alerts where no site is meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from vms.alerts.conditions import Kind
from vms.catalogue.alerts import AlertRow
from vms.config_alerts import Language
from vms.coverage import DayCoverage


@dataclass(frozen=True)
class Words:
    """One kind of alert in one language: what is wrong, what to do, and that it is over. {names} are filled in."""

    begin: str
    remedy: str
    end: str


KINDS: Mapping[Language, Mapping[Kind, Words]] = {
    "en": {
        "camera_silent": Words(
            "{site}: camera {name} has sent nothing since {since}.",
            "Check the camera, its power and its recorder.",
            "{site}: camera {name} sends footage again.",
        ),
        "site_unreachable": Words(
            "{site}: the footage folder was last seen at {since}.",
            "Check the line, the VPN and whether the folder is mounted; `vms status` says more.",
            "{site}: the footage folder is back.",
        ),
        "site_never_seen": Words(
            "{site}: the footage folder was never looked at, which has been waited for since {since}.",
            "Has its branch joined (`vms branch list`), does a worker serve it? `vms doctor` says more."
            " `enabled: false` in sites.yaml until it is to begin.",
            "{site}: the footage folder is looked at now.",
        ),
        "backlog": Words(
            "{site}: files and copies wait ({count} of them), the oldest for {hours_text}.",
            "Check the line and the stores; `vms status` says how long it will take.",
            "{site}: the backlog is worked off.",
        ),
        "quarantine": Words(
            "{site}: {files} could not be archived and went into quarantine.",
            "`vms recordings --state quarantined` says why and what to do.",
            "{site}: nothing is in quarantine any more.",
        ),
        "store_out": Words(
            "Store {store} is {state_word} for {sites}.",
            "Nothing is lost: sources stay until it is back. `vms status` and `vms stores check` say more.",
            "Store {store} is not {state_word} any more.",
        ),
        "store_full_soon": Words(
            "Store {subject} will be full within {days_text}.",
            "`vms retention proof` says how much room it needs, or how much shorter it would have to keep footage.",
            "Store {subject} is no longer about to be full.",
        ),
        "footage_lost": Words(
            "{site}: no good copy is left of {recordings}.",
            "If the recorder still has them, export them again; `vms coverage --gaps` names them.",
            "{site}: every archived recording has a good copy again.",
        ),
        "copies_broken": Words(
            "Store {subject}: {copies} lost or damaged.",
            "They are repaired each night from other stores; `vms verify` says more.",
            "Store {subject}: its copies are good again.",
        ),
        "purge_waiting": Words(
            "Plan {subject} to delete {recordings} is unusual and waits for somebody to approve it.",
            "`vms retention history --plan {subject}` says why. Without an answer nothing is deleted.",
            "Plan {subject} to delete recordings does not wait any more.",
        ),
        "free_space": Words(
            "Only {gigabytes} GB are free at {subject}.",
            "Free space there. Are the stores full or away, so that staged files can't leave?",
            "There is enough free space at {subject} again.",
        ),
        "expiring": Words(
            "The {what_word} {name} is valid until {until}.",
            "Renew it before then; after that its store refuses or can't be trusted, and nothing leaves for it."
            " A branch renews its own: has it been without line, or off?",
            "The {what_word} {name} does not end soon any more.",
        ),
        "backup_overdue": Words(
            "The catalogue has not been backed up since {since}.",
            "`vms backup` makes one now; the last run of the DAG `backup` in Airflow says why it made none.",
            "The catalogue is backed up again.",
        ),
    },
    "id": {
        "camera_silent": Words(
            "{site}: kamera {name} tidak mengirim apa pun sejak {since}.",
            "Periksa kamera, catu dayanya, dan perekamnya.",
            "{site}: kamera {name} mengirim rekaman lagi.",
        ),
        "site_unreachable": Words(
            "{site}: folder rekaman terakhir terlihat pada {since}.",
            "Periksa jaringan, VPN, dan apakah foldernya terpasang; `vms status` menjelaskan lebih lanjut.",
            "{site}: folder rekaman sudah kembali.",
        ),
        "site_never_seen": Words(
            "{site}: folder rekaman belum pernah dilihat, padahal ditunggu sejak {since}.",
            "Sudahkah cabangnya bergabung (`vms branch list`), adakah worker yang melayaninya? `vms doctor`"
            " menjelaskan lebih lanjut. Pakai `enabled: false` di sites.yaml sampai lokasi itu mulai.",
            "{site}: folder rekaman kini sudah dilihat.",
        ),
        "backlog": Words(
            "{site}: berkas dan salinan menunggu ({count} buah), yang tertua sudah {hours_text}.",
            "Periksa jaringan dan penyimpanan; `vms status` memperkirakan kapan selesai.",
            "{site}: antrean sudah selesai dikerjakan.",
        ),
        "quarantine": Words(
            "{site}: {files} tidak dapat diarsipkan dan dikarantina.",
            "`vms recordings --state quarantined` menjelaskan sebab dan tindakannya.",
            "{site}: tidak ada lagi berkas di karantina.",
        ),
        "store_out": Words(
            "Penyimpanan {store} {state_word} untuk {sites}.",
            "Tidak ada yang hilang: sumber tetap disimpan sampai pulih. Lihat `vms status` dan `vms stores check`.",
            "Penyimpanan {store} tidak lagi {state_word}.",
        ),
        "store_full_soon": Words(
            "Penyimpanan {subject} akan penuh dalam {days_text}.",
            "`vms retention proof` menunjukkan ruang yang diperlukan, atau berapa lama rekaman masih muat.",
            "Penyimpanan {subject} tidak lagi terancam penuh.",
        ),
        "footage_lost": Words(
            "{site}: {recordings} tidak lagi memiliki salinan yang baik.",
            "Jika perekam masih menyimpannya, ekspor ulang; `vms coverage --gaps` menyebutkannya.",
            "{site}: semua rekaman arsip kembali memiliki salinan yang baik.",
        ),
        "copies_broken": Words(
            "Penyimpanan {subject}: {copies} hilang atau rusak.",
            "Salinan diperbaiki tiap malam dari penyimpanan lain; `vms verify` menjelaskan lebih lanjut.",
            "Penyimpanan {subject}: salinannya sudah baik lagi.",
        ),
        "purge_waiting": Words(
            "Rencana {subject} untuk menghapus {recordings} tidak biasa dan menunggu persetujuan.",
            "`vms retention history --plan {subject}` menjelaskan sebabnya. Tanpa jawaban tidak ada yang dihapus.",
            "Rencana {subject} untuk menghapus rekaman tidak lagi menunggu.",
        ),
        "free_space": Words(
            "Hanya {gigabytes} GB yang kosong di {subject}.",
            "Kosongkan ruang di sana. Apakah penyimpanan penuh atau terputus sehingga berkas tidak dapat keluar?",
            "Ruang kosong di {subject} sudah cukup lagi.",
        ),
        "expiring": Words(
            "{what_word} {name} berlaku sampai {until}.",
            "Perbarui sebelum itu; sesudahnya penyimpanannya menolak atau tidak dapat dipercaya."
            " Cabang memperbarui miliknya sendiri: apakah jalurnya putus, atau mati?",
            "{what_word} {name} tidak lagi segera berakhir.",
        ),
        "backup_overdue": Words(
            "Katalog belum dicadangkan sejak {since}.",
            "`vms backup` membuatnya sekarang; jalannya DAG `backup` yang terakhir di Airflow menjelaskan sebabnya.",
            "Katalog sudah dicadangkan lagi.",
        ),
    },
}

EXPIRING: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "certificate": "certificate of",
        "credential": "credential of connection",
        "branch": "certificate of the branch",
    },
    "id": {"certificate": "Sertifikat", "credential": "Kredensial koneksi", "branch": "Sertifikat cabang"},
}

STATES: Mapping[Language, Mapping[str, str]] = {
    "en": {"unreachable": "unreachable", "full": "full", "denied": "refusing access"},
    "id": {"unreachable": "tidak terjangkau", "full": "penuh", "denied": "menolak akses"},
}

UNITS: Mapping[Language, Mapping[str, tuple[str, str]]] = {
    "en": {
        "files": ("file", "files"),
        "copies": ("copy", "copies"),
        "recordings": ("recording", "recordings"),
        "hours": ("hour", "hours"),
        "days": ("day", "days"),
    },
    "id": {
        "files": ("berkas", "berkas"),
        "copies": ("salinan", "salinan"),
        "recordings": ("rekaman", "rekaman"),
        "hours": ("jam", "jam"),
        "days": ("hari", "hari"),
    },
}
"""What is counted: one of it, and any other number."""

PHRASES: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "several": "{count} messages",
        "more": "... and {count} more: `vms alerts list`",
        "test": "Test",
        "test_body": "Alerts reach you. Nothing is wrong.",
        "restored": "{site}: footage of camera {camera} of {start} is back from cold storage, as asked for by {who}.",
        "restored_until": "It can be played until {until}.",
        "digest": "{site}, {day}",
        "covered": "{percent} of the expected footage is archived.",
        "nothing": "No footage was expected.",
        "camera": "{camera}: {percent}",
        "open": "Open alerts:",
        "fine": "No open alerts.",
        "picture": "Coverage of the last {count} days",
    },
    "id": {
        "several": "{count} pesan",
        "more": "... dan {count} lagi: `vms alerts list`",
        "test": "Uji coba",
        "test_body": "Peringatan sampai kepada Anda. Tidak ada masalah.",
        "restored": "{site}: rekaman kamera {camera} dari {start} sudah dipulihkan dari penyimpanan dingin, atas "
        "permintaan {who}.",
        "restored_until": "Dapat diputar sampai {until}.",
        "digest": "{site}, {day}",
        "covered": "{percent} rekaman yang diharapkan sudah diarsipkan.",
        "nothing": "Tidak ada rekaman yang diharapkan.",
        "camera": "{camera}: {percent}",
        "open": "Peringatan yang masih terbuka:",
        "fine": "Tidak ada peringatan yang terbuka.",
        "picture": "Cakupan {count} hari terakhir",
    },
}

LINES = 12
"""Of one message, so that it fits into the 4,096 signs that Telegram takes; what is above is counted."""


def phrase(language: Language, key: str, **values: Any) -> str:
    """One of PHRASES with its values."""
    return PHRASES[language][key].format(**values)


def restored_text(language: Language, site: str, detail: Mapping[str, Any], zone: ZoneInfo) -> str:
    """A recording is back from cold storage (detail: as `vms.catalogue.restores` writes it)."""
    start = _clock(datetime.fromisoformat(detail["start"]), zone)
    until = _clock(datetime.fromisoformat(detail["until"]), zone) if detail["until"] else ""
    said = phrase(language, "restored", site=site, camera=detail["camera"], start=start, who=detail["who"])
    return f"🧊 {said} {phrase(language, 'restored_until', until=until) if until else ''}".rstrip()


def begin_text(language: Language, alert: AlertRow, zone: ZoneInfo) -> str:
    """What is wrong and what to do."""
    words, values = _words(language, alert), _values(language, alert, zone)
    return f"🔴 {words.begin.format(**values)} {words.remedy.format(**values)}"


def short_text(language: Language, alert: AlertRow, zone: ZoneInfo) -> str:
    """What is wrong, for a list."""
    return _words(language, alert).begin.format(**_values(language, alert, zone))


def told(language: Language, alert: AlertRow, zone: ZoneInfo) -> tuple[str, str]:
    """What is wrong, and what to do."""
    words, values = _words(language, alert), _values(language, alert, zone)
    return words.begin.format(**values), words.remedy.format(**values)


def end_text(language: Language, alert: AlertRow, zone: ZoneInfo) -> str:
    """That it is over, and from when to when it went on."""
    times = f"{_clock(alert.opened_at, zone)} - {_clock(alert.closed_at or alert.seen_at, zone)}"
    return f"🟢 {_words(language, alert).end.format(**_values(language, alert, zone))} ({times})"


def joined(language: Language, lines: Sequence[str]) -> str:
    """Several lines as one text that fits into a message."""
    more = [phrase(language, "more", count=len(lines) - LINES)] if len(lines) > LINES else []
    return "\n\n".join([*lines[:LINES], *more])


def digest_text(language: Language, days: Sequence[DayCoverage], open_alerts: Sequence[str]) -> str:
    """Of one site and day: footage by camera, and what is wrong now."""
    expected, present = sum(one.expected_s for one in days), sum(one.present_s for one in days)
    lines = [
        phrase(language, "covered", percent=percent(present, expected)) if expected else phrase(language, "nothing")
    ]
    lacking = sorted((one for one in days if one.present_s < one.expected_s), key=lambda one: one.percent or 0.0)
    lines += [
        phrase(language, "camera", camera=one.camera, percent=percent(one.present_s, one.expected_s))
        for one in lacking[:LINES]
    ]
    lines += [phrase(language, "open"), *(f"🔴 {text}" for text in open_alerts[:LINES])] if open_alerts else []
    return "\n".join(lines if open_alerts else [*lines, phrase(language, "fine")])


def percent(present: float, expected: float) -> str:
    """Never rounded up to 100."""
    return f"{int(1000 * present / expected) / 10:g}%"


def counted(language: Language, unit: str, count: int) -> str:
    """How many of it: 1 file, 2 files."""
    one, many = UNITS[language][unit]
    return f"{count:,} {one if count == 1 else many}"


def day_text(day: date) -> str:
    """As both languages read it without a doubt."""
    return f"{day:%Y-%m-%d}"


def _words(language: Language, alert: AlertRow) -> Words:
    kinds: Mapping[Any, Words] = KINDS[language]
    return kinds[alert.kind]


def _values(language: Language, alert: AlertRow, zone: ZoneInfo) -> dict[str, Any]:
    values = {**alert.detail, "site": alert.site, "subject": alert.subject}
    for unit in ("files", "copies", "recordings"):
        values[unit] = counted(language, unit, values.get("count", 0))
    for unit in ("hours", "days"):
        values[f"{unit}_text"] = counted(language, unit, values.get(unit, 0))
    if "since" in values:
        values["since"] = _clock(datetime.fromisoformat(values["since"]), zone)
    if "bytes" in values:
        values["gigabytes"] = f"{values['bytes'] / 1e9:.1f}"
    if "until" in values:
        values["until"] = _clock(datetime.fromisoformat(values["until"]), zone)
        values["what_word"] = EXPIRING[language][values["what"]]
    if "state" in values:
        values["state_word"] = STATES[language].get(values["state"], values["state"])
    return values


def _clock(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M %Z}"
