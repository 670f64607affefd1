"""Where renditions are kept. `open_store` is the only way to a store; `base` says what every store does."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from vms.config_values import bucket_place
from vms.errors import ConfigError
from vms.model import NO_OPTIONS, StoreOptions
from vms.stores.base import FileRotted, Finding, ObjectMissing, Pace, Store, StoredObject
from vms.stores.file import FileStore

__all__ = ["FileRotted", "Finding", "ObjectMissing", "Pace", "Store", "StoredObject", "open_store"]


def open_store(
    name: str, url: str, *, conn_id: str = "", options: StoreOptions = NO_OPTIONS, pace: Pace | None = None
) -> Store:
    """The store of this URL; nothing is read or written yet. Raises ConfigError for a URL that names no known store.

    conn_id: how it is reached, see `vms.stores.connections`. options: what its new objects get.
    pace: asked before files go out to a bucket; a mounted folder is not behind the uplink and does not ask.
    """
    parts = urlsplit(url)
    if parts.password is not None:
        raise ConfigError(
            f"The URL of store {name} holds a password.",
            "Take it out of the URL and put it into the connection that the store's conn_id names.",
        )
    if parts.scheme == "s3":
        from vms.stores.s3 import S3Store  # boto3 takes long to import, and most processes need none

        return S3Store(name, url, *_bucket(name, url), conn_id=conn_id, options=options, pace=pace)
    if parts.scheme == "gs":
        from vms.stores.gcs import GcsStore  # so does Google's client

        return GcsStore(name, url, *_bucket(name, url), conn_id=conn_id, options=options, pace=pace)
    if parts.scheme != "file":
        raise ConfigError(
            f"Store {name}: {url!r} is no kind of store that is known.",
            "Write file:///mount/folder for a NAS or SAN mount, s3://bucket/prefix or gs://bucket/prefix.",
        )
    folder = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not folder.startswith("/") or folder.strip("/") == "":
        raise ConfigError(
            f"Store {name}: {url!r} names no folder.",
            "Write three slashes and the absolute path: file:///mount/folder.",
        )
    if parts.query or parts.fragment or "\0" in folder:
        raise ConfigError(
            f"Store {name}: {url!r} has a '?' or '#' in its path.", "Write them as %3F and %23, or rename the folder."
        )
    return FileStore(name, url, folder)


def _bucket(name: str, url: str) -> tuple[str, str]:
    try:
        return bucket_place(url)
    except ValueError as error:
        raise ConfigError(f"Store {name}: {url!r}: {error}", "Correct its url in sites.yaml.") from error
