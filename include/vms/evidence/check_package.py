"""Checks an evidence package: whether anything in this folder was changed, left out or added since it was signed.

It needs Python 3.8 or newer and nothing else, no network and not the program that made the package. A copy of this file
lies in every package; whoever does not trust that copy takes one from elsewhere, they are all the same.

    python3 verify.py [FOLDER] [--key KEY]

KEY is the signer's public key or its fingerprint, got on another way than with the package (by phone, from a letter).
Without it the check says that the package is whole and which key says so, not whose that is. Exit status 0: whole;
1: not; 2: nothing that could be checked.

The signature is Ed25519 (RFC 8032) over the bytes of SHA256SUMS, which names every other file of the package.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

SUMS, SIGNATURE, MANIFEST = "SHA256SUMS", "SIGNATURE.json", "manifest.json"
ALGORITHM = "Ed25519"
_FRAME = (SUMS, SIGNATURE)  # what the list can't name: itself, and what is made of it

# The curve of RFC 8032, section 5.1: -x^2 + y^2 = 1 + d x^2 y^2 over the integers modulo p; order L of the base point.
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT_OF_MINUS_1 = pow(2, (_P - 1) // 4, _P)
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


class NotAPackage(Exception):
    """There is nothing that could be checked. The message says what is missing."""


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether this is the key's Ed25519 signature of the message (RFC 8032, section 5.1.7)."""
    if len(signature) != 64:
        return False
    try:
        key, commitment = _point(public_key), _point(signature[:32])
    except ValueError:
        return False
    scalar = int.from_bytes(signature[32:], "little")
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    challenge = int.from_bytes(digest, "little") % _L
    return scalar < _L and _same(_times(scalar, _BASE), _sum(commitment, _times(challenge, key)))


def fingerprint(public_key: bytes) -> str:
    """A public key as people compare it: eight groups of four from its SHA-256."""
    digest = hashlib.sha256(public_key).hexdigest()[:32]
    return "-".join(digest[at : at + 4] for at in range(0, 32, 4))


def signature_text(public_key: bytes, signature: bytes) -> str:
    """SIGNATURE.json, every byte of it: nothing in it can be changed without being noticed."""
    told = {
        "schema": 1,
        "algorithm": ALGORITHM,
        "signed": SUMS,
        "public_key": public_key.hex(),
        "fingerprint": fingerprint(public_key),
        "signature": signature.hex(),
    }
    return json.dumps(told, indent=1) + "\n"


def check(folder: Path, key: str = "") -> tuple[list[str], dict[str, object]]:
    """What is wrong with the package in this folder: a list of sentences, empty when it is whole; and its facts.

    key: hexadecimal public key or fingerprint that must have signed it. Raises NotAPackage, OSError.
    """
    sums = _read(folder, SUMS)
    public_key, signature = _signature(folder)
    mark = fingerprint(public_key)
    faults = []
    if not verify(public_key, signature, sums):
        faults.append(f"The signature does not fit: {SUMS} or {SIGNATURE} was changed after signing.")
    wanted = re.sub(r"[^0-9a-f]", "", key.lower())
    if key and wanted not in (public_key.hex(), mark.replace("-", "")):
        faults.append(f"It was signed with another key: {mark}.")
    listed, unreadable = _listed(sums)
    faults += [f"{SUMS} names a file outside of the package or is damaged: {line!r}." for line in unreadable]
    for name in sorted(listed):
        faults += _fault_of(folder, name, listed[name])
    present = (one.relative_to(folder).as_posix() for one in sorted(folder.rglob("*")) if not one.is_dir())
    faults += [
        f"{name} was added: it is not part of the package." for name in present if name not in {*listed, *_FRAME}
    ]
    if MANIFEST not in listed:
        faults.append(f"{MANIFEST} is not among the signed files.")
    return faults, {"fingerprint": mark, "files": len(listed), "key_compared": bool(key)}


def main(arguments: list[str]) -> int:
    """The command. Returns the exit status."""
    words, key = list(arguments), ""
    if "--key" in words:
        at = words.index("--key")
        key = "".join(words[at + 1 : at + 2])
        del words[at : at + 2]
        if not key:
            return _say(2, "--key needs the signer's public key or fingerprint.")
    if len(words) > 1 or any(word.startswith("-") for word in words):
        return _say(2, str(__doc__))
    folder = Path(words[0]) if words else Path(__file__).resolve().parent
    try:
        faults, facts = check(folder, key)
        told = json.loads(_read(folder, MANIFEST).decode("utf-8")) if not faults else {}
    except (NotAPackage, OSError) as error:
        return _say(2, f"NOT CHECKED / TIDAK DIPERIKSA: {error}")
    if faults:
        last = "CHANGED: do not rely on this package. / BERUBAH: paket ini tidak dapat diandalkan."
        return _say(1, *(f"- {fault}" for fault in faults), last)
    lines = [
        f"WHOLE: all {facts['files']} files are as they were signed.",
        f"UTUH: semua {facts['files']} berkas sama seperti saat ditandatangani.",
        f"Signed with the key / Ditandatangani dengan kunci  {facts['fingerprint']}",
    ]
    if told.get("complete") is False:
        lines.append(f"When it was made, not everything that was asked for could be written: see {MANIFEST}.")
    if not facts["key_compared"]:
        lines.append("Compare that with the fingerprint that the owner gives you on another way, or use --key.")
        lines.append("Bandingkan dengan sidik kunci yang diberikan pemilik lewat jalur lain, atau pakai --key.")
    return _say(0, *lines)


def _say(status: int, *lines: str) -> int:
    sys.stdout.write("\n".join(lines) + "\n")
    return status


def _read(folder: Path, name: str) -> bytes:
    if not (folder / name).is_file():
        raise NotAPackage(f"{folder} has no {name}: it is no evidence package, or a part of it is missing.")
    return (folder / name).read_bytes()


def _signature(folder: Path) -> tuple[bytes, bytes]:
    written = _read(folder, SIGNATURE)
    try:
        told = json.loads(written.decode("utf-8"))
        public_key, signature = bytes.fromhex(told["public_key"]), bytes.fromhex(told["signature"])
    except (ValueError, KeyError, TypeError):
        public_key, signature = b"", b""
    if written != signature_text(public_key, signature).encode("ascii"):
        raise NotAPackage(f"{SIGNATURE} was changed, is damaged, or was made by something else.")
    return public_key, signature


def _listed(sums: bytes) -> tuple[dict[str, str], list[str]]:
    listed: dict[str, str] = {}
    unreadable: list[str] = []
    for line in sums.decode("utf-8", "replace").splitlines():
        found = _LINE.fullmatch(line)
        parts = found.group(2).split("/") if found else []
        if not found or "\\" in line or any(part in ("", ".", "..") or ":" in part for part in parts):
            unreadable.append(line)
        else:
            listed[found.group(2)] = found.group(1)
    return listed, unreadable


def _fault_of(folder: Path, name: str, expected: str) -> list[str]:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        return [f"{name} is missing."]
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return [] if digest.hexdigest() == expected else [f"{name} was changed: its SHA-256 is not the signed one."]


# Points in extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, xy = T/Z. The sum of two is RFC 8032, section 5.1.4.


def _sum(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(factor: int, point: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    result = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            result = _sum(result, point)
        point = _sum(point, point)
        factor >>= 1
    return result


def _same(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return (one[0] * other[2] - other[0] * one[2]) % _P == 0 and (one[1] * other[2] - other[1] * one[2]) % _P == 0


def _point(encoded: bytes) -> tuple[int, int, int, int]:
    """Raises ValueError when the 32 bytes are no point of the curve (RFC 8032, section 5.1.3)."""
    number = int.from_bytes(encoded, "little")
    y, sign = number & (2**255 - 1), number >> 255
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_1 % _P
    if len(encoded) != 32 or y >= _P or (x * x - square) % _P or (x == 0 and sign):
        raise ValueError("no point of the curve")
    x = _P - x if x & 1 != sign else x
    return x, y, 1, x * y % _P


_BASE = _point((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
