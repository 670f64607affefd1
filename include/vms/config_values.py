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

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(\d{1,6})\s*([smhdw])", re.ASCII)
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
    """A store's URL. Only file:///absolute/folder so far."""
    expanded = _expand(text, quote(str(home)))
    parts = urlsplit(expanded)
    if parts.password is not None or (parts.username and parts.scheme != "file"):
        raise ValueError("a URL must not hold a user name or password: take it out and change that password.")
    if parts.scheme != "file":
        known = f'"{parts.scheme}:" is not supported' if parts.scheme else "a URL begins with its kind"
        raise ValueError(f"{known}; allowed is file:///absolute/folder, where the NAS or SAN is mounted.")
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ValueError("after file: come three slashes and an absolute folder, such as file:///mnt/nas/cctv.")
    if parts.path.rstrip("/") == "":
        raise ValueError("the root folder can't be a store; name a folder, such as file:///mnt/nas/cctv.")
    if parts.query or parts.fragment:
        raise ValueError('"?" and "#" can\'t be part of a store\'s URL.')
    return "file://" + parts.path.rstrip("/")


def store_folder(url: str) -> Path:
    """The folder that a file:// URL means."""
    return Path(unquote(urlsplit(url).path))


def _expand(text: str, home: str) -> str:
    for match in _VARIABLE.finditer(text):
        if match.group(0) != "${VMS_HOME}":
            raise ValueError(f"{match.group(0)} is not known here; only ${{VMS_HOME}} is.")
    return text.replace("${VMS_HOME}", home)
