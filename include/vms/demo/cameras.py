"""The cameras of the demonstration and how the recorder of each site names its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from vms.demo.scenes import Block, Mover, Scene

Encoding = Literal["h264", "h264+g711", "hevc"]


@dataclass(frozen=True)
class DemoCamera:
    """One camera. word: how the recorder calls it in file and folder names. fps: less than one is a time lapse.
    suffix: of its files."""

    word: str
    title: str
    width: int
    height: int
    fps: float
    encoding: Encoding
    suffix: str
    scene: Scene


@dataclass(frozen=True)
class DemoSite:
    """One site: name_of gives a clip's path below the footage folder from camera, local start and local end.

    unfinished: what the recorder appends to a name while it writes; "" when it grows the file in place.
    """

    id: str
    name: str
    time_zone: str
    unfinished: str
    name_of: Callable[[DemoCamera, datetime, datetime], str]
    cameras: tuple[DemoCamera, ...]

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


def _hikvision(camera: DemoCamera, start: datetime, end: datetime) -> str:
    return f"{camera.word}_{start:%Y%m%d%H%M%S}_{end:%Y%m%d%H%M%S}{camera.suffix}"


def _dahua(camera: DemoCamera, start: datetime, end: datetime) -> str:
    return (
        f"{camera.word}/{start:%Y-%m-%d}/001/dav/{start:%H}/{start:%H.%M.%S}-{end:%H.%M.%S}[R][0@0][0]{camera.suffix}"
    )


def _reolink(camera: DemoCamera, start: datetime, _end: datetime) -> str:
    return f"{start:%Y/%m/%d}/{camera.word}_00_{start:%Y%m%d%H%M%S}{camera.suffix}"


_STREET = Scene(
    sky=("0x8fa9bd", "0xc3cfd4", "0xe6dfd0"),
    blocks=(
        Block(0, 0.52, 1, 0.05, "0x9a958a"),
        Block(0, 0.57, 1, 0.43, "0x63676a"),
        Block(0.05, 0.16, 0.31, 0.37, "0x8f7d68"),
        *(Block(0.08 + column * 0.07, 0.21, 0.04, 0.09, "0x4d6273") for column in range(4)),
        Block(0.18, 0.37, 0.06, 0.16, "0x3d3a38"),
        Block(0.62, 0.08, 0.34, 0.45, "0x77828c"),
        *(Block(0.65 + column * 0.075, 0.14, 0.05, 0.26, "0x5d6f7e") for column in range(4)),
        *(Block(0.02 + dash * 0.13, 0.795, 0.07, 0.012, "0xd8d4bd") for dash in range(8)),
    ),
    movers=(
        Mover("person", "0x2f4d6e", 0.62, 0.035, 0.5, 0.20),
        Mover("car", "0x8c2f2b", 0.76, -0.13, 0.9, 0.14),
        Mover("car", "0xd7d9d6", 0.95, 0.17, 0.2, 0.17),
    ),
    seed=11,
)
_LOBBY = Scene(
    sky=("0xd8d2c4", "0xcfc7b6", "0xbdb3a0"),
    blocks=(
        Block(0, 0.60, 1, 0.40, "0x8d8478"),
        *(Block(0, 0.66 + row * 0.09, 1, 0.004, "0x776f64") for row in range(4)),
        Block(0.04, 0.10, 0.20, 0.52, "0x9fb4bd"),
        Block(0.135, 0.10, 0.008, 0.52, "0x55606a"),
        Block(0.36, 0.14, 0.22, 0.16, "0x34556b"),
        Block(0.66, 0.50, 0.30, 0.22, "0x6d4f38"),
        Block(0.65, 0.48, 0.32, 0.03, "0x4d3828"),
        Block(0.74, 0.36, 0.07, 0.10, "0x22272c"),
        Block(0.30, 0.52, 0.03, 0.12, "0x6b4a33"),
        Block(0.285, 0.40, 0.06, 0.13, "0x3f6b3e"),
    ),
    movers=(
        Mover("person", "0x7a3b46", 0.80, 0.050, 0.15, 0.36),
        Mover("person", "0x3a5c50", 0.92, -0.065, 0.8, 0.44),
    ),
    seed=23,
)
_CHECKOUT = Scene(
    sky=("0xe2e3de", "0xd5d4cb", "0xc6c1b3"),
    blocks=(
        Block(0, 0.62, 1, 0.38, "0xa7a092"),
        *(
            Block(0.03, 0.12 + row * 0.13, 0.40, 0.10, color)
            for row, color in enumerate(("0xa8552f", "0x3f7f8a", "0xc19a3a"))
        ),
        *(Block(0.03, 0.22 + row * 0.13, 0.40, 0.012, "0x5d564b") for row in range(3)),
        Block(0.55, 0.58, 0.42, 0.20, "0x45586a"),
        Block(0.54, 0.555, 0.44, 0.03, "0x2f3b47"),
        Block(0.64, 0.43, 0.09, 0.12, "0x1f2428"),
        Block(0.84, 0.47, 0.05, 0.085, "0x3a3f45"),
        Block(0.60, 0.08, 0.30, 0.12, "0xb43c32"),
    ),
    movers=(
        Mover("person", "0xb8862f", 0.88, 0.040, 0.1, 0.42),
        Mover("person", "0x5b4a86", 0.97, -0.050, 0.7, 0.46),
    ),
    seed=37,
)
_WAREHOUSE = Scene(
    sky=("0x5e6468", "0x747a7c", "0x8b8d88"),
    blocks=(
        Block(0, 0.58, 1, 0.42, "0x7b7973"),
        *(Block(0.04 + column * 0.24, 0.08, 0.012, 0.56, "0xb5622c") for column in range(5)),
        *(Block(0.04, 0.24 + row * 0.18, 0.97, 0.014, "0xb5622c") for row in range(3)),
        *(
            Block(0.065 + box * 0.12, 0.125 + row * 0.18, 0.09, 0.115, "0x9c7b52" if (box + row) % 3 else "0x7d8a8f")
            for box in range(8)
            for row in range(3)
        ),
        Block(0, 0.93, 1, 0.016, "0xd6b53a"),
    ),
    movers=(
        Mover("car", "0xd09a2a", 0.90, 0.09, 0.3, 0.18),
        Mover("person", "0xcf6a2c", 0.82, -0.045, 0.6, 0.30),
    ),
    seed=41,
)
_GATE = Scene(
    sky=("0x7fa6c4", "0xb5ccd6", "0xdfe3d6"),
    blocks=(
        Block(0, 0.30, 1, 0.24, "0x4f6f47"),
        Block(0, 0.50, 1, 0.50, "0x8b7d6b"),
        Block(0.28, 0.56, 0.44, 0.44, "0x6e6f70"),
        Block(0.02, 0.24, 0.22, 0.34, "0xc9bfa8"),
        Block(0.06, 0.31, 0.07, 0.10, "0x4d6273"),
        Block(0.16, 0.38, 0.06, 0.20, "0x5a4332"),
        *(Block(0.28 + bar * 0.036, 0.33, 0.008, 0.26, "0x2d3237") for bar in range(13)),
        Block(0.27, 0.33, 0.46, 0.014, "0x2d3237"),
        Block(0.25, 0.28, 0.03, 0.32, "0xb8ae98"),
        Block(0.73, 0.28, 0.03, 0.32, "0xb8ae98"),
    ),
    movers=(
        Mover("person", "0x2c4a33", 0.70, 0.042, 0.4, 0.25),
        Mover("car", "0x35507a", 0.92, -0.10, 0.8, 0.18),
    ),
    seed=53,
)
_YARD = Scene(
    sky=("0x88a8b4", "0xbccbc9", "0xd9d3bd"),
    blocks=(
        Block(0, 0.46, 1, 0.54, "0x9b8f78"),
        *(Block(0.05 + bay * 0.19, 0.58, 0.008, 0.36, "0xd9d6ca") for bay in range(6)),
        Block(0.55, 0.14, 0.42, 0.34, "0x7a8a74"),
        Block(0.53, 0.11, 0.46, 0.04, "0x8c4a36"),
        *(Block(0.59 + door * 0.13, 0.26, 0.09, 0.22, "0x55616a") for door in range(3)),
        Block(0.12, 0.14, 0.025, 0.36, "0x5a4636"),
        Block(0.05, 0.04, 0.17, 0.20, "0x3f6a3c"),
        Block(0.07, 0.62, 0.14, 0.12, "0x2f4a62"),
        Block(0.09, 0.57, 0.08, 0.06, "0x27333d"),
    ),
    movers=(
        Mover("person", "0x8a3a2f", 0.70, -0.040, 0.3, 0.24),
        Mover("person", "0x34506b", 0.86, 0.055, 0.9, 0.31),
    ),
    seed=67,
)

SITES = (
    DemoSite(
        "ho", "Kantor Pusat", "Asia/Jakarta", ".tmp", _hikvision,
        (
            DemoCamera("lobi", "Kantor Pusat - Lobi", 1920, 1080, 8, "h264", ".mp4", _LOBBY),
            DemoCamera("jalan", "Kantor Pusat - Jalan depan", 1280, 720, 8, "h264", ".mp4", _STREET),
        ),
    ),
    DemoSite(
        "makassar", "Cabang Makassar", "Asia/Makassar", "_", _dahua,
        (
            DemoCamera("kasir", "Cabang Makassar - Kasir", 1280, 720, 8, "h264+g711", ".avi", _CHECKOUT),
            DemoCamera("gudang", "Cabang Makassar - Gudang", 1280, 720, 5, "hevc", ".dav", _WAREHOUSE),
        ),
    ),
    DemoSite(
        "jayapura", "Cabang Jayapura", "Asia/Jayapura", "", _reolink,
        (
            DemoCamera("gerbang", "Cabang Jayapura - Gerbang", 1280, 720, 8, "h264", ".mp4", _GATE),
            DemoCamera("halaman", "Cabang Jayapura - Halaman", 1280, 720, 8, "h264", ".mp4", _YARD),
        ),
    ),
)  # fmt: skip


def is_night(local: datetime) -> bool:
    """Near the equator the sun is up from six to six."""
    return not 6 <= local.hour < 18


def local_span(site: DemoSite, start_utc: datetime, duration_s: float) -> tuple[datetime, datetime]:
    """Start and end on the site's wall clock."""
    start = start_utc.astimezone(site.zone)
    return start, start + timedelta(seconds=duration_s)
