"""A stand-in for Telegram's bot interface: it takes what a bot sends, and notes it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Telegram:
    """texts: of sendMessage, in order. pictures: what came with sendPhoto, caption and PNG. status: what it answers."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.pictures: list[bytes] = []
        self.status = 200
        taken = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                method = self.path.rsplit("/", 1)[-1]
                if taken.status == 200 and method == "sendMessage":
                    taken.texts.append(json.loads(body)["text"])
                elif taken.status == 200 and method == "sendPhoto":
                    taken.pictures.append(body)
                answer: dict[str, Any] = {"ok": taken.status == 200, "result": {"message_id": 1}}
                content = json.dumps(answer).encode()
                self.send_response(taken.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        """In the place of https://api.telegram.org/bot."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/bot"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
