"""The installation's own certificate authority: it vouches for branches towards the centre, and for the centre's port
for branches towards them. Nobody else has to trust it, and it trusts nobody.

Its private key is computed from one secret of the installation, so that there is no file of it to lose or to steal from
a backup, and only the parts that are given the secret can issue certificates.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vms.errors import BranchError
from vms.home import Home

SECRET = "branch_authority"  # noqa: S105 - its name, not the secret
LIFE = timedelta(days=90)
"""Of a branch's certificate; it asks for the next one when two thirds of it are over."""

BACKDATED = timedelta(days=1)
"""So much earlier than they are made certificates begin to count: clocks are off, also by hours."""

_OWN_LIFE = timedelta(days=20 * 365)
_PORT_LIFE = timedelta(days=5 * 365)
_PORT_RENEWED = timedelta(days=365)
_MOST_NAMES = 20
_CURVE = ec.SECP256R1()
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of that curve
_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Video backup: branches")])


@dataclass(frozen=True)
class Authority:
    """Whoever holds it can issue. certificate: of itself; proxy: the secret by which the proxy is known to the gate."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    proxy: str = field(repr=False)

    @property
    def pem(self) -> str:
        return _pem(self.certificate)

    @property
    def pin(self) -> str:
        return pin_of(self.certificate)


@dataclass(frozen=True)
class Issued:
    """A certificate that was made for a branch. serial: as the catalogue keeps it."""

    pem: str
    serial: str
    not_after: datetime


def authority(home: Home, now: datetime, *, make: bool = False) -> Authority:
    """The authority of this installation, made at first use; in containers by `init` alone (make).

    Raises BranchError in a part that does not have it.
    """
    if home.parts and not make and not (home.branches / "own.pem").exists():
        raise BranchError(
            "This part of the installation can't vouch for branches.",
            "Ask the one that can: docker compose exec api-server vms branch ...",
        )
    secret = home.secret(SECRET, 48).encode()
    number = int.from_bytes(_derived(secret, b"vms branch authority", 48), "big")
    key = ec.derive_private_key(number % (_ORDER - 1) + 1, _CURVE)
    return Authority(_own_certificate(home, key, now), key, _derived(secret, b"vms branch proxy", 32).hex())


def pin_of(certificate: x509.Certificate) -> str:
    """What an invitation says of the authority: the SHA-256 of its public key."""
    public = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(public).hexdigest()


def serial_text(number: int) -> str:
    """The number of a certificate as the catalogue keeps it."""
    return format(number, "x")


def read_request(pem: str) -> tuple[x509.CertificateSigningRequest, bytes]:
    """A request for a certificate, and the SHA-256 of the key that it is for. Raises BranchError when it is none."""
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        key = request.public_key()
        right = request.is_signature_valid
    except (ValueError, InvalidSignature, UnicodeError) as error:
        raise BranchError("The request for a certificate can't be read.", "Use this version's `vms branch`.") from error
    strong = (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size >= 256) or (
        isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= 4096
    )
    if not right or not strong:
        raise BranchError(
            "The request for a certificate is not signed by its own key, or the key is of no kind that is taken.",
            "Use this version's `vms branch`, which makes a key of the curve P-256.",
        )
    public = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return request, hashlib.sha256(public).digest()


def issue(own: Authority, request: x509.CertificateSigningRequest, site: str, now: datetime) -> Issued:
    """A certificate for the branch of this site. Of the request only the key counts, never what it calls itself."""
    number = x509.random_serial_number()
    made = _certificate(own, request.public_key(), _called(site), now, LIFE, number).add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True
    )
    certificate = made.sign(own.key, hashes.SHA256())
    return Issued(_pem(certificate), serial_text(number), certificate.not_valid_after_utc)


def prepare_port(home: Home, own: Authority, names: Sequence[str], now: datetime) -> bool:
    """What the proxy needs for the branches' port, in `home.branches`: server.pem, server.key, authority.pem, and
    proxy.conf with the word by which it is known. Returns whether anything had to be made anew.

    names: by which branches reach it. Those of before stay good: branches know it by them until they hear of the new
    ones. Raises BranchError when the folder can't be written.
    """
    folder = home.branches
    known = f'proxy_set_header X-VMS-Branch-Proxy "{own.proxy}";\n'
    if _serves(folder / "server.pem", own, names, now) and _text(folder / "proxy.conf") == known:
        return False
    key = ec.generate_private_key(_CURVE)
    called = [_alternative(one) for one in dict.fromkeys((*names, "localhost"))]
    called += [one for one in _called_before(folder / "server.pem", own) if one not in called]
    alternatives = x509.SubjectAlternativeName(called[:_MOST_NAMES])
    made = (
        _certificate(own, key.public_key(), _called("centre"), now, _PORT_LIFE, x509.random_serial_number())
        .add_extension(alternatives, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(own.key, hashes.SHA256())
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("proxy.conf", known),
            ("authority.pem", own.pem),
            ("server.key", private_pem(key)),
            ("server.pem", _pem(made) + own.pem),
        ):
            put(folder / name, text)
    except OSError as error:
        raise BranchError(f"{folder} can't be written ({error.strerror}).", "Give this user the right to.") from error
    return True


def private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def put(path: Path, text: str) -> None:
    """All of the text or what was there before, for this user's eyes only. Raises OSError."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    with open(fresh, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _derived(secret: bytes, what: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt=None, info=what).derive(secret)


def _own_certificate(home: Home, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """As it was made first. Lost, another one is made with the same key and name, which vouches for the same."""
    path = home.branches / "own.pem"
    found = _read(path)
    if found is not None and found.public_key() == key.public_key():
        return found
    made = (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + _OWN_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(issues=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        put(path, _pem(made))
    except OSError as error:
        raise BranchError(f"{path} can't be written ({error.strerror}).", "Give this user the right to.") from error
    return made


def _certificate(
    own: Authority, key: object, subject: x509.Name, now: datetime, life: timedelta, number: int
) -> x509.CertificateBuilder:
    public = key if isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)) else None
    if public is None:
        raise BranchError("This kind of key is not taken.", "Use this version's `vms branch`.")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(own.certificate.subject)
        .public_key(public)
        .serial_number(number)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(issues=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own.key.public_key()), critical=False)
    )


def _usage(*, issues: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not issues,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=issues,
        crl_sign=issues,
        encipher_only=False,
        decipher_only=False,
    )


def _serves(path: Path, own: Authority, names: Sequence[str], now: datetime) -> bool:
    found = _read(path)
    if found is None or found.not_valid_before_utc > now or found.not_valid_after_utc - now < _PORT_RENEWED:
        return False
    said = _called_before(path, own)
    return all(_alternative(one) in said for one in names) and (path.with_name("server.key")).is_file()


def _called_before(path: Path, own: Authority) -> list[x509.GeneralName]:
    """The names in the port's certificate; none when it is not of this authority."""
    found = _read(path)
    if found is None:
        return []
    try:
        found.verify_directly_issued_by(own.certificate)
        return list(found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return []


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _read(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
