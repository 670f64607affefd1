"""The viewer plays from a bucket: by range, over the connection that the catalogue names."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

import pytest

import weed
from vms.catalogue.rows import Located
from vms.stores import open_store

KEY = "ho/lobby/2026/01/31/20260131T235959Z_0123456789ab.mp4"


def test_a_range_is_read_from_the_bucket_or_from_the_next_store(
    s3_server: weed.S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from viewer.media import Refusal, open_bytes

    monkeypatch.setenv("AIRFLOW_CONN_VIEWER_S3", weed.connection_text(s3_server.endpoint))
    file = tmp_path / "staged"
    file.write_bytes(b"0123456789")
    places = []
    for name, url, conn_id in (
        ("cloud", f"s3://{weed.BUCKET}/{secrets.token_hex(8)}", "viewer_s3"),
        ("nas", f"file://{tmp_path}/nas", ""),
    ):
        store = open_store(name, url, conn_id=conn_id)
        identity = store.identify(None)
        store.put(file, KEY, sha256=hashlib.sha256(b"0123456789").hexdigest(), size_bytes=10)
        places.append(Located(name, url, identity, KEY, 10, "video/mp4", "a.mp4", store_conn_id=conn_id))
    cloud, nas = places
    assert b"".join(open_bytes((cloud,), 3, 4)) == b"3456"
    monkeypatch.delenv("AIRFLOW_CONN_VIEWER_S3")
    assert b"".join(open_bytes((cloud, nas), 3, 4)) == b"3456"
    with pytest.raises(Refusal):
        open_bytes((cloud,), 3, 4)
