"""The bytes of one object of Google Cloud Storage as a stream that goes on after a cut and notices damage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vms.errors import StoreError
from vms.stores.gcs_crc import Crc32c
from vms.stores.gcs_errors import ERRORS, TIMEOUT, Patience, said_no

_PIECE_BYTES = 1 << 20


def stream(client: Any, blob: Any, store: str, start: int, length: int | None) -> Iterator[bytes]:
    """From `start` on, `length` bytes or to the end, all from the generation that `blob` was looked up at.

    A whole object is checked against its CRC32C: StoreError after the last byte when what came is something else.
    Raises the client library's errors.
    """
    end = blob.size if length is None else min(blob.size, start + length)
    whole = Crc32c() if (start, end) == (0, blob.size) else None
    patience, at = Patience(), start
    while at < end:
        try:
            for piece in _request(client, blob, at, end):
                at += len(piece)
                patience.got_on()
                if whole is not None:
                    whole.update(piece)
                yield piece
            if at < end:
                raise ConnectionError("fewer bytes than announced")
        except ERRORS as error:
            patience.wait(error)
    if whole is not None and whole.text() != blob.crc32c:
        raise StoreError(
            f"Store {store}: {blob.name} came back damaged: its bytes do not have the CRC32C {blob.crc32c}.",
            "Read it again. If this comes back, look for a proxy or a firewall that changes downloads.",
        )


def _request(client: Any, blob: Any, at: int, end: int) -> Iterator[bytes]:
    url = f"{client.api_endpoint}/download/storage/v1{blob.path}"
    answer = client._http.request(
        "GET",
        url,
        params={"alt": "media", "generation": str(blob.generation)},
        headers={"Range": f"bytes={at}-{end - 1}", "Accept-Encoding": "identity"},
        timeout=TIMEOUT,
        stream=True,
    )
    with answer:
        if answer.status_code != 206 and not (answer.status_code == 200 and (at, end) == (0, blob.size)):
            raise said_no(answer) if answer.status_code >= 400 else ConnectionError("the range was not heeded")
        left = end - at
        for piece in answer.iter_content(_PIECE_BYTES):
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return
