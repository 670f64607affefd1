"""A branch's machine in a container of its own, as the tests beside this file use it.

On a network that reaches only the proxy and the bucket, with keys that may only write.
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml
from containers import COMPOSE, Installation, _engine, eventually
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BUCKET = "cctv-demo"
SECRET = "branchsecretbranchsecret"
BRANCH = "vmstestbranch"
OUTSIDE = "vmstest_outside"

CENTRE = {
    "services": {
        "tls": {"networks": ["default", "outside"]},
        "seaweedfs": {
            "networks": ["default", "outside"],
            "command": [
                *("server", "-dir=/data", "-ip=seaweedfs", "-ip.bind=0.0.0.0", "-s3", "-s3.port=8333", "-s3.iam=false"),
                *("-s3.config=/config/s3.json", "-master.volumeSizeLimitMB=64", "-volume.max=0"),
            ],
            "volumes": ["s3:/data", "./config:/config:ro"],
        },
    },
    "networks": {"default": {}, "outside": {"name": OUTSIDE}},
}

VERSIONED = """
import sys
from vms.stores.s3_client import make_client
make_client("demo_s3").put_bucket_versioning(Bucket=sys.argv[1], VersioningConfiguration={"Status": "Enabled"})
"""

FOOTAGE = """
import os, subprocess, sys, time
from pathlib import Path
from vms.home import from_environment
from vms.video.binaries import binaries
folder, seconds, rate, *names = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
for number, name in enumerate(names):
    path = f"{folder}/{name}.mp4"
    subprocess.run([binaries(from_environment()).ffmpeg, "-v", "error", "-y", "-f", "lavfi", "-i",
                    f"testsrc2=size=640x360:rate=10,noise=alls=40:allf=t", "-t", seconds, "-c:v", "libx264", "-preset",
                    "ultrafast", "-b:v", rate, "-minrate", rate, "-f", "mp4", path + ".part"], check=True)
    old = time.time() - 1800 - 60 * number
    os.utime(path + ".part", (old, old))
    os.rename(path + ".part", path)
"""


def starts(count: int, hours_ago: float) -> list[datetime]:
    """When so many files of a recorder begin, ten minutes between them, the newest first."""
    newest = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=hours_ago)
    return [newest - timedelta(minutes=10 * number) for number in range(count)]


def record(container: str, site: str, begun: list[datetime], seconds: int = 20, rate: str = "400k") -> None:
    """A recorder leaves files that began then, by its own right clock on a wall in WITA."""
    names = [f"{one + timedelta(hours=8):%Y%m%d_%H%M%S}" for one in begun]
    folder = f"/footage/{site}/cam1"
    _engine("exec", container, "python", "-c", FOOTAGE, folder, str(seconds), rate, *names)


class Branch:
    """The branch's machine: one container, by docker-compose.branch.yaml."""

    def __init__(self, here: Installation) -> None:
        self.folder = here.folder
        self.files = ["docker-compose.branch.yaml", "branch-network.yaml"]
        (self.folder / "branch-network.yaml").write_text(
            yaml.safe_dump({"networks": {"default": {"external": True, "name": OUTSIDE}}})
        )

    def compose(self, *words: str, give: str | None = None) -> str:
        files = [word for one in self.files for word in ("-f", one)]
        said = subprocess.run(
            [*COMPOSE, *files, "-p", BRANCH, *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            input=give,
            check=False,
        )
        assert said.returncode == 0, f"{words}: {said.stdout[-2000:]}{said.stderr[-4000:]}"
        return said.stdout

    def once(self, *words: str, give: str | None = None) -> str:
        """Run this program in a container of its own, as before the first start."""
        return self.compose("run", "--rm", "-T", "--entrypoint", words[0], "branch", *words[1:], give=give)

    @property
    def container(self) -> str:
        labels = (f"com.docker.compose.project={BRANCH}", "com.docker.compose.service=branch")
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        (name,) = _engine("ps", *filters, "--format", "{{.Names}}").split()
        return name

    def inside(self, *words: str) -> str:
        return _engine("exec", self.container, *words)

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.inside("vms", "branch", "status", "--json"))
        return told


def prepare(here: Installation, sites: str) -> None:
    """What an operator writes: the site, the address, the pages' certificate; and a bucket with the centre's keys."""
    config = here.folder / "config"
    (config / "sites.yaml").write_text(sites)
    (here.folder / "docker-compose.override.yaml").write_text(yaml.safe_dump(CENTRE))
    with (here.folder / ".env").open("a") as settings:
        settings.write("VMS_BRANCH_URL=https://tls:8444\nVMS_TLS_PORT=5972\nVMS_TLS_AIRFLOW_PORT=5973\n")
        settings.write("VMS_TLS_BRANCH_PORT=5974\n")
    known = dict(line.split("=", 1) for line in (here.folder / ".env").read_text().splitlines() if "=" in line)
    key = {"accessKey": known["VMS_SECRET_DEMO_S3_ACCESS"], "secretKey": known["VMS_SECRET_DEMO_S3_SECRET"]}
    centre = {"name": "centre", "credentials": [key], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    (config / "s3.json").write_text(json.dumps({"identities": [centre]}))
    pages = config / "tls"
    pages.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tls")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=9))
        .sign(key, hashes.SHA256())
    )
    (pages / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (pages / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    for one in (config / "s3.json", *pages.iterdir()):
        one.chmod(0o644)


def joins(here: Installation, branch: Branch) -> None:
    """Invited, with keys of its own for the bucket that are as narrow as they should be, started, and heard."""
    invited = here.inside(here.containers("api-server")[0], "vms", "branch", "invite", "mks")
    (line,) = (one.strip() for one in invited.splitlines() if "branch join" in one)
    eventually("it has joined", lambda: _joined(branch, line))  # a line that breaks meanwhile costs nothing
    keys = {"conn_type": "aws", "login": _let_in(here), "password": SECRET}
    extra = {"endpoint_url": "http://seaweedfs:8333", "region_name": "us-east-1"}
    put = "umask 077; cat > /var/lib/vms/secrets/connections.json"
    branch.once("sh", "-c", put, give=json.dumps({"demo_s3": keys | {"extra": extra}}))
    branch.compose("up", "-d")
    eventually("the centre has answered the branch", lambda: bool(branch.status()["answered_at"]))
    told = json.loads(branch.inside("vms", "stores", "check", "--json"))
    findings = [one["what"] for store in told["stores"] for one in store["findings"]]
    assert any("as narrow as it should be" in one for one in findings), findings


def _let_in(here: Installation) -> str:
    """The branch's user of the bucket gets what the product prints for it, and the bucket versions, as that asks for.
    Returns the name of its key."""
    (printed,) = here.vms("branch", "policy", "mks")
    assert any("versioning" in one for one in printed["notes"]), printed["notes"]
    (seaweedfs,) = (json.loads(command) for about, command in printed["commands"] if "SeaweedFS" in about)
    (user,) = seaweedfs["identities"]
    user["credentials"][0]["secretKey"] = SECRET
    file = here.folder / "config" / "s3.json"
    known = json.loads(file.read_text())
    known["identities"].append(user)
    file.write_text(json.dumps(known | {"policies": seaweedfs["policies"]}))
    (server,) = here.containers("seaweedfs")
    _engine("kill", "--signal", "HUP", server)  # it reads its users again
    here.inside(here.containers("worker")[0], "python", "-c", VERSIONED, BUCKET)
    return str(user["credentials"][0]["accessKey"])


def _joined(branch: Branch, line: str) -> bool:
    try:
        branch.once("vms", *line.split()[1:])
    except AssertionError:
        return False
    return True


def archived(here: Installation, site: str = "mks") -> int:
    (seen,) = here.vms("status")
    return sum(one["counts"].get("archived", 0) for one in seen["sites"] if one["id"] == site)


def site_line(branch: Branch) -> str:
    return branch.inside("cat", "/var/lib/vms/branch/sites.yaml")


def sending(here: Installation, branch: Branch) -> None:
    """Return when an upload of the branch is under way, and not with its first bytes."""
    uploads = "dag_id = 'footage_mks' AND task_id = 'batch.upload' AND state = 'running'"
    eventually("an upload runs", lambda: count(here, "task_instance", uploads) == 1)
    before = _sent_bytes(branch)
    eventually("some of it was sent", lambda: _sent_bytes(branch) > before + 2_000_000)
    assert count(here, "task_instance", uploads) == 1, "it is still under way"


def _sent_bytes(branch: Branch) -> int:
    return int(branch.inside("cat", "/sys/class/net/eth0/statistics/tx_bytes"))


def count(here: Installation, table: str, where: str) -> int:
    """Of Airflow's rows."""
    return int(ask(here, "airflow", f"SELECT count(*) FROM {table} WHERE {where}")[0])  # noqa: S608 - our own words


def ask(here: Installation, database: str, question: str) -> list[str]:
    (server,) = here.containers("postgres")
    words = ("psql", "-U", "vms_admin", "-d", database, "-tAc", " ".join(question.split()))
    return here.inside(server, *words).split("\n")[:-1]
