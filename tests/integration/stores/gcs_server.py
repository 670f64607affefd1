"""A Google Cloud Storage server for tests: an emulator behind a layer of ours that adds what it lacks, and faults.

The emulator overwrites objects whatever the request says, lists everything on one page and reports a first byte that
nobody sent; the layer does these as the real service does. Then a test may say what else shall go wrong.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from gcp_storage_emulator.server import create_server

BUCKET = "footage"
CONNECTION = json.dumps({"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": "test"}})

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_SLICE = 64 << 10


@dataclass
class Seen:
    """A request as it came. received: bytes of its body, also of one that was cut. asked: its query as
    it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""
    received: int = 0
    asked: str = ""

    @property
    def is_part(self) -> bool:
        """Whether it carries a part of an upload session."""
        return self.method == "PUT" and _RANGE.match(self.headers.get("content-range", "")) is not None

    def all_of(self, name: str) -> list[str]:
        """Every value of a parameter that was given more than once."""
        return parse_qs(self.asked).get(name, [])

    @property
    def is_download(self) -> bool:
        return self.path.startswith("/download/")

    @property
    def begins_session(self) -> bool:
        return self.method == "POST" and self.query.get("uploadType") == "resumable"

    @property
    def is_whole_upload(self) -> bool:
        return self.method == "POST" and self.query.get("uploadType") == "multipart"


@dataclass(frozen=True)
class Answer:
    """announced: the length in its header, when that is not the body's own."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    announced: int | None = None


def failure(status: int, message: str, reason: str = "") -> Answer:
    error = {"code": status, "message": message, "errors": [{"message": message, "reason": reason}]}
    return Answer(status, json.dumps({"error": error}).encode(), {"Content-Type": "application/json"})


class GcsServer:
    """seen: every request in order. The other attributes are the faults; `heal` takes them all away.

    cut: how many bytes of a request's body are read before the connection is cut (None: all of it).
    takes: how many bytes of a part the server keeps (None: all of it). before: an answer in the server's place.
    after: the server's answer on its way back. page: the most objects on a page of a listing. withheld: the rights that
    the account is said not to have.
    """

    def __init__(self) -> None:
        self._emulator_port = _free_port()
        self._emulator = create_server("127.0.0.1", self._emulator_port, in_memory=True, default_bucket=BUCKET)
        self._one_at_a_time = threading.RLock()
        self._only_new: dict[str, str] = {}
        self.seen: list[Seen] = []
        self.heal()

    def heal(self) -> None:
        self.cut: Callable[[Seen], int | None] = lambda _: None
        self.takes: Callable[[Seen], int | None] = lambda _: None
        self.before: Callable[[Seen], Answer | None] = lambda _: None
        self.after: Callable[[Seen, Answer], Answer] = lambda _, answer: answer
        self.page = 1000
        self.withheld: set[str] = set()

    def start(self) -> None:
        self._emulator.start()
        self._layer = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._layer.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._layer.server_address[1]}"
        threading.Thread(target=self._layer.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self._layer.shutdown()
        self._layer.server_close()
        self._emulator.stop()

    def wipe(self) -> None:
        self._emulator.wipe()

    def make_bucket(self) -> None:
        self.forward(Seen("POST", "/storage/v1/b", {}, {}, json.dumps({"name": BUCKET}).encode()))

    def parts(self) -> list[Seen]:
        return [one for one in self.seen if one.is_part]

    def answer(self, seen: Seen) -> Answer:
        refused = self.before(seen)
        if refused is not None:
            return refused
        kept = self.takes(seen)
        if kept is not None and seen.is_part:
            start, _, total = map(int, _RANGE.match(seen.headers["content-range"]).groups())  # type: ignore[union-attr]
            headers = {**seen.headers, "content-range": f"bytes {start}-{start + kept - 1}/{total}"}
            seen = replace(seen, body=seen.body[:kept], headers=headers)
        if seen.path.endswith("/iam/testPermissions"):
            granted = [one for one in seen.all_of("permissions") if one not in self.withheld]
            return Answer(200, json.dumps({"permissions": granted}).encode(), {"Content-Type": "application/json"})
        with self._one_at_a_time:
            if self._would_overwrite(seen):
                return failure(412, "At least one of the pre-conditions you specified did not hold.", "conditionNotMet")
            answer = self.forward(seen)
            if seen.begins_session and seen.query.get("ifGenerationMatch") == "0" and answer.status == 200:
                location = parse_qs(urlsplit(answer.headers["Location"]).query)["upload_id"][0]
                self._only_new[location] = _name(seen)
        if seen.method == "GET" and seen.path.endswith("/o"):
            answer = self._paged(seen, answer)
        if answer.status == 308 and answer.headers.get("Range") == "bytes=0-0":
            answer = replace(answer, headers={key: value for key, value in answer.headers.items() if key != "Range"})
        return answer

    def forward(self, seen: Seen) -> Answer:
        """What the emulator says."""
        connection = http.client.HTTPConnection("127.0.0.1", self._emulator_port, timeout=60)
        with contextlib.closing(connection):
            target = seen.path + (f"?{urlencode(seen.query)}" if seen.query else "")
            headers = {key: value for key, value in seen.headers.items() if key not in ("content-length", "connection")}
            if seen.method == "POST" and "content-type" not in headers:
                headers["content-type"] = "application/json"
            connection.request(seen.method, target, seen.body, {**headers, "content-length": str(len(seen.body))})
            answer = connection.getresponse()
            kept = {key: value for key, value in answer.getheaders() if key not in ("Content-Length", "Server", "Date")}
            return Answer(answer.status, answer.read(), kept)

    def _would_overwrite(self, seen: Seen) -> bool:
        if seen.method == "POST" and seen.query.get("ifGenerationMatch") == "0":
            return self._exists(_name(seen))
        upload = seen.query.get("upload_id", "")
        match = _RANGE.match(seen.headers.get("content-range", ""))
        last = match is not None and int(match[2]) + 1 == int(match[3])
        return last and upload in self._only_new and self._exists(self._only_new[upload])

    def _exists(self, name: str) -> bool:
        return self.forward(Seen("GET", f"/storage/v1/b/{BUCKET}/o/{quote(name, safe='')}", {}, {})).status == 200

    def _paged(self, seen: Seen, answer: Answer) -> Answer:
        if answer.status != 200:
            return answer
        listed = json.loads(answer.body)
        after = seen.query.get("pageToken", "")
        items = [one for one in listed.get("items", []) if one["name"] > after]
        page = items[: min(self.page, int(seen.query.get("maxResults", "1000")))]
        more = {"nextPageToken": page[-1]["name"]} if len(page) < len(items) else {}
        return replace(answer, body=json.dumps({**listed, "items": page, **more}).encode())


@contextlib.contextmanager
def run_gcs() -> Iterator[GcsServer]:
    server = GcsServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _name(seen: Seen) -> str:
    found = re.search(rb'"name":\s*"([^"]+)"', seen.body)
    assert found is not None
    return found[1].decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _handler(server: GcsServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
            headers = {key.lower(): value for key, value in self.headers.items()}
            seen = Seen(self.command, parts.path, query, headers, asked=parts.query)
            server.seen.append(seen)
            if not self._read_body(seen, int(headers.get("content-length", "0"))):
                self.close_connection = True
                return
            answer = server.after(seen, server.answer(seen))
            length = len(answer.body) if answer.announced is None else answer.announced
            with contextlib.suppress(OSError):
                self.send_response(answer.status)
                for key, value in answer.headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(answer.body)
            if length != len(answer.body):
                self.close_connection = True

        def _read_body(self, seen: Seen, length: int) -> bool:
            """Whether the whole body came."""
            limit = server.cut(seen)
            slices = []
            wanted = length if limit is None else min(limit, length)
            while seen.received < wanted:
                try:
                    piece = self.rfile.read1(min(_SLICE, wanted - seen.received))  # type: ignore[attr-defined]
                except OSError:
                    return False
                if not piece:
                    return False
                seen.received += len(piece)
                slices.append(piece)
            seen.body = b"".join(slices)
            if limit is not None and limit < length:
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return False
            return True

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler
