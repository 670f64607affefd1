"""What an export leaves behind: names of files, the manifest that says what is there and what is not, SHA256SUMS."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

from vms.catalogue.reads import RecordingRow
from vms.coverage import CameraFacts, Gap
from vms.errors import ConfigError, VmsError
from vms.model import CopyOrder
from vms.steps.export import Exported
from vms.whole_file import write_whole
from vms.wording import utc_text

MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
CLIPS = "clips"
_SCHEMA = 1


@dataclass(frozen=True)
class Asked:
    """What was asked for. words: the range as it was written; sites, cameras: ids, none: all; only_clips: the
    recordings' files are not handed over."""

    words: str
    sites: tuple[str, ...]
    cameras: tuple[str, ...]
    only_clips: bool = field(default=False, kw_only=True)

    def as_object(self) -> dict[str, Any]:
        told = {"range": self.words, "sites": sorted(self.sites), "cameras": sorted(self.cameras)}
        return told | {"only_clips": True} if self.only_clips else told


@dataclass
class Folder:
    """The folder that is written into, and what has come of each recording so far.

    first, last: start and end of all footage that the catalogue knows in the range (UTC). clips: what was cut of it
    (`vms.exports.clips`). evidence: why it was asked for, when an evidence package is made of it. label: what
    the log of views calls the export.
    """

    root: Path
    asked: Asked
    by: str
    at: datetime
    label: Mapping[str, Any]
    recordings: list[dict[str, Any]] = field(default_factory=list)
    lacking: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    clips: list[dict[str, Any]] = field(default_factory=list)
    evidence: dict[str, Any] | None = None
    written: int = 0
    size_bytes: int = 0
    first: datetime | None = None
    last: datetime | None = None
    _names: set[str] = field(default_factory=set)

    @classmethod
    def opened(cls, root: Path, asked: Asked, by: str, at: datetime, label: Mapping[str, Any]) -> Folder:
        """A folder without an export or with one of the same range. Raises ConfigError for another's, OSError."""
        made = cls(root, asked, by, at, label)
        try:
            before = json.loads((root / MANIFEST).read_text())
        except FileNotFoundError:
            before = None
        except ValueError:
            before = {}
        if before is not None and (not isinstance(before, dict) or before.get("asked") != asked.as_object()):
            raise ConfigError(
                f"{root} holds the export of another range, or of more than clips; nothing in it was touched.",
                "Give each export a folder of its own, or the very words of the first one to go on with it.",
            )
        if before is None:
            made._write_manifest(complete=False)
        return made

    def path_of(self, row: RecordingRow, order: CopyOrder) -> Path:
        """Its file: site/camera/2026-01-31/site_camera_2026-01-31_08-00-00_WIB.mp4, on the clock of the site.

        Of several recordings of a camera from one second the later ones have their number in the name, too.
        """
        key = next(copy.key for copy in order.held if copy.part == "rendition")
        at = row.start_utc.astimezone(ZoneInfo(row.time_zone))
        stem = stem_of(row.site, row.camera, at)
        if stem in self._names:
            stem = f"{stem}_{row.id}"
        self._names.add(stem)
        return self.root / row.site / row.camera / f"{at:%Y-%m-%d}" / f"{stem}{PurePosixPath(key).suffix}"

    def has(self, row: RecordingRow, path: Path, done: Exported) -> None:
        """It lies there, proven."""
        self._saw(row)
        self.written += done.how == "written"
        self.size_bytes += done.copy.size_bytes
        self.troubles += done.troubles
        file = path.relative_to(self.root).as_posix()
        self.recordings.append(
            {
                "file": file,
                "size_bytes": done.copy.size_bytes,
                "sha256": done.copy.sha256,
                **_identity(row),
                "time_basis": row.time_basis,
                "time_marks": list(row.time_marks),
                "duration_s": row.duration_s,
                "source": {
                    "name": row.source_name,
                    "size_bytes": row.source_bytes,
                    "sha256": row.source_sha256 or None,
                },
                "rendition": {
                    "kind": row.kind,
                    "profile": row.profile or None,
                    "codec": row.codec,
                    "audio_codec": row.audio_codec or None,
                    "width": row.width,
                    "height": row.height,
                    "fps": row.fps,
                },
                "damaged": row.damaged or None,
                "key": done.copy.key,
            }
        )

    def lacks(self, row: RecordingRow) -> None:
        """The catalogue knows of it, and no store has it: not archived (yet), purged, or lost."""
        self._saw(row)
        reason = row.reason or ("no_copy" if row.state in ("archived", "released") else row.state)
        self.lacking.append({**_identity(row), "state": row.state, "reason": reason, "message": row.message or None})

    def failed(self, row: RecordingRow, error: VmsError) -> None:
        """A store should have it, and none gave it."""
        self._saw(row)
        self.failures.append({**_identity(row), "message": error.message, "remedy": error.remedy})

    def mark_left_out(self) -> None:
        """Say of which recordings the clips are handed over alone: those that are in one, of cameras of which nothing
        failed. Others are all there is of their time, and stay. The manifest names all of them, with their hashes."""
        failed = {(one["site"], one["camera"]) for one in self.failures}
        seen = {file for clip in self.clips for file in clip["made_of"]}
        for one in self.recordings:
            if one["file"] in seen and (one["site"], one["camera"]) not in failed:
                one["left_out"] = True

    def remove_left_out(self) -> None:
        """Take out the files that are so marked, when nothing is to be made of them any more."""
        for one in self.recordings:
            if "left_out" in one:
                path = self.root / one["file"]
                path.unlink(missing_ok=True)
                self.size_bytes -= one["size_bytes"]
                for empty in path.parents[:3]:  # the day, the camera, the site
                    with contextlib.suppress(OSError):
                        empty.rmdir()

    def close(self, *, complete: bool, attached: Sequence[str] = ()) -> None:
        """Write the manifest and then the hash list, which names the manifest and what else was put there as well."""
        self._write_manifest(complete=complete)
        hashes = {one["file"]: one["sha256"] for one in (*self.recordings, *self.clips) if "left_out" not in one}
        for name in (MANIFEST, *attached):
            hashes[name] = hashlib.sha256((self.root / name).read_bytes()).hexdigest()
        write_whole(self.root / SUMS, "".join(f"{digest}  {file}\n" for file, digest in sorted(hashes.items())))

    def summary(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "to": str(self.root),
            "written": self.written,
            "already_there": len(self.recordings) - self.written,
            "left_out": sum("left_out" in one for one in self.recordings),
            "size_bytes": self.size_bytes,
            "failed": self.failures,
            "not_in_a_store": self.lacking,
            "gaps": self.gaps,
            "stores_that_failed": self.troubles,
        }

    def counts(self) -> dict[str, int]:
        """How much of what is in it."""
        parts = (self.recordings, self.lacking, self.failures, self.gaps)
        return dict(zip(("recordings", "not_in_a_store", "failed", "gaps"), map(len, parts), strict=True))

    def _saw(self, row: RecordingRow) -> None:
        self.first = min(self.first or row.start_utc, row.start_utc)
        self.last = max(self.last or row.end_utc, row.end_utc)

    def as_manifest(self, *, complete: bool) -> dict[str, Any]:
        """What is in the folder and what is not, and why."""
        told: dict[str, Any] = {
            "schema": _SCHEMA,
            "asked": self.asked.as_object(),
            "complete": complete,
            "exported_at": utc_text(self.at),
            "exported_by": self.by,
            "recordings": self.recordings,
            "failed": self.failures,
            "not_in_a_store": self.lacking,
            "gaps": self.gaps,
        }
        told |= {"clips": self.clips} if self.clips else {}
        return told if self.evidence is None else told | {"evidence": self.evidence}

    def _write_manifest(self, *, complete: bool) -> None:
        told = self.as_manifest(complete=complete)
        write_whole(self.root / MANIFEST, json.dumps(told, ensure_ascii=False, indent=1) + "\n")


def gap_object(facts: CameraFacts, gap: Gap) -> dict[str, Any]:
    """A gap for the manifest: on the site's clock with its offset, and in UTC."""
    return {
        "site": facts.site,
        "camera": facts.camera,
        "start": gap.start.astimezone(facts.zone).isoformat(),
        "end": gap.end.astimezone(facts.zone).isoformat(),
        "start_utc": utc_text(gap.start),
        "end_utc": utc_text(gap.end),
        "seconds": gap.seconds,
        "reason": gap.reason,
        "detail": gap.detail or None,
    }


def stem_of(site: str, camera: str, at: datetime) -> str:
    """The name of a file with footage from `at`, which is in the site's zone: site_camera_2026-01-31_08-00-00_WIB."""
    zone = at.tzname() or ""
    return f"{site}_{camera}_{at:%Y-%m-%d_%H-%M-%S}_{'UTC' if zone[:1] in ('+', '-') else ''}{zone}"


def _identity(row: RecordingRow) -> dict[str, Any]:
    zone = ZoneInfo(row.time_zone)
    return {
        "recording": row.id,
        "site": row.site,
        "site_name": row.site_name,
        "camera": row.camera,
        "camera_name": row.camera_name,
        "time_zone": row.time_zone,
        "start": row.start_utc.astimezone(zone).isoformat(),
        "end": row.end_utc.astimezone(zone).isoformat(),
        "start_utc": utc_text(row.start_utc),
        "end_utc": utc_text(row.end_utc),
    }
