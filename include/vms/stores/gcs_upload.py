"""One file to one object of Google Cloud Storage: never over another, checked by the server, resumed where it stopped.

The file is hashed before a byte is sent. Its CRC32C goes along, and the server itself refuses what does not match.
Small files are one request. Larger ones go to an upload session chunk by chunk; how far the server is, only the server
knows, so it is asked after every failure and by every process that takes the session up.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.api_core import exceptions as api

from vms.errors import StoreError
from vms.model import NO_OPTIONS, StoreOptions, dump
from vms.stores.base import CHUNK_BYTES, FileRotted, Pace, Progress
from vms.stores.gcs_crc import Crc32c
from vms.stores.gcs_errors import ERRORS, TIMEOUT, Patience, retry, said_no
from vms.stores.gcs_session import KeptSession, forget_session, kept_session
from vms.stores.refusals import must_be_as_told, unreadable

PART_BYTES = 8 << 20
"""What a session is sent at a time, and the most that is sent twice. The store wants multiples of 256 KiB."""

ONE_REQUEST_BYTES = 1 << 20
SHA256 = "vms-sha256"
CRC32C = "vms-crc32c"

_PART_TIMEOUT = (30, 300)
_ONE_REQUEST_TIMEOUT = (120, 300)  # the library sends the body in one go, within the first of the two
_SLICE_BYTES = 64 << 10
_MOST_SESSIONS = 3
_RANGE = re.compile(r"bytes=0-(\d+)\Z")


@dataclass(frozen=True)
class Outgoing:
    """What is to be put. store: its name in sites.yaml. options: what the object gets; the blob has them already."""

    store: str
    file: Path
    sha256: str
    size_bytes: int
    progress: Progress | None
    options: StoreOptions = NO_OPTIONS
    pace: Pace | None = None

    def tell(self, sent: int) -> None:
        if self.progress is not None:
            self.progress(sent)


@dataclass(frozen=True)
class Sent:
    """What came of it. generation: of the object that was made; None when another object was there first."""

    bytes_sent: int
    generation: int | None


def send(client: Any, blob: Any, out: Outgoing) -> Sent:
    """Make the object. Raises FileRotted, StoreError when its bytes arrive damaged, and the client library's errors."""
    data, crc32c = _read_and_check(out)
    blob.metadata = {SHA256: out.sha256, CRC32C: crc32c}
    blob.content_type = mimetypes.guess_type(blob.name)[0] or "application/octet-stream"
    if data is None or (out.pace is not None and data):  # the library sends a body in one go, at no pace but its own
        blob.crc32c = crc32c
        return _Session(client, blob, out, crc32c).send()
    try:
        blob.upload_from_string(
            data,
            content_type=blob.content_type,
            if_generation_match=0,
            checksum="crc32c",
            timeout=_ONE_REQUEST_TIMEOUT,
            retry=retry(),
        )
    except api.PreconditionFailed:
        return Sent(len(data), None)
    except api.BadRequest as error:
        raise _damaged(out, int(error.code)) from None
    out.tell(len(data))
    return Sent(len(data), int(blob.generation))


def forget(out: Outgoing) -> None:
    """Nothing of this file is to be resumed: the object is there."""
    forget_session(out.file, out.store)


class _Session:
    """Chunks of a file on their way. offset: how far the server is; None when it must be asked."""

    def __init__(self, client: Any, blob: Any, out: Outgoing, crc32c: str) -> None:
        self._client = client
        self._transport = client._http  # the client's own session: its credentials, proxies and certificates
        self._blob = blob
        self._out = out
        self._crc32c = crc32c
        self._offset: int | None = None
        self._begun = 0
        self._sent = 0
        self._unanswered = 0
        self._told = 0

    def send(self) -> Sent:
        about = {
            "object": f"{self._client.api_endpoint} gs://{self._blob.bucket.name}/{self._blob.name}",
            "sha256": self._out.sha256,
            "size": self._out.size_bytes,
            "options": dump(self._out.options),
        }
        with kept_session(self._out.file, self._out.store, about) as kept:
            patience = Patience()
            while True:
                try:
                    answer = self._next(kept)
                    if answer.status_code in (200, 201):
                        self._got_to(self._out.size_bytes)
                        kept.forget()
                        return Sent(self._sent, int(answer.json()["generation"]))
                    if answer.status_code == 308:
                        if self._got_to(_received(answer)):
                            patience.got_on()
                    elif answer.status_code in (400, 404, 410):
                        self._begin_again(kept, answer)
                    else:
                        raise said_no(answer)
                except api.PreconditionFailed:
                    kept.forget()
                    return Sent(self._sent + self._unanswered, None)
                except ERRORS as error:
                    patience.wait(error)
                    self._offset = None

    def _next(self, kept: KeptSession) -> Any:
        """The store's answer to the next step: how far it is, or the next part."""
        if not kept.uri:
            self._begun += 1
            kept.keep(self._begin())
            self._offset = 0
        if self._offset is None or self._offset >= self._out.size_bytes:
            return self._ask(kept.uri)
        return self._send_part(kept.uri, self._offset)

    def _begin(self) -> str:
        uri: str = self._blob.create_resumable_upload_session(
            content_type=self._blob.content_type,
            size=self._out.size_bytes,
            timeout=TIMEOUT,
            checksum=None,
            if_generation_match=0,
            retry=retry(),
        )
        return uri

    def _ask(self, uri: str) -> Any:
        return self._put(uri, b"", {"Content-Range": f"bytes */{self._out.size_bytes}"}, TIMEOUT)

    def _send_part(self, uri: str, offset: int) -> Any:
        try:
            with self._out.file.open("rb") as source:
                source.seek(offset)
                part = source.read(PART_BYTES)
        except OSError as error:
            raise unreadable(self._out.file, error) from error
        end = offset + len(part)
        if not part or end > self._out.size_bytes:
            raise FileRotted(
                f"{self._out.file} changed its length while it was sent.", "It is made again from its source."
            )
        self._unanswered = len(part)
        headers = {"Content-Range": f"bytes {offset}-{end - 1}/{self._out.size_bytes}"}
        if end == self._out.size_bytes:
            headers["X-Goog-Hash"] = f"crc32c={self._crc32c}"
        return self._put(uri, part, headers, _PART_TIMEOUT)

    def _put(self, uri: str, part: bytes, headers: Mapping[str, str], timeout: tuple[int, int]) -> Any:
        return self._transport.request(
            "PUT",
            uri,
            data=_Body(part, self._out.pace) if part else b"",
            headers={**headers, "Content-Type": self._blob.content_type},
            timeout=timeout,
            allow_redirects=False,
        )

    def _got_to(self, offset: int) -> bool:
        """Note how far the server says it is; whether that is further than before.

        Raises ConnectionError when a part has not got it any further.
        """
        before, self._offset = self._offset, offset
        self._unanswered = 0
        if before is None:
            return False
        if offset <= before:
            raise ConnectionError("no byte was taken")
        self._sent += offset - before
        self._told = max(self._told, offset)
        self._out.tell(self._told)
        return True

    def _begin_again(self, kept: KeptSession, answer: Any) -> None:
        """Drop a session that has expired, or whose bytes did not arrive as they were sent."""
        kept.forget()
        _read_and_check(self._out)
        if self._begun >= _MOST_SESSIONS:
            raise _damaged(self._out, answer.status_code)


class _Body:
    """The bytes of a request in slices: each has the whole time limit, and a second try may begin anew."""

    def __init__(self, data: bytes, pace: Pace | None) -> None:
        self._data = memoryview(data)
        self._pace = pace

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[memoryview]:
        at = 0
        while at < len(self._data):
            size = min(_SLICE_BYTES, len(self._data) - at)
            if self._pace is not None:
                size = self._pace(size)
            yield self._data[at : at + size]
            at += size


def _received(answer: Any) -> int:
    match = _RANGE.match(answer.headers.get("Range", ""))
    return int(match[1]) + 1 if match else 0


def _read_and_check(out: Outgoing) -> tuple[bytes | None, str]:
    """The file's bytes when it is small, and its CRC32C as the store writes it. Raises FileRotted."""
    digest, crc32c, size = hashlib.sha256(), Crc32c(), 0
    kept: bytes | None = None
    try:
        with out.file.open("rb", buffering=0) as source:
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
                crc32c.update(chunk)
                size += len(chunk)
                kept = chunk if size == len(chunk) <= ONE_REQUEST_BYTES else None
    except OSError as error:
        raise unreadable(out.file, error) from error
    must_be_as_told(out.file, digest.hexdigest(), size, sha256=out.sha256, size_bytes=out.size_bytes)
    return b"" if size == 0 else kept, crc32c.text()


def _damaged(out: Outgoing, code: int) -> StoreError:
    return StoreError(
        f"Store {out.store} does not take {out.file.name} to its end (answer {code}): its bytes do not arrive as they "
        "were sent.",
        "Nothing was stored under the key. Look for a proxy or a firewall that changes uploads; it is tried again.",
    )
