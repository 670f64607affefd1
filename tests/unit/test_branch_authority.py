"""Certificates of branches and the tokens by which they join: what is issued, what is taken, and real TLS with both."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from vms.branches import authority, invitation
from vms.errors import BranchError
from vms.home import Home, from_environment
from vms.masking import Masker

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return from_environment({"VMS_HOME": str(tmp_path / "centre")})


def request_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str = "jkt") -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def test_a_certificate_is_for_the_site_that_the_centre_says(home: Home) -> None:
    own = authority.authority(home, NOW)
    key = ec.generate_private_key(ec.SECP256R1())
    request, _ = authority.read_request(request_of(key, "someone-else"))
    issued = authority.issue(own, request, "jkt", NOW)
    made = x509.load_pem_x509_certificate(issued.pem.encode())
    made.verify_directly_issued_by(own.certificate)
    assert made.subject.rfc4514_string() == "CN=jkt"
    assert made.public_key() == key.public_key()
    assert (made.not_valid_before_utc, made.not_valid_after_utc) == (NOW - timedelta(days=1), NOW + timedelta(days=90))
    assert issued.serial == format(made.serial_number, "x")
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_the_authority_is_the_same_after_its_certificate_was_lost(home: Home) -> None:
    first = authority.authority(home, NOW)
    assert authority.authority(home, NOW).certificate == first.certificate
    (home.branches / "own.pem").unlink()
    second = authority.authority(home, NOW + timedelta(days=400))
    assert second.certificate != first.certificate
    assert (second.pin, second.proxy) == (first.pin, first.proxy)
    request, _ = authority.read_request(request_of(ec.generate_private_key(ec.SECP256R1())))
    issued = authority.issue(second, request, "jkt", NOW)
    x509.load_pem_x509_certificate(issued.pem.encode()).verify_directly_issued_by(first.certificate)
    other = authority.authority(from_environment({"VMS_HOME": str(home.root / "other")}), NOW)
    assert other.pin != first.pin
    assert other.proxy != first.proxy
    assert first.proxy not in repr(first)


@pytest.mark.parametrize("kind", ["nothing", "weak", "small", "strange", "forged"])
def test_what_is_no_honest_request_is_refused(kind: str) -> None:
    good = request_of(ec.generate_private_key(ec.SECP256R1()))
    if kind == "strange":
        signed = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .sign(ed25519.Ed25519PrivateKey.generate(), None)
        )
        text = signed.public_bytes(serialization.Encoding.PEM).decode()
    else:
        text = {
            "nothing": "hello",
            "weak": request_of(ec.generate_private_key(ec.SECP192R1())),
            "small": request_of(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - that is the point
            "forged": _with_another_name(good),
        }[kind]
    with pytest.raises(BranchError):
        authority.read_request(text)


def _with_another_name(pem: str) -> str:
    raw = x509.load_pem_x509_csr(pem.encode()).public_bytes(serialization.Encoding.DER)
    changed = x509.load_der_x509_csr(raw.replace(b"jkt", b"mks"))
    return changed.public_bytes(serialization.Encoding.PEM).decode()


def test_a_branch_and_the_port_prove_themselves_to_each_other(home: Home, tmp_path: Path) -> None:
    own = authority.authority(home, NOW)
    assert authority.prepare_port(home, own, ("centre.example.co.id", "127.0.0.1"), NOW)
    assert not authority.prepare_port(home, own, ("centre.example.co.id", "127.0.0.1"), NOW)
    assert authority.prepare_port(home, own, ("other.example.co.id", "127.0.0.1"), NOW), "another name: made anew"
    assert not authority.prepare_port(home, own, ("centre.example.co.id",), NOW), "the name of before is good, too"
    assert authority.prepare_port(home, own, ("127.0.0.1",), NOW + timedelta(days=5 * 365 - 300)), "it ends soon"
    assert authority.prepare_port(home, own, ("127.0.0.1",), NOW), (
        "made by a clock that was ahead: it does not count yet"
    )
    assert own.proxy in (home.branches / "proxy.conf").read_text()
    assert {path.stat().st_mode & 0o777 for path in home.branches.iterdir()} == {0o600}
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_text(authority.private_pem(key))
    request, _ = authority.read_request(request_of(key))
    (tmp_path / "certificate.pem").write_text(authority.issue(own, request, "jkt", NOW).pem)
    assert _met(home, tmp_path, home.branches / "authority.pem") == "jkt"
    stranger = from_environment({"VMS_HOME": str(tmp_path / "stranger")})
    theirs = authority.authority(stranger, NOW)
    authority.prepare_port(stranger, theirs, ("127.0.0.1",), NOW)
    with pytest.raises(ssl.SSLError):
        _met(stranger, tmp_path, stranger.branches / "authority.pem")


def _met(centre: Home, branch: Path, trusted: Path) -> str:
    """Who the centre says came, after a real handshake."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(centre.branches / "server.pem", centre.branches / "server.key")
    server.load_verify_locations(centre.branches / "authority.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(trusted))
    client.load_cert_chain(branch / "certificate.pem", branch / "key.pem")
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            try:
                with server.wrap_socket(listening.accept()[0], server_side=True) as one:
                    found = one.getpeercert() or {}
                    said.extend(value for part in found["subject"] for _, value in part)
                    one.sendall(b"hello")
            except (ssl.SSLError, OSError):
                pass  # the other side is told, and fails

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with (
                socket.create_connection(listening.getsockname(), timeout=30) as raw,
                client.wrap_socket(raw, server_hostname="127.0.0.1") as one,
            ):
                one.recv(5)
        finally:
            thread.join(30)
    return said[0]


def test_a_token_is_whole_or_none() -> None:
    made = invitation.invite("jkt-selatan", "a" * 64)
    assert invitation.read_token(f" {made.text}\n") == made
    assert made.secret not in repr(made)
    assert invitation.invite("jkt-selatan", "a" * 64).hashed != made.hashed
    for broken in ("", made.text[:-1], made.text.replace(".", " "), made.text + "x", f"x{'y' * 70}.{made.text}"):
        with pytest.raises(BranchError, match="whole token"):
            invitation.read_token(broken)


def test_nothing_by_which_somebody_could_be_a_branch_leaves_in_a_support_bundle(home: Home) -> None:
    own = authority.authority(home, NOW)
    authority.prepare_port(home, own, ("localhost",), NOW)
    (home.root / "branch").mkdir()
    (home.root / "branch" / "branch.json").write_text('{"site": "jkt", "edge_secret": "what-workers-sign-with"}')
    token = invitation.invite("jkt", own.pin)
    masker = Masker(home, {})
    said = masker.masked(
        f"argv: vms branch join https://centre:8444 {token.text} signed with what-workers-sign-with, {own.proxy}"
    )
    assert said == "argv: vms branch join https://centre:8444 jkt.[secret] signed with [secret], [secret]"
