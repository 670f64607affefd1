"""What lies in a footage folder, and which of it is closed: the recorder has finished writing it.

Listing never follows links, never opens anything, and never hangs its caller. The closed rule is a pure function over
what two looks saw (`decide`), so that it can be read and tested in one place.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Literal

from vms.errors import FootageUnreachable
from vms.paths import from_text, to_text
from vms.time_limit import Hung, within

SETTLE_S = 30.0
"""A file untouched for this long and equal on two looks is closed: recorders flush at least every few seconds."""

OLD_ENOUGH_S = 120.0
"""A file untouched for this long needs no second look: twice the longest pause between the flushes of a recorder."""

OLD_ENOUGH_ON_A_STRANGE_CLOCK_S = 24 * 3600.0
"""The same when the share's clock can't be asked (read-only mount): it may be hours off ours."""

SECOND_LOOK_S = 4.0
"""Two looks are this far apart at least; longer than the one- and two-second mtimes of FAT and SMB shares."""

YOUNG_S = 120.0
"""A file that does not open is given this long after its last change before it is refused."""

LISTING_STALL_S = 60.0
"""A share that names no further file for this long is hung; a busy one answers in milliseconds."""

# fmt: off
VIDEO_ENDINGS = frozenset(
    (
        ".264", ".265", ".3g2", ".3gp", ".asf", ".avc", ".avi", ".bvr", ".dav", ".divx", ".dv", ".f4v", ".flv",
        ".h264", ".h265", ".hevc", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4",
        ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ps", ".ts", ".vob", ".webm", ".wmv",
    )
)
OTHER_ENDINGS = frozenset(
    (
        ".aac", ".avif", ".bak", ".bin", ".bmp", ".cfg", ".conf", ".csv", ".db", ".db-shm", ".db-wal", ".doc",
        ".docx", ".exe", ".ffconcat", ".gif", ".gz", ".heic", ".htm", ".html", ".idx", ".inf", ".info", ".ini",
        ".jpeg", ".jpg", ".js", ".json", ".lnk", ".log", ".m3u", ".m3u8", ".m4s", ".md", ".md5", ".mp3",
        ".mpd", ".nfo", ".pdf", ".png", ".py", ".sdp", ".sha1", ".sha256", ".sh", ".sqlite", ".sqlite3",
        ".srt", ".sub", ".svg", ".tar", ".tif", ".tiff", ".txt", ".url", ".vtt", ".wav", ".webp", ".xls",
        ".xlsx", ".xml", ".yaml", ".yml", ".zip",
    )
)
# fmt: on
"""Known to be no footage: not looked into. A file with any other ending, or none, is judged by its first bytes."""

# fmt: off
TEMPORARY_ENDINGS = frozenset(
    (
        ".!ut", ".crdownload", ".download", ".filepart", ".lock", ".part", ".partial", ".recording", ".swp",
        ".temp", ".tmp", ".writing",
    )
)
# fmt: on
SYSTEM_FOLDERS = frozenset(
    ("#recycle", "#snapshot", "$recycle.bin", "@eadir", "@recycle", "lost+found", "system volume information")
)
"""Folders in which file systems and NAS keep deleted files and thumbnails."""

PROBE_FILE = ".vms-clock-"

Kind = Literal["file", "directory", "link_outside", "broken_link", "not_a_file", "unreadable"]


@dataclass(frozen=True)
class Found:
    """One name in the footage folder. path: text below it. likely: its ending says video; else its bytes must say."""

    path: str
    size_bytes: int
    mtime_ns: int
    kind: Kind
    likely: bool
    temporary: str = ""


@dataclass(frozen=True)
class Listing:
    """All names that may be footage, how many others there are, and the folder's own device number."""

    found: tuple[Found, ...]
    ignored: int
    device: int


@dataclass(frozen=True)
class Look:
    """What is known of a file when it is judged. unchanged_s: for how long looks saw it as it is now; None: first look.

    age_s: since its mtime, by the share's clock. clock_known: that clock could be asked. changed: an earlier look saw
    another size or mtime.
    """

    age_s: float
    unchanged_s: float | None
    changed: bool
    newer_sibling: bool
    clock_known: bool
    temporary: str = ""


def decide(look: Look) -> str:
    """Why the file still waits; "" when it is closed. Cheapest sign first."""
    if look.temporary:
        return f"its name is that of an unfinished file ({look.temporary})"
    if look.changed and (look.unchanged_s is None or look.unchanged_s < SECOND_LOOK_S):
        return "it still changes"
    old_enough = OLD_ENOUGH_S if look.clock_known else OLD_ENOUGH_ON_A_STRANGE_CLOCK_S
    if look.age_s >= old_enough:
        return ""
    seen_twice = look.unchanged_s is not None and look.unchanged_s >= SECOND_LOOK_S
    if look.newer_sibling or look.age_s >= SETTLE_S:
        return "" if seen_twice else "it must look the same twice"
    if look.unchanged_s is not None and look.unchanged_s >= SETTLE_S:
        return ""  # whatever its mtime says: a recorder's clock may run ahead of the share's
    return f"it was written {max(look.age_s, 0):.0f} s ago and nothing newer follows it"


def second_look_helps(look: Look) -> bool:
    """Whether the file would be closed if it looked the same a few seconds later."""
    later = Look(look.age_s, SECOND_LOOK_S, look.changed, look.newer_sibling, look.clock_known, look.temporary)
    return bool(decide(look)) and not decide(later)


def list_footage(root: Path, site: str, stall_s: float = LISTING_STALL_S) -> Listing:
    """Everything below the folder. Raises FootageUnreachable when it is missing, no folder, or does not answer."""
    try:
        return within(stall_s, lambda alive: _walk(root, alive))
    except Hung:
        raise FootageUnreachable(
            f"Site {site}: the footage folder {root} did not answer for {stall_s:.0f} s.",
            "The share or disk hangs: check the network and the recorder, then mount it again. Other sites go on.",
        ) from None
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "is no folder" if isinstance(error, NotADirectoryError) else "does not exist"
        raise FootageUnreachable(
            f"Site {site}: the footage folder {root} {what}.",
            "Is the share mounted on this machine? Else correct `footage` of this site in sites.yaml.",
        ) from error
    except OSError as error:
        raise FootageUnreachable(
            f"Site {site}: the footage folder {root} can't be read ({error.strerror}).",
            "Give the user that runs this the right to list it, or mount the share again.",
        ) from error


def share_clock(root: Path) -> float | None:
    """The share's own time (epoch seconds), from a file touched and removed in it; None when it can't be written."""
    probe = root / f"{PROBE_FILE}{os.getpid()}"
    try:
        descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError:
        return None
    try:
        os.write(descriptor, b".")  # some servers set the mtime only on a write
        os.fsync(descriptor)
        return os.fstat(descriptor).st_mtime
    except OSError:
        return None
    finally:
        os.close(descriptor)
        probe.unlink(missing_ok=True)


def look_again(root: Path, path: str) -> tuple[int, int] | None:
    """Size and mtime_ns of one file now; None when it is gone or no longer a plain file."""
    try:
        now = (root / from_text(path)).lstat()
    except OSError:
        return None
    return (now.st_size, mtime_ns(now)) if stat.S_ISREG(now.st_mode) else None


def mtime_ns(status: os.stat_result) -> int:
    """A file's mtime in nanoseconds, as the catalogue and the ledger can hold it: 64 bits end in the year 2262, and
    unset clocks go beyond."""
    return max(-(2**63), min(status.st_mtime_ns, 2**63 - 1))


def with_newer_sibling(files: Iterable[tuple[str, str, float, int]]) -> set[str]:
    """Of (path, stream, named or guessed start, mtime_ns): the paths after which the same stream wrote a newer file.

    A stream is one camera's files of one ending. The newer file must be newer by name and not older by mtime:
    a set that is being copied backwards proves nothing.
    """
    followed: set[str] = set()
    newest: dict[str, tuple[float, int]] = {}
    for path, stream, start, mtime_ns in sorted(files, key=lambda one: (-one[2], -one[3])):
        later = newest.get(stream)
        if later is not None and later[0] > start and later[1] >= mtime_ns:
            followed.add(path)
        newest[stream] = (max(start, later[0]), max(mtime_ns, later[1])) if later else (start, mtime_ns)
    return followed


def fingerprint(path: Path) -> str:
    """32 hex: the first 128 bits of SHA-256 over size, first 64 KiB and last 64 KiB. Raises OSError."""
    edge = 64 * 1024
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        digest = sha256(b"%d\n" % size)
        digest.update(file.read(edge))
        file.seek(max(0, size - edge))
        digest.update(file.read(edge))
    return digest.hexdigest()[:32]


def looks_like_video(path: Path) -> bool:
    """Whether the first bytes are those of a video container or a camera's raw stream. Raises OSError."""
    with open_plain(path) as file:
        head = file.read(1024)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"skip", b"free") or head.startswith(b"\x1aE\xdf\xa3"):
        return True
    if head.startswith(b"RIFF") and head[8:11] == b"AVI":
        return True
    if head.startswith((b"DHAV", b"DAHUA", b"IMKH", b"IMKV", b"HKMI", b"FLV\x01", b"BLUE", b"\x00\x00\x01\xba")):
        return True
    if head.startswith(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"):  # ASF, WMV
        return True
    packets = range(0, 565, 188)
    if len(head) >= 565 and (all(head[at] == 0x47 for at in packets) or all(head[at + 4] == 0x47 for at in (0, 192))):
        return True
    start = 4 if head.startswith(b"\x00\x00\x00\x01") else 3 if head.startswith(b"\x00\x00\x01") else 0
    return bool(start) and len(head) > start and head[start] in (0x09, 0x27, 0x40, 0x42, 0x46, 0x67, 0xB3)


def open_plain(path: Path) -> BinaryIO:
    """The file for reading, if it is a plain one: a FIFO would block, a link lead elsewhere. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    return os.fdopen(descriptor, "rb")


def _walk(root: Path, alive: Callable[[], None]) -> Listing:
    found: list[Found] = []
    ignored = 0
    device = root.stat().st_dev
    real_root = os.path.realpath(root)
    folders = [os.fspath(root)]
    prefix = len(folders[0].rstrip("/")) + 1
    while folders:
        folder = folders.pop()
        try:
            entries = os.scandir(folder)
        except OSError as error:
            if folder == os.fspath(root):
                raise
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):  # else it went away since it was listed
                found.append(Found(to_text(folder[prefix:]), 0, 0, "unreadable", likely=True))
            continue
        with entries:
            for entry in entries:
                alive()
                one = _look_at(entry, to_text(entry.path[prefix:]), real_root)
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder and not entry.name.startswith(".") and entry.name.lower() not in SYSTEM_FOLDERS:
                    folders.append(entry.path)
                if one is not None:
                    found.append(one)
                elif not is_folder:
                    ignored += 1
    return Listing(tuple(found), ignored, device)


def _look_at(entry: os.DirEntry[str], path: str, real_root: str) -> Found | None:
    """What this name is; None when it is of no interest: a folder, another kind of file, a link within the folder."""
    name = entry.name.lower()
    ending = os.path.splitext(name)[1]  # noqa: PTH122 - names may be any bytes and are not paths yet
    likely = ending in VIDEO_ENDINGS
    try:
        if entry.is_symlink():
            target = os.path.realpath(entry.path)
            inside = target == real_root or target.startswith(real_root + os.sep)
            leads_to_folder = os.path.isdir(target)  # noqa: PTH112
            if likely and not name.startswith(".") and not os.path.lexists(target):
                return Found(path, 0, 0, "broken_link", likely)
            if inside or name.startswith(".") or not (likely or leads_to_folder):
                return None  # what lies inside is listed under its own name
            return Found(path, 0, 0, "link_outside", likely)
        if entry.is_dir(follow_symlinks=False):
            return Found(path, 0, 0, "directory", likely) if likely else None
        now = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError:
        return Found(path, 0, 0, "unreadable", likely) if likely else None
    if not stat.S_ISREG(now.st_mode):
        return Found(path, 0, 0, "not_a_file", likely) if likely else None
    temporary = _temporary(name, ending)
    if temporary:
        footage = any(part in name for part in VIDEO_ENDINGS)
        return Found(path, now.st_size, mtime_ns(now), "file", likely, temporary) if footage else None
    if ending in OTHER_ENDINGS:
        return None
    return Found(path, now.st_size, mtime_ns(now), "file", likely)


def _temporary(name: str, ending: str) -> str:
    """The sign in a lower-case name that somebody is still writing it: rsync's .name.Xy12ab, .part, a trailing ~."""
    if name.startswith("."):
        return "leading dot"
    if name.endswith("~"):
        return "~"
    return ending if ending in TEMPORARY_ENDINGS else ""
