"""A real S3 server for tests (SeaweedFS), on free ports of this machine, ended by kill -9 by its process id."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = "cctv"
"""The one bucket of a test server; each test takes a prefix of its own in it."""

ACCESS, SECRET = "cctv", "a secret that no message may show"


@dataclass(frozen=True)
class S3Server:
    """endpoint: http://host:port."""

    port: int
    host: str = "127.0.0.1"

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:{self.port}"

    def client(self):
        """A plain client, to look behind the store's back."""
        return boto3.session.Session(ACCESS, SECRET, region_name="us-east-1").client(
            "s3", endpoint_url=self.endpoint, config=Config(signature_version="s3v4", s3={"addressing_style": "path"})
        )


def connection_text(endpoint: str, login: str = ACCESS, password: str = SECRET, **config_kwargs: object) -> str:
    """What belongs into AIRFLOW_CONN_<ID> to reach a server at this endpoint."""
    extra = {"endpoint_url": endpoint, "region_name": "us-east-1", "config_kwargs": config_kwargs}
    return json.dumps({"conn_type": "aws", "login": login, "password": password, "extra": extra})


def binary() -> str | None:
    found = Path(sysconfig.get_path("scripts")) / "weed"
    return str(found) if found.exists() else shutil.which("weed")


@contextlib.contextmanager
def run_weed(
    program: str, *, place: tuple[str, ...] = (), host: str = "127.0.0.1", volumes: int = 200
) -> Iterator[S3Server]:
    """place: the words before a command that make it run elsewhere, such as in a network namespace; host: the address
    under which its S3 is reached there. volumes: how many it may make; each bucket needs at least one, and one that
    gets none is full."""
    folder = Path(tempfile.mkdtemp(prefix="weed-"))
    master, volume, filer, s3 = free_ports(4)
    identity = {
        "name": "cctv",
        "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    command = [
        *place, program, f"-logdir={folder}", "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", "-master.volumeSizeLimitMB=256",
        f"-volume.max={volumes}", "-volume.preStopSeconds=0", "-master.electionTimeout=1s",
        "-master.heartbeatInterval=150ms", "-s3", f"-s3.ip.bind={host}", f"-s3.port={s3}",
        f"-s3.config={folder}/s3.json", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        f"-filer.localSocket={folder}/f.sock", f"-s3.localSocket={folder}/s3.sock",
    ]  # fmt: skip
    environment = {**os.environ, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1", "WEED_S3_SSE_KEK": "5a" * 32}
    log = (folder / "output").open("wb")
    server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder)
    try:
        made = S3Server(s3, host)
        _wait_until_writable(made, server, folder)
        yield made
    finally:
        server.kill()  # an orderly stop takes 15 s and more
        server.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)
        for port in (master, volume, filer, s3):
            for left in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-grpc-{port + 10000}.sock"):
                left.unlink(missing_ok=True)


def free_ports(count: int) -> list[int]:
    """Free ports whose gRPC neighbours (port + 10000) are free as well."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            if port > 55_000:
                continue
            with socket.socket() as second:
                try:
                    second.bind(("127.0.0.1", port + 10_000))
                except OSError:
                    continue
            found.append(port)
    return found


def _wait_until_writable(server: S3Server, process: subprocess.Popen[bytes], folder: Path) -> None:
    """An open port says little: ready is when an object can be put."""
    client = server.client()
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None, (folder / "output").read_text(errors="replace")[-2000:]
        try:
            with contextlib.suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"x")
        except (ClientError, BotoCoreError):
            time.sleep(0.2)
        else:
            return
    raise AssertionError((folder / "output").read_text(errors="replace")[-2000:])
