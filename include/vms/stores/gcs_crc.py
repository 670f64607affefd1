"""CRC32C as Google Cloud Storage writes it: the sum that the server itself takes of every object."""

from __future__ import annotations

import base64

import google_crc32c


class Crc32c:
    """The sum of what it was updated with."""

    def __init__(self) -> None:
        self._sum = google_crc32c.Checksum()

    def update(self, data: bytes) -> None:
        self._sum.update(data)

    def text(self) -> str:
        """Base64 of the four bytes, highest first."""
        return base64.b64encode(self._sum.digest()).decode()
