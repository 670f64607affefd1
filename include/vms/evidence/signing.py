"""The installation's own key, with which it signs evidence packages: Ed25519, made at first use, kept in secrets/."""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vms.errors import ConfigError
from vms.evidence.check_package import SIGNATURE, SUMS, fingerprint, signature_text
from vms.home import Home
from vms.whole_file import write_whole

SECRET = "evidence_key"  # noqa: S105 (its name)
_SEED_BYTES = 32


def public_key(home: Home) -> bytes:
    """The 32 bytes with which everybody can check what this installation signed."""
    return _key(home).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_fingerprint(home: Home) -> str:
    """The public key as people compare it."""
    return fingerprint(public_key(home))


def sign(home: Home, folder: Path) -> None:
    """Sign the package's list of hashes. Raises ConfigError when the disk does not take it."""
    signature = _key(home).sign((folder / SUMS).read_bytes())
    write_whole(folder / SIGNATURE, signature_text(public_key(home), signature))


def _key(home: Home) -> Ed25519PrivateKey:
    text = home.secret(SECRET, _SEED_BYTES)
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError as error:
        raise ConfigError(
            f"{home.secrets / SECRET} is no signing key: it was changed or cut off.",
            "Put it back from a backup of the state folder. Without it older packages stay valid; moving the file away"
            " makes a new key, whose fingerprint has to be told to those who check packages.",
        ) from error
