"""What SeaweedFS lacks of cold storage, before it: restores, and refusing to give what is not restored.

Everything else goes through to the real server, which keeps the class of objects and checks signatures.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_COLD = ("GLACIER", "DEEP_ARCHIVE")


class ColdServer:
    """restores: what x-amz-restore says of an object, by path. asked: the bodies of the requests to restore."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.restores: dict[str, str] = {}
        self.asked: list[str] = []
        self.endpoint = ""

    def all_ready(self, until: str) -> None:
        """Every restore that was asked for has come to its end."""
        self.restores = dict.fromkeys(self.restores, f'ongoing-request="false", expiry-date="{until}"')

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        path = urlsplit(target).path
        if method == "POST" and "restore" in parse_qs(urlsplit(target).query, keep_blank_values=True):
            if 'ongoing-request="true"' in self.restores.get(path, ""):
                return 409, {}, b"<Error><Code>RestoreAlreadyInProgress</Code><Message>It is.</Message></Error>"
            self.restores[path] = 'ongoing-request="true"'
            self.asked.append(body.decode())
            return 202, {}, b""
        status, told, content = self._forward(method, target, headers, body)
        restore = self.restores.get(path, "")
        if told.get("x-amz-storage-class") in _COLD and method in ("GET", "HEAD") and status < 300:
            if method == "GET" and 'ongoing-request="false"' not in restore:
                return 403, {}, b"<Error><Code>InvalidObjectState</Code><Message>It is cold.</Message></Error>"
            if restore:
                told["x-amz-restore"] = restore
        return status, told, content

    def _forward(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as line:
            line.request(method, target, body, headers)
            answer = line.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            told.pop("transfer-encoding", None)
            return answer.status, told, answer.read()


@contextmanager
def run_cold(port: int) -> Iterator[ColdServer]:
    """Before the S3 server at this port."""
    server = ColdServer(port)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            status, told, content = server.answer(self.command, self.path, headers, body)
            self.send_response_only(status)
            for name, value in told.items():
                if name != "content-length" or self.command == "HEAD":
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server.endpoint = f"http://127.0.0.1:{listener.server_address[1]}"
    threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
