"""google-cloud-storage clients from a connection of `vms.stores.connections`; one per connection and process.

The fields of the connection are those of Airflow's Google Cloud connection, so that both read the same one.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from typing import Any

import google.auth
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.oauth2 import service_account

from vms.errors import StoreDenied
from vms.stores.connections import client_maker, connection, fingerprint

_SCOPES = ("https://www.googleapis.com/auth/devstorage.read_write",)
_NEEDS_AIRFLOW = ("key_secret_name", "credential_config_file", "impersonation_chain", "idp_issuer_url")
_EMULATOR = "STORAGE_EMULATOR_HOST"
_OLD_NAMES = "extra__google_cloud_platform__"

_clients: dict[tuple[object, ...], Any] = {}
_making = threading.Lock()


def client(conn_id: str) -> Any:
    """The client of this process for this connection. Raises StoreDenied when the connection is not usable here."""
    make = client_maker("gs", make_client)
    held = (os.getpid(), conn_id, fingerprint(conn_id), os.environ.get(_EMULATOR, ""), make)
    with _making:
        if held not in _clients:
            _clients[held] = make(conn_id)
        return _clients[held]


def make_client(conn_id: str) -> Any:
    """A new client, without Airflow. Raises StoreDenied."""
    known = connection(conn_id)
    extra = {key.removeprefix(_OLD_NAMES): value for key, value in known.extra.items()}
    for key in _NEEDS_AIRFLOW:
        if extra.get(key):
            raise StoreDenied(
                f"The connection {conn_id} uses {key}, which works in tasks only and not here.",
                "Give it a keyfile_dict or key_path, or leave the connection out and use the machine's own account.",
            )
    try:
        credentials, project = _credentials(extra)
        return storage.Client(project=str(extra.get("project") or project or "") or None, credentials=credentials)
    except Exception as error:  # noqa: BLE001  what the library says of a malformed key may quote it
        name = type(error).__name__
    raise StoreDenied(
        f"The connection {conn_id or 'of the machine itself'} does not make a Google Cloud Storage client ({name}).",
        "Give the connection a keyfile_dict or a key_path, or this machine an account of its own.",
    )


def _credentials(extra: Mapping[str, Any]) -> tuple[Any, str | None]:
    if str(extra.get("is_anonymous", "")).lower() in ("true", "1"):
        return AnonymousCredentials(), None
    key, path = extra.get("keyfile_dict"), extra.get("key_path")
    if key:
        info = json.loads(key) if isinstance(key, str) else key
        account = service_account.Credentials.from_service_account_info(info, scopes=_SCOPES)
        return account, account.project_id
    if path:
        account = service_account.Credentials.from_service_account_file(str(path), scopes=_SCOPES)
        return account, account.project_id
    if os.environ.get(_EMULATOR):
        return AnonymousCredentials(), None
    return google.auth.default(scopes=_SCOPES)
