"""Backups of the catalogue: made and proven readable (`dumps`), kept here and in every store, cleared when old.

A backup is two files of one name: the dump and its manifest, which is written last; so what has a manifest is whole. In
a store they lie under `catalogue-backups/`, which no key of footage can look like.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vms import dumps
from vms.config import BackupPolicy, Config, StoreConfig
from vms.dumps import Manifest, Moved
from vms.errors import CatalogueError, StackError, VmsError
from vms.home import Home
from vms.stores import Store, open_store

PREFIX = "catalogue-backups/"
OVERDUE = timedelta(days=2)
"""A backup older than this is overdue, where backups are made daily or more often."""
ALWAYS_KEPT = 3
"""The newest so many stay however old they are: a clock that jumps or a DAG that stands still takes none of them."""

_KEY = re.compile(re.escape(PREFIX) + dumps.NAME.pattern + r"\.(dump|json)\Z")


def is_backup_key(key: str) -> bool:
    """Whether a key in a store is one of these files, and so neither footage nor foreign."""
    return _KEY.match(key) is not None


def make_backup(
    home: Home, address: str, now: datetime, moved: Moved = lambda _what, _share: None, *, replaced: bool = False
) -> Manifest:
    """Dump the catalogue at this address into the home, and prove that every row can be read out of the dump.

    replaced: a restore is about to put another one in its place, so whoever asks for the newest does not want this one.
    Raises CatalogueError or StackError; then no backup was added.
    """
    folder = home.backups
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(folder):
            for left in folder.glob(".*.new"):
                left.unlink()
            fresh = folder / ".dump.new"
            made = dumps.dump(home, address, fresh, now, moved)
            fresh.rename(folder / made.dump_name)
            if replaced:
                _replaced(home, made).touch()
            _write(folder / made.manifest_name, dumps.manifest_text(made).encode())
            note_last(home, now)
    except OSError as error:
        raise CatalogueError(
            f"The backup can't be written into {folder} ({error.strerror}).",
            "Free some space there, or mend its rights.",
        ) from error
    return made


def local_backups(home: Home) -> list[Manifest]:
    """The backups of this home, the newest first; half ones are left out."""
    found = []
    for path in home.backups.glob("*.json"):
        with contextlib.suppress(OSError, CatalogueError):
            made = dumps.read_manifest(path.read_bytes())
            if (home.backups / made.dump_name).stat().st_size == made.size_bytes:
                found.append(made)
    return sorted(found, key=lambda one: one.name, reverse=True)


def was_replaced(home: Home, made: Manifest) -> bool:
    """Whether this is what a restore put aside."""
    return _replaced(home, made).exists()


def stays(home: Home, made: Manifest) -> None:
    """The restore did not come about: what it was about to put aside is what the catalogue is."""
    _replaced(home, made).unlink(missing_ok=True)


def _replaced(home: Home, made: Manifest) -> Path:
    """Beside the manifest and not in it: programs of other versions read that, too."""
    return home.backups / f"{made.name}.replaced"


def last_made_at(home: Home) -> datetime | None:
    """When the newest backup was made (UTC), also where a part in a container can't see it, as the viewer can't."""
    made = next(iter(local_backups(home)), None)
    if made is not None or not home.parts:
        return made.made_at if made else None
    return _stamped(home, "made_at")


def note_last(home: Home, now: datetime) -> None:
    """Tell the parts that can't see backups of the newest one, or since when (`now`) the first one is awaited."""
    made = next(iter(local_backups(home)), None)
    if home.parts and made is not None:
        _write(_stamp(home), json.dumps({"made_at": made.made_at.isoformat()}).encode())
    elif home.parts and not _stamp(home).exists():
        _write(_stamp(home), json.dumps({"awaited_since": now.isoformat()}).encode())


def _stamped(home: Home, what: str) -> datetime | None:
    try:
        return datetime.fromisoformat(json.loads(_stamp(home).read_text())[what])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stamp(home: Home) -> Path:
    return home.run / "last_backup.json"


def take_over(home: Home) -> int:
    """Bring the backups of an older version, which lay in the state folder, to where they belong now; how many.

    Once and never again: what is found there later was put there by somebody else.
    """
    before, done = home.root / "backups", home.backups / ".taken_over"
    if home.backups == before or done.exists():
        return 0
    home.backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = [one for one in before.glob("[0-9]*") if one.is_file() and not one.is_symlink()]
    for path in sorted(found, key=lambda one: one.suffix == ".json"):  # the manifest last, it makes the dump count
        shutil.move(path, home.backups / path.name)
    done.touch()
    return sum(one.suffix == ".json" for one in found)


def overdue_after(policy: BackupPolicy) -> timedelta:
    """The age from which on the last backup is overdue: never before the next one has had a day to be made."""
    return max(OVERDUE, policy.every + timedelta(days=1))


def not_backed_up_since(home: Home) -> datetime | None:
    """When the last good backup was made (UTC), or since when there is a catalogue without one; None without either."""
    made_at = last_made_at(home)
    if made_at is not None:
        return made_at
    if home.parts:  # whose secrets are no files
        return _stamped(home, "awaited_since")
    try:
        return datetime.fromtimestamp((home.secrets / "catalogue_owner").stat().st_mtime, UTC)
    except OSError:
        return None


def overdue(home: Home, now: datetime, after: timedelta = OVERDUE) -> str:
    """What is wrong with the age of the last backup; "" when nothing is. after: from which age on something is."""
    since = not_backed_up_since(home)
    if since is None or now - since <= after:
        return ""
    if last_made_at(home) is None:
        return "The catalogue was never backed up."
    return f"The last good backup of the catalogue is of {since:%Y-%m-%d %H:%M} UTC."


def put_into_store(home: Home, made: Manifest, config: StoreConfig, identity: str | None) -> None:
    """Put a backup into a store. identity: by which the catalogue knows it. Idempotent. Raises VmsError."""
    store = open_store(config.name, config.url, conn_id=config.conn_id, options=config.options)
    store.identify(identity)
    for name in (made.dump_name, made.manifest_name):
        path = home.backups / name
        digest, size = dumps.hashed(path)
        store.put(path, PREFIX + name, sha256=digest, size_bytes=size, preview=True)


def list_store(store: Store) -> list[Manifest]:
    """The backups in an identified store, the newest first; one without its manifest is left out. Raises StoreError."""
    keys = {one.key for one in store.list(PREFIX) if is_backup_key(one.key)}
    found = []
    for key in sorted(keys, reverse=True):
        if key.endswith(".json") and key.removesuffix(".json") + ".dump" in keys:
            with contextlib.suppress(CatalogueError):
                found.append(dumps.read_manifest(b"".join(store.open_range(key))))
    return found


def fetch(store: Store, made: Manifest, home: Home, moved: Moved) -> Path:
    """Bring a store's backup into the home's. Raises StoreError, and CatalogueError when its bytes are others."""
    home.backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, fresh = home.backups / made.dump_name, home.backups / f".{made.name}.fetched"
    if path.exists() and dumps.hashed(path) == (made.sha256, made.size_bytes):
        return path
    got = 0
    with fresh.open("wb") as file:
        for chunk in store.open_range(PREFIX + made.dump_name):
            got += file.write(chunk)
            moved(f"fetching {made.dump_name}", got / max(made.size_bytes, 1))
        os.fsync(file.fileno())
    if dumps.hashed(fresh) != (made.sha256, made.size_bytes):
        fresh.unlink()
        raise CatalogueError(
            f"Store {store.name}: {made.dump_name} has other bytes than when it was made.", "Take an older one."
        )
    fresh.rename(path)
    _write(home.backups / made.manifest_name, dumps.manifest_text(made).encode())
    return path


def clear_old(home: Home, config: Config, identities: dict[str, str], now: datetime) -> list[str]:
    """Remove backups that were kept for long enough, here and in the stores; returns what could not be done and why."""
    before = now - config.backup.keep
    for old in outlived(local_backups(home), before):
        (home.backups / old.manifest_name).unlink(missing_ok=True)
        (home.backups / old.dump_name).unlink(missing_ok=True)
        _replaced(home, old).unlink(missing_ok=True)
    wrong = []
    for one in config.stores:
        if one.name not in identities:
            continue
        try:
            store = open_store(one.name, one.url, conn_id=one.conn_id, options=one.options)
            store.identify(identities[one.name])
            keys = [PREFIX + name for old in outlived(list_store(store), before) for name in _names(old)]
            left = set(keys) - set(store.delete(keys)) if keys else set()
        except VmsError as error:
            wrong.append(str(error))
            continue
        if left:
            wrong.append(f"Store {one.name} does not delete {len(left)} files of old backups.")
    return wrong


def outlived(backups: Sequence[Manifest], before: datetime) -> list[Manifest]:
    """Those that were made before this moment, without the newest, which are always kept."""
    newest_first = sorted(backups, key=lambda one: one.name, reverse=True)
    return [one for one in newest_first[ALWAYS_KEPT:] if one.made_at < before]


def _names(made: Manifest) -> tuple[str, str]:
    """The manifest goes last when they are put, and first when they are deleted."""
    return made.manifest_name, made.dump_name


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError("A backup is being made already.", "Wait until it is done.") from None
        yield
