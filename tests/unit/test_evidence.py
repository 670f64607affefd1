"""The verifier that lies in evidence packages, against the published vectors and another implementation; the sheet."""

from __future__ import annotations

import random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vms.evidence.check_package import fingerprint, verify
from vms.evidence.sheet import render

# RFC 8032, section 7.1, tests 1 to 3: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe"
        "24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302a"
        "eeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed2"
        "8dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_the_published_signatures_hold(key: str, message: str, signature: str) -> None:
    assert verify(bytes.fromhex(key), bytes.fromhex(signature), bytes.fromhex(message))
    assert not verify(bytes.fromhex(key), bytes.fromhex(signature), bytes.fromhex(message) + b"0")


def test_it_agrees_with_another_implementation_about_good_and_bad_ones() -> None:
    chance = random.Random(8032)
    for size in range(0, 300, 23):
        key = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        message = chance.randbytes(size)
        signature = key.sign(message)
        assert verify(public, signature, message)
        for at in range(0, 64, 9):
            assert not verify(public, signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :], message)
        assert not verify(chance.randbytes(32), signature, message)


@pytest.mark.parametrize("key", [b"", b"1" * 31, b"1" * 33, bytes(31) + b"\xff", b"\xff" * 32])
def test_what_is_no_key_signs_nothing(key: bytes) -> None:
    assert not verify(key, bytes.fromhex(VECTORS[0][2]), b"")
    assert not verify(bytes.fromhex(VECTORS[0][0]), b"\xff" * 64, b"")
    assert not verify(bytes.fromhex(VECTORS[0][0]), b"", b"")


def test_a_scalar_beyond_the_order_is_refused_although_it_would_fit() -> None:
    """The same signature written in another way must not count as one (RFC 8032, section 8.4)."""
    signature = bytes.fromhex(VECTORS[1][2])
    order = 2**252 + 27742317777372353535851937790883648493
    more = int.from_bytes(signature[32:], "little") + order
    assert not verify(bytes.fromhex(VECTORS[1][0]), signature[:32] + more.to_bytes(32, "little"), b"\x72")


def test_a_fingerprint_can_be_read_out() -> None:
    assert len(fingerprint(bytes(32)).split("-")) == 8
    assert fingerprint(bytes(32)) != fingerprint(bytes(31) + b"1")


def told() -> dict[str, Any]:
    bad = "<script>alert(1)</script>'\""
    return {
        "asked": {"range": bad, "sites": [bad], "cameras": []},
        "complete": False,
        "exported_at": "2026-02-01T00:00:00Z",
        "exported_by": bad,
        "evidence": {"reason": bad},
        "recordings": [
            {
                "file": bad,
                "sha256": "0" * 64,
                "site_name": bad,
                "camera_name": bad,
                "time_zone": "Asia/Jakarta",
                "start": "2026-01-31T08:05:00+07:00",
                "end": "2026-01-31T08:10:00+07:00",
                "time_basis": bad,
                "time_marks": [bad],
                "damaged": bad,
                "source": {"name": bad, "size_bytes": 1, "sha256": None},
                "rendition": {"kind": bad, "codec": bad, "width": 1, "height": 1},
                "custody": [{"at": bad, "event": bad, "by": bad, "host": bad}],
            }
        ],
        "failed": [{"site": bad, "camera": bad, "start": bad, "end": bad, "message": bad}],
        "not_in_a_store": [{"site": bad, "camera": bad, "start": bad, "end": bad, "reason": bad}],
        "gaps": [{"site": bad, "camera": bad, "start": bad, "end": bad, "reason": bad, "detail": bad}],
    }


def test_names_from_outside_stay_text_on_the_sheet() -> None:
    page = render(told(), {told()["recordings"][0]["file"]: [("<script>'", b"jpeg")]}, "mark")
    assert "<script>" not in page
    assert "alert(1)" in page
    assert "alt='&lt;script&gt;&#x27;'" in page
    assert "http-equiv=Content-Security-Policy" in page
