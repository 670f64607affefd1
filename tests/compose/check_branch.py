"""A branch for real: a network of its own that reaches only the proxy and the bucket, and keys that may only write.

It archives, is killed in the middle of an upload while its line is cut, and catches up; what is stolen from it opens
nothing; revoked it is out. Needs a container engine, some GB and half an hour:

    ./vms test tests/compose/check_branch.py
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from containers import COMPOSE, Installation, _engine, eventually, installation
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BUCKET = "cctv-demo"
BRANCH = "vmstestbranch"
OUTSIDE = "vmstest_outside"

SITES = """
defaults: {{ time_zone: WITA, every: 1m, profile: copy, keep_source: keep }}
stores:
  cloud: {{ url: "s3://{bucket}/archive", conn_id: demo_s3 }}
sites:
  - {{ id: mks, name: Makassar, footage: /footage/mks, stores: [cloud], runs_on: edge, uplink: {uplink} }}
"""

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

FOOTAGE = """
import os, subprocess, sys, time
from datetime import UTC, datetime, timedelta
from vms.home import from_environment
from vms.video.binaries import binaries
count, seconds, rate, back = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
for number in range(count):
    start = datetime.now(UTC) + timedelta(hours=8) - timedelta(hours=back, minutes=10 * number)
    path = f"/footage/mks/cam1/{start:%Y%m%d_%H%M%S}.mp4"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    subprocess.run([binaries(from_environment()).ffmpeg, "-v", "error", "-y", "-f", "lavfi", "-i",
                    f"testsrc2=size=640x360:rate=10,noise=alls=40:allf=t", "-t", seconds, "-c:v", "libx264", "-preset",
                    "ultrafast", "-b:v", rate, "-minrate", rate, "-f", "mp4", path + ".part"], check=True)
    old = time.time() - 1800 - 60 * number
    os.utime(path + ".part", (old, old))
    os.rename(path + ".part", path)
"""

REACHES = """
import socket, sys
for name, port in (("postgres", 5432), ("redis", 6379), ("api-server", 8080), ("viewer", 5000)):
    try:
        socket.create_connection((name, port), timeout=3).close()
        print(name)
    except OSError:
        pass
"""

STOLEN = """
import json, sys, time
import boto3, httpx, jwt
from botocore.exceptions import ClientError
from vms.home import from_environment
home = from_environment()
own = home.root / "branch"
told = json.loads((own / "branch.json").read_text())
import ssl
context = ssl.create_default_context(cafile=str(own / "authority.pem"))
bare = httpx.Client(base_url=told["url"], verify=ssl.create_default_context(cafile=str(own / "authority.pem")))
context.load_cert_chain(own / "certificate.pem", own / "key.pem")
ours = httpx.Client(base_url=told["url"], verify=context)
pages = httpx.Client(base_url=told["url"].replace("8444", "8443"), verify=False)
now = int(time.time())

def signed(method, **more):
    claims = {"aud": "api", "iat": now, "nbf": now, "exp": now + 600, "method": method} | more
    return jwt.encode(claims, told["edge_secret"], algorithm="HS512", headers={"kid": "not-used"})

admin = signed("x", sub="1", role="ADMIN", aud="apache-airflow")
def fetches(client, name="branch-mks", queues=("site-mks",)):
    asked = {"queues": list(queues), "free_concurrency": 1}
    token = signed(f"jobs/fetch/{name}")
    return client.post(f"/edge_worker/v1/jobs/fetch/{name}", json=asked, headers={"Authorization": token}).status_code

def gets(client, path):
    return client.get(path, headers={"Authorization": f"Bearer {admin}"}).status_code

said = {
    "rest by the pages' port": gets(pages, "/api/v2/dags"),
    "rest by our port": gets(ours, "/api/v2/dags"),
    "edge by the pages' port": fetches(pages),
    "no certificate": fetches(bare),
    "all queues": fetches(ours, queues=()),
    "centre's queue": fetches(ours, queues=("centre",)),
    "another branch": fetches(ours, "branch-sby", ("site-sby",)),
    "a connection": gets(ours, "/execution/connections/demo_s3"),
    "a variable": gets(ours, "/execution/variables/x"),
}
about = json.loads(home.connections.read_text())["demo_s3"]
s3 = boto3.client("s3", endpoint_url=about["extra"]["endpoint_url"], region_name="us-east-1",
                  aws_access_key_id=about["login"], aws_secret_access_key=about["password"])
key = sys.argv[1]
for name, call in {
    "bucket get": lambda: s3.get_object(Bucket="cctv-demo", Key=key),
    "bucket list": lambda: s3.list_objects_v2(Bucket="cctv-demo"),
    "bucket elsewhere": lambda: s3.put_object(Bucket="cctv-demo", Key="archive/other/x", Body=b"x"),
}.items():
    try:
        call()
        said[name] = 200
    except ClientError as error:
        said[name] = error.response["ResponseMetadata"]["HTTPStatusCode"]
print(json.dumps(said))
"""


class Branch:
    """The branch's machine: one container, by docker-compose.branch.yaml."""

    def __init__(self, here: Installation) -> None:
        self.folder = here.folder
        (self.folder / "branch-network.yaml").write_text(
            yaml.safe_dump({"networks": {"default": {"external": True, "name": OUTSIDE}}})
        )

    def compose(self, *words: str, give: str | None = None) -> str:
        files = ("-f", "docker-compose.branch.yaml", "-f", "branch-network.yaml")
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


def test_a_branch_that_has_nothing_but_https(tmp_path: Path) -> None:
    with installation(tmp_path, "--s3", "--tls") as here:
        prepare(here)
        here.compose("up", "--build", "-d")
        eventually("the centre answers", lambda: bool(here.vms("status")))
        branch = Branch(here)
        try:
            archives(here, branch)
            lives_through_an_outage(here, branch)
            loses_nothing_to_a_thief(here, branch)
        finally:
            branch.compose("down", "-v", "-t", "5")


def prepare(here: Installation) -> None:
    """What an operator writes: the site, the address, the pages' certificate; and a bucket with two kinds of keys."""
    config = here.folder / "config"
    (config / "sites.yaml").write_text(SITES.format(bucket=BUCKET, uplink="unlimited"))
    (here.folder / "docker-compose.override.yaml").write_text(yaml.safe_dump(CENTRE))
    with (here.folder / ".env").open("a") as settings:
        settings.write("VMS_BRANCH_URL=https://tls:8444\nVMS_TLS_PORT=5972\nVMS_TLS_AIRFLOW_PORT=5973\n")
        settings.write("VMS_TLS_BRANCH_PORT=5974\n")
    known = dict(line.split("=", 1) for line in (here.folder / ".env").read_text().splitlines() if "=" in line)
    everything = ["Admin", "Read", "Write", "List", "Tagging"]
    users = [
        ("centre", known["VMS_SECRET_DEMO_S3_ACCESS"], known["VMS_SECRET_DEMO_S3_SECRET"], everything),
        ("branch", "branchkey", "branchsecretbranchsecret", [f"Write:{BUCKET}/archive/mks/*"]),
    ]
    identities = [
        {"name": name, "credentials": [{"accessKey": access, "secretKey": secret}], "actions": actions}
        for name, access, secret, actions in users
    ]
    (config / "s3.json").write_text(json.dumps({"identities": identities}))
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


def archives(here: Installation, branch: Branch) -> None:
    invited = here.inside(here.containers("api-server")[0], "vms", "branch", "invite", "mks")
    (line,) = (one.strip() for one in invited.splitlines() if "branch join" in one)
    branch.once("vms", *line.split()[1:])
    keys = {"conn_type": "aws", "login": "branchkey", "password": "branchsecretbranchsecret"}
    extra = {"endpoint_url": "http://seaweedfs:8333", "region_name": "us-east-1"}
    put = "umask 077; cat > /var/lib/vms/secrets/connections.json"
    branch.once("sh", "-c", put, give=json.dumps({"demo_s3": keys | {"extra": extra}}))
    branch.compose("up", "-d")
    eventually("the centre has answered the branch", lambda: bool(branch.status()["answered_at"]))
    assert branch.inside("python", "-c", REACHES).split() == [], "it reaches the proxy and the bucket alone"
    branch.inside("python", "-c", FOOTAGE, "3", "20", "400k", "2")
    eventually("the branch's footage is archived", lambda: archived(here) == 3)
    eventually("the branch knows that it is proven", lambda: branch.status()["proven"]["count"] == 3)
    assert branch.status()["waiting"]["count"] == 0


def lives_through_an_outage(here: Installation, branch: Branch) -> None:
    """Killed in the middle of an upload, without line; what it then holds and what is new arrives by itself."""
    (here.folder / "config" / "sites.yaml").write_text(SITES.format(bucket=BUCKET, uplink="1 Mbit/s"))
    eventually("the branch has the new uplink", lambda: "1 Mbit/s" in site_line(branch))
    branch.inside("python", "-c", FOOTAGE, "1", "120", "2500k", "5")  # 37 MB: five minutes of line
    eventually("it is being sent", lambda: "batch.upload" in running(branch))
    (proxy,) = here.containers("tls")
    _engine("network", "disconnect", OUTSIDE, proxy)
    _engine("kill", "--signal", "KILL", branch.container)
    branch.compose("up", "-d")
    branch.inside("python", "-c", FOOTAGE, "2", "20", "400k", "1")
    eventually("it says that the line is down", lambda: bool(branch.status()["problem"]))
    told = branch.status()
    assert told["running"]
    assert told["waiting"]["count"] == 3, "what was being sent, and the two that came meanwhile"
    assert told["proven"]["count"] == 3
    (here.folder / "config" / "sites.yaml").write_text(SITES.format(bucket=BUCKET, uplink="unlimited"))
    _engine("network", "connect", "--alias", "tls", OUTSIDE, proxy)
    eventually("all of it is archived", lambda: archived(here) == 6)
    rows = here.vms("recordings")
    assert len({(row["camera"], row["start_utc"]) for row in rows}) == len(rows) == 6
    assert all(len(row["copies"]) == 1 for row in rows)


def loses_nothing_to_a_thief(here: Installation, branch: Branch) -> None:
    key = f"archive/{here.vms('recordings')[0]['copies'][0]['key']}"
    said = json.loads(branch.inside("python", "-W", "ignore", "-c", STOLEN, key))
    assert {name: status for name, status in said.items() if status not in (401, 403, 404)} == {}
    here.inside(here.containers("api-server")[0], "vms", "branch", "revoke", "mks")
    eventually("the branch is told that it is out", lambda: branch.status()["refused"])


def archived(here: Installation) -> int:
    (seen,) = here.vms("status")
    return sum(site["counts"].get("archived", 0) for site in seen["sites"] if site["id"] == "mks")


def site_line(branch: Branch) -> str:
    return branch.inside("cat", "/var/lib/vms/branch/sites.yaml")


def running(branch: Branch) -> str:
    """What the branch's tasks are about, by the logs that were written in the last minute."""
    return branch.inside("sh", "-c", "find /var/lib/vms/logs/airflow -name '*.log' -mmin -1")
