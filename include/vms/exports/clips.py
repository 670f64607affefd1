"""The clips of an export: of each camera the range as one file, or one for each stretch without a gap."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from vms.catalogue.reads import RecordingFilter
from vms.errors import VmsError
from vms.exports.folder import CLIPS, Folder, stem_of
from vms.home import Home
from vms.model import Cut, Gaps
from vms.steps.clip import Clip, Footage, make_clip, plan_clips
from vms.steps.fast_clip import make_fast_clip, plan_fast_clips
from vms.steps.staged import sha256_of
from vms.video.ffmpeg import Stopped
from vms.whole_file import write_whole
from vms.wording import utc_text


@dataclass(frozen=True)
class What:
    """What is made of the recordings beside the files. cut: how clips are cut: exact (as H.264, encoded) or fast (as
    stored, from the picture before on). gaps: what of them becomes of holes; a fast one has none. only_clips: the files
    are not handed over. reason: of an evidence package; "": none is made."""

    clip: bool = False
    burn_in: bool = False
    cut: Cut = "exact"
    gaps: Gaps = "short"
    only_clips: bool = False
    reason: str = ""


@dataclass(frozen=True)
class _Planned:
    clip: Clip
    site: str
    camera: str
    names: str
    zone: str
    files: tuple[str, ...]


def write_clips(
    home: Home,
    folder: Folder,
    wanted: Sequence[RecordingFilter],
    begins: Callable[[float, int], None],
    moved: Callable[[float], None],
    stop: threading.Event,
    what: What,
) -> None:
    """Make the clips of all recordings that lie in the folder. wanted: the range, in UTC for each zone.

    begins: told how many seconds and clips it will be; moved: how many seconds are made. Raises Stopped.
    What an earlier try has made of the same recordings is not made again (until `forget_notes`).
    """
    notes = _Notes(folder.root)
    planned: list[_Planned] = []
    for some in _by_camera(folder.recordings):
        try:
            planned += _planned(home, folder, some, wanted, what)
        except VmsError as error:
            of = {"file": CLIPS, "site": some[0]["site"], "camera": some[0]["camera"]}
            folder.failures.append(of | {"message": error.message, "remedy": error.remedy})
    begins(sum(one.clip.seconds for one in planned), len(planned))
    before = 0.0
    for one in planned:
        if stop.is_set():
            raise Stopped
        begin = one.clip.begin.astimezone(ZoneInfo(one.zone))
        path = folder.root / CLIPS / f"{stem_of(one.site, one.camera, begin)}.mp4"
        told = _told(one, path, folder.root, what)
        burnt_in = one.names if what.burn_in else ""
        try:
            mark = _mark(one, folder, what.cut, burnt_in)
            proof = notes.proof(path, mark)
            if proof is None:
                add = partial(_add, moved, before)
                if what.cut == "fast":
                    make_fast_clip(home, one.clip, path, moved=add, stop=stop)
                else:
                    make_clip(home, one.clip, path, zone=one.zone, burn_in=burnt_in, moved=add, stop=stop)
                proof = notes.keep(path, mark)
            else:
                moved(before + one.clip.seconds)
            proof = proof | {"burnt_in": what.burn_in}
        except VmsError as error:
            folder.failures.append(told | {"message": error.message, "remedy": error.remedy})
        except OSError as error:
            message = f"{path} can't be written ({error.strerror})."
            folder.failures.append(told | {"message": message, "remedy": "Make room there, then go on."})
        else:
            folder.clips.append(told | proof)
        before += one.clip.seconds


class _Notes:
    """Which clips lie in the folder whole, and of what they were made."""

    def __init__(self, root: Path) -> None:
        self._file = _notes_of(root)
        try:
            self._known = dict(json.loads(self._file.read_text()))
        except (OSError, ValueError, TypeError):
            self._known = {}

    def proof(self, path: Path, mark: str) -> dict[str, Any] | None:
        """Size and hash of the clip, when it lies there as it was made; None when it has to be made."""
        known = self._known.get(path.name)
        if not isinstance(known, dict) or known.get("mark") != mark or not path.is_file():
            return None
        found = _proof(path)
        return found if found == known.get("proof") else None

    def keep(self, path: Path, mark: str) -> dict[str, Any]:
        """Take note of a clip that was just made."""
        found = _proof(path)
        self._known[path.name] = {"mark": mark, "proof": found}
        write_whole(self._file, json.dumps(self._known))
        return found


def forget_notes(root: Path) -> None:
    """The export has come to its end: nothing that is no part of it stays in its folder."""
    _notes_of(root).unlink(missing_ok=True)


def _notes_of(root: Path) -> Path:
    return root / CLIPS / ".made.json"


def _proof(path: Path) -> dict[str, Any]:
    return {"size_bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _mark(one: _Planned, folder: Folder, cut: Cut, burnt_in: str) -> str:
    """Changes with whatever the clip is made of."""
    hashes = {each["file"]: each["sha256"] for each in folder.recordings}
    parts = [[first.isoformat(), last.isoformat()] for first, last, _ in one.clip.parts]
    ends = [one.clip.begin.isoformat(), one.clip.end.isoformat()]
    told = [ends, parts, [hashes[name] for name in one.files], one.zone, cut, burnt_in]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _add(moved: Callable[[float], None], before: float, seconds: float) -> None:
    moved(before + seconds)


def _by_camera(recordings: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    cameras: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in recordings:
        cameras.setdefault((one["site"], one["camera"]), []).append(one)
    return list(cameras.values())


def _planned(
    home: Home, folder: Folder, some: Sequence[dict[str, Any]], wanted: Sequence[RecordingFilter], what: What
) -> list[_Planned]:
    first = some[0]
    asked = next(one for one in wanted if not one.sites or first["site"] in one.sites)
    footage = {_footage(folder.root, one): one["file"] for one in some}
    begin = asked.from_utc or min(one.start for one in footage)
    end = asked.to_utc or max(one.end for one in footage)
    if what.cut == "fast":
        clips = plan_fast_clips(home, list(footage), begin, end)
    else:
        clips = plan_clips(list(footage), begin, end, what.gaps)
    return [
        _Planned(
            clip,
            first["site"],
            first["camera"],
            f"{first['site_name']} - {first['camera_name']}",
            first["time_zone"],
            tuple(dict.fromkeys(footage[one] for *_, one in clip.parts)),
        )
        for clip in clips
    ]


def _footage(root: Path, one: dict[str, Any]) -> Footage:
    rendition = one["rendition"]
    return Footage(
        root / one["file"],
        datetime.fromisoformat(one["start_utc"]),
        datetime.fromisoformat(one["end_utc"]),
        rendition["width"],
        rendition["height"],
        float(rendition["fps"] or 0.0),
        bool(rendition["audio_codec"]),
    )


def _told(one: _Planned, path: Path, root: Path, what: What) -> dict[str, Any]:
    zone = ZoneInfo(one.zone)
    holes = [[moment.astimezone(zone).isoformat() for moment in hole] for hole in one.clip.holes]
    return {
        "file": path.relative_to(root).as_posix(),
        "site": one.site,
        "camera": one.camera,
        "start": one.clip.begin.astimezone(zone).isoformat(),
        "end": one.clip.end.astimezone(zone).isoformat(),
        "start_utc": utc_text(one.clip.begin),
        "end_utc": utc_text(one.clip.end),
        "cut": what.cut,
        "made_of": list(one.files),
        "black": holes,
    }
