"""Make a rendition of one source file, check it, and fall back to what keeps the footage whole.

Encoded if that makes it smaller; otherwise the same picture in our container (remuxed); otherwise, and for footage
that is damaged, the source byte by byte (original). Nothing that this returns is larger than its source.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vms.config import Profile
from vms.errors import EncodeFailed, SourceRejected
from vms.paths import to_text
from vms.video import commands
from vms.video.binaries import Binaries, version
from vms.video.commands import SoundMode, Targets
from vms.video.faults import is_cut_off, picture_faults, short, sound_faults
from vms.video.ffmpeg import Finished, Progress, run, wall_limit_s
from vms.video.identity import Identity
from vms.video.probe import Probe, probe

WORST_RATIO = 0.85
"""A rendition that would be larger than this part of its source is not worth an encode."""

_TRIAL = 0.10  # of the frames, before an encode may be given up as not worth it
_EFFICIENT = {"hevc": 0.02, "h264": 0.015}  # bits per pixel and frame below which a second encode only makes it larger
_TOO_LATE = 0.6  # of the frames: what is spent already is more than what giving up would save
_SLACK_S = 0.5


_CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGFPE)


class _Crashed(EncodeFailed):
    """A fault of a decoder that this file brings to light: it would do so each time."""


@dataclass(frozen=True)
class Made:
    """A rendition lying at `path` (staging, not yet under its name) and what is known of it; previews may be absent."""

    path: Path
    poster: Path | None
    sprite: Path | None
    kind: Literal["encoded", "remuxed", "original"]
    suffix: str
    codec: str
    audio_codec: str | None
    width: int
    height: int
    duration_s: float
    frames: int
    why_kept: str
    damaged: str
    argv: tuple[str, ...]
    ffmpeg: str
    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class _Work:
    source: Path
    size_bytes: int
    found: Probe
    identity: Identity
    profile: Profile
    targets: Targets
    programs: Binaries
    stop: threading.Event | None
    told: Callable[[float], None]
    sound: SoundMode
    sound_note: str
    runs: list[Finished]

    @property
    def frame_s(self) -> float:
        return 1 / (self.found.video.fps or 1.0)

    @property
    def frames_expected(self) -> float:
        return max(1.0, self.found.video.frames or self.found.duration_s * (self.found.video.fps or 25.0))


def make(
    source: Path,
    found: Probe,
    identity: Identity,
    profile: Profile,
    folder: Path,
    programs: Binaries,
    *,
    stop: threading.Event | None = None,
    told: Callable[[float], None] | None = None,
) -> Made:
    """Make the rendition and previews of `source` in the empty `folder`. told gets the part that is done, 0 to 1.

    Raises SourceRejected when no picture in it decodes, EncodeFailed when FFmpeg failed for a reason that is not the
    file's (limits, killed), Stopped when `stop` is set. Where FFmpeg crashes, the source itself is kept.
    """
    targets = Targets(folder / "rendition.mp4", folder / "poster.jpg", folder / "tiles.nut", folder / "sprite.jpg")
    size_bytes = source.stat().st_size
    work = _Work(
        source, size_bytes, found, identity, profile, targets, programs, stop, told or (lambda _: None), "none", "", []
    )
    try:
        work = _with_sound(work)
        made = _made(work)
    except _Crashed as crash:
        for path in (targets.poster, targets.tiles):  # whatever was half written
            path.unlink(missing_ok=True)
        made = _crashed(work, crash)
    if _there(targets.tiles):
        _run(work, commands.sheet(programs.ffmpeg, found, targets))
    return replace(
        made,
        poster=made.poster if _there(targets.poster) else None,
        sprite=made.sprite if _there(targets.sprite) else None,
        wall_s=sum(one.wall_s for one in work.runs),
        cpu_s=sum(one.cpu_s for one in work.runs),
    )


def bits_per_pixel(found: Probe, size_bytes: int) -> float:
    """Bits that the picture spends on one pixel of one frame."""
    rate = found.video.bit_rate or (size_bytes * 8 / found.duration_s if found.duration_s else 0.0)
    return rate / (max(1, found.pixels) * (found.video.fps or 25.0))


def reason_to_keep(found: Probe, profile: Profile, size_bytes: int) -> str:
    """Why the picture should not be encoded again; empty when it should."""
    if profile.codec == "copy":
        return f"profile {profile.name} keeps the picture as it is"
    if found.video.codec == "av1":
        return "it is AV1 already"
    limit, spent = _EFFICIENT.get(found.video.codec, 0.0), bits_per_pixel(found, size_bytes)
    if spent < limit:
        return (
            f"it is efficient already ({spent:.4f} bits per pixel and frame; {found.video.codec} below {limit} "
            "only grows when it is encoded again)"
        )
    return ""


def _with_sound(work: _Work) -> _Work:
    """Decide what becomes of the sound by decoding it first: broken sound must not cost the picture an encode."""
    audio = work.found.audio
    if audio is None:
        lost = work.found.unreadable_audio
        return replace(work, sound_note=f"its sound ({lost}) can't be read and is left out") if lost else work
    done = _run(work, commands.decode_sound(work.programs.ffmpeg, work.source, work.found))
    faults = sound_faults(done.stderr)
    if done.returncode != 0 or done.progress.out_time_s == 0:
        words = f": {short(faults[0] if faults else done.last_words)}" if done.stderr else ""
        return replace(work, sound_note=f"its sound ({audio.codec}) does not decode and is left out{words}")
    if faults:
        note = f"some of its sound ({audio.codec}) does not decode ({short(faults[0])})"
        return replace(work, sound="aac", sound_note=note)
    return replace(work, sound="copy" if audio.codec == "aac" else "aac")


def _made(work: _Work) -> Made:
    for count, what in ((work.found.pictures, "pictures"), (work.found.sounds, "sounds")):
        if count > 1:
            return _original(work, f"there are {count} {what} in it, and a rendition holds one")
    why = reason_to_keep(work.found, work.profile, work.size_bytes)
    if not why:
        made, why = _attempt(work, "encoded", "")
        if made is not None:
            return made
    made, not_remuxed = _attempt(work, "remuxed", why)
    return made or _original(work, f"{why}; {not_remuxed}")


def _attempt(work: _Work, kind: Literal["encoded", "remuxed"], why: str) -> tuple[Made | None, str]:
    """One command and what to make of it: the rendition; or the original when it shows damage; or None and why."""
    program, verb = work.programs.ffmpeg, "encode" if kind == "encoded" else "remux"
    if kind == "encoded":
        argv = commands.encode(program, work.source, work.found, work.profile, work.identity, work.targets, work.sound)
        done = _run(work, argv, _worth_it(work))
    else:
        argv = commands.remux(program, work.source, work.found, work.identity, work.targets, work.sound)
        done = _run(work, argv)
    if done.cut_short:
        return None, f"encoding it again would not make it smaller than {WORST_RATIO:.0%} of the source"
    if done.returncode != 0 and work.sound != "none" and sound_faults(done.stderr):
        note = f"its sound can't be stored and is left out: {short(sound_faults(done.stderr)[0])}"
        return _attempt(replace(work, sound="none", sound_note=note), kind, why)
    damage = _damage(work, done)
    if damage:
        if done.progress.frame and done.returncode == 0:
            return _as_original(work, done, argv, "it is damaged, so nothing of it is changed", damage), ""
        return _original(work, "it is damaged, so nothing of it is changed"), ""
    if done.returncode != 0:
        return None, f"FFmpeg could not {verb} it ({short(done.last_words)})"
    size = work.targets.rendition.stat().st_size
    if size > work.size_bytes:
        return None, f"to {verb} it gives {size} bytes from {work.size_bytes}"
    checked, problem = _check(work, done)
    if checked is None:
        return None, f"to {verb} it gives something that does not check ({problem})"
    made = Made(
        path=work.targets.rendition,
        poster=work.targets.poster,
        sprite=work.targets.sprite,
        kind=kind,
        suffix=".mp4",
        codec=checked.video.codec,
        audio_codec=checked.audio.codec if checked.audio else None,
        width=checked.video.width,
        height=checked.video.height,
        duration_s=checked.duration_s,
        frames=done.progress.frame,
        why_kept=why,
        damaged=work.sound_note,
        argv=tuple(to_text(word) for word in argv),
        ffmpeg=version(program),
        wall_s=0.0,
        cpu_s=0.0,
    )
    return made, ""


def _run(work: _Work, argv: list[str], on_progress: Callable[[Progress], bool] | None = None) -> Finished:
    def heard(progress: Progress) -> bool:
        work.told(min(1.0, progress.frame / work.frames_expected))
        return on_progress is None or on_progress(progress)

    limit_s = wall_limit_s(work.found.duration_s, work.found.pixels)
    done = run(argv, wall_limit_s=limit_s, on_progress=heard, stop=work.stop)
    work.runs.append(done)
    if done.returncode in _CRASHES and not done.cut_short:
        raise _Crashed(f"FFmpeg crashes on it ({signal.Signals(-done.returncode).name})", "Its source is kept.")
    if done.returncode < 0 and not done.cut_short:
        raise EncodeFailed(
            f"FFmpeg was killed by signal {-done.returncode} ({done.last_words}).",
            "Did the machine run out of memory? It is tried again.",
        )
    if any("Cannot allocate memory" in line or "No space left" in line for line in done.stderr):
        raise EncodeFailed(
            f"FFmpeg had no room to work: {short(done.last_words)}.",
            "Free memory or staging space on this machine; it is tried again.",
        )
    return done


def _worth_it(work: _Work) -> Callable[[Progress], bool]:
    """Whether to go on encoding. Bytes are written a group of pictures at a time: judged only when one is complete.

    libx264 begins a group where the scene changes, so its frames are all counted as written: that errs to go on.
    """
    gop = commands.gop_frames(work.found, work.profile)
    seen = 0

    def worth_it(progress: Progress) -> bool:
        nonlocal seen
        if progress.total_size <= seen:
            return True
        seen = progress.total_size
        written = progress.frame // gop * gop if work.profile.codec == "av1" else progress.frame
        part = written / work.frames_expected
        return part < _TRIAL or part > _TOO_LATE or seen / part <= WORST_RATIO * work.size_bytes

    return worth_it


def _damage(work: _Work, done: Finished) -> str:
    """What of the source does not decode, as a sentence; empty when all of it does."""
    faults, found = picture_faults(done.stderr), work.found
    decoded_s = min(found.duration_s, done.progress.frame * work.frame_s)
    complete = found.video.frames is not None and done.progress.frame >= found.video.frames - 1
    missing = not complete and found.duration_s - decoded_s > work.frame_s + _SLACK_S
    said = f" ({short(faults[0])})" if faults else ""
    if missing and (faults or found.video.frames is not None):
        return f"{'first ' if is_cut_off(faults) else ''}{decoded_s:.1f} s of {found.duration_s:.1f} s decode{said}"
    return f"some of the picture is broken: {len(faults)} errors while decoding{said}" if faults else ""


def _check(work: _Work, written: Finished) -> tuple[Probe | None, str]:
    """Decode all of the finished file and compare it with what went in."""
    done = _run(work, commands.decode_all(work.programs.ffmpeg, work.targets.rendition))
    if done.returncode != 0 or picture_faults(done.stderr) or sound_faults(done.stderr):
        return None, short(done.last_words)
    frames, expected = done.progress.frame, work.found.video.frames
    if frames != written.progress.frame:
        return None, f"{frames} frames decode, {written.progress.frame} were written"
    if expected is not None and abs(expected - frames) > max(1, round(0.005 * expected)):
        return None, f"{frames} frames, and the source says {expected}"
    try:
        checked = probe(work.targets.rendition)
    except SourceRejected as error:
        return None, error.message
    apart_s = abs(checked.duration_s - work.found.duration_s)
    known = work.found.video.duration_s is not None and frames != expected
    if known and apart_s > work.frame_s + _SLACK_S:
        return None, f"{checked.duration_s:.2f} s long, and the source {work.found.duration_s:.2f} s"
    return checked, ""


def _original(work: _Work, why: str) -> Made:
    """The source itself; previews and the number of frames come from what decodes of it."""
    argv = commands.previews(work.programs.ffmpeg, work.source, work.found, work.targets)
    done = _run(work, argv)
    if done.progress.frame == 0:
        raise SourceRejected(
            "undecodable",
            f"{to_text(work.source.name)}: no picture in it can be decoded ({short(done.last_words)}).",
            "Export it again from the recorder; it is looked at again when it changes or when asked.",
        )
    return _as_original(work, done, argv, why, _damage(work, done))


def _crashed(work: _Work, crash: _Crashed) -> Made:
    why = "FFmpeg crashes on it, so nothing of it is changed"
    made = _as_original(work, work.runs[-1], [], why, "")
    return replace(made, damaged=f"{crash.message}; how much of it decodes is not known")


def _as_original(work: _Work, done: Finished, argv: list[str], why: str, damage: str) -> Made:
    found, frames = work.found, done.progress.frame
    return Made(
        path=work.source,
        poster=work.targets.poster,
        sprite=work.targets.sprite,
        kind="original",
        suffix=_suffix(work.source),
        codec=found.video.codec,
        audio_codec=found.audio.codec if found.audio else None,
        width=found.video.width,
        height=found.video.height,
        duration_s=min(found.duration_s, frames * work.frame_s) if damage else found.duration_s,
        frames=frames,
        why_kept=why,
        damaged=damage,
        argv=tuple(to_text(word) for word in argv),
        ffmpeg=version(work.programs.ffmpeg),
        wall_s=0.0,
        cpu_s=0.0,
    )


def _suffix(source: Path) -> str:
    """The source's ending where it can be part of an object's key."""
    return source.suffix.lower() if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", source.suffix) else ".bin"


def _there(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
