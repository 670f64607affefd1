"""A small server of our own in Airflow's place: it answers what a test tells it to, and notes what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, Any]


class FakeAirflow:
    """Answers from a dict of "METHOD /path"; notes what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[dict[str, Any]], Answer]] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.token = "first"
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                asked = {**body, **parse_qs(parts.query)}
                key = f"{self.command} {parts.path}"
                fake.asked.append((key, asked))
                if key == "POST /auth/token" and key not in fake.answers:
                    status, told = 201, {"access_token": fake.token}
                elif parts.path != "/auth/token" and self.headers.get("Authorization") != f"Bearer {fake.token}":
                    status, told = 401, {"detail": "Invalid token"}
                else:
                    found = fake.answers.get(key, (404, {"detail": "not found"}))
                    status, told = found(asked) if callable(found) else found
                content = told if isinstance(told, bytes) else json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the names that the base class calls

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that gave up
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
