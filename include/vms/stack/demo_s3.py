"""The S3 server of the demonstration (SeaweedFS): a second store beside the NAS, for people without an account.

It listens on the loopback interface only, keeps its objects below the home, and the connection `demo_s3` in
secrets/connections.json leads to it. It is no store for real footage: whoever may log in to this machine can reach
the parts of the server that ask for no key.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import sysconfig
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vms.errors import StackError
from vms.home import Home
from vms.stack.addresses import HOST
from vms.stack.airflow_env import base_environment
from vms.stack.postgres import is_free
from vms.stack.supervisor import Command, Service
from vms.stores.connections import keep_in_file

NAME = "demo-s3"
CONN_ID = "demo_s3"
BUCKET = "cctv-demo"

_GRPC = 10_000
_HIGHEST = 65_535 - _GRPC
_USUAL_PORT = 8333
_REGION = "us-east-1"
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Ports:
    """Where the parts of the server listen; each has a gRPC neighbour, 10,000 higher."""

    master: int
    volume: int
    filer: int
    s3: int


def service(home: Home) -> Service:
    """Ready when an object can be put and read: an open port says little. The bucket is made by the way."""
    server = _Server(home)
    # An orderly end takes a quarter of a minute; objects that were acknowledged outlive the kill of the process.
    return Service(NAME, server.prepare, server.is_writable, stop_rank=2, stop_signal=signal.SIGKILL)


def url(home: Home) -> str:
    """Where the server of this home answers; "" before its first start."""
    kept = _kept_ports(home)
    return f"http://{HOST}:{kept.s3}" if kept else ""


def find_program() -> Path:
    """The server's program: of our Python environment, else of the system. Raises StackError when there is none."""
    ours = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(ours) if ours.exists() else shutil.which("weed")
    if found is None:
        raise StackError(
            "The S3 server of the demonstration (SeaweedFS, program weed) is not installed.",
            "./vms up --demo --with-s3 installs it; ./vms up --demo --without-s3 goes on without it.",
        )
    return Path(found)


def argv(program: Path, folder: Path, identities: Path, ports: Ports) -> tuple[str, ...]:
    """How the server is started, with `folder` as its working directory, where its objects go.

    Sockets are named relative to it: a path of more than 108 characters ends the server. Without the times of the
    master a restart after a crash takes 15 s and more, and a second server needs the two table listeners off.
    """
    return (
        *(str(program), "-logtostderr", "server", f"-dir={folder}", f"-ip={HOST}", f"-ip.bind={HOST}"),
        *(f"-master.port={ports.master}", f"-volume.port={ports.volume}", f"-filer.port={ports.filer}"),
        *("-master.volumeSizeLimitMB=256", "-volume.max=200", "-volume.preStopSeconds=0", "-master.telemetry=false"),
        *("-master.electionTimeout=1s", "-master.heartbeatInterval=150ms"),
        *("-s3", f"-s3.port={ports.s3}", f"-s3.config={identities}", "-s3.iam=false"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),
    )


def environment(key: str) -> dict[str, str]:
    """What the server reads from its environment. key: what the objects that ask for encryption are encrypted with."""
    return {
        "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",  # else each bucket reserves seven volumes at its first object
        "WEED_S3_SSE_KEK": hashlib.sha256(key.encode()).hexdigest(),
    }


def identities(access: str, secret: str) -> str:
    """The server's file of users: one, who may do everything."""
    rights = ["Admin", "Read", "Write", "List", "Tagging"]
    user = {"name": "cctv", "credentials": [{"accessKey": access, "secretKey": secret}], "actions": rights}
    return json.dumps({"identities": [user]})


def free_ports(count: int) -> list[int]:
    """Free ports whose gRPC neighbours are free as well."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
            if port <= _HIGHEST and is_free(port + _GRPC):
                found.append(port)
    return found


def remove_sockets(ports: Ports) -> None:
    """Take away the sockets that a killed server leaves behind; it makes them where nobody can tell it not to."""
    for port in asdict(ports).values():
        for left in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-grpc-{port + _GRPC}.sock"):
            with contextlib.suppress(OSError):
                left.unlink()


def clean_up(home: Home) -> None:
    """After the server has ended."""
    kept = _kept_ports(home)
    if kept:
        remove_sockets(kept)


class _Server:
    """The server of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._client: Any = None
        self._has_written = False

    def prepare(self) -> Command:
        home = self._home
        folder = home.demo_s3
        folder.mkdir(parents=True, exist_ok=True)
        program = find_program()
        ports = _choose_ports(home)
        remove_sockets(ports)
        access, secret = home.secret("demo_s3_access", 12), home.secret("demo_s3_secret")
        users = home.secrets / "demo_s3_identities.json"
        users.touch(mode=0o600)
        users.write_text(identities(access, secret))
        self._client, self._has_written = _connected(home, url(home)), False
        settings = environment(home.secret("demo_s3_encryption"))
        return Command(argv(program, folder, users, ports), base_environment(home) | settings, folder)

    def is_writable(self) -> bool:
        self._has_written = _is_writable(self._client, written=self._has_written)
        return self._has_written


def use_server(home: Home, endpoint: str) -> None:
    """Use the server that answers there, in a container of its own. Raises StackError when it does not come up."""
    client = _connected(home, endpoint)
    give_up = time.monotonic() + _PATIENCE_S
    while not _is_writable(client, written=False):
        if time.monotonic() > give_up:
            raise StackError(f"The S3 server at {endpoint} can't be written.", "Look at its log; then start again.")
        time.sleep(1.0)


def _connected(home: Home, endpoint: str) -> Any:
    """A client of this server; the home's connection CONN_ID leads to it from now on."""
    access, secret = home.secret("demo_s3_access", 12), home.secret("demo_s3_secret")
    extra = {"endpoint_url": endpoint, "region_name": _REGION}
    keep_in_file(home, CONN_ID, {"conn_type": "aws", "login": access, "password": secret, "extra": extra})
    return _client(endpoint, access, secret)


def _is_writable(client: Any, *, written: bool) -> bool:
    """written: it was seen to be so before."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        if written:
            client.head_object(Bucket=BUCKET, Key="ready")
            return True
        known = client.exceptions
        with contextlib.suppress(known.BucketAlreadyOwnedByYou, known.BucketAlreadyExists):
            client.create_bucket(Bucket=BUCKET)
        # Bytes, and back again: an empty object asks nothing of the volumes, which come seconds after the rest.
        client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
        client.get_object(Bucket=BUCKET, Key="ready")["Body"].read()
    except (BotoCoreError, ClientError):
        return False
    return True


def _client(endpoint: str, access: str, secret: str) -> Any:
    """A client that answers soon: the other services wait for their turn to be asked."""
    import boto3

    from vms.stores.s3_client import client_config

    impatient = {"connect_timeout": 2, "read_timeout": 4, "retries": {"total_max_attempts": 1}}
    session = boto3.session.Session(access, secret, region_name=_REGION)
    return session.client("s3", endpoint_url=endpoint, config=client_config(impatient, own_server=True))


def _choose_ports(home: Home) -> Ports:
    """The ports of the last start as far as they are free, VMS_S3_PORT before them; written down for the next."""
    kept = _kept_ports(home)
    fresh = iter(free_ports(4))
    wanted = asdict(kept) if kept else {"s3": _USUAL_PORT}
    if home.s3_port:
        wanted["s3"] = home.s3_port
    chosen = {}
    for part in ("master", "volume", "filer", "s3"):
        port = wanted.get(part, 0)
        usable = port and is_free(port) and is_free(port + _GRPC)
        if part == "s3" and home.s3_port and not usable:
            raise StackError(
                f"Port {port} for the S3 server of the demonstration, or {port + _GRPC} that it needs too, is taken.",
                "Stop what listens there, or unset VMS_S3_PORT: a free port is then chosen.",
            )
        chosen[part] = port if usable else next(fresh)
    ports = Ports(**chosen)
    if ports != kept:
        file = _ports_file(home)
        new = file.with_suffix(f".{os.getpid()}.new")
        new.write_text(json.dumps(asdict(ports)))
        new.replace(file)
    return ports


def _kept_ports(home: Home) -> Ports | None:
    try:
        said = json.loads(_ports_file(home).read_text())
        return Ports(**{part: int(said[part]) for part in ("master", "volume", "filer", "s3")})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ports_file(home: Home) -> Path:
    return home.run / "demo-s3.json"
