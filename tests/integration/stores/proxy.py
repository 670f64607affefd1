"""A line between a store's client and its server that counts what goes over it and fails in the ways lines do."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Slow down</Message></Error>"
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_SLOW_DOWN), _SLOW_DOWN)
)


class Line:
    """Every fault is off until it is set.

    up: bytes that have gone to the server. cut_at: close everything once that many have gone up. hold_at: let nothing
    more up from there, until it is None again (held tells that it is so). storm: answer every request 503. flip: change
    a byte of the next large piece that goes up. lose_answers: how many answers are cut off. cut_down_at: close
    everything when so many bytes of one connection have come down. rewrite: what becomes of what comes down.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.up = 0
        self.cut_at: int | None = None
        self.hold_at: int | None = None
        self.held = threading.Event()
        self.storm = False
        self.flip = False
        self.lose_answers = 0
        self.cut_down_at: int | None = None
        self.rewrite: Callable[[bytes], bytes] = lambda piece: piece
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hang_up(self) -> None:
        """Close every connection that is open now."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.hang_up()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            if self.storm:
                client.recv(65536)
                client.sendall(_BUSY)
                return
            with socket.create_connection(("127.0.0.1", self._to)) as server:
                with self._lock:
                    self._open |= {client, server}
                back = threading.Thread(target=self._down, args=(server, client), daemon=True)
                back.start()
                try:
                    self._upward(client, server)
                finally:
                    for one in (client, server):
                        with contextlib.suppress(OSError):
                            one.shutdown(socket.SHUT_RDWR)
                    back.join()
                    with self._lock:
                        self._open -= {client, server}

    def _upward(self, client: socket.socket, server: socket.socket) -> None:
        while piece := client.recv(65536):
            if self.hold_at is not None and self.up >= self.hold_at:
                self.held.set()
                while self.hold_at is not None and self._listener.fileno() >= 0:
                    time.sleep(0.05)
                return  # its client has been killed: what it still had under way is lost
            if self.flip and len(piece) > 1000 and b" HTTP/1.1\r\n" not in piece:
                self.flip = False
                piece = piece[:-1] + bytes([piece[-1] ^ 1])
            if self.cut_at is not None and self.up >= self.cut_at:
                return
            server.sendall(piece)
            self.up += len(piece)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        down = 0
        with contextlib.suppress(OSError):
            while piece := server.recv(65536):
                down += len(piece)
                if self.cut_down_at is not None and down > self.cut_down_at:
                    break
                if self.lose_answers and b" 100 Continue" not in piece:
                    self.lose_answers -= 1
                    break
                client.sendall(self.rewrite(piece))
            for one in (client, server):
                one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def line_to(port: int) -> Iterator[Line]:
    line = Line(port)
    try:
        yield line
    finally:
        line.close()
