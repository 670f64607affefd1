"""An S3 server that only lists: as many objects as a file names, without a byte of any of them, over HTTP.

A real server takes hours to be filled with a million objects; what comparing costs the product does not depend on what
lies in them. Answers are those of ListObjectsV2, a thousand names a page, level by level where that is asked for.
Beside the listing there is one object that can be read, the identity of the store.

    python benchmarks/listing_server.py FILE IDENTITY    # one "key<TAB>bytes" a line, in key order; says its port
"""

from __future__ import annotations

import bisect
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

PAGE = 1000
WHEN = "2026-01-01T00:00:00.000Z"


class Listing:
    """The objects, in key order. requests: how many were answered."""

    def __init__(self, file: Path, identity: Path) -> None:
        lines = (line.rstrip("\n").split("\t") for line in file.open())
        self._sizes = {key: int(size) for key, size in lines}
        self._keys = list(self._sizes)
        self.identity = identity.read_bytes()
        self.name = identity.name
        self.requests = 0

    def page(self, query: dict[str, str]) -> str:
        """One answer of ListObjectsV2."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after") or ""
        most = min(PAGE, int(query.get("max-keys", PAGE)))
        at = bisect.bisect_right(self._keys, after) if after > prefix else bisect.bisect_left(self._keys, prefix)
        found: list[str] = []
        last = ""
        while at < len(self._keys) and self._keys[at].startswith(prefix) and len(found) < most:
            key = self._keys[at]
            level, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if cut:
                last = prefix + level + delimiter
                found.append(f"<CommonPrefixes><Prefix>{escape(last)}</Prefix></CommonPrefixes>")
                last += "\U0010ffff"
                at = bisect.bisect_right(self._keys, last)
            else:
                last = key
                found.append(
                    f"<Contents><Key>{escape(key)}</Key><LastModified>{WHEN}</LastModified><ETag>&quot;x&quot;</ETag>"
                    f"<Size>{self._sizes[key]}</Size><StorageClass>STANDARD</StorageClass></Contents>"
                )
                at += 1
        more = at < len(self._keys) and self._keys[at].startswith(prefix)
        token = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(found)}</ListBucketResult>"
        )


def _handler(listing: Listing) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/requests":
                self._answer(200, str(listing.requests).encode())
                return
            listing.requests += 1
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            if "list-type" in query:
                self._answer(200, listing.page(query).encode())
            elif parts.path.endswith(f"/{listing.name}"):
                self._answer(200, listing.identity)
            else:
                self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

        def do_HEAD(self) -> None:
            listing.requests += 1
            self._answer(200 if urlsplit(self.path).path.count("/") == 1 else 404, b"")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(Listing(Path(sys.argv[1]), Path(sys.argv[2]))))
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
