"""The kinds of values in sites.yaml: durations, time zones, folders and store URLs. ValueError says what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit
from zoneinfo import ZoneInfo, available_timezones

ZONE_ALIASES = {"WIB": "Asia/Jakarta", "WITA": "Asia/Makassar", "WIT": "Asia/Jayapura"}

STORAGE_CLASSES = {
    "s3": ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"),
    "gs": ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"),
}
"""By kind of bucket, the classes that an object can be put into."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(\d{1,6})\s*([smhdw])", re.ASCII)
_SIZE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([MGTP]B)", re.ASCII)
_SIZE_UNITS = {"MB": 6, "GB": 9, "TB": 12, "PB": 15}
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", re.ASCII)
_PREFIX_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", re.ASCII)
_PREFIX_LIMIT = 200
_CONN_ID = re.compile(r"[A-Za-z0-9_]{1,200}", re.ASCII)
_BUCKETS = "s3://bucket/prefix and gs://bucket/prefix"
_VARIABLE = re.compile(r"\$\{?(\w*)\}?")

DURATION_ALLOWED = "a whole number with s, m, h, d or w, such as 10m, 2h or 180d"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean "x"?` for the nearest of the known words, or nothing when none is near."""
    names = list(known)
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.6)
    return f' Did you mean "{lowered[close[0]]}"?' if close else ""


def duration(text: str) -> timedelta:
    """10m, 2h, 7d as a time span."""
    match = _DURATION.fullmatch(text.strip().lower())
    if not match:
        raise ValueError(f"allowed is {DURATION_ALLOWED}.")
    return timedelta(seconds=int(match.group(1)) * _UNITS[match.group(2)])


def size_bytes(text: str) -> int:
    """500GB, 1.5TB as bytes (powers of ten, as disks are sold)."""
    match = _SIZE.fullmatch(text.strip().upper())
    if not match:
        raise ValueError("allowed is a number with MB, GB, TB or PB, such as 500GB or 1.5TB.")
    return int(float(match.group(1)) * 10 ** _SIZE_UNITS[match.group(2)])


def time_zone(text: str) -> str:
    """The IANA name of a time zone; WIB, WITA and WIT are taken too."""
    alias = ZONE_ALIASES.get(text.strip().upper())
    if alias:
        return alias
    try:
        return ZoneInfo(text).key
    except (ValueError, OSError, LookupError):  # zoneinfo raises any of these for an unknown or odd name
        known = [*ZONE_ALIASES, *available_timezones()]
        cities = {name.rsplit("/", 1)[-1]: name for name in known}
        near = did_you_mean(text, known) or did_you_mean(text, cities)
        raise ValueError(
            f"allowed is WIB, WITA, WIT or an IANA name such as Asia/Jakarta or Europe/Berlin.{near}"
        ) from None


def folder(text: str, home: Path) -> Path:
    """An absolute folder. ${VMS_HOME} stands for the state folder and a leading ~ for the home of this user."""
    path = Path(_expand(text, str(home))).expanduser()
    if not path.is_absolute() or "\0" in text:
        raise ValueError("allowed is an absolute path such as /mnt/nvr1, or one that begins with ${VMS_HOME}/.")
    return path


def store_url(text: str, home: Path) -> str:
    """A store's URL without a slash at its end: file:///absolute/folder, s3://bucket/prefix or gs://bucket/prefix."""
    expanded = _expand(text, quote(str(home)))
    parts = urlsplit(expanded)
    if "@" in parts.netloc or (parts.username and parts.scheme != "file"):
        raise ValueError(
            "a URL must not hold a user name or password: take it out and change that password. A store's credentials"
            " belong in the connection that its conn_id names."
        )
    if parts.scheme in STORAGE_CLASSES:
        if _VARIABLE.search(text):
            raise ValueError("${VMS_HOME} has no place in the URL of a bucket.")
        bucket, prefix = bucket_place(expanded)
        return f"{parts.scheme}://{bucket}/{prefix}".rstrip("/")
    if parts.scheme != "file":
        known = f'"{parts.scheme}:" is not supported' if parts.scheme else "a URL begins with its kind"
        near = did_you_mean(parts.scheme, ["file", *STORAGE_CLASSES]) if parts.scheme else ""
        raise ValueError(
            f"{known}; allowed are file:///absolute/folder, where the NAS or SAN is mounted, {_BUCKETS}.{near}"
        )
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ValueError("after file: come three slashes and an absolute folder, such as file:///mnt/nas/cctv.")
    if parts.path.rstrip("/") == "":
        raise ValueError("the root folder can't be a store; name a folder, such as file:///mnt/nas/cctv.")
    if parts.query or parts.fragment:
        raise ValueError('"?" and "#" can\'t be part of a store\'s URL.')
    return "file://" + parts.path.rstrip("/")


def bucket_place(url: str) -> tuple[str, str]:
    """Bucket and prefix of s3://bucket/prefix or gs://...; the prefix has no slash at either end, or is ""."""
    parts = urlsplit(url)
    prefix = parts.path.strip("/")
    if parts.query or parts.fragment:
        raise ValueError('"?" and "#" can\'t be part of a store\'s URL.')
    if not _BUCKET.fullmatch(parts.netloc):
        raise ValueError(
            f"after {parts.scheme}:// comes the bucket's name: 3 to 63 of a-z, 0-9, - and ., such as"
            f" {parts.scheme}://company-cctv/archive."
        )
    if prefix and (len(prefix) > _PREFIX_LIMIT or not all(_PREFIX_PART.fullmatch(one) for one in prefix.split("/"))):
        raise ValueError(
            f"the part after the bucket may hold letters, digits, -, _ and . (not first), at most {_PREFIX_LIMIT}."
        )
    return parts.netloc, prefix


def conn_id(text: str) -> str:
    """The name of a connection, as Airflow knows it."""
    if not _CONN_ID.fullmatch(text):
        raise ValueError(
            "allowed is the name of a connection: letters, digits and _, such as company_s3; what it holds is kept in"
            " secrets/connections.json of the state folder or in the environment variable AIRFLOW_CONN_COMPANY_S3."
        )
    return text


def storage_class(text: str, url: str) -> str:
    """The storage class in the store's own spelling."""
    scheme = urlsplit(url).scheme
    if scheme not in STORAGE_CLASSES:
        raise ValueError("only stores at s3:// and gs:// have one; take it out.")
    known = STORAGE_CLASSES[scheme]
    if text.upper() not in known:
        near = did_you_mean(text, known)
        raise ValueError(f'found "{text}"; allowed for {scheme}:// are {", ".join(known)}.{near}')
    return text.upper()


def store_folder(url: str) -> Path:
    """The folder that a file:// URL means."""
    return Path(unquote(urlsplit(url).path))


def _expand(text: str, home: str) -> str:
    for match in _VARIABLE.finditer(text):
        if match.group(0) != "${VMS_HOME}":
            raise ValueError(f"{match.group(0)} is not known here; only ${{VMS_HOME}} is.")
    return text.replace("${VMS_HOME}", home)
