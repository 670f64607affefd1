"""A slow, far and lossy line between two network namespaces of this machine, so that real TCP meets what offices have.

One process owns a TUN device at either end and hands every packet over after half the round trip, no faster than the
rate, through a queue of bounded length, and loses some. (The kernel's own `netem` is not in every kernel.) Root only.

    python benchmarks/shaped_line.py [--mbit 20] [--rtt-ms 80] [--loss 0.01] [--congestion reno]

tells what the bare line gives to one and to eight TCP flows.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import heapq
import multiprocessing
import os
import random
import select
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NEAR, FAR = "10.231.7.1", "10.231.7.2"
"""The addresses of the two ends."""

_TUNSETIFF, _TUN_NO_PI = 0x400454CA, 0x1001
_MTU = 1500
_QUEUE_S = 0.1


@dataclass(frozen=True)
class Shape:
    """mbit: the rate each way in Mbit/s of whole packets. rtt_ms: round trip in ms. loss: share of packets lost.

    congestion: what TCP uses at both ends unless a program asks for another; one of those that this machine allows to
    everybody. Most machines have cubic, which is no faster than reno where much is lost.
    """

    mbit: float = 20.0
    rtt_ms: float = 80.0
    loss: float = 0.01
    congestion: str = "reno"

    def __str__(self) -> str:
        return f"{self.mbit:g} Mbit/s, {self.rtt_ms:g} ms, {self.loss:.0%} loss, {self.congestion}"


@dataclass(frozen=True)
class ShapedLine:
    """near, far: the words to put before a command that shall run at this end."""

    near: tuple[str, ...]
    far: tuple[str, ...]

    @contextlib.contextmanager
    def at_the_near_end(self) -> Iterator[None]:
        """In this block this thread and what it starts are at the near end."""
        with Path("/proc/thread-self/ns/net").open() as home, Path(f"/run/netns/{self.near[-1]}").open() as near:
            _enter(near.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())


def why_not() -> str:
    """Why no shaped line can be made here; "" when it can."""
    if os.geteuid() != 0:
        return "network namespaces and TUN devices need root"
    if shutil.which("ip") is None:
        return "the program `ip` (Debian: iproute2) is missing"
    return "" if Path("/dev/net/tun").exists() else "there is no /dev/net/tun"


@contextlib.contextmanager
def shaped_line(shape: Shape) -> Iterator[ShapedLine]:
    """The line, for as long as the block runs; everything is removed afterwards."""
    names = [f"vms-{end}-{os.getpid()}" for end in ("near", "far")]
    devices = [f"vms{os.getpid() % 10**6}{end}" for end in "nf"]
    tuns = [_tun(device) for device in devices]
    carrier = multiprocessing.get_context("fork").Process(target=_carry, args=(tuns, shape), daemon=True)
    try:
        for name, device, address in zip(names, devices, (NEAR, FAR), strict=True):
            _ip("netns", "add", name)
            _ip("link", "set", device, "netns", name)
            _ip("-n", name, "address", "add", f"{address}/24", "dev", device)
            _ip("-n", name, "link", "set", device, "mtu", str(_MTU), "up")
            _ip("-n", name, "link", "set", "lo", "up")
            setting = "/proc/sys/net/ipv4/tcp_congestion_control"
            _ip("netns", "exec", name, "sh", "-c", f"echo {shape.congestion} > {setting}")
        carrier.start()
        yield ShapedLine(*(("ip", "netns", "exec", name) for name in names))
    finally:
        if carrier.pid is not None:
            carrier.kill()
            carrier.join()
        for tun in tuns:
            os.close(tun)
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


def bare_flows(line: ShapedLine, flows: int, seconds: float) -> float:
    """Mbit/s of payload that so many bare TCP flows bring over the line, counted where they arrive."""
    me = [sys.executable, str(Path(__file__).resolve())]
    receiver = subprocess.Popen(
        [*line.far, *me, "--receive", str(flows), "--seconds", str(seconds)], stdout=subprocess.PIPE, text=True
    )
    sender = subprocess.Popen([*line.near, *me, "--send", str(flows), "--seconds", str(seconds)])
    try:
        told, _ = receiver.communicate(timeout=seconds + 60)
    finally:
        for one in (sender, receiver):
            one.kill()
            one.wait()
    return float(told)


def _carry(tuns: list[int], shape: Shape) -> None:
    """Hand packets from one end to the other, both ways, until killed."""
    os.nice(-10)  # a line does not become slower because the machine is busy
    chance = random.Random()
    free_at = dict.fromkeys(tuns, 0.0)
    under_way: list[tuple[float, int, int, bytes]] = []
    count = 0
    for tun in tuns:
        os.set_blocking(tun, False)
    while True:
        wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        ready, _, _ = select.select(tuns, [], [], wait)
        for tun in ready:
            with contextlib.suppress(BlockingIOError):
                while True:
                    packet, now = os.read(tun, 65536), time.monotonic()
                    begins = max(now, free_at[tun])
                    if begins - now > _QUEUE_S:
                        continue
                    free_at[tun] = begins + len(packet) * 8 / (shape.mbit * 1e6)
                    if chance.random() < shape.loss:
                        continue
                    count += 1
                    to = tuns[1] if tun == tuns[0] else tuns[0]
                    heapq.heappush(under_way, (free_at[tun] + shape.rtt_ms / 2000, count, to, packet))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, to, packet = heapq.heappop(under_way)
            with contextlib.suppress(OSError):  # the end is not up yet, or full: lost
                os.write(to, packet)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, 0) != 0:
        raise OSError(ctypes.get_errno(), "can't enter the network namespace")


def _tun(device: str) -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _TUN_NO_PI))
    return tun


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _receive(flows: int, seconds: float) -> None:
    """Counts from the second quarter on, when the flows have found their speed."""
    with socket.create_server((FAR, 5201), backlog=flows) as listener:
        taken = [listener.accept()[0] for _ in range(flows)]
    began, warm, count = time.monotonic(), seconds / 4, 0
    while (now := time.monotonic()) < began + seconds:
        for one in select.select(taken, [], [], 0.1)[0]:
            got = len(one.recv(1 << 20))
            count += got if now > began + warm else 0
    print(count * 8 / 1e6 / (seconds - warm))


def _send(flows: int, seconds: float) -> None:
    made: list[socket.socket] = []
    while len(made) < flows:
        try:
            made.append(socket.create_connection((FAR, 5201), timeout=10))
        except ConnectionRefusedError:
            time.sleep(0.1)
    for one in made:
        one.setblocking(False)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for one in select.select([], made, [], 0.1)[1]:
            with contextlib.suppress(BlockingIOError):
                one.send(bytes(65536))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mbit", type=float, default=Shape.mbit)
    parser.add_argument("--rtt-ms", type=float, default=Shape.rtt_ms)
    parser.add_argument("--loss", type=float, default=Shape.loss)
    parser.add_argument("--congestion", default=Shape.congestion, help="such as reno (default) or bbr")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--receive", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--send", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.receive:
        _receive(options.receive, options.seconds)
    elif options.send:
        with contextlib.suppress(OSError):  # the other end has seen enough
            _send(options.send, options.seconds)
    elif reason := why_not():
        raise SystemExit(f"No shaped line: {reason}.")
    else:
        shape = Shape(options.mbit, options.rtt_ms, options.loss, options.congestion)
        with shaped_line(shape) as line:
            for flows in (1, 8):
                got = bare_flows(line, flows, options.seconds)
                print(f"{shape}: {flows} flow{'s' * (flows > 1)}: {got:.1f} Mbit/s ({got / shape.mbit:.0%})")


if __name__ == "__main__":
    main()
