"""One object of a store looked at in full: fetched, hashed, and played through."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vms.errors import CopyDamaged, VmsError
from vms.home import Home
from vms.steps.space import with_room
from vms.stores import Store
from vms.video import commands
from vms.video.binaries import binaries
from vms.video.ffmpeg import run, wall_limit_s
from vms.video.probe import Probe, probe

_ENDING = ".inspected"


@dataclass(frozen=True)
class Inspected:
    """An object as it lies in its store, as a local file for as long as it is looked at."""

    path: Path
    size_bytes: int
    sha256: str


@contextlib.contextmanager
def inspected(store: Store, key: str, folder: Path, moved: Callable[[int], None]) -> Iterator[Inspected]:
    """All of the object. moved: told the bytes of each chunk. Raises ObjectMissing, StoreError, StagingFull."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{os.getpid()}.{threading.get_ident()}{Path(key).suffix}{_ENDING}"
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("wb") as file:
            for chunk in with_room(store.open_range(key), folder, key):
                digest.update(chunk)
                size += file.write(chunk)
                moved(len(chunk))
        yield Inspected(path, size, digest.hexdigest())
    finally:
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes have left; the name carries the process."""
    for path in folder.glob(f".*{_ENDING}"):
        pid = path.name[1:].partition(".")[0]
        if not pid.isdigit() or not Path(f"/proc/{pid}").exists():
            path.unlink(missing_ok=True)


def play_through(path: Path, key: str, home: Home) -> Probe:
    """What the file is, when all of it decodes. Raises CopyDamaged when it does not."""
    try:
        found = probe(path)
        argv = commands.decode_all(binaries(home).ffmpeg, path)
        done = run(argv, wall_limit_s=wall_limit_s(found.duration_s, found.pixels))
    except VmsError as error:
        raise CopyDamaged(f"{key} does not play: {error.message}", error.remedy) from error
    if done.returncode != 0 or done.stderr:
        raise CopyDamaged(f"{key} does not decode: {done.last_words}", "Restore it from another copy.")
    return found
