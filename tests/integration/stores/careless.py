"""An S3 server that takes checksums without heeding them: a real one behind a gateway that loses them on the way.

Every request is signed anew after its checksums are gone, since the real server looks at the signature.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import weed

_OF_CHECKSUMS = re.compile(rb"<Checksum\w*>[^<]*</Checksum\w*>")
_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
_NOT_PASSED_ON = ("authorization", "connection", "expect", "host", "x-amz-date", "x-amz-content-sha256")


class Gateway:
    """refuses: which requests (method, path with query) are answered AccessDenied. spoil: change a byte of the next
    object that is put, as a server with bad memory does. losses: how many answers to reading are cut off in their
    middle."""

    def __init__(self, port: int) -> None:
        self.refuses: Callable[[str, str], bool] = lambda _method, _path: False
        self.spoil = False
        self.losses = 0
        self._to = port
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def forward(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        if self.refuses(method, path):
            return 403, [("Content-Type", "application/xml")], _DENIED
        if self.spoil and method == "PUT" and len(body) > 1000:
            self.spoil = False
            body = body[:-1] + bytes([body[-1] ^ 1])
        kept = {name: value for name, value in headers.items() if name not in _NOT_PASSED_ON and "checksum" not in name}
        body = _OF_CHECKSUMS.sub(b"", body) if method == "POST" else body
        kept["content-length"] = str(len(body))
        kept["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
        request = AWSRequest(method, f"http://127.0.0.1:{self._to}{path}", headers=kept, data=body)
        S3SigV4Auth(Credentials(weed.ACCESS, weed.SECRET), "s3", "us-east-1").add_auth(request)
        connection = http.client.HTTPConnection("127.0.0.1", self._to, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(request.headers.items()))
            answer = connection.getresponse()
            told = [
                (name, value)
                for name, value in answer.getheaders()
                if "checksum" not in name.lower() and name.lower() not in ("connection", "transfer-encoding")
            ]
            return answer.status, told, _OF_CHECKSUMS.sub(b"", answer.read())


@contextlib.contextmanager
def careless(port: int) -> Iterator[Gateway]:
    """port: the real server's."""
    gateway = Gateway(port)
    try:
        yield gateway
    finally:
        gateway.close()


def _handler(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", "0")))
            status, told, content = gateway.forward(self.command, self.path, headers, body)
            self.send_response_only(status)
            length = str(len(content))
            for name, value in told:
                if name.lower() == "content-length":
                    length = value if self.command == "HEAD" else length
                else:
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command == "GET" and gateway.losses and len(content) > 1000:
                gateway.losses -= 1
                content = content[: len(content) // 2]
                self.close_connection = True
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler
