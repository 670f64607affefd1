"""The viewer plays from a bucket: by range, over the connection that the catalogue names."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import gcs_server
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.oauth2 import credentials

import weed
from vms.catalogue.rows import Located
from vms.stores import gcs_client, gcs_links, open_store
from vms.stores.links import CanNotSign, GivesLinks, findings

JSON = {"Content-Type": "application/json"}

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


def _account(gcs: gcs_server.GcsServer) -> str:
    """A connection with the key of an account that was made for this test."""
    key = rsa.generate_private_key(65537, 2048)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    info = {
        "type": "service_account",
        "client_email": "viewer@test.iam.gserviceaccount.com",
        "private_key": text,
        "token_uri": f"{gcs.endpoint}/token",
        "project_id": "test",
    }
    return json.dumps({"conn_type": "google_cloud_platform", "extra": {"keyfile_dict": info}})


def test_google_links_are_signed_by_the_key_or_by_google_or_not_at_all(
    gcs: gcs_server.GcsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The emulator serves signed links without looking at the signature; that is checked here."""
    token = json.dumps({"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}).encode()
    gcs.before = lambda seen: gcs_server.Answer(200, token, JSON) if seen.path == "/token" else None
    monkeypatch.setenv("AIRFLOW_CONN_VIEWER_GS", _account(gcs))
    store = open_store("cloud", f"gs://{gcs_server.BUCKET}/archive", conn_id="viewer_gs")
    assert isinstance(store, GivesLinks)
    store.identify(None)
    file = tmp_path / "staged"
    file.write_bytes(b"0123456789")
    store.put(file, KEY, sha256=hashlib.sha256(b"0123456789").hexdigest(), size_bytes=10)
    link = store.link(KEY, 300, "video/mp4", 'attachment; filename="a.mp4"')
    assert requests.get(link, timeout=30).content == b"0123456789"
    asked = parse_qs(urlsplit(link).query)
    assert (asked["X-Goog-Expires"], asked["response-content-type"]) == (["300"], ["video/mp4"])
    assert len(asked["X-Goog-Signature"][0]) == 512, "by the key of 2048 bits"

    monkeypatch.setenv("AIRFLOW_CONN_NO_KEY", gcs_server.CONNECTION)
    keyless = open_store("cloud", f"gs://{gcs_server.BUCKET}/archive", conn_id="no_key")
    assert isinstance(keyless, GivesLinks)
    with pytest.raises(CanNotSign):
        keyless.link(KEY, 300, "video/mp4", "inline")
    assert [one.ok for one in findings(keyless, keyless.url, "", ("http://127.0.0.1:5000",))] == [True]

    machine = credentials.Credentials("a token")  # type: ignore[no-untyped-call]
    machine.service_account_email = "viewer@test.iam.gserviceaccount.com"
    monkeypatch.setattr(gcs_client.client("no_key"), "_credentials", machine)
    said = {"status": 200}

    def google(url: str, **_: object) -> SimpleNamespace:
        """signBlob, which no emulator has."""
        assert "viewer@test.iam.gserviceaccount.com:signBlob" in url
        signed = json.dumps({"signedBlob": base64.b64encode(b"s" * 256).decode(), "keyId": "1"})
        return SimpleNamespace(status=said["status"], data=signed.encode())

    monkeypatch.setattr(gcs_links, "Request", lambda: google)
    monkeypatch.setattr(gcs_links, "_refused", {})
    assert keyless.link(KEY, 300, "video/mp4", "inline").endswith((b"s" * 256).hex())
    said["status"] = 403
    for _ in range(2):
        with pytest.raises(CanNotSign):
            keyless.link(KEY, 300, "video/mp4", "inline")
