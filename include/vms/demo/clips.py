"""Make one clip of a demo camera and leave it in the footage folder as that site's recorder would."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vms.demo.cameras import DemoCamera, DemoSite, is_night, local_span
from vms.demo.scenes import picture
from vms.errors import EncodeFailed
from vms.home import Home
from vms.video.binaries import binaries
from vms.video.ffmpeg import Stopped, file_url, run

_MUXERS = {".mp4": "mp4", ".avi": "avi", ".dav": "vob"}
_GROW_STEPS = 12


@dataclass(frozen=True)
class Clip:
    """What is to be recorded: start in UTC at a whole second, duration in seconds."""

    site: DemoSite
    camera: DemoCamera
    start_utc: datetime
    duration_s: int

    @property
    def name(self) -> str:
        """Its path below the site's footage folder."""
        start, end = local_span(self.site, self.start_utc, self.duration_s)
        return self.site.name_of(self.camera, start, end)


def footage_folder(home: Home, site: DemoSite) -> Path:
    return home.demo_footage / site.id


def record(clip: Clip, home: Home, *, live: bool, stop: threading.Event | None = None) -> Path:
    """Make the clip and return where it lies.

    live: it lands now, and a recorder that grows its files in place takes a few seconds for it; otherwise it lies
    there at once with the mtime of its own end. Raises EncodeFailed, OSError, and Stopped when `stop` is set; then
    nothing half-made is left.
    """
    final = footage_folder(home, clip.site) / clip.name
    final.parent.mkdir(parents=True, exist_ok=True)
    if clip.site.unfinished:
        making = final.with_name(final.name + clip.site.unfinished)
    else:
        making = home.cache / f"demo-{clip.site.id}-{clip.camera.word}-{clip.start_utc:%Y%m%dT%H%M%S}{final.suffix}"
        making.parent.mkdir(parents=True, exist_ok=True)
    try:
        _encode(clip, making, home, stop)
        if clip.site.unfinished:
            _backdate(making, clip, live=live)
            making.rename(final)
        else:
            _grow(making, final, 0.5 if live else 0.0, stop)
            _backdate(final, clip, live=live)
    finally:
        making.unlink(missing_ok=True)
    return final


def sweep(home: Home, sites: tuple[DemoSite, ...]) -> None:
    """Remove what a recorder that was killed left half-made."""
    for site in sites:
        if site.unfinished:
            for left in footage_folder(home, site).rglob(f"*{site.unfinished}"):
                left.unlink(missing_ok=True)
    for left in home.cache.glob("demo-*"):
        left.unlink(missing_ok=True)


def _encode(clip: Clip, output: Path, home: Home, stop: threading.Event | None) -> None:
    camera = clip.camera
    start, _ = local_span(clip.site, clip.start_utc, clip.duration_s)
    night = is_night(start)
    graph = picture(
        camera.scene,
        title=camera.title,
        local_start=start,
        width=camera.width,
        height=camera.height,
        fps=camera.fps,
        night=night,
    )
    maps = ["-map", "[v]"]
    if camera.encoding == "h264+g711":
        graph += ";anoisesrc=color=brown:amplitude=0.08:sample_rate=8000,highpass=f=120[a]"
        maps += ["-map", "[a]", "-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"]
    argv = [
        *(binaries(home).ffmpeg, "-hide_banner", "-nostdin", "-v", "error", "-nostats", "-progress", "pipe:1", "-y"),
        *("-filter_threads", "1", "-filter_complex_threads", "1", "-filter_complex", graph, *maps),
        *("-t", str(clip.duration_s), "-r", str(camera.fps), *_video_options(camera)),
        *("-metadata", f"creation_time={clip.start_utc.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"),
        *("-f", _MUXERS[camera.suffix], file_url(output)),
    ]
    finished = run(argv, wall_limit_s=600, stop=stop)
    if finished.returncode != 0:
        raise EncodeFailed(
            f"The demo camera {camera.word} of {clip.site.id} could not be recorded: {finished.last_words}",
            "An FFmpeg with drawtext, libx264 and libx265 is needed; unset VMS_FFMPEG to use the one that came along.",
        )


def _video_options(camera: DemoCamera) -> list[str]:
    if camera.fps < 1:
        return ["-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-g", "2", "-crf", "32"]
    if camera.encoding == "hevc":
        params = f"log-level=error:pools=1:frame-threads=1:bframes=0:keyint={round(camera.fps * 10)}"
        rates = ["-b:v", "140k", "-maxrate", "220k", "-bufsize", "440k"]
        return ["-c:v", "libx265", "-preset", "ultrafast", *rates, "-x265-params", params]
    rate = 800 * camera.height // 720
    return [
        *("-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-g", str(round(camera.fps * 2))),
        *("-b:v", f"{rate}k", "-maxrate", f"{rate * 3 // 2}k", "-bufsize", f"{rate * 2}k"),
    ]


def _grow(source: Path, final: Path, pause_s: float, stop: threading.Event | None) -> None:
    """As a recorder that uploads: the file is there under its name from the first byte on."""
    content = source.read_bytes()
    step = len(content) // _GROW_STEPS + 1
    with final.open("wb") as file:
        for at in range(0, len(content), step):
            file.write(content[at : at + step])
            file.flush()
            if pause_s and stop is not None:
                stop.wait(pause_s)  # when stopped, the rest is written at once: a whole file is left

    if stop is not None and stop.is_set():
        raise Stopped


def _backdate(path: Path, clip: Clip, *, live: bool) -> None:
    if not live:
        end = clip.start_utc.timestamp() + clip.duration_s
        os.utime(path, (end, end))
