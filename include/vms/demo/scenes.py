"""Camera-like scenes as FFmpeg filter graphs: a still place, people or cars moving through it, noise, a burnt-in clock.

Nothing is read from disk but the font. The still place is one frame that FFmpeg makes once and repeats, so a clip costs
little more than its encoding. All positions are fractions of the picture, so that a scene fits any resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from vms.video.clips import FONT

_NIGHT_SKY = ("0x30343a", "0x3a3e44", "0x4a4d50")


@dataclass(frozen=True)
class Block:
    """A filled rectangle of the still place: left, top, width and height as fractions of the picture."""

    left: float
    top: float
    width: float
    height: float
    color: str


@dataclass(frozen=True)
class Mover:
    """Something that crosses the picture. kind: person or car. lane: where its feet are, as a fraction of the height.

    speed: picture widths a second, negative to the left. offset: where it is at second 0, in picture widths.
    size: its height as a fraction of the picture's.
    """

    kind: Literal["person", "car"]
    color: str
    lane: float
    speed: float
    offset: float
    size: float


@dataclass(frozen=True)
class Scene:
    """A place seen by one camera. sky: the three colours of the background from top to bottom."""

    sky: tuple[str, str, str]
    blocks: tuple[Block, ...]
    movers: tuple[Mover, ...]
    seed: int


def picture(
    scene: Scene, *, title: str, local_start: datetime, width: int, height: int, fps: float, night: bool
) -> str:
    """The filter graph of this scene with the output pad [v]; endless, the caller limits the time.

    local_start: the wall clock at second 0, burnt in and running on. night: grey, dark and noisy as by infrared.
    """
    shift = (local_start.minute * 60 + local_start.second) / 60  # every clip shows the movers somewhere else
    chains = [_place(scene, width, height, fps, night=night) + "[p0]"]
    for number, mover in enumerate(scene.movers):
        chains.append(_figure(mover, height, fps, night=night) + f"[m{number}]")
        way = f"{mover.speed:.4f}*t+{(mover.offset + shift * mover.speed * 7) % 1.3 + 1.3:.4f}"
        stride = f"-{height * 0.004:.1f}*abs(sin(5*t+{number}))" if mover.kind == "person" else ""
        chains.append(
            f"[p{number}][m{number}]overlay=x='W*(mod({way},1.3)-0.15)'"
            f":y='H*{mover.lane:.3f}-h{stride}':eof_action=repeat[p{number + 1}]"
        )
    size = max(14, height // 26)
    text = [
        f"noise=c0s={10 if night else 4}:c0f=t",
        _text(_clock(local_start), x=f"{size}", y=f"{size}", size=size),
        _text(title, x=f"w-tw-{size}", y=f"h-th-{size}", size=size),
        "format=yuv420p",
    ]
    return ";".join(chains) + f";[p{len(scene.movers)}]" + ",".join(text) + "[v]"


def _place(scene: Scene, width: int, height: int, fps: float, *, night: bool) -> str:
    top, middle, bottom = _NIGHT_SKY if night else scene.sky
    filters = [
        f"gradients=s={width}x{height}:r={fps}:d=1:n=3:c0={top}:c1={middle}:c2={bottom}"
        f":x0=0:y0=0:x1=0:y1={height}:seed={scene.seed}",
        "trim=end_frame=1",
        "format=yuv444p",
        *(
            f"drawbox=iw*{b.left:.3f}:ih*{b.top:.3f}:iw*{b.width:.3f}:ih*{b.height:.3f}:{b.color}:fill"
            for b in scene.blocks
        ),
        # coarse then fine grain: plaster and asphalt instead of flat colour
        f"noise=alls=14:all_seed={scene.seed}",
        f"gblur=sigma={height / 650:.2f}",
        f"noise=alls=5:all_seed={scene.seed + 1}",
        "vignette=PI/5",
        *(["hue=s=0", "eq=brightness=-0.11:contrast=0.7"] if night else []),
    ]
    return ",".join([*filters, "format=yuv420p", *_still(fps)])


def _figure(mover: Mover, height: int, fps: float, *, night: bool) -> str:
    tall = max(8, round(height * mover.size))
    wide = round(tall * (2.7 if mover.kind == "car" else 0.36))
    boxes = [
        f"drawbox={round(wide * left)}:{round(tall * top)}:{max(1, round(wide * w))}:{max(1, round(tall * h))}"
        f":{color}@1:fill:replace=1"
        for left, top, w, h, color in (_car(mover) if mover.kind == "car" else _person(mover))
    ]
    return ",".join(
        [
            f"color=black@0:s={wide + wide % 2}x{tall + tall % 2}:r={fps},trim=end_frame=1,format=rgba",
            *boxes,
            "gblur=0.7:planes=15",
            *(["colorchannelmixer=.2:.4:.1:0:.2:.4:.1:0:.2:.4:.1"] if night else []),
            "format=yuva420p",
            *_still(fps),
        ]
    )


def _still(fps: float) -> tuple[str, str]:
    """The first frame again and again."""
    return "loop=-1:1:0", f"setpts=N/{fps}/TB"


def _person(mover: Mover) -> list[tuple[float, float, float, float, str]]:
    return [
        (0.36, 0.00, 0.30, 0.05, "0x2b211c"),
        (0.34, 0.03, 0.34, 0.13, "0xb98a68"),
        (0.20, 0.17, 0.60, 0.42, mover.color),
        (0.08, 0.19, 0.12, 0.36, mover.color),
        (0.80, 0.19, 0.12, 0.36, mover.color),
        (0.24, 0.59, 0.22, 0.38, "0x2a2d34"),
        (0.54, 0.59, 0.22, 0.38, "0x343842"),
        (0.20, 0.96, 0.28, 0.04, "0x15161a"),
        (0.54, 0.96, 0.28, 0.04, "0x15161a"),
    ]


def _car(mover: Mover) -> list[tuple[float, float, float, float, str]]:
    front = 0.94 if mover.speed > 0 else 0.0
    return [
        (0.22, 0.02, 0.54, 0.40, mover.color),
        (0.26, 0.10, 0.21, 0.28, "0x27333d"),
        (0.51, 0.10, 0.21, 0.28, "0x27333d"),
        (0.00, 0.40, 1.00, 0.42, mover.color),
        (front, 0.46, 0.06, 0.12, "0xfff2c0"),
        (0.13, 0.68, 0.16, 0.32, "0x16171a"),
        (0.71, 0.68, 0.16, 0.32, "0x16171a"),
    ]


def _clock(local_start: datetime) -> str:
    # drawtext can only print a Unix time as UTC, so the local wall clock is handed to it as if it were UTC
    as_if_utc = round((local_start.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds())  # noqa: DTZ001
    return rf"%{{pts:gmtime:{as_if_utc}:%Y-%m-%d %H\:%M\:%S}}"


def _text(text: str, *, x: str, y: str, size: int) -> str:
    return (
        f"drawtext=fontfile={_escaped(FONT.as_posix())}:text={_escaped(text)}:x={x}:y={y}:fontsize={size}"
        f":fontcolor=white:borderw={max(1, size // 14)}:bordercolor=black@0.7"
    )


def _escaped(value: str) -> str:
    """Quoted for an option inside a filter inside a graph: FFmpeg unquotes both levels."""
    for special in ("\\':", "\\'[],;"):
        value = "".join(f"\\{char}" if char in special else char for char in value)
    return value
