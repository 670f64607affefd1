"""When certificates and credentials end: asked of a real TLS server, read from real connections."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vms.stores.expiry import expiries

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def _certificate(folder: Path, until: datetime) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nas.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - timedelta(days=90))
        .not_valid_after(until)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@contextmanager
def _tls_server(certificate: Path) -> Iterator[int]:
    """A server that greets one caller after the other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    line, _ = listening.accept()
                except OSError:
                    return
                try:
                    context.wrap_socket(line, server_side=True).close()
                except OSError:
                    line.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


def _connection(monkeypatch: pytest.MonkeyPatch, conn_id: str, **extra: object) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "aws", "extra": extra}))


@pytest.mark.parametrize("days", [-3, 5])
def test_a_server_s_certificate_tells_when_it_ends_also_when_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    until = NOW + timedelta(days=days)
    with _tls_server(_certificate(tmp_path, until)) as port:
        _connection(monkeypatch, "office", endpoint_url=f"https://127.0.0.1:{port}")
        _connection(monkeypatch, "other", endpoint_url=f"https://127.0.0.1:{port}")
        known = expiries(["office", "other", "", "office"])
    assert [(one.what, one.name, one.until) for one in known.found] == [("certificate", f"127.0.0.1:{port}", until)]
    assert known.unread == {}


def test_a_server_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        _connection(monkeypatch, "office", endpoint_url=f"https://127.0.0.1:{port}")
        known = expiries(["office"])
    assert known.found == ()
    assert list(known.unread) == [f"127.0.0.1:{port}"]


@pytest.mark.parametrize(
    ("said", "until"),
    [
        ("2026-12-01", datetime(2026, 12, 2, tzinfo=UTC)),
        ("2026-12-01T17:00:00+07:00", datetime(2026, 12, 1, 10, tzinfo=UTC)),
        ("soon", None),
    ],
)
def test_a_credential_ends_when_its_connection_says(
    monkeypatch: pytest.MonkeyPatch, said: str, until: datetime | None
) -> None:
    _connection(monkeypatch, "office", expires=said)
    assert [one.until for one in expiries(["office", "never_defined"]).found] == ([until] if until else [])
