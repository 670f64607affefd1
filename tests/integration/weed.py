"""A real S3 server for tests (SeaweedFS), on free ports of this machine, ended by kill -9 by its process id."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from vms.errors import StackError
from vms.home import PROJECT_ROOT
from vms.model import NO_OPTIONS
from vms.stack import demo_s3
from vms.stack.postgres import is_free
from vms.stores import narrow

BUCKET = "cctv"
"""The one bucket of a test server; each test takes a prefix of its own in it."""

ACCESS, SECRET = "cctv", "a secret that no message may show"

BRANCH, BRANCH_SITE, BRANCH_PREFIX = "branch", "ho", "of-branches"
"""A second user (with the same secret): the key of a branch, by the policy that the product gives it for this site and
for any store whose prefix begins so."""

READER, READ_PREFIX = "reader", "to-read"
"""A third user (with the same secret): the key of the viewer, by the policy in the documents."""


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
        return client_of(self, ACCESS)


def client_of(server: S3Server, access: str):
    """A plain client of one of the server's users."""
    session = boto3.session.Session(access, SECRET, region_name="us-east-1")
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    return session.client("s3", endpoint_url=server.endpoint, config=config)


def connection_text(endpoint: str, login: str = ACCESS, password: str = SECRET, **config_kwargs: object) -> str:
    """What belongs into AIRFLOW_CONN_<ID> to reach a server at this endpoint."""
    extra = {"endpoint_url": endpoint, "region_name": "us-east-1", "config_kwargs": config_kwargs}
    return json.dumps({"conn_type": "aws", "login": login, "password": password, "extra": extra})


def binary() -> str | None:
    try:
        return str(demo_s3.find_program())
    except StackError:
        return None


@contextlib.contextmanager
def run_weed(
    program: str, *, place: tuple[str, ...] = (), host: str = "127.0.0.1", volumes: int = 200
) -> Iterator[S3Server]:
    """place: the words before a command that make it run elsewhere, such as in a network namespace; host: the address
    under which its S3 is reached there. volumes: how many it may make; each bucket needs at least one, and one that
    gets none is full."""
    folder = Path(tempfile.mkdtemp(prefix="weed-"))
    ports = demo_s3.Ports(*_free_ports(4))
    users = folder / "s3.json"
    users.write_text(json.dumps(_users()))
    started = demo_s3.argv(Path(program), folder, users, ports)
    command = (*place, *started, f"-volume.max={volumes}", f"-s3.ip.bind={host}")  # the last of two counts
    environment = {**os.environ, **demo_s3.environment("of the tests")}
    log = (folder / "output").open("wb")
    server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder)
    try:
        made = S3Server(ports.s3, host)
        _wait_until_writable(made, server, folder)
        yield made
    finally:
        server.kill()  # an orderly stop takes 15 s and more
        server.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)
        demo_s3.remove_sockets(ports)


def _users() -> dict[str, list[object]]:
    all_rights: dict[str, list[object]] = json.loads(demo_s3.identities(ACCESS, SECRET))
    policy = narrow.s3_policy(BUCKET, f"{BRANCH_PREFIX}-*", BRANCH_SITE, NO_OPTIONS, knows_conditions=False)
    narrowed = narrow.seaweedfs_users(BRANCH, SECRET, policy)
    text = (PROJECT_ROOT / "docs/policies/aws-viewer.json").read_text()
    told = json.loads(text.replace("COMPANY-BUCKET", BUCKET).replace("PREFIX", f"{READ_PREFIX}-*"))
    reading = narrow.seaweedfs_users(READER, SECRET, told)
    return {
        "identities": all_rights["identities"] + narrowed["identities"] + reading["identities"],
        "policies": narrowed["policies"] + reading["policies"],
    }


def _free_ports(count: int) -> list[int]:
    """Ports, with their gRPC neighbours, outside of those that the system deals out: tests beside us take such ones
    between our look and the server's start."""
    some = random.SystemRandom().sample(range(12_000, 22_000), 200)
    found = [port for port in some if is_free(port) and is_free(port + 10_000)]
    assert len(found) >= count, "no free ports"
    return found[:count]


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
