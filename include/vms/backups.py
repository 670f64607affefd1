"""Backups of the catalogue: dumped, proven readable row by row, kept here and in every store, cleared when old.

A backup is two files of one name: the dump (pg_dump's custom format) and its manifest (JSON), which is written last; so
what has a manifest is whole. In a store they lie under `catalogue-backups/`, which no key of footage can look like.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vms.catalogue.whole import held_still
from vms.config import BackupPolicy, Config, StoreConfig
from vms.errors import CatalogueError, StackError, VmsError
from vms.home import Home
from vms.stack.postgres_tools import Tools, find_tools, read_dump, run_tool
from vms.stores import Store, open_store
from vms.stores.base import CHUNK_BYTES

PREFIX = "catalogue-backups/"
OVERDUE = timedelta(days=2)
"""A backup older than this is overdue, where backups are made daily or more often."""
ALWAYS_KEPT = 3
"""The newest so many stay however old they are: a clock that jumps or a DAG that stands still takes none of them."""

_NAME = re.compile(r"\d{8}T\d{6}Z_[0-9a-f]{12}")
_KEY = re.compile(re.escape(PREFIX) + _NAME.pattern + r"\.(dump|json)\Z")
_COPY = re.compile(rb"COPY public\.\"?([^\" ]+)\"? ")
_VERBOSE = re.compile(r'(?:dumping contents of table|processing data for table) "(.+)"')

Moved = Callable[[str, float], None]
"""Told what is being done, and how far it is, from 0 to 1."""


@dataclass(frozen=True)
class Manifest:
    """What a dump is. rows: of each table; revision: of the schema; sites_yaml: the file as it was, "" without one."""

    name: str
    made_at: datetime
    size_bytes: int
    sha256: str
    revision: str
    server_major: int
    rows: dict[str, int]
    sites_yaml: str

    @property
    def dump_name(self) -> str:
        return f"{self.name}.dump"

    @property
    def manifest_name(self) -> str:
        return f"{self.name}.json"


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
            made = _dump(home, address, fresh, now, moved)
            fresh.rename(folder / made.dump_name)
            if replaced:
                _replaced(home, made).touch()
            _write(folder / made.manifest_name, manifest_text(made).encode())
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
            made = read_manifest(path.read_bytes())
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
        digest, size = _hashed(path)
        store.put(path, PREFIX + name, sha256=digest, size_bytes=size, preview=True)


def list_store(store: Store) -> list[Manifest]:
    """The backups in an identified store, the newest first; one without its manifest is left out. Raises StoreError."""
    keys = {one.key for one in store.list(PREFIX) if is_backup_key(one.key)}
    found = []
    for key in sorted(keys, reverse=True):
        if key.endswith(".json") and key.removesuffix(".json") + ".dump" in keys:
            with contextlib.suppress(CatalogueError):
                found.append(read_manifest(b"".join(store.open_range(key))))
    return found


def fetch(store: Store, made: Manifest, home: Home, moved: Moved) -> Path:
    """Bring a store's backup into the home's. Raises StoreError, and CatalogueError when its bytes are others."""
    home.backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, fresh = home.backups / made.dump_name, home.backups / f".{made.name}.fetched"
    if path.exists() and _hashed(path) == (made.sha256, made.size_bytes):
        return path
    got = 0
    with fresh.open("wb") as file:
        for chunk in store.open_range(PREFIX + made.dump_name):
            got += file.write(chunk)
            moved(f"fetching {made.dump_name}", got / max(made.size_bytes, 1))
        os.fsync(file.fileno())
    if _hashed(fresh) != (made.sha256, made.size_bytes):
        fresh.unlink()
        raise CatalogueError(
            f"Store {store.name}: {made.dump_name} has other bytes than when it was made.", "Take an older one."
        )
    fresh.rename(path)
    _write(home.backups / made.manifest_name, manifest_text(made).encode())
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


def count_dump(tools: Tools, file: Path, moved: Callable[[str], None] = lambda _: None) -> dict[str, int]:
    """Rows of each table in a dump, every one read. Raises CatalogueError when it can't be read to its end."""
    counts: dict[str, int] = {}
    table = ""
    with read_dump(tools, file, "--data-only") as lines:
        for line in lines:
            if table and line == b"\\.\n":
                table = ""
            elif table:
                counts[table] += 1
            elif found := _COPY.match(line):
                table = found[1].decode()
                counts[table] = 0
                moved(table)
    return counts


def dump_revision(tools: Tools, file: Path) -> str:
    """The revision of the schema in a dump; "" when it holds no catalogue. Raises CatalogueError for no dump at all."""
    with read_dump(tools, file, "--data-only", "--table=alembic_version") as lines:
        rows = iter(lines)
        for line in rows:
            if _COPY.match(line):
                return next(rows, b"").decode().strip()
    return ""


def read_manifest(data: bytes) -> Manifest:
    """Raises CatalogueError when it is none."""
    try:
        told = json.loads(data)
        made = Manifest(**{**told, "made_at": datetime.fromisoformat(told["made_at"])})
    except (ValueError, TypeError, KeyError) as error:
        raise CatalogueError("This is no manifest of a backup.", "Take another backup.") from error
    if not _NAME.fullmatch(made.name):
        raise CatalogueError("This manifest names no backup of ours.", "Take another backup.")
    return made


def manifest_text(made: Manifest) -> str:
    return json.dumps({**asdict(made), "made_at": made.made_at.isoformat()}, indent=1)


def hashed(path: Path) -> str:
    """The SHA-256 of a file."""
    return _hashed(path)[0]


def steps(total: int, what: str, moved: Moved) -> Callable[[str], None]:
    """Turns what pg_dump and pg_restore say on the way into progress over so many tables."""
    seen: set[str] = set()

    def line(text: str) -> None:
        if found := _VERBOSE.search(text):
            seen.add(found[1])
            moved(what, min(1.0, len(seen) / max(total, 1)))

    return line


def _dump(home: Home, address: str, fresh: Path, now: datetime, moved: Moved) -> Manifest:
    moved("counting", 0.0)
    with held_still(address) as still:
        tools = find_tools(still.server_major)
        if not still.revision:
            raise CatalogueError("There is no catalogue to back up.", "Start the system once: ./vms up")
        fresh.touch(mode=0o600)
        words = ("--format=custom", "--no-owner", "--no-privileges", "--schema=public", f"--snapshot={still.name}")
        listener = steps(len(still.rows), "dumping", moved)
        run_tool(tools, "pg_dump", [*words, "--verbose", f"--file={fresh}"], address, listener)
    done: list[str] = []

    def read(table: str) -> None:
        done.append(table)
        moved("reading it back", len(done) / max(len(still.rows), 1))

    counts = count_dump(tools, fresh, read)
    if counts != still.rows:
        odd = sorted(name for name in counts.keys() | still.rows if counts.get(name) != still.rows.get(name))
        raise CatalogueError(
            f"The dump has not the rows that the catalogue had: {', '.join(odd[:5])}.", "Try again; check the disk."
        )
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    digest, size = _hashed(fresh)
    try:
        sites = home.sites_file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        sites = ""
    name = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}_{digest[:12]}"
    return Manifest(name, now.astimezone(UTC), size, digest, still.revision, still.server_major, still.rows, sites)


def _names(made: Manifest) -> tuple[str, str]:
    """The manifest goes last when they are put, and first when they are deleted."""
    return made.manifest_name, made.dump_name


def _hashed(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


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
