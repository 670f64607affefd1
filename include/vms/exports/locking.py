"""Files of a ZIP under a password: AES-256 as WinZip's AE-2 has it, which 7-Zip, WinZip and macOS's unpackers open.

The cipher, the hash and the derivation of keys are the libraries'; here is only the order in which the format wants
them. What a file grows by is always the same, so the length of the whole is known before its first byte.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
import sys
from array import array

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

GROWS_BY = 16 + 2 + 10
"""Salt, the check of the password, and the seal behind the data."""

EXTRA = struct.pack("<HHH2sBH", 0x9901, 7, 2, b"AE", 3, 0)
"""In a file's header: AE-2, AES of 256 bits, the data as it is."""

METHOD, FLAG, VERSION = 99, 1, 51
SHORTEST_PASSWORD = 12
_ROUNDS = 1000  # the format's own, few for today: the password itself has to be long
_BLOCK = 16


class Lock:
    """Encrypts one file of the ZIP."""

    def __init__(self, password: str) -> None:
        salt = os.urandom(16)
        keys = hashlib.pbkdf2_hmac("sha1", password.encode(), salt, _ROUNDS, 66)
        self.begin = salt + keys[64:]
        # the format counts from the wrong end for the CTR of libraries, so the counters are encrypted as they are
        self._cipher = Cipher(algorithms.AES(keys[:32]), modes.ECB()).encryptor()  # noqa: S305
        self._seal = hmac.new(keys[32:64], digestmod="sha1")
        self._next = 1

    def encrypt(self, data: bytes) -> bytes:
        """The next piece; every piece but the last has whole blocks of 16 bytes."""
        blocks = -(-len(data) // _BLOCK)
        counters = array("Q", bytes(_BLOCK * blocks))
        counters[::2] = array("Q", range(self._next, self._next + blocks))
        if sys.byteorder == "big":
            counters.byteswap()
        self._next += blocks
        stream = self._cipher.update(counters.tobytes())[: len(data)]
        mixed = int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")
        made = mixed.to_bytes(len(data), "little")
        self._seal.update(made)
        return made

    def end(self) -> bytes:
        """What stands behind the data."""
        return self._seal.digest()[:10]
