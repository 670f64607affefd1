"""A compressed batch of two short clips and two store folders, for tests of what comes after `compress`."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catalogue_world import a_site
from vms.config import Profile, Site
from vms.footage import fingerprint
from vms.home import Home, from_environment
from vms.model import Batch, BatchItem, StoreTarget
from vms.receipts import Receipt
from vms.sightings import SourceSeen
from vms.steps.compress import compress_batch
from vms.steps.upload import upload_batch
from vms.stores import open_store
from vms.video.binaries import binaries

START = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
PROFILE = Profile("h264-test", "h264", "ultrafast", 40, 2.0, "yuv420p")
FILES = 2


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two different short clips that are well worth compressing."""
    folder = tmp_path_factory.mktemp("clips")
    made = []
    for number in range(FILES):
        made.append(folder / f"{number}.mp4")
        source = f"testsrc2=size=320x240:rate=10:duration=4,noise=alls=20:allf=t:all_seed={number}"
        coding = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p"]
        command = [binaries().ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, *coding, str(made[-1])]
        subprocess.run(command, check=True)
    return made


@dataclass
class Ground:
    """A compressed batch and two stores, nas and san."""

    root: Path
    site: Site
    home: Home
    batch: Batch
    receipts: tuple[Receipt, ...]
    said: list[str] = field(default_factory=list)

    @property
    def staging(self) -> Path:
        return self.home.site_staging("ho")

    def upload(self, receipts: tuple[Receipt, ...] | None = None) -> tuple[Receipt, ...]:
        self.said.clear()
        given = self.receipts if receipts is None else receipts
        return upload_batch(self.batch, given, self.site, self.home, report=self.said.append)

    def compress(self, **changes: object) -> tuple[Receipt, ...]:
        site = replace(self.site, **changes)
        return compress_batch(self.batch, site, self.home, report=self.said.append)

    def objects(self, store: str) -> dict[str, bytes]:
        root = self.root / store
        files = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".vms"))
        return {str(path.relative_to(root)): path.read_bytes() for path in files}

    def rendition(self, number: int = 0) -> str:
        return f"{self.batch.items[number].key_stem}.mp4"

    def clear_staging(self) -> None:
        for path in self.staging.iterdir():
            path.unlink()


@pytest.fixture(scope="module")
def compressed(clips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """Compressed once for all tests, which work on copies."""
    root = tmp_path_factory.mktemp("compressed")
    ground = _ground_in(root, tuple(_item(number, clip) for number, clip in enumerate(clips)))
    for number, clip in enumerate(clips):
        shutil.copy2(clip, ground.site.footage / f"lobby {number}.mp4")
    receipts = ground.compress()
    assert [(one.fault, one.rendition and one.rendition.kind) for one in receipts] == [(None, "encoded")] * FILES
    return replace(ground, receipts=receipts)


@pytest.fixture
def ground(tmp_path: Path, compressed: Ground) -> Ground:
    for folder in ("home", "footage"):
        shutil.copytree(compressed.root / folder, tmp_path / folder)
    return replace(_ground_in(tmp_path, compressed.batch.items), receipts=compressed.receipts)


def _item(number: int, clip: Path) -> BatchItem:
    found = clip.stat()
    seen = SourceSeen(f"lobby {number}.mp4", found.st_size, found.st_mtime_ns)
    return BatchItem(
        recording_id=number + 1,
        site="ho",
        camera="lobby",
        start_utc=START + timedelta(minutes=number),
        fingerprint=fingerprint(clip),
        duration_s=4.0,
        time_basis="name",
        sources=(seen,),
    )


def _ground_in(root: Path, items: tuple[BatchItem, ...]) -> Ground:
    home = from_environment({"VMS_HOME": str(root / "home")})
    home.prepare()
    (root / "footage").mkdir(exist_ok=True)
    targets = []
    for number, name in enumerate(("nas", "san"), 1):
        url = f"file://{root}/{name}"
        targets.append(StoreTarget(number, name, url, open_store(name, url).identify(None)))
    site = a_site(footage=root / "footage", cameras=(), stores=(), profile=PROFILE, keep_source=None)
    return Ground(root, site, home, Batch(1, "ho", "lobby", "lobby", tuple(targets), items), ())
