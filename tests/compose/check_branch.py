"""A branch for real: a network of its own that reaches only the proxy and the bucket, and keys that may only write.

It archives, is killed in the middle of an upload while its line is cut, and catches up; what is stolen from it opens
nothing; revoked it is out. Needs a container engine, some GB and half an hour:

    ./vms test tests/compose/check_branch.py
"""

from __future__ import annotations

import json
from pathlib import Path

from branch_machine import (
    BUCKET,
    OUTSIDE,
    Branch,
    archived,
    joins,
    prepare,
    record,
    sending,
    site_line,
    starts,
)
from containers import Installation, _engine, eventually, installation

SITES = """
defaults: {{ time_zone: WITA, every: 1m, profile: copy, keep_source: keep }}
stores:
  cloud: {{ url: "s3://{bucket}/archive", conn_id: demo_s3 }}
sites:
  - {{ id: mks, name: Makassar, footage: /footage/mks, stores: [cloud], runs_on: edge, uplink: {uplink} }}
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


def test_a_branch_that_has_nothing_but_https(tmp_path: Path) -> None:
    with installation(tmp_path, "--s3", "--tls") as here:
        prepare(here, SITES.format(bucket=BUCKET, uplink="unlimited"))
        here.compose("up", "--build", "-d")
        eventually("the centre answers", lambda: bool(here.vms("status")))
        branch = Branch(here)
        try:
            archives(here, branch)
            lives_through_an_outage(here, branch)
            loses_nothing_to_a_thief(here, branch)
        finally:
            branch.compose("down", "-v", "-t", "5")


def archives(here: Installation, branch: Branch) -> None:
    joins(here, branch)
    assert branch.inside("python", "-c", REACHES).split() == [], "it reaches the proxy and the bucket alone"
    record(branch.container, "mks", starts(3, 2))
    eventually("the branch's footage is archived", lambda: archived(here) == 3)
    eventually("the branch knows that it is proven", lambda: branch.status()["proven"]["count"] == 3)
    assert branch.status()["waiting"]["count"] == 0


def lives_through_an_outage(here: Installation, branch: Branch) -> None:
    """Killed in the middle of an upload, without line; what it then holds and what is new arrives by itself."""
    (here.folder / "config" / "sites.yaml").write_text(SITES.format(bucket=BUCKET, uplink="1 Mbit/s"))
    eventually("the branch has the new uplink", lambda: "1 Mbit/s" in site_line(branch))
    record(branch.container, "mks", starts(1, 5), 120, "2500k")  # 37 MB: five minutes of line
    sending(here, branch)
    (proxy,) = here.containers("tls")
    _engine("network", "disconnect", OUTSIDE, proxy)
    _engine("kill", "--signal", "KILL", branch.container)
    branch.compose("up", "-d")
    record(branch.container, "mks", starts(2, 1))
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
